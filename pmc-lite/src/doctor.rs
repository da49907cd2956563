//! `pmc-lite doctor`: checks this host from the cable to the clock, and reports what prevents a clock synchronised to the leader.

mod causes;
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
    finding: Finding,
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
    let mut pages = Pages::read(instance);
    pages.surroundings.name_holders(ports::holder_of_socket);
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
        let found = [
            ("interface", interface::judge(host)),
            ("network", network::judge(host, pages)),
            ("ports", ports::judge(host, pages)),
            ("dante4l", programs::dante4l(host, pages)),
            ("clock", clock::judge(host, pages)),
            ("dante2sys", programs::dante2sys(host, pages)),
            ("chrony", chrony::judge(host, pages)),
            ("danteshm", programs::danteshm(host, pages)),
        ];
        let mut checks: Vec<Check> = found
            .into_iter()
            .flat_map(|(about, found)| found.into_iter().map(move |finding| Check { about, finding }))
            .collect();
        let is_covered = programs::is_covered(host, pages);
        let is_explained: Vec<bool> =
            checks.iter().map(|check| causes::cause(&checks, check, is_covered).is_some()).collect();
        for (check, is_explained) in checks.iter_mut().zip(is_explained) {
            // The remedy refers to the doctor.
            let Some(otherwise) = check.finding.otherwise.take() else { continue };
            let remedy = match is_explained {
                true => format!("first follow the remedies above; if that does not help: {otherwise}"),
                false => otherwise,
            };
            check.finding = check.finding.clone().remedy(remedy);
        }
        let first = causes::first(&checks, is_covered).cloned();
        Self { schema: SCHEMA, checks, first }
    }

    fn worst(&self) -> Level {
        self.checks.iter().map(|check| check.finding.level).max().unwrap_or(Level::Ok)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { about, finding } in &self.checks {
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
        let Some(Check { finding, .. }) = &self.first else { return Ok(()) };
        writeln!(f, "\n{style}{start}{style:#} {}", finding.what())?;
        finding.ways().try_for_each(|way| writeln!(f, "-> {way}"))
    }
}
