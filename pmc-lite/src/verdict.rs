//! Whether this host is synchronised, derived from the pages. `get status`, `watch` and `metrics` show this verdict, `check`
//! derives the state of the service from it, and `wait` waits for it.

use crate::finding::{self, Level};
use crate::pages::{Pages, Read, fresh_body, freshness};
use crate::shown::Word;
use dante_core::named;
use dante_core::page::{
    Body, Dante2sysStatus, Dante4lStatus, DanteshmStatus, Freshness, PortRecord, STATUS_UTC_BY_HAND,
    STATUS_UTC_SYNCHRONISED,
};
use dante_core::port;
use dante_core::relay::{self, Delivery, Waiting};
use dante_core::steer::State;
use dante_core::steer::{SteeredClock, UtcSource};
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
    /// The program that determines the verdict, and its state. The same text as long as the state is the same.
    pub state: String,
    /// The leader and measured values, for a line after `state`.
    pub detail: String,
    /// The program that is not running, if that is the reason.
    pub missing: Option<&'static str>,
}

impl Reason {
    fn new(verdict: Verdict, state: impl Into<String>) -> Self {
        Self { verdict, state: state.into(), detail: String::new(), missing: None }
    }

    /// Short text: the state and its details.
    pub fn text(&self) -> String {
        format!("{}{}", self.state, self.detail)
    }
}

/// What `get status`, `check` and `wait` add to the name of a virtual clock.
pub const REHEARSAL: &str = "a rehearsal, the system clock is not steered";

/// The program that determines the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    None,
    Dante4l,
    Dante2sys,
    Danteshm,
}

/// Returns the source of the verdict. A dante2sys that was stopped does not count while danteshm is running.
fn source(pages: &Pages) -> Source {
    use Freshness::{Absent, Fresh, Stopped};
    match (freshness(&pages.dante4l), freshness(&pages.dante2sys), chrony_relay(pages)) {
        (Absent, Absent, Absent) if freshness(&pages.danteshm) == Absent => Source::None,
        (_, Absent, Absent) => Source::Dante4l,
        (_, Absent, _) | (_, Stopped, Fresh) => Source::Danteshm,
        _ => Source::Dante2sys,
    }
}

/// The freshness of danteshm's page, [`Freshness::Absent`] if it has no output for chrony: usrvclock clients steer no clock.
pub fn chrony_relay(pages: &Pages) -> Freshness {
    match &pages.danteshm {
        Ok(view) if view.body.chrony_delivery().is_none() => Freshness::Absent,
        read => freshness(read),
    }
}

/// Returns the verdict.
pub fn of(pages: &Pages) -> Reason {
    match source(pages) {
        Source::None => Reason::new(
            Verdict::Unknown,
            "dante4l, dante2sys and danteshm publish nothing: none of them is running",
        ),
        Source::Dante4l => alone(pages),
        Source::Dante2sys => steerer(pages),
        Source::Danteshm => relay(pages),
    }
}

/// Whether a program that waits for a synchronised clock may start: the verdict is [`Verdict::Synchronised`] and, if dante2sys
/// steers and has a source of UTC, UTC is synchronised or was set by hand, which is intended. The texts stay the same as long as
/// the state does.
///
/// # Errors
/// What is missing.
pub fn awaited(pages: &Pages) -> Result<String, String> {
    match source(pages) {
        Source::Dante2sys => {
            met(of(pages), &pages.dante2sys)?;
            with_utc(pages)
        }
        Source::Danteshm => {
            met(of(pages), &pages.danteshm)?;
            Ok("danteshm feeds chrony, which steers the clock".into())
        }
        Source::None | Source::Dante4l => met(of(pages), &pages.dante4l).map(|()| String::new()),
    }
}

