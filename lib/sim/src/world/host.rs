//! A host: clocks and sockets of its kernel, the three programs, and their clock pages.
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
use dante_core::utc::{Answer, SavedUtc, UtcRules, servers};
use rand::Rng;

/// Time from the receipt of a packet in the kernel to the wake-up of dante4l.
const WAKE_UP: Duration = Duration::from_us(30);
/// The instance number of a program's first run, in place of a random one; each later run has the next number.
const INSTANCE: u64 = 7;
/// CLOCK_MONOTONIC_RAW at the start of a host.
const UPTIME: Timestamp<Raw> = Timestamp::from_ns(1_000_000_000_000);

/// How dante4l measures the leader.
#[derive(Debug, Clone, Copy)]
pub enum Observation {
    /// By packets, with one interface on each of the first networks of the world.
    Packets {
        /// Number of networks.
        networks: usize,
    },
    /// Without packets: once a second its clock page gets the true time, with a random error, of the leader that was started last
    /// among those that send.
    Given {
        /// Standard deviation of the error, as published on the page.
        error: Uncertainty,
    },
}

/// Configuration of a host.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// How dante4l measures the leader.
    pub observation: Observation,
    /// Configuration of its ports; the seed of each port is one more than that of the port before.
    pub port: PortConfig,
    /// Rate of CLOCK_MONOTONIC_RAW against true time.
    pub raw_rate: Ratio,
    /// CLOCK_REALTIME minus UTC at the start.
    pub utc_error: Duration,
    /// UTC rules of dante2sys, which queries all NTP servers of the world.
    pub rules: UtcRules,
}

impl HostConfig {
    /// Makes the configuration of a host whose clocks have no error at the start.
    pub fn new(observation: Observation, port: PortConfig) -> Self {
        let rules = UtcRules::default();
        Self { observation, port, raw_rate: Ratio::ZERO, utc_error: Duration::ZERO, rules }
    }
}

enum Dante4lProgram {
    Packets(Box<Packets>),
    Given(Given),
}

/// A host of the world.
pub struct Host {
    config: HostConfig,
    pub(super) clock: SimClock,
    dante4l: Dante4lProgram,
    dante4l_page: SimPage<Dante4l>,
    servers: usize,
    steerer: Steerer,
    /// UTC that dante2sys saved at its end.
    saved: Option<SavedUtc>,
    /// dante2sys and danteshm have to be started before their next input.
    has_to_start: [bool; 2],
    dante2sys_page: SimPage<Dante2sys>,
    relay: Relay,
    danteshm_page: SimPage<Danteshm>,
    /// No program runs before this time.
    pub(super) stalled_until: True,
    /// NTP servers that dante2sys queries now.
    pub(super) queries: Vec<usize>,
    pub(super) records: Records,
}

