//! Limits of the accuracy, checked with few seeds; `make bench` uses a thousand.
//!
//! Seeds are fixed, so the result of a test does not vary. Each limit includes the scatter from the small number of seeds.

use dante_bench::bound::Optimal;
use dante_bench::experiment::coloured::{self, Condition};
use dante_bench::experiment::{clock, estimate, noise_of};
use dante_bench::ours::Ours;
use dante_bench::trace::{LinkProfile, NETWORKS, PER_SECOND, SLOW_NETWORKS, Trace};
use dante_core::estimate::RateGuess;
use dante_sim::oscillator::Model;

const VETH: &LinkProfile = &NETWORKS[0];
const DANTE: &LinkProfile = &NETWORKS[1];
const BUSY: &LinkProfile = &NETWORKS[2];

/// Factor for the 95th percentile of 100 seeds, which scatters by about 5 %.
const PERCENTILE_SCATTER: f64 = 1.1;
/// Factor for the ratio of two rms values over 400 seeds. Each scatters by 3.5 %, but both scatter together, and their ratio by a
/// third of that.
const STORED_SCATTER: f64 = 1.012;
/// Factor for the rms of 5 runs of 2000 s, each about 30 time constants of the slowest filter, which scatters by 6 %.
const STEADY_SCATTER: f64 = 1.06;

#[test]
fn acquisition_time_is_within_limits() {
    for (network, ppm, tenth) in [(VETH, 2.0, 8.0), (DANTE, 10.0, 50.0)] {
        let acquired = estimate::without_guess(network, 100).estimate_s;
        assert!(acquired.0 <= PERCENTILE_SCATTER * ppm, "{}: 1 ppm after {} s", network.name, acquired.0);
        assert!(acquired.1 <= PERCENTILE_SCATTER * tenth, "{}: 100 ppb after {} s", network.name, acquired.1);
    }
}

/// There is no limit for `busy`: with 10 % late packets, three of the first ten may be late, which cannot be detected. The clock
/// map can then be worse in the first seconds.
#[test]
fn clock_map_is_never_worse_than_the_stored_frequency() {
    for network in &[VETH, DANTE] {
        let (estimate, _) = estimate::from_stored(network, 400).worst();
        assert!(estimate <= STORED_SCATTER, "{}: {estimate} times the stored frequency's rms", network.name);
    }
}

#[test]
fn steady_state_is_close_to_the_bound() {
    let [veth, dante, busy] = [VETH, DANTE, BUSY].map(|network| clock::steady(network, &Model::PC, 5, 2_000));
    for (name, steady) in [("veth", &veth), ("dante", &dante)] {
        let (phase, rate) = steady.over_riccati();
        assert!(steady.factor() <= 1.2 * STEADY_SCATTER, "{name}: {} times the frontier", steady.factor());
        assert!(phase <= 1.6 * STEADY_SCATTER, "{name}: phase {phase} times the bound");
        assert!(rate <= 1.6 * STEADY_SCATTER, "{name}: rate {rate} times the bound");
    }
    let (phase, rate) =
        (busy.clock.phase_ns / dante.clock.phase_ns, busy.clock.rate_ppb / dante.clock.rate_ppb);
    assert!(
        phase <= 1.5 * STEADY_SCATTER && rate <= 1.5 * STEADY_SCATTER,
        "busy: {phase} and {rate} times dante"
    );
    assert_eq!((veth.jumps, dante.jumps, busy.jumps), (0, 0, 0));
}

/// Requires ten times better rates than ptp4l and dantesync, and three times better than chrony. Where a peer is too close to the
/// bound for that, the limit is 1.6 times the bound.
#[test]
fn rate_is_better_than_that_of_peers() {
    for network in &NETWORKS {
        let bound = Optimal::new(&noise_of(network, &Model::PC)).riccati().rate_ppb;
        let outcomes = clock::comparison(network, &Model::PC, 6);
        let ours = outcomes[0].rate_ppb.0;
        for (peer, factor) in outcomes[1..].iter().zip([10.0_f64, 10.0, 3.0]) {
            let better = peer.rate_ppb.0 / ours;
            let possible = factor.min(peer.rate_ppb.0 / (1.6 * STEADY_SCATTER * bound));
            assert!(better >= possible, "{}: {better} times better than {}", network.name, peer.name);
        }
    }
}

/// Requires a coverage between 90 % and 99 %; 60 seeds scatter by 0.5 %.
#[test]
fn stated_uncertainty_covers_the_errors() {
    for network in &NETWORKS {
        let coverage = estimate::coverage(network, &Model::PC, 60);
        for (what, share) in [("rate", coverage.rate), ("phase", coverage.phase_since_lock)] {
            assert!((0.895..=0.995).contains(&share), "{}: {what} within 2 sigma: {share}", network.name);
        }
    }
}

/// The time in which the step is not significant is excluded. 40 seeds scatter by 1 %. The measured coverage is 90 to 97 %; ten
/// times the sigma covers 98 % on `veth`, since errors before the step is detected exceed even that.
#[test]
fn stated_uncertainty_covers_the_errors_after_a_rate_step() {
    for network in &NETWORKS {
        let stepped = estimate::coverage_after_step(network, 1.0, 40);
        assert!(
            (0.89..=0.99).contains(&stepped.rate),
            "{}: {} s after a step the rate is within 2 sigma: {}",
            network.name,
            stepped.excluded_s,
            stepped.rate
        );
    }
}

/// Delays that change slowly: rate and phase rms, coverage and false breaks over four hours; each figure scatters by 20 %.
#[test]
fn slow_delays_are_covered() {
    const SCATTER: f64 = 1.4;
    let limits =
        [("ar1", 10.5, 620.0), ("ar5", 13.0, 1_100.0), ("ar20", 17.0, 1_850.0), ("bridge", 12.0, 1_000.0)];
    for (network, (name, rate_ppb, phase_ns)) in SLOW_NETWORKS.iter().zip(limits) {
        assert_eq!(network.name, name);
        let found = coloured::long(&Condition::steady(network.profile, 1.0), 4);
        println!("{name}: {found:?}");
        assert!(found.rate_ppb.0 <= SCATTER * rate_ppb, "{name}: rate {} ppb", found.rate_ppb.0);
        assert!(found.phase_ns <= SCATTER * phase_ns, "{name}: phase {} ns", found.phase_ns);
        let (rate, phase) = (found.within.0.percent(), found.within.1.percent());
        assert!(rate > 85.0 && phase > 80.0, "{name}: {rate} and {phase} % within 2 sigma");
        assert_eq!(found.alarms, (0.0, 0.0), "{name}: false breaks and jumps");
    }
}

/// All windows have a fixed size and are part of the estimator. `make bench` measures the time of a sample.
#[test]
fn memory_does_not_grow() {
    let mut ours = Ours::new(RateGuess::UNKNOWN);
    let mut trace = Trace::new(DANTE, Model::PC, 12.0, 1);
    for hour in 0..12 {
        let syncs: Vec<_> = trace.by_ref().take(3_600 * PER_SECOND).collect();
        let allocated = allocation_counter::measure(|| {
            for sync in &syncs {
                ours.estimate(sync);
                ours.steer(sync.arrived);
            }
        });
        assert_eq!(allocated.count_total, 0, "hour {hour}: {allocated:?}");
    }
}
