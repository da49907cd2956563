//! pmc-lite, the window: shows what the daemons of the suite publish. It reads their pages and changes nothing.
#![forbid(unsafe_code)]

mod args;
mod status;
mod text;
mod wait;

use args::{Action, Args, What};
use clap::Parser;
use dante_os::page::Instance;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Args::parse().action {
        Action::Get { what: What::Status { json, instance } } => status(json, instance.as_ref()),
        Action::Wait { goal, timeout, instance } => wait::until(goal, timeout, instance.as_ref()),
    }
}

fn status(json: bool, instance: Option<&Instance>) -> ExitCode {
    let found = status::read(instance);
    let shown = if json {
        serde_json::to_string_pretty(&found.status)
            .unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
    } else {
        text::screen(&found)
    };
    // A reader that closes the pipe early has seen enough.
    _ = writeln!(std::io::stdout().lock(), "{}", shown.trim_end());
    if found.status.dante4l.life.running { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
