//! Applies the UTC policy to the UTC error: when the clock is stepped, and how far its rate is kept from the leader's.

use super::Leap;
use super::drift::Observed;
use super::estimate::{BOUND_SIGMAS, UtcError, UtcEstimate};
use super::policy::{Policy, UtcRules};
use super::servers::UtcMeasurement;
use crate::time::{ClockMap, Duration, Offset, Ratio, Raw, Real, Timestamp};
use std::fmt;

/// Bounds of the time constant for the uncertain part of the UTC error. Long enough to keep the servers' noise out of the rate,
/// short enough to correct the error within a day.
const CORRECTION_TIME: (Duration, Duration) = (Duration::from_secs(64), Duration::from_secs(4 * 3600));
/// Slewing starts when the uncertainty of the leader's rate against UTC is below this. `slew` changes the rate by little and can
/// wait; with `utc` the UTC error grows by up to 66 us a second until then.
const SLEW_MAX_RATE_SIGMA: Ratio = Ratio::from_ppm(2.5);
const UTC_MAX_RATE_SIGMA: Ratio = Ratio::from_ppm(5.0);
/// Time constant for the part of the UTC error that exceeds its uncertainty.
const CERTAIN_TIME: Duration = Duration::from_secs(256);

/// An event of the UTC estimate or the UTC policy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum UtcEvent {
    /// A time before the program was built or after 2200: ignored.
    Implausible(Timestamp<Real>),
    /// The measured UTC differs from the predicted by this much: rejected for now.
    Outlier(Duration),
    /// Such measurements have agreed for long enough: accepted.
    Restarted(Duration),
    /// The clock has this UTC error, small enough to start without a step.
    Initialised(Offset),
    /// The rates of UTC and leader differ by more than the policy may correct: the UTC error grows at this rate.
    Drifts(Ratio),
    /// The policy can correct the difference of the rates again.
    Holds,
    /// The clock was set by hand: its UTC error is not corrected.
    SetByHand,
    /// The clock, set by hand, agrees with UTC again: its UTC error is corrected again.
    Resumed,
}

impl fmt::Display for UtcEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Implausible(utc) => {
                write!(f, "NTP server returned an implausible time ({} s since 1970): ignored", utc.ns() / 1_000_000_000)
            }
            Self::Outlier(off) => {
                write!(f, "measured UTC differs by {:+.6} s from the expected: rejected as outlier for now", off.secs_f64())
            }
            Self::Restarted(off) => {
                write!(f, "measured UTC differs by {:+.6} s from the expected for long enough: accepted", off.secs_f64())
            }
            Self::Initialised(error) => {
                write!(f, "UTC error is {:+.6} s, within --first-step-threshold: no step", error.span().secs_f64())
            }
            Self::Drifts(rate) => write!(
                f,
                "rates of leader and UTC differ by more than the policy may correct: UTC error grows by {:+.1} ppm, {:+.2} s a day",
                rate.ppm(),
                rate.fraction() * 86_400.0
            ),
            Self::Holds => f.write_str("rates of leader and UTC differ by less again: UTC error no longer grows"),
            Self::SetByHand => f.write_str(
                "clock was set by hand: UTC error is no longer corrected; restart dante2sys to correct it again",
            ),
            Self::Resumed => f.write_str("clock agrees with UTC again: UTC error is corrected again"),
        }
    }
}

/// The UTC servo.
#[derive(Debug, Clone)]
pub struct UtcServo {
    rules: UtcRules,
    utc: UtcEstimate,
    /// The UTC error was small enough at the start, or the clock was stepped.
    is_initialised: bool,
    /// The clock was set by hand: its UTC error is not corrected.
    is_set_by_hand: bool,
    /// That was reported.
    is_set_by_hand_reported: bool,
    has_drifted: bool,
    stepped_at: Option<Timestamp<Raw>>,
    /// The rate added to the leader's, and the part of it that is the rate of UTC and no correction of the UTC error.
    slew: Ratio,
    steady: Ratio,
}

impl UtcServo {
    /// Returns a servo without measurements.
    pub fn new(rules: UtcRules) -> Self {
        Self {
            rules,
            utc: UtcEstimate::default(),
            is_initialised: false,
            is_set_by_hand: false,
            is_set_by_hand_reported: false,
            has_drifted: false,
            stepped_at: None,
            slew: Ratio::ZERO,
            steady: Ratio::ZERO,
        }
    }

