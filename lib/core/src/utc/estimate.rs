//! The estimate of UTC: measurements of UTC against the leader's time, or against CLOCK_MONOTONIC_RAW until the leader's rate is
//! known, and the UTC error of a clock computed from it.

use super::Leap;
use super::drift::{Drift, Observed, Prediction};
use super::servers::UtcMeasurement;
use crate::time::{ClockMap, Duration, Offset, Ratio, Raw, Real, Timestamp};

/// The leader's time becomes the base of the estimate when the uncertainty of its rate is below this: over a minute that adds less
/// to the UTC error than a good server's noise. Earlier, if the rate of UTC is not known better than that.
const LEADER_MAX_RATE_SIGMA: Ratio = Ratio::from_ppb(20.0);
/// Number of standard deviations in a published bound.
pub(super) const BOUND_SIGMAS: i64 = 3;

/// The UTC error of a clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UtcError {
    /// The clock minus UTC, as estimated.
    pub error: Offset,
    /// One standard deviation of `error`.
    pub sigma: Duration,
    /// Bound of the UTC error (UTC bound), if the servers are right.
    pub bound: Duration,
    /// The clock's rate against UTC if it ran at the leader's rate.
    pub leader_rate: Ratio,
    /// One standard deviation of `leader_rate`.
    pub leader_rate_sigma: Ratio,
    /// When UTC was last measured.
    pub measured_at: Timestamp<Raw>,
}

/// The estimate.
#[derive(Debug, Clone, Default)]
pub(super) struct UtcEstimate {
    drift: Option<Drift>,
    /// The base is the leader's time; otherwise CLOCK_MONOTONIC_RAW.
    is_on_leader: bool,
    /// Largest error of the last accepted measurement: of the path and of the server's clock.
    margin: Duration,
    /// The difference of the last outlier, measured minus predicted, and the number of outliers in a row.
    outlier: Option<(Duration, u32)>,
    leap: Leap,
}

impl UtcEstimate {
    /// Updates the estimate with a measurement; `map` is the leader's. Returns `None` for a time before `earliest` or after 2200,
    /// which is ignored.
    pub(super) fn observe(
        &mut self,
        measurement: &UtcMeasurement,
        map: Option<&ClockMap>,
        earliest: Timestamp<Real>,
    ) -> Option<Observed> {
        /// 2200-01-01: later times are implausible.
        const LATEST: Timestamp<Real> = Timestamp::from_ns(7_258_118_400_000_000_000);
        if measurement.utc < earliest || measurement.utc > LATEST {
            return None;
        }
        let offset =
            Duration::from_ns(measurement.utc.ns().saturating_sub(self.base_at(measurement.raw, map)));
        let observed = match &mut self.drift {
            Some(drift) => drift.observe(measurement.raw, offset, measurement.margin),
            None => {
                self.drift = Some(Drift::new(measurement.raw, offset, measurement.margin));
                Observed::Accepted
            }
        };
        if let Observed::Outlier(off) = observed {
            let count = self.outlier.map_or(1, |(_, count)| count.saturating_add(1));
            self.outlier = Some((off, count));
        } else {
            self.outlier = None;
            self.margin = measurement.margin + measurement.server_error;
            self.leap = measurement.leap;
        }
        Some(observed)
    }

    /// The base, ns.
    fn base_at(&self, raw: Timestamp<Raw>, map: Option<&ClockMap>) -> i64 {
        match map {
            Some(map) if self.is_on_leader => map.dante_at(raw).ns(),
            _ => raw.ns(),
        }
    }

    /// UTC at `raw`, and its rate against CLOCK_MONOTONIC_RAW.
    fn utc_at(&self, raw: Timestamp<Raw>, map: Option<&ClockMap>) -> Option<(Timestamp<Real>, Prediction)> {
        let mut prediction = self.drift.as_ref()?.at(raw);
        let utc = Timestamp::from_ns(self.base_at(raw, map).saturating_add(prediction.offset.ns()));
        if let (Some(map), true) = (map, self.is_on_leader) {
            prediction.rate = prediction.rate + map.line.rate;
        }
        Some((utc, prediction))
    }

    /// Returns the UTC error of a clock that shows `real` at `raw` and would run at `rate` (against CLOCK_MONOTONIC_RAW, with the
    /// uncertainty `rate_sigma`) without a correction of UTC.
    pub(super) fn error(
        &self,
        raw: Timestamp<Raw>,
        real: Timestamp<Real>,
        (rate, rate_sigma): (Ratio, Ratio),
        map: Option<&ClockMap>,
    ) -> Option<UtcError> {
        let (utc, prediction) = self.utc_at(raw, map)?;
        let error = Offset::between(real, utc);
        // With the leader as the base, the uncertainty of the leader's rate cancels out.
        let rate_sigma = if self.is_on_leader { Ratio::ZERO } else { rate_sigma };
        // A single outlier may be wrong. From the second in a row on, the bound includes the difference.
        let outlier =
            self.outlier.filter(|(_, count)| *count > 1).map_or(Duration::ZERO, |(off, _)| off.abs());
        Some(UtcError {
            error,
            sigma: prediction.sigma,
            bound: error.span().abs() + prediction.sigma * BOUND_SIGMAS + self.margin + outlier,
            leader_rate: rate - prediction.rate,
            leader_rate_sigma: Ratio::new(prediction.rate_sigma.fraction().hypot(rate_sigma.fraction())),
            measured_at: self.drift.as_ref()?.measured_at(),
        })
    }

    /// UTC moved by a leap second, and the clock with it.
    pub(super) fn leap_passed(&mut self, by: Duration) {
        if let Some(drift) = &mut self.drift {
            // The measured jump is rounded, as a leap second is exactly one second.
            drift.leap(Duration::from_secs_f64(by.secs_f64().round()));
        }
    }

    /// The host was suspended: CLOCK_MONOTONIC_RAW stood still, and all measurements against it are void.
    pub(super) fn slept(&mut self) {
        self.drift = None;
        self.outlier = None;
        self.is_on_leader = false;
    }

    /// Whether UTC was measured.
    pub(super) fn is_known(&self) -> bool {
        self.drift.is_some()
    }

    /// Whether the base is the leader's time.
    pub(super) fn is_on_leader(&self) -> bool {
        self.is_on_leader
    }

    /// Whether the leader's time is known well enough to be the better base.
    pub(super) fn prefers_leader(&self, now: Timestamp<Raw>, map: &ClockMap) -> bool {
        let sigma = map.uncertainty_at(now).rate;
        self.drift
            .as_ref()
            .is_none_or(|drift| sigma <= LEADER_MAX_RATE_SIGMA || sigma <= drift.at(now).rate_sigma)
    }

    /// Continues the estimate against another base: the leader's time, or, without a map, CLOCK_MONOTONIC_RAW.
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
        let base_change = Duration::from_ns(at(to).saturating_sub(at(from)));
        drift.rebase(base_change, rate(to) - rate(from), Ratio::from_ppb(sigma(from).hypot(sigma(to))), now);
    }

    /// Whether the last measurement was rejected as an outlier.
    pub(super) fn has_outlier(&self) -> bool {
        self.outlier.is_some()
    }

    /// A leap second at the end of the UTC day, as the servers announce it.
    pub(super) fn leap(&self) -> Leap {
        self.leap
    }

    /// Returns the next interval of measurements, given the current one.
    pub(super) fn interval(&self, current: Duration) -> Duration {
        self.drift.as_ref().map_or(current, |drift| drift.interval(current))
    }
}
