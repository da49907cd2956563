use super::*;
use crate::time::{Affine, Correlation, Uncertainty, Wander};

const KEY: TimelineKey = TimelineKey { instance: 7, number: 1 };

fn map(ppm: f64, dante0: i64) -> ClockMap {
    ClockMap {
        line: Affine { raw0: Timestamp::ZERO, at0: Timestamp::from_ns(dante0), rate: Ratio::from_ppm(ppm) },
        sigma: Uncertainty { offset: Duration::from_ns(100), rate: Ratio::from_ppb(10.0) },
        correlation: Correlation::ZERO,
        wander: Wander::ZERO,
    }
}

fn at(ms: i64) -> Timestamp<Raw> {
    Timestamp::from_ns(ms * 1_000_000)
}

fn utc(ns: i64) -> Timestamp<Real> {
    Timestamp::from_ns(1_795_000_000_000_000_000 + ns)
}

fn scale() -> Timescale {
    Timescale::fixed_at(KEY, map(12.0, 5_000), at(0), utc(0))
}

/// The formula of docs/pages.md, in whole numbers, written out once more.
#[test]
fn a_piece_gives_utc_to_the_ns_and_rounds_downwards() {
    let piece =
        |slope| Piece { origin: 1, serial: 1, dante0: Timestamp::from_ns(1_000), utc0: utc(0), slope };
    let after = |slope, ns| (piece(slope).utc_at(Timestamp::from_ns(1_000 + ns)) - utc(0)).ns();
    assert_eq!([after(0, 5), after(0, -5)], [5, -5]);
    // 2^-48 of an hour is 0.0128 ns: floor is 0 ahead and -1 behind.
    let hour = 3_600_000_000_000;
    assert_eq!([after(1, hour), after(-1, hour), after(1, -hour)], [hour, hour - 1, -hour - 1]);
    // 5 ppm of ten years: a product of 2^79.
    let slope = 1_407_374_884;
    let years = 10 * 365 * 24 * hour;
    let exact = (i128::from(years) * i128::from(slope)) >> 48;
    assert_eq!(i128::from(after(slope, years) - years), exact);
}

#[test]
fn a_rate_that_changes_with_each_sync_loses_no_part_of_a_ns() {
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
fn the_same_rate_again_begins_no_piece_and_a_new_one_is_no_jump() {
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
fn another_timeline_changes_k_and_not_utc() {
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
fn a_leap_second_is_counted_apart_and_utc_stays_what_it_is() {
    let mut scale = scale();
    // The kernel inserted it, so the clock shows a second less than the piece: K is fixed to that first.
    let shown = scale.utc_at(at(1_000)) - Duration::from_secs(1);
    scale.refix(at(1_000), shown);
    let before = scale.piece().utc_at(Timestamp::ZERO);
    scale.count_leap(at(1_000), Duration::from_ms(-1_000));
    assert_eq!((scale.utc_at(at(1_000)), scale.leap_seconds()), (shown, -1));
    assert_eq!((scale.piece().utc_at(Timestamp::ZERO) - before).ns(), 1_000_000_000);
    // And from then on K is fixed, shifted and carried over with it.
    scale.refix(at(2_000), utc(42));
    assert_eq!(scale.utc_at(at(2_000)), utc(42));
    // A deleted second takes it back.
    let (shown, piece) = (scale.utc_at(at(3_000)) + Duration::from_secs(1), scale.piece());
    scale.refix(at(3_000), shown);
    scale.count_leap(at(3_000), Duration::from_ms(999));
    assert_eq!((scale.utc_at(at(3_000)), scale.leap_seconds()), (shown, 0));
    let kept = scale.piece().utc_at(Timestamp::ZERO) - piece.utc_at(Timestamp::ZERO);
    assert_eq!(kept.ns(), 0, "the piece knows nothing of it");
}

#[test]
fn a_step_of_utc_begins_a_piece_where_it_is_made() {
    let mut scale = scale();
    scale.set_rate(at(0), Ratio::from_ppm(5.0));
    let (before, piece) = (scale.utc_at(at(4_000)), scale.piece());
    scale.shift(at(4_000), Duration::from_ms(-12));
    assert_eq!((scale.utc_at(at(4_000)) - before).ns(), -12_000_000);
    let next = scale.piece();
    assert_eq!((next.serial, next.slope), (piece.serial + 1, piece.slope));
    assert_eq!(next.dante0, scale.map().dante_at(at(4_000)), "what UTC was before stays what it was");
}
