//! `pmc-lite doctor`: looks at this host from the cable up, and says what is in the way of a clock in step with Dante.

mod chrony;
mod clock;
mod firewall;
mod host;
mod interface;
mod listen;
mod membership;
mod network;
mod ports;
mod programs;
mod routes;
#[cfg(test)]
mod tests;

use crate::args::DoctorArgs;
use crate::finding::{Finding, Level};
use crate::outcome::Outcome;
use crate::pages::Pages;
use crate::status::SCHEMA;
use crate::text::style;
use dante_os::page::Instance;
use host::HostFacts;
use serde::Serialize;
use std::fmt;

/// What was found out about one part of the way from the cable to the clock.
#[derive(Debug, Clone, Serialize)]
struct Check {
    about: &'static str,
    #[serde(flatten)]
    found: Found,
}

/// A finding of the doctor's.
#[derive(Debug, Clone, Serialize)]
struct Found {
    #[serde(flatten)]
    finding: Finding,
    /// It may follow from what was found before it.
    #[serde(skip)]
    may_follow: bool,
}

impl From<Finding> for Found {
    fn from(finding: Finding) -> Self {
        Self { finding, may_follow: false }
    }
}

/// All of it, as `--json` prints it: schema 2, documented in docs/pmc-lite.md.
#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    checks: Vec<Check>,
    /// Where to begin; `None`: nothing is in the way.
    first: Option<Check>,
}

pub fn run(args: &DoctorArgs, instance: Option<&Instance>) -> Outcome {
    let pages = Pages::read(instance);
    let host = HostFacts::look(args, &pages, instance);
    // Looking takes seconds: what the pages say is to be of now.
    let pages = Pages::read(instance);
    let report = Report::of(&host, &pages);
    if args.json {
        crate::print(&crate::json(&report));
    } else {
        crate::print(&report.to_string());
    }
    Outcome::of(report.worst() < Level::Failure)
}

impl Report {
    /// Judges what is known.
    fn of(host: &HostFacts, pages: &Pages) -> Self {
        let own = |found: Vec<Finding>| found.into_iter().map(Found::from).collect::<Vec<_>>();
        let mut found = vec![
            ("interface", own(interface::judge(host))),
            ("network", own(network::judge(host, pages))),
            ("ports", own(ports::judge(host, pages))),
        ];
        let is_clear =
            found.iter().flat_map(|(_, found)| found).all(|found| found.finding.level == Level::Ok);
        found.extend([
            ("dante4l", programs::dante4l(host, pages, is_clear)),
            ("clock", own(clock::judge(host, pages))),
            ("dante2sys", programs::dante2sys(host, pages)),
            ("danteshm", programs::danteshm(host, pages)),
            ("chrony", own(chrony::judge(host, pages))),
        ]);
        let checks: Vec<Check> = found
            .into_iter()
            .flat_map(|(about, found)| found.into_iter().map(move |found| Check { about, found }))
            .collect();
        let first = first(&checks);
        Self { schema: SCHEMA, checks, first }
    }

    fn worst(&self) -> Level {
        self.checks.iter().map(|check| check.found.finding.level).max().unwrap_or(Level::Ok)
    }
}

/// The first failure is nearest to the cable, and what comes after may be its consequence.
fn first(checks: &[Check]) -> Option<Check> {
    let of = |level| {
        let is_it = move |Found { finding, may_follow }: &Found| !may_follow && finding.level == level;
        checks.iter().find(move |check| is_it(&check.found))
    };
    let any = || checks.iter().find(|check| check.found.finding.level > Level::Ok);
    of(Level::Failure).or_else(|| of(Level::Warning)).or_else(any).cloned()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { about, found: Found { finding, .. } } in &self.checks {
            let style = style(finding.level);
            let word = match finding.level {
                Level::Ok => "ok",
                Level::Warning => "warning",
                Level::Failure => "FAILURE",
            };
            writeln!(f, "{style}{word:<8}{style:#} {about:<10} {}", finding.what)?;
            finding.ways().try_for_each(|way| writeln!(f, "{:<19} -> {way}", ""))?;
        }
        let style = style(self.worst());
        let begin = match self.worst() {
            Level::Ok => return writeln!(f, "\n{style}Nothing is in the way.{style:#}"),
            Level::Warning => "Nothing is broken; worth a look:",
            Level::Failure => "Begin here:",
        };
        let Some(Check { found: Found { finding, .. }, .. }) = &self.first else { return Ok(()) };
        writeln!(f, "\n{style}{begin}{style:#} {}", finding.what)?;
        finding.ways().try_for_each(|way| writeln!(f, "-> {way}"))
    }
}
