//! `pmc-lite check`: one line and an exit status by which a monitoring system judges this host.
//!
//! The form is that of the Monitoring Plugins Development Guidelines, as Nagios, Icinga and others read it: what stands behind the bar
//! are numbers in base units with their limits, always the same ones in the same order, and `U` where a value is not known.

use crate::args::CheckArgs;
use crate::finding::{self, Level};
use crate::pages::{Pages, freshness};
use crate::verdict::{self, Verdict};
use dante_core::named;
use dante_core::page::Freshness;
use dante_os::page::Instance;
use std::cmp::Reverse;
use std::process::ExitCode;

mod figures;
#[cfg(test)]
mod tests;

use figures::Figure;

named! {
    /// How this host fares. The order is that of how bad it is; what could not be judged is no reassurance, and a warning is worse.
    #[derive(PartialOrd, Ord)]
    pub enum Service {
        Ok "OK",
        Unknown "UNKNOWN",
        Warning "WARNING",
        Critical "CRITICAL",
    }
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
}

impl From<Verdict> for Service {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::InStep => Self::Ok,
            Verdict::Acquiring | Verdict::Holdover | Verdict::Unused => Self::Warning,
            Verdict::NotInStep => Self::Critical,
            Verdict::Unknown => Self::Unknown,
        }
    }
}

/// How bad something is, and what it is.
type Judgement = (Service, String);

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
    let (verdict, text) = verdict::of(pages);
    let is_unknown = verdict == Verdict::Unknown;
    let mut judged = vec![(Service::from(verdict), text)];
    if is_anything_there(pages) {
        judged.extend(observer(pages));
        // What is not known where nothing works needs no words of its own.
        let is_down = judged.iter().any(|(service, _)| *service == Service::Critical);
        let told = figures.iter().filter(|figure| figure.is_known() || !is_down);
        // What is not as it should be although the clock is held is worth a look. Where nobody knows whether it is, it says why.
        let level = if is_unknown { Service::Unknown } else { Service::Warning };
        judged.extend(told.filter_map(Figure::judged));
        let is_said = |what: &str| judged.iter().any(|(_, text)| what.starts_with(text.as_str()));
        let found =
            finding::of(pages).into_iter().filter(|found| found.level != Level::Ok && !is_said(&found.what));
        let found: Vec<Judgement> = found.map(|found| (level, found.what)).collect();
        judged.extend(found);
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

/// Without it nobody comes back from a holdover.
fn observer(pages: &Pages) -> Option<Judgement> {
    let (verdict, text) = verdict::lifeless(&pages.dante4l);
    (!pages.has_dante4l() && verdict == Verdict::NotInStep).then_some((Service::Critical, text))
}
