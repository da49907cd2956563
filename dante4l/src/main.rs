//! dante4l, the observer: receives PTPv1 from a Dante network with kernel time stamps and publishes where the leader's
//! time stands and how fast it runs. It touches no clock, and sends nothing unless `--delay e2e` asks for it.
#![forbid(unsafe_code)]

mod args;
mod link;
mod observer;

use anyhow::anyhow;
use args::{Args, Delay};
use dante_core::port::DelayMechanism;
use dante_os::daemon::{self, Exit, Failure};
use dante_os::poll::Poll;
use link::LinkConfig;
use observer::Observer;
use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::run(follow)
}

fn follow(args: Args) -> Result<(), Failure> {
    let interface = args.interface().map_err(|wrong| Failure::new(Exit::Usage, anyhow!(wrong)))?.to_owned();
    let link = LinkConfig {
        interface,
        group: args.subdomain.group(),
        event_port: args.event_port,
        general_port: args.general_port,
        timestamping: args.timestamping,
    };
    let delay = match args.delay {
        Delay::None => DelayMechanism::None,
        Delay::E2e => DelayMechanism::E2e,
    };
    let poll = Poll::new()?;
    let mut observer = Observer::start(link, args.subdomain, delay, args.no_wait, &args.common)?;
    daemon::serve(poll, &mut observer)
}
