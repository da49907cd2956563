//! usrvclock: a Unix socket on which programs receive Dante time as an overlay over CLOCK_MONOTONIC_RAW. Inferno, the
//! open-source Dante implementation, uses it as its clock.
//!
//! A client binds its own socket and sends an empty datagram. The server replies immediately, and from then on sends at least
//! once a second 40 bytes, native endian:
//! ```text
//!  0 "VC"        2 major u16 = 1   4 minor u16 = 0   6 flags u16, bit 0 set
//!  8 clock i64 = 4 (CLOCK_MONOTONIC_RAW)            16 last_sync i64, ns
//! 24 shift i64, ns                                  32 freq_scale f64
//! ```
//! `overlay(t) = t + shift + round((t - last_sync) * freq_scale)`. The result is the leader's time, not UTC.

mod bound;
mod clients;
mod registration;

pub use bound::ServeError;
pub use clients::MAX_CLIENTS;

use crate::output::Diagnostic;
use bound::{Bound, bind, name_of};
use clients::{Admission, Clients, name_of_client};
use dante_core::relay::Overlay;
use dante_core::time::{Duration, Raw, Timestamp};
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

/// Maximum number of registrations per call of [`ClockServer::receive`].
const BATCH: usize = 64;
/// Time without registrations after a full batch, so that a flood of them leaves the loop to the samples: at most 3200 a second.
const REST: Duration = Duration::from_ms(20);
/// Number of datagrams in a row that a client's full queue rejects before the client is removed.
const MAX_FAILURES: u32 = 256;
/// Interval between two checks of the socket, and between two attempts to create it.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The usrvclock server.
#[derive(Debug)]
pub struct ClockServer {
    path: PathBuf,
    mode: u32,
    bound: Option<Bound>,
    next_check: Option<Timestamp<Raw>>,
    clients: Clients,
    /// No registration is received before.
    rests_until: Option<Timestamp<Raw>>,
    sent: u64,
    lost: u64,
    recreated: u64,
    rejected: u64,
    diagnostics: Vec<Diagnostic>,
}

impl ClockServer {
    /// A server at `path`. `mode`: permissions of the socket; users with write permission can be clients. If another program has
    /// the name, or the directory is missing, full or not writable, [`Self::check`] tries again.
    pub fn open(now: Timestamp<Raw>, path: PathBuf, mode: u32) -> Self {
        let mut server = Self {
            path,
            mode,
            bound: None,
            next_check: None,
            clients: Clients::default(),
            rests_until: None,
            sent: 0,
            lost: 0,
            recreated: 0,
            rejected: 0,
            diagnostics: Vec::new(),
        };
        server.check(now);
        server
    }

    /// Creates the socket if it does not exist or its name was removed, at most once a second.
    pub fn check(&mut self, now: Timestamp<Raw>) {
        if self.next_check.is_some_and(|next| now < next) {
            return;
        }
        self.next_check = Some(now + CHECK_INTERVAL);
        if let Some(bound) = &self.bound {
            match name_of(&self.path) {
                Ok(name) if name == bound.name => return,
                Err(cause) if ![ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&cause.kind()) => {
                    // Whether the name is still there is not known.
                    return self.warn("unknown", &format!("cannot stat: {cause}"));
                }
                Ok(_) | Err(_) => {}
            }
        }
        let was_bound = self.bound.take().is_some();
        self.recreated += u64::from(was_bound);
        match bind(&self.path, self.mode) {
            Ok(bound) => {
                self.bound = Some(bound);
                if was_bound {
                    self.warn("removed", "another process removed the socket: created again");
                }
            }
            Err(error) => self.diagnostics.push(Diagnostic::new(error.kind(), error)),
        }
    }

    fn warn(&mut self, kind: &'static str, reason: &str) {
        self.diagnostics.push(Diagnostic::new(kind, format!("usrvclock {}: {reason}", self.path.display())));
    }

