//! `pmc-lite wait`: for units and scripts that need the clock to be right before they start, or for as long as they run.

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

/// Between two looks at the page, which costs its writer nothing.
const LOOK: Duration = Duration::from_millis(200);

impl Goal {
    /// Why it is reached, in words, or what is missing.
    fn look(self, seen: &Result<View<Dante2sys>, String>) -> Result<String, String> {
        let view = seen.as_ref().map_err(Clone::clone);
        match self {
            Self::Steered => steered(view?),
            Self::Utc | Self::WhileUtc => dated(view?),
            Self::UtcLost => match view.and_then(dated) {
                Ok(good) => Err(good),
                Err(lost) => Ok(lost),
            },
        }
    }
}

/// Waits until `goal` is reached, each time at most `timeout` seconds (0: for ever), and says on standard error and to the
/// service manager what is missing whenever that changes.
pub fn until(goal: Goal, timeout: u32, instance: Option<&Instance>) -> Outcome {
    let ended = wait(goal, timeout, instance);
    if goal != Goal::WhileUtc || ended != Outcome::Yes {
        return ended;
    }
    tell(&[NotifyState::Ready]);
    wait(Goal::UtcLost, timeout, instance)
}

fn wait(goal: Goal, timeout: u32, instance: Option<&Instance>) -> Outcome {
    let begun = Instant::now();
    let mut page = PageReader::new(PageName::<Dante2sys>::new(instance));
    let mut told = String::new();
    loop {
        let missing = match goal.look(&page.read(raw_now()).map_err(|error| error.to_string())) {
            Ok(reached) => {
                report(&reached);
                return Outcome::Yes;
            }
            Err(missing) => missing,
        };
        if timeout > 0 && begun.elapsed() >= Duration::from_secs(timeout.into()) {
            return Outcome::No(Some(format!("not within {timeout} s: {missing}")));
        }
        if missing != told {
            report(&format!("waiting: {missing}"));
            tell(&[NotifyState::Status(&missing)]);
            told = missing;
        }
        std::thread::sleep(LOOK);
    }
}

/// Tells the service manager. Where nobody asked to be told, nothing is done.
pub fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        report(&format!("cannot notify the service manager: {error}"));
    }
}

fn steered(view: &View<Dante2sys>) -> Result<String, String> {
    is_in(&[State::Locked], view)?;
    // A date that was set by hand is somebody's will.
    let needs_date = view.body.utc_source != UtcSource::None as u8 && !view.body.has(STEER_UTC_BY_HAND);
    if needs_date && !view.body.has(STEER_UTC_SYNCHRONISED) {
        return Err("the clock is LOCKED, but its date is not known well enough".into());
    }
    Ok("the clock is steered".into())
}

/// More is asked of a date that others take than of one that this host lives with.
fn dated(view: &View<Dante2sys>) -> Result<String, String> {
    // Holdover alone takes nothing from a date: while it lasts, the bound on the date grows, and `good` is judged by that.
    is_in(&[State::Locked, State::Holdover], view)?;
    let body = &view.body;
    let clock = Word(SteeredClock::from_number(body.clock));
    if !clock.is(SteeredClock::Realtime) {
        return Err(format!("dante2sys steers a {clock} clock, and not the system clock"));
    }
    if body.utc_source == UtcSource::None as u8 {
        return Err("nobody tells dante2sys the date (--utc none)".into());
    }
    if body.has(STEER_UTC_BY_HAND) {
        return Err("the date was set by hand".into());
    }
    if !body.has(STEER_UTC_SYNCHRONISED) {
        return Err("the date is not known well enough".into());
    }
    Ok("the date is good".into())
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
