use super::*;
use crate::time::{Affine, Correlation, TEST_UTC_NS, Uncertainty, Wander};

const KEY: TimelineKey = TimelineKey { instance: 7, number: 1 };

fn map(ppm: f64, dante0: i64) -> ClockMap {
    ClockMap {
        line: Affine { raw0: Timestamp::ZERO, at0: Timestamp::from_ns(dante0), rate: Ratio::from_ppm(ppm) },
        sigma: Uncertainty { offset: Duration::ZERO, rate: Ratio::from_ppb(10.0) },
        correlation: Correlation::ZERO,
        wander: Wander::ZERO,
    }
}

fn at(ms: i64) -> Timestamp<Raw> {
    Timestamp::from_ns(ms * 1_000_000)
}

fn utc(ns: i64) -> Timestamp<Real> {
    Timestamp::from_ns(TEST_UTC_NS + ns)
}

fn scale() -> Timescale {
    Timescale::fixed_at(KEY, map(12.0, 5_000), at(0), utc(0))
}

/// Checks the formula of docs/pages.md, in integers.
#[test]
fn piece_gives_utc_to_the_ns_and_rounds_down() {
    let piece =
        |slope| Piece { origin: 1, serial: 1, dante0: Timestamp::from_ns(1_000), utc0: utc(0), slope };
    let after = |slope, ns| (piece(slope).utc_at(Timestamp::from_ns(1_000 + ns)) - utc(0)).ns();
    assert_eq!([after(0, 5), after(0, -5)], [5, -5]);
    // 2^-48 of an hour is 0.0128 ns, rounded down: 0 if positive, -1 if negative.
    let hour = 3_600_000_000_000;
    assert_eq!([after(1, hour), after(-1, hour), after(1, -hour)], [hour, hour - 1, -hour - 1]);
    // 5 ppm of ten years: a product of 2^79.
    let slope = 1_407_374_884;
    let years = 10 * 365 * 24 * hour;
    let exact = (i128::from(years) * i128::from(slope)) >> 48;
    assert_eq!(i128::from(after(slope, years) - years), exact);
}

#[test]
fn rate_that_changes_with_each_sync_loses_no_fraction_of_a_ns() {
    let mut scale = scale();
    let mut expected = 0.0;
    for n in 0..40_000 {
        let rate = Ratio::from_ppb(if n % 2 == 0 { 0.7 } else { 1.3 });
        scale.set_rate(at(n * 250), rate);
        expected += rate.ppb() * 0.25 * 1.000_012;
    }
    let end = at(40_000 * 250);
    let gained = scale.epoch_at(end).ns() - scale_epoch();
    assert!((gained as f64 - expected).abs() < 2.0, "{gained} ns instead of {expected:.1}");
    assert_eq!(scale.piece().serial, 40_001);
}

fn scale_epoch() -> i64 {
    scale().epoch_at(at(0)).ns()
}

#[test]
fn new_rate_starts_a_piece_without_a_jump_and_the_same_rate_starts_none() {
    let mut scale = scale();
    scale.set_rate(at(0), Ratio::from_ppm(5.0));
    let piece = scale.piece();
    scale.set_rate(at(250), Ratio::from_ppm(5.0));
    assert_eq!(scale.piece(), piece);
    let before = scale.utc_at(at(1_000));
    scale.set_rate(at(1_000), Ratio::from_ppm(-5.0));
    assert_eq!(((scale.utc_at(at(1_000)) - before).ns(), scale.piece().serial), (0, piece.serial + 1));
}

#[test]
fn new_timeline_changes_k_and_not_utc() {
    let mut scale = scale();
    scale.set_rate(at(0), Ratio::from_ppm(1.0));
    let before = scale.utc_at(at(2_000));
    let other = TimelineKey { instance: 7, number: 2 };
    let change = scale.follow(other, map(-40.0, 77_000_000_000), at(2_000)).expect("a change");
    assert_eq!(((scale.utc_at(at(2_000)) - before).ns(), scale.key()), (0, other));
    assert_eq!(change.to, scale.epoch_at(at(2_000)));
    assert!(change.from.ns() - change.to.ns() > 70_000_000_000);
    assert!(scale.follow(other, map(-40.0, 77_000_000_000), at(3_000)).is_none());
}

