//! `pmc-lite doctor`: checks this host from the cable to the clock, and reports what prevents a clock synchronised to the leader.

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
use crate::outcome::{Ended, Outcome};
use crate::pages::Pages;
use crate::status::SCHEMA;
use crate::text::style;
use dante_os::page::Instance;
use host::HostFacts;
use serde::Serialize;
use std::fmt;

/// Result of one check.
#[derive(Debug, Clone, Serialize)]
struct Check {
    about: &'static str,
    #[serde(flatten)]
    found: Found,
}

/// A finding of the doctor.
#[derive(Debug, Clone, Serialize)]
struct Found {
    #[serde(flatten)]
    finding: Finding,
    /// It may be a consequence of an earlier finding.
    #[serde(skip)]
    may_follow: bool,
}

impl From<Finding> for Found {
    fn from(finding: Finding) -> Self {
        Self { finding, may_follow: false }
    }
}

/// The whole report, as `--json` prints it: schema 2, documented in docs/pmc-lite.md.
#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    checks: Vec<Check>,
    /// The finding to start with; `None`: there is neither a warning nor a failure.
    first: Option<Check>,
}

/// Prints the report. The outcome is yes without a failure.
///
/// # Errors
/// The output is lost.
pub fn run(args: &DoctorArgs, instance: Option<&Instance>) -> Ended {
    let pages = Pages::read(instance);
    let host = HostFacts::gather(args, &pages, instance);
    // Gathering takes seconds: the report uses the present state of the pages.
    let pages = Pages::read(instance);
    let report = Report::of(&host, &pages);
    if args.json {
        crate::print(&crate::json(&report))?;
    } else {
        crate::print(&report.to_string())?;
    }
    Ok(Outcome::of(report.worst() < Level::Failure))
}

impl Report {
    /// Runs all checks on the facts.
    fn of(host: &HostFacts, pages: &Pages) -> Self {
        let as_found = |found: Vec<Finding>| found.into_iter().map(Found::from).collect::<Vec<_>>();
        let mut found = vec![
            ("interface", as_found(interface::judge(host))),
            ("network", as_found(network::judge(host, pages))),
            ("ports", as_found(ports::judge(host, pages))),
        ];
        let is_clear =
            found.iter().flat_map(|(_, found)| found).all(|found| found.finding.level == Level::Ok);
        found.extend([
            ("dante4l", programs::dante4l(host, pages, is_clear)),
            ("clock", as_found(clock::judge(host, pages))),
            ("dante2sys", programs::dante2sys(host, pages)),
            ("danteshm", programs::danteshm(host, pages)),
            ("chrony", as_found(chrony::judge(host, pages))),
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

/// Returns the finding to start with: the first failure, as it is nearest to the cable, else the first warning. Findings that may
/// be consequences of others come last.
fn first(checks: &[Check]) -> Option<Check> {
    let of = |level| {
        let matches = move |Found { finding, may_follow }: &Found| !may_follow && finding.level == level;
        checks.iter().find(move |check| matches(&check.found))
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
            writeln!(f, "{style}{word:<8}{style:#} {about:<10} {}", finding.what())?;
            finding.ways().try_for_each(|way| writeln!(f, "{:<19} -> {way}", ""))?;
        }
        let style = style(self.worst());
        let start = match self.worst() {
            Level::Ok => return writeln!(f, "\n{style}No problem found.{style:#}"),
            Level::Warning => "No failure. First warning:",
            Level::Failure => "Begin here:",
        };
        let Some(Check { found: Found { finding, .. }, .. }) = &self.first else { return Ok(()) };
        writeln!(f, "\n{style}{start}{style:#} {}", finding.what())?;
        finding.ways().try_for_each(|way| writeln!(f, "-> {way}"))
    }
}
