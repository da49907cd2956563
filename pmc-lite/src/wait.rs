//! `pmc-lite wait`: for units and scripts that need a synchronised clock before they start, or as long as they run.

use crate::args::Goal;
use crate::notify::{Ready, status};
use crate::outcome::Outcome;
use crate::pages::Readers;
use crate::report;
use crate::shown::Word;
use crate::verdict;
use dante_core::page::{Dante2sys, Freshness, STEER_UTC_BY_HAND, STEER_UTC_SYNCHRONISED, View};
use dante_core::steer::{State, SteeredClock, UtcSource};
use dante_os::clock::raw_now;
use dante_os::page::{Instance, PageName, PageReader};
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// Interval at which the pages are read. Reading does not disturb their writers.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// Reads what a goal depends on.
struct Source {
    /// All pages, for whether the clock is synchronised: the rule of the other commands.
    pages: Readers,
    /// dante2sys' clock page alone, for UTC: programs of other versions read it, too.
    dante2sys: PageReader<Dante2sys>,
}

impl Source {
    fn new(instance: Option<&Instance>) -> Self {
        Self { pages: Readers::new(instance), dante2sys: PageReader::new(PageName::new(instance)) }
    }

    /// Returns the text that the condition is met.
    ///
    /// # Errors
    /// What is missing.
    fn check(&mut self, goal: Goal) -> Result<String, String> {
        match goal {
            Goal::Steered => verdict::awaited(&self.pages.read()),
            Goal::Dante2sys => verdict::awaited_of_dante2sys(&self.pages.read()),
            Goal::Utc | Goal::WhileUtc => self.utc(),
            Goal::UtcLost => match self.utc() {
                Ok(met) => Err(met),
                Err(lost) => Ok(lost),
            },
        }
    }

    fn utc(&mut self) -> Result<String, String> {
        may_serve_utc(&self.dante2sys.read(raw_now()).map_err(|error| error.to_string())?)
    }
}

/// Waits until `goal` is met, each time at most `timeout` seconds (0: no limit). Reports what is missing on standard error and to
/// the service manager, whenever that changes.
pub fn until(goal: Goal, timeout: u32, instance: Option<&Instance>) -> Outcome {
    let mut source = Source::new(instance);
    let ended = wait(goal, timeout, &mut source, None);
    if goal != Goal::WhileUtc || ended != Outcome::Yes {
        return ended;
    }
    wait(Goal::UtcLost, timeout, &mut source, Some(Ready::new()))
}

/// `ready`: readiness that is reported to the service manager meanwhile.
fn wait(goal: Goal, timeout: u32, source: &mut Source, mut ready: Option<Ready>) -> Outcome {
    let begun = Instant::now();
    let mut reported = String::new();
    loop {
        if let Some(ready) = &mut ready {
            ready.send();
        }
        let missing = match source.check(goal) {
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
            status(&missing);
            reported = missing;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
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
