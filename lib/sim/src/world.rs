//! A simulated world in virtual time: leaders, network paths, NTP servers and hosts. It is deterministic for a seed, and
//! thousands of times faster than real time.
//!
//! It runs the engines of the programs, with the bytes of their clock pages between them; kernel, sockets and network are
//! simulated. True time runs at the rate of UTC and stands still while the hosts are suspended. CLOCK_MONOTONIC_RAW of each host
//! differs from it by a constant rate; CLOCK_REALTIME is a virtual clock that the steerer steers. Packets get timestamps of that
//! clock, as from the kernel, which are converted to CLOCK_MONOTONIC_RAW as in the programs.

mod clock;
mod events;
mod given;
mod host;
mod network;
mod packets;
mod page;
mod records;
mod servers;

pub use clock::SimClock;
pub use events::Act;
pub use host::{Host, HostConfig, Observation};
pub use network::{Faults, LeaderId, Role};
pub use records::Records;
pub use servers::NtpServer;

use crate::leader;
use dante_core::time::{Dante, Duration, Ratio, Raw, Real, Timestamp};
use events::{Agenda, Event};
use network::{Led, address};
use packets::Received;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

/// True time: a raw clock that runs at the rate of UTC.
pub type True = Timestamp<Raw>;

/// UTC at the start of the world: in November 2026.
const UTC_BEGIN: Timestamp<Real> = Timestamp::from_ns(1_795_000_000_000_000_000);
/// Interval of the periodic work of the programs.
const TICK: Duration = Duration::from_secs(1);
/// Delay of the periodic work after a full second where the clock map is given: acts planned for that second come first.
const GIVEN_DELAY: Duration = Duration::from_us(1);

/// The simulated world.
pub struct World {
    rng: Pcg64Mcg,
    now: True,
    agenda: Agenda,
    leaders: Vec<Led>,
    servers: Vec<NtpServer>,
    hosts: Vec<Host>,
    /// Total time for which the hosts were suspended.
    suspended: Duration,
    /// Until this time the kernel receives packets late, by a delay between these two.
    late: Option<(True, [Duration; 2])>,
}

impl World {
    /// True time at the start of the world, and CLOCK_MONOTONIC_RAW of its first host then.
    pub const BEGIN: True = Timestamp::from_ns(1_000_000_000_000);

    /// Makes a world with these NTP servers and one host, without a leader.
    pub fn new(seed: u64, servers: Vec<NtpServer>, first: HostConfig) -> Self {
        let mut world = Self {
            rng: Pcg64Mcg::seed_from_u64(seed),
            now: Self::BEGIN,
            agenda: Agenda::default(),
            leaders: Vec::new(),
            servers,
            hosts: Vec::new(),
            suspended: Duration::ZERO,
            late: None,
        };
        world.add_host(first);
        world
    }

    /// Starts another host now.
    pub fn add_host(&mut self, config: HostConfig) {
        self.agenda.add(self.now, Event::Tick { host: self.hosts.len() });
        let host = Host::new(config, self.servers.len(), self.now, self.utc());
        self.hosts.push(host);
    }

    /// Starts a leader now.
    pub fn lead(&mut self, role: Role) -> LeaderId {
        self.leaders.push(Led::new(role, self.now));
        LeaderId(self.leaders.len() - 1)
    }

    /// Plans `act` for `after` from now.
    pub fn plan(&mut self, after: Duration, act: Act) {
        self.agenda.add(self.now + after, Event::Act(Box::new(act)));
    }

    /// Returns the true time.
    pub fn now(&self) -> True {
        self.now
    }

    /// Returns UTC.
    pub fn utc(&self) -> Timestamp<Real> {
        UTC_BEGIN + (self.now - Self::BEGIN) + self.suspended
    }

    /// Returns the first host.
    #[expect(clippy::indexing_slicing, reason = "the world is made with it")]
    pub fn host(&self) -> &Host {
        &self.hosts[0]
    }

    /// Returns the hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Returns the NTP servers, which may be changed.
    pub fn servers(&mut self) -> &mut [NtpServer] {
        &mut self.servers
    }

    /// Drops the records of all hosts.
    pub fn clear_records(&mut self) {
        self.hosts.iter_mut().for_each(|host| host.records = Records::default());
    }

