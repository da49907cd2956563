//! danteshm, the relay: gives chrony a sample for each Sync that dante4l measured, through NTP shared-memory segments and
//! sockets, and other programs Dante's own time. It touches no clock, and behind its filter it cannot.
#![forbid(unsafe_code)]

mod feed;
mod outputs;

use dante_core::page::Danteshm;
use dante_os::clock::raw_now;
use dante_os::daemon::{self, Failure, Service};
use dante_os::page::{PageName, PageReader};
use dante_os::poll::{Poll, Wake};
use dante_os::seccomp;
use danteshm::args::{self, Args};
use feed::Feed;
use outputs::Outputs;
use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::run(relay)
}

fn relay(args: Args) -> Result<(), Failure> {
    let poll = Poll::new()?;
    // What an earlier run told chrony is gone on with, so that a restart is no jump.
    let mut before = PageReader::new(PageName::<Danteshm>::new(args.common.instance.as_ref()));
    let told = before.read(raw_now()).ok().and_then(|view| view.body.published_epoch());
    drop(before);
    let pages = daemon::publish(&args.common)?;
    let outputs = Outputs::open(&args)?;
    let mut feed = Feed::start(&args, outputs, pages, told)?;
    // Before anything that another program wrote is looked at: from here on no call sets a clock, whoever makes it.
    if let Err(error) = seccomp::allow_only_what_a_relay_needs() {
        log::warn!("{error}; going on without it");
    }
    feed.wake(&Wake::default())?;
    daemon::serve(poll, &mut feed)
}
