//! pmc-lite, the window: shows what the daemons of the suite publish. It reads their pages and changes nothing.
#![forbid(unsafe_code)]

mod args;
mod finding;
mod history;
mod log;
mod pages;
mod plot;
mod scale;
#[cfg(test)]
mod scenes;
mod status;
mod text;
mod wait;
mod watch;

use args::{Action, Args, What};
use clap::Parser;
use dante_os::page::Instance;
use pages::Pages;
use status::Status;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Args { action, instance, .. } = Args::parse();
    let instance = instance.as_ref();
    match action {
        Action::Get { what: What::Status { json } } => get_status(json, instance),
        Action::Wait { goal, timeout } => wait::until(goal, timeout, instance),
        Action::Log(args) => ended(log::log(&args, instance)),
        Action::Plot(args) => ended(plot::plot(&args, instance)),
        Action::Watch => ended(watch::watch(instance)),
    }
}

fn get_status(json: bool, instance: Option<&Instance>) -> ExitCode {
    let pages = Pages::read(instance);
    let status = Status::of(&pages);
    if json {
        print(
            &serde_json::to_string_pretty(&status)
                .unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")),
        );
    } else {
        print(&text::screen(&status));
    }
    if pages.has_dante4l() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
fn print(text: &str) {
    // A reader that closes the pipe early has seen enough.
    _ = writeln!(anstream::stdout().lock(), "{}", text.trim_end());
}
