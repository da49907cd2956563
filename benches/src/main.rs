//! Prints the accuracy table and draws the plots.
#![forbid(unsafe_code)]

use clap::Parser;
use dante_bench::before::BEFORE;
use dante_bench::bound::Optimal;
use dante_bench::experiment::coloured::{self, Condition, Figures};
use dante_bench::experiment::{clock, cost, estimate, noise_of};
use dante_bench::trace::{NETWORKS, SLOW_NETWORKS, recorded};
use dante_core::time::{Duration, Ratio};
use dante_sim::link::{Link, Profile};
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

    long_runs(args.quick)?;

    let [_, dante, _] = &NETWORKS;
    let cost = cost(dante, if args.quick { 24 } else { 168 });
    println!(
        "Cost: estimator {:.0} ns per sample in the first hour, {:.0} in the last; with the steering law {:.0}, {:.0}; {} h at 4 Hz in {:.1} s",
        cost.estimator_ns.0, cost.estimator_ns.1, cost.both_ns.0, cost.both_ns.1, cost.hours, cost.wall_s
    );
    Ok(())
}

/// Prints the figures of long runs on all networks: white and slow noise, changes of its level, other oscillators.
fn long_runs(is_quick: bool) -> anyhow::Result<()> {
    let (hours, seeds, steps) = if is_quick { (1.0, 2, 20) } else { (10.0, 4, 200) };
    let mut links: Vec<(&str, Link)> =
        NETWORKS.iter().chain(&SLOW_NETWORKS).map(|network| (network.name, network.profile.into())).collect();
    links.push((
        "trace",
        recorded("bridge-mild-25min")?.delays(Ratio::from_ppm(12.0), Duration::from_us(30)).into(),
    ));

    println!(
        "Long runs, mean of {seeds} seeds of {hours} h, pc oscillator, in brackets the previous estimator, for white noise alone"
    );
    for (name, link) in &links {
        let now = coloured::long(&Condition::steady(link.clone(), hours), seeds);
        let started = coloured::transients(link, steps, 300.0);
        let before = BEFORE.iter().find(|before| before.name == *name);
        let was = |pick: fn(&dante_bench::before::Before) -> f64| before.map_or(f64::NAN, pick);
        println!(
            "  {name:6} rate {:6.2} ppb ({:6.1}), worst {:5.0} ({:5.0}), phase {:6.0} ns ({:5.0}); steered clock: rate over 1 s {:5.1} ppb ({:5.1}), phase {:6.0} ns ({:5.0}); step of 1 ppm followed after {:5.1} s ({:5.1}) in 95 %; false breaks and jumps in 10 h {:.1} {:.1} ({:.0})",
            now.rate_ppb.0,
            was(|it| it.rate_ppb),
            now.rate_ppb.1,
            was(|it| it.worst_ppb),
            now.phase_ns,
            was(|it| it.phase_ns),
            now.clock.0,
            was(|it| it.clock_ppb),
            now.clock.1,
            was(|it| it.clock_ns),
            started.followed_s.1,
            was(|it| it.followed_s),
            now.alarms.0,
            now.alarms.1,
            was(|it| it.alarms)
        );
        let by_age = started.by_age.map(|share| percents(&share)).join(" ");
        println!(
            "         within 2 sigma, rate and phase, %: steady {} ({:.0} {:.0}); 0..10 s, 10..60 s, 60..300 s: {by_age}; after the step, without its first {:.1} s: {}",
            percents(&now.within),
            was(|it| it.within.0),
            was(|it| it.within.1),
            started.excluded_s,
            percents(&started.after_step)
        );
    }

    println!("The level of the noise changes tenfold every ten minutes, {seeds} seeds of {hours} h");
    for network in NETWORKS.iter().chain(&SLOW_NETWORKS) {
        let link: Link = Profile { delay: Duration::from_us(300), ..network.profile }.into();
        let switch = Some(Duration::from_secs(600));
        let now = coloured::long(&Condition { switch, ..Condition::steady(link, hours) }, seeds);
        println!(
            "  {:6} {}; in the 240 s after a change {}",
            network.name,
            summary(&now),
            percents(&now.after_switch)
        );
    }

    println!("Other oscillators, {seeds} seeds of {hours} h: random walk and white noise, ppb");
    for network in [&NETWORKS[0], &NETWORKS[1]] {
        for ppb in [0.1, 0.3, 3.0] {
            let noise = Ratio::from_ppb(ppb);
            let model = Model { white: noise, walk: noise, ..Model::STEADY };
            let condition = Condition { model, ..Condition::steady(network.profile, hours) };
            println!("  {:6} {ppb:3} {}", network.name, summary(&coloured::long(&condition, seeds)));
        }
    }

    println!("Other Sync intervals, {seeds} seeds of {hours} h");
    for network in NETWORKS.iter().chain(&SLOW_NETWORKS) {
        for ns in [62_500_000, 500_000_000, 2_000_000_000] {
            let condition =
                Condition { interval: Duration::from_ns(ns), ..Condition::steady(network.profile, hours) };
            let now = coloured::long(&condition, seeds);
            println!(
                "  {:6} {:6.1} ms {}",
                network.name,
                Duration::from_ns(ns).ns_f64() / 1e6,
                summary(&now)
            );
        }
    }
    Ok(())
}

fn summary(figures: &Figures) -> String {
    format!(
        "rate {:6.2} ppb, worst {:5.0}, phase {:6.0} ns; within 2 sigma, rate and phase, %: {}; false breaks and jumps in 10 h {:.1} {:.1}",
        figures.rate_ppb.0,
        figures.rate_ppb.1,
        figures.phase_ns,
        percents(&figures.within),
        figures.alarms.0,
        figures.alarms.1
    )
}

fn percents((rate, phase): &(coloured::Share, coloured::Share)) -> String {
    format!("{:.1}/{:.1}", rate.percent(), phase.percent())
}
