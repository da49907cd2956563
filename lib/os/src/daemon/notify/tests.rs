use super::*;
use crate::poll::{Fds, Wake};
use std::cell::Cell;
use std::fmt;

/// A service that only has a status, and counts how often that is asked for.
struct Counting {
    status: Cell<u32>,
    asked: Cell<u32>,
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
        self.asked.set(self.asked.get() + 1);
        write!(to, "status {}", self.status.get())
    }

    fn end(&mut self) {}
}

fn at(ms: i64) -> Timestamp<Raw> {
    Timestamp::ZERO + Duration::from_ms(ms)
}

/// There is no socket: what is said goes nowhere, which is no error.
fn manager(is_told: bool, watchdog: Option<i64>) -> Manager {
    let watchdog = watchdog.map(|ms| (Duration::from_ms(ms), at(ms)));
    Manager { is_told, line: String::new(), told: String::new(), told_at: None, watchdog, has_failed: false }
}

#[test]
fn a_status_is_told_when_it_changes_and_at_most_once_a_second() {
    let service = Counting { status: Cell::new(0), asked: Cell::new(0) };
    let mut manager = manager(true, None);
    let mut told = Vec::new();
    for ms in (0..10_000).step_by(250) {
        // Restless for 5 s, then at rest.
        service.status.set(u32::try_from(ms.min(5_000)).unwrap());
        manager.tell(at(ms), &service);
        if manager.told_at == Some(at(ms)) {
            told.push((ms, manager.told.clone()));
        }
    }
    let expected: Vec<_> = (0..=5_000).step_by(1_000).map(|ms| (ms, format!("status {ms}"))).collect();
    assert_eq!(told, expected);
}

#[test]
fn without_a_service_manager_nothing_is_asked_and_nobody_is_woken() {
    let service = Counting { status: Cell::new(0), asked: Cell::new(0) };
    let mut manager = manager(false, None);
    manager.ready(at(0), &service);
    manager.tell(at(5_000), &service);
    assert_eq!((service.asked.get(), manager.told_at), (0, None));
    assert_eq!(manager.deadline(at(9_000)), at(9_000));
}

#[test]
fn signs_of_life_are_due_in_time_and_none_is_made_up_for() {
    let service = Counting { status: Cell::new(0), asked: Cell::new(0) };
    let mut manager = manager(true, Some(500));
    assert_eq!(manager.deadline(at(9_000)), at(500));
    assert_eq!(manager.deadline(at(400)), at(400));
    manager.tell(at(400), &service);
    assert_eq!(manager.deadline(at(9_000)), at(500), "it was not due yet");
    manager.tell(at(510), &service);
    assert_eq!(manager.deadline(at(9_000)), at(1_010));
    // A stall of some seconds.
    manager.tell(at(5_000), &service);
    assert_eq!(manager.deadline(at(9_000)), at(5_500));
}

#[test]
fn a_status_stays_one_line() {
    assert_eq!(one_line("disk full\nMAINPID=1\t\u{1b}[31m"), "disk full MAINPID=1  [31m");
}
