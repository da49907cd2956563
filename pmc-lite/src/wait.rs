//! `pmc-lite wait`: for units and scripts that need a synchronised clock before they start, or as long as they run.

use crate::args::Goal;
use crate::outcome::Outcome;
use crate::report;
use crate::shown::Word;
use dante_core::page::{Dante2sys, Freshness, STEER_UTC_BY_HAND, STEER_UTC_SYNCHRONISED, View};
use dante_core::steer::{State, SteeredClock, UtcSource};
use dante_os::clock::raw_now;
use dante_os::page::{Instance, PageName, PageReader};
use sd_notify::NotifyState;
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// Interval at which the page is read. Reading does not disturb its writer.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

impl Goal {
    /// Returns the text that the condition is met.
    ///
    /// # Errors
    /// What is missing.
    fn check(self, page: &Result<View<Dante2sys>, String>) -> Result<String, String> {
        let view = page.as_ref().map_err(Clone::clone);
        match self {
            Self::Steered => steered(view?),
            Self::Utc | Self::WhileUtc => may_serve_utc(view?),
            Self::UtcLost => match view.and_then(may_serve_utc) {
                Ok(met) => Err(met),
                Err(lost) => Ok(lost),
            },
        }
    }
}

/// Waits until `goal` is met, each time at most `timeout` seconds (0: no limit). Reports what is missing on standard error and to
/// the service manager, whenever that changes.
pub fn until(goal: Goal, timeout: u32, instance: Option<&Instance>) -> Outcome {
    let ended = wait(goal, timeout, instance);
    if goal != Goal::WhileUtc || ended != Outcome::Yes {
        return ended;
    }
    notify(&[NotifyState::Ready]);
    wait(Goal::UtcLost, timeout, instance)
}

fn wait(goal: Goal, timeout: u32, instance: Option<&Instance>) -> Outcome {
    let begun = Instant::now();
    let mut page = PageReader::new(PageName::<Dante2sys>::new(instance));
    let mut reported = String::new();
    loop {
        let missing = match goal.check(&page.read(raw_now()).map_err(|error| error.to_string())) {
            Ok(reached) => {
                report(&reached);
                return Outcome::Yes;
            }
            Err(missing) => missing,
        };
        if timeout > 0 && begun.elapsed() >= Duration::from_secs(timeout.into()) {
            return Outcome::No(Some(format!("not met within {timeout} s: {missing}")));
        }
        if missing != reported {
            report(&format!("waiting: {missing}"));
            notify(&[NotifyState::Status(&missing)]);
            reported = missing;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Notifies the service manager. Does nothing without one that expects notifications (NOTIFY_SOCKET).
pub fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        report(&format!("cannot notify the service manager: {error}"));
    }
}

fn steered(view: &View<Dante2sys>) -> Result<String, String> {
    is_in(&[State::Locked], view)?;
    // A time set by hand is intended.
    let needs_utc = view.body.utc_source != UtcSource::None as u8 && !view.body.has(STEER_UTC_BY_HAND);
    if needs_utc && !view.body.has(STEER_UTC_SYNCHRONISED) {
        return Err("the clock is LOCKED, but UTC is not synchronised".into());
    }
    Ok("the clock is steered".into())
}

/// Whether UTC may be served to other hosts: the requirements are stricter than those of this host itself.
fn may_serve_utc(view: &View<Dante2sys>) -> Result<String, String> {
    // HOLDOVER is permitted: the UTC bound grows meanwhile, and UTC is synchronised only as long as the bound is small.
    is_in(&[State::Locked, State::Holdover], view)?;
    let body = &view.body;
    let clock = Word(SteeredClock::from_number(body.clock));
    if !clock.is(SteeredClock::Realtime) {
        return Err(format!("dante2sys steers a {clock} clock, not the system clock"));
    }
    if body.utc_source == UtcSource::None as u8 {
        return Err("dante2sys has no source of UTC (--utc none)".into());
    }
    if body.has(STEER_UTC_BY_HAND) {
        return Err("UTC was set by hand".into());
    }
    if !body.has(STEER_UTC_SYNCHRONISED) {
        return Err("UTC is not synchronised".into());
    }
    Ok("UTC is synchronised".into())
}

fn is_in(states: &[State], view: &View<Dante2sys>) -> Result<(), String> {
    if view.freshness != Freshness::Fresh {
        return Err("dante2sys is not running".into());
    }
    match view.body.state() {
        Some(state) if states.contains(&state) => Ok(()),
        Some(state) => Err(format!("dante2sys is {state}, not LOCKED")),
        None => Err("dante2sys is in an unknown state".into()),
    }
}
