//! chrony's SOCK reference clock: one datagram for each sample, to a Unix socket that chronyd makes at its start.
//!
//! 40 bytes, native endian, LP64 (`struct sock_sample` of chrony's refclock_sock.c):
//! ```text
//!  0 local time s i64    8 its us i64    16 offset f64, s: true minus system
//! 24 pulse i32           28 leap i32     32 padding i32    36 magic i32
//! ```
//! chronyd drops what has another length or another magic, and never answers.

use crate::denial::display_explained;
use dante_core::explain::Explain;
use dante_core::relay::RefclockSample;
use dante_core::time::{Duration, Raw, Timestamp};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// "SOCK", SOCK_MAGIC of chrony's refclock_sock.c.
const MAGIC: i32 = 0x534f_434b;
/// A socket that failed is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// Why chronyd did not get a sample.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SockError {
    path: PathBuf,
    cause: ErrorKind,
    text: String,
}

impl Explain for SockError {
    fn what(&self) -> String {
        let cause = match self.cause {
            ErrorKind::NotFound => "it is not there: chronyd makes it at its start",
            ErrorKind::ConnectionRefused => "nobody reads it: chronyd has ended",
            ErrorKind::PermissionDenied => "this user may not write to it: chronyd makes it for root alone",
            ErrorKind::WouldBlock => "it is full: chronyd does not read it",
            _ => &self.text,
        };
        format!("SOCK {}: {cause}", self.path.display())
    }

    fn remedy(&self) -> Option<String> {
        match self.cause {
            ErrorKind::NotFound => {
                Some(format!("chronyd's configuration needs `refclock SOCK {}`", self.path.display()))
            }
            ErrorKind::PermissionDenied => Some(
                "let chronyd's unit give it away when it has started (ExecStartPost=+ with chgrp and chmod)"
                    .into(),
            ),
            _ => None,
        }
    }
}

display_explained!(SockError);

/// One SOCK of chronyd's.
#[derive(Debug)]
pub struct ChronySock {
    path: PathBuf,
    socket: Option<Socket>,
    next_try: Option<Timestamp<Raw>>,
    failure: Option<SockError>,
}

impl ChronySock {
    /// It need not be there yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, socket: None, next_try: None, failure: None }
    }

    /// Hands over a sample, without ever waiting. After any failure the socket is opened anew, at most once a second:
    /// chronyd makes another one when it is restarted, and the old descriptor leads nowhere for good.
    ///
    /// # Errors
    /// Why this sample is lost.
    pub fn send(&mut self, now: Timestamp<Raw>, sample: &RefclockSample) -> Result<(), SockError> {
        let bytes = datagram(sample);
        if let Some(socket) = &self.socket {
            match hand_over(socket, &bytes) {
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
        let opened = open(&self.path).and_then(|socket| hand_over(&socket, &bytes).map(|()| socket));
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

fn hand_over(socket: &Socket, bytes: &[u8]) -> io::Result<()> {
    socket.send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL).map(drop)
}

/// The sample as chronyd takes it.
///
/// chronyd computes the reference's time as local time + offset. The local time is cut to whole us, so it is up to 1 us
/// earlier than the arrival; the offset is that of the arrival, to the ns, and it was the same 1 us earlier, but for
/// 1e-10 s at 100 ppm. Were the ns cut off added to it, the reference would seem to be early by them.
fn datagram(sample: &RefclockSample) -> [u8; 40] {
    let (seconds, ns) = sample.received.split();
    let fields: [&[u8]; 7] = [
        &seconds.to_ne_bytes(),
        &(ns / 1000).to_ne_bytes(),
        &sample.ahead().secs_f64().to_ne_bytes(),
        // A pulse would be half a sample, of an unknown second, with the sign of the offset turned round.
        &0i32.to_ne_bytes(),
        // No leap second is announced: who keeps the date does that.
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
