//! `pmc-lite check`: reports the state of this host to a monitoring system, in one line and by the exit status.
//!
//! The format is that of the Monitoring Plugins Development Guidelines, which Nagios, Icinga and others read. After the bar
//! comes the performance data: values in base units with their limits, always the same in the same order, and `U` for an unknown
//! value.

use crate::args::CheckArgs;
use crate::finding::{self, Finding, Kind, Level};
use crate::outcome::{Ended, Outcome, Service};
use crate::output;
use crate::pages::{Pages, freshness};
use crate::verdict::{self, Reason, Verdict};
use clap::error::ContextKind;
use dante_core::page::Freshness;
use dante_core::printable::printable;
use dante_os::page::Instance;
use std::cmp::Reverse;
use std::error::Error;

mod figures;
#[cfg(test)]
mod tests;

use figures::Figure;

impl From<Verdict> for Service {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Synchronised => Self::Ok,
            Verdict::Acquiring | Verdict::Holdover | Verdict::Unused => Self::Warning,
            Verdict::NotSynchronised => Self::Critical,
            Verdict::Unknown => Self::Unknown,
        }
    }
}

/// A state of the service, and its reason.
type Judgement = (Service, String);

/// Prints the line, and returns the state of the service: UNKNOWN if the line is lost.
pub fn run(limits: &CheckArgs, instance: Option<&Instance>) -> Outcome {
    let (service, text) = match figures::check(limits) {
        Ok(()) => judge(&Pages::read(instance), limits),
        Err(error) => (Service::Unknown, line(Service::Unknown, &error, "")),
    };
    judged(service, &text)
}

fn judged(service: Service, text: &str) -> Outcome {
    match crate::print(text) {
        Ok(()) => Outcome::Judged(service),
        Err(error) => {
            crate::report(&format!("{error:#}"));
            Outcome::Judged(Service::Unknown)
        }
    }
}

/// Reports wrong flags as UNKNOWN: clap's exit status, 2, would be CRITICAL. Writes clap's whole message to standard error.
pub fn wrong_flags(error: &clap::Error) -> Ended {
    _ = output::help_or_usage(error);
    Ok(judged(Service::Unknown, &line(Service::Unknown, &in_one_line(error), "")))
}

/// Returns the parts of clap's error in one line: its kind, the arguments, and why a value is wrong.
fn in_one_line(error: &clap::Error) -> String {
    const ABOUT: [ContextKind; 3] =
        [ContextKind::InvalidArg, ContextKind::PriorArg, ContextKind::InvalidValue];
    let kind = error.kind().as_str().unwrap_or("wrong flags").to_owned();
    let about = ABOUT.into_iter().filter_map(|kind| Some(error.get(kind)?.to_string()));
    let why = error.source().map(ToString::to_string);
    [kind].into_iter().chain(about).chain(why).collect::<Vec<_>>().join(": ")
}

/// Returns the state of the service, and the line.
pub fn judge(pages: &Pages, limits: &CheckArgs) -> (Service, String) {
    let figures = figures::of(pages, limits);
    let main = verdict::of(pages);
    let is_unknown = main.verdict == Verdict::Unknown;
    let observer = observer(pages);
    let missing = [Some(&main), observer.as_ref()].map(|reason| reason.and_then(|reason| reason.missing));
    let mut judged = vec![(Service::from(main.verdict), main.text())];
    if is_anything_there(pages) {
        judged.extend(observer.map(|reason| (Service::Critical, reason.text())));
        // In a critical state, unknown values follow from it and are not reported.
        let is_down = judged.iter().any(|(service, _)| *service == Service::Critical);
        let reported = figures.iter().filter(|figure| figure.is_known() || !is_down);
        // A finding beside a synchronised clock is a warning; beside an unknown state it is the reason.
        let level = if is_unknown { Service::Unknown } else { Service::Warning };
        judged.extend(reported.filter_map(Figure::judged));
        let is_reported =
            |found: &Finding| found.kind == Kind::NotRunning && missing.contains(&found.program);
        let found = finding::of(pages).into_iter();
        let found = found.filter(|found| found.level != Level::Ok && !is_reported(found));
        judged.extend(found.map(|found| (level, found.what().to_owned())));
    }
    // Worst first; the sort is stable.
    judged.sort_by_key(|(service, _)| Reverse(*service));
    let worst = judged.first().map_or(Service::Unknown, |(service, _)| *service);
    let texts: Vec<String> = judged.into_iter().map(|(_, text)| text).collect();
    let values: Vec<String> = figures.iter().map(Figure::value).collect();
    (worst, line(worst, &texts.join("; "), &values.join(" ")))
}

/// Formats the line. A bar would end the text and a line break would end the output: neither is left in `text`.
fn line(service: Service, text: &str, values: &str) -> String {
    let text = text.replace('|', "/");
    let text = printable(&text);
    let bar = if values.is_empty() { "" } else { " | " };
    format!("DANTE {} - {text}{bar}{values}", service.name())
}

fn is_anything_there(pages: &Pages) -> bool {
    [freshness(&pages.dante4l), freshness(&pages.dante2sys), freshness(&pages.danteshm)]
        .iter()
        .any(|page| *page != Freshness::Absent)
}

/// Returns the reason if dante4l is not running: without it the clock cannot leave holdover.
fn observer(pages: &Pages) -> Option<Reason> {
    Some(verdict::unusable(&pages.dante4l)).filter(|reason| reason.missing.is_some())
}
