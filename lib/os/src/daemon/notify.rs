//! Notifications to the service manager: systemd's protocol, sd_notify(3).
//!
//! The main loop sends all of them: a separate thread would hide a main loop that hangs. None of them waits: if the service manager
//! does not read, they are sent again later.

use super::{Failure, Service};
use crate::clock::raw_now;
use crate::local_socket;
use dante_core::printable::printable;
use dante_core::time::{Duration, Raw, Timestamp};
use sd_notify::NotifyState;
use socket2::Type;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Minimum interval between two status lines: each is work for the service manager.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// Interval at which a notification that was not sent is sent again.
const RETRY: Duration = Duration::from_ms(500);
/// Minimum interval between two log lines about notifications that were not sent.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// The service manager, if it requested notifications.
#[derive(Debug)]
pub(super) struct Manager {
    /// Its socket; `None`: there is no service manager.
    address: Option<Address>,
    /// The present status line.
    line: String,
    /// The status line that was sent last.
    sent: String,
    /// When a status line was sent last, or could not be sent.
    tried_at: Option<Timestamp<Raw>>,
    /// Interval of the watchdog notifications, and time of the next one.
    watchdog: Option<(Duration, Timestamp<Raw>)>,
    /// Notifications that are due.
    due: Due,
    /// When they are sent again after a failure.
    retry: Option<Timestamp<Raw>>,
    has_failed: bool,
    warned_at: Option<Timestamp<Raw>>,
}

/// Notifications that must arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Due {
    ready: bool,
    watchdog: bool,
}

impl Manager {
    /// The service manager that started this process, according to the environment.
    pub(super) fn find(now: Timestamp<Raw>) -> Self {
        let address = Address::of_environment();
        // Half of the watchdog timeout, as sd_watchdog_enabled(3) advises; the crate checks WATCHDOG_PID.
        let every = sd_notify::watchdog_enabled().filter(|limit| address.is_some() && !limit.is_zero());
        let every = every.map(|limit| Duration::from_secs_f64(limit.as_secs_f64() / 2.0));
        Self::new(now, address, every)
    }

    fn new(now: Timestamp<Raw>, address: Option<Address>, watchdog: Option<Duration>) -> Self {
        Self {
            address,
            line: String::new(),
            sent: String::new(),
            tried_at: None,
            watchdog: watchdog.map(|every| (every, now + every)),
            due: Due::default(),
            retry: None,
            has_failed: false,
            warned_at: None,
        }
    }

    /// Reports that the service has started.
    pub(super) fn ready(&mut self, now: Timestamp<Raw>, service: &impl Service) {
        self.due.ready = self.address.is_some();
        self.update(now, service);
    }

    /// Reports that the service ends on request.
    pub(super) fn stopping(&mut self) {
        self.notify(raw_now(), &[NotifyState::Stopping, NotifyState::Status("stopped")]);
    }

    /// Latest time of the next [`Self::update`]: `deadline` of the service, or earlier for the watchdog or after a failure.
    pub(super) fn deadline(&self, deadline: Timestamp<Raw>) -> Timestamp<Raw> {
        let watchdog = self.watchdog.map(|(_, due)| due);
        watchdog.into_iter().chain(self.retry).fold(deadline, Timestamp::min)
    }

    /// Sends the notifications that are due, and the status line if it changed.
    pub(super) fn update(&mut self, now: Timestamp<Raw>, service: &impl Service) {
        if let Some((every, _)) = self.watchdog.filter(|(_, due)| now >= *due) {
            // Counted from now: notifications missed while the host was suspended are not sent later.
            self.watchdog = Some((every, now + every));
            self.due.watchdog = true;
        }
        if self.due != Due::default() && self.retry.is_none_or(|retry| now >= retry) {
            self.send_due(now);
        }
        if self.address.is_none() || self.tried_at.is_some_and(|at| now - at < STATUS_INTERVAL) {
            return;
        }
        self.line.clear();
        // Writing to a String fails only if a Display does.
        _ = service.status(&mut self.line);
        if self.line == self.sent {
            return;
        }
        self.tried_at = Some(now);
        // The protocol consists of lines: a line break in a status would begin another assignment.
        let line = printable(&self.line).into_owned();
        if self.notify(now, &[NotifyState::Status(&line)]) {
            std::mem::swap(&mut self.line, &mut self.sent);
        }
    }

