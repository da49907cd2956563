//! The command line flags.

use clap::{Parser, ValueEnum};
use dante_core::page::MAX_PORTS;
use dante_core::port::{DelayMechanism, LeaderName, LeaderRules, MAX_NAMES};
use dante_core::time::Duration;
use dante_core::wire::{EVENT_PORT, GENERAL_PORT, Subdomain};
use dante_os::daemon::{CommonArgs, DaemonArgs, EXIT_STATUS};
use dante_os::net::{Interface, InterfaceName, links, passed_over};
use dante_os::socket::Timestamping;
use std::path::PathBuf;

/// Follow a PTPv1 leader on a Dante network
#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true, after_help = EXIT_STATUS)]
pub struct Args {
    /// Network interface on the Dante network, by name, hardware address or IPv4 address; give it twice for the primary and the secondary network [default: auto, the wired interfaces on which a leader is received]
    #[arg(short, long, value_name = "IFACE")]
    pub interface: Vec<InterfaceName>,

    /// PTPv1 subdomain to follow
    #[arg(long, value_name = "NAME", default_value_t = Subdomain::DFLT)]
    pub subdomain: Subdomain,

    /// UDP port of event messages
    #[arg(long, value_name = "PORT", default_value_t = EVENT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub event_port: u16,

    /// UDP port of general messages
    #[arg(long, value_name = "PORT", default_value_t = GENERAL_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub general_port: u16,

    /// How to obtain the path delay: none (not at all, nothing is sent), e2e (send a Delay_Req every 2 to 30 Sync intervals)
    #[arg(long, value_enum, default_value_t = Delay::None)]
    pub delay: Delay,

    /// Known delay of a Sync from the leader to this host; it replaces a measurement (--delay e2e)
    #[arg(long, value_name = "NS", value_parser = clap::value_parser!(i64).range(0..=10_000_000))]
    pub path_delay: Option<i64>,

    /// With --delay e2e: delay from the leader to this host minus the mean of both directions
    #[arg(
        long,
        value_name = "NS",
        default_value_t = 0,
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(i64).range(-10_000_000..=10_000_000)
    )]
    pub delay_asymmetry: i64,

    /// Follow only this leader, given by UUID, source IPv4 address or subnet; may be repeated
    #[arg(long, value_name = "LEADER")]
    pub leader: Vec<LeaderName>,

    /// Never follow this leader; may be repeated
    #[arg(long, value_name = "LEADER")]
    pub deny: Vec<LeaderName>,

    /// Prefer this leader to all others; may be repeated, best first
    #[arg(long, value_name = "LEADER")]
    pub prefer: Vec<LeaderName>,

    /// File of saved leader rates [default: /var/lib/dante4l/rates, with --instance rates.NAME]
    #[arg(long, value_name = "FILE")]
    pub rates_file: Option<PathBuf>,

    /// Source of packet timestamps
    #[arg(long, value_enum, default_value_t = Timestamping::Auto)]
    pub timestamping: Timestamping,

    /// Exit (status 5) if the interface does not exist, is down or has no address, instead of waiting for it
    #[arg(long)]
    pub no_wait: bool,

    #[command(flatten)]
    pub common: CommonArgs,
}

/// The interfaces of the networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interfaces<'a> {
    /// The wired interfaces on which a leader is received.
    Auto,
    /// These, the primary network first.
    Named(&'a [InterfaceName]),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Delay {
    None,
    E2e,
}

impl DaemonArgs for Args {
    const PROGRAM: &'static str = "dante4l";
    const EXAMPLE: &'static str = include_str!("../../files/dante4l.toml");

    fn common(&self) -> &CommonArgs {
        &self.common
    }

    fn check(&self) -> Result<(), String> {
        self.interfaces()?;
        self.rules()?;
        if self.event_port == self.general_port {
            return Err("--event-port and --general-port must differ".into());
        }
        if self.path_delay.is_some() && matches!(self.delay, Delay::E2e) {
            return Err(
                "--path-delay and --delay e2e exclude each other: the delay is either given or measured"
                    .into(),
            );
        }
        Ok(())
    }

    fn warning(&self) -> Option<String> {
        let missing = match self.interfaces().ok()? {
            Interfaces::Named(names) => {
                names.iter().find_map(|name| Interface::find(name).err())?.to_string()
            }
            Interfaces::Auto => {
                let links = links().ok()?;
                let has_candidate = links.iter().any(|link| passed_over(link, &links).is_none());
                (!has_candidate).then(|| "this host has no wired interface".to_owned())?
            }
        };
        Some(format!("started now, {} would wait: {missing}", Self::PROGRAM))
    }
}

impl Args {
    /// The interfaces of the networks.
    pub fn interfaces(&self) -> Result<Interfaces<'_>, String> {
        match self.interface.as_slice() {
            [] => Ok(Interfaces::Auto),
            [name] if name.is_auto() => Ok(Interfaces::Auto),
            names if names.iter().any(InterfaceName::is_auto) => {
                Err("-i auto stands alone: it chooses the primary and the secondary network".into())
            }
            [one, other] if one == other => {
                Err(format!("-i {one} is given twice: the secondary network needs another interface"))
            }
            names if names.len() > MAX_PORTS => Err(format!(
                "-i is given {} times: at most {MAX_PORTS}, for the primary and the secondary network",
                names.len()
            )),
            names => Ok(Interfaces::Named(names)),
        }
    }

    /// The rules on leaders.
    pub fn rules(&self) -> Result<LeaderRules, String> {
        let list = |flag, names: &[LeaderName]| {
            names
                .try_into()
                .map_err(|_| format!("{flag} is given {} times: at most {MAX_NAMES}", names.len()))
        };
        Ok(LeaderRules {
            only: list("--leader", &self.leader)?,
            deny: list("--deny", &self.deny)?,
            prefer: list("--prefer", &self.prefer)?,
        })
    }

    /// How the path delay is obtained.
    pub fn delay_mechanism(&self) -> DelayMechanism {
        match (self.path_delay, self.delay) {
            (Some(ns), _) => DelayMechanism::Fixed(Duration::from_ns(ns)),
            (None, Delay::None) => DelayMechanism::None,
            (None, Delay::E2e) => DelayMechanism::E2e,
        }
    }

    /// The path of the file of saved leader rates.
    pub fn rates_path(&self) -> PathBuf {
        self.rates_file.clone().unwrap_or_else(|| match &self.common.instance {
            Some(name) => format!("/var/lib/dante4l/rates.{name}").into(),
            None => "/var/lib/dante4l/rates".into(),
        })
    }
}
