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

pub use bound::ServeError;

use crate::denial::Denied;
use bound::{Bound, bind, name_of};
use dante_core::relay::Overlay;
use dante_core::time::{Duration, Raw, Timestamp};
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::path::PathBuf;

/// Maximum number of clients.
pub const MAX_CLIENTS: usize = 64;
/// Maximum number of registrations per call of [`ClockServer::receive`].
const BATCH: usize = 64;
/// Number of datagrams in a row that a client's full queue rejects before the client is removed.
const MAX_FAILURES: u32 = 256;
/// Interval between two checks of the socket, and between two attempts to create it.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Client {
    address: SocketAddr,
    failed_in_a_row: u32,
}

/// The usrvclock server.
#[derive(Debug)]
pub struct ClockServer {
    path: PathBuf,
    mode: u32,
    bound: Option<Bound>,
    next_check: Option<Timestamp<Raw>>,
    clients: Vec<Client>,
    sent: u64,
    lost: u64,
    diagnostics: Vec<String>,
}

impl ClockServer {
    /// A server at `path`. `mode`: permissions of the socket; users with write permission can be clients.
    ///
    /// # Errors
    /// [`ServeError::InTheWay`] and [`ServeError::Taken`]. If the directory is missing, full or not writable, [`Self::check`]
    /// tries again.
    pub fn open(path: PathBuf, mode: u32) -> Result<Self, ServeError> {
        let mut server = Self {
            path,
            mode,
            bound: None,
            next_check: None,
            clients: Vec::new(),
            sent: 0,
            lost: 0,
            diagnostics: Vec::new(),
        };
        match bind(&server.path, mode) {
            Ok(bound) => server.bound = Some(bound),
            Err(error) if error.denial().is_some() => return Err(error),
            Err(error) => server.diagnostics.push(error.to_string()),
        }
        Ok(server)
    }

    /// Creates the socket if it does not exist or its name was removed, at most once a second.
    pub fn check(&mut self, now: Timestamp<Raw>) {
        if self.next_check.is_some_and(|next| now < next) {
            return;
        }
        self.next_check = Some(now + CHECK_INTERVAL);
        if self.bound.as_ref().is_some_and(|bound| name_of(&self.path).ok() == Some(bound.name)) {
            return;
        }
        if self.bound.take().is_some() {
            self.diagnostics
                .push(format!("usrvclock {}: another process removed the socket", self.path.display()));
        }
        match bind(&self.path, self.mode) {
            Ok(bound) => self.bound = Some(bound),
            Err(error) => self.diagnostics.push(error.to_string()),
        }
    }

    /// Accepts registrations of clients, and replies immediately if there is an overlay.
    pub fn receive(&mut self, overlay: Option<&Overlay>) {
        let reply = overlay.map(datagram);
        for _ in 0..BATCH {
            let Some(bound) = &self.bound else { return };
            let address = match bound.socket.recv_from(&mut [0; 1]) {
                Ok((_, address)) => address,
                // No datagram is queued, or the socket failed, which the next check handles.
                Err(_) => return,
            };
            // A client whose socket has no name cannot receive a reply.
            if address.is_unnamed() {
                continue;
            }
            let known = self.clients.iter().position(|client| is_same(&client.address, &address));
            let place = match known {
                Some(place) => place,
                None if self.clients.len() >= MAX_CLIENTS => {
                    self.diagnostics.push(format!(
                        "usrvclock {}: client rejected: the maximum is {MAX_CLIENTS} clients",
                        self.path.display()
                    ));
                    continue;
                }
                None => {
                    self.clients.push(Client { address, failed_in_a_row: 0 });
                    self.clients.len() - 1
                }
            };
            if let Some(reply) = &reply
                && !self.send(place, reply)
            {
                self.clients.swap_remove(place);
            }
        }
    }

    /// Sends the overlay to all clients, and removes those that are gone.
    pub fn publish(&mut self, overlay: &Overlay) {
        let bytes = datagram(overlay);
        for place in (0..self.clients.len()).rev() {
            if !self.send(place, &bytes) {
                self.clients.swap_remove(place);
            }
        }
    }

    /// Sends to one client. Returns whether to keep it.
    fn send(&mut self, place: usize, bytes: &[u8]) -> bool {
        let (Some(bound), Some(client)) = (&self.bound, self.clients.get_mut(place)) else { return true };
        let Err(cause) = bound.socket.send_to_addr(bytes, &client.address) else {
            client.failed_in_a_row = 0;
            self.sent += 1;
            return true;
        };
        self.lost += 1;
        client.failed_in_a_row += 1;
        match cause.kind() {
            // The client has ended.
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => false,
            ErrorKind::PermissionDenied => {
                self.diagnostics.push(format!(
                    "usrvclock {}: cannot send to client {:?}: no write permission for its socket; run the client with \
                     a umask of 0, or both programs as the same user",
                    self.path.display(),
                    client.address
                ));
                false
            }
            _ => client.failed_in_a_row < MAX_FAILURES,
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

    /// Returns and removes the messages for the log.
    pub fn diagnostics(&mut self) -> Vec<String> {
        std::mem::take(&mut self.diagnostics)
    }

    /// The descriptor to wait for.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.bound.as_ref().map(|bound| bound.socket.as_fd())
    }
}

impl Drop for ClockServer {
    fn drop(&mut self) {
        if self.bound.as_ref().is_some_and(|bound| name_of(&self.path).ok() == Some(bound.name)) {
            _ = fs::remove_file(&self.path);
        }
    }
}

fn is_same(one: &SocketAddr, other: &SocketAddr) -> bool {
    one.as_pathname() == other.as_pathname() && one.as_abstract_name() == other.as_abstract_name()
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
