//! A world of virtual time: leaders, a wire, a host. Seeded, deterministic, and thousands of times faster than life.
//!
//! The engines in it are the very ones that the programs run; only what surrounds them is made up. True time is the
//! host's CLOCK_MONOTONIC_RAW; its CLOCK_REALTIME is a clock of arithmetic that the steerer steers. Kernel stamps are
//! taken on that clock, as the kernel does, and translated back as the programs do.

mod events;
mod host;

pub use events::{Act, Faults, LeaderId, Role};
pub use host::{Host, Said};

use crate::leader::{self, Leader};
use crate::link::Profile;
use dante_core::port::{Channel, PortConfig, Stamp};
use dante_core::time::{Dante, Duration, Ratio, Raw, Timestamp};
use dante_core::wire::Buffer;
use events::Event;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A leader and its way to the host.
#[derive(Debug)]
struct Led {
    leader: Leader,
    link: Profile,
    network: usize,
    faults: Faults,
    config: leader::LeaderConfig,
    /// It does nothing while this is set.
    is_off: bool,
    /// Its cable is out until then.
    silent_until: Timestamp<Raw>,
    /// The times in its last Follow_Up, for the next one that is mispaired.
    last_follow_up: Option<Buffer>,
}

/// Where everything is tried.
pub struct World {
    rng: Pcg64Mcg,
    now: Timestamp<Raw>,
    /// By time, and among those of one time by the order in which they were made.
    events: BTreeMap<(Timestamp<Raw>, u64), Event>,
    events_made: u64,
    leaders: Vec<Led>,
    host: Host,
    /// Until then packets are taken in late, by something between these two.
    late: Option<(Timestamp<Raw>, [Duration; 2])>,
}

impl World {
    /// CLOCK_MONOTONIC_RAW when the world begins.
    pub const BEGIN: Timestamp<Raw> = Timestamp::from_ns(1_000_000_000_000);

    /// A host where nobody leads yet.
    pub fn new(seed: u64, config: PortConfig) -> Self {
        Self::of_networks(seed, config, 1)
    }

    /// The same, with an interface on each of so many networks.
    pub fn of_networks(seed: u64, config: PortConfig, networks: usize) -> Self {
        let mut world = Self {
            rng: Pcg64Mcg::seed_from_u64(seed),
            now: Self::BEGIN,
            events: BTreeMap::new(),
            events_made: 0,
            leaders: Vec::new(),
            host: Host::new(config, networks, Self::BEGIN),
            late: None,
        };
        world.schedule(Self::BEGIN, Event::Tick);
        world
    }

    /// A leader begins now.
    pub fn lead(&mut self, role: Role) -> LeaderId {
        let leader = Leader::new(role.config, role.path, self.now).after_sequence(role.sequence);
        self.leaders.push(Led {
            leader,
            link: role.link,
            network: role.network,
            faults: role.faults,
            config: role.config,
            is_off: false,
            silent_until: self.now,
            last_follow_up: None,
        });
        LeaderId(self.leaders.len() - 1)
    }

    /// Has something happen so long from now.
    pub fn plan(&mut self, after: Duration, act: Act) {
        self.schedule(self.now + after, Event::Act(Box::new(act)));
    }

