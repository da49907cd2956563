//! The flags.

use clap::{ArgAction, Args as Flags, Parser, Subcommand, ValueEnum};
use dante_core::wire::{GENERAL_PORT, Subdomain, Uuid};
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
    after_help = "Exit status: 0 dante4l is running, what was waited for is there, or somebody answered; 1 not so (what is known is shown \
                  all the same); 2 wrong flags; query also 3 the port is taken, 4 a right is missing, 5 no such interface."
)]
pub struct Args {
    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,

    /// Name of the instance to look at
    #[arg(long, value_name = "NAME", global = true)]
    pub instance: Option<Instance>,

    /// linuxptp's spelling: `GET CURRENT_DATA_SET` and the like, asked of dante4l
    #[arg(value_name = "GET DATA_SET")]
    pub commands: Vec<String>,

    /// Taken and not needed, as it stands in scripts for linuxptp's pmc
    #[arg(short = 'u', hide = true)]
    local: bool,

    /// Taken and not needed, as it stands in scripts for linuxptp's pmc
    #[arg(short = 'b', value_name = "HOPS", hide = true)]
    hops: Option<u32>,

    #[command(subcommand)]
    pub action: Option<Action>,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Read something
    Get {
        #[command(subcommand)]
        what: What,
    },
    /// Wait until the clock is steered, or until its date is to be trusted or lost
    Wait {
        /// What to wait for
        #[arg(long = "for", value_name = "WHAT", value_enum, default_value_t = Goal::Steered)]
        goal: Goal,

        /// Seconds to wait at most; 0: for ever
        #[arg(long, value_name = "S", default_value_t = 0)]
        timeout: u32,
    },
    /// Write each sample as a line, for analysis
    Log(LogArgs),
    /// Draw residual, rate and phase error of some time as a picture
    Plot(PlotArgs),
    /// Look on: running charts, a histogram, counters and findings in the terminal
    Watch,
    /// A host does not lock: look for what is in the way, from the cable to the clock, and say what to do
    #[command(
        after_help = "Exit status: 0 nothing is in the way, warnings or not; 1 a failure was found; 2 wrong flags."
    )]
    Doctor(DoctorArgs),
    /// Judge this host in one line, as Nagios and what descends from it want it
    #[command(after_help = CHECK_STATUS)]
    Check(CheckArgs),
    /// Write what is known as metrics for Prometheus (OpenMetrics), or serve them
    Metrics(MetricsArgs),
    /// Ask the clocks on the network about themselves; nothing else sends anything
    Query(QueryArgs),
}

/// `pmc-lite log`.
#[derive(Debug, Flags)]
pub struct LogArgs {
    /// How a line is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Csv)]
    pub format: LogFormat,

    /// Seconds until it ends; 0: never
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub seconds: u32,

    /// File to write to, anew; otherwise standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// How a sample is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Comma-separated values, the names of the columns first
    Csv,
    /// A JSON object on each line
    Json,
}

/// `pmc-lite plot`.
#[derive(Debug, Flags)]
pub struct PlotArgs {
    /// Seconds to look on before it is drawn; SIGINT ends that earlier
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,

    /// Log of `pmc-lite log` to draw instead; `-`: standard input
    #[arg(long, value_name = "FILE", conflicts_with = "seconds")]
    pub input: Option<PathBuf>,

    /// The picture: FILE.svg or FILE.png
    #[arg(value_name = "FILE")]
    pub picture: PathBuf,
}

/// Flags of `pmc-lite doctor`.
#[derive(Debug, Flags)]
pub struct DoctorArgs {
    /// Look at this interface; may be repeated [default: those of dante4l, or else of the configuration, or else all]
    #[arg(short, long, value_name = "IFACE")]
    pub interface: Vec<String>,

    /// The configuration that dante4l is to run with [default: /etc/dante4l.toml]
    #[arg(short = 'f', long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// As JSON, schema 2
    #[arg(long)]
    pub json: bool,
}

/// The exit status of `check`.
const CHECK_STATUS: &str = "Exit status: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN: no page, or wrong flags.";

