use super::*;
use crate::time::{Affine, Correlation, TEST_UTC_NS as UTC, Uncertainty, Wander};

fn s(s: i64) -> Duration {
    Duration::from_secs(s)
}

fn ms(ms: i64) -> Duration {
    Duration::from_ms(ms)
}

fn at(seconds: i64) -> Timestamp<Raw> {
    Timestamp::ZERO + s(seconds)
}

fn rules(policy: Policy) -> UtcRules {
    UtcRules { policy, earliest: Timestamp::from_ns(UTC - 1_000_000_000_000), ..UtcRules::default() }
}

fn measurement(seconds: i64, utc_ns: i64) -> UtcMeasurement {
    let utc = Timestamp::from_ns(utc_ns);
    let (margin, server_error) = (ms(1), ms(5));
    let (raw, leap, smear) = (at(seconds), Leap::Insert, None);
    UtcMeasurement { raw, utc, margin, server_error, leap, agreeing: 1, answered: 1, smear }
}

/// The error of a clock that is off by `offset` and would drift by `ppm` at the leader's rate.
fn off(offset: Duration, ppm: f64, rate_sigma_ppm: f64) -> UtcError {
    UtcError {
        error: Offset::from_ns(offset.ns()),
        sigma: Duration::from_us(100),
        bound: s(1),
        leader_rate: Ratio::from_ppm(ppm),
        leader_rate_sigma: Ratio::from_ppm(rate_sigma_ppm),
        measured_at: at(0),
    }
}

fn set(policy: Policy) -> UtcServo {
    let mut servo = UtcServo::new(rules(policy));
    servo.observe(&measurement(0, UTC), None);
    servo.stepped(at(0));
    servo
}

#[test]
fn implausible_time_is_ignored() {
    let mut servo = UtcServo::new(rules(Policy::Step));
    for utc in [0, -1, UTC - 1_000_000_000_001, 7_258_118_400_000_000_001, i64::MAX, i64::MIN] {
        let event = servo.observe(&measurement(1, utc), None);
        assert_eq!(event, Some(UtcEvent::Implausible(Timestamp::from_ns(utc))));
    }
    assert_eq!(servo.error(at(1), Timestamp::from_ns(UTC), (Ratio::ZERO, Ratio::ZERO), None), None);
    assert_eq!(servo.leap(), Leap::None);
    assert_eq!(servo.observe(&measurement(1, UTC), None), None);
    assert_eq!(servo.leap(), Leap::Insert);
}

#[test]
fn bound_contains_the_error_that_the_server_declares() {
    for server_error in [ms(1), ms(5), ms(10_700)] {
        let mut servo = UtcServo::new(rules(Policy::Step));
        servo.observe(&UtcMeasurement { server_error, ..measurement(0, UTC) }, None);
        let error = servo.error(at(0), Timestamp::from_ns(UTC), (Ratio::ZERO, Ratio::ZERO), None).unwrap();
        assert_eq!(
            error.bound,
            error.sigma * 3 + ms(1) + server_error,
            "3 sigma, half the round trip, the server"
        );
    }
}

#[test]
fn every_policy_steps_at_the_start_only_beyond_its_threshold() {
    for policy in Policy::ALL {
        let mut servo = UtcServo::new(rules(policy));
        let far = off(ms(21), 0.0, 1.0);
        for _ in 0..2 {
            assert_eq!(servo.step_wanted(at(1), &far), (Some(far.error), None), "until the step is made");
        }
        let near = off(ms(-19), 0.0, 1.0);
        assert_eq!(servo.step_wanted(at(1), &near), (None, Some(UtcEvent::Initialised(near.error))));
        let later = servo.step_wanted(at(2), &off(ms(21), 0.0, 1.0)).0;
        assert_eq!(later.is_some(), policy == Policy::Step, "{policy}");
    }
}

#[test]
fn steps_are_a_minute_apart_and_need_a_small_uncertainty() {
    let mut servo = set(Policy::Step);
    let far = off(ms(11), 12.0, 0.01);
    assert_eq!(servo.step_wanted(at(59), &far).0, None);
    assert_eq!(servo.step_wanted(at(60), &off(ms(9), 12.0, 0.01)).0, None);
    assert_eq!(servo.step_wanted(at(60), &UtcError { sigma: ms(4), ..far }).0, None);
    assert_eq!(servo.step_wanted(at(60), &far).0, Some(far.error));
}

#[test]
fn each_policy_slews_within_its_bound() {
    for (policy, ppm, offset, expected) in [
        (Policy::Step, 3.0, ms(5), 0.0),
        (Policy::Free, 3.0, ms(5), 0.0),
        (Policy::Slew, 3.0, Duration::ZERO, -3.0),
        (Policy::Slew, 3.0, ms(5), -5.0),
        (Policy::Slew, 3.0, ms(-5), 2.0),
        (Policy::Slew, -40.0, Duration::ZERO, 5.0),
        (Policy::Utc, 66.0, Duration::ZERO, -66.0),
        (Policy::Utc, 12.0, ms(500), -17.0),
        (Policy::Utc, 400.0, Duration::ZERO, -150.0),
    ] {
        let mut servo = set(policy);
        servo.slewed(&off(offset, ppm, 0.01));
        assert!(
            (servo.slew().ppm() - expected).abs() < 1e-9,
            "{policy} {ppm} {offset:?}: {:?}",
            servo.slew()
        );
    }
}

