//! Log messages: to syslog, and to stdout with `-m`, in the format of linuxptp: `PROGRAM[5439.103]: text`.
//!
//! No call waits for a reader of the log: a syslog daemon, a pipe or a terminal that does not read loses lines. Their number is
//! logged when lines are read again. Names of others in a line are made harmless ([`printable`]).

mod limit;
pub(crate) mod stderr;
mod stdout;
mod summary;
mod syslog;

pub use limit::{Budget, Complaints, Throttle};
pub use summary::{Summary, SummaryLine};

use crate::clock::raw_now;
use crate::daemon::CommonArgs;
use dante_core::printable::printable;
use dante_core::time::{Raw, Timestamp};
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use stdout::Stdout;
use syslog::Syslog;

/// Longest wait at the end of a program for lines on stdout, and for one on stderr, that nobody reads.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(1);

/// A line of the log.
#[derive(Clone, Copy)]
struct Line<'a> {
    at: Timestamp<Raw>,
    level: Level,
    text: &'a str,
}

/// CLOCK_MONOTONIC_RAW as in linuxptp: `5439.103`.
struct Stamp(Timestamp<Raw>);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.ns() / 1_000_000;
        write!(f, "{}.{:03}", ms / 1000, ms % 1000)
    }
}

struct Messages {
    program: &'static str,
    stdout: Option<Stdout>,
    syslog: Option<Mutex<Syslog>>,
}

/// Installs the logger of this process according to the flags. A missing syslog is reported once on stderr, and is no error: it is
/// looked for again with later lines. With `-m`, a thread for stdout starts.
pub fn start(program: &'static str, flags: &CommonArgs) {
    let stdout = flags.messages.then(|| open_stdout(program)).and_then(|opened| {
        let report = |cause| {
            stderr::write_line(&format!("{program}: cannot write messages to stdout ({cause})"), MAX_WAIT);
        };
        opened.map_err(report).ok()
    });
    let syslog = (!flags.no_syslog).then(|| {
        let mut syslog = Syslog::new(program, syslog::SOCKETS);
        if let Err(cause) = syslog.open(raw_now()) {
            let line = format!("{program}: cannot open syslog ({cause}); -m writes messages to stdout");
            stderr::write_line(&line, MAX_WAIT);
        }
        Mutex::new(syslog)
    });
    if log::set_boxed_logger(Box::new(Messages { program, stdout, syslog })).is_ok() {
        log::set_max_level(match flags.log_level {
            0..=3 => LevelFilter::Error,
            4..=5 => LevelFilter::Warn,
            6 => LevelFilter::Info,
            _ => LevelFilter::Debug,
        });
    }
}

fn open_stdout(program: &'static str) -> io::Result<Stdout> {
    // Not through the buffer of std, whose lock the thread would hold while it waits.
    let own = io::stdout().as_fd().try_clone_to_owned()?;
    Stdout::start(program, File::from(own))
}

/// Waits until the lines of the log are written, at most for [`MAX_WAIT`].
pub(crate) fn finish() {
    log::logger().flush();
}

impl Log for Messages {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        let line = Line { at: raw_now(), level: record.level(), text: &printable(&text) };
        if let Some(stdout) = &self.stdout {
            stdout.send(format!("{}[{}]: {}", self.program, Stamp(line.at), line.text));
        }
        if let Some(syslog) = &self.syslog {
            syslog.lock().unwrap_or_else(PoisonError::into_inner).send(&line);
        }
    }

    fn flush(&self) {
        if let Some(stdout) = &self.stdout {
            stdout.finish(MAX_WAIT);
        }
    }
}

#[cfg(test)]
mod tests;
