//! The UTC keeper: where UTC comes from, what the policy makes of it, and what the kernel publishes of it.
//!
//! An engine beside the law. It takes the answers of the time servers and the page of dante4l; it queries servers,
//! wants steps, names the rate that the policy adds to the leader's ([`UtcKeeper::slew`]), and judges the clock.

use super::jump::Jump;
use super::kernel::Declared;
use super::{Output, State};
use crate::numbered;
use crate::outputs::Outputs;
use crate::page::{Dante4l, View};
use crate::time::{ClockMap, Duration, Offset, Ratio, Raw, Reading, Timestamp};
use crate::utc::servers::{self, Servers};
use crate::utc::{Answer, Leap, UtcError, UtcMeasurement, UtcRules, UtcServo, is_leap_day};

/// How often the leader's time is taken for UTC, and from which knowledge of its rate on.
const LEADER_INTERVAL: Duration = Duration::from_secs(16);
const LEADER_FROM: Ratio = Ratio::from_ppb(200.0);
/// What the kernel publishes is renewed so often: between, its maxerror grows by 500 us a second.
const DECLARED_EVERY: Duration = Duration::from_secs(4);
/// The largest error that the kernel keeps (NTP_PHASE_LIMIT, include/linux/timex.h).
const UNKNOWN: Duration = Duration::from_secs(16);

numbered! {
    /// Where UTC comes from, by name. The numbers are those on the pages.
    pub enum UtcSource {
        /// Nowhere: the rate alone is steered.
        None = 0 "none",
        /// NTP servers.
        Ntp = 1 "ntp",
        /// The leader, whose time is UTC.
        Leader = 2 "leader",
    }
}

/// Where UTC comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UtcConfig {
    /// Nowhere: the rate alone is steered.
    #[default]
    None,
    /// NTP servers.
    Ntp {
        /// How many, at most [`servers::MAX_SERVERS`].
        servers: usize,
        /// Rounds of questions are at least this far apart.
        shortest_interval: Duration,
    },
    /// The leader's own time.
    Leader,
}

#[derive(Debug)]
enum Source {
    None,
    Ntp(Box<Servers>),
    Leader { next: Timestamp<Raw> },
}

/// How the clock runs: what its UTC is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// The steerer's state.
    pub state: State,
    /// The leader's clock map, if one was ever followed.
    pub map: Option<ClockMap>,
    /// The frequency in force.
    pub frequency: Ratio,
}

/// The keeper.
#[derive(Debug)]
pub struct UtcKeeper {
    source: Source,
    keeper: UtcServo,
    agreeing: u8,
    steps: u64,
    /// The leader's time is its uptime, and no UTC.
    is_uptime: bool,
    /// What was declared to the kernel last, and when.
    is_good: Option<bool>,
    declared_at: Option<Timestamp<Raw>>,
    /// No leap second is to be declared to the kernel now: a step makes it forget the instant, but not that one is due, and
    /// then none comes (ntp_clear, kernel/time/ntp.c). Withdrawn for a while and declared again, it is armed again.
    is_disarmed: bool,
    outputs: Outputs<Output, 16>,
}

