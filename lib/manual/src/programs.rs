//! The programs, with their command lines and prose.

use clap::{Command, CommandFactory};
use dante_manual::keys::Section;
use dante_os::daemon::{self, DaemonArgs};

/// A program and the prose of its page.
pub struct Program {
    /// Its command line.
    pub command: Command,
    /// Section of the manual.
    pub section: u8,
    /// Prose in Markdown.
    pub prose: &'static str,
}

/// Prose of the page of the configuration file.
pub const CONFIGURATION: &str = include_str!("../../../files/man/dante4l.toml.5.md");

/// Returns all programs.
pub fn all() -> [Program; 5] {
    let program = |command: Command, name: &'static str, section, prose| Program {
        command: command.name(name),
        section,
        prose,
    };
    [
        program(
            dante4l::args::Args::command(),
            "dante4l",
            8,
            include_str!("../../../files/man/dante4l.8.md"),
        ),
        program(
            dante2sys::args::Args::command(),
            "dante2sys",
            8,
            include_str!("../../../files/man/dante2sys.8.md"),
        ),
        program(
            danteshm::args::Args::command(),
            "danteshm",
            8,
            include_str!("../../../files/man/danteshm.8.md"),
        ),
        program(
            pmc_lite::args::Args::command(),
            "pmc-lite",
            8,
            include_str!("../../../files/man/pmc-lite.8.md"),
        ),
        program(
            dante_sim::args::Args::command(),
            "dantesim",
            1,
            include_str!("../../../files/man/dantesim.1.md"),
        ),
    ]
}

/// Returns the sections of the configuration file, in their order.
pub fn sections() -> [Section; 3] {
    [section::<dante4l::args::Args>(), section::<dante2sys::args::Args>(), section::<danteshm::args::Args>()]
}

fn section<A: DaemonArgs>() -> Section {
    Section { name: A::PROGRAM, keys: daemon::keys_of::<A>() }
}
