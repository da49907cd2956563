//! What the policy makes of the UTC error: when the clock is stepped, and how far its rate is kept off the leader's.

use super::Leap;
use super::drift::Taken;
use super::estimate::{BOUND_SIGMAS, UtcError, UtcEstimate};
use super::policy::{Policy, UtcRules};
use super::servers::UtcMeasurement;
use crate::time::{ClockMap, Duration, Offset, Ratio, Raw, Real, Timestamp};
use std::fmt;

/// Bounds of the time in which a policy that slews brings the date right: long enough that the servers' noise does not
/// reach the rate, short enough to be done within a day.
const DATE_TIME: (Duration, Duration) = (Duration::from_secs(64), Duration::from_secs(4 * 3600));
/// The clock's rate is left alone until UTC's rate against the leader's is known to this, or better: the policy that
/// slews by little for the date's sake can wait, the one that runs at UTC's rate loses up to 66 us a second.
const SLEW_FROM: Ratio = Ratio::from_ppm(2.5);
const RUN_FROM: Ratio = Ratio::from_ppm(5.0);
/// Time constant for the part of the UTC error that exceeds its uncertainty.
const CERTAIN_TIME: Duration = Duration::from_secs(256);

/// What is to be said of the date.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum UtcEvent {
    /// A date from before the program was built, or from a time that nobody will see: refused.
    Absurd(Timestamp<Real>),
    /// The servers tell a time so far from what was expected that it is not believed yet.
    Doubted(Duration),
    /// They told it for so long that it is.
    Believed(Duration),
    /// The date was right at the start, or was set: this far off UTC.
    Good(Offset),
    /// UTC and leader differ by more than the policy may slew: the date drifts at this rate.
    Drifts(Ratio),
    /// It does not any more.
    Holds,
    /// Somebody set another date: it is left as it is.
    Left,
    /// The date that somebody set came to agree with the servers: the policy rules again.
    Resumed,
}

impl fmt::Display for UtcEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absurd(utc) => {
                write!(f, "a server tells a date that cannot be ({} s since 1970): refused", utc.ns() / 1_000_000_000)
            }
            Self::Doubted(off) => {
                write!(f, "the servers suddenly tell a time {:+.6} s off what was expected: not believed yet", off.secs_f64())
            }
            Self::Believed(off) => {
                write!(f, "the servers have told a time {:+.6} s off for long enough: believed", off.secs_f64())
            }
            Self::Good(error) => write!(f, "the date is right: {:+.6} s off UTC", error.span().secs_f64()),
            Self::Drifts(rate) => write!(
                f,
                "leader and UTC differ by more than the clock may be slewed: the date drifts by {:+.1} ppm, {:+.2} s a day",
                rate.ppm(),
                rate.fraction() * 86_400.0
            ),
            Self::Holds => f.write_str("the date is held again"),
            Self::Left => f.write_str(
                "the date that was set by hand is left as it is; restart dante2sys to have it from the servers again",
            ),
            Self::Resumed => f.write_str("the date agrees with the servers again, and is kept from now on"),
        }
    }
}

/// The keeper.
#[derive(Debug, Clone)]
pub struct UtcServo {
    rules: UtcRules,
    utc: UtcEstimate,
    /// The date was right once, or was set.
    is_set: bool,
    /// Somebody set another date by hand.
    is_left: bool,
    has_drifted: bool,
    stepped_at: Option<Timestamp<Raw>>,
    /// What is added to the leader's rate, and the part of it that is no correction of the date but the rate of UTC.
    slew: Ratio,
    steady: Ratio,
}

impl UtcServo {
    /// A keeper that knows nothing yet.
    pub fn new(rules: UtcRules) -> Self {
        Self {
            rules,
            utc: UtcEstimate::default(),
            is_set: false,
            is_left: false,
            has_drifted: false,
            stepped_at: None,
            slew: Ratio::ZERO,
            steady: Ratio::ZERO,
        }
    }

    /// Takes in what the servers say; `map` is the leader's.
    pub(crate) fn observe(
        &mut self,
        measurement: &UtcMeasurement,
        map: Option<&ClockMap>,
    ) -> Option<UtcEvent> {
        match self.utc.observe(measurement, map, self.rules.earliest) {
            None => Some(UtcEvent::Absurd(measurement.utc)),
            Some(Taken::In) => None,
            Some(Taken::Doubted(off)) => Some(UtcEvent::Doubted(off)),
            Some(Taken::Restart(off)) => {
                // As at the start: what was set before was set to something else.
                self.is_set = false;
                Some(UtcEvent::Believed(off))
            }
        }
    }

    /// The UTC error of a clock that shows `date` at `raw` and would run at `rate`, if UTC were not steered to.
    pub(crate) fn error(
        &self,
        raw: Timestamp<Raw>,
        date: Timestamp<Real>,
        rate: (Ratio, Ratio),
        map: Option<&ClockMap>,
    ) -> Option<UtcError> {
        self.utc.error(raw, date, rate, map)
    }

