//! dante2sys, the steerer: holds a clock on the leader's rate, and its phase on Dante + K, by what dante4l publishes;
//! keeps the date by time servers, and the RTC. It is the only program of the suite that may touch a clock.
#![forbid(unsafe_code)]

mod args;
mod date;
mod discipline;
mod drift_file;
mod hands;
mod publish;
mod rtc;

use args::Args;
use dante_os::daemon::{self, Failure};
use dante_os::poll::Poll;
use dante_os::process;
use discipline::Discipline;
use hands::Hands;
use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::run(steer)
}

fn steer(args: Args) -> Result<(), Failure> {
    args.check()?;
    let poll = Poll::new()?;
    // The page first: while another instance lives, its clock is not touched.
    let page = daemon::publish(&args.common)?;
    let hands = Hands::open(&args.clock, args.force)?;
    if args.lock_memory {
        process::lock_memory()?;
    }
    let mut discipline = Discipline::start(hands, page, &args)?;
    // The worker that asks time servers has been started by now, and waits like everybody else.
    if let Some(priority) = args.rt_priority {
        process::real_time(priority)?;
    }
    daemon::serve(poll, &mut discipline)
}