/// Limits to what is measured, beside the states. What is measured and reaches no limit is printed all the same.
#[derive(Debug, Default, Flags)]
pub struct CheckArgs {
    /// CRITICAL if the steered clock is further off Dante + K; in HOLDOVER its standard deviation counts
    #[arg(long, value_name = "TIME")]
    pub max_offset: Option<Span>,

    /// WARNING if further off
    #[arg(long, value_name = "TIME")]
    pub warn_offset: Option<Span>,

    /// CRITICAL if the steered clock's rate is further off the leader's
    #[arg(long, value_name = "PPM", value_parser = ppm)]
    pub max_rate_error: Option<f64>,

    /// WARNING if further off
    #[arg(long, value_name = "PPM", value_parser = ppm)]
    pub warn_rate_error: Option<f64>,

    /// CRITICAL if the date may be further off UTC; without dante2sys by what the kernel says of the system clock
    #[arg(long, value_name = "TIME")]
    pub max_utc_error: Option<Span>,

    /// WARNING if further off
    #[arg(long, value_name = "TIME")]
    pub warn_utc_error: Option<Span>,

    /// CRITICAL if the last Sync is older
    #[arg(long, value_name = "TIME")]
    pub max_age: Option<Span>,

    /// WARNING if older
    #[arg(long, value_name = "TIME")]
    pub warn_age: Option<Span>,
}

/// Where the metrics go; to stdout unless told otherwise.
#[derive(Debug, Default, Flags)]
pub struct MetricsArgs {
    /// Serve them at http://ADDRESS:PORT/metrics, without a value at 127.0.0.1:9975, in the format that is asked for
    #[arg(long, value_name = "ADDRESS:PORT", num_args = 0..=1, default_missing_value = "127.0.0.1:9975", conflicts_with_all = ["output", "format"])]
    pub listen: Option<SocketAddr>,

    /// Put them in FILE's place at once, for node_exporter's textfile collector
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// How they are written [default: openmetrics, with --output prometheus]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub format: Option<Format>,
}

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// OpenMetrics 1.0
    Openmetrics,
    /// Prometheus' older text, which node_exporter's textfile collector reads
    Prometheus,
}

/// Flags of `pmc-lite query`.
#[derive(Debug, Flags)]
pub struct QueryArgs {
    /// The network interface on the Dante network
    #[arg(short, long, value_name = "IFACE")]
    pub interface: String,

    /// The one clock to ask; where none is named, all are
    #[arg(value_name = "UUID")]
    pub clock: Option<Uuid>,

    /// The PTPv1 subdomain to ask in
    #[arg(long, value_name = "NAME", default_value_t = Subdomain::DFLT)]
    pub subdomain: Subdomain,

    /// UDP port of general messages
    #[arg(long, value_name = "PORT", default_value_t = GENERAL_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub general_port: u16,

    /// How long to wait for answers, seconds: what has none then is asked once more
    #[arg(long = "timeout", value_name = "S", default_value_t = 1.0, value_parser = seconds)]
    pub patience: f64,

    /// How many boundary clocks may pass a question on to other networks
    #[arg(short, long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i16).range(0..))]
    pub boundary_hops: i16,

    /// Show so many clocks at most
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub max_clocks: u16,

    /// As a JSON array
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
    /// The leader that is followed, and all others that are heard
    Leader(Form),
    /// dante4l's ports
    Port(Form),
    /// What the ports heard, and what became of it
    Counters(Form),
    /// The last Syncs that were measured
    Samples(Form),
}

/// In which form.
#[derive(Debug, Clone, Copy, Flags)]
pub struct Form {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// The clock is steered: LOCKED, and its date good where it comes from somewhere and was not set by hand
    Steered,
    /// The date may be passed on to other hosts: the system clock's, LOCKED or HOLDOVER, good, and not set by hand
    Utc,
    /// The date may no longer be passed on
    UtcLost,
    /// The date may be passed on, which the service manager is told (READY=1), and then no longer: a unit that is up meanwhile
    WhileUtc,
}
