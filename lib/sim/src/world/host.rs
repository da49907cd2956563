//! The host: a kernel with two clocks and sockets, and the three programs' engines.

use arrayvec::ArrayVec;
use dante_core::date::DateRules;
use dante_core::page::{Dante4l, Freshness, MAX_PORTS, PortRecord, SampleRecord, StampSource, View};
use dante_core::port::{self, Channel, NoStamp, Port, PortConfig, Sample, Stamp};
use dante_core::redundancy::{self, Network, Redundancy};
use dante_core::relay::{self, RefclockSample, Relay};
use dante_core::steer::{self, Correction, Limits, Steerer};
use dante_core::time::{Bridge, Duration, Ratio, Raw, Reading, Real, Timestamp, VirtualClock};
use dante_core::track::{Loss, TimelineKey, Track};
use dante_core::wire::Buffer;
use std::net::SocketAddrV4;

/// What the host's kernel does between a packet and the program.
const WAKE_UP: Duration = Duration::from_us(30);
/// A reading of both clocks serves all packets of one burst (dante_os::stamps does the same).
const FRESH: Duration = Duration::from_ms(1);
/// CLOCK_REALTIME when the world begins.
const BEGIN: Timestamp<Real> = Timestamp::from_ns(1_795_000_000_000_000_000);
/// The random number of the first observer; those after it count on.
const INSTANCE: u64 = 7;

/// All that the engines said.
#[derive(Debug, Default)]
pub struct Said {
    /// The ports, but for samples.
    pub port: Vec<(Timestamp<Raw>, port::Output)>,
    /// Which network is used, and why.
    pub redundancy: Vec<(Timestamp<Raw>, redundancy::Change)>,
    /// The steerer, but for corrections.
    pub steerer: Vec<(Timestamp<Raw>, steer::Output)>,
    /// The relay, but for the overlay.
    pub relay: Vec<(Timestamp<Raw>, relay::Output)>,
    /// The frequencies that the steerer set.
    pub frequencies: Vec<(Timestamp<Raw>, Ratio)>,
    /// The steps that the steerer made.
    pub steps: Vec<(Timestamp<Raw>, Duration)>,
}

impl Said {
    /// The samples that the relay wrote.
    pub fn refclock_samples(&self) -> impl Iterator<Item = &RefclockSample> {
        self.relay.iter().filter_map(|(_, output)| match output {
            relay::Output::Write(sample) => Some(sample),
            _ => None,
        })
    }
}

/// A packet in a socket.
#[derive(Debug)]
struct Received {
    network: usize,
    source: SocketAddrV4,
    channel: Channel,
    bytes: Buffer,
    stamp: Option<Timestamp<Real>>,
}

/// The host.
pub struct Host {
    config: PortConfig,
    /// One on each network.
    ports: Vec<Port>,
    redundancy: Redundancy,
    /// What the observer publishes.
    page: View<Dante4l>,
    steerer: Steerer,
    relay: Relay,
    clock: VirtualClock,
    /// What the steerer or somebody else set.
    frequency: Ratio,
    /// What somebody slews beside it.
    slew: Ratio,
    bridge: Bridge,
    socket: Vec<Received>,
    is_waking: bool,
    /// The steerer is there from then on.
    steerer_from: Timestamp<Raw>,
    /// The observer is there from then on.
    observer_from: Timestamp<Raw>,
    pub(super) awake_from: Timestamp<Raw>,
    pub(super) stamps_from: Timestamp<Raw>,
    pub(super) sent: Vec<(Timestamp<Raw>, usize, Buffer)>,
    pub(super) said: Said,
}

impl Host {
    pub(super) fn new(config: PortConfig, networks: usize, now: Timestamp<Raw>) -> Self {
        let clock = VirtualClock::new(Reading { raw: now, real: BEGIN, width: Duration::ZERO });
        let mut host = Self {
            ports: ports_on(networks, &config),
            redundancy: Redundancy::default(),
            config,
            page: page_of(INSTANCE),
            steerer: Steerer::new(Limits::default(), DateRules::default(), clock.line().rate),
            relay: Relay::new(
                relay::Config { rule: relay::EpochRule::Now, every: None },
                None,
                Duration::ZERO,
            ),
            clock,
            frequency: Ratio::ZERO,
            slew: Ratio::ZERO,
            bridge: Bridge::default(),
            socket: Vec::new(),
            is_waking: false,
            steerer_from: now,
            observer_from: now,
            awake_from: now,
            stamps_from: now,
            sent: Vec::new(),
            said: Said::default(),
        };
        host.open(now);
        host
    }