impl Host {
    pub(super) fn new(config: HostConfig, servers: usize, now: True, utc: Timestamp<Real>) -> Self {
        let mut clock = SimClock::new(now, UPTIME, utc + config.utc_error, config.raw_rate);
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
            saved: None,
            has_to_start: [false; 2],
            dante2sys_page: SimPage::absent(INSTANCE, now),
            relay: relay(None, Duration::ZERO),
            danteshm_page: SimPage::absent(INSTANCE, now),
            stalled_until: now,
            queries: Vec::new(),
            records: Records::default(),
            config,
            clock,
        }
    }

    /// Returns its clocks.
    pub fn clock(&self) -> &SimClock {
        &self.clock
    }

    /// Returns the engine of dante4l, which exists with [`Observation::Packets`].
    pub fn observer(&self) -> Option<&Observer> {
        match &self.dante4l {
            Dante4lProgram::Packets(packets) => Some(&packets.observer),
            Dante4lProgram::Given(_) => None,
        }
    }

    /// Returns the port on the selected network, which exists with [`Observation::Packets`].
    pub fn port(&self) -> Option<&Port> {
        self.observer().and_then(|observer| observer.port(observer.selected()?))
    }

    /// Returns the engine of dante2sys.
    pub fn steerer(&self) -> &Steerer {
        &self.steerer
    }

    /// Returns the outputs of the engines.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// Returns the timeline on the clock page of dante4l.
    pub fn key(&self) -> TimelineKey {
        self.dante4l_page.body().key(self.dante4l_page.instance())
    }

    pub(super) fn packets(&mut self) -> Option<&mut Packets> {
        match &mut self.dante4l {
            Dante4lProgram::Packets(packets) => Some(packets),
            Dante4lProgram::Given(_) => None,
        }
    }

    /// Whether it has an interface on this network.
    pub(super) fn listens(&self, network: usize) -> bool {
        matches!(self.config.observation, Observation::Packets { networks } if network < networks)
    }

    /// Restarts dante4l, with another instance number; it is absent until `at`.
    pub(super) fn restart_observer(&mut self, at: True) {
        match &mut self.dante4l {
            Dante4lProgram::Packets(packets) => packets.restart(),
            Dante4lProgram::Given(given) => given.restart(),
        }
        self.dante4l_page.stop(at);
    }

    /// Ends dante2sys regularly and starts it at `at`; it keeps the clock's frequency, its clock page and its file of UTC.
    pub(super) fn restart_steerer(&mut self, now: True, at: True) {
        self.saved = self.steerer.utc_to_save(&self.clock.reading(now));
        self.steer(now, |_| Input::End);
        self.has_to_start[0] = true;
        self.dante2sys_page.stop(at);
    }

    /// Ends danteshm regularly and starts it at `at`; it resumes from its page.
    pub(super) fn restart_relay(&mut self, now: True, at: True) {
        self.relay(now, |_, _, _| relay::Input::End);
        self.has_to_start[1] = true;
        self.danteshm_page.stop(at);
    }

    /// Restarts the machine, which runs again from `at` on, when CLOCK_REALTIME shows `real`. The pages are lost.
    pub(super) fn restart(&mut self, now: True, at: True, real: Timestamp<Real>) {
        self.restart_observer(at);
        self.restart_steerer(now, at);
        self.restart_relay(now, at);
        self.dante4l_page = SimPage::absent(self.dante4l_page.instance(), at);
        self.dante2sys_page = SimPage::absent(self.dante2sys_page.instance(), at);
        self.danteshm_page = SimPage::absent(self.danteshm_page.instance(), at);
        self.clock = SimClock::new(at, UPTIME, real, self.config.raw_rate);
    }

    /// Returns the next deadline of the programs.
    pub(super) fn deadline(&self) -> Option<True> {
        let due = |at: Option<Timestamp<Raw>>, from: True| at.map(|at| self.clock.when(at).max(from));
        let observer = self.observer().and_then(Observer::deadline);
        let dante4l = due(observer, self.dante4l_page.written_from());
        let dante2sys = due(self.steerer.deadline(), self.dante2sys_page.written_from());
        [dante4l, dante2sys].into_iter().flatten().min().map(|at| at.max(self.stalled_until))
    }

    pub(super) fn deadlines_due(&mut self, now: True) {
        if now < self.stalled_until {
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

    /// Does the periodic work of the programs, once a second. `leader` is for [`Observation::Given`].
    pub(super) fn tick(
        &mut self,
        now: True,
        rng: &mut (impl Rng + ?Sized),
        leader: Option<(usize, &mut Led)>,
    ) {
        if now < self.stalled_until {
            return;
        }
        if !self.dante4l_page.is_written(now) {
            return self.ring_doorbell(now);
        }
        match &mut self.dante4l {
            Dante4lProgram::Packets(packets) => {
                packets.tick(now, &self.clock, &mut self.records);
            }
            Dante4lProgram::Given(given) => given.observe(now, rng, &self.clock, leader),
        }
        self.publish(now);
    }

    /// Receives a packet in the kernel. Returns the time at which dante4l has to be woken for it.
    pub(super) fn receive(&mut self, now: True, packet: Received) -> Option<True> {
        let is_there = self.dante4l_page.is_written(now);
        let Dante4lProgram::Packets(packets) = &mut self.dante4l else { return None };
        let is_to_wake = is_there && packets.receive(now, &self.clock, packet);
        is_to_wake.then(|| self.stalled_until.max(now + WAKE_UP))
    }

    /// Wakes dante4l, which reads its sockets.
    pub(super) fn wake(&mut self, now: True) {
        if let Dante4lProgram::Packets(packets) = &mut self.dante4l
            && self.dante4l_page.is_written(now)
        {
            packets.read_sockets(now, &self.clock, &mut self.records);
            self.publish(now);
        }
    }

    /// Passes the answer of an NTP server to dante2sys.
    pub(super) fn receive_answer(&mut self, now: True, server: usize, answer: Answer) {
        self.steer(now, |_| Input::Answer { server, answer });
    }

    /// Publishes the clock page of dante4l.
    fn publish(&mut self, now: True) {
        let page = match &mut self.dante4l {
            Dante4lProgram::Packets(packets) => {
                packets.observer.pages(self.clock.raw_at(now), Some(self.clock.kernel_sync())).0
            }
            Dante4lProgram::Given(given) => given.page(),
        };
        self.dante4l_page.publish(self.clock.raw_at(now), page);
        self.ring_doorbell(now);
    }

    /// Rings the doorbell of dante4l: dante2sys and danteshm read its page.
    fn ring_doorbell(&mut self, now: True) {
        self.steer(now, Input::Page);
        self.relay(now, |dante4l, dante2sys, suspended| relay::Input::Page { dante4l, dante2sys, suspended });
    }

    fn steer<'a>(&'a mut self, now: True, input: impl FnOnce(Option<&'a View<Dante4l>>) -> Input<'a>) {
        if !self.dante2sys_page.is_written(now) {
            return;
        }
        if std::mem::take(&mut self.has_to_start[0]) {
            let earlier = self.dante2sys_page.body().earlier_epoch(SteeredClock::Realtime);
            let steerer = steerer(&self.config, self.servers, &self.clock.now(now).read());
            self.steerer = steerer.resuming(earlier, self.saved);
        }
        let raw = self.clock.raw_at(now);
        let (records, queries) = (&mut self.records, &mut self.queries);
        let input = input(self.dante4l_page.read(raw));
        let state = drive(&mut self.steerer, &mut self.clock.now(now), input, |report| match report {
            Report::Output(Output::Ask(server)) => queries.push(server),
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
        if std::mem::take(&mut self.has_to_start[1]) {
            self.relay = relay(self.danteshm_page.body().published_epoch(), suspended);
        }
        let raw = self.clock.raw_at(now);
        let dante2sys = if self.relay.needs_epoch() { self.dante2sys_page.read(raw) } else { None };
        self.relay.handle(raw, input(self.dante4l_page.read(raw), dante2sys, suspended));
        while let Some(output) = self.relay.poll() {
            // No usrvclock client is simulated.
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

fn relay(published: Option<relay::PublishedEpoch>, suspended: Duration) -> Relay {
    Relay::new(relay::Config { rule: EpochRule::Now, every: None }, published, suspended)
}
