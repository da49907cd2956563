//! Notifications to the service manager, with its failures on standard error. None of them waits for its reader.

use crate::report;
use dante_os::daemon;

/// Sends a status line. It is not sent again: the next one replaces it.
pub fn status(line: &str) {
    if let Err(error) = daemon::notify_status(line) {
        report(&error.to_string());
    }
}

/// The notification READY=1, which is sent again until the service manager takes it.
#[derive(Debug)]
pub struct Ready {
    is_due: bool,
    has_failed: bool,
}

impl Ready {
    pub const fn new() -> Self {
        Self { is_due: true, has_failed: false }
    }

    /// Whether it was not taken yet.
    pub const fn is_due(&self) -> bool {
        self.is_due
    }

    /// Sends it if it is due.
    pub fn send(&mut self) {
        if !self.is_due {
            return;
        }
        match daemon::notify_ready() {
            Ok(()) => self.is_due = false,
            Err(error) if !std::mem::replace(&mut self.has_failed, true) => report(&error.to_string()),
            Err(_) => {}
        }
    }
}
