//! pmc-lite: shows the state that the daemons of the suite publish. It reads their pages and changes nothing. Only `query`
//! sends packets.
#![forbid(unsafe_code)]

#[expect(
    missing_docs,
    reason = "the help of each flag describes it, and a doc comment would change the help"
)]
pub mod args;
mod check;
mod datasets;
mod doctor;
mod finding;
mod get;
mod history;
#[cfg(test)]
mod hostile;
mod log;
mod metrics;
mod notify;
mod outcome;
mod output;
mod pages;
mod plot;
mod query;
mod scale;
#[cfg(test)]
mod scenes;
mod shown;
mod status;
mod text;
mod verdict;
mod wait;
mod watch;

use args::{Action, Args};
use clap::{CommandFactory, Parser};
use dante_os::daemon::Failure;
use outcome::{Ended, Outcome};
pub(crate) use output::{json, print, report};
use std::process::ExitCode;

/// Runs the program, from its command line to its exit status.
pub fn run() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() && is_check() => return outcome::exit(check::wrong_flags(&error)),
        Err(error) => return output::help_or_usage(&error),
    };
    let instance = args.instance.as_ref();
    outcome::exit(match args.action {
        Some(Action::Get { what }) => get::get(&what, instance),
        Some(Action::Wait { goal, timeout }) => Ok(wait::until(goal, timeout, instance)),
        Some(Action::Doctor(args)) => doctor::run(&args, instance),
        Some(Action::Watch { line: None }) => done(watch::watch(instance)),
        Some(Action::Watch { line: Some(format) }) => done(watch::line::run(format, instance)),
        Some(Action::Plot(args)) => done(plot::plot(&args, instance)),
        Some(Action::Log(args)) => done(log::log(&args, instance)),
        Some(Action::Check(limits)) => Ok(check::run(&limits, instance)),
        Some(Action::Metrics(args)) => done(metrics::run(&args, instance)),
        Some(Action::Query(args)) => query::query(&args),
        None => datasets::run(&args.commands, instance),
    })
}

/// Whether the command is `check`, even with wrong flags.
fn is_check() -> bool {
    let matches = Args::command().ignore_errors(true).try_get_matches();
    matches.is_ok_and(|matches| matches.subcommand_name() == Some("check"))
}

/// The outcome of a command that has no answer besides its output.
fn done(ended: anyhow::Result<()>) -> Ended {
    ended.map(|()| Outcome::Yes).map_err(Failure::from)
}