    /// Accepts registrations of clients, and replies immediately if there is an overlay.
    pub fn receive(&mut self, now: Timestamp<Raw>, overlay: Option<&Overlay>) {
        if self.rests_until.is_some_and(|until| now < until) {
            return;
        }
        self.rests_until = None;
        let reply = overlay.map(datagram);
        for _ in 0..BATCH {
            let Some(bound) = &self.bound else { return };
            // No datagram is queued, or the socket failed, which the next check handles.
            let Ok(registration) = registration::receive(&bound.socket) else { return };
            // A client whose socket has no name cannot receive a reply.
            let Some((address, uid)) = registration else { continue };
            let place = match self.clients.admit(address, uid) {
                Admission::Known(place) | Admission::New(place) => place,
                Admission::Replaced { place, uid } => {
                    self.rejected += 1;
                    self.warn("share", &format!(
                        "the maximum is {MAX_CLIENTS} clients: the newest client of user {uid}, who has the most, was removed"
                    ));
                    place
                }
                Admission::Rejected => {
                    self.rejected += 1;
                    self.warn("full", &format!("client rejected: the maximum is {MAX_CLIENTS} clients"));
                    continue;
                }
            };
            if let Some(reply) = &reply
                && !self.send(place, reply, Attempt::First)
            {
                self.clients.remove(place);
            }
        }
        self.rests_until = Some(now + REST);
    }

    /// Sends the overlay to all clients, and removes those that are gone.
    pub fn publish(&mut self, overlay: &Overlay) {
        let bytes = datagram(overlay);
        for place in (0..self.clients.len()).rev() {
            if !self.send(place, &bytes, Attempt::Later) {
                self.clients.remove(place);
            }
        }
    }

    /// Sends to one client. Returns whether to keep it.
    fn send(&mut self, place: usize, bytes: &[u8], attempt: Attempt) -> bool {
        let (Some(bound), Some(client)) = (&self.bound, self.clients.get_mut(place)) else { return true };
        let Err(cause) = bound.socket.send_to_addr(bytes, &client.address) else {
            client.failed_in_a_row = 0;
            self.sent += 1;
            return true;
        };
        self.lost += 1;
        client.failed_in_a_row += 1;
        let (failed_in_a_row, name) = (client.failed_in_a_row, name_of_client(&client.address));
        match cause.kind() {
            // The client has ended.
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => false,
            _ if cause.raw_os_error() == Some(libc::EPERM) => {
                self.warn("connected", &format!(
                    "cannot send to client {name}: it is connected to an earlier socket of danteshm and has to register again"
                ));
                false
            }
            ErrorKind::PermissionDenied => {
                self.warn("denied", &format!(
                    "cannot send to client {name}: no write permission for its socket; run the client with a umask of 0, or both \
                     programs as the same user"
                ));
                false
            }
            _ if attempt == Attempt::Later && failed_in_a_row >= MAX_FAILURES => {
                self.warn("unread", &format!(
                    "client {name} does not read its socket: it gets no further datagrams until it registers again"
                ));
                false
            }
            // A client that registers with a full queue does not read: it gets no further datagrams.
            _ => attempt == Attempt::Later,
        }
    }

    /// Whether the server has a bound socket.
    pub fn is_ready(&self) -> bool {
        self.bound.is_some()
    }

    /// Number of registered clients.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Number of datagrams sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Number of datagrams that could not be sent.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// How often the socket was made again after another process removed it.
    pub fn recreated(&self) -> u64 {
        self.recreated
    }

    /// Number of clients that were rejected, or removed for a client of another user.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Returns and removes the messages for the log.
    pub fn diagnostics(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.diagnostics)
    }

    /// When registrations are received again after a full batch.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.rests_until
    }

    /// The descriptor to wait for; `None` also until [`Self::deadline`].
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.bound.as_ref().filter(|_| self.rests_until.is_none()).map(|bound| bound.socket.as_fd())
    }
}

impl Drop for ClockServer {
    fn drop(&mut self) {
        if self.bound.as_ref().is_some_and(|bound| name_of(&self.path).ok() == Some(bound.name)) {
            _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether a datagram is the reply to a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Later,
}

fn datagram(overlay: &Overlay) -> [u8; 40] {
    const CLOCK: i64 = libc::CLOCK_MONOTONIC_RAW as i64;
    let fields: [&[u8]; 8] = [
        b"VC",
        &1u16.to_ne_bytes(),
        &0u16.to_ne_bytes(),
        &1u16.to_ne_bytes(),
        &CLOCK.to_ne_bytes(),
        &overlay.last_sync.ns().to_ne_bytes(),
        &overlay.shift.ns().to_ne_bytes(),
        &overlay.freq_scale.fraction().to_ne_bytes(),
    ];
    let mut bytes = [0; 40];
    for (to, from) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
        *to = *from;
    }
    bytes
}

#[cfg(test)]
mod tests;
