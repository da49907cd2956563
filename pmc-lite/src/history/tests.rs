use super::{Entry, History, rfc3339};
use crate::pages::Pages;
use crate::scenes;
use dante_core::page::{RING, SampleRecord};
use dante_core::time::Timestamp;

/// The pages of a dante4l that has measured this many samples.
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
fn returns_each_sample_once() {
    let mut history = History::from_now();
    assert_eq!(history.take(&after(5)), []);
    assert_eq!(history.take(&after(5)), []);
    assert_eq!(places(&history.take(&after(7))), [(6, 0), (7, 0)]);
    assert_eq!(history.take(&after(7)), []);
    assert_eq!(history.take(&scenes::no_daemon()), []);
    assert_eq!(places(&history.take(&after(8))), [(8, 0)]);
}

#[test]
fn starts_with_the_oldest_sample_in_the_ring() {
    assert_eq!(places(&History::from_oldest().take(&after(2))), [(1, 0), (2, 0)]);
    let all = History::from_oldest().take(&after(100));
    assert_eq!(all.len(), RING);
    assert_eq!(places(&all)[0], (37, 36));
    assert_eq!(places(&all)[RING - 1], (100, 0));
}

#[test]
fn counts_samples_that_were_overwritten_in_the_ring() {
    let mut history = History::from_now();
    history.take(&after(1));
    let all = history.take(&after(1 + RING as u64));
    assert_eq!((all.len(), places(&all)[0]), (RING, (2, 0)));
    let all = history.take(&after(100 + 2 * RING as u64));
    assert_eq!((all.len(), places(&all)[0]), (RING, (165, 99)));
}

#[test]
fn restart_of_dante4l_restarts_the_sequence() {
    let mut history = History::from_now();
    history.take(&after(40));
    assert_eq!(history.take(&after(41))[0].instance, "0000000000000007");
    let mut restarted = after(3);
    restarted.clock.as_mut().expect("a page").instance = 8;
    let all = history.take(&restarted);
    assert_eq!(places(&all), [(1, 0), (2, 0), (3, 0)]);
    assert_eq!(all[0].instance, "0000000000000008");
    // A page that does not exist at the first read counts as a start too.
    let mut history = History::from_now();
    history.take(&scenes::no_daemon());
    assert_eq!(places(&history.take(&after(2))), [(1, 0), (2, 0)]);
}

#[test]
fn only_the_newest_sample_has_the_state() {
    let all = History::from_oldest().take(&after(3));
    assert_eq!(all[1].rate_ppb, None);
    assert_eq!(all[1].state, None);
    assert!(all[2].rate_ppb.is_some_and(|rate| (rate - 12_046.9).abs() < 1e-6), "{:?}", all[2]);
    assert_eq!(all[2].phase_error_ns, Some(37));
}

#[test]
fn formats_times_to_the_nanosecond() {
    assert_eq!(rfc3339(Timestamp::from_ns(1_794_999_300_000_000_042)), "2026-11-18T10:55:00.000000042Z");
    assert_eq!(rfc3339(Timestamp::from_ns(-1)), "1969-12-31T23:59:59.999999999Z");
}
