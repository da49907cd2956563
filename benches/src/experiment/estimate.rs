//! How good the estimate is: how soon the rate is known, from nothing and from a stored frequency, and whether the truth lies
//! where the estimate says it does.

use super::{for_seeds, quantile, rms};
use crate::ours::Ours;
use crate::peers::Follower;
use crate::trace::{BASE, LinkProfile, PER_SECOND, T, Trace};
use dante_core::estimate::RateGuess;
use dante_core::time::{Duration, Ratio};
use dante_sim::oscillator::Model;

/// Length of a run, s; what holds until then holds for good.
const ACQUISITION_S: usize = 120;
/// Leaders are up to so far off.
const OFF_PPM: f64 = 200.0;
/// A stored frequency errs by this, ppb: a day's temperature, and another start.
const STORED_SIGMA_PPB: f64 = 500.0;

/// The 95th percentile over seeds of the time after the first Sync from which on something holds, s.
#[derive(Debug, Clone, Copy)]
pub struct Acquired {
    /// The estimate's rate within 1 ppm, within 100 ppb.
    pub estimate_s: (f64, f64),
    /// The same of the steered clock.
    pub clock_s: (f64, f64),
}

/// From no knowledge.
pub fn from_nothing(network: &LinkProfile, seeds: u64) -> Acquired {
    let times = for_seeds(seeds, |seed| {
        let mut ours = Ours::new(RateGuess::UNKNOWN);
        let mut last = [0.0; 4];
        for sync in Trace::drawn(network, Model::PC, OFF_PPM, seed).take(ACQUISITION_S * PER_SECOND) {
            ours.sync(&sync);
            let estimate = ours.map().map_or(f64::INFINITY, |map| map.line.rate.ppb()) - sync.slow_ppb;
            let clock = ours.clock().line().rate.ppb() - sync.slow_ppb;
            let off = [(estimate, 1_000.0), (estimate, 100.0), (clock, 1_000.0), (clock, 100.0)];
            for (last, (off, bound)) in last.iter_mut().zip(off) {
                if off.abs() > bound {
                    // It takes the next Sync to better it.
                    *last = sync.at_s() + T;
                }
            }
        }
        last
    });
    let at = |pick: fn(&[f64; 4]) -> f64| quantile(times.iter().map(pick).collect(), 0.95);
    Acquired { estimate_s: (at(|t| t[0]), at(|t| t[1])), clock_s: (at(|t| t[2]), at(|t| t[3])) }
}

/// With a stored frequency: rms over seeds against time, beside that of the stored one.
#[derive(Debug, Clone)]
pub struct Stored {
    /// At each Sync: rms of the estimate, of the steered clock, and of the stored frequency alone, ppb.
    pub rms_ppb: Vec<[f64; 3]>,
}

impl Stored {
    /// The largest ratio to the stored frequency's alone: of the estimate, and of the clock.
    pub fn worst(&self) -> (f64, f64) {
        let ratio =
            |pick: fn(&[f64; 3]) -> f64| self.rms_ppb.iter().map(|at| pick(at) / at[2]).fold(0.0, f64::max);
        (ratio(|at| at[0]), ratio(|at| at[1]))
    }
}

/// The stored frequency errs at random, and says by how much.
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

/// Length of a run, s.
const HONESTY_S: usize = 300;

/// The share of all Syncs since lock, of all seeds, at which the truth lay within two standard deviations. The rate is
/// that without white noise, which no estimate of a rate means.
#[derive(Debug, Clone, Copy)]
pub struct Honesty {
    /// Of the rate.
    pub rate: f64,
    /// Of the leader's time, the mean delay taken off.
    pub phase: f64,
    /// Of the leader's time, the error's own mean over all seeds taken off: a filter that follows the earliest packets
    /// means another constant than the mean delay.
    pub phase_since_lock: f64,
    /// What the errors are over what they are said to be, rms, rate and phase: above 1, too bold.
    pub boldness: (f64, f64),
    /// The rate by parts of the run: 0..10 s, 10..60 s, later.
    pub by_age: [f64; 3],
}

