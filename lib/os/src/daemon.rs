//! What the programs have in common: flags, the configuration file, exit status.

mod config;
mod notify;

pub use config::{ConfigError, arguments_of, keys_of, values};

use crate::clock::raw_now;
use crate::denial::{Denial, Denied};
use crate::log;
use crate::page::{Instance, PageName, PageWriter, Publisher};
use crate::poll::{Fds, Poll, Signal, Wake};
use clap::{ArgAction, CommandFactory, FromArgMatches};
use dante_core::page::Body;
use dante_core::time::{Raw, Timestamp};
use notify::Manager;
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Why a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// As it was asked to.
    Ok = 0,
    /// Something failed; what, is in the message.
    Failed = 1,
    /// Flags or configuration are wrong.
    Usage = 2,
    /// It must not run beside what is there already: another instance, a port that is taken, a foreign page, another
    /// leader.
    Refused = 3,
    /// A right is missing.
    NotPermitted = 4,
    /// The network interface is not there (`--no-wait`).
    NoInterface = 5,
}

impl From<Denial> for Exit {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::NotPermitted => Self::NotPermitted,
            Denial::InUse => Self::Refused,
        }
    }
}

/// The exit status in the words of `--help`.
pub const EXIT_STATUS: &str = "Exit status: 0 ended as asked, 1 failed, 2 wrong flags or configuration, 3 refused \
(already running, port taken, foreign page), 4 a right is missing, 5 no such interface.";

/// An error with the exit status that it leads to.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: anyhow::Error,
}

