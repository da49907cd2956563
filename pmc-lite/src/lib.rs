//! pmc-lite, the window: shows what the daemons of the suite publish. It reads their pages and changes nothing. Only
//! `query` sends anything to the network.
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
mod log;
mod metrics;
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
use std::io::Write;
use std::process::ExitCode;

/// The program, from its command line to its exit status.
pub fn run() -> ExitCode {
    let Args { action, commands, instance, .. } = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() && is_check() => return check::not_understood(&error),
        Err(error) => error.exit(),
    };
    let instance = instance.as_ref();
    match action {
        Some(Action::Get { what }) => get::get(&what, instance),
        Some(Action::Wait { goal, timeout }) => wait::until(goal, timeout, instance),
        Some(Action::Doctor(args)) => doctor::run(&args, instance),
        Some(Action::Watch) => ended(watch::watch(instance)),
        Some(Action::Plot(args)) => ended(plot::plot(&args, instance)),
        Some(Action::Log(args)) => ended(log::log(&args, instance)),
        Some(Action::Check(limits)) => check::run(&limits, instance),
        Some(Action::Metrics(args)) => ended(metrics::run(&args, instance)),
        Some(Action::Query(args)) => query::query(&args),
        None => datasets::ask(&commands, instance),
    }
}

/// Whether `check` is meant, whatever is wrong behind it.
fn is_check() -> bool {
    let meant = Args::command().ignore_errors(true).try_get_matches();
    meant.is_ok_and(|matches| matches.subcommand_name() == Some("check"))
}

/// What went wrong is told in one line.
fn ended(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A terminal that is gone takes no message.
            _ = writeln!(std::io::stderr(), "pmc-lite: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// On standard output, in colours only where that is a terminal.
pub(crate) fn print(text: &str) {
    // A reader that closes the pipe early has seen enough.
    _ = writeln!(anstream::stdout().lock(), "{}", text.trim_end());
}

/// As JSON for people and programs.
pub(crate) fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}
