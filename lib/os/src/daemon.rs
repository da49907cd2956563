//! Common parts of the programs: flags, configuration file, main loop, service manager, exit status.

mod config;
mod notify;

pub use config::{ConfigError, arguments_of, keys_of, values};

use crate::clock::raw_now;
use crate::denial::{Denial, Denied};
use crate::log;
use crate::page::{Instance, PageName, PageWriter, Publisher};
use crate::poll::{Fds, Poll, Signal, Wake};
use crate::process;
use clap::{ArgAction, CommandFactory, FromArgMatches};
use dante_core::page::Body;
use dante_core::time::{Raw, Timestamp};
use notify::Manager;
pub use notify::{ready as notify_ready, status as notify_status};
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Exit status of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Ended on request.
    Ok = 0,
    /// An operation failed; the message names it.
    Failed = 1,
    /// Flags or configuration are wrong.
    Usage = 2,
    /// The program must not run beside something that exists already: another instance, a port in use, a page of another user,
    /// another leader.
    Refused = 3,
    /// A permission is missing.
    NotPermitted = 4,
    /// The network interface does not exist (`--no-wait`).
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

/// The exit status in `--help`.
pub const EXIT_STATUS: &str = "Exit status: 0 ended on request, 1 failed, 2 wrong flags or configuration, 3 refused \
(already running, port in use, page of another user), 4 missing permission, 5 no such interface.";

/// An error and the exit status that it causes.
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

    /// `error` ends the program with the exit status of its [`Denial`], or with [`Exit::Failed`].
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

/// Flags of every daemon, named as in linuxptp.
#[derive(Debug, clap::Args)]
pub struct CommonArgs {
    /// Name of this instance, to run several suites on one host
    #[arg(long, value_name = "NAME")]
    pub instance: Option<Instance>,

    /// Read the configuration from FILE; a flag overrides its key
    #[arg(short = 'f', long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check flags and configuration, report errors, and exit
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
    /// Name of the program and of its section in the configuration file.
    const PROGRAM: &'static str;

    /// The example configuration file. The section of each program shows all keys that only this program has, commented out
    /// or not.
    const EXAMPLE: &'static str;

    /// Flags of this program that are not allowed in the configuration file: the program does something else and ends.
    const COMMAND_LINE_ONLY: &'static [&'static str] = &[];

    /// Renamed flags: old name, new name. The error for an old name, in the file or on the command line, names the new one.
    const RENAMED: &'static [(&'static str, &'static str)] = &[];

    /// The flags of all daemons.
    fn common(&self) -> &CommonArgs;

    /// Checks combinations of flags that are each valid alone.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Describes a valid setting that is probably not intended on this host, for `--check-config`.
    fn warning(&self) -> Option<String> {
        None
    }
}

/// Runs a daemon: reads flags and configuration, starts the log, runs `body`, and reports why it ended.
pub fn run<A: DaemonArgs>(body: impl FnOnce(A) -> Result<(), Failure>) -> ExitCode {
    process::prepare();
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
        let failed = |cause| Failure::new(Exit::Failed, anyhow::anyhow!("cannot write to stdout: {cause}"));
        return exit(A::PROGRAM, write_validity(&args).map_err(failed));
    }
    log::start(A::PROGRAM, common);
    let result = body(args);
    if let Err(failure) = &result {
        ::log::error!("{failure}");
    }
    log::finish();
    exit(A::PROGRAM, result)
}

/// Writes the result of `--check-config`.
fn write_validity<A: DaemonArgs>(args: &A) -> io::Result<()> {
    let mut to = io::stdout().lock();
    match &args.common().config {
        Some(file) => writeln!(to, "{}: {} is valid", A::PROGRAM, file.display())?,
        None => writeln!(to, "{}: the flags are valid", A::PROGRAM)?,
    }
    if let Some(warning) = args.warning() {
        writeln!(to, "{}: {warning}", A::PROGRAM)?;
    }
    to.flush()
}

/// A daemon's work in the main loop.
pub trait Service {
    /// The descriptors to wait for. [`Self::wake`] identifies them by their index.
    fn fds(&self) -> Fds<'_>;

    /// Latest time of the next [`Self::wake`].
    fn deadline(&self) -> Timestamp<Raw>;

    /// Does all work that is due.
    ///
    /// # Errors
    /// An error ends the program.
    fn wake(&mut self, wake: &Wake) -> Result<(), Failure>;

    /// Writes what the daemon is doing or waiting for, as one line for `systemctl status`. It must be cheap, and must not contain
    /// values that change all the time: each change is sent to the service manager.
    fn status(&self, to: &mut dyn fmt::Write) -> fmt::Result;

    /// Called once before a requested end.
    fn end(&mut self);
}

/// The main loop of every daemon: runs until a signal requests its end, and keeps the service manager informed.
///
/// # Errors
/// An error of [`Service::wake`] or [`Poll::wait`].
pub fn serve(mut poll: Poll, service: &mut impl Service) -> Result<(), Failure> {
    let mut manager = Manager::find(raw_now());
    manager.ready(raw_now(), service);
    loop {
        let deadline = manager.deadline(service.deadline());
        let wake = poll.wait(&service.fds(), Some(deadline))?;
        match wake.signal {
            Some(Signal::SIGHUP) if !poll.ends_on_hangup() => {
                ::log::info!("the configuration is read at start only: restart to change it");
            }
            Some(_) => {
                ::log::info!("ended by a signal");
                manager.stopping();
                service.end();
                return Ok(());
            }
            None => {}
        }
        service.wake(&wake)?;
        manager.update(raw_now(), service);
    }
}

/// Reports on stderr, if it accepts a line within a second, and to the service manager why a program ended. Returns its exit status.
pub fn exit(program: &str, result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            notify::failed(&failure);
            log::stderr::write_line(&format!("{program}: {failure}"), log::MAX_WAIT);
            ExitCode::from(failure.exit as u8)
        }
    }
}

/// Opens both pages of this daemon for writing.
///
/// # Errors
/// See [`WriteError`](crate::page::WriteError).
pub fn publish<C: Body, S: Body>(common: &CommonArgs) -> Result<Publisher<C, S>, Failure> {
    Publisher::open(common.instance.as_ref(), random()?).map_err(Failure::of)
}

/// Opens one page for writing.
///
/// # Errors
/// See [`WriteError`](crate::page::WriteError).
pub fn page<B: Body>(name: PageName<B>) -> Result<PageWriter<B>, Failure> {
    PageWriter::open(&name, random()?).map_err(Failure::of)
}

/// Returns a random number from the kernel, to distinguish one start of a program from another and to seed the engines.
///
/// # Errors
/// If getrandom(2) fails.
pub fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: pointer and length are those of the buffer.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == 8 { Ok(u64::from_ne_bytes(bytes)) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests;
