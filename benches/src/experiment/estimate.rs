//! Accuracy of the clock map: the time until the rate is known, without a guess and from a stored frequency, and how often the
//! true value lies within the stated uncertainty.

use super::{for_seeds, quantile, rms};
use crate::ours::Ours;
use crate::peers::Follower;
use crate::trace::{BASE, LinkProfile, PER_SECOND, T, Trace};
use dante_core::estimate::RateGuess;
use dante_core::time::{Duration, Ratio};
use dante_sim::oscillator::Model;

/// Length of an acquisition run, s. A bound that holds until its end counts as kept.
const ACQUISITION_S: usize = 120;
/// Largest rate of a leader relative to the host, ppm.
const MAX_RATE_PPM: f64 = 200.0;
/// Error of a stored frequency, one standard deviation, ppb: changes of the temperature over a day, and between two starts.
const STORED_SIGMA_PPB: f64 = 500.0;

/// Time after the first Sync from which on the rate stays within a bound, 95th percentile over seeds, s.
#[derive(Debug, Clone, Copy)]
pub struct Acquired {
    /// Rate of the clock map, within 1 ppm and within 100 ppb.
    pub estimate_s: (f64, f64),
    /// Rate of the steered clock, within 1 ppm and within 100 ppb.
    pub clock_s: (f64, f64),
}

/// Runs the acquisition without a guess of the rate.
pub fn without_guess(network: &LinkProfile, seeds: u64) -> Acquired {
    let times = for_seeds(seeds, |seed| {
        let mut ours = Ours::new(RateGuess::UNKNOWN);
        let mut last = [0.0; 4];
        for sync in Trace::drawn(network, Model::PC, MAX_RATE_PPM, seed).take(ACQUISITION_S * PER_SECOND) {
            ours.sync(&sync);
            let estimate = ours.map().map_or(f64::INFINITY, |map| map.line.rate.ppb()) - sync.slow_ppb;
            let clock = ours.clock().line().rate.ppb() - sync.slow_ppb;
            let off = [(estimate, 1_000.0), (estimate, 100.0), (clock, 1_000.0), (clock, 100.0)];
            for (last, (off, bound)) in last.iter_mut().zip(off) {
                if off.abs() > bound {
                    // The next Sync is the first one that can be within the bound.
                    *last = sync.at_s() + T;
                }
            }
        }
        last
    });
    let at = |pick: fn(&[f64; 4]) -> f64| quantile(times.iter().map(pick).collect(), 0.95);
    Acquired { estimate_s: (at(|t| t[0]), at(|t| t[1])), clock_s: (at(|t| t[2]), at(|t| t[3])) }
}

/// Errors of the rate after a start with a stored frequency.
#[derive(Debug, Clone)]
pub struct Stored {
    /// For each Sync, rms over seeds: of the clock map, of the steered clock, and of the stored frequency, ppb.
    pub rms_ppb: Vec<[f64; 3]>,
}

impl Stored {
    /// Returns the largest ratio to the error of the stored frequency: of the clock map, and of the steered clock.
    pub fn worst(&self) -> (f64, f64) {
        let ratio =
            |pick: fn(&[f64; 3]) -> f64| self.rms_ppb.iter().map(|at| pick(at) / at[2]).fold(0.0, f64::max);
        (ratio(|at| at[0]), ratio(|at| at[1]))
    }
}

/// Runs the acquisition from a stored frequency with a random error of known standard deviation.
pub fn from_stored(network: &LinkProfile, seeds: u64) -> Stored {
    use rand::SeedableRng;
    use rand_distr::Distribution;
    let runs = for_seeds(seeds, |seed| {
        let drawn: f64 = rand_distr::StandardNormal.sample(&mut rand_pcg::Pcg64Mcg::seed_from_u64(seed));
        let mut trace = Trace::drawn(network, Model::PC, 50.0, seed).peekable();
        let truth = trace.peek().map_or(0.0, |sync| sync.slow_ppb);
        let stored = truth + STORED_SIGMA_PPB * drawn;
        let guess = RateGuess { rate: Ratio::from_ppb(stored), sigma: Ratio::from_ppb(STORED_SIGMA_PPB) };
        let mut ours = Ours::new(guess);
        let syncs = trace.take(ACQUISITION_S * PER_SECOND);
        let off = syncs.map(|sync| {
            ours.sync(&sync);
            let estimate = ours.map().map_or(stored, |map| map.line.rate.ppb());
            [estimate, ours.clock().line().rate.ppb(), stored].map(|rate| rate - sync.slow_ppb)
        });
        off.collect::<Vec<_>>()
    });
    let at = |i: usize, pick: fn(&[f64; 3]) -> f64| rms(runs.iter().filter_map(|run| run.get(i)).map(pick));
    let rms_ppb =
        (0..ACQUISITION_S * PER_SECOND).map(|i| [at(i, |o| o[0]), at(i, |o| o[1]), at(i, |o| o[2])]);
    Stored { rms_ppb: rms_ppb.collect() }
}

