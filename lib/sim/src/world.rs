//! A world of virtual time: a leader, a wire, a host. Seeded, deterministic, and thousands of times faster than life.
//!
//! The engines in it are the very ones that the programs run; only what surrounds them is made up. True time is the
//! host's CLOCK_MONOTONIC_RAW; its CLOCK_REALTIME is a [`VirtualClock`] that the steerer steers. Kernel stamps are
//! taken on that clock, as the kernel does, and translated back by the same [`Bridge`].

use crate::leader::{self, Leader, LeaderConfig};
use crate::oscillator::Oscillator;
use arrayvec::ArrayVec;
use dante_core::port::{self, Channel, NoStamp, Port, PortConfig, Sample, Stamp};
use dante_core::relay::{self, RefclockSample, Relay};
use dante_core::steer::{self, Correction, Limits, Loss, Steerer};
use dante_core::time::{Bridge, Duration, Raw, Reading, Real, Timestamp, VirtualClock};
use dante_core::timescale::{TimelineKey, Track};
use dante_core::wire::Buffer;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Normal};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// The way between leader and host, the same in both directions.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// What every packet needs.
    pub delay: Duration,
    /// And in addition |normal| of this scale: a queue is never early.
    pub queue: Duration,
    /// Share of packets lost, 0..1.
    pub loss: f64,
    /// Share of packets that come twice, 0..1.
    pub duplication: f64,
}

impl Link {
    /// A veth pair: 0.5 us of standard deviation.
    pub const VETH: Self =
        Self { delay: Duration::from_us(5), queue: Duration::from_ns(830), loss: 0.0, duplication: 0.0 };
    /// Real Dante devices as plain software stamps see them: 6.8 us of standard deviation, a tail to one side.
    pub const DANTE: Self =
        Self { delay: Duration::from_us(30), queue: Duration::from_ns(11_300), loss: 0.0, duplication: 0.0 };
}

/// What the host's kernel does between a packet and the program.
const WAKE_UP: Duration = Duration::from_us(30);

#[derive(Debug)]
enum Event {
    ToHost { channel: Channel, bytes: Buffer },
    ToLeader { bytes: Buffer },
}

/// Where everything is tried.
pub struct World {
    rng: Pcg64Mcg,
    now: Timestamp<Raw>,
    /// By time, and among those of one time by the order in which they were made.
    events: BTreeMap<(Timestamp<Raw>, u64), Event>,
    events_made: u64,
    /// The wire.
    pub link: Link,
    leader: Option<Leader>,
    port: Port,
    steerer: Steerer,
    relay: Relay,
    clock: VirtualClock,
    bridge: Bridge,
    /// Everything that the steerer said.
    pub steerer_said: Vec<(Timestamp<Raw>, steer::Output)>,
    /// Everything that the port said, but for samples.
    pub port_said: Vec<(Timestamp<Raw>, port::Output)>,
    /// Everything that the relay wrote.
    pub relayed: Vec<(Timestamp<Raw>, relay::Output)>,
    /// All frequencies that the clock was given.
    pub frequencies: Vec<(Timestamp<Raw>, f64)>,
}

/// The random number of the port's start.
const INSTANCE: u64 = 7;
/// CLOCK_REALTIME when the world begins.
const BEGIN: Timestamp<Real> = Timestamp::from_ns(1_795_000_000_000_000_000);
const LEADER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 61, 114), 49_155);

impl World {
    /// A host that listens to `link`, where nobody leads yet.
    pub fn new(seed: u64, link: Link, config: PortConfig) -> Self {
        let now = Timestamp::from_ns(1_000_000_000_000);
        let clock = VirtualClock::new(Reading { raw: now, real: BEGIN, width: Duration::ZERO });
        let mut world = Self {
            rng: Pcg64Mcg::seed_from_u64(seed),
            now,
            events: BTreeMap::new(),
            events_made: 0,
            link,
            leader: None,
            port: Port::new(config),
            steerer: Steerer::new(Limits::default(), clock.line().rate),
            relay: Relay::new(None),
            clock,
            bridge: Bridge::default(),
            steerer_said: Vec::new(),
            port_said: Vec::new(),
            relayed: Vec::new(),
            frequencies: Vec::new(),
        };
        world.bridge.note(world.reading());
        world.port.handle(now, port::Input::Opened(port::follower_identity([0; 6], seed)));
        world.drain_port();
        world
    }

    /// A leader begins.
    pub fn start_leader(&mut self, config: LeaderConfig, oscillator: Oscillator) {
        self.leader = Some(Leader::new(config, oscillator, self.now));
    }

    /// The leader falls silent.
    pub fn stop_leader(&mut self) -> Option<Oscillator> {
        self.leader.take().map(|leader| *leader.oscillator())
    }

    /// True time.
    pub fn now(&self) -> Timestamp<Raw> {
        self.now
    }

    /// The follower.
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// The steerer.
    pub fn steerer(&self) -> &Steerer {
        &self.steerer
    }

    /// The steered clock.
    pub fn clock(&self) -> &VirtualClock {
        &self.clock
    }

