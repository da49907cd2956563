//! The flags.

use clap::{ArgAction, Parser, Subcommand};
use dante_core::wire::{EVENT_PORT, GENERAL_PORT, Subdomain, Uuid};
use dante_os::daemon::EXIT_STATUS;
use std::path::PathBuf;

/// Rehearse with the dante4l suite where there is no Dante network
#[derive(Debug, Parser)]
#[command(version, disable_version_flag = true, after_help = EXIT_STATUS)]
pub struct Args {
    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,

    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Lead a PTPv1 domain as a Dante device does; refused where another leader is heard
    Leader(LeaderArgs),
    /// Run leader and suite on loopback, without root, and show how they lock
    Demo(DemoArgs),
}

/// Flags of `dantesim leader`.
#[derive(Debug, clap::Args)]
pub struct LeaderArgs {
    /// The network interface to lead on
    #[arg(short, long, value_name = "IFACE")]
    pub interface: String,

    /// The PTPv1 subdomain to lead
    #[arg(long, value_name = "NAME", default_value_t = Subdomain::DFLT)]
    pub subdomain: Subdomain,

    /// UDP port of event messages
    #[arg(long, value_name = "PORT", default_value_t = EVENT_PORT)]
    pub event_port: u16,

    /// UDP port of general messages
    #[arg(long, value_name = "PORT", default_value_t = GENERAL_PORT)]
    pub general_port: u16,

    /// How much faster than this machine's oscillator the leader's runs
    #[arg(long, value_name = "PPM", default_value_t = 0.0, allow_negative_numbers = true, value_parser = ppm)]
    pub ppm: f64,

    /// Swing the rate by this much, a full swing in 300 s
    #[arg(long, value_name = "PPB", default_value_t = 0.0)]
    pub wander: f64,

    /// What the leader's clock shows at the start, seconds: a Dante leader counts its uptime
    #[arg(long, value_name = "S", default_value_t = 699)]
    pub uptime: u32,

    /// Tell the time that another leader wrote to FILE with --truth: two ports of one clock, as on Dante's primary and
    /// secondary network
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ppm", "wander", "uptime"])]
    pub same_clock: Option<PathBuf>,

    /// What the leader calls itself; where nothing is said, by the interface's hardware address
    #[arg(long, value_name = "UUID")]
    pub uuid: Option<Uuid>,

    /// Stratum to announce
    #[arg(long, default_value_t = 0x99)]
    pub stratum: u8,

    /// Announce Preferred Leader
    #[arg(long)]
    pub preferred: bool,

    /// Lead even where another leader is heard; on lo, veth and tap interfaces only
    #[arg(long)]
    pub force: bool,

    /// Write the leader's true time as a function of CLOCK_MONOTONIC_RAW to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
}

/// Flags of `dantesim demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// How much faster than this machine's oscillator the leader's runs
    #[arg(long, value_name = "PPM", default_value_t = 12.0, allow_negative_numbers = true)]
    pub ppm: f64,

    /// How long to show it, seconds
    #[arg(long, value_name = "S", default_value_t = 25, value_parser = clap::value_parser!(u8).range(5..=50))]
    pub seconds: u8,
}

fn ppm(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ppm) if ppm.abs() <= 1000.0 => Ok(ppm),
        _ => Err("a number of ppm, -1000 to 1000".into()),
    }
}
