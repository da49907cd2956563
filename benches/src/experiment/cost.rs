//! What a sample costs, at the begin and after a week.

use crate::ours::Ours;
use crate::trace::{Network, PER_SECOND, Trace};
use dante_core::estimate::RateGuess;
use dante_sim::oscillator::Model;
use std::time::Instant;

/// Wall time.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// The estimator alone: first hour and last hour, ns a sample.
    pub estimator_ns: (f64, f64),
    /// With the law.
    pub both_ns: (f64, f64),
    /// The whole simulation, s, and how much it simulated.
    pub wall_s: f64,
    /// Hours.
    pub hours: usize,
}

/// So many simulated hours at 4 Hz.
pub fn run(network: &Network, hours: usize) -> Cost {
    let begin = Instant::now();
    let mut ours = Ours::new(RateGuess::UNKNOWN);
    let mut trace = Trace::new(network, Model::PC, 12.0, 1);
    let per_hour = 3_600 * PER_SECOND;
    let mut spent: Vec<(f64, f64)> = Vec::with_capacity(hours);
    for hour in 0..hours {
        let syncs: Vec<_> = trace.by_ref().take(per_hour).collect();
        // What is not measured runs without looking at the watch.
        if hour > 0 && hour + 1 < hours {
            for sync in &syncs {
                ours.estimate(sync);
                ours.steer(sync.arrived);
            }
            continue;
        }
        let (mut estimator, mut both) = (0.0, 0.0);
        for sync in &syncs {
            let start = Instant::now();
            ours.estimate(sync);
            estimator += start.elapsed().as_secs_f64();
            ours.steer(sync.arrived);
            both += start.elapsed().as_secs_f64();
        }
        let each = 1e9 / per_hour as f64;
        spent.push((estimator * each, both * each));
    }
    let (first, last) =
        (spent.first().copied().unwrap_or_default(), spent.last().copied().unwrap_or_default());
    Cost {
        estimator_ns: (first.0, last.0),
        both_ns: (first.1, last.1),
        wall_s: begin.elapsed().as_secs_f64(),
        hours,
    }
}
