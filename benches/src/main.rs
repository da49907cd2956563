//! Prints the accuracy table and draws the plots.
#![forbid(unsafe_code)]

use clap::Parser;
use dante_bench::bound::Optimal;
use dante_bench::experiment::{clock, cost, estimate, noise_of};
use dante_bench::trace::NETWORKS;
use dante_sim::oscillator::Model;
use std::path::PathBuf;

mod plot;

/// Measure the accuracy of the suite, compared with other programs' algorithms and the theoretical bound
#[derive(Debug, Parser)]
struct Args {
    /// Number of seeds of each experiment
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// Use fewer seeds and shorter runs
    #[arg(long)]
    quick: bool,
    /// Folder of the plots
    #[arg(long, default_value = "docs/accuracy")]
    out: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let seeds = if args.quick { args.seeds.min(100) } else { args.seeds };
    let few = (seeds / 20).max(4);
    let span_s = if args.quick { 1_000 } else { 4_000 };
    std::fs::create_dir_all(&args.out)?;

    println!(
        "Acquisition, 95th percentile of {seeds} seeds: s after the first Sync from which on the rate stays within the bound (limit)"
    );
    for network in &NETWORKS {
        let acquired = estimate::without_guess(network, seeds);
        let limits = match network.name {
            "veth" => "(2, 8)",
            "dante" => "(10, 50)",
            _ => "(none)",
        };
        let (worst, clock) = estimate::from_stored(network, seeds).worst();
        println!(
            "  {:6} 1 ppm {:6.2}  100 ppb {:6.2} {limits}; steered clock {:6.2} {:6.2}; from a stored frequency: largest error {worst:.3} times that of the stored one, steered clock {clock:.3}",
            network.name,
            acquired.estimate_s.0,
            acquired.estimate_s.1,
            acquired.clock_s.0,
            acquired.clock_s.1
        );
    }

    println!("Steady state, {few} seeds of {span_s} s: phase ns, rate over 1 s ppb");
    let mut found = Vec::new();
    for (name, model) in [("pc", Model::PC), ("good", Model::GOOD)] {
        for network in &NETWORKS {
            let steady = clock::steady(network, &model, few, span_s);
            let (phase, rate) = steady.over_riccati();
            println!(
                "  {:6} {name:4} {:8.1} {:7.2}  Riccati {:8.1} {:7.2}  ratio {phase:.2} {rate:.2}  factor to the frontier {:.3}; clock map {:8.1} {:7.2}; noise estimated {:.0} ns, true {:.0} ns; false jumps {}",
                network.name,
                steady.clock.phase_ns,
                steady.clock.rate_ppb,
                steady.riccati.phase_ns,
                steady.riccati.rate_ppb,
                steady.factor(),
                steady.estimate.phase_ns,
                steady.estimate.rate_ppb,
                steady.noise_ns.0,
                steady.noise_ns.1,
                steady.jumps,
            );
            if name == "pc" && network.name != "busy" {
                found.push((network.name, steady));
            }
        }
    }
    plot::frontier(&args.out, &found)?;

    println!(
        "Followers, {few} seeds of {} s from a cold start: rate over 1 s, rms after 60 s (after 300 s), ppb",
        clock::COMPARISON_S
    );
    for network in &NETWORKS {
        let outcomes = clock::comparison(network, &Model::PC, few);
        let ours = outcomes.first().map_or((1.0, 1.0), |ours| ours.rate_ppb);
        let bound = Optimal::new(&noise_of(network, &Model::PC)).riccati().rate_ppb;
        for outcome in &outcomes {
            println!(
                "  {:6} {:22} {:9.1} ({:9.1})  {:6.1} ({:6.1}) times ours, {:6.1} times the bound; phase peak to peak {:9.1} us",
                network.name,
                outcome.name,
                outcome.rate_ppb.0,
                outcome.rate_ppb.1,
                outcome.rate_ppb.0 / ours.0,
                outcome.rate_ppb.1 / ours.1,
                outcome.rate_ppb.0 / bound,
                outcome.peak_to_peak_ns / 1e3
            );
        }
        plot::course(&args.out, network, &outcomes)?;
    }

    println!("Coverage of the stated uncertainty, {seeds} seeds: share of errors within 2 sigma, %");
    for (name, model) in [("pc", Model::PC), ("good", Model::GOOD)] {
        for network in &NETWORKS {
            let coverage = estimate::coverage(network, &model, seeds);
            let by_age = coverage.by_age.map(|share| format!("{:.1}", 100.0 * share)).join(" ");
            println!(
                "  {:6} {name:4} rate {:5.1} (0..10 s, 10..60 s, later: {by_age}), phase since lock {:5.1} (relative to the mean delay {:5.1}); error over sigma, rms: {:.2} {:.2}",
                network.name,
                100.0 * coverage.rate,
                100.0 * coverage.phase_since_lock,
                100.0 * coverage.phase,
                coverage.error_over_sigma.0,
                coverage.error_over_sigma.1
            );
        }
    }

    for network in &NETWORKS {
        let stepped = estimate::coverage_after_step(network, 1.0, few);
        println!(
            "  {:6} pc   rate {:5.1} after a rate step of 1 ppm, without the first {:.1} s, in which the step is not significant",
            network.name,
            100.0 * stepped.rate,
            stepped.excluded_s
        );
    }

    let [_, dante, _] = &NETWORKS;
    let cost = cost(dante, if args.quick { 24 } else { 168 });
    println!(
        "Cost: estimator {:.0} ns per sample in the first hour, {:.0} in the last; with the steering law {:.0}, {:.0}; {} h at 4 Hz in {:.1} s",
        cost.estimator_ns.0, cost.estimator_ns.1, cost.both_ns.0, cost.both_ns.1, cost.hours, cost.wall_s
    );
    Ok(())
}
