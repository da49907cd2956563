//! A host: a kernel with its clocks and sockets, the three programs, and the pages between them.
//!
//! ```text
//! packets -> dante4l =page=> dante2sys -> CLOCK_REALTIME
//!                      |         | page
//!                      +====> danteshm -> samples
//! ```

use super::given::Given;
use super::packets::{Packets, Received};
use super::page::SimPage;
use super::{Led, Records, SimClock, True};
use dante_core::observe::Observer;
use dante_core::page::{Dante2sys, Dante4l, Danteshm, View};
use dante_core::port::{Port, PortConfig};
use dante_core::relay::{self, EpochRule, Relay};
use dante_core::steer::{
    Clock, ClockState, Config, Input, Output, Report, SteeredClock, Steerer, UtcConfig, drive,
};
use dante_core::time::{Duration, Ratio, Raw, Real, Timestamp, Uncertainty};
use dante_core::track::TimelineKey;
use dante_core::utc::{Answer, UtcRules, servers};
use rand::Rng;

/// What the host's kernel does between a packet and the program.
const WAKE_UP: Duration = Duration::from_us(30);
/// The random number of a program's first run; those after it count on.
const INSTANCE: u64 = 7;
/// CLOCK_MONOTONIC_RAW when a host begins.
const UPTIME: Timestamp<Raw> = Timestamp::from_ns(1_000_000_000_000);

/// How a host gets to know the leader.
#[derive(Debug, Clone, Copy)]
pub enum Observation {
    /// By packets, on an interface on each of the world's first networks.
    Packets {
        /// So many.
        networks: usize,
    },
    /// Once a second the page of dante4l has the true line of the leader that began last and is there, but for an
    /// error of this standard deviation.
    Given {
        /// It is stated on the page.
        error: Uncertainty,
    },
}

/// A host.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// How it gets to know the leader.
    pub observation: Observation,
    /// Of its ports; the seed counts on from one to the next.
    pub port: PortConfig,
    /// The rate of its oscillator against true time.
    pub raw_rate: Ratio,
    /// By so much CLOCK_REALTIME is ahead of UTC when it begins.
    pub ahead: Duration,
    /// What dante2sys does about UTC. It asks all of the world's time servers.
    pub rules: UtcRules,
}

impl HostConfig {
    /// A host whose clocks are right.
    pub fn new(observation: Observation, port: PortConfig) -> Self {
        let rules = UtcRules::default();
        Self { observation, port, raw_rate: Ratio::ZERO, ahead: Duration::ZERO, rules }
    }
}

enum Dante4lProgram {
    Packets(Box<Packets>),
    Given(Given),
}

/// One of the hosts.
pub struct Host {
    config: HostConfig,
    pub(super) clock: SimClock,
    dante4l: Dante4lProgram,
    dante4l_page: SimPage<Dante4l>,
    servers: usize,
    steerer: Steerer,
    /// dante2sys and danteshm begin at their next look: until then nothing of them runs.
    begins: [bool; 2],
    dante2sys_page: SimPage<Dante2sys>,
    relay: Relay,
    danteshm_page: SimPage<Danteshm>,
    /// No program runs before that.
    pub(super) awake_from: True,
    /// Time servers that are to be asked.
    pub(super) asked: Vec<usize>,
    pub(super) records: Records,
}

impl Host {
    pub(super) fn new(config: HostConfig, servers: usize, now: True, utc: Timestamp<Real>) -> Self {
        let mut clock = SimClock::new(now, UPTIME, utc + config.ahead, config.raw_rate);
        let dante4l = match config.observation {
            Observation::Packets { networks } => {
                Dante4lProgram::Packets(Box::new(Packets::new(config.port.clone(), networks, now)))
            }
            Observation::Given { error } => Dante4lProgram::Given(Given::new(error)),
        };
        Self {
            dante4l,
            dante4l_page: SimPage::absent(INSTANCE, now),
            servers,
            steerer: steerer(&config, servers, &clock.now(now).read()),
            begins: [false; 2],
            dante2sys_page: SimPage::absent(INSTANCE, now),
            relay: relay(None, Duration::ZERO),
            danteshm_page: SimPage::absent(INSTANCE, now),
            awake_from: now,
            asked: Vec::new(),
            records: Records::default(),
            config,
            clock,
        }
    }