    /// The follower on the network that is used.
    #[expect(clippy::indexing_slicing, reason = "one of the ports that were considered")]
    pub fn port(&self) -> &Port {
        &self.ports[self.redundancy.selected()]
    }

    /// Which network is used.
    pub fn redundancy(&self) -> &Redundancy {
        &self.redundancy
    }

    /// The steerer.
    pub fn steerer(&self) -> &Steerer {
        &self.steerer
    }

    /// The steered clock.
    pub fn clock(&self) -> &VirtualClock {
        &self.clock
    }

    /// What was said.
    pub fn said(&self) -> &Said {
        &self.said
    }

    /// What a reader of dante4l's page would see now.
    pub fn track(&self) -> Track {
        Track {
            key: TimelineKey {
                instance: self.page.instance,
                number: self.redundancy.timeline(self.redundancy.selected()),
            },
            state: self.port().state(),
            map: self.port().map(),
        }
    }

    fn open(&mut self, now: Timestamp<Raw>) {
        self.bridge = Bridge::default();
        self.bridge.note(self.reading(now));
        for network in 0..self.ports.len() {
            let identity = port::follower_identity([0; 6], self.config.seed + network as u64);
            self.tell(now, network, port::Input::Opened(identity));
        }
    }

    /// A new observer, under a new random number.
    pub(super) fn restart_observer(&mut self, at: Timestamp<Raw>) {
        self.ports = ports_on(self.ports.len(), &self.config);
        self.redundancy = Redundancy::default();
        self.page = page_of(self.page.instance + 1);
        self.observer_from = at;
        self.socket.clear();
    }

    /// A new steerer, which knows only what frequency the clock runs at. The one before says goodbye.
    pub(super) fn restart_steerer(&mut self, now: Timestamp<Raw>, at: Timestamp<Raw>) {
        self.steer(now, steer::Input::Lost(Loss::Ending));
        self.steerer = Steerer::new(Limits::default(), DateRules::default(), self.frequency);
        self.steerer_from = at;
    }

    pub(super) fn is_stepped(&mut self, by: Duration) {
        self.clock.step(by);
    }

    pub(super) fn is_slewed(&mut self, now: Timestamp<Raw>, slew: Ratio) {
        self.slew = slew;
        self.clock.set_frequency(now, self.frequency + slew);
    }

    pub(super) fn is_set(&mut self, now: Timestamp<Raw>, frequency: Ratio) {
        self.frequency = frequency;
        self.clock.set_frequency(now, frequency + self.slew);
    }

    /// When the programs want to do something.
    pub(super) fn deadline(&self) -> Option<Timestamp<Raw>> {
        let port = self.ports.iter().filter_map(Port::deadline).min().map(|at| at.max(self.observer_from));
        let steerer = self.steerer.deadline().map(|at| at.max(self.steerer_from));
        [port, steerer].into_iter().flatten().min().map(|at| at.max(self.awake_from))
    }

    pub(super) fn minds_deadlines(&mut self, now: Timestamp<Raw>) {
        if now < self.awake_from {
            return;
        }
        for network in 0..self.ports.len() {
            let due = self.ports.get(network).and_then(Port::deadline);
            if now >= self.observer_from && due.is_some_and(|at| at <= now) {
                self.tell(now, network, port::Input::Deadline);
                self.look(now);
            }
        }
        if self.steerer.deadline().is_some_and(|at| at <= now) {
            self.steer(now, steer::Input::Deadline);
        }
    }

    /// Once a second: a reading while nothing arrives, and a look at the page.
    pub(super) fn ticks(&mut self, now: Timestamp<Raw>) {
        if now < self.awake_from {
            return;
        }
        if now >= self.observer_from {
            if self.port().state() == port::State::Initializing {
                self.open(now);
            }
            self.bridge.note(self.reading(now));
        }
        self.look(now);
    }

    /// The kernel takes a packet in and says when the programs are to be woken for it.
    pub(super) fn receives(
        &mut self,
        now: Timestamp<Raw>,
        network: usize,
        source: SocketAddrV4,
        channel: Channel,
        bytes: Buffer,
    ) -> Option<Timestamp<Raw>> {
        if now < self.observer_from {
            return None;
        }
        let is_stamped = channel == Channel::Event && now >= self.stamps_from;
        let stamp = is_stamped.then(|| self.clock.at(now));
        self.socket.push(Received { network, source, channel, bytes, stamp });
        let is_waking = std::mem::replace(&mut self.is_waking, true);
        (!is_waking).then(|| self.awake_from.max(now + WAKE_UP))
    }

