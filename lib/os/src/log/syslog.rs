//! Lines to syslog, in the format of RFC 3164. Nothing here waits: a syslog daemon that does not read, or that is not running, loses
//! lines, which are counted and stated.

use super::{Line, Stamp};
use crate::local_socket;
use dante_core::time::{Duration, Raw, Timestamp};
use log::Level;
use socket2::{Socket, Type};
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use syslog::{Facility, Formatter3164, LogFormat, Severity};

/// Sockets of syslog daemons; the first one that exists is used.
pub(super) const SOCKETS: [&str; 2] = ["/dev/log", "/var/run/syslog"];
/// Minimum interval between attempts to open the socket: a restarted syslog daemon has a new one.
const RETRY: Duration = Duration::from_secs(1);

/// The connection to the syslog daemon.
pub(super) struct Syslog {
    formatter: Formatter3164,
    paths: Vec<PathBuf>,
    socket: Option<Socket>,
    /// The socket is a stream: NUL ends a line.
    is_stream: bool,
    next_try: Option<Timestamp<Raw>>,
    /// Number of lines lost since the last one that was sent.
    lost: u64,
}

impl Syslog {
    pub fn new(program: &str, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Self {
            formatter: Formatter3164 {
                facility: Facility::LOG_DAEMON,
                hostname: None,
                process: program.to_owned(),
                pid: std::process::id(),
            },
            paths: paths.into_iter().map(Into::into).collect(),
            socket: None,
            is_stream: false,
            next_try: None,
            lost: 0,
        }
    }

    /// Connects to the syslog daemon.
    ///
    /// # Errors
    /// The kernel's. [`Self::send`] tries again.
    pub fn open(&mut self, now: Timestamp<Raw>) -> io::Result<()> {
        self.next_try = Some(now + RETRY);
        self.socket = None;
        let mut failure = io::Error::from(ErrorKind::NotFound);
        for path in &self.paths {
            let datagrams = local_socket::connect(path, Type::DGRAM).map(|socket| (socket, false));
            let opened = match datagrams {
                Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => {
                    local_socket::connect(path, Type::STREAM).map(|socket| (socket, true))
                }
                datagrams => datagrams,
            };
            match opened {
                Ok((socket, is_stream)) => {
                    (self.socket, self.is_stream) = (Some(socket), is_stream);
                    return Ok(());
                }
                Err(error) if failure.kind() == ErrorKind::NotFound => failure = error,
                Err(_) => {}
            }
        }
        Err(failure)
    }

    /// Sends a line, or counts it as lost. The first line that gets through follows a line with that number.
    pub fn send(&mut self, line: &Line<'_>) {
        if self.lost > 0 {
            let text = format!("lines of this log lost, as syslog did not accept them: {}", self.lost);
            if !self.put(&Line { level: Level::Warn, text: &text, ..*line }) {
                self.lost += 1;
                return;
            }
            self.lost = 0;
        }
        if !self.put(line) {
            self.lost += 1;
        }
    }

    /// Sends a line, if need be on a new socket. Returns whether it was sent.
    fn put(&mut self, line: &Line<'_>) -> bool {
        let severity = match line.level {
            Level::Error => Severity::LOG_ERR,
            Level::Warn => Severity::LOG_WARNING,
            Level::Info => Severity::LOG_INFO,
            Level::Debug | Level::Trace => Severity::LOG_DEBUG,
        };
        let mut bytes = Vec::new();
        let text = format_args!("[{}] {}", Stamp(line.at), line.text);
        if LogFormat::<fmt::Arguments<'_>>::format(&self.formatter, &mut bytes, severity, text).is_err() {
            return false;
        }
        if self.write(&bytes) {
            return true;
        }
        // Also if the socket is full: its reader may be a process that lost the name to another one.
        let may_open = self.next_try.is_none_or(|next| line.at >= next);
        may_open && self.open(line.at).is_ok() && self.write(&bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        let Some(socket) = &self.socket else { return false };
        let sent = match self.is_stream {
            true => local_socket::send(socket, &[bytes, &[0]].concat()),
            false => local_socket::send(socket, bytes),
        };
        // The rest of a partly written line cannot be sent later.
        if sent.as_ref().is_err_and(|error| error.kind() == ErrorKind::WriteZero) {
            self.socket = None;
        }
        sent.is_ok()
    }
}

#[cfg(test)]
mod tests;