    /// True time.
    pub fn now(&self) -> Timestamp<Raw> {
        self.now
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What the host has said so far is forgotten.
    pub fn forget(&mut self) {
        self.host.said = Said::default();
    }

    /// The time that a leader tells now, true to the ns.
    pub fn true_time(&mut self, of: LeaderId) -> Option<Timestamp<Dante>> {
        let now = self.now;
        self.leaders.get_mut(of.0).map(|led| led.leader.time_at(now))
    }

    /// A leader's rate now, without white noise.
    pub fn true_rate(&mut self, of: LeaderId) -> Option<Ratio> {
        let now = self.now;
        self.leaders.get_mut(of.0).map(|led| led.leader.oscillator().slow_rate_at(now))
    }

    /// The leader that the host follows.
    pub fn followed(&self) -> Option<LeaderId> {
        let identity = self.host.port().leader()?.identity;
        self.leaders.iter().position(|led| led.config.identity == identity).map(LeaderId)
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
        let syncs = self.leaders.iter().filter(|led| !led.is_off).map(|led| led.leader.deadline());
        event.into_iter().chain(syncs).chain(self.host.deadline()).min()
    }

    fn happen(&mut self) {
        while let Some(next) = self.events.first_entry().filter(|next| next.key().0 <= self.now) {
            match next.remove() {
                Event::ToHost { from, channel, bytes } => {
                    let network = self.leaders.get(from.0).map_or(0, |led| led.network);
                    if let Some(at) = self.host.receives(self.now, network, address(from), channel, bytes) {
                        self.schedule(at, Event::Wake);
                    }
                }
                Event::ToLeader { to, bytes } => {
                    let arrived = Ok(self.leaders_stamp());
                    self.leader_does(to, leader::Input::Packet { bytes: &bytes, arrived });
                }
                Event::Wake => self.host.wakes(self.now),
                Event::Tick => {
                    self.host.ticks(self.now);
                    self.schedule(self.now + Duration::from_secs(1), Event::Tick);
                }
                Event::Act(act) => self.act(*act),
            }
        }
        for id in (0..self.leaders.len()).map(LeaderId) {
            if self.leaders.get(id.0).is_some_and(|led| !led.is_off && led.leader.deadline() <= self.now) {
                self.leader_does(id, leader::Input::Deadline);
            }
        }
        self.host.minds_deadlines(self.now);
        self.deliver_requests();
    }

    /// What the host multicast goes to all leaders of that network.
    fn deliver_requests(&mut self) {
        while let Some((left, network, bytes)) = self.host.sent.pop() {
            for (id, led) in self.leaders.iter().enumerate() {
                if led.network == network && !led.is_off && led.silent_until <= self.now {
                    for _ in 0..led.link.copies(&mut self.rng) {
                        let at = left + led.link.transit_back(&mut self.rng, left);
                        self.events_made += 1;
                        let event = Event::ToLeader { to: LeaderId(id), bytes: bytes.clone() };
                        self.events.insert((at, self.events_made), event);
                    }
                }
            }
        }
    }

    fn leader_does(&mut self, id: LeaderId, input: leader::Input<'_>) {
        let (now, stamp) = (self.now, self.leaders_stamp());
        let Some(led) = self.leaders.get_mut(id.0) else { return };
        led.leader.handle(now, input);
        let mut packets = Vec::new();
        while let Some(output) = led.leader.poll() {
            match output {
                leader::Output::Sync { packet, token } => {
                    packets.push((Channel::Event, packet, Duration::ZERO));
                    led.leader.handle(now, leader::Input::Departed { token, stamp: Ok(stamp) });
                }
                // Real devices send the Follow_Up 53 to 103 us after the Sync.
                leader::Output::General { packet } => {
                    let later = Duration::from_ns(self.rng.random_range(53_000..103_000));
                    let is_follow_up = packet.len() == 52;
                    if let Some((packet, more)) = led.spoil(&mut self.rng, packet, is_follow_up) {
                        packets.push((Channel::General, packet, later + more));
                    }
                }
                leader::Output::AnotherLeader(_) => {}
            }
        }
        if led.silent_until > now {
            return;
        }
        let link = led.link;
        for (channel, bytes, later) in packets {
            for _ in 0..link.copies(&mut self.rng) {
                let left = now + later;
                let at = left + link.transit(&mut self.rng, left) + self.lateness();
                self.schedule(at, Event::ToHost { from: id, channel, bytes: bytes.clone() });
            }
        }
    }

    fn lateness(&mut self) -> Duration {
        match self.late {
            Some((until, [least, most])) if self.now < until => {
                Duration::from_ns(self.rng.random_range(least.ns()..=most.ns()))
            }
            _ => Duration::ZERO,
        }
    }

    /// The leader stamps with its own clock: only the raw time of it is looked at.
    fn leaders_stamp(&self) -> Stamp {
        Stamp { raw: self.now, real: self.host.clock().at(self.now) }
    }

    fn schedule(&mut self, at: Timestamp<Raw>, event: Event) {
        self.events_made += 1;
        self.events.insert((at, self.events_made), event);
    }
}

fn address(of: LeaderId) -> SocketAddrV4 {
    let last = u8::try_from(of.0 % 100).unwrap_or(0) + 114;
    SocketAddrV4::new(Ipv4Addr::new(169, 254, 61, last), 49_155)
}
