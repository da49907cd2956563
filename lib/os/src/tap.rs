//! A tap: UDP datagrams as they arrive at the interfaces of this host, before the reverse-path filter and the firewall decide
//! about them. It takes CAP_NET_RAW, changes nothing and sends nothing.

use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::net::Ipv4Addr;
use std::ops::Range;
use std::os::fd::AsRawFd;

/// A packet socket for IPv4 that sees UDP to two ports, with its IP header. Of ETH_P_IP it sees nothing that leaves.
#[derive(Debug)]
pub struct Tap {
    socket: Socket,
    ports: [u16; 2],
}

/// A UDP datagram that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tapped<'b> {
    /// Index of the interface.
    pub interface: u32,
    /// Who sent it.
    pub source: Ipv4Addr,
    /// The port that it is for.
    pub port: u16,
    /// What fitted into the buffer.
    pub bytes: &'b [u8],
}

impl Tap {
    /// `None` without the right to it.
    pub fn open(ports: [u16; 2]) -> Option<Self> {
        let protocol = Protocol::from(i32::from(0x0800_u16.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), Some(protocol)).ok()?;
        socket.attach_filter(&filter(ports)).ok()?;
        Some(Self { socket, ports })
    }

    /// The next datagram that waits; `None` where none does.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> Option<Tapped<'b>> {
        loop {
            let (length, from) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), buffer).ok()?;
            let found = datagram(buffer.get(..length)?, &self.ports);
            if let (Some(from), Some((source, port, payload))) = (from, found) {
                let interface = u32::try_from(from.ifindex()).unwrap_or(0);
                return Some(Tapped { interface, source, port, bytes: buffer.get(payload)? });
            }
        }
    }
}

/// Source, port and place of the payload in an IPv4 packet (RFC 791, RFC 768), if it is for one of these ports.
fn datagram(bytes: &[u8], ports: &[u16]) -> Option<(Ipv4Addr, u16, Range<usize>)> {
    let [first, _, _, _, _, _, _, _, _, 17, _, _, a, b, c, d, ..] = bytes else { return None };
    let udp = bytes.get(usize::from(first & 0x0f) * 4..)?;
    let [_, _, high, low, _, _, _, _, payload @ ..] = udp else { return None };
    let port = u16::from_be_bytes([*high, *low]);
    let payload = bytes.len() - payload.len()..bytes.len();
    ports.contains(&port).then_some((Ipv4Addr::new(*a, *b, *c, *d), port, payload))
}

/// Keeps the rest of a busy host's traffic out: UDP to one of the two ports.
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
