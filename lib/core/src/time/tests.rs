use super::*;

fn raw(ns: i64) -> Timestamp<Raw> {
    Timestamp::from_ns(ns)
}

fn reading(raw_ns: i64, real_ns: i64) -> Reading {
    Reading { raw: raw(raw_ns), real: Timestamp::from_ns(real_ns), width: Duration::from_ns(60) }
}

#[test]
fn arithmetic_saturates() {
    assert_eq!((raw(i64::MAX) - raw(i64::MIN)).ns(), i64::MAX);
    assert_eq!((raw(i64::MAX) + Duration::from_secs(1)).ns(), i64::MAX);
    assert_eq!(Duration::from_secs(i64::MAX), Duration::MAX);
    assert_eq!(Duration::from_secs_f64(f64::NAN), Duration::ZERO);
}

#[test]
fn powers_of_two_seconds_are_exact_and_bounded() {
    let of = Duration::from_log2_secs;
    assert_eq!([-2, 0, 4].map(of), [250, 1_000, 16_000].map(Duration::from_ms));
    assert_eq!((of(-29).ns(), of(33).ns()), (1, 8_589_934_592_000_000_000));
    assert_eq!((of(i8::MIN), of(i8::MAX)), (of(-29), of(33)));
}

#[test]
fn split_keeps_the_nanoseconds_positive_before_zero() {
    assert_eq!(raw(-1).split(), (-1, 999_999_999));
    assert_eq!(Offset::from_ns(-1_500_000_000).split(), (-1, -500_000_000));
}

#[test]
fn affine_keeps_nanoseconds_over_a_year() {
    let line = Affine { raw0: raw(0), at0: Timestamp::<Dante>::from_ns(7), rate: Ratio::from_ppm(12.0) };
    let year = 31_557_600_000_000_000;
    assert_eq!(line.at(raw(year)).ns(), year + 7 + year / 1_000_000 * 12);
    assert_eq!(line.anchored_at(raw(year)).at(raw(0)).ns(), 7);
}

#[test]
fn uncertainty_grows_with_age_and_never_shrinks() {
    let map = ClockMap {
        line: Affine { raw0: raw(0), at0: Timestamp::from_ns(0), rate: Ratio::ZERO },
        sigma: Uncertainty { offset: Duration::from_ns(100), rate: Ratio::from_ppb(10.0) },
        correlation: Correlation::new(0.8),
        wander: Wander::from_ppb(1.0),
    };
    let at = |s: i64| map.uncertainty_at(raw(s * 1_000_000_000));
    assert_eq!(at(-5), at(0));
    assert_eq!(at(0).offset.ns(), 100);
    // 100^2 + 2*10*0.8*100*10 + (10*10)^2 + 1*10^3/3 = 36333; sqrt = 190.6
    assert_eq!(at(10).offset.ns(), 191);
    assert!((at(100).rate.ppb() - 200f64.sqrt()).abs() < 1e-9);
}

#[test]
fn epoch_is_carried_over_without_a_jump_of_the_date() {
    let map = |at0, ppm| ClockMap {
        line: Affine { raw0: raw(0), at0: Timestamp::from_ns(at0), rate: Ratio::from_ppm(ppm) },
        sigma: Uncertainty { offset: Duration::ZERO, rate: Ratio::ZERO },
        correlation: Correlation::ZERO,
        wander: Wander::ZERO,
    };
    let (old, new) = (map(699_000_000_000, 12.0), map(541_867_000_000_000, -13.0));
    let epoch = Epoch::fixed_at(Timestamp::from_ns(1_795_000_000_000_000_000), old.dante_at(raw(0)));
    let now = raw(3_000_000_000);
    let carried = epoch.carried_over(&old, &new, now);
    assert_eq!(carried.date_of(new.dante_at(now)), epoch.date_of(old.dante_at(now)));
}

#[test]
fn bridge_interpolates_between_readings() {
    let mut bridge = Bridge::default();
    bridge.note(reading(0, 1_000_000_000));
    bridge.note(reading(2_000_000_000, 3_000_074_000)); // 2 s at +37 ppm: the stall that one reading alone misjudges
    let at = |real| bridge.to_raw(Timestamp::from_ns(real)).unwrap().ns();
    assert_eq!(at(2_000_037_000), 1_000_000_000);
    assert_eq!(at(1_000_000_000), 0);
    assert_eq!(at(3_000_074_100), 2_000_000_100, "a stamp after the last reading");
    assert_eq!(at(999_999_900), -100, "a stamp before the first");
}

#[test]
fn bridge_leads_back_to_where_it_came_from() {
    let mut bridge = Bridge::default();
    assert_eq!(bridge.to_real(Timestamp::from_ns(0)), None);
    bridge.note(reading(0, 1_000_000_000));
    bridge.note(reading(2_000_000_000, 3_000_074_000));
    for raw in [-5, 0, 1_000_000_000, 1_999_999_999, 2_000_000_000, 2_000_000_040] {
        let raw = Timestamp::from_ns(raw);
        assert_eq!(bridge.to_raw(bridge.to_real(raw).unwrap()), Ok(raw));
    }
    // Across a step: as CLOCK_REALTIME counts now.
    bridge.note(reading(3_000_000_000, 14_000_074_000));
    assert_eq!(bridge.to_real(Timestamp::from_ns(2_500_000_000)), Some(Timestamp::from_ns(13_500_074_000)));
}

#[test]
fn bridge_refuses_a_stamp_from_before_a_step() {
    let mut bridge = Bridge::default();
    bridge.note(reading(0, 1_000_000_000));
    bridge.note(reading(250_000_000, 11_250_000_000)); // stepped by +10 s
    assert_eq!(bridge.to_raw(Timestamp::from_ns(1_200_000_000)), Err(Stepped), "stamped before the step");
    assert_eq!(bridge.to_raw(Timestamp::from_ns(11_249_999_000)), Err(Stepped), "cannot be told apart");
    assert!(bridge.to_raw(Timestamp::from_ns(11_250_000_100)).is_ok());
    let back = bridge.to_raw(Timestamp::from_ns(18_450_000_000));
    assert_eq!(back, Err(Stepped), "the clock was stepped back by two hours between stamp and reading");
    bridge.note(reading(500_000_000, 11_500_000_000));
    assert_eq!(bridge.to_raw(Timestamp::from_ns(11_400_000_000)).unwrap(), raw(400_000_000));
    bridge.note(reading(750_000_000, 1_750_000_000)); // and back
    assert_eq!(bridge.to_raw(Timestamp::from_ns(1_749_999_900)), Err(Stepped));
    assert!(Bridge::default().to_raw(Timestamp::from_ns(0)).is_err());
}

#[test]
fn bridge_forgets_the_oldest_and_passes_over_what_goes_back() {
    let mut bridge = Bridge::default();
    for s in 0..20 {
        bridge.note(reading(s * 1_000_000_000, s * 1_000_000_000));
    }
    bridge.note(reading(5, 5));
    assert_eq!(bridge.latest(), Some(reading(19_000_000_000, 19_000_000_000)));
    assert_eq!(bridge.to_raw(Timestamp::from_ns(3_000_000_000)), Ok(raw(3_000_000_000)));
}