    /// Lets so much time pass.
    pub fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(at) = self.next().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.happen();
        }
        self.now = until;
    }

    fn next(&self) -> Option<Timestamp<Raw>> {
        let event = self.events.keys().next().map(|(at, _)| *at);
        let sync = self.leader.as_ref().map(Leader::deadline);
        [event, sync, self.port.deadline(), self.steerer.deadline()].into_iter().flatten().min()
    }

    fn happen(&mut self) {
        while let Some(next) = self.events.first_entry().filter(|next| next.key().0 <= self.now) {
            match next.remove() {
                Event::ToHost { channel, bytes } => self.host_hears(channel, &bytes),
                Event::ToLeader { bytes } => self.leader_hears(&bytes),
            }
        }
        if self.leader.as_ref().is_some_and(|leader| leader.deadline() <= self.now) {
            self.leader_does(leader::Input::Deadline);
        }
        if self.port.deadline().is_some_and(|at| at <= self.now) {
            self.port.handle(self.now, port::Input::Deadline);
            self.drain_port();
            self.look();
        }
        if self.steerer.deadline().is_some_and(|at| at <= self.now) {
            self.steer(steer::Input::Deadline);
        }
    }

    fn leader_does(&mut self, input: leader::Input<'_>) {
        let Some(mut leader) = self.leader.take() else { return };
        leader.handle(self.now, input);
        while let Some(output) = leader.poll() {
            match output {
                leader::Output::Sync { packet, token } => {
                    self.send_to_host(Channel::Event, packet, Duration::ZERO);
                    let stamp = Ok(Stamp { raw: self.now, real: self.clock.at(self.now) });
                    leader.handle(self.now, leader::Input::Departed { token, stamp });
                }
                // Real devices send the Follow_Up 53 to 103 us after the Sync.
                leader::Output::General { packet } => {
                    let later = Duration::from_ns(self.rng.random_range(53_000..103_000));
                    self.send_to_host(Channel::General, packet, later);
                }
                leader::Output::AnotherLeader(_) => {}
            }
        }
        self.leader = Some(leader);
    }

    fn send_to_host(&mut self, channel: Channel, bytes: Buffer, later: Duration) {
        let copies = 1 + usize::from(self.rng.random_bool(self.link.duplication));
        for _ in 0..copies {
            if !self.rng.random_bool(self.link.loss) {
                let at = self.now + later + self.transit();
                self.schedule(at, Event::ToHost { channel, bytes: bytes.clone() });
            }
        }
    }

    fn transit(&mut self) -> Duration {
        let normal = Normal::new(0.0, self.link.queue.secs_f64()).map_or(0.0, |n| n.sample(&mut self.rng));
        self.link.delay + Duration::from_secs_f64(normal.abs())
    }

    fn schedule(&mut self, at: Timestamp<Raw>, event: Event) {
        self.events_made += 1;
        self.events.insert((at, self.events_made), event);
    }

    fn reading(&self) -> Reading {
        Reading { raw: self.now, real: self.clock.at(self.now), width: Duration::ZERO }
    }

    /// The kernel's stamp of this very instant, as the program gets to know it.
    fn stamp(&mut self) -> Result<Stamp, NoStamp> {
        let real = self.clock.at(self.now);
        let woken = self.now + WAKE_UP;
        self.bridge.note(Reading { raw: woken, real: self.clock.at(woken), width: Duration::ZERO });
        let raw = self.bridge.to_raw(real).map_err(|_| NoStamp::ClockStepped)?;
        Ok(Stamp { raw, real })
    }

    fn host_hears(&mut self, channel: Channel, bytes: &[u8]) {
        let arrived = match channel {
            Channel::Event => self.stamp(),
            Channel::General => Err(NoStamp::Missing),
        };
        self.port.handle(self.now, port::Input::Packet { channel, bytes, source: LEADER, arrived });
        self.drain_port();
    }

    fn leader_hears(&mut self, bytes: &[u8]) {
        let arrived = Ok(Stamp { raw: self.now, real: self.clock.at(self.now) });
        self.leader_does(leader::Input::Packet { bytes, arrived });
    }

    fn drain_port(&mut self) {
        let mut samples = ArrayVec::<Sample, 8>::new();
        while let Some(output) = self.port.poll() {
            match output {
                port::Output::Send { packet, token } => {
                    let stamp = self.stamp();
                    let at = self.now + self.transit();
                    self.schedule(at, Event::ToLeader { bytes: packet });
                    self.port.handle(self.now, port::Input::Departed { token, stamp });
                }
                port::Output::Sample(sample) => samples.push(sample),
                said => self.port_said.push((self.now, said)),
            }
        }
        for sample in samples {
            let path_delay = self.port.path_delay().unwrap_or_default();
            self.relay.handle(relay::Input::Sync { track: self.track(), sample, path_delay });
            self.look();
        }
    }

    /// What a reader of dante4l's page would see now.
    pub fn track(&self) -> Track {
        Track {
            key: TimelineKey { instance: INSTANCE, number: self.port.timeline() },
            state: self.port.state(),
            map: self.port.map(),
        }
    }

    /// dante2sys and danteshm look at the page.
    fn look(&mut self) {
        let track = self.track();
        self.steer(steer::Input::Leader(track));
        if track.live_map().is_none() {
            self.relay.handle(relay::Input::Lost(Loss::NoLeader));
        }
        while let Some(output) = self.relay.poll() {
            self.relayed.push((self.now, output));
        }
    }

    fn steer(&mut self, input: steer::Input) {
        self.steerer.handle(self.reading(), input);
        while let Some(output) = self.steerer.poll() {
            match output {
                steer::Output::Correct(Correction::Slew(frequency)) => {
                    self.clock.set_frequency(self.now, frequency);
                    self.frequencies.push((self.now, frequency.ppb()));
                    self.steerer.handle(self.reading(), steer::Input::Applied(frequency));
                }
                steer::Output::Correct(Correction::Step(offset)) => self.clock.step(-offset.span()),
                said => self.steerer_said.push((self.now, said)),
            }
        }
    }

    /// The samples that the relay wrote.
    pub fn refclock_samples(&self) -> impl Iterator<Item = &RefclockSample> {
        self.relayed.iter().filter_map(|(_, output)| match output {
            relay::Output::Write(sample) => Some(sample),
            _ => None,
        })
    }
}
