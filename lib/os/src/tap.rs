//! A tap: receives UDP datagrams at the interfaces of this host before the reverse-path filter and the firewall. It needs
//! CAP_NET_RAW, changes nothing and sends nothing.

use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::net::Ipv4Addr;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// A packet socket that receives IPv4 UDP datagrams to two ports, with their IP header. With ETH_P_IP it receives no sent
/// packets.
#[derive(Debug)]
pub struct Tap {
    socket: Socket,
    ports: [u16; 2],
}

/// A received UDP datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tapped<'b> {
    /// Index of the interface.
    pub interface: u32,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination port.
    pub port: u16,
    /// Payload, as far as it fits into the buffer.
    pub bytes: &'b [u8],
}

impl Tap {
    /// Opens the socket; `None` if it cannot be opened, usually without CAP_NET_RAW.
    pub fn open(ports: [u16; 2]) -> Option<Self> {
        let protocol = Protocol::from(i32::from(0x0800_u16.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), Some(protocol)).ok()?;
        socket.attach_filter(&filter(ports)).ok()?;
        Some(Self { socket, ports })
    }

    /// Returns the next queued datagram, or `None`. At most `MAX_SKIPPED` malformed packets before it are dropped.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> Option<Tapped<'b>> {
        for _ in 0..MAX_SKIPPED {
            let (length, from) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), buffer).ok()?;
            let found = datagram(buffer.get(..length)?, &self.ports);
            if let (Some(from), Some((source, port, payload))) = (from, found) {
                let interface = u32::try_from(from.ifindex()).unwrap_or(0);
                return Some(Tapped { interface, source, port, bytes: buffer.get(payload)? });
            }
        }
        None
    }
}

/// Maximum number of malformed packets that are dropped in one call, so that a flood of them cannot hold up the caller.
const MAX_SKIPPED: usize = 64;

/// Source, destination port and position of the payload in an IPv4 packet (RFC 791, RFC 768) to one of these ports.
fn datagram(bytes: &[u8], ports: &[u16]) -> Option<(Ipv4Addr, u16, Range<usize>)> {
    let [first, _, _, _, _, _, _, _, _, 17, _, _, a, b, c, d, ..] = bytes else { return None };
    let udp = bytes.get(usize::from(first & 0x0f) * 4..)?;
    let [_, _, high, low, _, _, _, _, payload @ ..] = udp else { return None };
    let port = u16::from_be_bytes([*high, *low]);
    let payload = bytes.len() - payload.len()..bytes.len();
    ports.contains(&port).then_some((Ipv4Addr::new(*a, *b, *c, *d), port, payload))
}

/// A socket filter that accepts UDP to one of the two ports only, as a busy host receives much other traffic.
fn filter([one, other]: [u16; 2]) -> [SockFilter; 8] {
    let code = |parts: u32| u16::try_from(parts).unwrap_or_default();
    let step = |parts, k| SockFilter::new(code(parts), 0, 0, k);
    let is = |value, then, otherwise| {
        SockFilter::new(code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K), then, otherwise, value)
    };
    [
        step(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 9),
        is(17, 0, 4),
        step(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0),
        step(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, 2),
        is(u32::from(one), 2, 0),
        is(u32::from(other), 1, 0),
        step(libc::BPF_RET | libc::BPF_K, 0),
        step(libc::BPF_RET | libc::BPF_K, 0xffff),
    ]
}

#[cfg(test)]
mod tests;
