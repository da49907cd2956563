//! The flags.

use clap::{Parser, ValueEnum};
use dante_core::wire::{EVENT_PORT, GENERAL_PORT, Subdomain};
use dante_os::daemon::{CommonArgs, DaemonArgs, EXIT_STATUS};
use dante_os::net::Interface;
use dante_os::socket::Timestamping;

/// Follow a PTPv1 leader on a Dante network
#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true, after_help = EXIT_STATUS)]
pub struct Args {
    /// The network interface on the Dante network
    #[arg(short, long, value_name = "IFACE")]
    pub interface: Option<String>,

    /// The PTPv1 subdomain to follow
    #[arg(long, value_name = "NAME", default_value_t = Subdomain::DFLT)]
    pub subdomain: Subdomain,

    /// UDP port of event messages
    #[arg(long, value_name = "PORT", default_value_t = EVENT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub event_port: u16,

    /// UDP port of general messages
    #[arg(long, value_name = "PORT", default_value_t = GENERAL_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub general_port: u16,

    /// How to find the path delay: none sends nothing at all, e2e sends a Delay_Req every few seconds
    #[arg(long, value_enum, default_value_t = Delay::None)]
    pub delay: Delay,

    /// Where time stamps are to come from
    #[arg(long, value_enum, default_value_t = Timestamping::Auto)]
    pub timestamping: Timestamping,

    /// Exit if the interface is not there, instead of waiting for it
    #[arg(long)]
    pub no_wait: bool,

    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Delay {
    None,
    E2e,
}

impl DaemonArgs for Args {
    const PROGRAM: &'static str = "dante4l";

    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn check(&self) -> Result<(), String> {
        self.interface()?;
        if self.event_port == self.general_port {
            return Err("--event-port and --general-port must differ".into());
        }
        Ok(())
    }

    fn doubt(&self) -> Option<String> {
        let missing = Interface::find(self.interface().ok()?).err()?;
        Some(format!("as things are now, {} would wait: {missing}", Self::PROGRAM))
    }
}

impl Args {
    /// The interface, which has to be named.
    pub fn interface(&self) -> Result<&str, String> {
        self.interface.as_deref().ok_or_else(|| {
            "which interface is on the Dante network? Name it with -i IFACE, or in section [dante4l] of the \
             configuration: interface = \"IFACE\""
                .into()
        })
    }
}
