//! Command line of `dantesim`.

use clap::{ArgAction, Parser, Subcommand};
use dante_core::wire::{EVENT_PORT, GENERAL_PORT, Subdomain, Uuid};
use dante_os::daemon::EXIT_STATUS;
use dante_os::net::InterfaceName;
use std::path::PathBuf;

/// Simulate a Dante leader, or demonstrate the dante4l suite without a Dante network
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
    /// Lead a PTPv1 subdomain as a Dante device does; refused if another leader is active
    Leader(LeaderArgs),
    /// Run a simulated leader and the suite on loopback, without root, and show how they lock
    Demo(DemoArgs),
}

/// Flags of `dantesim leader`.
#[derive(Debug, clap::Args)]
pub struct LeaderArgs {
    /// Network interface to lead on
    #[arg(short, long, value_name = "IFACE")]
    pub interface: InterfaceName,

    /// PTPv1 subdomain to lead
    #[arg(long, value_name = "NAME", default_value_t = Subdomain::DFLT)]
    pub subdomain: Subdomain,

    /// UDP port of event messages
    #[arg(long, value_name = "PORT", default_value_t = EVENT_PORT)]
    pub event_port: u16,

    /// UDP port of general messages
    #[arg(long, value_name = "PORT", default_value_t = GENERAL_PORT)]
    pub general_port: u16,

    /// Rate of the leader's clock against this host's oscillator, ppm; positive: the leader is faster
    #[arg(long, value_name = "PPM", default_value_t = 0.0, allow_negative_numbers = true, value_parser = ppm)]
    pub ppm: f64,

    /// Amplitude of a sine of 300 s that is added to the rate, ppb
    #[arg(long, value_name = "PPB", default_value_t = 0.0)]
    pub wander: f64,

    /// Time of the leader's clock at the start, seconds: a Dante leader sends its uptime
    #[arg(long, value_name = "S", default_value_t = 699)]
    pub uptime: u32,

    /// Send the time that another dantesim leader wrote to FILE with --truth: two ports of one clock, as on Dante's primary
    /// and secondary network
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ppm", "wander", "uptime"])]
    pub same_clock: Option<PathBuf>,

    /// UUID of the leader; by default the interface's hardware address, or random if it has none
    #[arg(long, value_name = "UUID")]
    pub uuid: Option<Uuid>,

    /// Stratum to announce
    #[arg(long, default_value_t = 0x99)]
    pub stratum: u8,

    /// Announce Preferred Leader
    #[arg(long)]
    pub preferred: bool,

    /// Start at once, and continue beside another leader; on lo, veth and tap interfaces only
    #[arg(long)]
    pub force: bool,

    /// Write the leader's true time as a function of CLOCK_MONOTONIC_RAW to FILE, as JSON
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
}

/// Flags of `dantesim demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Rate of the leader's clock against this host's oscillator, ppm; positive: the leader is faster
    #[arg(long, value_name = "PPM", default_value_t = 12.0, allow_negative_numbers = true)]
    pub ppm: f64,

    /// Duration, seconds
    #[arg(long, value_name = "S", default_value_t = 25, value_parser = clap::value_parser!(u8).range(5..=50))]
    pub seconds: u8,
}

fn ppm(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ppm) if ppm.abs() <= 1000.0 => Ok(ppm),
        _ => Err("not a number from -1000 to 1000 (ppm)".into()),
    }
}
