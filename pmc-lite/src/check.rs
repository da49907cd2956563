//! `pmc-lite check`: one line and an exit status by which a monitoring system judges this host.
//!
//! The form is that of the Monitoring Plugins Development Guidelines, as Nagios, Icinga and others read it: what stands behind the bar
//! are numbers in base units with their limits, always the same ones in the same order, and `U` where a value is not known.

use crate::args::CheckArgs;
use crate::finding::{self, Level};
use crate::pages::{Pages, Read, freshness, said};
use dante_core::page::{Body, Dante2sys, Dante4l, Danteshm, Freshness, PortRecord, SteeredClock};
use dante_core::port;
use dante_core::relay::{self, Waiting};
use dante_core::steer::State;
use dante_os::page::Instance;
use std::cmp::Reverse;
use std::process::ExitCode;

mod figures;
#[cfg(test)]
mod tests;

use figures::Figure;

/// How this host fares. The order is that of how bad it is; what could not be judged is no reassurance, and a warning is worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    Ok,
    Unknown,
    Warning,
    Critical,
}

impl Service {
    const fn status(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// What is to be told, with how bad it is.
type Verdict = (Service, String);

/// Judges this host, and says it.
pub fn run(limits: &CheckArgs, instance: Option<&Instance>) -> ExitCode {
    if let Err(wrong) = figures::check(limits) {
        return say(Service::Unknown, &wrong);
    }
    let (service, line) = judge(&Pages::read(instance), limits);
    crate::print(&line);
    ExitCode::from(service.status())
}

/// Wrong flags: clap's own status, 2, would be CRITICAL.
pub fn not_understood(error: &clap::Error) -> ExitCode {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    eprint!("{text}");
    say(Service::Unknown, line.trim_start_matches("error: "))
}

fn say(service: Service, text: &str) -> ExitCode {
    crate::print(&line(service, text, ""));
    ExitCode::from(service.status())
}

/// The verdict and the line that tells it.
pub fn judge(pages: &Pages, limits: &CheckArgs) -> (Service, String) {
    let figures = figures::of(pages, limits);
    let mut verdicts = vec![subject(pages)];
    let is_unknown = verdicts.iter().any(|(service, _)| *service == Service::Unknown);
    if is_anything_there(pages) {
        verdicts.extend(observer(pages));
        // What is not known where nothing works needs no words of its own.
        let is_down = verdicts.iter().any(|(service, _)| *service == Service::Critical);
        let told = figures.iter().filter(|figure| figure.is_known() || !is_down);
        // What is not as it should be although the clock is held is worth a look. Where nobody knows whether it is, it says why.
        let level = if is_unknown { Service::Unknown } else { Service::Warning };
        verdicts.extend(told.filter_map(Figure::verdict));
        let found = finding::of(pages).into_iter().filter(|found| found.level != Level::Ok);
        verdicts.extend(found.map(|found| (level, found.what)));
    }
    // The worst first; the sort is stable.
    verdicts.sort_by_key(|(service, _)| Reverse(*service));
    let worst = verdicts.first().map_or(Service::Unknown, |(service, _)| *service);
    let texts: Vec<String> = verdicts.into_iter().map(|(_, text)| text).collect();
    let values: Vec<String> = figures.iter().map(Figure::value).collect();
    (worst, line(worst, &texts.join("; "), &values.join(" ")))
}

/// A bar would end the text, and a line break the whole.
fn line(service: Service, text: &str, values: &str) -> String {
    let text = text.replace('|', "/").replace(|c: char| c.is_control(), " ");
    let bar = if values.is_empty() { "" } else { " | " };
    format!("DANTE {} - {text}{bar}{values}", service.name())
}

fn is_anything_there(pages: &Pages) -> bool {
    [freshness(&pages.dante4l), freshness(&pages.dante2sys), freshness(&pages.danteshm)]
        .iter()
        .any(|page| *page != Freshness::Absent)
}

/// The program by which this host's clock follows Dante, or the one that would let it. One that was stopped has been replaced
/// by one that runs.
fn subject(pages: &Pages) -> Verdict {
    use Freshness::{Absent, Fresh, Stopped};
    match (freshness(&pages.dante4l), freshness(&pages.dante2sys), freshness(&pages.danteshm)) {
        (Absent, Absent, Absent) => {
            (Service::Unknown, "there are no pages here: the suite was not started since boot".into())
        }
        (_, Absent, Absent) => alone(pages),
        (_, Absent, _) | (_, Stopped, Fresh) => relay(pages),
        _ => steerer(pages),
    }
}

/// Where its writer does not run, or its page tells nothing.
fn lifeless<B: Body>(read: &Read<B>) -> Verdict {
    match freshness(read) {
        Freshness::Stale | Freshness::Stopped | Freshness::Absent => {
            (Service::Critical, format!("{} does not run", B::NAME))
        }
        Freshness::Foreign | Freshness::Layout | Freshness::Fresh => {
            (Service::Unknown, format!("what {} does is not known", B::NAME))
        }
    }
}

fn steerer(pages: &Pages) -> Verdict {
    let Some((body, state)) = said(&pages.dante2sys).and_then(|body| Some((body, body.state()?))) else {
        return lifeless(&pages.dante2sys);
    };
    let service = match state {
        State::Locked => Service::Ok,
        State::Acquiring | State::Holdover => Service::Warning,
        State::Waiting | State::Refused | State::Yielded => Service::Critical,
    };
    let mut text = format!("{} {state}", Dante2sys::NAME);
    if let Some(port) = port(pages)
        && let Some(leader) = port.leader()
    {
        text += &format!(" on {} at {}", leader.identity().uuid, leader.address());
    }
    if let Some(error) = body.phase_error() {
        text += &format!(", {:+} ns off", error.ns());
    }
    if let Some(clock @ (SteeredClock::Virtual | SteeredClock::Hardware)) =
        SteeredClock::from_number(body.clock)
    {
        text += &format!(", a {clock} clock");
    }
    (service, text)
}

fn relay(pages: &Pages) -> Verdict {
    let Some((body, state)) = said(&pages.danteshm).and_then(|body| Some((body, body.state()?))) else {
        return lifeless(&pages.danteshm);
    };
    let is_near = port(pages).and_then(PortRecord::state) == Some(port::State::Uncalibrated);
    let service = match (state, body.waiting()) {
        (relay::State::Feeding, _) => Service::Ok,
        (_, Some(Waiting::Silence)) => Service::Warning,
        (_, Some(Waiting::Leader)) if is_near => Service::Warning,
        (relay::State::Waiting, _) => Service::Critical,
    };
    let text = match port(pages).and_then(PortRecord::leader) {
        Some(leader) => {
            format!("{} {state} from {} at {}", Danteshm::NAME, leader.identity().uuid, leader.address())
        }
        None => format!("{} {state}", Danteshm::NAME),
    };
    (service, text)
}

/// dante4l without anybody who follows it.
fn alone(pages: &Pages) -> Verdict {
    let Some(state) = port(pages).and_then(PortRecord::state) else {
        return lifeless(&pages.dante4l);
    };
    let service = match state {
        port::State::Slave => Service::Ok,
        port::State::Uncalibrated => Service::Warning,
        _ => Service::Critical,
    };
    (service, format!("{} {state}", Dante4l::NAME))
}

/// Without it nobody comes back from a holdover.
fn observer(pages: &Pages) -> Option<Verdict> {
    let verdict = lifeless(&pages.dante4l);
    (freshness(&pages.dante4l) != Freshness::Fresh && verdict.0 == Service::Critical).then_some(verdict)
}

fn port(pages: &Pages) -> Option<&PortRecord> {
    said(&pages.dante4l)?.selected()
}
