use super::*;
use crate::peers::tests::noiseless;

#[test]
fn phases_change_at_5_and_half_a_microsecond_a_second() {
    assert_eq!(Phase::after(5.1, 100), Phase::Acquiring);
    assert_eq!(Phase::after(-4.9, 100), Phase::Production);
    assert_eq!(Phase::after(0.4, 14), Phase::Production);
    assert_eq!(Phase::after(-0.4, 15), Phase::Nano);
    assert_eq!(Phase::after(0.6, 100), Phase::Production);
}

#[test]
fn it_passes_through_all_phases_and_ends_within_the_dead_band() {
    let mut dantesync = Dantesync::default();
    let mut seen = vec![Phase::Acquiring];
    let mut settled = 0.0;
    for sync in noiseless(30_000.0, 1_000.0) {
        dantesync.sync(&sync);
        if seen.last() != Some(&dantesync.phase()) {
            seen.push(dantesync.phase());
        }
        if sync.at_s() < 600.0 {
            settled = dantesync.clock.line().rate.ppb();
        }
    }
    // The median reaches back beyond the last change, so the first ones overshoot.
    assert_eq!((seen[1], seen.last()), (Phase::Production, Some(&Phase::Nano)), "{seen:?}");
    let last = dantesync.clock.line().rate.ppb();
    assert!((last - 30_000.0).abs() < 101.0, "{last} ppb");
    assert_eq!(last, settled, "what lies in the dead band stays");
}

#[test]
fn a_spike_changes_nothing_and_a_lasting_change_gets_through() {
    let mut dantesync = Dantesync::default();
    for (i, rate) in (0..20).map(|i| (i, if i % 2 == 0 { 0.2 } else { -0.2 })) {
        dantesync.rates.push(rate);
        dantesync.last = Some((BEGIN + Duration::from_secs(i), 0.0));
    }
    let mut offset = 0.0;
    let mut frequencies = Vec::new();
    for at in 20..26 {
        offset += 50_000.0;
        dantesync.measured(BEGIN + Duration::from_secs(at), offset);
        frequencies.push(dantesync.clock.line().rate.ppm());
    }
    assert_eq!(frequencies[0], 0.0);
    assert!(frequencies[5] < -10.0, "{frequencies:?}");
}
