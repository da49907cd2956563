//! The experiments and their figures.

pub mod clock;
pub mod coloured;
pub mod estimate;

use crate::bound::Noise;
use crate::ours::Ours;
use crate::trace::{LinkProfile, PER_SECOND, Trace};
use dante_core::estimate::RateGuess;
use dante_sim::oscillator::Model;
use std::num::NonZero;
use std::thread;
use std::time::Instant;

/// Runs `f` for each seed on all processors. Returns the results in the order of the seeds.
pub(crate) fn for_seeds<R: Send>(seeds: u64, f: impl Fn(u64) -> R + Copy + Send) -> Vec<R> {
    let workers = thread::available_parallelism().map_or(1, NonZero::get);
    let seeds: Vec<u64> = (0..seeds).collect();
    let share = seeds.len().div_ceil(workers).max(1);
    thread::scope(|scope| {
        let parts =
            seeds.chunks(share).map(|part| scope.spawn(move || part.iter().map(|&seed| f(seed)).collect()));
        let parts: Vec<_> = parts.collect();
        let joined = parts
            .into_iter()
            .map(|part| -> Vec<R> { part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) });
        joined.flatten().collect()
    })
}

/// Root mean square.
pub(crate) fn rms(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for value in values {
        sum += value * value;
        n += 1.0;
    }
    if n > 0.0 { f64::sqrt(sum / n) } else { f64::NAN }
}

/// Returns the value that `share` of all values do not exceed.
pub(crate) fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
    let at = (share * values.len() as f64).ceil() as usize;
    values.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Returns the noise of a network and an oscillator, for the optimal follower.
pub fn noise_of(network: &LinkProfile, model: &Model) -> Noise {
    Noise { packet_ns: network.noise_ns().0, white_ppb: model.white.ppb(), walk_ppb: model.walk.ppb() }
}

/// Processor time of a sample, by wall clock.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Estimator alone: first hour and last hour, ns per sample.
    pub estimator_ns: (f64, f64),
    /// Estimator and steering law: first hour and last hour, ns per sample.
    pub both_ns: (f64, f64),
    /// Wall time of the whole simulation, s.
    pub wall_s: f64,
    /// Simulated time, hours.
    pub hours: usize,
}

/// Measures the time of a sample in the first and in the last of `hours` simulated hours at 4 Hz.
pub fn cost(network: &LinkProfile, hours: usize) -> Cost {
    let begin = Instant::now();
    let mut ours = Ours::new(RateGuess::UNKNOWN);
    let mut trace = Trace::new(network, Model::PC, 12.0, 1);
    let per_hour = 3_600 * PER_SECOND;
    let mut spent: Vec<(f64, f64)> = Vec::with_capacity(hours);
    for hour in 0..hours {
        let syncs: Vec<_> = trace.by_ref().take(per_hour).collect();
        // Hours that are not measured run without reading the clock.
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
