//! dante2sys, the steerer: holds a clock on the leader's rate, and its phase on Dante + K, by what dante4l publishes.
//! It is the only program of the suite that may touch a clock.
#![forbid(unsafe_code)]

mod discipline;

use clap::{Parser, ValueEnum};
use dante_os::daemon::{self, CommonArgs, DaemonArgs, EXIT_STATUS, Exit, Failure};
use dante_os::poll::Poll;
use discipline::Discipline;
use std::process::ExitCode;

/// Steer the system clock by the leader that dante4l follows
#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true, after_help = EXIT_STATUS)]
struct Args {
    /// What to steer: the system clock, or a clock inside this process that shows what would be done
    #[arg(short, long, value_enum, default_value_t = Clock::Realtime)]
    clock: Clock,

    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Clock {
    Realtime,
    Virtual,
}

impl DaemonArgs for Args {
    const PROGRAM: &'static str = "dante2sys";

    fn common(&self) -> &CommonArgs {
        &self.common
    }
}

fn main() -> ExitCode {
    daemon::run(steer)
}

fn steer(args: Args) -> Result<(), Failure> {
    let poll = Poll::new()?;
    // The page first: while another instance lives, its clock is not touched.
    let page = daemon::publish(&args.common)?;
    let clock = match args.clock {
        Clock::Virtual => discipline::virtual_clock(),
        Clock::Realtime => discipline::system_clock().map_err(|error| {
            let exit = if error.is_permission() { Exit::NotPermitted } else { Exit::Failed };
            Failure::new(exit, error)
        })?,
    };
    let mut discipline = Discipline::start(clock, page, &args.common)?;
    daemon::serve(poll, &mut discipline)
}
