//! Learns the random walk of the rate: host and leader together, from hours of measurements.
//!
//! Filters with different random walks run on means over 16 s. Those that predict the next mean best get the weight. A random walk
//! that was learnt in an earlier run sets the weights at the start.

use super::kalman::{FrequencyNoise, PhaseRate};
use super::means::{Averager, Mean};
use crate::time::Wander;

/// Random walks of the filters: the standard deviation of the change of rate over 1 s, ppb. A white frequency noise of the same size
/// goes with each.
const WALKS_PPB: [f64; 4] = [0.1, 0.3, 1.0, 3.0];
/// Logarithm of their weights before any measurement: a PC's crystal at constant temperature has 1 ppb.
const PRIORS: [f64; 4] = [-4.0, -2.0, 0.0, -3.0];
/// Decrease of the logarithm of a prior at a distance of one decade from the learnt random walk; it grows with the square of the
/// distance. The filters beside that of the learnt random walk are half a decade away and get about a twentieth of its weight.
const FALL_PER_DECADE: f64 = 12.0;
/// Largest decrease. If the oscillators have changed since the random walk was learnt, the measurements of some minutes exceed it.
const MAX_FALL: f64 = 6.0;
/// Bounds of a plausible random walk, ppb.
const PLAUSIBLE: (Wander, Wander) = (Wander::from_ppb(0.01), Wander::from_ppb(100.0));
/// Duration of the measurements from which on the random walk is learnt, s.
const LEARNT_AFTER_S: f64 = 3600.0;
/// Length of a mean, s.
const LENGTH_S: f64 = 16.0;
/// Memory, s.
const MEMORY_S: f64 = 4.0 * 3600.0;
/// No filter falls behind the best one by a larger logarithm: another oscillator has to be noticed within the hour.
const MAX_BEHIND: f64 = 12.0;
/// Smallest result. With a smaller one the filter would average over many minutes, and a change of the temperature is no random
/// walk.
const SMALLEST_PPB: f64 = 0.3;
/// Largest squared innovation in its variances: one outlier does not decide.
const MAX_SQUARE: f64 = 9.0;

/// Whether a random walk of the rate is finite and possible for an oscillator.
pub(crate) fn is_plausible_wander(wander: Wander) -> bool {
    (PLAUSIBLE.0.fraction()..=PLAUSIBLE.1.fraction()).contains(&wander.fraction())
}

/// The filters and their weights.
#[derive(Debug)]
pub(super) struct Oscillator {
    averager: Averager,
    filters: [Candidate; 4],
    at_s: Option<f64>,
    /// Duration of the measurements of the present host and leader, s.
    measured_s: f64,
    walk_ppb: f64,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    walk_ppb: f64,
    /// Logarithm of the weight before any measurement.
    prior: f64,
    /// Logarithm of the likelihood.
    evidence: f64,
    state: PhaseRate,
}

impl Default for Oscillator {
    fn default() -> Self {
        let state = PhaseRate::new((0.0, 0.0), (0.0, 0.0));
        let mut priors = PRIORS.into_iter();
        let filters = WALKS_PPB.map(|walk_ppb| Candidate {
            walk_ppb,
            prior: priors.next().unwrap_or(0.0),
            evidence: 0.0,
            state,
        });
        let mut oscillator =
            Self { averager: Averager::new(LENGTH_S), filters, at_s: None, measured_s: 0.0, walk_ppb: 0.0 };
        oscillator.weigh();
        oscillator
    }
}

impl Oscillator {
    /// Restarts the filters, and keeps their weights: the next measurement does not continue the last ones.
    pub(super) fn interrupt(&mut self) {
        self.averager.clear();
        self.at_s = None;
    }

