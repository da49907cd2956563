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
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// "SOCK", SOCK_MAGIC of chrony's refclock_sock.c.
const MAGIC: i32 = 0x534f_434b;
/// Send buffer, bytes, of which the kernel makes twice as much: about ten datagrams (768 bytes each in the kernel) that chronyd has
/// not received. It receives each at once; so a stopped chronyd is noticed after some seconds, and gets few old samples later.
const SEND_BUFFER: usize = 4096;
/// Minimum interval between attempts to open the socket, and between two checks of its name.
const RETRY: Duration = Duration::from_secs(1);

/// What is wrong with the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// It does not exist, and did not accept a sample before.
    Missing,
    /// The program that made it has ended.
    Ended,
    /// A file with its name is not a socket.
    NoSocket,
    /// A part of its path is not a directory.
    NoDirectory,
    /// A socket with its name is not a datagram socket.
    OtherKind,
    /// This user may not write to it.
    Denied,
    /// This user may not search its directory.
    DirectoryDenied,
    /// Its buffer is full.
    Full,
    /// The kernel's error.
    Failed(String),
}

/// Why a sample was not sent to chronyd.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SockError {
    path: PathBuf,
    fault: Fault,
}

impl Explain for SockError {
    fn what(&self) -> String {
        let fault = match &self.fault {
            Fault::Missing => "socket does not exist: chronyd creates it when it starts",
            Fault::Ended => "no program reads the socket: chronyd has ended",
            Fault::NoSocket => "a file that is not a socket has this name",
            Fault::NoDirectory => "a part of its path is not a directory",
            Fault::OtherKind => "a socket of another kind has this name: it is not chronyd's",
            Fault::Denied => "no write permission for this user: chronyd creates the socket for root",
            Fault::DirectoryDenied => "no permission for this user to search the socket's directory",
            Fault::Full => "socket buffer is full: chronyd does not read it",
            Fault::Failed(cause) => cause,
        };
        format!("SOCK {}: {fault}", self.path.display())
    }

    fn remedy(&self) -> Option<String> {
        match self.fault {
            Fault::Missing => {
                Some(format!("start chronyd with `refclock SOCK {}` in its configuration", self.path.display()))
            }
            Fault::Ended => Some("start chronyd again".into()),
            Fault::NoSocket => Some("remove it, or choose another path".into()),
            Fault::NoDirectory | Fault::OtherKind => Some("choose another path".into()),
            Fault::Denied => Some(
                "change its group and mode in chronyd's unit after the start (ExecStartPost=+ with chgrp and chmod)"
                    .into(),
            ),
            Fault::DirectoryDenied => {
                Some("choose a path in another directory, such as /run/chrony.dante.sock".into())
            }
            Fault::Full | Fault::Failed(_) => None,
        }
    }
}

display_explained!(SockError);

impl SockError {
    /// Kind, for the rate limit of the log.
    fn kind(&self) -> &'static str {
        match self.fault {
            Fault::Missing => "missing",
            Fault::Ended => "ended",
            Fault::NoSocket | Fault::NoDirectory | Fault::OtherKind => "in the way",
            Fault::Denied | Fault::DirectoryDenied => "denied",
            Fault::Full => "full",
            Fault::Failed(_) => "failed",
        }
    }
}

impl From<io::Error> for Fault {
    fn from(cause: io::Error) -> Self {
        match cause.kind() {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::ConnectionRefused => Self::Ended,
            ErrorKind::NotADirectory => Self::NoDirectory,
            ErrorKind::PermissionDenied => Self::Denied,
            ErrorKind::WouldBlock => Self::Full,
            _ if cause.raw_os_error() == Some(libc::EPROTOTYPE) => Self::OtherKind,
            _ => Self::Failed(cause.to_string()),
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
    /// The socket has lost its name; whether it has accepted a sample since.
    nameless: Option<bool>,
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
            nameless: None,
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
            match local_socket::send(&connected.socket, &bytes).map_err(Fault::from) {
                Ok(()) => return self.accepted(now),
                // chronyd still has the socket open: a new descriptor would only add to what it has not received.
                Err(Fault::Full) => return Err(self.failed(Fault::Full)),
                Err(fault) => {
                    self.connected = None;
                    _ = self.failed(fault);
                }
            }
        }
        if self.next_try.is_some_and(|next| now < next)
            && let Some(failure) = &self.failure
        {
            return Err(failure.clone());
        }
        self.next_try = Some(now + RETRY);
        let opened = open(&self.path).and_then(|new| {
            local_socket::send(&new.socket, &bytes)?;
            Ok(new)
        });
        match opened {
            Ok(connected) => {
                (self.connected, self.nameless) = (Some(connected), None);
                self.accepted(now)
            }
            Err(fault) => Err(self.failed(fault)),
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
        let nameless = self.nameless.take();
        match (&self.connected, opened) {
            (Some(old), Ok(new)) if new.name == old.name => {}
            (Some(_), Ok(new)) => {
                self.connected = Some(new);
                self.failure = None;
                self.recreated += 1;
                let text = format!(
                    "SOCK {}: chronyd or another program made the socket again: connected to the new one",
                    self.path.display()
                );
                self.diagnostics.push(Diagnostic::new("replaced", text));
            }
            (None, Ok(new)) => {
                self.connected = Some(new);
                self.failure = None;
            }
            // The program that made the socket may still receive by it, or has ended, and the next sample shows that.
            (Some(_), Err(Fault::Missing)) => {
                if nameless == Some(true) {
                    let text = format!(
                        "SOCK {}: another process removed the socket, by which chronyd still receives: restart chronyd",
                        self.path.display()
                    );
                    self.diagnostics.push(Diagnostic::new("removed", text));
                }
                self.nameless = Some(nameless == Some(true));
            }
            (Some(_), Err(Fault::Denied | Fault::DirectoryDenied)) => {}
            (_, Err(fault)) => {
                self.connected = None;
                let failure = self.failed(fault);
                self.diagnostics.push(Diagnostic::new(failure.kind(), &failure));
            }
        }
    }

    /// State of the output.
    pub fn state(&self) -> OutputState {
        let failure = self.failure.as_ref().map(|failure| &failure.fault);
        let delivery = match (&self.connected, failure) {
            (Some(_), Some(_)) => Delivery::NotRead,
            (Some(_), None) if self.last_accepted.is_some() => Delivery::Delivered,
            (_, None) => Delivery::Pending,
            (None, Some(Fault::Missing | Fault::Ended)) => Delivery::NotAttached,
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
        self.nameless = self.nameless.map(|_| true);
        Ok(())
    }

    fn failed(&mut self, fault: Fault) -> SockError {
        // chronyd removes its socket when it ends.
        let has_ended = fault == Fault::Missing && self.last_accepted.is_some();
        let fault = if has_ended { Fault::Ended } else { fault };
        let failure = SockError { path: self.path.clone(), fault };
        self.failure = Some(failure.clone());
        failure
    }
}

fn open(path: &Path) -> Result<Connected, Fault> {
    // Before connecting: if the name changes in between, the next check sees another one.
    let found = std::fs::symlink_metadata(path).map_err(|cause| match Fault::from(cause) {
        Fault::Denied => Fault::DirectoryDenied,
        fault => fault,
    })?;
    // connect reports such a file as a socket without a reader.
    if !found.file_type().is_socket() && !found.file_type().is_symlink() {
        return Err(Fault::NoSocket);
    }
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
