//! When to list something about which the kernel sends notifications.

use super::network::CHECK_INTERVAL;
use dante_core::time::{Raw, Timestamp};
use dante_os::log::Complaints;
use std::fmt;

/// Lists are read after each notification; without notifications, or after the kernel did not answer, each second.
pub(super) struct Schedule {
    pub has_notifications: bool,
    next: Option<Timestamp<Raw>>,
    failures: Complaints,
}

impl Schedule {
    /// `subject` begins the line about suppressed failures.
    pub fn new(subject: &str, has_notifications: bool) -> Self {
        Self { has_notifications, next: None, failures: Complaints::about(subject) }
    }

    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.next
    }

    /// Whether to read the list although no notification came.
    pub fn is_due(&mut self, now: Timestamp<Raw>) -> bool {
        self.failures.tick(now);
        self.next.is_some_and(|due| now >= due)
    }

    pub fn answered(&mut self, now: Timestamp<Raw>) {
        self.next = (!self.has_notifications).then_some(now + CHECK_INTERVAL);
    }

    /// The kernel did not answer: logs this.
    pub fn failed(&mut self, now: Timestamp<Raw>, what: fmt::Arguments<'_>) {
        self.next = Some(now + CHECK_INTERVAL);
        self.failures.warn(now, what);
    }
}