impl Failure {
    /// `error` ends the program with `exit`.
    pub fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into() }
    }

    /// `error` ends the program, with the status of a missing right, of what another program has, or of any other failure.
    pub fn of(error: impl Denied) -> Self {
        Self::new(error.denial().map_or(Exit::Failed, Exit::from), error)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(Exit::Failed, error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

/// Flags that every daemon has, as linuxptp's programs have them.
#[derive(Debug, clap::Args)]
pub struct CommonArgs {
    /// Name of this instance: several suites on one host, each with pages of its own
    #[arg(long, value_name = "NAME")]
    pub instance: Option<Instance>,

    /// Read the configuration from FILE; a flag overrides its key
    #[arg(short = 'f', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Say what is wrong with flags and configuration, and exit
    #[arg(long)]
    pub check_config: bool,

    /// Write messages up to LEVEL: 3 error, 4 warning, 6 info, 7 debug
    #[arg(short = 'l', long, value_name = "LEVEL", default_value_t = 6, value_parser = clap::value_parser!(u8).range(0..=7))]
    pub log_level: u8,

    /// Write messages to stdout
    #[arg(short = 'm', long)]
    pub messages: bool,

    /// Write no messages to syslog
    #[arg(short = 'q', long)]
    pub no_syslog: bool,

    /// Seconds between summary lines; 0 writes one for every Sync
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub summary_interval: u32,

    /// Print the version
    #[arg(short = 'v', long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// A daemon's flags.
pub trait DaemonArgs: CommandFactory + FromArgMatches {
    /// What it is called, also as a section of the configuration file.
    const PROGRAM: &'static str;

    /// The example of the configuration file, in which each program's section shows all keys that only it has, commented out
    /// or not.
    const EXAMPLE: &'static str;

    /// Its own flags that no file may have: they do something else and end.
    const COMMAND_LINE_ONLY: &'static [&'static str] = &[];

    /// Flags that were renamed: the old name, the new one. An error names the new one, in the configuration file as on the command
    /// line.
    const RENAMED: &'static [(&'static str, &'static str)] = &[];

    /// The flags that all daemons have.
    fn common(&self) -> &CommonArgs;

    /// What does not fit together, in flags that are right each by itself.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// What is in order, and yet not likely to be meant, as the host is now; `--check-config` tells it.
    fn doubt(&self) -> Option<String> {
        None
    }
}

/// Runs a daemon: reads flags and configuration, starts the log, runs `body`, and tells why it ended.
pub fn run<A: DaemonArgs>(body: impl FnOnce(A) -> Result<(), Failure>) -> ExitCode {
    let args = match arguments_of::<A>(std::env::args_os().collect()) {
        Ok(args) => args,
        Err(ConfigError::Clap(error)) => error.exit(),
        Err(error) => return exit(A::PROGRAM, Err(Failure::new(Exit::Usage, error))),
    };
    let common = args.common();
    if let Err(wrong) = args.check() {
        let wrong = match &common.config {
            Some(file) => format!("{}: {wrong}", file.display()),
            None => wrong,
        };
        return exit(A::PROGRAM, Err(Failure::new(Exit::Usage, anyhow::anyhow!(wrong))));
    }
    if common.check_config {
        match &common.config {
            Some(file) => println!("{}: {} is in order", A::PROGRAM, file.display()),
            None => println!("{}: the flags are in order", A::PROGRAM),
        }
        if let Some(doubt) = args.doubt() {
            println!("{}: {doubt}", A::PROGRAM);
        }
        return ExitCode::SUCCESS;
    }
    log::start(A::PROGRAM, common);
    let result = body(args);
    if let Err(failure) = &result {
        ::log::error!("{failure}");
    }
    exit(A::PROGRAM, result)
}

/// What a daemon does between two sleeps.
pub trait Service {
    /// What it waits for, in an order of its own.
    fn fds(&self) -> Fds<'_>;

    /// When it wants to be woken at the latest.
    fn deadline(&self) -> Timestamp<Raw>;

    /// Does everything that is to be done now.
    ///
    /// # Errors
    /// What ends the program.
    fn wake(&mut self, wake: &Wake) -> Result<(), Failure>;

    /// Writes what it is doing, or what it waits for, in one line for people: `systemctl status` shows it. Costs little, and
    /// leaves out digits that never rest: each change is told.
    fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result;

    /// The last thing that is done, when the program was asked to end.
    fn end(&mut self);
}

/// The one loop of every daemon: runs until a signal asks it to end, and tells the service manager how it fares.
///
/// # Errors
/// What [`Service::wake`] gives, or a sleep that failed.
pub fn serve(mut poll: Poll, service: &mut impl Service) -> Result<(), Failure> {
    let mut manager = Manager::find(raw_now());
    manager.ready(raw_now(), service);
    loop {
        let deadline = manager.deadline(service.deadline());
        let wake = poll.wait(&service.fds(), Some(deadline))?;
        match wake.signal {
            Some(Signal::SIGTERM | Signal::SIGINT) => {
                ::log::info!("ended by a signal");
                manager.stopping();
                service.end();
                return Ok(());
            }
            Some(_) => ::log::info!("the configuration is read at start only: restart to change it"),
            None => {}
        }
        service.wake(&wake)?;
        manager.tell(raw_now(), service);
    }
}

/// Tells on stderr why a program ended, and gives its exit status.
pub fn exit(program: &str, result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            notify::failed(&failure);
            // A terminal that is gone takes no message, and the exit status is the same.
            _ = writeln!(std::io::stderr(), "{program}: {failure}");
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// The pages that this daemon writes.
///
/// # Errors
/// Another process writes them, or something else is in their place.
pub fn publish<C: Body, S: Body>(common: &CommonArgs) -> Result<Publisher<C, S>, Failure> {
    Publisher::open(common.instance.as_ref(), random()?).map_err(Failure::of)
}

/// One of them.
///
/// # Errors
/// As of [`publish`].
pub fn page<B: Body>(name: PageName<B>) -> Result<PageWriter<B>, Failure> {
    PageWriter::open(&name, random()?).map_err(Failure::of)
}

/// A random number from the kernel: to tell one start of a program from another, and to seed the engines.
///
/// # Errors
/// If the kernel gives none, which it does only while it boots.
pub fn random() -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: the buffer is as long as said.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == 8 { Ok(u64::from_ne_bytes(bytes)) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests;