    fn send_due(&mut self, now: Timestamp<Raw>) {
        let ready = self.due.ready.then_some(NotifyState::Ready);
        let watchdog = self.due.watchdog.then_some(NotifyState::Watchdog);
        let states: Vec<_> = ready.into_iter().chain(watchdog).collect();
        self.retry = match self.notify(now, &states) {
            true => {
                self.due = Due::default();
                None
            }
            false => Some(now + RETRY),
        };
    }

    /// Returns whether there is no service manager, or its socket took the notification.
    fn notify(&mut self, now: Timestamp<Raw>, states: &[NotifyState<'_>]) -> bool {
        let Some(address) = &self.address else { return true };
        let result = address.send(states);
        if let (Err(error), false) = (&result, self.has_failed)
            && self.warned_at.is_none_or(|at| now - at >= WARNING_INTERVAL)
        {
            self.warned_at = Some(now);
            log::warn!("cannot notify the service manager ({}): {error}", address.name());
        }
        self.has_failed = result.is_err();
        result.is_ok()
    }
}

/// Reports why the program ends: `systemctl status` shows it beside the exit status.
pub(super) fn failed(failure: &Failure) {
    if let Some(address) = Address::of_environment() {
        let line = failure.to_string();
        let sent = address.send(&[NotifyState::Status(&printable(&line))]);
        sent.unwrap_or_else(|error| log::debug!("{}: {error}", address.name()));
    }
}

/// Reports to the service manager that this program has started. For programs without a [`Service`]; does nothing without a service
/// manager that started this process.
///
/// # Errors
/// The service manager's socket did not take the notification.
pub fn ready() -> io::Result<()> {
    send(&[NotifyState::Ready])
}

/// Sends a status line of such a program.
///
/// # Errors
/// As [`ready`].
pub fn status(line: &str) -> io::Result<()> {
    send(&[NotifyState::Status(&printable(line))])
}

fn send(states: &[NotifyState<'_>]) -> io::Result<()> {
    let Some(address) = Address::of_environment() else { return Ok(()) };
    address.send(states).map_err(|error| {
        let text = format!("cannot notify the service manager ({}): {error}", address.name());
        io::Error::new(error.kind(), text)
    })
}

/// The socket of the service manager: a path, or an abstract name that begins with `@`.
#[derive(Debug)]
struct Address(OsString);

impl Address {
    /// Returns the address if the service manager started this process, and not a parent from which the environment was inherited.
    /// Without SYSTEMD_EXEC_PID (systemd before 248, containers), the socket is taken to be meant for this process.
    fn of_environment() -> Option<Self> {
        let pid = std::env::var("SYSTEMD_EXEC_PID").ok();
        let is_own = pid.is_none_or(|pid| pid == std::process::id().to_string());
        std::env::var_os("NOTIFY_SOCKET").filter(|_| is_own).map(Self)
    }

    fn name(&self) -> String {
        format!("NOTIFY_SOCKET {}", self.0.display())
    }

    /// Sends a notification, one assignment in each line. On a socket of its own: the service manager may have been restarted.
    fn send(&self, states: &[NotifyState<'_>]) -> io::Result<()> {
        let mut text = String::new();
        for state in states {
            // Writing to a String does not fail.
            _ = writeln!(text, "{state}");
        }
        let path = match self.0.as_bytes().strip_prefix(b"@") {
            Some(name) => PathBuf::from(OsString::from_vec([b"\0", name].concat())),
            None => PathBuf::from(OsStr::new(&self.0)),
        };
        local_socket::send(&local_socket::connect(&path, Type::DGRAM)?, text.as_bytes())
    }
}

#[cfg(test)]
mod tests;
