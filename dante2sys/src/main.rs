//! dante2sys steers a clock to the leader's rate, with its phase on Dante time + the epoch offset (K), by what dante4l publishes.
//! It corrects UTC by NTP servers, and sets the RTC. It is the only program of the suite that may change a clock.
#![forbid(unsafe_code)]

mod clock;
mod discipline;
mod drift_file;
mod restore_frequency;
mod rtc;

#[cfg(test)]
#[path = "../../lib/os/src/logged.rs"]
mod logged;

use clock::ControlledClock;
use dante_core::page::Dante2sys;
use dante_core::time::{Duration, Real, Timestamp};
use dante_os::clock::raw_now;
use dante_os::daemon::{self, Failure};
use dante_os::page::{PageName, PageReader};
use dante_os::poll::Poll;
use dante_os::process;
use dante2sys::args::{self, Args};
use discipline::{Discipline, Sources};
use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::run(steer)
}

fn steer(args: Args) -> Result<(), Failure> {
    if args.restore_frequency {
        return restore_frequency::run(&args);
    }
    let poll = Poll::new()?;
    // What can be refused comes before the clock is changed.
    if args.lock_memory {
        process::lock_memory().map_err(Failure::of)?;
    }
    if let Some(priority) = args.rt_priority {
        process::real_time(priority).map_err(Failure::of)?;
    }
    // The epoch offset (K) of an earlier run is resumed.
    let before = PageReader::new(PageName::<Dante2sys>::new(args.common.instance.as_ref())).read(raw_now());
    // The pages first: while another instance runs, its clock is not changed.
    let pages = daemon::publish(&args.common)?;
    let sources = Sources::open(&args)?;
    let clock = ControlledClock::open(&args.clock, args.force)?;
    let earlier = before.ok().and_then(|view| view.body.earlier_epoch(clock.kind()));
    let mut discipline = Discipline::start(clock, sources, pages, earlier, &args)?;
    daemon::serve(poll, &mut discipline)
}

/// When the program was built: an earlier UTC is implausible.
fn built() -> Timestamp<Real> {
    let seconds = env!("BUILT_AT").parse().unwrap_or(0);
    Timestamp::from_ns(0) + Duration::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::built;

    #[test]
    fn build_time_is_known() {
        assert!(built().ns() > 1_700_000_000_000_000_000, "{}", built().ns());
    }
}
