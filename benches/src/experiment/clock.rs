//! Accuracy of the steered clock: in the steady state compared with the bound, and from a cold start compared with other
//! followers.

use super::{for_seeds, noise_of, rms};
use crate::bound::{Optimal, Point, factor_to};
use crate::ours::Ours;
use crate::peers::{Chrony, Dantesync, Follower, Ptp4l};
use crate::trace::{BASE, LinkProfile, PER_SECOND, Trace};
use dante_core::estimate::RateGuess;
use dante_sim::oscillator::Model;

/// Time before the steady state, which is not evaluated, s: several time constants of the slowest filter.
const WARM_UP_S: usize = 400;

/// Figures of the steady state, and the bound.
#[derive(Debug, Clone)]
pub struct Steady {
    /// Steered clock.
    pub clock: Point,
    /// Clock map: phase, and rate at an instant.
    pub estimate: Point,
    /// Estimated and true measurement noise, ns.
    pub noise_ns: (f64, f64),
    /// Riccati bound.
    pub riccati: Point,
    /// Figures of optimal controllers.
    pub frontier: Vec<Point>,
    /// Number of falsely detected jumps.
    pub jumps: u64,
}

impl Steady {
    /// Returns the factor to the frontier.
    pub fn factor(&self) -> f64 {
        factor_to(&self.frontier, self.clock)
    }

    /// Returns phase and rate divided by the Riccati bound.
    pub fn over_riccati(&self) -> (f64, f64) {
        (self.clock.phase_ns / self.riccati.phase_ns, self.clock.rate_ppb / self.riccati.rate_ppb)
    }
}

/// Runs each seed for `span_s` seconds after the warm-up.
pub fn steady(network: &LinkProfile, model: &Model, seeds: u64, span_s: usize) -> Steady {
    let mean_ns = network.noise_ns().1;
    let runs = for_seeds(seeds, |seed| {
        let mut ours = Ours::new(RateGuess::UNKNOWN);
        let mut phases = Vec::with_capacity(span_s * PER_SECOND);
        let mut estimates = Vec::with_capacity(span_s * PER_SECOND);
        let mut noises = 0.0;
        for sync in Trace::drawn(network, model.clone(), 50.0, seed).take((WARM_UP_S + span_s) * PER_SECOND) {
            ours.sync(&sync);
            if sync.at_s() < WARM_UP_S as f64 {
                continue;
            }
            phases.push(sync.phase_ns(ours.clock()));
            noises += ours.noise().ns() as f64;
            if let Some(map) = ours.map() {
                let shown = (map.dante_at(sync.sent).ns() - sync.sent.ns() - BASE.ns()) as f64;
                estimates.push((shown - sync.gained_ns + mean_ns, map.line.rate.ppb() - sync.slow_ppb));
            }
        }
        (phases, estimates, noises, ours.jumps())
    });
    // The mean of each run is removed, because K is set at its lock; the mean error of all clock maps, because it is the path
    // delay.
    let phases = runs.iter().flat_map(|run| without_mean(run.0.iter().copied()));
    let rates = runs.iter().flat_map(|run| rates(&run.0));
    let clock = Point { phase_ns: rms(phases), rate_ppb: rms(rates) };
    let of_estimate = |pick: fn(&(f64, f64)) -> f64| runs.iter().flat_map(|run| &run.1).map(pick);
    let estimate =
        Point { phase_ns: rms(without_mean(of_estimate(|e| e.0))), rate_ppb: rms(of_estimate(|e| e.1)) };
    let samples: f64 = runs.iter().map(|run| run.0.len() as f64).sum();
    let noise = noise_of(network, model);
    let optimal = Optimal::new(&noise);
    Steady {
        clock,
        estimate,
        noise_ns: (runs.iter().map(|run| run.2).sum::<f64>() / samples, noise.packet_ns),
        riccati: optimal.riccati(),
        frontier: optimal.frontier(),
        jumps: runs.iter().map(|run| run.3).sum(),
    }
}

/// Returns the mean rates over 1 s, ppb, from the phases at each Sync, ns.
fn rates(phases: &[f64]) -> impl Iterator<Item = f64> {
    phases.iter().zip(phases.iter().skip(PER_SECOND)).map(|(before, after)| after - before)
}

fn without_mean(values: impl Iterator<Item = f64> + Clone) -> impl Iterator<Item = f64> {
    let (sum, n) = values.clone().fold((0.0, 0.0), |(sum, n), value| (sum + value, n + 1.0));
    values.map(move |value| value - sum / n)
}

/// Length of a run of the comparison, s.
pub const COMPARISON_S: usize = 400;
/// Time that a follower has to settle, s.
const SETTLED_S: usize = 60;
/// A longer time to settle, for the second figure, s.
const LATE_S: usize = 300;

/// Figures of one follower over all seeds.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Name of the follower.
    pub name: &'static str,
    /// Error of the rate over 1 s, rms after 60 s and after 300 s, ppb.
    pub rate_ppb: (f64, f64),
    /// Phase error, peak to peak after 60 s, mean over seeds, ns.
    pub peak_to_peak_ns: f64,
    /// Error of the rate for each second, rms over seeds, ppb.
    pub course_ppb: Vec<f64>,
}

/// Runs all followers on the same Syncs, from a cold start. The first one is ours.
pub fn comparison(network: &LinkProfile, model: &Model, seeds: u64) -> Vec<Outcome> {
    let runs = for_seeds(seeds, |seed| {
        let mut followers: [Box<dyn Follower>; 4] = [
            Box::new(Ours::new(RateGuess::UNKNOWN)),
            Box::new(Ptp4l::default()),
            Box::new(Dantesync::default()),
            Box::new(Chrony::default()),
        ];
        let mut phases: [Vec<f64>; 4] = Default::default();
        for sync in Trace::drawn(network, model.clone(), 50.0, seed).take(COMPARISON_S * PER_SECOND) {
            for (follower, phases) in followers.iter_mut().zip(&mut phases) {
                follower.sync(&sync);
                phases.push(sync.phase_ns(follower.clock()));
            }
        }
        followers.map(|follower| follower.name()).into_iter().zip(phases).collect::<Vec<_>>()
    });
    let of = |follower: usize| runs.iter().filter_map(move |run| run.get(follower));
    (0..4)
        .map(|follower| {
            let after = |s: usize| {
                rms(of(follower).flat_map(|(_, phases)| rates(phases.get(s * PER_SECOND..).unwrap_or(&[]))))
            };
            let spans =
                of(follower).map(|(_, phases)| peak_to_peak(phases.iter().skip(SETTLED_S * PER_SECOND)));
            let second = |s: usize| {
                rms(of(follower).flat_map(|(_, phases)| {
                    rates(phases.get(s * PER_SECOND..(s + 2) * PER_SECOND).unwrap_or(&[]))
                }))
            };
            Outcome {
                name: of(follower).next().map_or("", |(name, _)| *name),
                rate_ppb: (after(SETTLED_S), after(LATE_S)),
                peak_to_peak_ns: spans.sum::<f64>() / seeds as f64,
                course_ppb: (0..COMPARISON_S - 1).map(second).collect(),
            }
        })
        .collect()
}

fn peak_to_peak<'a>(values: impl Iterator<Item = &'a f64> + Clone) -> f64 {
    let highest = values.clone().copied().fold(f64::NEG_INFINITY, f64::max);
    highest - values.copied().fold(f64::INFINITY, f64::min)
}