    /// The step that the policy wants now: the clock minus what is right.
    pub(crate) fn step_wanted(
        &mut self,
        now: Timestamp<Raw>,
        error: &UtcError,
    ) -> (Option<Offset>, Option<UtcEvent>) {
        let size = error.error.span().abs();
        if self.is_left {
            let agrees = size <= self.rules.first_step;
            self.is_left = !agrees;
            return (None, agrees.then_some(UtcEvent::Resumed));
        }
        if !self.is_set {
            if size > self.rules.first_step {
                return (Some(error.error), None);
            }
            self.is_set = true;
            return (None, Some(UtcEvent::Good(error.error)));
        }
        let is_early = self.stepped_at.is_some_and(|at| now - at < UtcRules::STEPS_APART);
        let is_known = error.sigma * BOUND_SIGMAS < self.rules.step_threshold;
        let is_due = self.rules.policy == Policy::Step && size > self.rules.step_threshold;
        ((is_due && is_known && !is_early).then_some(error.error), None)
    }

    /// The rate that the policy adds to the leader's from now on.
    pub(crate) fn slewed(&mut self, error: &UtcError) -> Option<UtcEvent> {
        let bound = self.rules.slew_bound();
        let known_from = if self.rules.policy == Policy::Utc { RUN_FROM } else { SLEW_FROM };
        if self.is_left || !self.is_set || self.rules.policy == Policy::Step {
            self.stop_slewing();
            return None;
        }
        // Where they certainly differ by more than the bound, it does not matter by how much; and where nothing but UTC's rate
        // holds the date, half of it known is better than nothing.
        let surely = if self.rules.policy == Policy::Utc { Ratio::ZERO } else { bound };
        let is_beyond = error.leader_rate.abs() > surely + error.leader_rate_sigma + error.leader_rate_sigma;
        if error.leader_rate_sigma > known_from && !is_beyond {
            return None;
        }
        let seconds = error.sigma.secs_f64() / error.leader_rate_sigma.fraction();
        let time = Duration::from_secs_f64(seconds).clamp(DATE_TIME.0, DATE_TIME.1);
        // However far UTC's rate is from the leader's, a date that is off is brought right gently.
        let off = error.error.span();
        let doubtful = error.sigma * BOUND_SIGMAS;
        let certain = off - off.min(doubtful).max(-doubtful);
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

    /// The clock was stepped for the date's sake.
    pub(crate) fn stepped(&mut self, now: Timestamp<Raw>) {
        self.stepped_at = Some(now);
        self.is_set = true;
    }

    /// Whether the date is left as somebody set it, after all.
    pub(crate) fn set_left(&mut self, is_left: bool) {
        self.is_left = is_left;
    }

    /// Somebody set the clock: his date is left as it is.
    pub(crate) fn leave(&mut self) -> Option<UtcEvent> {
        self.utc.is_known().then(|| {
            self.is_left = true;
            self.stop_slewing();
            UtcEvent::Left
        })
    }

    /// UTC moved by a leap second, as the clock did.
    pub(crate) fn leap_passed(&mut self, by: Duration) {
        self.utc.leap_passed(by);
    }

    /// The raw clock stood still: all that was measured against it is void, and the date is to be set as at the start.
    pub(crate) fn slept(&mut self) {
        self.utc.slept();
        self.is_left = false;
        self.yielded();
    }

    /// Another program controls the clock: it is to be set as at the start once it is taken again, unless its date was set by hand.
    pub(crate) fn yielded(&mut self) {
        self.is_set = false;
        self.stop_slewing();
    }

    fn stop_slewing(&mut self) {
        (self.slew, self.steady) = (Ratio::ZERO, Ratio::ZERO);
    }

    /// Whether UTC is measured against the leader's time.
    pub(crate) fn is_on_leader(&self) -> bool {
        self.utc.is_on_leader()
    }

    /// Whether the leader's time is known so well that it is the better base.
    pub(crate) fn prefers_leader(&self, now: Timestamp<Raw>, map: &ClockMap) -> bool {
        self.utc.prefers_leader(now, map)
    }

    /// Measures UTC against another base: the leader's time, or, without a map, the raw clock.
    pub(crate) fn rebase(&mut self, now: Timestamp<Raw>, from: Option<&ClockMap>, to: Option<&ClockMap>) {
        self.utc.rebase(now, from, to);
    }

    /// The rate that is added to the leader's for the date's sake.
    pub fn slew(&self) -> Ratio {
        self.slew
    }

    /// The part of it that is to stay when nobody looks at the clock any more: the rate of UTC, without what corrects the date.
    pub fn steady_slew(&self) -> Ratio {
        self.steady
    }

    /// The servers' last measurement is not accepted yet: they are to be asked as often as may be.
    pub fn is_doubted(&self) -> bool {
        self.utc.is_doubted()
    }

    /// The rules.
    pub fn rules(&self) -> &UtcRules {
        &self.rules
    }

    /// A leap second at the end of the UTC day, as the servers announce it.
    pub fn leap(&self) -> Leap {
        self.utc.leap()
    }

    /// The date was set by hand, and is left as it is.
    pub fn is_left(&self) -> bool {
        self.is_left
    }

    /// How far apart the servers are to be asked, if it is `now`.
    pub fn interval(&self, now: Duration) -> Duration {
        self.utc.interval(now)
    }
}

#[cfg(test)]
mod tests;
