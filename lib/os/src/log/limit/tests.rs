use super::*;
use crate::sandbox::logged;

fn at(s: i64) -> Timestamp<Raw> {
    Timestamp::ZERO + Duration::from_secs(s)
}

#[test]
fn logs_the_same_message_once_a_minute() {
    let mut throttle = Throttle::default();
    assert!(throttle.allows(0, "a", at(0)));
    assert!(!throttle.allows(0, "a", at(59)));
    assert!(throttle.allows(0, "b", at(59)));
    assert!(throttle.allows(0, "a", at(60)));
    assert_eq!(logged(|| throttle.tick(at(1_000))), [""; 0], "repetitions of a logged line are not stated");
}

#[test]
fn number_of_different_messages_is_bounded() {
    let mut throttle = Throttle::default();
    let allowed = (0..1000).filter(|n| throttle.allows(0, *n, at(1))).count();
    assert_eq!(allowed, 16);
}

#[test]
fn one_source_does_not_suppress_messages_of_another() {
    let mut throttle = Throttle::new("NTP servers", 4);
    let allowed = (0..1000).filter(|n| throttle.allows(1, *n, at(1))).count();
    assert_eq!(allowed, 4);
    assert!(throttle.allows(2, 1, at(1)));
}

#[test]
fn number_of_suppressed_warnings_is_logged_once_when_their_minute_ends() {
    let mut complaints = Complaints::about("NTP servers");
    let lines = logged(|| {
        for n in 0..33 {
            complaints.warn(at(5), n);
        }
        (5..65).for_each(|s| complaints.tick(at(s)));
    });
    assert_eq!(lines.len(), 16, "{lines:?}");
    let stated = "WARN NTP servers: 17 more lines within a minute were suppressed";
    assert_eq!(logged(|| (65..200).for_each(|s| complaints.tick(at(s)))), [stated]);
    // Without a call in between, the next warning states it.
    _ = logged(|| (0..20).for_each(|n| complaints.warn(at(200), n)));
    let lines = logged(|| complaints.warn(at(900), "late"));
    assert_eq!(lines, ["WARN NTP servers: 4 more lines within a minute were suppressed", "WARN late"]);
}

#[test]
fn changed_values_do_not_repeat_a_warning() {
    let mut complaints = Complaints::default();
    let lines = logged(|| {
        for s in [0, 1, 59, 60] {
            complaints.warn_as(at(s), "an uptime", format_args!("an uptime of {s} s"));
        }
    });
    assert_eq!(lines, ["WARN an uptime of 0 s", "WARN an uptime of 60 s"]);
    assert_eq!(complaints.last(), Some("an uptime"));
}

#[test]
fn memory_for_text_of_others_is_bounded() {
    let mut complaints = Complaints::default();
    let text = "ä".repeat(1_000_000);
    _ = logged(|| complaints.warn_as(at(0), &text, format_args!("long")));
    assert_eq!(complaints.last().map(str::len), Some(1024));
    assert_eq!(complaints.throttle.recent.first().map(|(_, key, _)| key.len()), Some(256));
    assert_eq!(start_of("aä", 2), "a", "half of a character");
}

#[test]
fn logs_20_changes_a_minute_and_the_number_of_the_others() {
    let mut budget = Budget::about("port eth0");
    let mut lines = |from, to| logged(|| (from..to).for_each(|n| budget.info(at(n), format_args!("{n} s"))));
    let mut expected: Vec<String> = (100..120).map(|n| format!("INFO {n} s")).collect();
    expected.push(
        "WARN port eth0: too many changes, further ones are not logged for the rest of this minute".into(),
    );
    assert_eq!(lines(100, 160), expected);
    assert_eq!(lines(160, 162), ["INFO 160 s", "INFO 161 s"]);
    let stated = "WARN port eth0: 40 more lines within a minute were suppressed";
    assert_eq!(logged(|| (162..300).for_each(|s| budget.tick(at(s)))), [stated]);
}
