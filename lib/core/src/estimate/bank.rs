//! The filter bank: filters that each assume another slow delay, weighted by how well they predict the measurements.
//!
//! Delays on a Linux host are not independent from Sync to Sync: caches, idle states and other programs delay packets for seconds
//! (docs/accuracy.md). Each filter has three states: phase, rate, and a delay that is a Gauss-Markov process. All use the white
//! noise that the neighbours of each measurement show; a filter assumes its own ratio of slow to white noise and its own time
//! constant. Since the kind of the noise changes, the filters are mixed (interacting multiple models; Blom and Bar-Shalom, IEEE
//! Trans. Automatic Control 33, 1988): otherwise one that has been wrong for minutes would start from its wrong state.

use super::kalman::{FrequencyNoise, Kalman, PhaseRate};
use super::{Measurement, RateGuess};
use crate::time::{Dante, Duration, Raw, Timestamp};

/// Time constants of the slow delays, s. The time between them, a factor of three, costs less than 5 % of the accuracy.
const TIME_CONSTANTS_S: [f64; CONSTANTS] = [0.5, 1.5, 5.0, 15.0, 45.0];
const CONSTANTS: usize = 5;
/// Standard deviations of the slow delays, as multiples of the white noise.
const RATIOS: [f64; 3] = [1.0, 3.0, 9.0];
/// One filter for white noise alone, and one for each ratio and time constant.
const FILTERS: usize = 1 + RATIOS.len() * CONSTANTS;
/// Probability of white noise alone before any measurement. A larger one would state too small an uncertainty in the first minute
/// of slow noise, a smaller one too large an uncertainty of white noise.
const WHITE_PRIOR: f64 = 0.5;
/// Mean time until the noise becomes one of another kind, s. On a recorded trace of a rough network, 200 s gave false breaks.
const DWELL_S: f64 = 1000.0;
/// Smallest time between two mixtures of the filters, s: much less than [`DWELL_S`].
const MIX_INTERVAL_S: f64 = 0.9;
/// Exponent of the likelihoods. No real noise is one of the filters', so a likelihood counts for less than it says.
const LIKELIHOOD_EXPONENT: f64 = 0.8;
/// Largest squared innovation, in its variances, that a likelihood takes into account: one outlier does not decide.
const MAX_SQUARE: f64 = 9.0;
/// Squared innovation, in its variances, beyond which a measurement gets less weight (Huber).
const HUBER_SQUARE: f64 = 16.0;
/// Innovation, in standard deviations, beyond which a measurement of a fit gets less weight (Huber).
const FIT_HUBER_SIGMAS: f64 = 3.0;
/// Factor on the variance of the phase of a filter for slow noise. A real slow delay has several time constants, and the filter
/// that fits it best underestimates the slowest part: through a Linux bridge 86 % of the errors were within two sigma.
const SLOW_PHASE_FACTOR: f64 = 1.35;

/// What the filters have to know about noise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditions {
    /// Standard deviation of the measurements about their neighbours, ns.
    pub scatter_ns: f64,
    /// Mean time between two measurements, s.
    pub interval_s: f64,
    pub frequency: FrequencyNoise,
}

/// The slow delay that a filter assumes.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// Standard deviation as a multiple of the white noise.
    ratio: f64,
    /// Index into [`TIME_CONSTANTS_S`].
    constant: usize,
    /// Probability before any measurement.
    prior: f64,
}

