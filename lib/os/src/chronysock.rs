//! chrony's SOCK reference clock: one datagram per sample, to a Unix socket that chronyd creates when it starts.
//!
//! 40 bytes, native endian, LP64 (`struct sock_sample` of chrony's refclock_sock.c):
//! ```text
//!  0 local time s i64    8 its us i64    16 offset f64, s: true minus system
//! 24 pulse i32           28 leap i32     32 padding i32    36 magic i32
//! ```
//! chronyd drops datagrams of another length or with another magic number, and never replies.

use crate::denial::display_explained;
use crate::local_socket;
use crate::output::{Diagnostic, OutputState};
use dante_core::explain::Explain;
use dante_core::relay::{Delivery, RefclockSample};
use dante_core::time::{Duration, Raw, Timestamp};
use socket2::{Socket, Type};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// "SOCK", SOCK_MAGIC of chrony's refclock_sock.c.
const MAGIC: i32 = 0x534f_434b;
/// Send buffer, bytes, of which the kernel makes twice as much: about ten datagrams (768 bytes each in the kernel) that chronyd has
/// not received. It receives each at once; so a stopped chronyd is noticed after some seconds, and gets few old samples later.
const SEND_BUFFER: usize = 4096;
/// Minimum interval between attempts to open the socket, and between two checks of its name.
const RETRY: Duration = Duration::from_secs(1);

/// Why a sample was not sent to chronyd.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SockError {
    path: PathBuf,
    cause: ErrorKind,
    text: String,
}

impl Explain for SockError {
    fn what(&self) -> String {
        let cause = match self.cause {
            ErrorKind::NotFound => "socket does not exist: chronyd creates it when it starts",
            ErrorKind::ConnectionRefused => "no program reads the socket: chronyd has ended",
            ErrorKind::PermissionDenied => {
                "no write permission for this user: chronyd creates the socket for root"
            }
            ErrorKind::WouldBlock => "socket buffer is full: chronyd does not read it",
            _ => &self.text,
        };
        format!("SOCK {}: {cause}", self.path.display())
    }

    fn remedy(&self) -> Option<String> {
        match self.cause {
            ErrorKind::NotFound => {
                Some(format!("add `refclock SOCK {}` to chronyd's configuration", self.path.display()))
            }
            ErrorKind::PermissionDenied => Some(
                "change its group and mode in chronyd's unit after the start (ExecStartPost=+ with chgrp and chmod)"
                    .into(),
            ),
            _ => None,
        }
    }
}

display_explained!(SockError);

impl SockError {
    /// Kind, for the rate limit of the log.
    fn kind(&self) -> &'static str {
        match self.cause {
            ErrorKind::NotFound => "missing",
            ErrorKind::ConnectionRefused => "ended",
            ErrorKind::PermissionDenied => "denied",
            ErrorKind::WouldBlock => "full",
            _ => "failed",
        }
    }
}

/// A socket connected to that of chronyd.
#[derive(Debug)]
struct Connected {
    socket: Socket,
    /// Device and inode of the name when it was connected.
    name: (u64, u64),
}

/// One SOCK reference clock of chronyd.
#[derive(Debug)]
pub struct ChronySock {
    path: PathBuf,
    connected: Option<Connected>,
    next_try: Option<Timestamp<Raw>>,
    next_check: Option<Timestamp<Raw>>,
    failure: Option<SockError>,
    last_accepted: Option<Timestamp<Raw>>,
    recreated: u64,
    diagnostics: Vec<Diagnostic>,
}

