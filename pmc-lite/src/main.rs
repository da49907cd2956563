//! pmc-lite, the window: shows what the daemons of the suite publish. It reads their pages and changes nothing.
#![forbid(unsafe_code)]

mod args;
mod datasets;
mod doctor;
mod finding;
mod get;
mod pages;
#[cfg(test)]
mod scenes;
mod status;
mod text;
mod wait;

use args::{Action, Args};
use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Args { action, commands, instance, .. } = Args::parse();
    let instance = instance.as_ref();
    match action {
        Some(Action::Get { what }) => get::get(&what, instance),
        Some(Action::Wait { goal, timeout }) => wait::until(goal, timeout, instance),
        Some(Action::Doctor(args)) => doctor::run(&args, instance),
        None => datasets::ask(&commands, instance),
    }
}

/// On standard output, in colours only where that is a terminal.
fn print(text: &str) {
    // A reader that closes the pipe early has seen enough.
    _ = writeln!(anstream::stdout().lock(), "{}", text.trim_end());
}
