//! How soon the rate is known: from nothing, and from a stored frequency.

use super::{for_seeds, quantile, rms};
use crate::ours::Ours;
use crate::peers::Follower;
use crate::trace::{Network, PER_SECOND, Trace};
use dante_core::estimate::RateGuess;
use dante_core::time::Ratio;
use dante_sim::oscillator::Model;

/// So long each seed runs, s; what holds until then holds for good.
const SPAN_S: usize = 120;
/// Leaders are up to so far off.
const OFF_PPM: f64 = 200.0;
/// A stored frequency errs by this, ppb: a day's temperature, and another start.
pub const STORED_SIGMA_PPB: f64 = 500.0;

/// The 95th percentile over seeds of the time after the first Sync from which on something holds, s.
#[derive(Debug, Clone, Copy)]
pub struct Acquired {
    /// The estimate's rate within 1 ppm, within 100 ppb.
    pub estimate_s: (f64, f64),
    /// The same of the steered clock.
    pub clock_s: (f64, f64),
}

/// From no knowledge.
pub fn from_nothing(network: &Network, seeds: u64) -> Acquired {
    let times = for_seeds(seeds, |seed| {
        let mut ours = Ours::new(RateGuess::UNKNOWN);
        let mut last = [0.0; 4];
        for sync in Trace::drawn(network, Model::PC, OFF_PPM, seed).take(SPAN_S * PER_SECOND) {
            ours.sync(&sync);
            let estimate = ours.map().map_or(f64::INFINITY, |map| map.line.rate.ppb()) - sync.slow_ppb;
            let clock = ours.clock().line().rate.ppb() - sync.slow_ppb;
            let off = [(estimate, 1_000.0), (estimate, 100.0), (clock, 1_000.0), (clock, 100.0)];
            for (last, (off, bound)) in last.iter_mut().zip(off) {
                if off.abs() > bound {
                    // It takes the next Sync to better it.
                    *last = sync.at_s() + crate::trace::T;
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
pub fn from_stored(network: &Network, seeds: u64) -> Stored {
    use rand::SeedableRng;
    use rand_distr::Distribution;
    let runs = for_seeds(seeds, |seed| {
        let drawn: f64 = rand_distr::StandardNormal.sample(&mut rand_pcg::Pcg64Mcg::seed_from_u64(seed));
        let mut trace = Trace::drawn(network, Model::PC, 50.0, seed).peekable();
        let truth = trace.peek().map_or(0.0, |sync| sync.slow_ppb);
        let stored = truth + STORED_SIGMA_PPB * drawn;
        let guess = RateGuess { rate: Ratio::from_ppb(stored), sigma: Ratio::from_ppb(STORED_SIGMA_PPB) };
        let mut ours = Ours::new(guess);
        let syncs = trace.take(SPAN_S * PER_SECOND);
        let off = syncs.map(|sync| {
            ours.sync(&sync);
            let estimate = ours.map().map_or(stored, |map| map.line.rate.ppb());
            [estimate, ours.clock().line().rate.ppb(), stored].map(|rate| rate - sync.slow_ppb)
        });
        off.collect::<Vec<_>>()
    });
    let at = |i: usize, pick: fn(&[f64; 3]) -> f64| rms(runs.iter().filter_map(|run| run.get(i)).map(pick));
    let rms_ppb = (0..SPAN_S * PER_SECOND).map(|i| [at(i, |o| o[0]), at(i, |o| o[1]), at(i, |o| o[2])]);
    Stored { rms_ppb: rms_ppb.collect() }
}
