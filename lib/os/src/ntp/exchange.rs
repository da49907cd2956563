//! One request to a server, and the wait for its reply.

use super::Warning;
use crate::clock::raw_now;
use crate::daemon::random;
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::utc::packet::{Ignored, LENGTH, Request};
use dante_core::utc::{Answer, Exchange, Refusal};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Why an exchange gave no time.
#[derive(Debug)]
pub(super) enum Failure {
    /// The request could not be sent, or the socket failed.
    Socket(io::Error),
    /// The server's reply contains no usable time.
    Refused(Refusal),
    /// No reply to the request arrived in time.
    NoReply(Arrived),
}

/// What arrived instead of a reply.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Arrived {
    /// Datagrams whose originate timestamp is not the transmit timestamp of the request.
    no_match: u32,
    /// Datagrams that are no reply of an NTP server at all.
    no_reply: u32,
    /// ICMP errors: the port is closed, or the address is not reachable. A sender of forged datagrams can forge these too.
    errors: u32,
}

impl Failure {
    /// What the schedule of requests does with it.
    pub(super) fn answer(&self) -> Answer {
        match self {
            Self::Refused(refusal) => refusal.answer(),
            Self::Socket(_) | Self::NoReply(_) => Answer::Nothing,
        }
    }

    /// The texts for the log.
    pub(super) fn warning(&self, address: SocketAddr, timeout: std::time::Duration) -> Warning {
        match self {
            Self::Socket(cause) => Warning::same(format!("cannot query {address}: {cause}")),
            Self::Refused(refusal) => Warning {
                cause: format!("{address} {}", refusal.cause()),
                line: format!("{address} {refusal}"),
            },
            Self::NoReply(arrived) => {
                let seconds = timeout.as_secs();
                let cause = if arrived.errors > 0 {
                    format!(
                        "no reply from {address} within {seconds} s: it is unreachable, or no NTP server listens there"
                    )
                } else {
                    format!("no valid reply from {address} within {seconds} s")
                };
                Warning { line: format!("{cause}{arrived}"), cause }
            }
        }
    }
}

/// Nothing, or the numbers of ignored datagrams.
impl fmt::Display for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { no_match, no_reply, .. } = self;
        match no_match.saturating_add(*no_reply) {
            0 => Ok(()),
            1 if *no_match == 1 => f.write_str(" (ignored 1 datagram that does not match the request)"),
            1 => f.write_str(" (ignored 1 datagram that is no NTP reply)"),
            ignored => write!(
                f,
                " (ignored {ignored} datagrams: {no_match} do not match the request, {no_reply} are no NTP reply)"
            ),
        }
    }
}

/// Sends a request from a new port, and waits for the reply to it. Whatever else arrives does not end the wait.
pub(super) fn exchange(server: SocketAddr, timeout: std::time::Duration) -> Result<Exchange, Failure> {
    let socket = connected(server).map_err(Failure::Socket)?;
    let request = Request::new(random().map_err(Failure::Socket)?);
    let sent = raw_now();
    socket.send(&request.bytes()).map_err(Failure::Socket)?;
    let deadline = sent + Duration::from_secs_f64(timeout.as_secs_f64());
    let mut arrived = Arrived::default();
    let mut buffer = [0; LENGTH];
    while let Some(remaining) = remaining(deadline) {
        socket.set_read_timeout(Some(remaining)).map_err(Failure::Socket)?;
        let datagram = match socket.recv(&mut buffer) {
            Ok(length) => buffer.get(..length).unwrap_or_default(),
            Err(error) if is_wait(error.kind()) => continue,
            // On a connected UDP socket: an ICMP error that names the request.
            Err(_) => {
                arrived.errors = arrived.errors.saturating_add(1);
                continue;
            }
        };
        let received = raw_now();
        let count = match request.reply(datagram) {
            Ok(reply) => return reply.exchange(sent, received).map_err(Failure::Refused),
            Err(Ignored::NoMatch) => &mut arrived.no_match,
            Err(Ignored::NoReply) => &mut arrived.no_reply,
        };
        *count = count.saturating_add(1);
    }
    Err(Failure::NoReply(arrived))
}

/// A socket with a port that the kernel chooses, which receives from `server` only.
fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let from: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(from)?;
    socket.connect(server)?;
    Ok(socket)
}

/// Time until the deadline; `None` once it has passed. At least 1 ms: a timeout of zero would be none.
fn remaining(deadline: Timestamp<Raw>) -> Option<std::time::Duration> {
    let remaining = deadline - raw_now();
    (remaining > Duration::ZERO).then(|| remaining.max(Duration::from_ms(1)).to_std())
}

/// Nothing has arrived.
fn is_wait(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
