//! Whether this host is synchronised, derived from the pages. `get status`, `watch` and `metrics` show this verdict; `check`
//! derives the state of the service from it.

use crate::finding::{Level, is_read_by_none};
use crate::pages::{Pages, Read, fresh_body, freshness};
use dante_core::named;
use dante_core::page::{Body, Dante2sysStatus, Dante4lStatus, DanteshmStatus, Freshness, PortRecord};
use dante_core::port;
use dante_core::relay::{self, Delivery, Waiting};
use dante_core::steer::State;
use dante_core::steer::SteeredClock;
use dante_core::time::{Duration, Offset};
use serde::Serialize;

named! {
    /// Whether this host's clock is synchronised to the leader.
    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    #[cfg_attr(test, derive(schemars::JsonSchema))]
    pub enum Verdict {
        /// dante2sys is LOCKED with a small phase error, or danteshm is FEEDING and a program reads its samples.
        Synchronised "synchronised",
        /// Synchronisation is in progress.
        Acquiring "acquiring",
        /// No leader is received, or its rate is not known well enough yet; the clock keeps its last rate.
        Holdover "holdover",
        /// dante4l receives a leader, but neither dante2sys nor danteshm was started.
        Unused "unused",
        /// Not synchronised, and not expected to be without a change.
        NotSynchronised "not_synchronised",
        /// There are no pages, or a page is not trusted, of another version or damaged.
        Unknown "unknown",
    }
}

impl Verdict {
    /// The text for users.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Synchronised => "synchronised to the leader",
            Self::Acquiring => "not yet synchronised to the leader",
            Self::Holdover => "in holdover: no leader is received, the clock keeps its last rate",
            Self::Unused => "NOT synchronised: no program steers the clock by the leader",
            Self::NotSynchronised => "NOT synchronised to the leader",
            Self::Unknown => "synchronisation unknown",
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

/// A verdict with its reason.
pub struct Reason {
    pub verdict: Verdict,
    /// Short text: the program that determines the verdict, and its state.
    pub text: String,
    /// The program that is not running, if that is the reason.
    pub missing: Option<&'static str>,
}

impl Reason {
    fn new(verdict: Verdict, text: impl Into<String>) -> Self {
        Self { verdict, text: text.into(), missing: None }
    }
}

/// Returns the verdict. A dante2sys that was stopped does not count while danteshm is running.
pub fn of(pages: &Pages) -> Reason {
    use Freshness::{Absent, Fresh, Stopped};
    match (freshness(&pages.dante4l), freshness(&pages.dante2sys), freshness(&pages.danteshm)) {
        (Absent, Absent, Absent) => Reason::new(
            Verdict::Unknown,
            "dante4l, dante2sys and danteshm publish nothing: none of them is running",
        ),
        (_, Absent, Absent) => alone(pages),
        (_, Absent, _) | (_, Stopped, Fresh) => relay(pages),
        _ => steerer(pages),
    }
}

/// Returns the verdict for a page whose writer is not running, or that cannot be used.
pub fn unusable<B: Body>(read: &Read<B>) -> Reason {
    match freshness(read) {
        Freshness::Stale | Freshness::Stopped | Freshness::Absent => {
            let reason = Reason::new(Verdict::NotSynchronised, format!("{} is not running", B::PROGRAM));
            Reason { missing: Some(B::PROGRAM), ..reason }
        }
        Freshness::Foreign | Freshness::Layout | Freshness::Fresh => {
            Reason::new(Verdict::Unknown, format!("the state of {} is unknown", B::PROGRAM))
        }
    }
}

fn steerer(pages: &Pages) -> Reason {
    let Some((body, state)) = fresh_body(&pages.dante2sys).and_then(|body| Some((body, body.state()?)))
    else {
        return unusable(&pages.dante2sys);
    };
    let verdict = match state {
        State::Locked if large_phase_error(body).is_some() => Verdict::Acquiring,
        State::Locked => Verdict::Synchronised,
        State::Acquiring => Verdict::Acquiring,
        State::Holdover => Verdict::Holdover,
        State::Waiting | State::Refused | State::Yielded => Verdict::NotSynchronised,
    };
    let mut text = format!("{} {state}{}", Dante2sysStatus::PROGRAM, leader(pages));
    if let Some(error) = body.phase_error() {
        text += &format!(", phase error {:+} ns", error.ns());
    }
    if let Some(clock @ (SteeredClock::Virtual | SteeredClock::Hardware)) =
        SteeredClock::from_number(body.clock)
    {
        text += &format!(", {clock} clock");
    }
    Reason::new(verdict, text)
}

/// Returns the phase error of a locked clock if it is too large for a synchronised clock: Dante devices mute at 1 ms.
pub fn large_phase_error(body: &Dante2sysStatus) -> Option<Duration> {
    const LIMIT: Duration = Duration::from_ms(1);
    body.phase_error().map(Offset::span).filter(|error| error.abs() > LIMIT)
}

fn relay(pages: &Pages) -> Reason {
    let Some((body, state)) = fresh_body(&pages.danteshm).and_then(|body| Some((body, body.state()?))) else {
        return unusable(&pages.danteshm);
    };
    let is_calibrating = pages.selected().and_then(PortRecord::state) == Some(port::State::Uncalibrated);
    let (verdict, delivery) = match (state, body.waiting()) {
        (relay::State::Feeding, _) if is_read_by_none(body) => {
            (Verdict::NotSynchronised, ", but chrony does not get its samples")
        }
        (relay::State::Feeding, _) if body.chrony_delivery() == Some(Delivery::Pending) => {
            (Verdict::Acquiring, ", no sample was read yet")
        }
        (relay::State::Feeding, _) => (Verdict::Synchronised, ""),
        (_, Some(Waiting::Pause)) => (Verdict::Acquiring, ""),
        (_, Some(Waiting::Leader)) if is_calibrating => (Verdict::Acquiring, ""),
        (relay::State::Waiting, _) => (Verdict::NotSynchronised, ""),
    };
    Reason::new(verdict, format!("{} {state}{delivery}{}", DanteshmStatus::PROGRAM, leader(pages)))
}

/// Formats the followed leader; an empty text without one.
fn leader(pages: &Pages) -> String {
    let leader = pages.selected().and_then(PortRecord::leader);
    leader.map_or(String::new(), |leader| {
        format!(", leader {} at {}", leader.identity().uuid, leader.address())
    })
}

/// Returns the verdict if only dante4l was started.
fn alone(pages: &Pages) -> Reason {
    let Some(state) = pages.selected().and_then(PortRecord::state) else {
        return unusable(&pages.dante4l);
    };
    let verdict = match state {
        port::State::Slave | port::State::Uncalibrated => Verdict::Unused,
        _ => Verdict::NotSynchronised,
    };
    Reason::new(verdict, format!("{} {state}", Dante4lStatus::PROGRAM))
}
