//! The flags.

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use dante_os::page::Instance;
use std::path::PathBuf;

/// Show what dante4l, dante2sys and danteshm do
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
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

    /// linuxptp's spelling: `GET CURRENT_DATA_SET` and the like, asked of dante4l
    #[arg(value_name = "COMMAND")]
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
    /// A host does not lock: look for what is in the way, from the cable to the clock, and say what to do
    #[command(
        after_help = "Exit status: 0 nothing is in the way, warnings or not; 1 a failure was found; 2 wrong flags."
    )]
    Doctor(DoctorArgs),
}

/// Flags of `pmc-lite doctor`.
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Look at this interface; may be repeated [default: those of dante4l, or else of the configuration, or else all]
    #[arg(short, long, value_name = "IFACE")]
    pub interface: Vec<String>,

    /// The configuration that dante4l is to run with [default: /etc/dante4l.toml]
    #[arg(short = 'f', long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// As JSON, schema 1
    #[arg(long)]
    pub json: bool,
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
#[derive(Debug, Clone, Copy, clap::Args)]
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
    Date,
    /// The date may no longer be passed on
    DateLost,
    /// The date may be passed on, which the service manager is told (READY=1), and then no longer: a unit that is up meanwhile
    WhileDate,
}
