//! The command line.

use clap::{ArgAction, Args as Flags, Parser, Subcommand, ValueEnum};
use dante_core::wire::{GENERAL_PORT, Subdomain, Uuid};
use dante_os::net::InterfaceName;
use dante_os::page::Instance;
use dante_os::quantity::{Span, ppm};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Show what dante4l, dante2sys and danteshm do
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    arg_required_else_help = true,
    override_usage = "pmc-lite [OPTIONS] <COMMAND>\n       pmc-lite [OPTIONS] 'GET DATA_SET'...",
    after_help = "Exit status: 0 dante4l is running, the awaited condition is met, or a clock answered; 1 not so (what is \
                  known is shown nevertheless), or no sample came (log --seconds, plot); 2 wrong flags; query also 3 the port \
                  is in use, 4 a privilege is missing, 5 no such interface."
)]
pub struct Args {
    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,

    /// Use the pages of the instance of this name
    #[arg(long, value_name = "NAME", global = true)]
    pub instance: Option<Instance>,

    /// Commands of linuxptp's pmc, such as `GET CURRENT_DATA_SET`: print data sets of dante4l
    #[arg(value_name = "GET DATA_SET")]
    pub commands: Vec<String>,

    /// Accepted and ignored: scripts for linuxptp's pmc use it
    #[arg(short = 'u', hide = true)]
    local: bool,

    /// Accepted and ignored: scripts for linuxptp's pmc use it
    #[arg(short = 'b', value_name = "HOPS", hide = true)]
    hops: Option<u32>,

    #[command(subcommand)]
    pub action: Option<Action>,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Show the state, or a part of it
    Get {
        #[command(subcommand)]
        what: What,
    },
    /// Wait until the clock is steered, or until its UTC may be served to other hosts, or no longer may
    Wait {
        /// Condition to wait for
        #[arg(long = "for", value_name = "WHAT", value_enum, default_value_t = Goal::Steered)]
        goal: Goal,

        /// Longest time to wait, seconds; 0: no limit
        #[arg(long, value_name = "S", default_value_t = 0)]
        timeout: u32,
    },
    /// Write each sample as one line, for analysis
    Log(LogArgs),
    /// Draw residual, rate and phase error over time as a picture
    Plot(PlotArgs),
    /// Live view in the terminal: charts, a histogram, counters and findings
    Watch {
        /// Write the state in one line a second instead, for a status bar; needs no terminal
        #[arg(long, value_name = "FORMAT", value_enum, num_args = 0..=1, default_missing_value = "text")]
        line: Option<LineFormat>,
    },
    /// Find out why a host does not lock: check everything from the cable to the clock, and print what to do
    #[command(
        after_help = "Exit status: 0 no failure was found, with or without warnings; 1 a failure was found; 2 wrong flags."
    )]
    Doctor(DoctorArgs),
    /// Report the state of this host in one line and by the exit status, as a plugin for Nagios and compatible systems
    #[command(after_help = CHECK_STATUS)]
    Check(CheckArgs),
    /// Write the state as metrics for Prometheus (OpenMetrics), or serve them
    Metrics(MetricsArgs),
    /// Query other clocks on the network for their data sets; no other command sends packets
    Query(QueryArgs),
}

/// `pmc-lite log`.
#[derive(Debug, Flags)]
pub struct LogArgs {
    /// Format of a line
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Csv)]
    pub format: LogFormat,

    /// Duration, seconds; 0: no limit
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seconds: u32,

    /// Write to FILE, which is truncated first, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Format of a line of `pmc-lite log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Comma-separated values; the first line has the names of the columns
    Csv,
    /// One JSON object per line
    Json,
}

/// Format of a line of `pmc-lite watch --line`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LineFormat {
    /// The verdict, and the phase error of a synchronised clock
    Text,
    /// A JSON object with that text, a tooltip and a class, for waybar, i3status-rust and i3blocks
    Json,
}

/// `pmc-lite plot`.
#[derive(Debug, Flags)]
pub struct PlotArgs {
    /// Time to record before drawing, seconds; SIGINT ends it earlier
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,

    /// Draw this output of `pmc-lite log` instead; `-`: standard input
    #[arg(long, value_name = "FILE", conflicts_with = "seconds")]
    pub input: Option<PathBuf>,

    /// Picture to write: FILE.svg or FILE.png
    #[arg(value_name = "FILE")]
    pub picture: PathBuf,
}

/// Flags of `pmc-lite doctor`.
#[derive(Debug, Flags)]
pub struct DoctorArgs {
    /// Check this interface; may be repeated [default: those of dante4l, else those of the configuration; with auto all candidates]
    #[arg(short, long, value_name = "IFACE")]
    pub interface: Vec<String>,