impl Kind {
    /// The kinds of all filters, white noise alone first.
    fn all() -> [Self; FILTERS] {
        std::array::from_fn(|filter| {
            let Some(slow) = filter.checked_sub(1) else {
                return Self { ratio: 0.0, constant: 0, prior: WHITE_PRIOR };
            };
            let ratio = RATIOS.get(slow % RATIOS.len()).copied().unwrap_or_default();
            let prior = (1.0 - WHITE_PRIOR) / (FILTERS - 1) as f64;
            Self { ratio, constant: slow / RATIOS.len(), prior }
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Filter {
    kind: Kind,
    /// Probability.
    weight: f64,
    state: State,
}

/// Phase relative to the bank's anchor in ns, rate in ppb, and slow delay in ns (negative if packets are late).
#[derive(Debug, Clone, Copy, Default)]
struct State {
    x: [f64; 3],
    /// Covariance: phase-phase, phase-rate, phase-delay, rate-rate, rate-delay, delay-delay.
    p: [f64; 6],
}

/// The filters at one instant.
#[derive(Debug, Clone)]
pub(super) struct Bank {
    raw: Timestamp<Raw>,
    dante: Timestamp<Dante>,
    filters: [Filter; FILTERS],
    /// Time since the filters were mixed, s.
    unmixed_s: f64,
}

impl Bank {
    /// Starts the filters at a measurement, whose white noise is larger by `scale`.
    fn new(first: Measurement, scale: f64, guess: RateGuess, conditions: &Conditions) -> Self {
        let filters = Kind::all().map(|kind| {
            let white = conditions.scatter_ns.powi(2);
            let slow = white * kind.ratio.powi(2);
            let p = [white * scale * scale + slow, 0.0, -slow, guess.sigma.ppb().powi(2), 0.0, slow];
            Filter { kind, weight: kind.prior, state: State { x: [0.0, guess.rate.ppb(), 0.0], p } }
        });
        Self { raw: first.raw, dante: first.dante, filters, unmixed_s: 0.0 }
    }

    /// Runs new filters over measurements, each with the factor on its white noise.
    pub(super) fn fitted(
        mut measurements: impl Iterator<Item = (Measurement, f64)>,
        guess: RateGuess,
        conditions: &Conditions,
    ) -> Option<Self> {
        let (first, scale) = measurements.next()?;
        let mut bank = Self::new(first, scale, guess, conditions);
        for (next, scale) in measurements {
            let predicted = bank.mixture().predicted(next.raw, conditions.frequency);
            let innovation = predicted.innovation_ns(next);
            // Outliers cannot be found among a few measurements.
            let expected = predicted.innovation_sigma_ns(conditions.scatter_ns * scale);
            let excess = innovation.abs() / expected / FIT_HUBER_SIGMAS;
            bank.update(next, scale * excess.max(1.0), conditions);
        }
        Some(bank)
    }

    /// Multiplies all covariances by `factor`, as if the noise of all measurements had been larger.
    pub(super) fn scale(&mut self, factor: f64) {
        for one in &mut self.filters {
            one.state.p = one.state.p.map(|p| p * factor);
        }
    }

    /// Returns how far a measurement is from its prediction, which includes the slow delay, and the expected standard deviation of
    /// that, ns.
    pub(super) fn innovation(&self, one: Measurement, conditions: &Conditions) -> (f64, f64) {
        let step = Step::new(self, one, conditions);
        let mut expected = [(0.0, 0.0); FILTERS];
        let mut mean = 0.0;
        for (filter, expected) in self.filters.iter().zip(&mut expected) {
            let white = step.white(filter.kind);
            let predicted = filter.state.predicted(filter.kind, white, &step);
            *expected = (predicted.x[0] + predicted.x[2], predicted.measured_variance() + white);
            mean += filter.weight * expected.0;
        }
        let spread = |(filter, (phase, variance)): (&Filter, (f64, f64))| {
            filter.weight * (variance + (phase - mean).powi(2))
        };
        let variance: f64 = self.filters.iter().zip(expected).map(spread).sum();
        (step.measured_ns - mean, variance.sqrt())
    }

    /// Updates the filters with a measurement, whose white noise is larger by `scale`.
    pub(super) fn update(&mut self, one: Measurement, scale: f64, conditions: &Conditions) {
        let step = Step::new(self, one, conditions);
        self.unmixed_s += step.dt_s;
        if self.unmixed_s >= MIX_INTERVAL_S {
            self.mix();
        }
        let mut likelihoods = [0.0; FILTERS];
        let mut best = f64::NEG_INFINITY;
        for (filter, likelihood) in self.filters.iter_mut().zip(&mut likelihoods) {
            let white = step.white(filter.kind);
            let State { x, p } = filter.state.predicted(filter.kind, white, &step);
            let gains = [p[0] + p[2], p[1] + p[4], p[2] + p[5]];
            let variance = (gains[0] + gains[2]).max(0.0) + white * scale * scale;
            let innovation = step.measured_ns - x[0] - x[2];
            let square = innovation * innovation / variance;
            *likelihood = -0.5 * LIKELIHOOD_EXPONENT * (variance.ln() + square.min(MAX_SQUARE));
            best = best.max(*likelihood);
            let variance = variance * (square / HUBER_SQUARE).max(1.0);
            let [k0, k1, k2] = gains.map(|gain| gain / variance);
            filter.state = State {
                x: [x[0] + k0 * innovation, x[1] + k1 * innovation, x[2] + k2 * innovation],
                // After a gap of years the rounding error of a variance may be larger than the variance.
                p: [
                    (p[0] - k0 * gains[0]).max(0.0),
                    p[1] - k0 * gains[1],
                    p[2] - k0 * gains[2],
                    (p[3] - k1 * gains[1]).max(0.0),
                    p[4] - k1 * gains[2],
                    (p[5] - k2 * gains[2]).max(0.0),
                ],
            };
        }
        let mut sum = 0.0;
        for (filter, likelihood) in self.filters.iter_mut().zip(likelihoods) {
            filter.weight *= (likelihood - best).exp();
            sum += filter.weight;
        }
        // An f64 cannot hold the leader's time to the ns, so whole ns are kept in the anchor.
        let whole = Duration::from_ns_f64(self.filters.first().map_or(0.0, |filter| filter.state.x[0]));
        for filter in &mut self.filters {
            filter.weight /= sum;
            filter.state.x[0] -= whole.ns_f64();
        }
        (self.raw, self.dante) = (one.raw, self.dante + step.elapsed + whole);
    }

    /// Mixes the filters: since the last time the noise may have become one of another kind.
    fn mix(&mut self) {
        let change = (self.unmixed_s / DWELL_S).min(0.5);
        self.unmixed_s = 0.0;
        let mut all = State::default();
        for filter in &self.filters {
            for (sum, x) in all.x.iter_mut().zip(filter.state.x) {
                *sum += filter.weight * x;
            }
        }
        for filter in &self.filters {
            let spread = filter.state.about(&all.x);
            for (sum, p) in all.p.iter_mut().zip(spread) {
                *sum += filter.weight * p;
            }
        }
        for filter in &mut self.filters {
            let (stay, come) = ((1.0 - change) * filter.weight, change * filter.kind.prior);
            let weight = stay + come;
            let (own, other) = (stay / weight, come / weight);
            let mut x = filter.state.x;
            for (x, all) in x.iter_mut().zip(all.x) {
                *x = own * *x + other * all;
            }
            let mut p = filter.state.about(&x);
            for (p, all) in p.iter_mut().zip(all.about(&x)) {
                *p = own * *p + other * all;
            }
            *filter = Filter { kind: filter.kind, weight, state: State { x, p } };
        }
    }

    /// Returns phase and rate: mean and covariance over all filters.
    pub(super) fn mixture(&self) -> Kalman {
        let (mut phase, mut rate) = (0.0, 0.0);
        for Filter { weight, state, .. } in &self.filters {
            phase += weight * state.x[0];
            rate += weight * state.x[1];
        }
        let mut p = (0.0, 0.0, 0.0);
        for Filter { kind, weight, state } in &self.filters {
            let spread = state.about(&[phase, rate, state.x[2]]);
            let factor = if kind.ratio > 0.0 { SLOW_PHASE_FACTOR } else { 1.0 };
            p.0 += weight * factor * spread[0];
            p.1 += weight * spread[1];
            p.2 += weight * spread[3];
        }
        Kalman::new(self.raw, self.dante, PhaseRate { phase, rate, p })
    }

    /// Returns the variance of white noise that would scatter the slope of a line through the measurements of a window as much as
    /// the noise does, as a multiple of the squared scatter about the neighbours.
    pub(super) fn slope_noise(&self, window_s: f64, interval_s: f64) -> f64 {
        let of = |kind: Kind| {
            let constant = TIME_CONSTANTS_S.get(kind.constant).copied().unwrap_or(1.0);
            let slow = slope_variance(window_s / constant) * window_s / interval_s;
            white_share(kind, seen_by_neighbours(constant, interval_s)) * (1.0 + kind.ratio.powi(2) * slow)
        };
        self.filters.iter().map(|filter| filter.weight * of(filter.kind)).sum()
    }
}

/// The time from a bank's instant to a measurement.
struct Step {
    elapsed: Duration,
    dt_s: f64,
    /// The measurement, relative to the anchor, ns.
    measured_ns: f64,
    /// Share of a slow delay that remains, for each time constant.
    keep: [f64; CONSTANTS],
    /// Growth of the variance of phase (ns^2), their covariance, and of the rate (ppb^2) by the oscillators' noise.
    growth: (f64, f64, f64),
    scatter: f64,
    /// See [`seen_by_neighbours`], for each time constant.
    seen: [f64; CONSTANTS],
}

impl Step {
    fn new(bank: &Bank, one: Measurement, conditions: &Conditions) -> Self {
        let elapsed = one.raw - bank.raw;
        let dt_s = elapsed.secs_f64();
        Self {
            elapsed,
            dt_s,
            measured_ns: (one.dante - (bank.dante + elapsed)).ns_f64(),
            keep: TIME_CONSTANTS_S.map(|constant| (-dt_s / constant).exp()),
            growth: conditions.frequency.growth(dt_s),
            scatter: conditions.scatter_ns.powi(2),
            seen: TIME_CONSTANTS_S.map(|constant| seen_by_neighbours(constant, conditions.interval_s)),
        }
    }

    /// Variance of the white noise that a filter assumes, ns^2.
    fn white(&self, kind: Kind) -> f64 {
        self.scatter * white_share(kind, self.seen.get(kind.constant).copied().unwrap_or(0.0))
    }
}

impl State {
    fn predicted(&self, kind: Kind, white: f64, step: &Step) -> Self {
        let Self { x, p } = self;
        let dt = step.dt_s;
        let keep = step.keep.get(kind.constant).copied().unwrap_or(0.0);
        let slow = white * kind.ratio * kind.ratio;
        Self {
            x: [x[0] + x[1] * dt, x[1], x[2] * keep],
            p: [
                p[0] + dt * (2.0 * p[1] + dt * p[3]) + step.growth.0,
                p[1] + dt * p[3] + step.growth.1,
                keep * (p[2] + dt * p[4]),
                p[3] + step.growth.2,
                keep * p[4],
                keep * keep * p[5] + slow * (1.0 - keep * keep),
            ],
        }
    }

    /// Variance of phase and slow delay together, ns^2.
    fn measured_variance(&self) -> f64 {
        (self.p[0] + 2.0 * self.p[2] + self.p[5]).max(0.0)
    }

    /// Covariance about another mean.
    fn about(&self, mean: &[f64; 3]) -> [f64; 6] {
        let Self { x, p } = self;
        let [a, b, c] = [x[0] - mean[0], x[1] - mean[1], x[2] - mean[2]];
        [p[0] + a * a, p[1] + a * b, p[2] + a * c, p[3] + b * b, p[4] + b * c, p[5] + c * c]
    }
}

/// Share of the variance of a slow delay that is in the squared scatter about the neighbours.
fn seen_by_neighbours(constant_s: f64, interval_s: f64) -> f64 {
    let neighbour = (-interval_s / constant_s).exp();
    (1.5 + 0.5 * neighbour * neighbour - 2.0 * neighbour) / 1.5
}

/// Variance of the white noise as a share of the squared scatter about the neighbours, to which a fast slow delay contributes.
fn white_share(kind: Kind, seen: f64) -> f64 {
    1.0 / (1.0 + kind.ratio * kind.ratio * seen)
}

/// Variance of the slope of a line through a Gauss-Markov process of variance 1 over a window of `a` time constants, relative to that
/// of white noise with one value in the window: 12 times the integral of (u - 1/2) (v - 1/2) exp(-a |u - v|) over the unit square.
fn slope_variance(a: f64) -> f64 {
    let e = (-a).exp();
    let zeroth = (1.0 - e) / a;
    let first = (1.0 - e * (1.0 + a)) / (a * a);
    let third = (6.0 - e * (((a + 3.0) * a + 6.0) * a + 6.0)) / a.powi(4);
    2.0 * (zeroth - 3.0 * first + 2.0 * third)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slope_variance_is_that_of_the_integral() {
        for a in [0.2, 1.0, 8.0, 64.0] {
            let n = 400;
            let at = |i: i32| (f64::from(i) + 0.5) / f64::from(n);
            let mut sum = 0.0;
            for (u, v) in (0..n).flat_map(|i| (0..n).map(move |j| (at(i), at(j)))) {
                sum += (u - 0.5) * (v - 0.5) * (-a * (u - v).abs()).exp();
            }
            let expected = 12.0 * sum / f64::from(n * n);
            assert!((slope_variance(a) / expected - 1.0).abs() < 0.01, "{a}: {expected}");
        }
    }

    #[test]
    fn probabilities_before_any_measurement_sum_to_one() {
        let sum: f64 = Kind::all().iter().map(|kind| kind.prior).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    }
}
