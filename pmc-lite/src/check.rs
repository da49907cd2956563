//! `pmc-lite check`: one line and an exit status by which a monitoring system judges this host.
//!
//! The form is that of the Monitoring Plugins Development Guidelines, as Nagios, Icinga and others read it: what stands behind the bar
//! are numbers in base units with their limits, always the same ones in the same order, and `U` where a value is not known.

use crate::args::CheckArgs;
use crate::finding::{self, Finding, Kind, Level};
use crate::outcome::{Ended, Outcome, Service};
use crate::pages::{Pages, freshness};
use crate::verdict::{self, Reason, Verdict};
use clap::error::ContextKind;
use dante_core::page::Freshness;
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

/// How bad something is, and what it is.
type Judgement = (Service, String);

/// Judges this host and prints the line.
pub fn run(limits: &CheckArgs, instance: Option<&Instance>) -> Outcome {
    let (service, text) = match figures::check(limits) {
        Ok(()) => judge(&Pages::read(instance), limits),
        Err(wrong) => (Service::Unknown, line(Service::Unknown, &wrong, "")),
    };
    crate::print(&text);
    Outcome::Judged(service)
}

/// Wrong flags are UNKNOWN: clap's exit status, 2, would be CRITICAL. clap's whole message goes to standard error.
pub fn wrong_flags(error: &clap::Error) -> Ended {
    _ = error.print();
    crate::print(&line(Service::Unknown, &in_one_line(error), ""));
    Ok(Outcome::Judged(Service::Unknown))
}

/// The parts of clap's error: its kind, what it is about, and why a value is wrong.
fn in_one_line(error: &clap::Error) -> String {
    const ABOUT: [ContextKind; 3] =
        [ContextKind::InvalidArg, ContextKind::PriorArg, ContextKind::InvalidValue];
    let kind = error.kind().as_str().unwrap_or("wrong flags").to_owned();
    let about = ABOUT.into_iter().filter_map(|kind| Some(error.get(kind)?.to_string()));
    let why = error.source().map(ToString::to_string);
    [kind].into_iter().chain(about).chain(why).collect::<Vec<_>>().join(": ")
}

/// The service's state and the line that says so.
pub fn judge(pages: &Pages, limits: &CheckArgs) -> (Service, String) {
    let figures = figures::of(pages, limits);
    let main = verdict::of(pages);
    let is_unknown = main.verdict == Verdict::Unknown;
    let observer = observer(pages);
    let missing = [Some(&main), observer.as_ref()].map(|reason| reason.and_then(|reason| reason.missing));
    let mut judged = vec![(Service::from(main.verdict), main.text)];
    if is_anything_there(pages) {
        judged.extend(observer.map(|reason| (Service::Critical, reason.text)));
        // What is not known where nothing works needs no words of its own.
        let is_down = judged.iter().any(|(service, _)| *service == Service::Critical);
        let told = figures.iter().filter(|figure| figure.is_known() || !is_down);
        // What is not as it should be although the clock is held is worth a look. Where nobody knows whether it is, it says why.
        let level = if is_unknown { Service::Unknown } else { Service::Warning };
        judged.extend(told.filter_map(Figure::judged));
        let is_said = |found: &Finding| found.kind == Kind::NotRunning && missing.contains(&found.program);
        let found = finding::of(pages).into_iter();
        let found = found.filter(|found| found.level != Level::Ok && !is_said(found));
        judged.extend(found.map(|found| (level, found.what)));
    }
    // The worst first; the sort is stable.
    judged.sort_by_key(|(service, _)| Reverse(*service));
    let worst = judged.first().map_or(Service::Unknown, |(service, _)| *service);
    let texts: Vec<String> = judged.into_iter().map(|(_, text)| text).collect();
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

/// dante4l does not run: without it nothing comes back from a holdover.
fn observer(pages: &Pages) -> Option<Reason> {
    Some(verdict::lifeless(&pages.dante4l)).filter(|reason| reason.missing.is_some())
}
