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

#[cfg(test)]
mod tests {
    use super::*;

    /// The sentence of a failure. A new one does not compile without it.
    fn sentence(failure: &Failure) -> &'static str {
        match failure {
            Failure::Socket(_) => "cannot query 192.0.2.1:123: Network is unreachable (os error 101)",
            Failure::Refused(refusal) => match refusal {
                Refusal::Kiss([b'R', ..]) => "192.0.2.1:123 demands fewer queries (kiss code RATE)",
                Refusal::Kiss([b'D', ..]) => "192.0.2.1:123 denies access (kiss code DENY)",
                Refusal::Kiss(_) => "192.0.2.1:123 sends no time: kiss code INIT (RFC 5905, section 7.4)",
                Refusal::NotSynchronised => "192.0.2.1:123 is not synchronised itself",
                Refusal::NoTimestamps => "192.0.2.1:123 sent a reply without timestamps",
                Refusal::RoundTrip { .. } => {
                    "192.0.2.1:123 sent an implausible reply: round trip of -1.000000 s in an exchange that took 2.000000 s"
                }
                Refusal::Early => "192.0.2.1:123 sent an implausible reply: time before 2020",
                Refusal::ReferenceAhead(_) => {
                    "192.0.2.1:123 sent an implausible reply: last synchronised 2.000 s after it replied"
                }
                Refusal::ReferenceOld(_) => "192.0.2.1:123 was last synchronised 2.0 days ago: not used",
                Refusal::Distance(_) => {
                    "192.0.2.1:123 declares that its time may be off by 4.000 s (root distance): not used, the limit is 3 s"
                }
            },
            Failure::NoReply(Arrived { errors: 1, .. }) => {
                "no reply from 192.0.2.1:123 within 1 s: it is unreachable, or no NTP server listens there"
            }
            Failure::NoReply(Arrived { no_match: 1, no_reply: 0, .. }) => {
                "no valid reply from 192.0.2.1:123 within 1 s (ignored 1 datagram that does not match the request)"
            }
            Failure::NoReply(Arrived { no_match: 0, no_reply: 1, .. }) => {
                "no valid reply from 192.0.2.1:123 within 1 s (ignored 1 datagram that is no NTP reply)"
            }
            Failure::NoReply(Arrived { no_match: 1, no_reply: 1, .. }) => {
                "no valid reply from 192.0.2.1:123 within 1 s (ignored 2 datagrams: 1 do not match the request, 1 are no NTP reply)"
            }
            Failure::NoReply(_) => "no valid reply from 192.0.2.1:123 within 1 s",
        }
    }

    #[test]
    fn each_failure_has_a_sentence_and_a_cause_without_its_values() {
        let s = Duration::from_secs;
        let arrived = |no_match, no_reply, errors| Failure::NoReply(Arrived { no_match, no_reply, errors });
        let refusals = [
            Refusal::Kiss(*b"RATE"),
            Refusal::Kiss(*b"DENY"),
            Refusal::Kiss(*b"INIT"),
            Refusal::NotSynchronised,
            Refusal::NoTimestamps,
            Refusal::RoundTrip { round_trip: s(-1), elapsed: s(2) },
            Refusal::Early,
            Refusal::ReferenceAhead(s(2)),
            Refusal::ReferenceOld(s(2 * 86_400)),
            Refusal::Distance(s(4)),
        ];
        let others = [
            Failure::Socket(io::Error::from_raw_os_error(libc::ENETUNREACH)),
            arrived(0, 0, 1),
            arrived(1, 0, 0),
            arrived(0, 1, 0),
            arrived(1, 1, 0),
            arrived(0, 0, 0),
        ];
        for failure in refusals.map(Failure::Refused).into_iter().chain(others) {
            let address = SocketAddr::from(([192, 0, 2, 1], 123));
            let Warning { line, cause } = failure.warning(address, std::time::Duration::from_secs(1));
            assert_eq!(line, sentence(&failure));
            assert!(!cause.contains(".000") && !cause.contains("ignored"), "{cause}");
        }
    }
}
