use super::*;
use crate::peers::tests::noiseless;
use crate::trace::{NETWORKS, Trace};
use dante_sim::oscillator::Model;

#[test]
fn a_line_without_noise_gives_the_exact_rate_and_no_offset() {
    let mut chrony = Chrony::default();
    let mut last = None;
    for sync in noiseless(-42_000.0, 200.0) {
        chrony.sync(&sync);
        last = Some((sync.phase_ns(&chrony.clock), chrony.clock.line().rate.ppb()));
    }
    let (phase, rate) = last.unwrap();
    assert!((rate + 42_000.0).abs() < 2.0, "{rate} ppb");
    assert!(phase.abs() < 20.0, "{phase} ns");
}

#[test]
fn the_runs_test_shortens_after_a_step_of_the_rate() {
    let model = Model {
        steps: vec![(Duration::from_secs(100), dante_core::time::Ratio::from_ppm(5.0))],
        ..Model::STEADY
    };
    let mut chrony = Chrony::default();
    let (mut before, mut fewest) = (0, MOST);
    for sync in Trace::new(&NETWORKS[0], model, 10.0, 3).take(4 * 130) {
        chrony.sync(&sync);
        if sync.at_s() < 100.0 {
            before = chrony.samples();
        } else {
            fewest = fewest.min(chrony.samples());
        }
    }
    assert!(before >= 40 && fewest <= 16, "{before} samples before, {fewest} after");
}
