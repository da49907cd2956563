use super::{Entry, History, rfc3339};
use crate::pages::Pages;
use crate::scenes;
use dante_core::page::{RING, SampleRecord};
use dante_core::time::Timestamp;

/// dante4l has measured so often.
fn after(samples: u64) -> Pages {
    let mut pages = scenes::locked();
    let last = pages.dante4l.as_ref().expect("a page").body.ports[0].last;
    let view = pages.clock.as_mut().expect("a page");
    view.body.samples = 0;
    (1..=samples).for_each(|number| view.body.push(SampleRecord { number, ..last }));
    pages
}

fn places(entries: &[Entry]) -> Vec<(u64, u64)> {
    entries.iter().map(|entry| (entry.sequence, entry.missed)).collect()
}

#[test]
fn each_sample_is_given_once() {
    let mut history = History::from_now();
    assert_eq!(history.take(&after(5)), []);
    assert_eq!(history.take(&after(5)), []);
    assert_eq!(places(&history.take(&after(7))), [(6, 0), (7, 0)]);
    assert_eq!(history.take(&after(7)), []);
    assert_eq!(history.take(&scenes::no_daemon()), []);
    assert_eq!(places(&history.take(&after(8))), [(8, 0)]);
}

#[test]
fn who_wants_the_past_gets_what_is_held() {
    assert_eq!(places(&History::with_the_past().take(&after(2))), [(1, 0), (2, 0)]);
    let all = History::with_the_past().take(&after(100));
    assert_eq!(all.len(), RING);
    assert_eq!(places(&all)[0], (37, 36));
    assert_eq!(places(&all)[RING - 1], (100, 0));
}

#[test]
fn as_many_as_the_ring_holds_are_not_lost_and_more_are_counted() {
    let mut history = History::from_now();
    history.take(&after(1));
    let all = history.take(&after(1 + RING as u64));
    assert_eq!((all.len(), places(&all)[0]), (RING, (2, 0)));
    let all = history.take(&after(100 + 2 * RING as u64));
    assert_eq!((all.len(), places(&all)[0]), (RING, (165, 99)));
}

#[test]
fn another_start_counts_from_one() {
    let mut history = History::from_now();
    history.take(&after(40));
    assert_eq!(history.take(&after(41))[0].instance, "0000000000000007");
    let mut restarted = after(3);
    restarted.clock.as_mut().expect("a page").instance = 8;
    let all = history.take(&restarted);
    assert_eq!(places(&all), [(1, 0), (2, 0), (3, 0)]);
    assert_eq!(all[0].instance, "0000000000000008");
    // One that is not there yet at the first look is a start too.
    let mut history = History::from_now();
    history.take(&scenes::no_daemon());
    assert_eq!(places(&history.take(&after(2))), [(1, 0), (2, 0)]);
}

#[test]
fn the_present_is_told_with_the_newest_alone() {
    let all = History::with_the_past().take(&after(3));
    assert_eq!(all[1].rate_ppb, None);
    assert_eq!(all[1].state, None);
    assert!(all[2].rate_ppb.is_some_and(|rate| (rate - 12_046.9).abs() < 1e-6), "{:?}", all[2]);
    assert_eq!(all[2].phase_error_ns, Some(37));
}

#[test]
fn times_are_written_to_the_nanosecond() {
    assert_eq!(rfc3339(Timestamp::from_ns(1_794_999_300_000_000_042)), "2026-11-18T10:55:00.000000042Z");
    assert_eq!(rfc3339(Timestamp::from_ns(-1)), "1969-12-31T23:59:59.999999999Z");
}
