use super::*;

fn at(s: i64) -> Timestamp<Raw> {
    Timestamp::ZERO + Duration::from_secs(s)
}

#[test]
fn the_same_is_said_once_a_minute() {
    let mut throttle = Throttle::default();
    assert!(throttle.allows("a", at(0)));
    assert!(!throttle.allows("a", at(59)));
    assert!(throttle.allows("b", at(59)));
    assert!(throttle.allows("a", at(60)));
}

#[test]
fn what_a_peer_can_make_us_say_is_bounded() {
    let mut throttle = Throttle::default();
    let said = (0..1000).filter(|n| throttle.allows(*n, at(1))).count();
    assert_eq!(said, 16);
}

#[test]
fn what_changes_in_a_line_is_no_cause_to_write_it_again() {
    let mut complaints = Complaints::default();
    complaints.warn_as(at(0), "an uptime", format_args!("an uptime of 1.0 h"));
    complaints.warn_as(at(1), "an uptime", format_args!("an uptime of 1.1 h"));
    assert_eq!(complaints.last(), Some("an uptime"));
    assert!(!complaints.throttle.allows("an uptime".to_owned(), at(59)), "written a minute ago at the most");
}

#[test]
fn a_budget_is_renewed_every_minute() {
    let mut budget = Budget::default();
    (0..19).for_each(|n| budget.info(at(n), format_args!("line")));
    assert!(budget.spent < Budget::LINES);
    (0..1000).for_each(|_| budget.info(at(30), format_args!("line")));
    assert!(budget.spent >= Budget::LINES);
    budget.info(at(60), format_args!("line"));
    assert!(budget.spent < Budget::LINES);
}

#[test]
fn a_summary_is_due_after_its_interval_and_starts_anew() {
    let mut summary = Summary::new(Duration::from_secs(2));
    assert_eq!(summary.add(at(0), Duration::from_ns(-300)), None);
    assert_eq!(summary.add(at(1), Duration::from_ns(400)), None);
    let line = summary.add(at(2), Duration::from_ns(0)).unwrap();
    assert_eq!((line.count, line.rms.ns(), line.largest.ns()), (3, 289, 400));
    let mut each = Summary::new(Duration::ZERO);
    assert_eq!(each.add(at(0), Duration::from_ns(-7)).unwrap().largest.ns(), 7);
    assert_eq!(each.add(at(0), Duration::from_ns(5)).unwrap().rms.ns(), 5);
}
