//! The UTC keeper: measures UTC, applies the UTC policy, and decides what the kernel publishes.
//!
//! It works beside the control law. Its inputs are the replies of the NTP servers and dante4l's clock page. It sends requests,
//! requests steps, computes the rate that the policy adds to the leader's ([`UtcKeeper::slew`]), and declares the UTC error.

use super::jump::Jump;
use super::kernel::Declared;
use super::{Output, State};
use crate::numbered;
use crate::outputs::Outputs;
use crate::page::{Dante4l, View};
use crate::time::{ClockMap, Duration, Offset, Ratio, Raw, Reading, Timestamp};
use crate::timescale::Replaced;
use crate::track::TimelineKey;
use crate::utc::servers::{self, Servers};
use crate::utc::{Answer, Leap, UNDECLARED_ERROR, UtcError, UtcMeasurement, UtcRules, UtcServo, is_leap_day};

/// Time between two measurements of UTC by the leader's time, with --utc leader.
const LEADER_INTERVAL: Duration = Duration::from_secs(16);
/// Largest uncertainty of the leader's rate for such a measurement.
const LEADER_MAX_RATE_SIGMA: Ratio = Ratio::from_ppb(200.0);
/// Time between two declarations to the kernel. In between the kernel's maxerror grows by 500 us a second.
const DECLARE_INTERVAL: Duration = Duration::from_secs(4);
/// Change of the rate of a clock map that its measurements do not explain, in standard deviations of the older map: the outlier test
/// lets no measurement change it by more. And the least such change that matters for UTC.
const RATE_CHANGE_SIGMAS: f64 = 6.0;
const MIN_RATE_CHANGE: Ratio = Ratio::from_ppb(10.0);
/// Longest interval of the rounds in holdover, where UTC is predicted by this host's oscillator.
const HOLDOVER_INTERVAL: Duration = Duration::from_secs(128);
/// Shortest time between two changes of the clock map that shorten the interval of the rounds.
const HASTENED_APART: Duration = Duration::from_secs(3600);
/// The largest error that the kernel keeps (NTP_PHASE_LIMIT, include/linux/timex.h).
const MAX_KERNEL_ERROR: Duration = Duration::from_secs(16);

numbered! {
    /// The source of UTC. The numbers are those on the pages.
    pub enum UtcSource {
        /// None: only the rate is steered.
        None = 0 "none",
        /// NTP servers.
        Ntp = 1 "ntp",
        /// The leader, whose time is UTC.
        Leader = 2 "leader",
    }
}

/// The source of UTC and its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UtcConfig {
    /// None: only the rate is steered.
    #[default]
    None,
    /// NTP servers.
    Ntp {
        /// Number of servers, at most [`servers::MAX_SERVERS`].
        servers: usize,
        /// Shortest time between two rounds of requests.
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

/// What the UTC error of the clock is computed from, beside the measurements.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// The steerer's state.
    pub state: State,
    /// The leader's clock map, if a leader was ever followed.
    pub map: Option<ClockMap>,
    /// The frequency in force.
    pub frequency: Ratio,
}

