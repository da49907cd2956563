//! Estimates UTC against the suite's time base from the measurements of the NTP servers.
//!
//! The base is the leader's time where its clock map is settled: two good clocks, averaged over hours. The stability of a leader's
//! crystal differs from device to device and from day to day. Therefore several Kalman filters run side by side, each assuming a
//! different wander, from almost none to strong, and are rated by the likelihood of their innovations (D. T. Magill, 1965). The
//! selected filter is the one with the least wander whose likelihood is close to the best: it averages over the longest time.

use crate::estimate::kalman::{FrequencyNoise, PhaseRate};
use crate::time::{Duration, Ratio, Raw, Timestamp, Uncertainty};

/// Random-walk frequency noise that the filters assume, ppb over 1 s. A compensated crystal at a steady room temperature has the
/// first (1 ppb a day), a plain crystal there the second, one beside a fan the last.
const WALKS_PPB: [f64; 4] = [0.003, 0.03, 0.3, 3.0];
/// White frequency noise over 1 s, ppb.
const WHITE_PPB: f64 = 1.0;
/// Initial uncertainty of a leader's rate against UTC: real leaders showed 6 to 66 ppm.
const RATE_SIGMA_PPM: f64 = 40.0;
/// Number of measurements over which their noise is averaged (exponentially).
const NOISE_MEMORY: f64 = 64.0;
/// Lower bound of the estimated measurement noise, ns.
const MIN_NOISE_NS: f64 = 1_000.0;
/// Outlier test: an innovation larger than this many standard deviations is rejected.
const OUTLIER_SIGMAS: f64 = 6.0;
/// Factor by which a filter's score of past innovations decays with each measurement.
const SCORE_MEMORY: f64 = 0.99;
/// A filter whose score (natural logarithm of the likelihood) is within this of the best counts as equally good. Over the memory
/// of the score, chance alone makes a difference of about 2.
const SCORE_TOLERANCE: f64 = 4.0;
/// A filter whose score is further behind the best has diverged, and restarts from the state of the best filter.
const SCORE_DIVERGED: f64 = 8.0;
/// Agreeing outliers are accepted once they have lasted as long as the measurements before them were accepted, but at most this
/// long.
const MAX_OUTLIER_TIME: Duration = Duration::from_secs(1800);
/// Minimum number of agreeing outliers in a row before they are accepted.
const MIN_OUTLIERS: u32 = 4;
/// The target uncertainty is the noise of one measurement divided by this: about 100 measurements reach it, with offset and rate
/// estimated together.
const TARGET_DIVISOR: f64 = 5.0;
/// Lower bound of the target uncertainty, ns.
const MIN_TARGET_NS: f64 = 10_000.0;

/// The result of the outlier test of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// The measurement was accepted.
    Accepted,
    /// The measurement was made no later than the last accepted one, and changes nothing.
    Late,
    /// The measurement was rejected; the value is measured minus predicted offset.
    Outlier(Duration),
    /// Agreeing outliers lasted long enough: the offset is estimated from scratch, the rate is kept. The value as above.
    Restarted(Duration),
}

/// UTC minus the base at one instant, and its rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// UTC minus the base.
    pub offset: Duration,
    /// One standard deviation of it.
    pub sigma: Duration,
    /// The rate of UTC against the base.
    pub rate: Ratio,
    /// One standard deviation of it.
    pub rate_sigma: Ratio,
}

#[derive(Debug, Clone, Copy)]
struct Filter {
    noise: FrequencyNoise,
    state: PhaseRate,
    /// The natural logarithm of the likelihood of its innovations, with decay.
    score: f64,
}

/// Outliers in a row that agree with each other.
#[derive(Debug, Clone, Copy)]
struct OutlierRun {
    since: Timestamp<Raw>,
    last: Timestamp<Raw>,
    offset: Duration,
    count: u32,
}

/// The filter bank.
#[derive(Debug, Clone)]
pub struct Drift {
    /// The instant of the filters' states.
    raw: Timestamp<Raw>,
    /// When the last accepted measurement was made.
    measured_at: Timestamp<Raw>,
    /// UTC minus the base is this plus a filter's phase: a float cannot hold 10^18 ns.
    whole: Duration,
    filters: [Filter; WALKS_PPB.len()],
    selected: usize,
    /// The standard deviation of a measurement, ns, and the number of measurements that it was estimated from.
    noise: f64,
    noise_samples: f64,
    /// The usual half round trip, ns.
    usual_margin: f64,
    accepted_since: Timestamp<Raw>,
    outliers: Option<OutlierRun>,
}