/// After an unannounced step of the rate.
#[derive(Debug, Clone, Copy)]
pub struct Stepped {
    /// Until the sigma of a straight line, begun anew at the step, falls under a third of it, s. It is left out.
    pub left_out_s: f64,
    /// Afterwards: how often the rate lay within two standard deviations.
    pub rate: f64,
}

/// The rate steps by so much in the middle of each run.
pub fn honesty_after_step(network: &LinkProfile, ppm: f64, seeds: u64) -> Stepped {
    let at_s = (HONESTY_S / 2) as f64;
    let model = Model { steps: vec![(Duration::from_secs_f64(at_s), Ratio::from_ppm(ppm))], ..Model::PC };
    // A line through n measurements T apart has a slope of sigma sqrt(12 / n^3) / T.
    let per_interval_ppb = network.noise_ns().0 / T;
    let n = (12.0 * (3.0 * per_interval_ppb / (1e3 * ppm)).powi(2)).cbrt();
    let left_out_s = n * T;
    let seen = seen(network, &model, seeds);
    Stepped { left_out_s, rate: share(&seen, |s| s.rate, at_s + left_out_s, f64::INFINITY) }
}

struct Seen {
    at_s: f64,
    rate: (f64, f64),
    phase: (f64, f64),
}

/// `seeds` seeds.
pub fn honesty(network: &LinkProfile, model: &Model, seeds: u64) -> Honesty {
    let seen = seen(network, model, seeds);
    let n = seen.len() as f64;
    let mean = seen.iter().map(|s| s.phase.0).sum::<f64>() / n;
    let ever = f64::INFINITY;
    let since_lock = |s: &Seen| (s.phase.0 - mean, s.phase.1);
    Honesty {
        rate: share(&seen, |s| s.rate, 0.0, ever),
        phase: share(&seen, |s| s.phase, 0.0, ever),
        phase_since_lock: share(&seen, since_lock, 0.0, ever),
        boldness: (
            rms(seen.iter().map(|s| s.rate.0 / s.rate.1)),
            rms(seen.iter().map(|s| since_lock(s).0 / s.phase.1.max(1.0))),
        ),
        by_age: [(0.0, 10.0), (10.0, 60.0), (60.0, ever)]
            .map(|(from, to)| share(&seen, |s| s.rate, from, to)),
    }
}

fn seen(network: &LinkProfile, model: &Model, seeds: u64) -> Vec<Seen> {
    let mean_ns = network.noise_ns().1;
    for_seeds(seeds, |seed| {
        let mut ours = Ours::new(RateGuess::UNKNOWN);
        let mut seen = Vec::with_capacity(HONESTY_S * PER_SECOND);
        for sync in Trace::drawn(network, model.clone(), 200.0, seed).take(HONESTY_S * PER_SECOND) {
            ours.sync(&sync);
            if !ours.is_slave() {
                continue;
            }
            let Some(map) = ours.map() else { continue };
            let sigma = map.uncertainty_at(sync.arrived);
            let shown = (map.dante_at(sync.sent).ns() - sync.sent.ns() - BASE.ns()) as f64;
            seen.push(Seen {
                at_s: sync.at_s(),
                rate: (map.line.rate.ppb() - sync.slow_ppb, sigma.rate.ppb()),
                phase: (shown - sync.gained_ns + mean_ns, sigma.offset.ns() as f64),
            });
        }
        seen
    })
    .into_iter()
    .flatten()
    .collect()
}

/// How often the truth lay within two standard deviations, from one age to another.
fn share(seen: &[Seen], pick: impl Fn(&Seen) -> (f64, f64), from: f64, to: f64) -> f64 {
    let (mut within, mut all) = (0.0, 0.0);
    for (off, sigma) in seen.iter().filter(|s| (from..to).contains(&s.at_s)).map(pick) {
        within += f64::from(u8::from(off.abs() <= 2.0 * sigma));
        all += 1.0;
    }
    within / all
}
