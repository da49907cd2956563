//! The limits that accuracy is held to, with few seeds: `make bench` has the thousand.
//!
//! Seeds are fixed, so each of these passes or fails for good. What the fewer seeds may add to a figure is stated with
//! each limit.

use dante_bench::bound::Optimal;
use dante_bench::experiment::{clock, estimate, noise_of};
use dante_bench::ours::Ours;
use dante_bench::trace::{LinkProfile, NETWORKS, PER_SECOND, Trace};
use dante_core::estimate::RateGuess;
use dante_sim::oscillator::Model;

const VETH: &LinkProfile = &NETWORKS[0];
const DANTE: &LinkProfile = &NETWORKS[1];
const BUSY: &LinkProfile = &NETWORKS[2];

/// The 95th percentile of 100 seeds scatters by some 5 % of the time.
const OF_PERCENTILE: f64 = 1.1;
/// An rms over 400 seeds scatters by 3.5 % of itself, but that of the estimate and that of the stored frequency scatter
/// together; what is between them by a third of that.
const OF_STORED: f64 = 1.012;
/// The rms of 5 runs of 2000 s, each of some 30 time constants of the slowest filter: 6 %.
const OF_STEADY: f64 = 1.06;

#[test]
fn rate_is_known_soon() {
    for (network, ppm, tenth) in [(VETH, 2.0, 8.0), (DANTE, 10.0, 50.0)] {
        let acquired = estimate::from_nothing(network, 100).estimate_s;
        assert!(acquired.0 <= OF_PERCENTILE * ppm, "{}: 1 ppm after {} s", network.name, acquired.0);
        assert!(acquired.1 <= OF_PERCENTILE * tenth, "{}: 100 ppb after {} s", network.name, acquired.1);
    }
}

/// With a tenth of the packets late by up to 300 us three of the first ten may be, and nothing can tell then: there the
/// first seconds can be worse than the stored frequency, by how much stands in the table.
#[test]
fn estimate_is_never_worse_than_a_stored_frequency() {
    for network in &[VETH, DANTE] {
        let (estimate, _) = estimate::from_stored(network, 400).worst();
        assert!(estimate <= OF_STORED, "{}: {estimate} times the stored frequency's rms", network.name);
    }
}

#[test]
fn steady_state_is_close_to_the_bound() {
    let [veth, dante, busy] = [VETH, DANTE, BUSY].map(|network| clock::steady(network, &Model::PC, 5, 2_000));
    for (name, steady) in [("veth", &veth), ("dante", &dante)] {
        let (phase, rate) = steady.over_riccati();
        assert!(steady.factor() <= 1.2 * OF_STEADY, "{name}: {} times the frontier", steady.factor());
        assert!(phase <= 1.6 * OF_STEADY, "{name}: phase {phase} times the bound");
        assert!(rate <= 1.6 * OF_STEADY, "{name}: rate {rate} times the bound");
    }
    let (phase, rate) =
        (busy.clock.phase_ns / dante.clock.phase_ns, busy.clock.rate_ppb / dante.clock.rate_ppb);
    assert!(phase <= 1.5 * OF_STEADY && rate <= 1.5 * OF_STEADY, "busy: {phase} and {rate} times dante");
    assert_eq!((veth.jumps, dante.jumps, busy.jumps), (0, 0, 0));
}

/// Ten times better than ptp4l and dantesync, three times than chrony. Where a peer is nearer to the bound than that,
/// nothing can be so much better, and 1.6 times the bound has to do.
#[test]
fn peers_are_far_behind() {
    for network in &NETWORKS {
        let bound = Optimal::new(&noise_of(network, &Model::PC)).riccati().rate_ppb;
        let outcomes = clock::comparison(network, &Model::PC, 6);
        let ours = outcomes[0].rate_ppb.0;
        for (peer, factor) in outcomes[1..].iter().zip([10.0_f64, 10.0, 3.0]) {
            let better = peer.rate_ppb.0 / ours;
            let possible = factor.min(peer.rate_ppb.0 / (1.6 * OF_STEADY * bound));
            assert!(better >= possible, "{}: {better} times better than {}", network.name, peer.name);
        }
    }
}

/// Between 90 % and 99 %; 60 seeds scatter by half a per cent.
#[test]
fn uncertainty_is_honest() {
    for network in &NETWORKS {
        let honesty = estimate::honesty(network, &Model::PC, 60);
        for (what, share) in [("rate", honesty.rate), ("phase", honesty.phase_since_lock)] {
            assert!((0.895..=0.995).contains(&share), "{}: {what} within 2 sigma: {share}", network.name);
        }
    }
}

/// What statistics needs to notice it is left out. 40 seeds: 1 %.
#[test]
fn uncertainty_is_honest_after_a_step_of_the_rate() {
    for network in &NETWORKS {
        let stepped = estimate::honesty_after_step(network, 1.0, 40);
        assert!(
            (0.89..=1.0).contains(&stepped.rate),
            "{}: {} s after a step the rate is within 2 sigma: {}",
            network.name,
            stepped.left_out_s,
            stepped.rate
        );
    }
}

/// However long it runs: the windows are of fixed size, and lie in the estimator itself. What a sample takes is the benchmark's
/// to tell.
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