    /// Its clocks.
    pub fn clock(&self) -> &SimClock {
        &self.clock
    }

    /// The engine of dante4l, where it observes packets.
    pub fn observer(&self) -> Option<&Observer> {
        match &self.dante4l {
            Dante4lProgram::Packets(packets) => Some(&packets.observer),
            Dante4lProgram::Given(_) => None,
        }
    }

    /// The port on the network that is used, where packets are observed.
    pub fn port(&self) -> Option<&Port> {
        self.observer().and_then(|observer| observer.port(observer.selected()))
    }

    /// The engine of dante2sys.
    pub fn steerer(&self) -> &Steerer {
        &self.steerer
    }

    /// What the engines reported.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The timeline on the page of dante4l.
    pub fn key(&self) -> TimelineKey {
        self.dante4l_page.body().key(self.dante4l_page.instance())
    }

    pub(super) fn packets(&mut self) -> Option<&mut Packets> {
        match &mut self.dante4l {
            Dante4lProgram::Packets(packets) => Some(packets),
            Dante4lProgram::Given(_) => None,
        }
    }

    /// Whether it is on this network.
    pub(super) fn listens(&self, network: usize) -> bool {
        matches!(self.config.observation, Observation::Packets { networks } if network < networks)
    }

    /// A new dante4l, under a new random number, runs from `at` on.
    pub(super) fn restart_observer(&mut self, at: True) {
        match &mut self.dante4l {
            Dante4lProgram::Packets(packets) => packets.restart(),
            Dante4lProgram::Given(given) => given.restart(),
        }
        self.dante4l_page.stop(at);
    }

    /// A new dante2sys, which knows only what frequency the clock runs at. The one before ends in good order.
    pub(super) fn restart_steerer(&mut self, now: True, at: True) {
        self.steer(now, |_| Input::End);
        self.begins[0] = true;
        self.dante2sys_page.stop(at);
    }

    /// A new danteshm, which goes on from the page of the one before.
    pub(super) fn restart_relay(&mut self, now: True, at: True) {
        self.relay(now, |_, _, _| relay::Input::End);
        self.begins[1] = true;
        self.danteshm_page.stop(at);
    }

    /// When the programs want to do something.
    pub(super) fn deadline(&self) -> Option<True> {
        let due = |at: Option<Timestamp<Raw>>, from: True| at.map(|at| self.clock.when(at).max(from));
        let observer = self.observer().and_then(Observer::deadline);
        let dante4l = due(observer, self.dante4l_page.written_from());
        let dante2sys = due(self.steerer.deadline(), self.dante2sys_page.written_from());
        [dante4l, dante2sys].into_iter().flatten().min().map(|at| at.max(self.awake_from))
    }

    pub(super) fn deadlines_due(&mut self, now: True) {
        if now < self.awake_from {
            return;
        }
        if let Dante4lProgram::Packets(packets) = &mut self.dante4l
            && self.dante4l_page.is_written(now)
            && packets.deadlines_due(now, &self.clock, &mut self.records)
        {
            self.publish(now);
        }
        if self.steerer.deadline().is_some_and(|at| at <= self.clock.raw_at(now)) {
            self.steer(now, Input::Page);
        }
    }

    /// Once a second the programs look around. `leader` is what dante4l is given of, where it is given.
    pub(super) fn tick(
        &mut self,
        now: True,
        rng: &mut (impl Rng + ?Sized),
        leader: Option<(usize, &mut Led)>,
    ) {
        if now < self.awake_from {
            return;
        }
        if !self.dante4l_page.is_written(now) {
            return self.ring(now);
        }
        match &mut self.dante4l {
            Dante4lProgram::Packets(packets) => {
                packets.look_around(now, &self.clock, &mut self.records);
            }
            Dante4lProgram::Given(given) => given.observe(now, rng, &self.clock, leader),
        }
        self.publish(now);
    }

    /// The kernel takes a packet in and says when dante4l is to be woken for it.
    pub(super) fn receives(&mut self, now: True, packet: Received) -> Option<True> {
        let is_there = self.dante4l_page.is_written(now);
        let Dante4lProgram::Packets(packets) = &mut self.dante4l else { return None };
        let is_to_wake = is_there && packets.receives(now, &self.clock, packet);
        is_to_wake.then(|| self.awake_from.max(now + WAKE_UP))
    }

