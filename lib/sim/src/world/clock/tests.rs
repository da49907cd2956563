use super::*;

#[test]
fn a_deadline_comes_at_the_first_ns_that_reaches_it() {
    for ppm in [0.0, -20.0, 7.0, 137.3] {
        let (begin, raw) = (Timestamp::from_ns(5), Timestamp::from_ns(1_000_000_000_000));
        let clock = SimClock::new(begin, raw, Timestamp::ZERO, Ratio::from_ppm(ppm));
        for s in [0, 1, 3_600, 1_209_600] {
            let due = raw + Duration::from_secs(s) + Duration::from_ns(s);
            let at = clock.when(due);
            assert!(clock.raw_at(at) >= due, "{ppm} ppm, {s} s");
            assert!(clock.raw_at(at - Duration::from_ns(1)) < due, "{ppm} ppm, {s} s");
        }
    }
}