    /// Returns a leader's time now, exact to 1 ns.
    pub fn true_time(&mut self, of: LeaderId) -> Option<Timestamp<Dante>> {
        let now = self.now;
        self.leaders.get_mut(of.0).map(|led| led.leader.time_at(now))
    }

    /// Returns a leader's rate now, without white noise.
    pub fn true_rate(&mut self, of: LeaderId) -> Option<Ratio> {
        let now = self.now;
        self.leaders.get_mut(of.0).map(|led| led.leader.oscillator().slow_rate_at(now))
    }

    /// Returns the leader that was started last.
    pub fn last_leader(&self) -> Option<LeaderId> {
        self.leaders.len().checked_sub(1).map(LeaderId)
    }

    /// Returns the leader that the first host follows.
    pub fn followed(&self) -> Option<LeaderId> {
        let identity = self.host().port()?.leader()?.identity;
        self.leaders.iter().position(|led| led.config.identity == identity).map(LeaderId)
    }

    /// Advances the time by `span`.
    pub fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(at) = self.next().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.process();
        }
        self.now = until;
    }

    fn next(&self) -> Option<True> {
        let syncs = self.leaders.iter().filter(|led| self.leads(led)).map(|led| led.leader.deadline());
        let programs = self.hosts.iter().filter_map(Host::deadline);
        self.agenda.next().into_iter().chain(syncs).chain(programs).min()
    }

    /// Whether a leader sends packets: it is on, and a host is on its network.
    fn leads(&self, led: &Led) -> bool {
        !led.is_off && self.hosts.iter().any(|host| host.listens(led.network))
    }

    fn process(&mut self) {
        while let Some(event) = self.agenda.due(self.now) {
            self.handle(event);
        }
        for id in 0..self.leaders.len() {
            if self.leaders.get(id).is_some_and(|led| self.leads(led) && led.leader.deadline() <= self.now) {
                self.handle_leader(LeaderId(id), leader::Input::Deadline);
            }
        }
        self.hosts.iter_mut().for_each(|host| host.deadlines_due(self.now));
        for host in 0..self.hosts.len() {
            self.deliver_requests(host);
            self.query_servers(host);
        }
    }

    fn handle(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::ToHost { host, from, channel, bytes } => {
                let network = self.leaders.get(from.0).map_or(0, |led| led.network);
                let packet = Received { network, source: address(from), channel, bytes, timestamp: None };
                if let Some(at) = self.hosts.get_mut(host).and_then(|host| host.receive(now, packet)) {
                    self.agenda.add(at, Event::Wake { host });
                }
            }
            Event::ToLeader { to, bytes } => {
                let arrived = Ok(self.leader_timestamp());
                self.handle_leader(to, leader::Input::Packet { bytes: &bytes, arrived });
            }
            Event::Answer { host, server, answer } => {
                let stalled_until = self.hosts.get(host).map_or(now, |host| host.stalled_until);
                if now < stalled_until {
                    self.agenda.add(stalled_until, Event::Answer { host, server, answer });
                } else if let Some(host) = self.hosts.get_mut(host) {
                    host.receive_answer(now, server, answer);
                }
            }
            Event::Wake { host } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.wake(now);
                }
            }
            Event::Tick { host } => self.tick(host),
            Event::Act(act) => self.act(*act),
        }
    }

    fn tick(&mut self, number: usize) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(number) else { return };
        let leader = self.leaders.iter_mut().enumerate().rfind(|(_, led)| led.is_there(now));
        host.tick(now, &mut self.rng, leader);
        let is_first = (now - Self::BEGIN).ns() % TICK.ns() == 0;
        let delay = if is_first && host.observer().is_none() { GIVEN_DELAY } else { Duration::ZERO };
        self.agenda.add(now + TICK + delay, Event::Tick { host: number });
    }

    /// Sends a host's queries to the NTP servers.
    fn query_servers(&mut self, host: usize) {
        let utc = self.utc();
        let Some(client) = self.hosts.get_mut(host) else { return };
        for server in std::mem::take(&mut client.queries) {
            let Some(queried) = self.servers.get(server) else { continue };
            client.records.queries += 1;
            let (at, answer) = queried.answer(&mut self.rng, &client.clock, self.now, utc);
            self.agenda.add(at, Event::Answer { host, server, answer });
        }
    }
}
