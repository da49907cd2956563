use super::*;
use crate::poll::{Fds, Wake};
use std::cell::Cell;
use std::fmt;

/// A service that only has a status, and counts the calls of [`Service::status`].
struct Counting {
    status: Cell<u32>,
    calls: Cell<u32>,
}

impl Service for Counting {
    fn fds(&self) -> Fds<'_> {
        Fds::new()
    }

    fn deadline(&self) -> Timestamp<Raw> {
        Timestamp::ZERO
    }

    fn wake(&mut self, _: &Wake) -> Result<(), Failure> {
        Ok(())
    }

    fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result {
        self.calls.set(self.calls.get() + 1);
        write!(to, "status {}", self.status.get())
    }

    fn end(&mut self) {}
}

fn at(ms: i64) -> Timestamp<Raw> {
    Timestamp::ZERO + Duration::from_ms(ms)
}

/// There is no socket, so notifications are lost, which is no error.
fn manager(is_present: bool, watchdog: Option<i64>) -> Manager {
    let watchdog = watchdog.map(|ms| (Duration::from_ms(ms), at(ms)));
    Manager {
        is_present,
        line: String::new(),
        sent: String::new(),
        sent_at: None,
        watchdog,
        has_failed: false,
    }
}

#[test]
fn sends_changed_status_at_most_once_a_second() {
    let service = Counting { status: Cell::new(0), calls: Cell::new(0) };
    let mut manager = manager(true, None);
    let mut sent = Vec::new();
    for ms in (0..10_000).step_by(250) {
        // Changes for 5 s, then stays the same.
        service.status.set(u32::try_from(ms.min(5_000)).unwrap());
        manager.update(at(ms), &service);
        if manager.sent_at == Some(at(ms)) {
            sent.push((ms, manager.sent.clone()));
        }
    }
    let expected: Vec<_> = (0..=5_000).step_by(1_000).map(|ms| (ms, format!("status {ms}"))).collect();
    assert_eq!(sent, expected);
}

#[test]
fn no_status_and_no_wake_up_without_a_service_manager() {
    let service = Counting { status: Cell::new(0), calls: Cell::new(0) };
    let mut manager = manager(false, None);
    manager.ready(at(0), &service);
    manager.update(at(5_000), &service);
    assert_eq!((service.calls.get(), manager.sent_at), (0, None));
    assert_eq!(manager.deadline(at(9_000)), at(9_000));
}

#[test]
fn watchdog_notifications_are_sent_in_time_and_not_repeated_after_a_stall() {
    let service = Counting { status: Cell::new(0), calls: Cell::new(0) };
    let mut manager = manager(true, Some(500));
    assert_eq!(manager.deadline(at(9_000)), at(500));
    assert_eq!(manager.deadline(at(400)), at(400));
    manager.update(at(400), &service);
    assert_eq!(manager.deadline(at(9_000)), at(500), "sent before it was due");
    manager.update(at(510), &service);
    assert_eq!(manager.deadline(at(9_000)), at(1_010));
    // A stall of some seconds.
    manager.update(at(5_000), &service);
    assert_eq!(manager.deadline(at(9_000)), at(5_500));
}

#[test]
fn status_stays_one_line() {
    assert_eq!(one_line("disk full\nMAINPID=1\t\u{1b}[31m"), "disk full MAINPID=1  [31m");
}
