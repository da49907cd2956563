//! dante4l, the observer: receives PTPv1 from a Dante network with kernel time stamps and publishes where the leader's
//! time stands and how fast it runs. It touches no clock, and sends nothing unless `--delay e2e` asks for it.
#![forbid(unsafe_code)]

mod link;
mod observer;

use anyhow::anyhow;
use clap::{Parser, ValueEnum};
use dante_core::port::DelayMechanism;
use dante_core::wire::{EVENT_PORT, GENERAL_PORT, Subdomain};
use dante_os::daemon::{self, CommonArgs, DaemonArgs, EXIT_STATUS, Exit, Failure};
use dante_os::poll::Poll;
use dante_os::socket::Timestamping;
use link::LinkConfig;
use observer::Observer;
use std::process::ExitCode;

/// Follow a PTPv1 leader on a Dante network
#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true, after_help = EXIT_STATUS)]
struct Args {
    /// The network interface on the Dante network
    #[arg(short, long, value_name = "IFACE")]
    interface: Option<String>,

    /// The PTPv1 subdomain to follow
    #[arg(long, value_name = "NAME", default_value_t = Subdomain::DFLT)]
    subdomain: Subdomain,

    /// UDP port of event messages
    #[arg(long, value_name = "PORT", default_value_t = EVENT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    event_port: u16,

    /// UDP port of general messages
    #[arg(long, value_name = "PORT", default_value_t = GENERAL_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    general_port: u16,

    /// How to find the path delay: none sends nothing at all, e2e sends a Delay_Req every few seconds
    #[arg(long, value_enum, default_value_t = Delay::None)]
    delay: Delay,

    /// Where time stamps are to come from
    #[arg(long, value_enum, default_value_t = Timestamping::Auto)]
    timestamping: Timestamping,

    /// Exit if the interface is not there, instead of waiting for it
    #[arg(long)]
    no_wait: bool,

    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Delay {
    None,
    E2e,
}

impl DaemonArgs for Args {
    const PROGRAM: &'static str = "dante4l";

    fn common(&self) -> &CommonArgs {
        &self.common
    }
}

fn main() -> ExitCode {
    daemon::run(follow)
}

fn follow(args: Args) -> Result<(), Failure> {
    let Some(interface) = args.interface else {
        let ask = anyhow!(
            "which interface is on the Dante network? Name it with -i IFACE, or in the configuration"
        );
        return Err(Failure::new(Exit::Usage, ask));
    };
    if args.event_port == args.general_port {
        return Err(Failure::new(Exit::Usage, anyhow!("--event-port and --general-port must differ")));
    }
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