/// Keeps the clock's UTC.
#[derive(Debug)]
pub struct UtcKeeper {
    source: Source,
    servo: UtcServo,
    agreeing: u8,
    steps: u64,
    /// The leader's time is its uptime, not UTC: this long, on this timeline, when it was last measured.
    uptime: Option<(TimelineKey, Duration)>,
    /// The timeline for which that was reported.
    uptime_reported: Option<TimelineKey>,
    /// When a change of the clock map last shortened the interval of the rounds.
    hastened_at: Option<Timestamp<Raw>>,
    /// The last declaration to the kernel, and its time.
    is_synchronised: Option<bool>,
    declared_at: Option<Timestamp<Raw>>,
    /// The next declaration must not announce a leap second. A step clears the kernel's leap instant (ntp_clear,
    /// kernel/time/ntp.c) but not its state TIME_INS or TIME_DEL, so that the leap second would not happen. One declaration without
    /// it resets that state; the next one announces it again.
    is_leap_withheld: bool,
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
            servo: UtcServo::new(rules),
            agreeing: 0,
            steps: 0,
            uptime: None,
            uptime_reported: None,
            hastened_at: None,
            is_synchronised: None,
            declared_at: None,
            is_leap_withheld: true,
            outputs: Outputs::default(),
        }
    }

    /// Whether there is a source of UTC, and it has not given UTC yet.
    pub(super) fn needs_utc(&self) -> bool {
        !matches!(self.source, Source::None) && self.servo.measured_at().is_none()
    }

    /// Continues with the rate that the policy of an earlier run added to the leader's, until UTC is measured.
    pub(super) fn resume_slew(&mut self, slew: Ratio) {
        self.servo.resume_slew(slew);
    }

    pub(super) fn poll(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// When [`Self::update`] is due; `None` without servers.
    pub(super) fn deadline(&self) -> Option<Timestamp<Raw>> {
        match &self.source {
            Source::Ntp(servers) => servers.deadline(),
            Source::None | Source::Leader { .. } => None,
        }
    }

    /// Does what is due: sends requests to NTP servers, or measures UTC by the leader. `page` is dante4l's clock page if it shows a
    /// leader, `map` the clock map that is followed. Returns whether UTC was measured.
    pub(super) fn update(
        &mut self,
        now: Timestamp<Raw>,
        page: Option<&View<Dante4l>>,
        map: Option<&ClockMap>,
    ) -> bool {
        let measurement = match &self.source {
            Source::Ntp(_) => self.drive_servers(now, servers::Input::Deadline),
            Source::Leader { next } if now >= *next => self.measure_by_leader(now, page),
            Source::None | Source::Leader { .. } => None,
        };
        measurement.inspect(|measurement| self.observe(measurement, map)).is_some()
    }

    /// Handles the result of a request. Returns whether UTC was measured.
    pub(super) fn answered(
        &mut self,
        now: Timestamp<Raw>,
        (server, answer): (usize, Answer),
        map: Option<&ClockMap>,
    ) -> bool {
        let measurement = self.drive_servers(now, servers::Input::Answer { server, answer });
        measurement.inspect(|measurement| self.observe(measurement, map)).is_some()
    }

    fn drive_servers(&mut self, now: Timestamp<Raw>, input: servers::Input) -> Option<UtcMeasurement> {
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

    fn measure_by_leader(
        &mut self,
        now: Timestamp<Raw>,
        page: Option<&View<Dante4l>>,
    ) -> Option<UtcMeasurement> {
        let View { instance, body, .. } = page?;
        let track = body.track(*instance);
        let map = track.live_map()?;
        let sigma = map.uncertainty_at(now);
        if sigma.rate > LEADER_MAX_RATE_SIGMA {
            return None;
        }
        self.source = Source::Leader { next: now + LEADER_INTERVAL };
        let dante = map.dante_at(now);
        let utc_offset_s = i64::from(body.utc_offset_s().unwrap_or(0));
        let utc = Timestamp::from_ns(dante.ns()) - Duration::from_secs(utc_offset_s);
        let is_uptime = utc < self.servo.rules().earliest;
        self.uptime = is_uptime.then(|| (track.key, dante - Timestamp::ZERO));
        if is_uptime {
            return None;
        }
        let margin = sigma.offset * 3;
        let server_error = UNDECLARED_ERROR;
        let (leap, smear) = (Leap::None, None);
        Some(UtcMeasurement { raw: now, utc, margin, server_error, leap, agreeing: 1, answered: 1, smear })
    }

    /// The clock follows the leader on this timeline. Reports once for each timeline that its time is its uptime: after the leader
    /// itself was reported, and not of a leader that is not followed.
    pub(super) fn follows(&mut self, key: TimelineKey) {
        if let Some((measured, uptime)) = self.uptime
            && measured == key
            && self.uptime_reported.replace(key) != Some(key)
        {
            self.outputs.push(Output::LeaderIsUptime(uptime));
        }
    }

    pub(super) fn observe(&mut self, measurement: &UtcMeasurement, map: Option<&ClockMap>) {
        let event = self.servo.observe(measurement, map);
        self.outputs.extend(event.map(Output::Utc));
        if let Source::Ntp(servers) = &mut self.source {
            let has_outlier = self.servo.has_outlier();
            let interval = self.servo.interval(servers.interval());
            servers.set_interval(if has_outlier { Duration::ZERO } else { interval });
        }
    }

    /// Computes the rate that the policy adds from now on. It is computed from scratch each time, so that a correction ends when
    /// it is done, also where no server replies any more. Returns the step that the policy requests: clock minus its right value.
    pub(super) fn keep(&mut self, now: &Reading, run: &Run) -> Option<Offset> {
        if matches!(run.state, State::Refused | State::Yielded) {
            return None;
        }
        if let (State::Holdover, Source::Ntp(servers)) = (run.state, &mut self.source) {
            servers.limit_interval(HOLDOVER_INTERVAL);
        }
        let error = self.error(now, run)?;
        let (step, event) = self.servo.step_wanted(now.raw, &error);
        self.outputs.extend(event.map(Output::Utc));
        // A slew is relative to the leader's rate, which the clock follows in these states only.
        if matches!(run.state, State::Locked | State::Holdover) {
            let event = self.servo.slewed(&error);
            self.outputs.extend(event.map(Output::Utc));
        }
        step
    }

    /// The clock's UTC error; `None` before the first measurement.
    pub(super) fn error(&self, now: &Reading, run: &Run) -> Option<UtcError> {
        let rate = match (run.map, run.state) {
            (Some(map), State::Locked | State::Holdover) => (map.line.rate, map.uncertainty_at(now.raw).rate),
            _ => (run.frequency, Ratio::ZERO),
        };
        self.servo.error(now.raw, now.real, rate, run.map.as_ref())
    }

    /// Returns what the kernel is to publish, if a declaration is due.
    pub(super) fn declare(&self, now: &Reading, run: &Run) -> Option<Declared> {
        if matches!(self.source, Source::None) || matches!(run.state, State::Refused | State::Yielded) {
            return None;
        }
        let error = self.error(now, run);
        let max_error = error.map_or(MAX_KERNEL_ERROR, |error| error.bound);
        let is_synchronised =
            error.is_some() && max_error < self.servo.rules().max_error && !self.servo.is_set_by_hand();
        let is_early = self.declared_at.is_some_and(|at| now.raw - at < DECLARE_INTERVAL);
        if self.is_synchronised == Some(is_synchronised) && is_early {
            return None;
        }
        let est_error = error.map_or(MAX_KERNEL_ERROR, |error| error.error.span().abs() + error.sigma);
        let may_leap = is_leap_day(now.real) && !self.is_leap_withheld;
        let leap = if may_leap { self.servo.leap() } else { Leap::None };
        Some(if is_synchronised {
            Declared::Synchronised { max_error, est_error, leap }
        } else {
            Declared::Unsynchronised { max_error }
        })
    }

    /// The kernel accepted a declaration.
    pub(super) fn declared(&mut self, now: Timestamp<Raw>, quality: Declared) {
        let was_synchronised = self.is_synchronised.replace(quality.is_synchronised());
        (self.is_leap_withheld, self.declared_at) = (false, Some(now));
        match (quality.is_synchronised(), was_synchronised) {
            (true, None | Some(false)) => self.outputs.push(Output::Synchronised(quality.max_error())),
            (false, Some(true)) => self.outputs.push(Output::Unsynchronised(quality.max_error())),
            _ => {}
        }
    }

    /// After a step the kernel declares the clock unsynchronised, and does not apply a pending leap second.
    fn withhold_leap(&mut self) {
        (self.is_leap_withheld, self.declared_at) = (true, None);
    }

    /// The clock was stepped as requested.
    pub(super) fn stepped(&mut self, now: Timestamp<Raw>) {
        self.withhold_leap();
        self.steps += 1;
        self.servo.stepped(now);
    }

    /// The clock jumped without a request.
    pub(super) fn clock_jumped(&mut self, by: Duration, jump: Jump, state: State) {
        self.withhold_leap();
        match jump {
            Jump::Set if state == State::Yielded => {}
            Jump::Set => self.servo.clock_set_by_hand(),
            Jump::Leap => self.servo.leap_passed(by),
            Jump::Slept => {}
        }
    }

    /// A jump classified as [`Jump::Set`] was a leap second.
    pub(super) fn was_leap(&mut self, by: Duration, was_set_by_hand: bool) {
        self.servo.leap_passed(by);
        self.servo.mark_set_by_hand(was_set_by_hand);
    }

    /// Another program steers the clock. `was_set_by_hand`, if that program set the clock just before: whether the clock counted as
    /// set by hand before that; the step of that program does not count as one by hand.
    pub(super) fn yielded(&mut self, was_set_by_hand: Option<bool>) {
        if let Some(was_set_by_hand) = was_set_by_hand {
            self.servo.mark_set_by_hand(was_set_by_hand);
        }
        self.servo.yielded();
    }

    /// The clock map `after` is followed in place of `before`; `replaced` if it does not continue it. `is_one_estimate`: both are of
    /// one timeline, so that the measurements of the first are in the second.
    pub(super) fn map_changed(
        &mut self,
        now: Timestamp<Raw>,
        (before, after): (&ClockMap, &ClockMap),
        replaced: Option<Replaced>,
        is_one_estimate: bool,
    ) {
        if replaced.is_some() {
            // UTC does not move with the map: it is estimated against CLOCK_MONOTONIC_RAW until the new map is settled.
            self.servo.rebase(now, Some(before), None);
            return self.measure_soon(now);
        }
        let change = (after.line.rate - before.line.rate).abs();
        let sigma = before.uncertainty_at(now).rate.fraction();
        if is_one_estimate && change > Ratio::new(sigma * RATE_CHANGE_SIGMAS) + MIN_RATE_CHANGE {
            // The leader's rate has changed, or that of CLOCK_MONOTONIC_RAW: UTC will show which.
            self.servo.doubt_rate(now, change + after.sigma.rate);
            self.measure_soon(now);
        }
    }

    /// Measures UTC at the shortest interval, which grows again as the estimate allows; once in an hour, so that changes of the
    /// leader do not cause requests at a rate that servers refuse.
    fn measure_soon(&mut self, now: Timestamp<Raw>) {
        if let Source::Ntp(servers) = &mut self.source
            && self.hastened_at.is_none_or(|at| now - at >= HASTENED_APART)
        {
            self.hastened_at = Some(now);
            servers.set_interval(Duration::ZERO);
        }
    }

    /// The epoch offset (K) is final: UTC is estimated against the leader's time as soon as that is the better base.
    pub(super) fn prefer_leader(&mut self, now: Timestamp<Raw>, map: &ClockMap) {
        if !self.servo.is_on_leader() && self.servo.prefers_leader(now, map) {
            self.servo.rebase(now, None, Some(map));
        }
    }

    /// The host was suspended: CLOCK_MONOTONIC_RAW stood still, and measurements against it are void.
    pub(super) fn slept(&mut self, now: Timestamp<Raw>) {
        self.servo.slept();
        self.drive_servers(now, servers::Input::Restart);
        if let Source::Leader { next } = &mut self.source {
            *next = now;
        }
    }

    /// The UTC policy and the UTC estimate.
    pub fn servo(&self) -> &UtcServo {
        &self.servo
    }

    /// The rate that the policy adds to the leader's.
    pub fn slew(&self) -> Ratio {
        self.servo.slew()
    }

    /// The source of UTC.
    pub fn source(&self) -> UtcSource {
        match self.source {
            Source::None => UtcSource::None,
            Source::Ntp(_) => UtcSource::Ntp,
            Source::Leader { .. } => UtcSource::Leader,
        }
    }

    /// Time between two measurements of UTC; zero without a source.
    pub fn interval(&self) -> Duration {
        match &self.source {
            Source::None => Duration::ZERO,
            Source::Ntp(servers) => servers.interval(),
            Source::Leader { .. } => LEADER_INTERVAL,
        }
    }

    /// Number of servers that agreed in the last round.
    pub fn agreeing(&self) -> u8 {
        self.agreeing
    }

    /// Whether the leader's time is its uptime, not UTC: [`UtcConfig::Leader`] cannot work with it.
    pub fn leader_is_uptime(&self) -> bool {
        self.uptime.is_some()
    }

    /// Number of steps made to correct the UTC error.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Whether the clock's time may be written to the RTC: UTC is synchronised, or there is no source of UTC to check it by.
    pub fn may_write_rtc(&self, now: &Reading, run: &Run) -> bool {
        match (&self.source, run.state) {
            (_, State::Refused | State::Yielded) => false,
            (Source::None, _) => run.map.is_some() && now.real > self.servo.rules().earliest,
            (_, State::Locked | State::Holdover) => self.is_synchronised(),
            _ => false,
        }
    }

    /// Whether the clock is declared synchronised to the kernel.
    pub fn is_synchronised(&self) -> bool {
        self.is_synchronised == Some(true)
    }
}
