//! What is known of UTC: the servers' answers as a drift against the leader's time, or against the raw clock until that is
//! known, and the UTC error of a clock by it.

use super::Leap;
use super::drift::{Ahead, Drift, Taken};
use super::servers::{SERVER_ERROR, UtcMeasurement};
use crate::time::{ClockMap, Duration, Offset, Ratio, Raw, Real, Timestamp};

/// The leader's time becomes the base of the drift once its rate is known to this: what is left of it adds less to the UTC
/// error over a minute than a good server's noise. Or earlier, where UTC's own rate is known no better.
const LEADER_FROM: Ratio = Ratio::from_ppb(20.0);
/// Standard deviations in a stated bound.
pub(super) const BOUND_SIGMAS: i64 = 3;

/// What the clock's date is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UtcError {
    /// The clock minus UTC, as estimated.
    pub error: Offset,
    /// One standard deviation of that.
    pub sigma: Duration,
    /// The date is certainly not further off than this, if the servers are right.
    pub bound: Duration,
    /// The rate at which the clock would drift off UTC if it ran at the leader's.
    pub leader_rate: Ratio,
    /// One standard deviation of it.
    pub leader_rate_sigma: Ratio,
    /// When it was last measured.
    pub measured_at: Timestamp<Raw>,
}

/// The estimate.
#[derive(Debug, Clone, Default)]
pub(super) struct UtcEstimate {
    drift: Option<Drift>,
    /// The drift is against the leader's time; else against the raw clock.
    is_on_leader: bool,
    margin: Duration,
    /// By how much a measurement that is not accepted yet differs, and how many did in a row.
    doubt: Option<(Duration, u32)>,
    leap: Leap,
}

impl UtcEstimate {
    /// Takes in a measurement of the servers; `map` is the leader's. What became of it; `None`: it is before `earliest` or after
    /// 2200, and ignored.
    pub(super) fn observe(
        &mut self,
        measurement: &UtcMeasurement,
        map: Option<&ClockMap>,
        earliest: Timestamp<Real>,
    ) -> Option<Taken> {
        /// 2200: what lies beyond was never meant.
        const LATEST: Timestamp<Real> = Timestamp::from_ns(7_258_118_400_000_000_000);
        if measurement.utc < earliest || measurement.utc > LATEST {
            return None;
        }
        let offset =
            Duration::from_ns(measurement.utc.ns().saturating_sub(self.base_at(measurement.raw, map)));
        let taken = match &mut self.drift {
            Some(drift) => drift.observe(measurement.raw, offset, measurement.margin),
            None => {
                self.drift = Some(Drift::new(measurement.raw, offset, measurement.margin));
                Taken::In
            }
        };
        if let Taken::Doubted(off) = taken {
            let times = self.doubt.map_or(1, |(_, times)| times.saturating_add(1));
            self.doubt = Some((off, times));
        } else {
            self.doubt = None;
            self.margin = measurement.margin;
            self.leap = measurement.leap;
        }
        Some(taken)
    }

    /// What the drift is against, ns.
    fn base_at(&self, raw: Timestamp<Raw>, map: Option<&ClockMap>) -> i64 {
        match map {
            Some(map) if self.is_on_leader => map.dante_at(raw).ns(),
            _ => raw.ns(),
        }
    }

    /// UTC at `raw`, and how it runs against the raw clock.
    fn utc_at(&self, raw: Timestamp<Raw>, map: Option<&ClockMap>) -> Option<(Timestamp<Real>, Ahead)> {
        let mut ahead = self.drift.as_ref()?.at(raw);
        let utc = Timestamp::from_ns(self.base_at(raw, map).saturating_add(ahead.offset.ns()));
        if let (Some(map), true) = (map, self.is_on_leader) {
            ahead.rate = ahead.rate + map.line.rate;
        }
        Some((utc, ahead))
    }

