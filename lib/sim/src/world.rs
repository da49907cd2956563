//! A world of virtual time: leaders, wires, time servers, hosts. Seeded, deterministic, and thousands of times faster
//! than life.
//!
//! The engines in it are the very ones that the programs run, and real pages pass between them; only what surrounds them
//! is made up. True time runs as UTC does, and leaves out what the hosts sleep through. Each host's CLOCK_MONOTONIC_RAW
//! runs off it at a constant rate; its CLOCK_REALTIME is a clock of arithmetic that the steerer steers. Kernel stamps
//! are taken on that clock, as the kernel does, and translated back as the programs do.

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

/// True time, as if of a raw clock that runs exactly as UTC does.
pub type True = Timestamp<Raw>;

/// UTC when the world begins: in November 2026.
const UTC_BEGIN: Timestamp<Real> = Timestamp::from_ns(1_795_000_000_000_000_000);
/// The programs look around so often.
const TICK: Duration = Duration::from_secs(1);
/// Where dante4l is given, it looks so long after a full second: what is planned for that second comes before.
const GIVEN_LATE: Duration = Duration::from_us(1);

/// Where everything is tried.
pub struct World {
    rng: Pcg64Mcg,
    now: True,
    agenda: Agenda,
    leaders: Vec<Led>,
    servers: Vec<NtpServer>,
    hosts: Vec<Host>,
    /// So much of UTC the hosts slept through.
    slept: Duration,
    /// Until then packets are taken in late, by something between these two.
    late: Option<(True, [Duration; 2])>,
}

impl World {
    /// True time when the world begins, and CLOCK_MONOTONIC_RAW of its first host.
    pub const BEGIN: True = Timestamp::from_ns(1_000_000_000_000);

    /// A host among these time servers, where nobody leads yet.
    pub fn new(seed: u64, servers: Vec<NtpServer>, first: HostConfig) -> Self {
        let mut world = Self {
            rng: Pcg64Mcg::seed_from_u64(seed),
            now: Self::BEGIN,
            agenda: Agenda::default(),
            leaders: Vec::new(),
            servers,
            hosts: Vec::new(),
            slept: Duration::ZERO,
            late: None,
        };
        world.add_host(first);
        world
    }

    /// Another host begins now.
    pub fn add_host(&mut self, config: HostConfig) {
        self.agenda.add(self.now, Event::Tick { host: self.hosts.len() });
        let host = Host::new(config, self.servers.len(), self.now, self.utc());
        self.hosts.push(host);
    }

    /// A leader begins now.
    pub fn lead(&mut self, role: Role) -> LeaderId {
        self.leaders.push(Led::new(role, self.now));
        LeaderId(self.leaders.len() - 1)
    }

    /// Has something happen so long from now.
    pub fn plan(&mut self, after: Duration, act: Act) {
        self.agenda.add(self.now + after, Event::Act(Box::new(act)));
    }

    /// True time.
    pub fn now(&self) -> True {
        self.now
    }

    /// UTC.
    pub fn utc(&self) -> Timestamp<Real> {
        UTC_BEGIN + (self.now - Self::BEGIN) + self.slept
    }

    /// The first host.
    #[expect(clippy::indexing_slicing, reason = "the world is made with it")]
    pub fn host(&self) -> &Host {
        &self.hosts[0]
    }

    /// All of them.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The time servers, to be changed.
    pub fn servers(&mut self) -> &mut [NtpServer] {
        &mut self.servers
    }

    /// What the hosts have reported so far is dropped.
    pub fn forget(&mut self) {
        self.hosts.iter_mut().for_each(|host| host.records = Records::default());
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

    /// The leader that began last.
    pub fn last_leader(&self) -> Option<LeaderId> {
        self.leaders.len().checked_sub(1).map(LeaderId)
    }

    /// The leader that the first host follows.
    pub fn followed(&self) -> Option<LeaderId> {
        let identity = self.host().port()?.leader()?.identity;
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

    fn next(&self) -> Option<True> {
        let syncs = self.leaders.iter().filter(|led| self.leads(led)).map(|led| led.leader.deadline());
        let programs = self.hosts.iter().filter_map(Host::deadline);
        self.agenda.next().into_iter().chain(syncs).chain(programs).min()
    }

    /// Whether a leader sends anything: nobody is there to whom it would be of use otherwise.
    fn leads(&self, led: &Led) -> bool {
        !led.is_off && self.hosts.iter().any(|host| host.listens(led.network))
    }

    fn happen(&mut self) {
        while let Some(event) = self.agenda.due(self.now) {
            self.pass(event);
        }
        for id in 0..self.leaders.len() {
            if self.leaders.get(id).is_some_and(|led| self.leads(led) && led.leader.deadline() <= self.now) {
                self.leader_does(LeaderId(id), leader::Input::Deadline);
            }
        }
        self.hosts.iter_mut().for_each(|host| host.deadlines_due(self.now));
        for host in 0..self.hosts.len() {
            self.deliver_requests(host);
            self.ask_servers(host);
        }
    }

    fn pass(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::ToHost { host, from, channel, bytes } => {
                let network = self.leaders.get(from.0).map_or(0, |led| led.network);
                let packet = Received { network, source: address(from), channel, bytes, stamp: None };
                if let Some(at) = self.hosts.get_mut(host).and_then(|host| host.receives(now, packet)) {
                    self.agenda.add(at, Event::Wake { host });
                }
            }
            Event::ToLeader { to, bytes } => {
                let arrived = Ok(self.leaders_stamp());
                self.leader_does(to, leader::Input::Packet { bytes: &bytes, arrived });
            }
            Event::Answer { host, server, answer } => {
                let awake = self.hosts.get(host).map_or(now, |host| host.awake_from);
                if now < awake {
                    self.agenda.add(awake, Event::Answer { host, server, answer });
                } else if let Some(host) = self.hosts.get_mut(host) {
                    host.answered(now, server, answer);
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
        let late = if is_first && host.observer().is_none() { GIVEN_LATE } else { Duration::ZERO };
        self.agenda.add(now + TICK + late, Event::Tick { host: number });
    }

    /// A host's questions go to the time servers.
    fn ask_servers(&mut self, host: usize) {
        let utc = self.utc();
        let Some(asker) = self.hosts.get_mut(host) else { return };
        for server in std::mem::take(&mut asker.asked) {
            let Some(asked) = self.servers.get(server) else { continue };
            asker.records.questions += 1;
            let (at, answer) = asked.answer(&mut self.rng, &asker.clock, self.now, utc);
            self.agenda.add(at, Event::Answer { host, server, answer });
        }
    }
}