impl ChronySock {
    /// The socket need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            connected: None,
            next_try: None,
            next_check: None,
            failure: None,
            last_accepted: None,
            recreated: 0,
            diagnostics: Vec::new(),
        }
    }

    /// Sends a sample without blocking. After any failure it opens the socket again, at most once a second: chronyd creates
    /// a new socket when it is restarted, and the old descriptor stays useless.
    ///
    /// # Errors
    /// Why this sample was lost.
    pub fn send(&mut self, now: Timestamp<Raw>, sample: &RefclockSample) -> Result<(), SockError> {
        let bytes = datagram(sample);
        if let Some(connected) = &self.connected {
            match local_socket::send(&connected.socket, &bytes) {
                Ok(()) => return self.accepted(now),
                // chronyd still has the socket open: a new descriptor would only add to what it has not received.
                Err(cause) if cause.kind() == ErrorKind::WouldBlock => return Err(self.failed(&cause)),
                Err(cause) => {
                    self.connected = None;
                    _ = self.failed(&cause);
                }
            }
        }
        if self.next_try.is_some_and(|next| now < next)
            && let Some(failure) = &self.failure
        {
            return Err(failure.clone());
        }
        self.next_try = Some(now + RETRY);
        let opened = open(&self.path).and_then(|new| local_socket::send(&new.socket, &bytes).map(|()| new));
        match opened {
            Ok(connected) => {
                self.connected = Some(connected);
                self.accepted(now)
            }
            Err(cause) => Err(self.failed(&cause)),
        }
    }

    /// Connects to the socket, and notices that chronyd has ended or that another socket has the name; at most once a second.
    /// connect(2) sends nothing to a datagram socket.
    pub fn check(&mut self, now: Timestamp<Raw>) {
        if self.next_check.is_some_and(|next| now < next) {
            return;
        }
        self.next_check = Some(now + RETRY);
        let opened = open(&self.path);
        match (&self.connected, opened) {
            (Some(old), Ok(new)) if new.name == old.name => {}
            (Some(_), Ok(new)) => {
                self.connected = Some(new);
                self.failure = None;
                self.recreated += 1;
                let text = format!(
                    "SOCK {}: another program made the socket again: connected to the new one",
                    self.path.display()
                );
                self.diagnostics.push(Diagnostic::new("replaced", text));
            }
            (None, Ok(new)) => {
                self.connected = Some(new);
                self.failure = None;
            }
            // The program that made the socket may still receive by it, or has ended, and the next datagram shows that.
            (Some(_), Err(cause)) if cause.kind() == ErrorKind::NotFound => {
                let text = format!(
                    "SOCK {}: chronyd has ended, or another process removed the socket: in the second case, restart chronyd",
                    self.path.display()
                );
                self.diagnostics.push(Diagnostic::new("removed", text));
            }
            (Some(_), Err(cause)) if cause.kind() == ErrorKind::PermissionDenied => {}
            (_, Err(cause)) => {
                self.connected = None;
                let failure = self.failed(&cause);
                self.diagnostics.push(Diagnostic::new(failure.kind(), &failure));
            }
        }
    }

    /// State of the output.
    pub fn state(&self) -> OutputState {
        let failure = self.failure.as_ref().map(|failure| failure.cause);
        let delivery = match (&self.connected, failure) {
            (Some(_), Some(_)) => Delivery::NotRead,
            (Some(_), None) if self.last_accepted.is_some() => Delivery::Delivered,
            (_, None) => Delivery::Pending,
            (None, Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused)) => Delivery::NotAttached,
            (None, Some(_)) => Delivery::Unavailable,
        };
        let is_ready = self.connected.is_some() && failure.is_none();
        OutputState { is_ready, delivery, last_read: self.last_accepted, recreated: self.recreated }
    }

    /// Returns and removes the warnings for the log.
    pub fn diagnostics(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.diagnostics)
    }

    fn accepted(&mut self, now: Timestamp<Raw>) -> Result<(), SockError> {
        (self.failure, self.last_accepted) = (None, Some(now));
        Ok(())
    }

    fn failed(&mut self, cause: &io::Error) -> SockError {
        let failure = SockError { path: self.path.clone(), cause: cause.kind(), text: cause.to_string() };
        self.failure = Some(failure.clone());
        failure
    }
}

fn open(path: &Path) -> io::Result<Connected> {
    // Before connecting: if the name changes in between, the next check sees another one.
    let found = std::fs::symlink_metadata(path)?;
    let socket = local_socket::connect(path, Type::DGRAM)?;
    socket.set_send_buffer_size(SEND_BUFFER)?;
    Ok(Connected { socket, name: (found.dev(), found.ino()) })
}

/// The sample in chronyd's format.
///
/// chronyd computes the reference time as local time + offset. The local time is truncated to whole us, so it is up to 1 us
/// earlier than the arrival. The offset is that at the arrival, in ns; 1 us earlier it was the same but for 1e-10 s at 100 ppm.
/// Adding the truncated ns to the offset would make the reference early by them.
fn datagram(sample: &RefclockSample) -> [u8; 40] {
    let (seconds, ns) = sample.received.split();
    let fields: [&[u8]; 7] = [
        &seconds.to_ne_bytes(),
        &(ns / 1000).to_ne_bytes(),
        &sample.ahead().secs_f64().to_ne_bytes(),
        // No pulse: chronyd would take the second from elsewhere and the offset with the opposite sign.
        &0i32.to_ne_bytes(),
        // No leap second: chronyd's sources of UTC announce it.
        &0i32.to_ne_bytes(),
        &0i32.to_ne_bytes(),
        &MAGIC.to_ne_bytes(),
    ];
    let mut bytes = [0; 40];
    for (to, from) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
        *to = *from;
    }
    bytes
}

#[cfg(test)]
mod tests;
