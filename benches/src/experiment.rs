//! The experiments: what is run, and which figures it gives.

pub mod acquisition;
pub mod comparison;
pub mod cost;
pub mod honesty;
pub mod steady;

use crate::bound::Noise;
use crate::trace::Network;
use dante_sim::oscillator::Model;
use std::num::NonZero;
use std::thread;

/// Runs `f` for each seed, on all processors; the results are in the order of the seeds.
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

/// The value that a share of all does not exceed.
pub(crate) fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length")]
    let at = (share * values.len() as f64).ceil() as usize;
    values.get(at.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// What an optimal follower is told.
pub fn noise_of(network: &Network, model: &Model) -> Noise {
    Noise { packet_ns: network.noise_ns().0, white_ppb: model.white.ppb(), walk_ppb: model.walk.ppb() }
}
