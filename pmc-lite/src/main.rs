//! pmc-lite, the window: shows what the daemons of the suite publish. It reads their pages and changes nothing.
#![forbid(unsafe_code)]

mod status;
mod text;
mod wait;

use clap::{ArgAction, Parser, Subcommand};
use dante_os::page::Instance;
use std::io::Write;
use std::process::ExitCode;

/// Show what dante4l, dante2sys and danteshm do
#[derive(Debug, Parser)]
#[command(
    version,
    disable_version_flag = true,
    after_help = "Exit status: 0 dante4l is running, or what was waited for is there; 1 it is not (what is known of it is shown all the \
                  same); 2 wrong flags."
)]
struct Args {
    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,

    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Read something
    Get {
        #[command(subcommand)]
        what: What,
    },
    /// Wait until the clock is steered: LOCKED, and the date good where it comes from somewhere
    Wait {
        /// Seconds to wait at most; 0: for ever
        #[arg(long, value_name = "S", default_value_t = 0)]
        timeout: u32,

        /// Name of the instance to wait for
        #[arg(long, value_name = "NAME")]
        instance: Option<Instance>,
    },
}

#[derive(Debug, Subcommand)]
enum What {
    /// The whole chain: leader, dante4l, dante2sys, danteshm
    Status {
        /// As JSON, schema 1
        #[arg(long)]
        json: bool,

        /// Name of the instance to look at
        #[arg(long, value_name = "NAME")]
        instance: Option<Instance>,
    },
}

fn main() -> ExitCode {
    match Args::parse().action {
        Action::Get { what: What::Status { json, instance } } => status(json, instance.as_ref()),
        Action::Wait { timeout, instance } => wait::until_steered(timeout, instance.as_ref()),
    }
}

fn status(json: bool, instance: Option<&Instance>) -> ExitCode {
    let found = status::read(instance);
    let shown = if json {
        serde_json::to_string_pretty(&found.status)
            .unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
    } else {
        text::screen(&found)
    };
    // A reader that closes the pipe early has seen enough.
    _ = writeln!(std::io::stdout().lock(), "{}", shown.trim_end());
    if found.status.dante4l.life.running { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