impl UtcKeeper {
    pub(super) fn new(config: UtcConfig, rules: UtcRules, now: Timestamp<Raw>) -> Self {
        let source = match config {
            UtcConfig::None => Source::None,
            UtcConfig::Ntp { servers, shortest_interval } => {
                Source::Ntp(Box::new(Servers::new(servers, now).with_shortest_interval(shortest_interval)))
            }
            UtcConfig::Leader => Source::Leader { next: now },
        };
        Self {
            source,
            keeper: UtcServo::new(rules),
            agreeing: 0,
            steps: 0,
            is_uptime: false,
            is_good: None,
            declared_at: None,
            is_disarmed: true,
            outputs: Outputs::default(),
        }
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// When [`Self::look`] is due; `None` without servers.
    pub(super) fn deadline(&self) -> Option<Timestamp<Raw>> {
        match &self.source {
            Source::Ntp(servers) => servers.deadline(),
            Source::None | Source::Leader { .. } => None,
        }
    }

    /// What is due now; `page` is dante4l's, if it shows a leader, and `map` the map that the clock is held by. Whether
    /// UTC was measured.
    pub(super) fn look(
        &mut self,
        now: Timestamp<Raw>,
        page: Option<&View<Dante4l>>,
        map: Option<&ClockMap>,
    ) -> bool {
        let measurement = match &self.source {
            Source::Ntp(_) => self.serve(now, servers::Input::Deadline),
            Source::Leader { next } if now >= *next => self.look_at_leader(now, page),
            Source::None | Source::Leader { .. } => None,
        };
        measurement.inspect(|measurement| self.observe(measurement, map)).is_some()
    }

    /// A server answered, or did not. Whether UTC was measured.
    pub(super) fn answered(
        &mut self,
        now: Timestamp<Raw>,
        (server, answer): (usize, Answer),
        map: Option<&ClockMap>,
    ) -> bool {
        let measurement = self.serve(now, servers::Input::Answer { server, answer });
        measurement.inspect(|measurement| self.observe(measurement, map)).is_some()
    }

    fn serve(&mut self, now: Timestamp<Raw>, input: servers::Input) -> Option<UtcMeasurement> {
        let Source::Ntp(servers) = &mut self.source else { return None };
        servers.handle(now, input);
        let mut measurement = None;
        while let Some(output) = servers.poll() {
            match output {
                servers::Output::Ask(server) => self.outputs.push(Output::Ask(server)),
                servers::Output::Round(round) => {
                    self.agreeing = round.map_or(0, |measurement| measurement.agreeing);
                    self.outputs.push(Output::Round(round));
                    measurement = round.ok();
                }
            }
        }
        measurement
    }

    fn look_at_leader(
        &mut self,
        now: Timestamp<Raw>,
        page: Option<&View<Dante4l>>,
    ) -> Option<UtcMeasurement> {
        let View { instance, body, .. } = page?;
        let track = body.track(*instance);
        let map = track.live_map()?;
        let sigma = map.uncertainty_at(now);
        if sigma.rate > LEADER_FROM {
            return None;
        }
        self.source = Source::Leader { next: now + LEADER_INTERVAL };
        let dante = map.dante_at(now);
        let ahead = i64::from(body.utc_offset_s().unwrap_or(0));
        let utc = Timestamp::from_ns(dante.ns()) - Duration::from_secs(ahead);
        self.is_uptime = utc < self.keeper.rules().earliest;
        if self.is_uptime {
            self.outputs.push(Output::LeaderIsUptime(dante - Timestamp::ZERO));
            return None;
        }
        let margin = sigma.offset * 3;
        Some(UtcMeasurement { raw: now, utc, margin, leap: Leap::None, agreeing: 1, answered: 1 })
    }

    pub(super) fn observe(&mut self, measurement: &UtcMeasurement, map: Option<&ClockMap>) {
        let news = self.keeper.observe(measurement, map);
        self.outputs.extend(news.map(Output::Date));
        if let Source::Ntp(servers) = &mut self.source {
            let is_doubted = self.keeper.is_doubted();
            let interval = self.keeper.interval(servers.interval());
            servers.set_interval(if is_doubted { Duration::ZERO } else { interval });
        }
    }

    /// Finds the rate that the policy adds from now on, each time from scratch, so that a correction ends when it is done,
    /// also where no server answers any more. Returns the step that the policy wants: the clock minus what is right.
    pub(super) fn keep(&mut self, now: &Reading, run: &Run) -> Option<Offset> {
        if matches!(run.state, State::Refused | State::Yielded) {
            return None;
        }
        let error = self.error(now, run)?;
        let (step, news) = self.keeper.step_wanted(now.raw, &error);
        self.outputs.extend(news.map(Output::Date));
        // Nothing runs off a rate that is not held.
        if matches!(run.state, State::Locked | State::Holdover) {
            let news = self.keeper.slewed(&error);
            self.outputs.extend(news.map(Output::Date));
        }
        step
    }

    /// What the clock's UTC is worth; `None` before the first measurement.
    pub(super) fn error(&self, now: &Reading, run: &Run) -> Option<UtcError> {
        let (rate, held) = match (run.map, run.state) {
            (Some(map), State::Locked) => ((map.line.rate, map.uncertainty_at(now.raw).rate), None),
            (Some(map), State::Holdover) => {
                let sigma = map.uncertainty_at(now.raw);
                // Nobody measures the leader, against whose time UTC is known.
                ((map.line.rate, sigma.rate), Some(sigma.offset))
            }
            _ => ((run.frequency, Ratio::ZERO), None),
        };
        let mut error = self.keeper.error(now.raw, now.real, rate, run.map.as_ref())?;
        if let Some(sigma) = held {
            error.bound = error.bound + sigma * 3;
            error.sigma = Duration::from_secs_f64(error.sigma.secs_f64().hypot(sigma.secs_f64()));
        }
        Some(error)
    }

    /// What the kernel is to publish, if that is due.
    pub(super) fn declare(&self, now: &Reading, run: &Run) -> Option<Declared> {
        if matches!(self.source, Source::None) || matches!(run.state, State::Refused | State::Yielded) {
            return None;
        }
        let error = self.error(now, run);
        let max_error = error.map_or(UNKNOWN, |error| error.bound);
        let is_good = error.is_some() && max_error < self.keeper.rules().max_error && !self.keeper.is_left();
        let is_early = self.declared_at.is_some_and(|at| now.raw - at < DECLARED_EVERY);
        if self.is_good == Some(is_good) && is_early {
            return None;
        }
        let est_error = error.map_or(UNKNOWN, |error| error.error.span().abs() + error.sigma);
        let may_leap = is_leap_day(now.real) && !self.is_disarmed;
        let leap = if may_leap { self.keeper.leap() } else { Leap::None };
        Some(if is_good {
            Declared::Good { max_error, est_error, leap }
        } else {
            Declared::Bad { max_error }
        })
    }

    pub(super) fn declared(&mut self, now: Timestamp<Raw>, quality: Declared) {
        let was_good = self.is_good.replace(quality.is_good());
        (self.is_disarmed, self.declared_at) = (false, Some(now));
        match (quality.is_good(), was_good) {
            (true, None | Some(false)) => self.outputs.push(Output::Synchronised(quality.max_error())),
            (false, Some(true)) => self.outputs.push(Output::Unsynchronised(quality.max_error())),
            _ => {}
        }
    }

    /// By a step the kernel declares the clock bad, and loses a leap second.
    fn disarm(&mut self) {
        (self.is_disarmed, self.declared_at) = (true, None);
    }

    /// The clock was stepped as it was wanted.
    pub(super) fn stepped(&mut self, now: Timestamp<Raw>) {
        self.disarm();
        self.steps += 1;
        self.keeper.stepped(now);
    }

    /// The clock jumped by nothing that was asked for.
    pub(super) fn clock_jumped(&mut self, by: Duration, jump: Jump, state: State) {
        self.disarm();
        match jump {
            Jump::Set if state == State::Yielded => {}
            Jump::Set => self.outputs.extend(self.keeper.leave().map(Output::Date)),
            Jump::Leap => self.keeper.leap_passed(by),
            Jump::Slept => {}
        }
    }

    /// A jump that was taken for somebody's doing was a leap second.
    pub(super) fn was_leap(&mut self, by: Duration, was_left: bool) {
        self.keeper.leap_passed(by);
        self.keeper.set_left(was_left);
    }

    /// Another program has the clock. `was_left`: a jump just before was that program's, and nobody's will; whether UTC
    /// was left as set by hand before it.
    pub(super) fn yielded(&mut self, was_left: Option<bool>) {
        if let Some(was_left) = was_left {
            self.keeper.set_left(was_left);
        }
        self.keeper.yielded();
    }

    /// The leader's time is another from now on; `before` is the map of the old one.
    pub(super) fn leader_changed(&mut self, now: Timestamp<Raw>, before: Option<&ClockMap>) {
        self.keeper.rebase(now, before, None);
    }

    /// K stands: UTC is kept against the leader's time once that is the better base.
    pub(super) fn prefer_leader(&mut self, now: Timestamp<Raw>, map: &ClockMap) {
        if !self.keeper.is_on_leader() && self.keeper.prefers_leader(now, map) {
            self.keeper.rebase(now, None, Some(map));
        }
    }

    /// CLOCK_MONOTONIC_RAW stood still, and with it all that was measured against it.
    pub(super) fn slept(&mut self, now: Timestamp<Raw>) {
        self.keeper.slept();
        self.serve(now, servers::Input::Restart);
        if let Source::Leader { next } = &mut self.source {
            *next = now;
        }
    }

    /// The policy and what is known of UTC.
    pub fn keeper(&self) -> &UtcServo {
        &self.keeper
    }

    /// The rate that the policy adds to the leader's.
    pub fn slew(&self) -> Ratio {
        self.keeper.slew()
    }

    /// Where UTC comes from.
    pub fn source(&self) -> UtcSource {
        match self.source {
            Source::None => UtcSource::None,
            Source::Ntp(_) => UtcSource::Ntp,
            Source::Leader { .. } => UtcSource::Leader,
        }
    }

    /// How far apart the measurements of UTC are; zero without a source.
    pub fn interval(&self) -> Duration {
        match &self.source {
            Source::None => Duration::ZERO,
            Source::Ntp(servers) => servers.interval(),
            Source::Leader { .. } => LEADER_INTERVAL,
        }
    }

    /// How many servers agreed in the last round.
    pub fn agreeing(&self) -> u8 {
        self.agreeing
    }

    /// The leader's time is its uptime, and no UTC: [`UtcConfig::Leader`] is of no use with it.
    pub fn leader_is_uptime(&self) -> bool {
        self.is_uptime
    }

    /// Steps of the clock to correct its UTC.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether the clock shows a UTC that the RTC should show too: a good one, or, without a source of UTC, the only one.
    pub fn is_worth_keeping(&self, now: &Reading, run: &Run) -> bool {
        match (&self.source, run.state) {
            (_, State::Refused | State::Yielded) => false,
            (Source::None, _) => run.map.is_some() && now.real > self.keeper.rules().earliest,
            (_, State::Locked | State::Holdover) => self.is_good(),
            _ => false,
        }
    }

    /// Whether UTC was declared good to the kernel.
    pub fn is_good(&self) -> bool {
        self.is_good == Some(true)
    }
}