    /// Starts with another leader: sets the priors to a random walk that was learnt earlier, or to the defaults if there is none or
    /// it is implausible. The evidence is kept.
    pub(super) fn expect(&mut self, wander: Option<Wander>) {
        let expected_ppb = wander.filter(|wander| is_plausible_wander(*wander)).map(|wander| {
            let [smallest, .., largest] = WALKS_PPB;
            wander.ppb().clamp(smallest, largest)
        });
        for (one, default) in self.filters.iter_mut().zip(PRIORS) {
            one.prior = expected_ppb.map_or(default, |ppb| {
                let decades = (one.walk_ppb / ppb).log10();
                -(FALL_PER_DECADE * decades * decades).min(MAX_FALL)
            });
        }
        self.measured_s = 0.0;
        self.weigh();
    }

    /// Returns the learnt random walk, once there are enough measurements: the weighted mean of the logarithms. A mean of the
    /// squares would raise the result from run to run if the measurements do not distinguish the filters.
    pub(super) fn learnt(&self) -> Option<Wander> {
        let (mut weights, mut sum) = (0.0, 0.0);
        for (one, weight) in self.weighted() {
            weights += weight;
            sum += weight * one.walk_ppb.ln();
        }
        (self.measured_s >= LEARNT_AFTER_S).then(|| Wander::from_ppb((sum / weights).exp()))
    }

    /// Adds an accepted measurement. `variance` returns that of one measurement, ns^2.
    pub(super) fn observe(&mut self, point: (f64, f64), interval_s: f64, variance: impl FnOnce() -> f64) {
        let Some(finished) = self.averager.push(point, interval_s) else { return };
        let sigma = (variance() / finished.mean.count).sqrt();
        match self.at_s {
            None => self.start(finished.mean, sigma),
            Some(at_s) => self.add(finished.mean, finished.mean.at_s - at_s, sigma),
        }
        self.at_s = Some(finished.mean.at_s);
        if finished.is_followed_by_gap {
            self.at_s = None;
        }
    }

    fn start(&mut self, mean: Mean, sigma: f64) {
        for one in &mut self.filters {
            // The rate is within 500 ppm.
            one.state = PhaseRate::new((mean.gain_ns, sigma), (0.0, 5e5));
        }
    }

    fn add(&mut self, mean: Mean, passed_s: f64, sigma: f64) {
        self.measured_s += passed_s;
        let keep = (-passed_s / MEMORY_S).exp();
        let mut best = f64::NEG_INFINITY;
        for one in &mut self.filters {
            let noise = FrequencyNoise { walk_ppb: one.walk_ppb, white_ppb: one.walk_ppb };
            let predicted = one.state.predicted(passed_s, noise);
            let innovation = mean.gain_ns - predicted.phase;
            let expected = predicted.innovation_sigma(sigma);
            let square = (innovation / expected).powi(2);
            one.evidence = one.evidence * keep - expected.ln() - 0.5 * square.min(MAX_SQUARE);
            one.state = predicted.updated(innovation, sigma * (square / MAX_SQUARE).sqrt().max(1.0));
            best = best.max(one.evidence);
        }
        for one in &mut self.filters {
            one.evidence = (one.evidence - best).max(-MAX_BEHIND);
        }
        self.weigh();
    }

    /// Returns the filters with their weights, relative to the largest one.
    fn weighted(&self) -> impl Iterator<Item = (&Candidate, f64)> {
        let best = self.filters.iter().map(|one| one.prior + one.evidence).fold(f64::NEG_INFINITY, f64::max);
        self.filters.iter().map(move |one| (one, (one.prior + one.evidence - best).exp()))
    }

    fn weigh(&mut self) {
        let (mut weights, mut squares) = (0.0, 0.0);
        for (one, weight) in self.weighted() {
            weights += weight;
            squares += weight * one.walk_ppb * one.walk_ppb;
        }
        self.walk_ppb = (squares / weights).sqrt().max(SMALLEST_PPB);
    }

    /// Returns the noise of the rate.
    pub(super) fn noise(&self) -> FrequencyNoise {
        FrequencyNoise { walk_ppb: self.walk_ppb, white_ppb: self.walk_ppb }
    }
}

#[cfg(test)]
mod tests;
