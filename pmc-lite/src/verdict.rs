//! The answer to "is it synchronised?", from the pages alone. `get status`, `watch` and `metrics` show it, `check` judges by it.

use crate::finding::Level;
use crate::pages::{Pages, Read, freshness, said};
use dante_core::named;
use dante_core::page::{Body, Dante2sysStatus, Dante4lStatus, DanteshmStatus, Freshness, PortRecord};
use dante_core::port;
use dante_core::relay::{self, Waiting};
use dante_core::steer::State;
use dante_core::steer::SteeredClock;
use serde::Serialize;

named! {
    /// How this host's clock stands to Dante's.
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    #[cfg_attr(test, derive(schemars::JsonSchema))]
    pub enum Verdict {
        /// dante2sys holds a clock on Dante, or danteshm tells chrony.
        Synchronised "synchronised",
        /// It will be within seconds.
        Acquiring "acquiring",
        /// There is no leader: the clock keeps the rate that it had.
        Holdover "holdover",
        /// dante4l hears a leader, and neither dante2sys nor danteshm runs.
        Unused "unused",
        /// It is not, and will not be by itself.
        NotSynchronised "not_synchronised",
        /// Nothing was started, or what says it is not to be believed.
        Unknown "unknown",
    }
}

impl Verdict {
    /// For people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Synchronised => "in step with Dante",
            Self::Acquiring => "not in step with Dante yet",
            Self::Holdover => "in holdover: the clock keeps the rate that it had",
            Self::Unused => "NOT in step with Dante: no clock follows it",
            Self::NotSynchronised => "NOT in step with Dante",
            Self::Unknown => "NOT known to be in step with Dante",
        }
    }

    pub const fn level(self) -> Level {
        match self {
            Self::Synchronised => Level::Ok,
            Self::Acquiring | Self::Holdover | Self::Unused => Level::Warning,
            Self::NotSynchronised | Self::Unknown => Level::Failure,
        }
    }
}

/// The verdict with its reason.
pub struct Reason {
    pub verdict: Verdict,
    /// In a few words: the program by which this host's clock follows Dante, or the one that would let it.
    pub text: String,
    /// The program that does not run, where that is the reason.
    pub missing: Option<&'static str>,
}

impl Reason {
    fn new(verdict: Verdict, text: impl Into<String>) -> Self {
        Self { verdict, text: text.into(), missing: None }
    }
}

/// The verdict. A program that ended has been replaced by one that runs.
pub fn of(pages: &Pages) -> Reason {
    use Freshness::{Absent, Fresh, Stopped};
    match (freshness(&pages.dante4l), freshness(&pages.dante2sys), freshness(&pages.danteshm)) {
        (Absent, Absent, Absent) => {
            Reason::new(Verdict::Unknown, "there are no pages here: the suite was not started since boot")
        }
        (_, Absent, Absent) => alone(pages),
        (_, Absent, _) | (_, Stopped, Fresh) => relay(pages),
        _ => steerer(pages),
    }
}

/// The verdict on a page whose writer does not run, or that cannot be used.
pub fn lifeless<B: Body>(read: &Read<B>) -> Reason {
    match freshness(read) {
        Freshness::Stale | Freshness::Stopped | Freshness::Absent => {
            let reason = Reason::new(Verdict::NotSynchronised, format!("{} does not run", B::PROGRAM));
            Reason { missing: Some(B::PROGRAM), ..reason }
        }
        Freshness::Foreign | Freshness::Layout | Freshness::Fresh => {
            Reason::new(Verdict::Unknown, format!("what {} does is not known", B::PROGRAM))
        }
    }
}

fn steerer(pages: &Pages) -> Reason {
    let Some((body, state)) = said(&pages.dante2sys).and_then(|body| Some((body, body.state()?))) else {
        return lifeless(&pages.dante2sys);
    };
    let verdict = match state {
        State::Locked => Verdict::Synchronised,
        State::Acquiring => Verdict::Acquiring,
        State::Holdover => Verdict::Holdover,
        State::Waiting | State::Refused | State::Yielded => Verdict::NotSynchronised,
    };
    let mut text = format!("{} {state}{}", Dante2sysStatus::PROGRAM, leader(pages, "on"));
    if let Some(error) = body.phase_error() {
        text += &format!(", {:+} ns off", error.ns());
    }
    if let Some(clock @ (SteeredClock::Virtual | SteeredClock::Hardware)) =
        SteeredClock::from_number(body.clock)
    {
        text += &format!(", a {clock} clock");
    }
    Reason::new(verdict, text)
}

fn relay(pages: &Pages) -> Reason {
    let Some((body, state)) = said(&pages.danteshm).and_then(|body| Some((body, body.state()?))) else {
        return lifeless(&pages.danteshm);
    };
    let is_near = pages.selected().and_then(PortRecord::state) == Some(port::State::Uncalibrated);
    let verdict = match (state, body.waiting()) {
        (relay::State::Feeding, _) => Verdict::Synchronised,
        (_, Some(Waiting::Pause)) => Verdict::Acquiring,
        (_, Some(Waiting::Leader)) if is_near => Verdict::Acquiring,
        (relay::State::Waiting, _) => Verdict::NotSynchronised,
    };
    Reason::new(verdict, format!("{} {state}{}", DanteshmStatus::PROGRAM, leader(pages, "from")))
}

/// The leader that is followed, if there is one.
fn leader(pages: &Pages, how: &str) -> String {
    let leader = pages.selected().and_then(PortRecord::leader);
    leader
        .map_or(String::new(), |leader| format!(" {how} {} at {}", leader.identity().uuid, leader.address()))
}

/// dante4l without a program that steers a clock by it.
fn alone(pages: &Pages) -> Reason {
    let Some(state) = pages.selected().and_then(PortRecord::state) else {
        return lifeless(&pages.dante4l);
    };
    let verdict = match state {
        port::State::Slave | port::State::Uncalibrated => Verdict::Unused,
        _ => Verdict::NotSynchronised,
    };
    Reason::new(verdict, format!("{} {state}", Dante4lStatus::PROGRAM))
}