#[test]
fn does_not_slew_before_rate_is_known() {
    for (policy, sigma) in
        [(Policy::Slew, SLEW_MAX_RATE_SIGMA.ppm()), (Policy::Utc, UTC_MAX_RATE_SIGMA.ppm())]
    {
        let mut servo = set(policy);
        servo.slewed(&off(ms(5), 3.0, sigma * 1.01));
        assert_eq!(servo.slew(), Ratio::ZERO);
        servo.slewed(&off(ms(5), 3.0, sigma * 0.99));
        assert!(servo.slew().ppm() < -2.0);
    }
}

#[test]
fn drift_is_reported_once_with_hysteresis() {
    let mut servo = set(Policy::Slew);
    assert!(
        matches!(servo.slewed(&off(ms(0), 9.0, 0.1)), Some(UtcEvent::Drifts(rate)) if (rate.ppm() - 4.0).abs() < 1e-9)
    );
    for ppm in [9.0, 5.05, 4.95, 5.05] {
        assert_eq!(servo.slewed(&off(ms(0), ppm, 0.1)), None, "{ppm}");
    }
    assert_eq!(servo.slewed(&off(ms(0), 4.8, 0.1)), Some(UtcEvent::Holds));
    assert_eq!(servo.slewed(&off(ms(0), 5.05, 0.1)), None);
    let free = set(Policy::Free).slewed(&off(ms(0), 12.0, 0.1));
    assert!(matches!(free, Some(UtcEvent::Drifts(_))), "{free:?}");
    assert_eq!(set(Policy::Step).slewed(&off(ms(0), 12.0, 0.1)), None);
}

#[test]
fn clock_set_by_hand_is_not_corrected_until_it_agrees_with_utc() {
    let mut servo = set(Policy::Utc);
    servo.slewed(&off(ms(0), 12.0, 0.1));
    servo.clock_set_by_hand();
    assert_eq!(servo.slew(), Ratio::ZERO);
    let far = off(s(100), 12.0, 0.01);
    assert_eq!(servo.step_wanted(at(100), &far), (None, Some(UtcEvent::SetByHand)));
    servo.clock_set_by_hand();
    assert_eq!(servo.step_wanted(at(100), &far), (None, None), "reported once");
    servo.slewed(&far);
    assert_eq!(servo.slew(), Ratio::ZERO);
    assert_eq!(servo.step_wanted(at(100), &off(ms(3), 12.0, 0.01)), (None, Some(UtcEvent::Resumed)));
    servo.slewed(&off(ms(3), 12.0, 0.01));
    assert!(servo.slew().ppm() < -12.0 && !servo.is_set_by_hand());
    servo.clock_set_by_hand();
    assert_eq!(servo.step_wanted(at(200), &off(ms(3), 12.0, 0.01)), (None, None), "it was set to UTC");
    let mut servo = UtcServo::new(rules(Policy::Utc));
    servo.clock_set_by_hand();
    assert!(!servo.is_set_by_hand(), "no measurement to disagree with");
}

/// The leader's time as an exact map of this age at `seconds`.
fn map(seconds: i64) -> ClockMap {
    let line = Affine { raw0: at(seconds), at0: Timestamp::from_ns(s(seconds).ns()), rate: Ratio::ZERO };
    ClockMap { line, sigma: Uncertainty::ZERO, correlation: Correlation::ZERO, wander: Wander::ZERO }
}

/// A servo after an hour of right measurements, 120 s apart, against CLOCK_MONOTONIC_RAW.
fn after_an_hour(rules: UtcRules) -> UtcServo {
    let mut servo = UtcServo::new(rules);
    for seconds in (0..3_600).step_by(120) {
        assert_eq!(servo.observe(&measurement(seconds, UTC + s(seconds).ns()), None), None);
    }
    servo
}

#[test]
fn wrong_server_is_rejected_for_half_an_hour_also_without_a_leader() {
    let mut servo = after_an_hour(rules(Policy::Slew));
    let event = |servo: &mut UtcServo, seconds: i64| {
        servo.observe(&measurement(seconds, UTC + s(seconds + 1).ns()), None)
    };
    for seconds in (3_600..5_400).step_by(20) {
        let seen = event(&mut servo, seconds);
        assert!(
            matches!(seen, Some(UtcEvent::Outlier(off)) if (off - s(1)).abs() < ms(1)),
            "{seconds} s: {seen:?}"
        );
    }
    assert!(matches!(event(&mut servo, 5_400), Some(UtcEvent::Restarted(_))));
}

/// Without NTP the leader's time shows UTC; its end starts the growth of the bound, not the last measurement.
#[test]
fn bound_grows_from_the_loss_of_the_leader_on() {
    const DAYS: i64 = 3 * 86_400;
    let mut servo = after_an_hour(rules(Policy::Slew));
    let bound = |servo: &UtcServo, seconds: i64, map: Option<&ClockMap>| {
        let real = Timestamp::from_ns(UTC + s(seconds).ns());
        servo.error(at(seconds), real, (Ratio::ZERO, Ratio::ZERO), map).unwrap().bound
    };
    servo.rebase(at(3_600), None, Some(&map(3_600)));
    let locked = bound(&servo, DAYS, Some(&map(DAYS)));
    let held = bound(&servo, DAYS + 600, Some(&map(DAYS)));
    assert!((held - locked - Duration::from_us(600)).abs() < ms(1), "{locked:?}, then {held:?}");
    servo.rebase(at(DAYS + 600), Some(&map(DAYS)), None);
    let other = bound(&servo, DAYS + 601, None);
    assert!(other >= held && other - held < ms(3), "{held:?}, then {other:?}");
    servo.rebase(at(DAYS + 660), None, Some(&map(DAYS + 660)));
    assert!(bound(&servo, DAYS + 660, Some(&map(DAYS + 660))) - held < ms(3));
}
