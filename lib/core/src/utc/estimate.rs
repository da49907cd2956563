//! The estimate of UTC: measurements of UTC against the leader's time, or against CLOCK_MONOTONIC_RAW until the leader's rate is
//! known, and the UTC error of a clock computed from it.

use super::Leap;
use super::drift::{Drift, Observed, Prediction};
use super::servers::UtcMeasurement;
use crate::time::{ClockMap, Duration, Offset, Ratio, Raw, Real, Timestamp, Uncertainty};

/// The leader's time becomes the base of the estimate when the uncertainty of its rate is below this: over a minute that adds less
/// to the UTC error than a good server's noise. Earlier, if the rate of UTC is not known better than that.
const LEADER_MAX_RATE_SIGMA: Ratio = Ratio::from_ppb(20.0);
/// Largest change of the rate of this host's oscillator while nothing measures it, as by its temperature: chrony's default of
/// `maxclockerror`.
const MAX_CLOCK_ERROR: Ratio = Ratio::from_ppm(1.0);
/// Time without a measurement, or in holdover, from which on an outlier may show such a change. The outlier test then accepts six
/// times as much; the error of a wrong server is larger.
const FREE_RUNNING: Duration = Duration::from_secs(60);
/// Longest time without a measurement, on CLOCK_MONOTONIC_RAW, over which the rate of UTC counts as measured: twice the longest interval of the rounds.
const MEASURED_INTERVAL: Duration = Duration::from_secs(2048);
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
    /// Until then the leader predicted UTC, and from then on this host's oscillator, where the base is CLOCK_MONOTONIC_RAW.
    raw_since: Option<Timestamp<Raw>>,
    /// What [`Self::doubt_since_measured`] added since the last accepted measurement.
    doubted: Uncertainty,
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
            if count > 1 && self.free_running(measurement.raw, map) > FREE_RUNNING {
                self.doubt_since_measured(measurement.raw, map, MAX_CLOCK_ERROR);
            }
        } else if observed != Observed::Late {
            (self.outlier, self.doubted) = (None, Uncertainty::ZERO);
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

    /// The uncertainty of the base at `raw`, as far as UTC was not measured against it since.
    fn base_sigma(&self, raw: Timestamp<Raw>, map: Option<&ClockMap>) -> Duration {
        let on_leader = map.filter(|_| self.is_on_leader).zip(self.measured_at());
        on_leader.map_or(Duration::ZERO, |(map, measured_at)| map.uncertainty_since(measured_at, raw))
    }

    /// Time since UTC was last measured, or since the base is predicted by this host's oscillator, whichever is shorter.
    fn free_running(&self, raw: Timestamp<Raw>, map: Option<&ClockMap>) -> Duration {
        let since = self.measured_at().map(|measured_at| match map.filter(|_| self.is_on_leader) {
            Some(map) => measured_at.max(map.line.raw0),
            None => self.raw_since.map_or(measured_at, |since| measured_at.max(since)),
        });
        since.map_or(Duration::ZERO, |since| (raw - since).max(Duration::ZERO))
    }

    /// When UTC was last measured.
    pub(super) fn measured_at(&self) -> Option<Timestamp<Raw>> {
        self.drift.as_ref().map(Drift::measured_at)
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
        let base = self.base_sigma(raw, map);
        let sigma = Duration::from_secs_f64(prediction.sigma.secs_f64().hypot(base.secs_f64()));
        Some(UtcError {
            error,
            sigma,
            bound: error.span().abs()
                + sigma * BOUND_SIGMAS
                + self.margin
                + outlier
                + self.free_running(raw, map) * MAX_CLOCK_ERROR,
            leader_rate: rate - prediction.rate,
            leader_rate_sigma: Ratio::new(prediction.rate_sigma.fraction().hypot(rate_sigma.fraction())),
            measured_at: self.measured_at()?,
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
        // Of the offset only the old base has an uncertainty: the new one is exact by definition.
        let offset = self.base_sigma(now, from);
        let free_running = self.free_running(now, from);
        if free_running > if from.is_some() { FREE_RUNNING } else { MEASURED_INTERVAL } {
            let sigma = Ratio::new(MAX_CLOCK_ERROR.fraction() / BOUND_SIGMAS as f64);
            self.doubt_since_measured(now, from, sigma);
        }
        if from.is_some() {
            self.raw_since = Some(now - free_running);
        }
        self.is_on_leader = to.is_some();
        let Some(drift) = &mut self.drift else { return };
        let at = |map: Option<&ClockMap>| map.map_or(now.ns(), |map| map.dante_at(now).ns());
        let rate = |map: Option<&ClockMap>| map.map_or(Ratio::ZERO, |map| map.line.rate);
        let sigma = |map: Option<&ClockMap>| map.map_or(0.0, |map| map.uncertainty_at(now).rate.ppb());
        let rate_change = rate(to) - rate(from);
        let base_change = Duration::from_ns(at(to).saturating_sub(at(from)));
        let rate = Ratio::from_ppb(sigma(from).hypot(sigma(to)));
        drift.rebase(base_change, rate_change, Uncertainty { offset, rate }, now);
    }

    /// The rate of this host's oscillator, by which UTC is predicted, may have changed by this (one standard deviation) since the last
    /// measurement.
    fn doubt_since_measured(&mut self, now: Timestamp<Raw>, map: Option<&ClockMap>, rate: Ratio) {
        let doubt = Uncertainty { offset: self.free_running(now, map) * rate, rate };
        let before = std::mem::replace(&mut self.doubted, doubt);
        // Only what is missing is added: the doubt is one and the same at each call since the last measurement.
        let missing = |new: f64, old: f64| (new * new - old * old).max(0.0).sqrt();
        if let Some(drift) = &mut self.drift {
            let offset = missing(doubt.offset.ns_f64(), before.offset.ns_f64());
            let rate = missing(doubt.rate.ppb(), before.rate.ppb());
            drift.doubt(
                now,
                Uncertainty { offset: Duration::from_ns_f64(offset), rate: Ratio::from_ppb(rate) },
            );
        }
    }

    /// The rate of the leader or of this host may have changed by this.
    pub(super) fn doubt_rate(&mut self, now: Timestamp<Raw>, change: Ratio) {
        if let Some(drift) = &mut self.drift {
            drift.doubt(now, Uncertainty { offset: Duration::ZERO, rate: change });
        }
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
