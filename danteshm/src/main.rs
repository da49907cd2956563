//! danteshm, the relay: gives chrony a sample for each Sync that dante4l measured, through an NTP shared-memory segment.
//! It touches no clock.
#![forbid(unsafe_code)]

mod feed;

use clap::Parser;
use dante_core::page::Danteshm;
use dante_os::clock::raw_now;
use dante_os::daemon::{self, CommonArgs, DaemonArgs, EXIT_STATUS, Exit, Failure};
use dante_os::ntpshm::{NtpShm, ShmError};
use dante_os::page::{PageName, PageReader};
use dante_os::poll::Poll;
use feed::Feed;
use std::process::ExitCode;

/// Relay dante4l's measurements to chrony
#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true, after_help = EXIT_STATUS)]
struct Args {
    /// Unit of the NTP SHM segment, as in chrony's `refclock SHM UNIT`
    #[arg(long, value_name = "UNIT", default_value_t = 2)]
    shm: u32,

    /// Permissions of the segment, octal, where it is made here
    #[arg(long, value_name = "MODE", default_value = "600", value_parser = permissions)]
    shm_perm: u32,

    #[command(flatten)]
    common: CommonArgs,
}

impl DaemonArgs for Args {
    const PROGRAM: &'static str = "danteshm";

    fn common(&self) -> &CommonArgs {
        &self.common
    }
}

fn permissions(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text.trim_start_matches("0o"), 8) {
        Ok(mode) if mode & !0o666 == 0 => Ok(mode),
        _ => Err("octal permissions of reading and writing, as 600 or 660".into()),
    }
}

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
