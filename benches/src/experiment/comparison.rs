//! All followers on the same Syncs, from a cold start.

use super::steady::rates;
use super::{for_seeds, rms};
use crate::ours::Ours;
use crate::peers::{Chrony, Dantesync, Follower, Ptp4l};
use crate::trace::{Network, PER_SECOND, Trace};
use dante_core::estimate::RateGuess;
use dante_sim::oscillator::Model;

/// So long each seed runs, s.
pub const SPAN_S: usize = 400;
/// The slowest one gets this long to settle; a kinder look after 300 s is given beside it.
const FROM_S: usize = 60;
const LATE_S: usize = 300;

/// One follower's figures over all seeds.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Who.
    pub name: &'static str,
    /// Error of the rate over 1 s, rms after 60 s and after 300 s, ppb.
    pub rate_ppb: (f64, f64),
    /// Phase, peak to peak after 60 s, the mean over seeds, ns.
    pub peak_to_peak_ns: f64,
    /// Second by second: rms over seeds of the error of the rate, ppb.
    pub course_ppb: Vec<f64>,
}

/// Ours is the first.
pub fn run(network: &Network, model: &Model, seeds: u64) -> Vec<Outcome> {
    let runs = for_seeds(seeds, |seed| {
        let mut followers: [Box<dyn Follower>; 4] = [
            Box::new(Ours::new(RateGuess::UNKNOWN)),
            Box::new(Ptp4l::default()),
            Box::new(Dantesync::default()),
            Box::new(Chrony::default()),
        ];
        let mut phases: [Vec<f64>; 4] = Default::default();
        for sync in Trace::drawn(network, model.clone(), 50.0, seed).take(SPAN_S * PER_SECOND) {
            for (follower, phases) in followers.iter_mut().zip(&mut phases) {
                follower.sync(&sync);
                phases.push(sync.phase_ns(follower.clock()));
            }
        }
        followers.map(|follower| follower.name()).into_iter().zip(phases).collect::<Vec<_>>()
    });
    let of = |who: usize| runs.iter().filter_map(move |run| run.get(who));
    (0..4)
        .map(|who| {
            let after = |s: usize| {
                rms(of(who).flat_map(|(_, phases)| rates(phases.get(s * PER_SECOND..).unwrap_or(&[]))))
            };
            let spans = of(who).map(|(_, phases)| peak_to_peak(phases.iter().skip(FROM_S * PER_SECOND)));
            let second = |s: usize| {
                rms(of(who).flat_map(|(_, phases)| {
                    rates(phases.get(s * PER_SECOND..(s + 2) * PER_SECOND).unwrap_or(&[]))
                }))
            };
            Outcome {
                name: of(who).next().map_or("", |(name, _)| *name),
                rate_ppb: (after(FROM_S), after(LATE_S)),
                peak_to_peak_ns: spans.sum::<f64>() / seeds as f64,
                course_ppb: (0..SPAN_S - 1).map(second).collect(),
            }
        })
        .collect()
}

fn peak_to_peak<'a>(values: impl Iterator<Item = &'a f64> + Clone) -> f64 {
    let highest = values.clone().copied().fold(f64::NEG_INFINITY, f64::max);
    highest - values.copied().fold(f64::INFINITY, f64::min)
}
