//! The flags.

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use dante_os::page::Instance;
use std::path::PathBuf;

/// Show what dante4l, dante2sys and danteshm do
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    after_help = "Exit status: 0 dante4l is running, or what was waited for is there; 1 it is not (what is known of it is shown all the \
                  same); 2 wrong flags."
)]
pub struct Args {
    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,

    /// Name of the instance to look at
    #[arg(long, value_name = "NAME", global = true)]
    pub instance: Option<Instance>,

    #[command(subcommand)]
    pub action: Action,
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
}

/// `pmc-lite log`.
#[derive(Debug, clap::Args)]
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
#[derive(Debug, clap::Args)]
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

#[derive(Debug, Subcommand)]
pub enum What {
    /// The whole chain: leader, dante4l, dante2sys, danteshm
    Status {
        /// As JSON, schema 1
        #[arg(long)]
        json: bool,
    },
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Goal {
    /// The clock is steered: LOCKED, and its date good where it comes from somewhere and was not set by hand
    Steered,
    /// The date may be passed on to other hosts: the system clock's, LOCKED or HOLDOVER, good, and not set by hand
    Date,
    /// The date may no longer be passed on
    DateLost,
    /// The date may be passed on, which the service manager is told (READY=1), and then no longer: a unit that is up meanwhile
    WhileDate,
}
