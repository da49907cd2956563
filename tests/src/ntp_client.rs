//! One question to a time server, and all that the answer says (RFC 5905, 7.3).

use crate::namespace::Namespace;
use crate::ntp_server::{NTP_TO_UNIX, PACKET};
use std::net::UdpSocket;
use std::time::Duration;

/// A server that is there answers at once, one in an emulated guest within some ms.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a server said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// Leap indicator: 0 none, 3 not synchronised.
    pub leap: u8,
    /// 1 to 15; 16 or 0: not synchronised.
    pub stratum: u8,
    /// Root dispersion, s.
    pub root_dispersion_s: f64,
    /// Reference identifier.
    pub reference: [u8; 4],
    /// Transmit date, ns since 1970.
    pub transmit_ns: i64,
}

/// Asks `server` from the address `from` of `host`; `None` where no answer comes within half a second.
///
/// # Panics
/// When `from` is no address of the host.
pub fn ask(host: &Namespace, from: &str, server: &str) -> Option<Answer> {
    let socket = host.within(|| UdpSocket::bind((from, 0)).expect("an address of the host"));
    socket.set_read_timeout(Some(PATIENCE)).expect("the socket's time limit");
    // Version 4, mode 3.
    let mut packet = [0; PACKET];
    packet[0] = (4 << 3) | 3;
    // Where nobody listens the kernel says so, to the next call.
    socket.send_to(&packet, (server, 123)).ok()?;
    let (length, _) = socket.recv_from(&mut packet).ok()?;
    // Mode 4 is a server's.
    (length == PACKET && packet[0] & 7 == 4).then(|| Answer::of(&packet))
}

impl Answer {
    fn of(packet: &[u8; PACKET]) -> Self {
        let word =
            |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
        let (seconds, fraction) = (i128::from(word(40)), i128::from(word(44)));
        let ns = (seconds - NTP_TO_UNIX) * 1_000_000_000 + ((fraction * 1_000_000_000) >> 32);
        Self {
            leap: packet[0] >> 6,
            stratum: packet[1],
            root_dispersion_s: f64::from(word(8)) / 65_536.0,
            reference: word(12).to_be_bytes(),
            transmit_ns: i64::try_from(ns).expect("a date before 2036"),
        }
    }
}