/// Length of a coverage run, s.
const COVERAGE_S: usize = 300;

/// Coverage of the stated uncertainty: the share of Syncs since lock, over all seeds, at which the true value lies within two
/// standard deviations. The true rate is without white noise.
#[derive(Debug, Clone, Copy)]
pub struct Coverage {
    /// Of the rate.
    pub rate: f64,
    /// Of the leader's time, with the mean packet delay subtracted.
    pub phase: f64,
    /// Of the leader's time, with the mean error over all seeds subtracted: a filter that follows the earliest packets has another
    /// constant error than the mean delay.
    pub phase_since_lock: f64,
    /// Error divided by its stated sigma, rms, of rate and phase. Above 1 the stated uncertainty is too small.
    pub error_over_sigma: (f64, f64),
    /// Coverage of the rate in parts of the run: 0..10 s, 10..60 s, later.
    pub by_age: [f64; 3],
}

/// Coverage after an unannounced step of the rate.
#[derive(Debug, Clone, Copy)]
pub struct CoverageAfterStep {
    /// Time after the step that is not evaluated, s: until the sigma of a line fitted from the step on is below a third of the
    /// step.
    pub excluded_s: f64,
    /// Coverage of the rate after that time.
    pub rate: f64,
}

/// Computes the coverage after a rate step by `ppm` in the middle of each run.
pub fn coverage_after_step(network: &LinkProfile, ppm: f64, seeds: u64) -> CoverageAfterStep {
    let at_s = (COVERAGE_S / 2) as f64;
    let model = Model { steps: vec![(Duration::from_secs_f64(at_s), Ratio::from_ppm(ppm))], ..Model::PC };
    // The slope of a line through n measurements at interval T has a standard deviation of sigma sqrt(12 / n^3) / T.
    let per_interval_ppb = network.noise_ns().0 / T;
    let n = (12.0 * (3.0 * per_interval_ppb / (1e3 * ppm)).powi(2)).cbrt();
    let excluded_s = n * T;
    let errors = errors(network, &model, seeds);
    CoverageAfterStep { excluded_s, rate: share(&errors, |e| e.rate, at_s + excluded_s, f64::INFINITY) }
}

/// Errors of the clock map at one Sync, each with its stated sigma.
struct MapError {
    at_s: f64,
    /// ppb
    rate: (f64, f64),
    /// ns
    phase: (f64, f64),
}

/// Computes the coverage over `seeds` seeds.
pub fn coverage(network: &LinkProfile, model: &Model, seeds: u64) -> Coverage {
    let errors = errors(network, model, seeds);
    let n = errors.len() as f64;
    let mean = errors.iter().map(|e| e.phase.0).sum::<f64>() / n;
    let end = f64::INFINITY;
    let since_lock = |e: &MapError| (e.phase.0 - mean, e.phase.1);
    Coverage {
        rate: share(&errors, |e| e.rate, 0.0, end),
        phase: share(&errors, |e| e.phase, 0.0, end),
        phase_since_lock: share(&errors, since_lock, 0.0, end),
        error_over_sigma: (
            rms(errors.iter().map(|e| e.rate.0 / e.rate.1)),
            rms(errors.iter().map(|e| since_lock(e).0 / e.phase.1.max(1.0))),
        ),
        by_age: [(0.0, 10.0), (10.0, 60.0), (60.0, end)]
            .map(|(from, to)| share(&errors, |e| e.rate, from, to)),
    }
}

fn errors(network: &LinkProfile, model: &Model, seeds: u64) -> Vec<MapError> {
    let mean_ns = network.noise_ns().1;
    for_seeds(seeds, |seed| {
        let mut ours = Ours::new(RateGuess::UNKNOWN);
        let mut errors = Vec::with_capacity(COVERAGE_S * PER_SECOND);
        for sync in Trace::drawn(network, model.clone(), 200.0, seed).take(COVERAGE_S * PER_SECOND) {
            ours.sync(&sync);
            if !ours.is_slave() {
                continue;
            }
            let Some(map) = ours.map() else { continue };
            let sigma = map.uncertainty_at(sync.arrived);
            let shown = (map.dante_at(sync.sent).ns() - sync.sent.ns() - BASE.ns()) as f64;
            errors.push(MapError {
                at_s: sync.at_s(),
                rate: (map.line.rate.ppb() - sync.slow_ppb, sigma.rate.ppb()),
                phase: (shown - sync.gained_ns + mean_ns, sigma.offset.ns() as f64),
            });
        }
        errors
    })
    .into_iter()
    .flatten()
    .collect()
}

/// Returns the share of Syncs between `from` and `to` s at which the true value lies within two standard deviations.
fn share(errors: &[MapError], pick: impl Fn(&MapError) -> (f64, f64), from: f64, to: f64) -> f64 {
    let (mut within, mut all) = (0.0, 0.0);
    for (off, sigma) in errors.iter().filter(|e| (from..to).contains(&e.at_s)).map(pick) {
        within += f64::from(u8::from(off.abs() <= 2.0 * sigma));
        all += 1.0;
    }
    within / all
}