/// The same for the system clock as steered by dante2sys: neither danteshm nor another clock counts.
///
/// # Errors
/// What is missing.
pub fn awaited_of_dante2sys(pages: &Pages) -> Result<String, String> {
    met(steerer(pages), &pages.dante2sys)?;
    match steered_clock(pages) {
        Some(SteeredClock::Realtime) => with_utc(pages),
        Some(other) => Err(format!("dante2sys steers a {other} clock, not the system clock")),
        None => Err("dante2sys steers an unknown clock".into()),
    }
}

/// Returns an error with the reason if this is not [`Verdict::Synchronised`].
fn met<B: Body>(reason: Reason, read: &Read<B>) -> Result<(), String> {
    match (reason.verdict, read) {
        (Verdict::Synchronised, _) => Ok(()),
        // The error names the page and the remedy.
        (Verdict::Unknown | Verdict::NotSynchronised, Err(error)) => Err(error.to_string()),
        _ => Err(reason.state),
    }
}

/// Completes the answer of a synchronised dante2sys.
fn with_utc(pages: &Pages) -> Result<String, String> {
    let Some(body) = fresh_body(&pages.dante2sys) else { return Err("dante2sys is not running".into()) };
    let has_source = body.utc_source != UtcSource::None as u8;
    if has_source && body.flags & (STATUS_UTC_SYNCHRONISED | STATUS_UTC_BY_HAND) == 0 {
        return Err("the clock is LOCKED, but UTC is not synchronised".into());
    }
    Ok(match Word(SteeredClock::from_number(body.clock)) {
        clock if clock.is(SteeredClock::Virtual) => format!("synchronised, virtual clock: {REHEARSAL}"),
        _ => "the clock is steered".into(),
    })
}

/// Returns the clock that a running dante2sys steers.
pub fn steered_clock(pages: &Pages) -> Option<SteeredClock> {
    SteeredClock::from_number(fresh_body(&pages.dante2sys)?.clock)
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
    let far =
        if state == State::Locked && verdict == Verdict::Acquiring { ", not yet at its target" } else { "" };
    let mut detail = leader(pages);
    if let Some(error) = body.phase_error() {
        detail += &format!(", phase error {:+} ns", error.ns());
    }
    match SteeredClock::from_number(body.clock) {
        Some(SteeredClock::Virtual) => detail += &format!(", virtual clock: {REHEARSAL}"),
        Some(clock @ SteeredClock::Hardware) => detail += &format!(", {clock} clock"),
        Some(SteeredClock::Realtime) | None => {}
    }
    Reason { detail, ..Reason::new(verdict, format!("{} {state}{far}", Dante2sysStatus::PROGRAM)) }
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
    let is_calibrating = pages.state() == Some(port::State::Uncalibrated);
    let (verdict, delivery) = match (state, body.waiting()) {
        (relay::State::Feeding, _) if Delivery::reaches_none(body.outputs()) => {
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
    let state = format!("{} {state}{delivery}", DanteshmStatus::PROGRAM);
    Reason { detail: leader(pages), ..Reason::new(verdict, state) }
}

/// Formats the followed leader; an empty text without one. While dante4l uses no network: where it looks for a leader.
fn leader(pages: &Pages) -> String {
    if let Some(searched) = pages.searched() {
        return format!(", {}", finding::search(searched));
    }
    let leader = pages.selected().and_then(PortRecord::leader);
    leader.map_or(String::new(), |leader| {
        format!(", leader {} at {}", leader.identity().uuid, leader.address())
    })
}

/// Returns the verdict if only dante4l was started.
fn alone(pages: &Pages) -> Reason {
    let Some(state) = pages.state() else {
        return unusable(&pages.dante4l);
    };
    let verdict = match state {
        port::State::Slave | port::State::Uncalibrated => Verdict::Unused,
        _ => Verdict::NotSynchronised,
    };
    let reason = Reason::new(verdict, format!("{} {state}", Dante4lStatus::PROGRAM));
    let searched = pages.searched().is_some().then(|| leader(pages));
    Reason { detail: searched.unwrap_or_default(), ..reason }
}
