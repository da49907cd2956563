use super::*;

const UTC: i64 = 1_795_000_000_000_000_000;

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
    UtcMeasurement { raw: at(seconds), utc, margin: ms(1), leap: Leap::Insert, agreeing: 1, answered: 1 }
}

/// A clock that is off by so much, and would drift by so many ppm.
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
    let mut keeper = UtcServo::new(rules(policy));
    keeper.observe(&measurement(0, UTC), None);
    keeper.stepped(at(0));
    keeper
}

#[test]
fn an_absurd_date_is_refused() {
    let mut keeper = UtcServo::new(rules(Policy::Step));
    for utc in [0, -1, UTC - 1_000_000_000_001, 7_258_118_400_000_000_001, i64::MAX, i64::MIN] {
        let news = keeper.observe(&measurement(1, utc), None);
        assert_eq!(news, Some(UtcEvent::Absurd(Timestamp::from_ns(utc))));
    }
    assert_eq!(keeper.error(at(1), Timestamp::from_ns(UTC), (Ratio::ZERO, Ratio::ZERO), None), None);
    assert_eq!(keeper.leap(), Leap::None);
    assert_eq!(keeper.observe(&measurement(1, UTC), None), None);
    assert_eq!(keeper.leap(), Leap::Insert);
}

#[test]
fn at_the_start_every_policy_steps_beyond_its_threshold_only() {
    for policy in Policy::ALL {
        let mut keeper = UtcServo::new(rules(policy));
        let far = off(ms(21), 0.0, 1.0);
        for _ in 0..2 {
            assert_eq!(keeper.step_wanted(at(1), &far), (Some(far.error), None), "until it was done");
        }
        let near = off(ms(-19), 0.0, 1.0);
        assert_eq!(keeper.step_wanted(at(1), &near), (None, Some(UtcEvent::Good(near.error))));
        let later = keeper.step_wanted(at(2), &off(ms(21), 0.0, 1.0)).0;
        assert_eq!(later.is_some(), policy == Policy::Step, "{policy}");
    }
}

#[test]
fn steps_come_no_closer_than_a_minute_and_only_where_the_date_is_known() {
    let mut keeper = set(Policy::Step);
    let far = off(ms(11), 12.0, 0.01);
    assert_eq!(keeper.step_wanted(at(59), &far).0, None);
    assert_eq!(keeper.step_wanted(at(60), &off(ms(9), 12.0, 0.01)).0, None);
    assert_eq!(keeper.step_wanted(at(60), &UtcError { sigma: ms(4), ..far }).0, None);
    assert_eq!(keeper.step_wanted(at(60), &far).0, Some(far.error));
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
        let mut keeper = set(policy);
        keeper.slewed(&off(offset, ppm, 0.01));
        assert!(
            (keeper.slew().ppm() - expected).abs() < 1e-9,
            "{policy} {ppm} {offset:?}: {:?}",
            keeper.slew()
        );
    }
}

#[test]
fn nothing_is_slewed_before_the_rate_is_known() {
    for (policy, sigma) in [(Policy::Slew, SLEW_FROM.ppm()), (Policy::Utc, RUN_FROM.ppm())] {
        let mut keeper = set(policy);
        keeper.slewed(&off(ms(5), 3.0, sigma * 1.01));
        assert_eq!(keeper.slew(), Ratio::ZERO);
        keeper.slewed(&off(ms(5), 3.0, sigma * 0.99));
        assert!(keeper.slew().ppm() < -2.0);
    }
}

#[test]
fn a_drift_is_told_once_and_not_at_its_edge_again_and_again() {
    let mut keeper = set(Policy::Slew);
    assert!(
        matches!(keeper.slewed(&off(ms(0), 9.0, 0.1)), Some(UtcEvent::Drifts(rate)) if (rate.ppm() - 4.0).abs() < 1e-9)
    );
    for ppm in [9.0, 5.05, 4.95, 5.05] {
        assert_eq!(keeper.slewed(&off(ms(0), ppm, 0.1)), None, "{ppm}");
    }
    assert_eq!(keeper.slewed(&off(ms(0), 4.8, 0.1)), Some(UtcEvent::Holds));
    assert_eq!(keeper.slewed(&off(ms(0), 5.05, 0.1)), None);
    let free = set(Policy::Free).slewed(&off(ms(0), 12.0, 0.1));
    assert!(matches!(free, Some(UtcEvent::Drifts(_))), "{free:?}");
    assert_eq!(set(Policy::Step).slewed(&off(ms(0), 12.0, 0.1)), None);
}

#[test]
fn a_date_set_by_hand_is_left_until_it_agrees() {
    let mut keeper = set(Policy::Utc);
    keeper.slewed(&off(ms(0), 12.0, 0.1));
    assert_eq!(keeper.leave(), Some(UtcEvent::Left));
    assert_eq!(keeper.slew(), Ratio::ZERO);
    let far = off(s(100), 12.0, 0.01);
    assert_eq!(keeper.step_wanted(at(100), &far), (None, None));
    keeper.slewed(&far);
    assert_eq!(keeper.slew(), Ratio::ZERO);
    assert_eq!(keeper.step_wanted(at(100), &off(ms(3), 12.0, 0.01)), (None, Some(UtcEvent::Resumed)));
    keeper.slewed(&off(ms(3), 12.0, 0.01));
    assert!(keeper.slew().ppm() < -12.0 && !keeper.is_left());
    assert_eq!(UtcServo::new(rules(Policy::Utc)).leave(), None, "nothing is known that could disagree");
}