    /// Configuration file of dante4l [default: /etc/dante4l.toml]
    #[arg(short = 'f', long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Print JSON, schema 2
    #[arg(long)]
    pub json: bool,
}

/// The exit status of `check`.
const CHECK_STATUS: &str = "Exit status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: no usable page, \
                            an unknown phase or rate error that has a limit, or wrong flags.";

/// Limits of measured values, in addition to the states. Values within their limits are printed too.
#[derive(Debug, Default, Flags)]
pub struct CheckArgs {
    /// CRITICAL if the phase error, clock minus (Dante time + epoch offset K), is larger; in HOLDOVER its standard
    /// deviation
    #[arg(long, value_name = "TIME")]
    pub max_offset: Option<Span>,

    /// WARNING if larger
    #[arg(long, value_name = "TIME")]
    pub warn_offset: Option<Span>,

    /// CRITICAL if the rate error, the clock's rate minus the leader's, is larger
    #[arg(long, value_name = "PPM", value_parser = ppm)]
    pub max_rate_error: Option<f64>,

    /// WARNING if larger
    #[arg(long, value_name = "PPM", value_parser = ppm)]
    pub warn_rate_error: Option<f64>,

    /// CRITICAL if the bound on the UTC error is larger; without dante2sys the kernel's bound for the system clock
    #[arg(long, value_name = "TIME")]
    pub max_utc_error: Option<Span>,

    /// WARNING if larger
    #[arg(long, value_name = "TIME")]
    pub warn_utc_error: Option<Span>,

    /// CRITICAL if the last Sync is older
    #[arg(long, value_name = "TIME")]
    pub max_age: Option<Span>,

    /// WARNING if older
    #[arg(long, value_name = "TIME")]
    pub warn_age: Option<Span>,
}

/// Flags of `pmc-lite metrics`. Without any, it writes to standard output.
#[derive(Debug, Default, Flags)]
pub struct MetricsArgs {
    /// Serve them at http://ADDRESS:PORT/metrics, without a value at 127.0.0.1:9975, in the format that the client requests
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:9975", conflicts_with_all = ["output", "format"])]
    pub listen: Option<SocketAddr>,

    /// Replace FILE atomically, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Format [default: openmetrics, with --output prometheus]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,
}

/// Format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// OpenMetrics 1.0
    Openmetrics,
    /// Prometheus' older text format, which node_exporter's textfile collector reads
    Prometheus,
}

/// Flags of `pmc-lite query`.
#[derive(Debug, Flags)]
pub struct QueryArgs {
    /// Network interface on the Dante network
    #[arg(short, long, value_name = "IFACE")]
    pub interface: InterfaceName,

    /// Query only this clock instead of all
    #[arg(value_name = "UUID")]
    pub clock: Option<Uuid>,

    /// PTPv1 subdomain to query
    #[arg(long, value_name = "NAME", default_value_t = Subdomain::DFLT)]
    pub subdomain: Subdomain,

    /// UDP port of general messages
    #[arg(long, value_name = "PORT", default_value_t = GENERAL_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub general_port: u16,

    /// Time to wait for answers, seconds; then each unanswered query is repeated once
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = seconds)]
    pub timeout: f64,

    /// Number of boundary clocks that may forward a query to other networks
    #[arg(short, long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i16).range(0..))]
    pub boundary_hops: i16,

    /// Largest number of clocks to show
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_clocks: u16,

    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds, 0.1 to 60".into()),
    }
}

#[derive(Debug, Subcommand)]
pub enum What {
    /// The whole chain: leader, dante4l, dante2sys, danteshm
    Status(Form),
    /// The foreign leaders, with the followed one marked
    Leader(Form),
    /// The ports of dante4l
    Port(Form),
    /// Counters of packets and of rejected measurements, by port
    Counters(Form),
    /// The last measured Syncs
    Samples(Form),
}

/// Output format of `get`.
#[derive(Debug, Clone, Copy, Flags)]
pub struct Form {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Condition that `wait` waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// The clock is synchronised to the leader, as the first line of `get status` shows and, where dante2sys has a UTC source,
    /// UTC is synchronised or was set by hand
    Steered,
    /// The same for the system clock as steered by dante2sys, not by chrony (danteshm)
    Dante2sys,
    /// UTC may be served to other hosts: dante2sys steers the system clock, LOCKED or in HOLDOVER, and its UTC is
    /// synchronised and was not set by hand
    Utc,
    /// UTC may no longer be served
    UtcLost,
    /// First utc, then READY=1 to the service manager, then utc-lost: keeps a unit active as long as UTC may be served
    WhileUtc,
}