    /// dante4l wakes up and reads its sockets.
    pub(super) fn wake(&mut self, now: True) {
        if let Dante4lProgram::Packets(packets) = &mut self.dante4l
            && self.dante4l_page.is_written(now)
        {
            packets.read_sockets(now, &self.clock, &mut self.records);
            self.publish(now);
        }
    }

    /// The answer of a time server.
    pub(super) fn answered(&mut self, now: True, server: usize, answer: Answer) {
        self.steer(now, |_| Input::Answer { server, answer });
    }

    /// dante4l publishes.
    fn publish(&mut self, now: True) {
        let page = match &mut self.dante4l {
            Dante4lProgram::Packets(packets) => packets.observer.pages(Some(self.clock.kernel_sync())).0,
            Dante4lProgram::Given(given) => given.page(),
        };
        self.dante4l_page.publish(self.clock.raw_at(now), page);
        self.ring(now);
    }

    /// dante4l's doorbell: dante2sys and danteshm read its page.
    fn ring(&mut self, now: True) {
        self.steer(now, Input::Page);
        self.relay(now, |dante4l, dante2sys, suspended| relay::Input::Page { dante4l, dante2sys, suspended });
    }

    fn steer<'a>(&'a mut self, now: True, input: impl FnOnce(Option<&'a View<Dante4l>>) -> Input<'a>) {
        if !self.dante2sys_page.is_written(now) {
            return;
        }
        if std::mem::take(&mut self.begins[0]) {
            self.steerer = steerer(&self.config, self.servers, &self.clock.now(now).read());
        }
        let raw = self.clock.raw_at(now);
        let (records, asked) = (&mut self.records, &mut self.asked);
        let input = input(self.dante4l_page.read(raw));
        let state = drive(&mut self.steerer, &mut self.clock.now(now), input, |report| match report {
            Report::Output(Output::Ask(server)) => asked.push(server),
            Report::Output(output) => records.steerer.push((now, output)),
            Report::Frequency(frequency) => records.frequencies.push((now, frequency)),
            Report::Step(by) => records.steps.push((now, by)),
            Report::Leftover(_) | Report::Failed(_) => {}
        });
        let (kind, origin) = (SteeredClock::Realtime, self.dante2sys_page.instance());
        self.dante2sys_page.publish(raw, &Dante2sys::of(&self.steerer, kind, origin, &state.reading));
    }

    fn relay<'a>(
        &'a mut self,
        now: True,
        input: impl FnOnce(Option<&'a View<Dante4l>>, Option<&'a View<Dante2sys>>, Duration) -> relay::Input<'a>,
    ) {
        if !self.danteshm_page.is_written(now) {
            return;
        }
        let suspended = self.clock.suspended();
        if std::mem::take(&mut self.begins[1]) {
            self.relay = relay(self.danteshm_page.body().published_epoch(), suspended);
        }
        let raw = self.clock.raw_at(now);
        let dante2sys = if self.relay.needs_epoch() { self.dante2sys_page.read(raw) } else { None };
        self.relay.handle(raw, input(self.dante4l_page.read(raw), dante2sys, suspended));
        while let Some(output) = self.relay.poll() {
            // Nobody here reads a usrvclock.
            if !matches!(output, relay::Output::Overlay(_)) {
                self.records.relay.push((now, output));
            }
        }
        self.danteshm_page.publish(raw, &self.relay.page());
    }
}

fn steerer(config: &HostConfig, count: usize, clock: &ClockState) -> Steerer {
    let servers = UtcConfig::Ntp { servers: count, shortest_interval: servers::INTERVALS.0 };
    let utc = if count > 0 { servers } else { UtcConfig::None };
    let frequency = clock.kernel.map_or(Ratio::ZERO, |kernel| kernel.frequency);
    Steerer::new(Config { rules: config.rules, utc, ..Config::default() }, clock, frequency)
}

fn relay(told: Option<relay::PublishedEpoch>, suspended: Duration) -> Relay {
    Relay::new(relay::Config { rule: EpochRule::Now, every: None }, told, suspended)
}
