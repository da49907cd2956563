//! danteshm, the relay: gives chrony a sample for each Sync that dante4l measured, through an NTP shared-memory segment.
//! It touches no clock.
#![forbid(unsafe_code)]

mod args;
mod feed;

use args::Args;
use dante_core::page::Danteshm;
use dante_os::clock::raw_now;
use dante_os::daemon::{self, Exit, Failure};
use dante_os::ntpshm::{NtpShm, ShmError};
use dante_os::page::{PageName, PageReader};
use dante_os::poll::Poll;
use feed::Feed;
use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::run(relay)
}

fn relay(args: Args) -> Result<(), Failure> {
    let poll = Poll::new()?;
    // What an earlier run told chrony is gone on with, so that a restart is no jump.
    let mut before = PageReader::new(PageName::<Danteshm>::new(args.common.instance.as_ref()));
    let told = before.read(raw_now()).ok().and_then(|view| view.body.told());
    let page = daemon::publish(&args.common)?;
    let segment = NtpShm::create(args.shm, args.shm_perm).map_err(|error| {
        let exit = match error {
            ShmError::Refused { .. } => Exit::NotPermitted,
            ShmError::WrongSize { .. } | ShmError::Foreign { .. } => Exit::Refused,
            ShmError::NoSuchUnit { .. } => Exit::Usage,
            ShmError::Missing { .. } | ShmError::Failed { .. } => Exit::Failed,
        };
        Failure::new(exit, error)
    })?;
    if segment.is_open_to_all() {
        log::warn!("SHM unit {}: every local user may write to it, and so forge what chrony reads", args.shm);
    }
    let mut feed = Feed::start(args.shm, segment, page, told, &args.common)?;
    daemon::serve(poll, &mut feed)
}
