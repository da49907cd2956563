//! dante2sys, the steerer: holds a clock on the leader's rate, and its phase on Dante + K, by what dante4l publishes;
//! keeps the date by time servers, and the RTC. It is the only program of the suite that may touch a clock.
#![forbid(unsafe_code)]

mod clock;
mod discipline;
mod drift_file;
mod restore_frequency;
mod rtc;

use clock::ControlledClock;
use dante_core::time::{Duration, Real, Timestamp};
use dante_os::daemon::{self, Failure};
use dante_os::poll::Poll;
use dante_os::process;
use dante2sys::args::{self, Args};
use discipline::Discipline;
use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::run(steer)
}

fn steer(args: Args) -> Result<(), Failure> {
    if args.restore_frequency {
        return restore_frequency::leave(&args);
    }
    let poll = Poll::new()?;
    // What may be refused comes before the clock is touched.
    if args.lock_memory {
        process::lock_memory().map_err(Failure::of)?;
    }
    if let Some(priority) = args.rt_priority {
        process::real_time(priority).map_err(Failure::of)?;
    }
    // The page first: while another instance lives, its clock is not touched.
    let pages = daemon::publish(&args.common)?;
    let clock = ControlledClock::open(&args.clock, args.force)?;
    let mut discipline = Discipline::start(clock, pages, &args)?;
    daemon::serve(poll, &mut discipline)
}

/// When the program was built: no UTC before it is believed.
fn built() -> Timestamp<Real> {
    let seconds = env!("BUILT_AT").parse().unwrap_or(0);
    Timestamp::from_ns(0) + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::built;

    #[test]
    fn a_build_knows_its_date() {
        assert!(built().ns() > 1_700_000_000_000_000_000, "{}", built().ns());
    }
}
