//! usrvclock: a Unix socket that tells programs Dante's own time as a clock laid over CLOCK_MONOTONIC_RAW. Inferno, the
//! open-source Dante implementation, reads its clock from one.
//!
//! A client binds a socket of its own and sends an empty datagram. It is answered at once, and from then on at least once
//! a second, with 40 bytes, native endian:
//! ```text
//!  0 "VC"        2 major u16 = 1   4 minor u16 = 0   6 flags u16, bit 0 set
//!  8 clock i64 = 4 (CLOCK_MONOTONIC_RAW)            16 last_sync i64, ns
//! 24 shift i64, ns                                  32 freq_scale f64
//! ```
//! `overlay(t) = t + shift + round((t - last_sync) * freq_scale)`. The result is the leader's time, not a date.

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

/// Clients at once.
pub const MAX_CLIENTS: usize = 64;
/// Registrations taken in one go.
const BATCH: usize = 64;
/// A client whose queue was full for so many datagrams in a row does not read any more.
const STUCK: u32 = 256;
/// A socket that could not be made, or was removed, is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Client {
    address: SocketAddr,
    failed_in_a_row: u32,
}

/// The server.
#[derive(Debug)]
pub struct ClockServer {
    path: PathBuf,
    mode: u32,
    bound: Option<Bound>,
    next_look: Option<Timestamp<Raw>>,
    clients: Vec<Client>,
    sent: u64,
    lost: u64,
    diagnostics: Vec<String>,
}

impl ClockServer {
    /// A server at `path`, to whose socket the permissions `mode` are given: who may write to it may ask.
    ///
    /// # Errors
    /// [`ServeError::InTheWay`] and [`ServeError::Taken`]. Where the folder is missing, full or not writable, it is
    /// tried again by [`Self::look`].
    pub fn open(path: PathBuf, mode: u32) -> Result<Self, ServeError> {
        let mut server = Self {
            path,
            mode,
            bound: None,
            next_look: None,
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

    /// Once a second: makes the socket again if it was not there, or somebody removed its name.
    pub fn look(&mut self, now: Timestamp<Raw>) {
        if self.next_look.is_some_and(|next| now < next) {
            return;
        }
        self.next_look = Some(now + RETRY);
        if self.bound.as_ref().is_some_and(|bound| name_of(&self.path).ok() == Some(bound.name)) {
            return;
        }
        if self.bound.take().is_some() {
            self.diagnostics.push(format!("usrvclock {}: somebody removed the socket", self.path.display()));
        }
        match bind(&self.path, self.mode) {
            Ok(bound) => self.bound = Some(bound),
            Err(error) => self.diagnostics.push(error.to_string()),
        }
    }

    /// Takes registrations, and answers them at once if anything is known.
    pub fn receive(&mut self, overlay: Option<&Overlay>) {
        let answer = overlay.map(datagram);
        for _ in 0..BATCH {
            let Some(bound) = &self.bound else { return };
            let address = match bound.socket.recv_from(&mut [0; 1]) {
                Ok((_, address)) => address,
                // Nothing is left, or nothing can be had; the next look tells.
                Err(_) => return,
            };
            // Who has no name cannot be answered.
            if address.is_unnamed() {
                continue;
            }
            let known = self.clients.iter().position(|client| is_same(&client.address, &address));
            let place = match known {
                Some(place) => place,
                None if self.clients.len() >= MAX_CLIENTS => {
                    self.diagnostics.push(format!(
                        "usrvclock {}: {MAX_CLIENTS} clients are served, and no more",
                        self.path.display()
                    ));
                    continue;
                }
                None => {
                    self.clients.push(Client { address, failed_in_a_row: 0 });
                    self.clients.len() - 1
                }
            };
            if let Some(answer) = &answer
                && !self.send(place, answer)
            {
                self.clients.swap_remove(place);
            }
        }
    }

    /// Tells all clients.
    pub fn tell(&mut self, overlay: &Overlay) {
        let bytes = datagram(overlay);
        for place in (0..self.clients.len()).rev() {
            if !self.send(place, &bytes) {
                self.clients.swap_remove(place);
            }
        }
    }

    /// Whether the client lives.
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
            // It ended.
            ErrorKind::ConnectionRefused | ErrorKind::NotFound => false,
            ErrorKind::PermissionDenied => {
                self.diagnostics.push(format!(
                    "usrvclock {}: client {:?} cannot be answered: this user may not write to its socket; let the \
                     client make it with a umask of 0, or run both as one user",
                    self.path.display(),
                    client.address
                ));
                false
            }
            _ => client.failed_in_a_row < STUCK,
        }
    }

    /// Whether it can be reached.
    pub fn is_ready(&self) -> bool {
        self.bound.is_some()
    }

    /// Clients that are told.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Datagrams that were sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Datagrams that could not be.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// What there is to say, once.
    pub fn diagnostics(&mut self) -> Vec<String> {
        std::mem::take(&mut self.diagnostics)
    }

    /// What to wait for.
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