impl Drift {
    /// Starts from the first measurement: at `raw`, UTC minus the base was `offset`, with a standard deviation of half of `margin`.
    pub fn new(raw: Timestamp<Raw>, offset: Duration, margin: Duration) -> Self {
        let noise = (margin.ns_f64() / 2.0).max(MIN_NOISE_NS);
        let state = PhaseRate::new((0.0, noise), (0.0, RATE_SIGMA_PPM * 1e3));
        let filters = WALKS_PPB.map(|walk_ppb| Filter {
            noise: FrequencyNoise { walk_ppb, white_ppb: WHITE_PPB },
            state,
            score: 0.0,
        });
        Self {
            raw,
            measured_at: raw,
            whole: offset,
            filters,
            selected: 0,
            noise,
            noise_samples: 1.0,
            usual_margin: margin.ns_f64(),
            accepted_since: raw,
            outliers: None,
        }
    }

    /// Tests a measurement, and updates the filters with it unless it is an outlier.
    pub fn observe(&mut self, raw: Timestamp<Raw>, offset: Duration, margin: Duration) -> Observed {
        if raw <= self.measured_at {
            return Observed::Late;
        }
        // A measurement that was made shortly before the states were changed counts at the instant of the change.
        let early = (self.raw - raw).max(Duration::ZERO);
        let (at, offset) = (raw + early, offset + early * Ratio::from_ppb(self.selected().state.rate));
        let dt = (at - self.raw).secs_f64();
        let measured = (offset - self.whole).ns_f64();
        // A longer path than usual means queueing in one direction or both: the error is uniform within +/- the excess.
        let excess = (margin.ns_f64() - self.usual_margin).max(0.0) / 3.0_f64.sqrt();
        let sigma = self.noise.hypot(excess);
        let prediction = self.selected().state.predicted(dt, self.selected().noise);
        let off = measured - prediction.phase;
        if off.abs() > OUTLIER_SIGMAS * prediction.innovation_sigma(sigma) {
            return self.outlier(at, offset, margin, Duration::from_ns_f64(off));
        }
        self.outliers = None;
        (self.raw, self.measured_at) = (at, raw);
        for filter in &mut self.filters {
            filter.state = filter.state.predicted(dt, filter.noise);
            let innovation = measured - filter.state.phase;
            let expected = filter.state.innovation_sigma(sigma);
            let normalised_square = (innovation / expected).powi(2).min(OUTLIER_SIGMAS * OUTLIER_SIGMAS);
            filter.score = filter.score * SCORE_MEMORY - normalised_square / 2.0 - expected.ln();
            filter.state = filter.state.updated(innovation, sigma);
        }
        self.select();
        if excess == 0.0 {
            self.update_noise(off, prediction.innovation_sigma(sigma), sigma);
        }
        self.usual_margin +=
            (margin.ns_f64() - self.usual_margin) / if excess > 0.0 { NOISE_MEMORY } else { 4.0 };
        // Whole ns of the selected filter's phase move to `whole`.
        let whole = Duration::from_ns_f64(self.selected().state.phase);
        self.whole = self.whole + whole;
        for filter in &mut self.filters {
            filter.state.phase -= whole.ns_f64();
        }
        Observed::Accepted
    }

    /// Selects the filter in use, and restarts those that have diverged.
    fn select(&mut self) {
        let Some(best) = self.filters.iter().max_by(|a, b| a.score.total_cmp(&b.score)).copied() else {
            return;
        };
        for filter in &mut self.filters {
            if filter.score < best.score - SCORE_DIVERGED {
                *filter = Filter { state: best.state, score: best.score - SCORE_DIVERGED, ..*filter };
            }
        }
        let selected = self.filters.iter().position(|filter| filter.score >= best.score - SCORE_TOLERANCE);
        self.selected = selected.unwrap_or(self.selected);
    }

    /// Updates the estimate of the measurement noise: the product of an innovation and its residual after the update has the
    /// variance of the measurement as its mean.
    fn update_noise(&mut self, innovation: f64, expected: f64, sigma: f64) {
        let limited = innovation.powi(2).min(9.0 * expected.powi(2));
        let variance = limited * (sigma / expected).powi(2);
        self.noise_samples = (self.noise_samples + 1.0).min(NOISE_MEMORY);
        let noise_variance = self.noise.powi(2) + (variance - self.noise.powi(2)) / self.noise_samples;
        self.noise = noise_variance.sqrt().max(MIN_NOISE_NS);
    }