#[test]
fn map_that_does_not_continue_the_previous_one_changes_k_and_not_utc() {
    // An hour without a measurement, and a leader that ran 0.5 ppm faster meanwhile.
    let hour = 3_600_000;
    let returned = |us: i64| {
        let line = Affine {
            raw0: at(hour),
            at0: map(12.0, 5_000).dante_at(at(hour)) + Duration::from_us(us),
            rate: Ratio::from_ppm(12.5),
        };
        ClockMap { line, ..map(12.5, 0) }
    };
    for (us, replaced) in [(1_800, true), (-21, true), (20, false), (-19, false), (0, false)] {
        let mut scale = scale();
        let before = (scale.utc_at(at(hour)), scale.piece());
        let change = scale.follow(KEY, returned(us), at(hour));
        assert_eq!(
            change.map(|change| change.replaced),
            replaced.then_some(Replaced::Map(Duration::from_us(us)))
        );
        if replaced {
            assert_eq!(scale.utc_at(at(hour)), before.0, "{us} us");
        } else {
            assert_eq!((scale.utc_at(at(hour)) - before.0, scale.piece()), (Duration::from_us(us), before.1));
        }
    }
}

#[test]
fn restarted_dante4l_with_the_same_leader_keeps_k() {
    let mut scale = scale();
    let before = scale.piece();
    let other = TimelineKey { instance: 8, number: 1 };
    assert_eq!(scale.follow(other, map(12.0, 5_003), at(2_000)), None);
    assert_eq!((scale.key(), scale.piece()), (other, before));
}

#[test]
fn leap_second_is_counted_outside_k_and_does_not_move_utc() {
    let mut scale = scale();
    // The kernel inserted a leap second, so the clock is a second behind the piece: first K is set to the clock.
    let shown = scale.utc_at(at(1_000)) - Duration::from_secs(1);
    scale.refix(at(1_000), shown);
    let before = scale.piece().utc_at(Timestamp::ZERO);
    scale.count_leap(at(1_000), Duration::from_ms(-1_000));
    assert_eq!((scale.utc_at(at(1_000)), scale.leap_seconds()), (shown, -1));
    assert_eq!((scale.piece().utc_at(Timestamp::ZERO) - before).ns(), 1_000_000_000);
    // K set after it includes the leap second.
    scale.refix(at(2_000), utc(42));
    assert_eq!(scale.utc_at(at(2_000)), utc(42));
    // A deleted leap second cancels the inserted one.
    let (shown, piece) = (scale.utc_at(at(3_000)) + Duration::from_secs(1), scale.piece());
    scale.refix(at(3_000), shown);
    scale.count_leap(at(3_000), Duration::from_ms(999));
    assert_eq!((scale.utc_at(at(3_000)), scale.leap_seconds()), (shown, 0));
    let kept = scale.piece().utc_at(Timestamp::ZERO) - piece.utc_at(Timestamp::ZERO);
    assert_eq!(kept.ns(), 0, "the piece does not contain the leap second");
}

#[test]
fn step_of_utc_starts_a_piece_at_its_instant() {
    let mut scale = scale();
    scale.set_rate(at(0), Ratio::from_ppm(5.0));
    let (before, piece) = (scale.utc_at(at(4_000)), scale.piece());
    scale.shift(at(4_000), Duration::from_ms(-12));
    assert_eq!((scale.utc_at(at(4_000)) - before).ns(), -12_000_000);
    let next = scale.piece();
    assert_eq!((next.serial, next.slope), (piece.serial + 1, piece.slope));
    assert_eq!(next.dante0, scale.map().dante_at(at(4_000)), "UTC before the step does not change");
}