    /// Updates the estimate with a measurement; `map` is the leader's.
    pub(crate) fn observe(
        &mut self,
        measurement: &UtcMeasurement,
        map: Option<&ClockMap>,
    ) -> Option<UtcEvent> {
        match self.utc.observe(measurement, map, self.rules.earliest) {
            None => Some(UtcEvent::Implausible(measurement.utc)),
            Some(Observed::Accepted | Observed::Late) => None,
            Some(Observed::Outlier(off)) => Some(UtcEvent::Outlier(off)),
            Some(Observed::Restarted(off)) => {
                // As at the start: the clock was set by measurements that no longer count.
                self.is_initialised = false;
                Some(UtcEvent::Restarted(off))
            }
        }
    }

    /// The UTC error of a clock that shows `real` at `raw` and would run at `rate` without a correction of UTC.
    pub(crate) fn error(
        &self,
        raw: Timestamp<Raw>,
        real: Timestamp<Real>,
        rate: (Ratio, Ratio),
        map: Option<&ClockMap>,
    ) -> Option<UtcError> {
        self.utc.error(raw, real, rate, map)
    }

    /// Returns the step that the policy requests now: clock minus its right value.
    pub(crate) fn step_wanted(
        &mut self,
        now: Timestamp<Raw>,
        error: &UtcError,
    ) -> (Option<Offset>, Option<UtcEvent>) {
        let size = error.error.span().abs();
        if self.is_set_by_hand {
            let agrees = size <= self.rules.first_step;
            self.is_set_by_hand = !agrees;
            // A clock that was set to UTC is corrected as before.
            let event = match (agrees, std::mem::replace(&mut self.is_set_by_hand_reported, !agrees)) {
                (true, true) => Some(UtcEvent::Resumed),
                (false, false) => Some(UtcEvent::SetByHand),
                (true, false) | (false, true) => None,
            };
            return (None, event);
        }
        if !self.is_initialised {
            if size > self.rules.first_step {
                return (Some(error.error), None);
            }
            self.is_initialised = true;
            return (None, Some(UtcEvent::Initialised(error.error)));
        }
        let is_early = self.stepped_at.is_some_and(|at| now - at < UtcRules::STEPS_APART);
        let is_known = error.sigma * BOUND_SIGMAS < self.rules.step_threshold;
        let is_due = self.rules.policy == Policy::Step && size > self.rules.step_threshold;
        ((is_due && is_known && !is_early).then_some(error.error), None)
    }

    /// Computes the rate that the policy adds to the leader's from now on.
    pub(crate) fn slewed(&mut self, error: &UtcError) -> Option<UtcEvent> {
        let bound = self.rules.slew_bound();
        let max_rate_sigma =
            if self.rules.policy == Policy::Utc { UTC_MAX_RATE_SIGMA } else { SLEW_MAX_RATE_SIGMA };
        if self.is_set_by_hand || self.rules.policy == Policy::Step {
            self.stop_slewing();
            return None;
        }
        if !self.is_initialised {
            return None;
        }
        // A rate that certainly exceeds the bound is corrected by the bound, however uncertain it is. With `utc` it is enough that
        // the rate certainly differs from zero: nothing else corrects UTC.
        let exceeded = if self.rules.policy == Policy::Utc { Ratio::ZERO } else { bound };
        let is_beyond =
            error.leader_rate.abs() > exceeded + error.leader_rate_sigma + error.leader_rate_sigma;
        if error.leader_rate_sigma > max_rate_sigma && !is_beyond {
            return None;
        }
        let seconds = error.sigma.secs_f64() / error.leader_rate_sigma.fraction();
        let time = Duration::from_secs_f64(seconds).clamp(CORRECTION_TIME.0, CORRECTION_TIME.1);
        // The correction of the UTC error is bounded by `max_slew`, whatever the rate of UTC.
        let off = error.error.span();
        let uncertain = error.sigma * BOUND_SIGMAS;
        let certain = off - off.min(uncertain).max(-uncertain);
        let correction = (-(off - certain) / time + -certain / CERTAIN_TIME).clamp(self.rules.max_slew);
        self.slew = (-error.leader_rate + correction).clamp(bound);
        self.steady = (-error.leader_rate).clamp(bound);
        let left_over = error.leader_rate + self.slew;
        let (rate, sigma) = (error.leader_rate.abs(), error.leader_rate_sigma);
        let drifts = if self.has_drifted { rate + sigma > bound } else { rate > bound + sigma };
        let changed = drifts != self.has_drifted;
        self.has_drifted = drifts;
        changed.then_some(if drifts { UtcEvent::Drifts(left_over) } else { UtcEvent::Holds })
    }