    /// The UTC error of a clock that shows `date` at `raw` and would run at `rate` (against the raw clock, and known to
    /// `rate_sigma`) if UTC were not steered to.
    pub(super) fn error(
        &self,
        raw: Timestamp<Raw>,
        date: Timestamp<Real>,
        (rate, rate_sigma): (Ratio, Ratio),
        map: Option<&ClockMap>,
    ) -> Option<UtcError> {
        let (utc, ahead) = self.utc_at(raw, map)?;
        let error = Offset::between(date, utc);
        // Against the leader, the leader's own rate drops out.
        let rate_sigma = if self.is_on_leader { Ratio::ZERO } else { rate_sigma };
        // One such measurement may be a fluke; a second one may be right.
        let doubt = self.doubt.filter(|(_, times)| *times > 1).map_or(Duration::ZERO, |(off, _)| off.abs());
        Some(UtcError {
            error,
            sigma: ahead.sigma,
            bound: error.span().abs() + ahead.sigma * BOUND_SIGMAS + self.margin + SERVER_ERROR + doubt,
            leader_rate: rate - ahead.rate,
            leader_rate_sigma: Ratio::new(ahead.rate_sigma.fraction().hypot(rate_sigma.fraction())),
            measured_at: self.drift.as_ref()?.measured_at(),
        })
    }

    /// UTC moved by a leap second, as the clock did.
    pub(super) fn leap_passed(&mut self, by: Duration) {
        if let Some(drift) = &mut self.drift {
            // The jump was measured, and a leap second is one.
            drift.leap(Duration::from_secs_f64(by.secs_f64().round()));
        }
    }

    /// The raw clock stood still: all that was measured against it is void.
    pub(super) fn slept(&mut self) {
        self.drift = None;
        self.doubt = None;
        self.is_on_leader = false;
    }

    /// Whether anything is known.
    pub(super) fn is_known(&self) -> bool {
        self.drift.is_some()
    }

    /// Whether the drift is against the leader's time.
    pub(super) fn is_on_leader(&self) -> bool {
        self.is_on_leader
    }

    /// The leader's time is known so well that it is the better base.
    pub(super) fn prefers_leader(&self, now: Timestamp<Raw>, map: &ClockMap) -> bool {
        let sigma = map.uncertainty_at(now).rate;
        self.drift.as_ref().is_none_or(|drift| sigma <= LEADER_FROM || sigma <= drift.at(now).rate_sigma)
    }

    /// Continues the drift against another base: the leader's time, or, without a map, the raw clock.
    pub(super) fn rebase(&mut self, now: Timestamp<Raw>, from: Option<&ClockMap>, to: Option<&ClockMap>) {
        let from = from.filter(|_| self.is_on_leader);
        if from == to {
            return;
        }
        self.is_on_leader = to.is_some();
        let Some(drift) = &mut self.drift else { return };
        let at = |map: Option<&ClockMap>| map.map_or(now.ns(), |map| map.dante_at(now).ns());
        let rate = |map: Option<&ClockMap>| map.map_or(Ratio::ZERO, |map| map.line.rate);
        let sigma = |map: Option<&ClockMap>| map.map_or(0.0, |map| map.uncertainty_at(now).rate.ppb());
        let ahead = Duration::from_ns(at(to).saturating_sub(at(from)));
        drift.rebase(ahead, rate(to) - rate(from), Ratio::from_ppb(sigma(from).hypot(sigma(to))), now);
    }

    /// Whether the last measurement is not accepted yet.
    pub(super) fn is_doubted(&self) -> bool {
        self.doubt.is_some()
    }

    /// A leap second at the end of the UTC day, as the servers announce it.
    pub(super) fn leap(&self) -> Leap {
        self.leap
    }

    /// How far apart the servers are to be asked, if it is `now`.
    pub(super) fn interval(&self, now: Duration) -> Duration {
        self.drift.as_ref().map_or(now, |drift| drift.interval(now))
    }
}
