//! chrony's SOCK reference clock: one datagram per sample, to a Unix socket that chronyd creates when it starts.
//!
//! 40 bytes, native endian, LP64 (`struct sock_sample` of chrony's refclock_sock.c):
//! ```text
//!  0 local time s i64    8 its us i64    16 offset f64, s: true minus system
//! 24 pulse i32           28 leap i32     32 padding i32    36 magic i32
//! ```
//! chronyd drops datagrams of another length or with another magic number, and never replies.

use crate::denial::display_explained;
use dante_core::explain::Explain;
use dante_core::relay::RefclockSample;
use dante_core::time::{Duration, Raw, Timestamp};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// "SOCK", SOCK_MAGIC of chrony's refclock_sock.c.
const MAGIC: i32 = 0x534f_434b;
/// Minimum interval between attempts to open the socket.
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

/// One SOCK reference clock of chronyd.
#[derive(Debug)]
pub struct ChronySock {
    path: PathBuf,
    socket: Option<Socket>,
    next_try: Option<Timestamp<Raw>>,
    failure: Option<SockError>,
}

impl ChronySock {
    /// The socket need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, socket: None, next_try: None, failure: None }
    }

    /// Sends a sample without blocking. After any failure it opens the socket again, at most once a second: chronyd creates
    /// a new socket when it is restarted, and the old descriptor stays useless.
    ///
    /// # Errors
    /// Why this sample was lost.
    pub fn send(&mut self, now: Timestamp<Raw>, sample: &RefclockSample) -> Result<(), SockError> {
        let bytes = datagram(sample);
        if let Some(socket) = &self.socket {
            match send(socket, &bytes) {
                Ok(()) => return Ok(()),
                Err(cause) => _ = self.failed(&cause),
            }
        }
        if self.next_try.is_some_and(|next| now < next)
            && let Some(failure) = &self.failure
        {
            return Err(failure.clone());
        }
        self.next_try = Some(now + RETRY);
        let opened = open(&self.path).and_then(|socket| send(&socket, &bytes).map(|()| socket));
        match opened {
            Ok(socket) => {
                self.socket = Some(socket);
                Ok(())
            }
            Err(cause) => Err(self.failed(&cause)),
        }
    }

    fn failed(&mut self, cause: &io::Error) -> SockError {
        let failure = SockError { path: self.path.clone(), cause: cause.kind(), text: cause.to_string() };
        self.socket = None;
        self.failure = Some(failure.clone());
        failure
    }
}

fn open(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::DGRAM.nonblocking().cloexec(), None)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}

fn send(socket: &Socket, bytes: &[u8]) -> io::Result<()> {
    socket.send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL).map(drop)
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
