//! danteshm writes a sample for chrony for each Sync that dante4l accepted, to NTP shared-memory segments and sockets, and sends
//! Dante time to other programs (usrvclock). It sets no clock, and its seccomp filter forbids that.
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
    // The epoch offset (K) of an earlier run is resumed, so that chrony sees no jump after a restart.
    let mut before = PageReader::new(PageName::<Danteshm>::new(args.common.instance.as_ref()));
    let published = before.read(raw_now()).ok().and_then(|view| view.body.published_epoch());
    drop(before);
    let pages = daemon::publish(&args.common)?;
    let outputs = Outputs::open(&args)?;
    let mut feed = Feed::start(&args, outputs, pages, published);
    // Before the first read of data from dante4l or dante2sys: from here on no call of this process can set a clock.
    if let Err(error) = seccomp::restrict_to_relay() {
        log::warn!("{error}; continuing without the filter");
    }
    feed.wake(&Wake::default())?;
    daemon::serve(poll, &mut feed)
}
