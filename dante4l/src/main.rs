//! dante4l receives PTPv1 from a Dante network with kernel timestamps, and publishes the leader's time and rate. It steers no
//! clock, and sends nothing unless `--delay e2e` is given.
#![forbid(unsafe_code)]

mod link;
mod observer;
mod rates_file;

use anyhow::anyhow;
use dante_core::port::{DelayMechanism, PortConfig};
use dante_core::time::Duration;
use dante_os::daemon::{self, Exit, Failure};
use dante_os::net::InterfaceName;
use dante_os::poll::Poll;
use dante4l::args::Args;
use link::LinkConfig;
use observer::Observer;
use rates_file::RatesFile;
use std::process::ExitCode;

fn main() -> ExitCode {
    daemon::run(follow)
}

fn follow(args: Args) -> Result<(), Failure> {
    let usage = |wrong: String| Failure::new(Exit::Usage, anyhow!(wrong));
    let interfaces = args.interfaces().map_err(usage)?;
    let link = LinkConfig {
        interface: InterfaceName::Name(InterfaceName::AUTO.into()),
        group: args.subdomain.group(),
        event_port: args.event_port,
        general_port: args.general_port,
        timestamping: args.timestamping,
        sends: args.delay_mechanism() == DelayMechanism::E2e,
    };
    let port = PortConfig {
        subdomain: args.subdomain,
        delay: args.delay_mechanism(),
        asymmetry: Duration::from_ns(args.delay_asymmetry),
        rules: args.rules().map_err(usage)?,
        ..PortConfig::default()
    };
    let poll = Poll::new()?;
    let rates = RatesFile::read(args.rates_path());
    let mut observer = Observer::start(interfaces, &link, port, rates, args.no_wait, &args.common)?;
    daemon::serve(poll, &mut observer)
}
