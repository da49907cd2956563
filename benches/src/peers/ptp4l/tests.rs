use super::*;
use crate::peers::tests::noiseless;

#[test]
fn gains_are_those_of_software_time_stamps() {
    let (kp, ki) = gains(0.25);
    assert!((kp - 0.151_57).abs() < 1e-4 && (ki - 5.743e-4).abs() < 1e-6, "{kp} {ki}");
    // Syncs that are far apart: the norms bound them.
    assert_eq!(gains(10_000.0).1, 0.3 / 10_000.0);
}

#[test]
fn first_estimate_comes_after_0_016_over_ki() {
    let mut ptp4l = Ptp4l::default();
    let mut at = None;
    for sync in noiseless(30_000.0, 60.0) {
        ptp4l.sync(&sync);
        if at.is_none() && ptp4l.clock.line().rate.ppb() != 0.0 {
            at = Some(sync.at_s());
            assert!((ptp4l.clock.line().rate.ppb() - 30_000.0).abs() < 1.0);
        }
    }
    let at = at.unwrap();
    assert!((at - 0.016 / 5.743e-4).abs() < 0.6, "{at} s");
}

#[test]
fn a_step_of_phase_decays_as_the_closed_form_says() {
    let (mut ptp4l, mut syncs) = (Ptp4l::default(), noiseless(0.0, 100.0));
    for sync in syncs.by_ref().take(4 * 40) {
        ptp4l.sync(&sync);
    }
    ptp4l.clock.step(Duration::from_us(100));
    let (kp, ki) = gains(0.25);
    // Characteristic equation of the loop: z^2 - (2 - T (kp + ki)) z + 1 - T kp = 0.
    let (sum, product) = (2.0 - T * (kp + ki), 1.0 - T * kp);
    let root = (sum * sum / 4.0 - product).sqrt();
    let (z1, z2) = (sum / 2.0 + root, sum / 2.0 - root);
    // From e0 = 100 us and e1 = (1 - T (kp + ki)) e0.
    let e0 = 100_000.0;
    let b = ((1.0 - T * (kp + ki)) * e0 - z1 * e0) / (z2 - z1);
    for (k, sync) in (0..160).zip(syncs) {
        let expected = (e0 - b) * z1.powi(k) + b * z2.powi(k);
        let seen = sync.phase_ns(&ptp4l.clock);
        assert!((seen - expected).abs() < 30.0, "{k}: {seen} {expected}");
        ptp4l.sync(&sync);
    }
}