    /// The clock was stepped to correct its UTC error.
    pub(crate) fn stepped(&mut self, now: Timestamp<Raw>) {
        self.stepped_at = Some(now);
        // A step before the first measurement was by UTC of an earlier run, which is to be confirmed.
        self.is_initialised |= self.utc.is_known();
    }

    /// Corrects whether the clock counts as set by hand.
    pub(crate) fn mark_set_by_hand(&mut self, is_set_by_hand: bool) {
        self.is_set_by_hand = is_set_by_hand;
        self.is_set_by_hand_reported &= is_set_by_hand;
    }

    /// The clock was set by hand: stops correcting UTC, if UTC was measured. [`Self::step_wanted`] reports it, unless the clock agrees
    /// with UTC, or was set by a program that steers it.
    pub(crate) fn clock_set_by_hand(&mut self) {
        if self.utc.is_known() {
            self.is_set_by_hand = true;
            self.stop_slewing();
        }
    }

    /// UTC moved by a leap second, and the clock with it.
    pub(crate) fn leap_passed(&mut self, by: Duration) {
        self.utc.leap_passed(by);
    }

    /// The host was suspended: the measurements are void, and the first step may follow as at the start.
    pub(crate) fn slept(&mut self) {
        self.utc.slept();
        self.mark_set_by_hand(false);
        self.yielded();
    }

    /// Another program steers the clock: the first step may follow as at the start, unless the clock was set by hand.
    pub(crate) fn yielded(&mut self) {
        self.is_initialised = false;
        self.stop_slewing();
    }

    /// Continues with the rate that an earlier run added to the leader's, until UTC is measured.
    pub(crate) fn resume_slew(&mut self, slew: Ratio) {
        self.slew = slew.clamp(self.rules.slew_bound());
        self.steady = self.slew;
    }

    fn stop_slewing(&mut self) {
        (self.slew, self.steady) = (Ratio::ZERO, Ratio::ZERO);
    }

    /// Whether the base of the estimate is the leader's time.
    pub(crate) fn is_on_leader(&self) -> bool {
        self.utc.is_on_leader()
    }

    /// Whether the leader's time is known well enough to be the better base.
    pub(crate) fn prefers_leader(&self, now: Timestamp<Raw>, map: &ClockMap) -> bool {
        self.utc.prefers_leader(now, map)
    }

    /// Continues the estimate against another base: the leader's time, or, without a map, CLOCK_MONOTONIC_RAW.
    pub(crate) fn rebase(&mut self, now: Timestamp<Raw>, from: Option<&ClockMap>, to: Option<&ClockMap>) {
        self.utc.rebase(now, from, to);
    }

    /// The rate of the leader or of this host may have changed by this: the measurements decide again.
    pub(crate) fn doubt_rate(&mut self, now: Timestamp<Raw>, change: Ratio) {
        self.utc.doubt_rate(now, change);
    }

    /// When UTC was last measured.
    pub(crate) fn measured_at(&self) -> Option<Timestamp<Raw>> {
        self.utc.measured_at()
    }

    /// The rate added to the leader's to correct UTC.
    pub fn slew(&self) -> Ratio {
        self.slew
    }

    /// The part of it that remains where no later correction follows: the rate of UTC, without the correction of the UTC error.
    pub fn steady_slew(&self) -> Ratio {
        self.steady
    }

    /// Whether the last measurement was rejected as an outlier: then the servers receive requests as often as allowed.
    pub fn has_outlier(&self) -> bool {
        self.utc.has_outlier()
    }

    /// The UTC policy and its bounds.
    pub fn rules(&self) -> &UtcRules {
        &self.rules
    }

    /// A leap second at the end of the UTC day, as the servers announce it.
    pub fn leap(&self) -> Leap {
        self.utc.leap()
    }

    /// Whether the clock was set by hand, so that its UTC error is not corrected.
    pub fn is_set_by_hand(&self) -> bool {
        self.is_set_by_hand
    }

    /// Returns the next interval of measurements, given the current one.
    pub fn interval(&self, current: Duration) -> Duration {
        self.utc.interval(current)
    }
}

#[cfg(test)]
mod tests;