    fn outlier(
        &mut self,
        raw: Timestamp<Raw>,
        offset: Duration,
        margin: Duration,
        off: Duration,
    ) -> Observed {
        let first = OutlierRun { since: raw, last: raw, offset, count: 1 };
        let tolerance = margin * 2 + Duration::from_ns_f64(OUTLIER_SIGMAS * self.noise);
        let run = match self.outliers {
            Some(run) => {
                // The unknown part of the base's rate.
                let drift = (raw - run.last).abs() * Ratio::from_ppm(100.0);
                let agrees = (offset - run.offset).abs() <= tolerance + drift;
                if agrees { OutlierRun { last: raw, offset, count: run.count + 1, ..run } } else { first }
            }
            None => first,
        };
        self.outliers = Some(run);
        let required = (run.since - self.accepted_since).min(MAX_OUTLIER_TIME);
        if run.count < MIN_OUTLIERS || raw - run.since < required {
            return Observed::Outlier(off);
        }
        self.restart(raw, offset, margin);
        Observed::Restarted(off)
    }

    /// Estimates the offset from scratch; the rate and its uncertainty are kept.
    fn restart(&mut self, raw: Timestamp<Raw>, offset: Duration, margin: Duration) {
        let dt = (raw - self.raw).secs_f64();
        let noise = self.noise.max(margin.ns_f64() / 2.0);
        for filter in &mut self.filters {
            let predicted = filter.state.predicted(dt, filter.noise);
            filter.state = PhaseRate::new((0.0, noise), (predicted.rate, predicted.rate_sigma()));
            filter.score = 0.0;
        }
        (self.raw, self.measured_at) = (raw, raw);
        self.whole = offset;
        self.accepted_since = raw;
        self.outliers = None;
    }

    /// Predicts the states for `now`, from which on they are to be changed.
    fn advance(&mut self, now: Timestamp<Raw>) {
        let dt = (now - self.raw).secs_f64();
        if dt > 0.0 {
            for filter in &mut self.filters {
                filter.state = filter.state.predicted(dt, filter.noise);
            }
            self.raw = now;
        }
    }

    /// Changes the base. `base_change` is the new base minus the old one at `now`, `rate` the new base's rate against the old
    /// one, `sigma` the uncertainty of both.
    pub fn rebase(&mut self, base_change: Duration, rate: Ratio, sigma: Uncertainty, now: Timestamp<Raw>) {
        self.advance(now);
        self.outliers = None;
        self.whole = self.whole - base_change;
        for filter in &mut self.filters {
            filter.state.rate -= rate.ppb();
        }
        self.doubt(now, sigma);
    }

    /// The offset, and from `now` on the rate, may have changed by this.
    pub fn doubt(&mut self, now: Timestamp<Raw>, change: Uncertainty) {
        self.advance(now);
        for filter in &mut self.filters {
            filter.state.p.0 += change.offset.ns_f64().powi(2);
            filter.state.p.2 += change.rate.ppb().powi(2);
        }
    }

    /// UTC moved by a leap second against the base.
    pub fn leap(&mut self, by: Duration) {
        self.whole = self.whole + by;
        self.outliers = None;
    }

    /// Predicts UTC against the base at `raw`.
    pub fn at(&self, raw: Timestamp<Raw>) -> Prediction {
        let filter = self.selected();
        let state = filter.state.predicted((raw - self.raw).secs_f64(), filter.noise);
        Prediction {
            offset: self.whole + Duration::from_ns_f64(state.phase),
            sigma: Duration::from_ns_f64(state.phase_sigma()),
            rate: Ratio::from_ppb(state.rate),
            rate_sigma: Ratio::from_ppb(state.rate_sigma()),
        }
    }

    /// Returns the next interval of measurements, given the current one: twice as long if the uncertainty stays below the target
    /// all the same, half as long if it does not stay below 1.5 times the target.
    pub fn interval(&self, now: Duration) -> Duration {
        let target = (self.noise / TARGET_DIVISOR).max(MIN_TARGET_NS);
        let sigma_after = |span: Duration| self.at(self.raw + span).sigma.ns_f64();
        if sigma_after(now * 2) < target {
            now * 2
        } else if sigma_after(now) > 1.5 * target {
            now / 2
        } else {
            now
        }
    }

    /// When the last accepted measurement was made.
    pub fn measured_at(&self) -> Timestamp<Raw> {
        self.measured_at
    }

    fn selected(&self) -> &Filter {
        // `self.selected` is always an index of `filters`.
        self.filters.get(self.selected).unwrap_or(&self.filters[0])
    }
}

#[cfg(test)]
mod tests;
