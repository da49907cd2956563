use super::*;
use dante_core::page::Dante2sys;
use dante_core::time::Duration;

fn at(s: i64) -> Timestamp<Raw> {
    Timestamp::ZERO + Duration::from_secs(s)
}

fn read(page: &mut SimPage<Dante2sys>, now: i64) -> Option<(Freshness, u64, i32)> {
    page.read(at(now)).map(|view| (view.freshness, view.instance, view.body.leap_seconds))
}

#[test]
fn reader_gets_the_published_body_and_its_freshness() {
    let mut page = SimPage::absent(7, at(0));
    assert_eq!(read(&mut page, 0), None);
    page.publish(at(1), &Dante2sys { leap_seconds: 5, ..Dante2sys::default() });
    assert_eq!(read(&mut page, 3), Some((Freshness::Fresh, 7, 5)));
    assert_eq!(read(&mut page, 4), Some((Freshness::Stale, 7, 5)), "the heartbeat ended at 3 s");
    page.publish(at(4), &Dante2sys { leap_seconds: 6, ..Dante2sys::default() });
    assert_eq!(read(&mut page, 4), Some((Freshness::Fresh, 7, 6)));
    page.stop(at(9));
    assert_eq!(read(&mut page, 4), Some((Freshness::Stopped, 7, 6)));
    assert!(!page.is_written(at(8)) && page.is_written(at(9)));
    page.publish(at(9), &Dante2sys::default());
    assert_eq!(read(&mut page, 9), Some((Freshness::Fresh, 8, 0)));
}
