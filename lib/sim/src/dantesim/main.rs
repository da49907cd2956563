//! dantesim: a PTPv1 leader for rehearsal, and a demonstration of the whole suite.
#![forbid(unsafe_code)]

mod demo;
mod lead;

use clap::{ArgAction, Parser, Subcommand};
use dante_os::daemon::{Failure, exit};
use std::process::ExitCode;

/// Rehearse with the dante4l suite where there is no Dante network
#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true, after_help = dante_os::daemon::EXIT_STATUS)]
struct Args {
    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,

    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lead a PTPv1 domain as a Dante device does; refused where another leader is heard
    Leader(lead::Args),
    /// Run leader and suite on loopback, without root, and show how they lock
    Demo(demo::Args),
}

fn main() -> ExitCode {
    let result: Result<(), Failure> = match Args::parse().action {
        Action::Leader(args) => lead::lead(&args),
        Action::Demo(args) => demo::demo(&args),
    };
    exit("dantesim", result)
}
