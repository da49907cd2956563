//! What the service manager is told: systemd's notification protocol, sd_notify(3).
//!
//! Everything is said by the main loop: were it said by a thread, a loop that hangs would go unnoticed.

use super::{Failure, Service};
use dante_core::time::{Duration, Raw, Timestamp};
use sd_notify::NotifyState;
use std::io;

/// The status line is told at most so often: each is work for the service manager.
const APART: Duration = Duration::from_secs(1);

/// The service manager, if one asked to be told.
#[derive(Debug)]
pub(super) struct Manager {
    is_told: bool,
    /// The status line, as it is now, and as it was told last and when.
    line: String,
    told: String,
    told_at: Option<Timestamp<Raw>>,
    /// How far apart it wants signs of life, and when the next one is due.
    watchdog: Option<(Duration, Timestamp<Raw>)>,
    has_failed: bool,
}

impl Manager {
    /// The one that started this very process, by the environment.
    pub(super) fn find(now: Timestamp<Raw>) -> Self {
        let is_told = std::env::var_os("NOTIFY_SOCKET").is_some() && is_addressed();
        // Half of what it tolerates, as sd_watchdog_enabled(3) advises; a WATCHDOG_PID that is another's is minded there.
        let every = sd_notify::watchdog_enabled().filter(|limit| is_told && !limit.is_zero());
        let every = every.map(|limit| Duration::from_secs_f64(limit.as_secs_f64() / 2.0));
        Self {
            is_told,
            line: String::new(),
            told: String::new(),
            told_at: None,
            watchdog: every.map(|every| (every, now + every)),
            has_failed: false,
        }
    }

    /// The service is in its loop.
    pub(super) fn ready(&mut self, now: Timestamp<Raw>, service: &impl Service) {
        self.say(&[NotifyState::Ready]);
        self.tell(now, service);
    }

    /// The service was asked to end, and does.
    pub(super) fn stopping(&mut self) {
        self.say(&[NotifyState::Stopping, NotifyState::Status("stopped")]);
    }

    /// When the loop has to come round at the latest, if the service would sleep until `deadline`.
    pub(super) fn deadline(&self, deadline: Timestamp<Raw>) -> Timestamp<Raw> {
        self.watchdog.map_or(deadline, |(_, due)| deadline.min(due))
    }

    /// The loop came round: gives the sign of life that is due, and tells a status that changed.
    pub(super) fn tell(&mut self, now: Timestamp<Raw>, service: &impl Service) {
        if let Some((every, _)) = self.watchdog.filter(|(_, due)| now >= *due) {
            // Counted from now on: after a sleep of the host none is made up for.
            self.watchdog = Some((every, now + every));
            self.say(&[NotifyState::Watchdog]);
        }
        if !self.is_told || self.told_at.is_some_and(|at| now - at < APART) {
            return;
        }
        self.line.clear();
        // Writing to a String fails only where a Display does.
        _ = service.status(&mut self.line);
        if self.line == self.told {
            return;
        }
        self.say(&[NotifyState::Status(&one_line(&self.line))]);
        std::mem::swap(&mut self.line, &mut self.told);
        self.told_at = Some(now);
    }

    fn say(&mut self, states: &[NotifyState<'_>]) {
        if !self.is_told {
            return;
        }
        let result = sd_notify::notify(states);
        if let (Err(error), false) = (&result, self.has_failed) {
            log::warn!("the service manager cannot be told ({}): {error}", socket());
        }
        self.has_failed = result.is_err();
    }
}

/// Tells why the program ends: `systemctl status` shows it beside the exit status.
pub(super) fn failed(failure: &Failure) {
    if is_addressed() {
        let line = failure.to_string();
        let told = sd_notify::notify(&[NotifyState::Status(&one_line(&line))]);
        told.unwrap_or_else(|error: io::Error| log::debug!("{}: {error}", socket()));
    }
}

/// Whether the service manager started this very process, and not a parent of it, whose environment was inherited. Where it
/// does not tell (before systemd 248, in containers), the socket is meant for whoever is given it.
fn is_addressed() -> bool {
    let pid = std::env::var("SYSTEMD_EXEC_PID").ok();
    pid.is_none_or(|pid| pid == std::process::id().to_string())
}

fn socket() -> String {
    format!("NOTIFY_SOCKET {}", std::env::var_os("NOTIFY_SOCKET").unwrap_or_default().display())
}

/// The protocol is one of lines: a line break within a status would begin another assignment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