    /// The programs wake up and read their sockets, first that of the event packets.
    pub(super) fn wakes(&mut self, now: Timestamp<Raw>) {
        self.is_waking = false;
        let mut waiting = std::mem::take(&mut self.socket);
        waiting.sort_by_key(|received| received.channel == Channel::General);
        for received in waiting {
            let arrived = match received.channel {
                Channel::Event => self.translate(now, received.stamp),
                Channel::General => Err(NoStamp::Missing),
            };
            let Received { network, source, channel, bytes, .. } = received;
            self.tell(now, network, port::Input::Packet { channel, bytes: &bytes, source, arrived });
        }
        self.look(now);
    }

    fn reading(&self, now: Timestamp<Raw>) -> Reading {
        Reading { raw: now, real: self.clock.at(now), width: Duration::ZERO }
    }

    /// A kernel's stamp as the program gets to know it.
    fn translate(&mut self, now: Timestamp<Raw>, stamp: Option<Timestamp<Real>>) -> Result<Stamp, NoStamp> {
        let real = stamp.ok_or(NoStamp::Missing)?;
        if self.bridge.latest().is_none_or(|latest| latest.real <= real || now - latest.raw > FRESH) {
            self.bridge.note(self.reading(now));
        }
        let raw = self.bridge.to_raw(real).map_err(|_| NoStamp::ClockStepped)?;
        Ok(Stamp { raw, real })
    }

    /// Tells a port what happened, and does what it wants.
    fn tell(&mut self, now: Timestamp<Raw>, network: usize, input: port::Input<'_>) {
        let Some(port) = self.ports.get_mut(network) else { return };
        port.handle(now, input);
        let mut samples = ArrayVec::<Sample, 8>::new();
        while let Some(output) = self.ports.get_mut(network).and_then(Port::poll) {
            match output {
                port::Output::Send { packet, token } => {
                    self.sent.push((now, network, packet));
                    let real = (now >= self.stamps_from).then(|| self.clock.at(now));
                    let stamp = self.translate(now, real);
                    if let Some(port) = self.ports.get_mut(network) {
                        port.handle(now, port::Input::Departed { token, stamp });
                    }
                }
                port::Output::Sample(sample) => samples.push(sample),
                said => self.said.port.push((now, said)),
            }
        }
        let networks: ArrayVec<Network, { redundancy::NETWORKS }> =
            self.ports.iter().map(Network::from).collect();
        let changes = self.redundancy.consider(now, &networks);
        self.said.redundancy.extend(changes.into_iter().map(|change| (now, change)));
        if network != self.redundancy.selected() {
            return;
        }
        for sample in samples {
            let own = sample.timeline == self.port().timeline();
            let timeline = if own { self.track().key.number } else { 0 };
            self.page.body.push(SampleRecord::of(&Sample { timeline, ..sample }, 0));
            self.look(now);
        }
    }

    /// dante2sys and danteshm look at the page.
    fn look(&mut self, now: Timestamp<Raw>) {
        let track = self.track();
        self.steer(now, steer::Input::Leader(track));
        let record = PortRecord::of(self.port(), "sim", StampSource::Software);
        self.page.body.ports = [PortRecord { timeline: track.key.number, ..record }; MAX_PORTS];
        let page =
            relay::Input::Page { dante4l: Some(&self.page), dante2sys: None, suspended: Duration::ZERO };
        self.relay.handle(now, page);
        while let Some(output) = self.relay.poll() {
            if !matches!(output, relay::Output::Overlay(_)) {
                self.said.relay.push((now, output));
            }
        }
    }

    fn steer(&mut self, now: Timestamp<Raw>, input: steer::Input) {
        if now < self.steerer_from {
            return;
        }
        self.steerer.handle(self.reading(now), input);
        while let Some(output) = self.steerer.poll() {
            match output {
                steer::Output::Correct(Correction::Slew(frequency)) => {
                    self.is_set(now, frequency);
                    self.said.frequencies.push((now, frequency));
                    self.steerer.handle(self.reading(now), steer::Input::Applied(frequency));
                }
                steer::Output::Correct(Correction::Step(offset)) => {
                    self.clock.step(-offset.span());
                    self.said.steps.push((now, -offset.span()));
                    self.steerer.handle(self.reading(now), steer::Input::Stepped(offset));
                }
                said => self.said.steerer.push((now, said)),
            }
        }
    }
}

fn page_of(instance: u64) -> View<Dante4l> {
    let body = Dante4l { port_count: 1, ..Dante4l::default() };
    View { freshness: Freshness::Fresh, pid: 0, instance, body }
}

fn ports_on(networks: usize, config: &PortConfig) -> Vec<Port> {
    let seeded = |network| PortConfig { seed: config.seed + network, ..config.clone() };
    (0..networks as u64).map(|network| Port::new(seeded(network))).collect()
}
