//! Notifications to the service manager: systemd's protocol, sd_notify(3).
//!
//! The main loop sends all of them: a separate thread would hide a main loop that hangs.

use super::{Failure, Service};
use dante_core::time::{Duration, Raw, Timestamp};
use sd_notify::NotifyState;
use std::io;

/// Minimum interval between two status lines: each is work for the service manager.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// The service manager, if it requested notifications.
#[derive(Debug)]
pub(super) struct Manager {
    is_present: bool,
    /// The present status line.
    line: String,
    /// The status line that was sent last.
    sent: String,
    sent_at: Option<Timestamp<Raw>>,
    /// Interval of the watchdog notifications, and time of the next one.
    watchdog: Option<(Duration, Timestamp<Raw>)>,
    has_failed: bool,
}

impl Manager {
    /// The service manager that started this process, according to the environment.
    pub(super) fn find(now: Timestamp<Raw>) -> Self {
        let is_present = std::env::var_os("NOTIFY_SOCKET").is_some() && is_addressed();
        // Half of the watchdog timeout, as sd_watchdog_enabled(3) advises; the crate checks WATCHDOG_PID.
        let every = sd_notify::watchdog_enabled().filter(|limit| is_present && !limit.is_zero());
        let every = every.map(|limit| Duration::from_secs_f64(limit.as_secs_f64() / 2.0));
        Self {
            is_present,
            line: String::new(),
            sent: String::new(),
            sent_at: None,
            watchdog: every.map(|every| (every, now + every)),
            has_failed: false,
        }
    }

    /// Reports that the service has started.
    pub(super) fn ready(&mut self, now: Timestamp<Raw>, service: &impl Service) {
        self.notify(&[NotifyState::Ready]);
        self.update(now, service);
    }

    /// Reports that the service ends on request.
    pub(super) fn stopping(&mut self) {
        self.notify(&[NotifyState::Stopping, NotifyState::Status("stopped")]);
    }

    /// Latest time of the next [`Self::update`]: `deadline` of the service, or earlier for the watchdog.
    pub(super) fn deadline(&self, deadline: Timestamp<Raw>) -> Timestamp<Raw> {
        self.watchdog.map_or(deadline, |(_, due)| deadline.min(due))
    }

    /// Sends a watchdog notification if one is due, and the status line if it changed.
    pub(super) fn update(&mut self, now: Timestamp<Raw>, service: &impl Service) {
        if let Some((every, _)) = self.watchdog.filter(|(_, due)| now >= *due) {
            // Counted from now: notifications missed while the host was suspended are not sent later.
            self.watchdog = Some((every, now + every));
            self.notify(&[NotifyState::Watchdog]);
        }
        if !self.is_present || self.sent_at.is_some_and(|at| now - at < STATUS_INTERVAL) {
            return;
        }
        self.line.clear();
        // Writing to a String fails only if a Display does.
        _ = service.status(&mut self.line);
        if self.line == self.sent {
            return;
        }
        self.notify(&[NotifyState::Status(&one_line(&self.line))]);
        std::mem::swap(&mut self.line, &mut self.sent);
        self.sent_at = Some(now);
    }

    fn notify(&mut self, states: &[NotifyState<'_>]) {
        if !self.is_present {
            return;
        }
        let result = sd_notify::notify(states);
        if let (Err(error), false) = (&result, self.has_failed) {
            log::warn!("cannot notify the service manager ({}): {error}", socket());
        }
        self.has_failed = result.is_err();
    }
}

/// Reports why the program ends: `systemctl status` shows it beside the exit status.
pub(super) fn failed(failure: &Failure) {
    if is_addressed() {
        let line = failure.to_string();
        let sent = sd_notify::notify(&[NotifyState::Status(&one_line(&line))]);
        sent.unwrap_or_else(|error: io::Error| log::debug!("{}: {error}", socket()));
    }
}

/// Whether the service manager started this process, and not a parent from which the environment was inherited. Without
/// SYSTEMD_EXEC_PID (systemd before 248, containers), the socket is taken to be meant for this process.
fn is_addressed() -> bool {
    let pid = std::env::var("SYSTEMD_EXEC_PID").ok();
    pid.is_none_or(|pid| pid == std::process::id().to_string())
}

fn socket() -> String {
    format!("NOTIFY_SOCKET {}", std::env::var_os("NOTIFY_SOCKET").unwrap_or_default().display())
}

/// Replaces control characters: the protocol consists of lines, and a line break in a status would begin another assignment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
