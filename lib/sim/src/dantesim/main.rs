//! dantesim: a simulated PTPv1 leader, and a demonstration of the suite.
#![forbid(unsafe_code)]

mod demo;
mod lead;

use clap::Parser;
use dante_os::daemon::{Failure, exit};
use dante_sim::args::{self, Action, Args};
use std::process::ExitCode;

fn main() -> ExitCode {
    let result: Result<(), Failure> = match Args::parse().action {
        Action::Leader(args) => lead::lead(&args),
        Action::Demo(args) => demo::demo(&args),
    };
    exit("dantesim", result)
}
