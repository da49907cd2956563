//! Listening to a network for some seconds: which leaders speak there, in which subdomain, and whether what they say gets
//! through to programs. Nothing is sent but what the kernel says of memberships (IGMP).
//!
//! Two ears: sockets as a follower has them, and, with CAP_NET_RAW, a packet socket, which hears what arrives before the
//! reverse-path filter and the firewall have a say. What only the second hears is thrown away on this very host.

use crate::denial::Denied;
use crate::net::Interface;
use crate::socket::{PtpSocket, SocketError};
use dante_core::page::StampSource;
use dante_core::port::Channel;
use dante_core::wire::{EVENT_PORT, GENERAL_PORT, Message, Packet, PortIdentity, Subdomain, WireError};
use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// The groups of all subdomains.
const GROUPS: [Ipv4Addr; 4] =
    [Subdomain::DFLT.group(), Subdomain::ALT1.group(), Subdomain::ALT2.group(), Subdomain::ALT3.group()];

/// Leaders and senders that are remembered.
const MOST: usize = 16;

/// Between two looks; nothing is measured here.
const LOOK: Duration = Duration::from_millis(20);

/// What was heard on one interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heard {
    /// Leaders: who sends PTPv1 Syncs.
    pub leaders: Vec<Leader>,
    /// PTPv2 packets, on either port.
    pub ptp_v2: Ears,
    /// On the port of event messages, 319.
    pub event: Ears,
    /// On that of general messages, 320.
    pub general: Ears,
    /// Senders whose packets arrived at the interface, but at no socket.
    pub shut_out: Vec<Ipv4Addr>,
    /// Why there were no sockets.
    pub deaf: Option<String>,
    /// Why, for programs.
    pub is_port_taken: bool,
}

/// Packets that each ear heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ears {
    /// By sockets, as programs have them.
    pub sockets: u64,
    /// At the interface; `None` without the right to listen there.
    pub interface: Option<u64>,
}

impl Ears {
    fn count(&mut self, at_socket: bool) {
        if at_socket {
            self.sockets += 1;
        } else {
            self.interface = self.interface.map(|count| count + 1);
        }
    }

    /// Whether either heard anything.
    pub fn heard_any(self) -> bool {
        self.sockets > 0 || self.interface.is_some_and(|count| count > 0)
    }
}

/// Who sends Syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// Its port.
    pub identity: PortIdentity,
    /// Where its packets come from.
    pub address: Ipv4Addr,
    /// Its subdomain.
    pub subdomain: Subdomain,
    /// Its Syncs came to a socket.
    pub is_let_in: bool,
}

impl Heard {
    fn take(&mut self, bytes: &[u8], source: Ipv4Addr, at_socket: bool) {
        match Packet::parse(bytes) {
            Ok(Packet { header, message: Message::Sync(_) }) => {
                let (identity, subdomain) = (header.source, header.subdomain);
                let new = Leader { identity, address: source, subdomain, is_let_in: at_socket };
                let has_room = self.leaders.len() < MOST;
                let known = self.leaders.iter_mut().find(|leader| {
                    (leader.identity, leader.address, leader.subdomain) == (identity, source, subdomain)
                });
                match known {
                    Some(leader) => leader.is_let_in |= at_socket,
                    None if has_room => self.leaders.push(new),
                    None => {}
                }
            }
            Err(WireError::Version2) => self.ptp_v2.count(at_socket),
            _ => {}
        }
    }
}

/// Listens on all of these at once for `span`. What this host itself says is not counted.
pub fn listen(interfaces: &[Interface], span: Duration) -> Vec<Heard> {
    let tap = Tap::open();
    let mut ears: Vec<Ear<'_>> =
        interfaces.iter().map(|interface| Ear::open(interface, tap.is_some())).collect();
    let begun = Instant::now();
    while begun.elapsed() < span && !ears.is_empty() {
        std::thread::sleep(LOOK);
        ears.iter_mut().for_each(Ear::fetch);
        if let Some(tap) = &tap {
            tap.fetch(&mut ears);
        }
    }
    ears.into_iter().map(Ear::told).collect()
}

struct Ear<'a> {
    interface: &'a Interface,
    /// With their ports.
    sockets: Vec<(u16, PtpSocket)>,
    heard: Heard,
    let_in: Vec<Ipv4Addr>,
    seen: Vec<Ipv4Addr>,
}

impl<'a> Ear<'a> {
    fn open(interface: &'a Interface, has_tap: bool) -> Self {
        let none = Ears { sockets: 0, interface: has_tap.then_some(0) };
        let mut heard = Heard { event: none, general: none, ptp_v2: none, ..Heard::default() };
        let sockets = Self::sockets(interface).unwrap_or_else(|error| {
            heard.is_port_taken = error.denial() == Some(crate::denial::Denial::InUse);
            heard.deaf = Some(error.to_string());
            Vec::new()
        });
        Self { interface, sockets, heard, let_in: Vec::new(), seen: Vec::new() }
    }

    fn sockets(interface: &Interface) -> Result<Vec<(u16, PtpSocket)>, SocketError> {
        let channels = [(Channel::Event, EVENT_PORT), (Channel::General, GENERAL_PORT)];
        let each =
            GROUPS.into_iter().flat_map(|group| channels.map(|(channel, port)| (group, channel, port)));
        each.map(|(group, channel, port)| {
            let stamps = StampSource::Software;
            Ok((port, PtpSocket::open(interface, group, port, channel, stamps)?))
        })
        .collect()
    }

    fn fetch(&mut self) {
        let mut buffer = [0; 256];
        let mut sockets = std::mem::take(&mut self.sockets);
        for (port, socket) in &mut sockets {
            while let Ok(Some(received)) = socket.receive(&mut buffer) {
                let (port, source, bytes) = (*port, *received.source.ip(), received.bytes);
                self.take(&Datagram { source, port, bytes }, true);
            }
        }
        self.sockets = sockets;
    }

    fn take(&mut self, datagram: &Datagram<'_>, at_socket: bool) {
        let source = datagram.source;
        if source == self.interface.address && !source.is_loopback() {
            return;
        }
        let ears = if datagram.port == EVENT_PORT { &mut self.heard.event } else { &mut self.heard.general };
        ears.count(at_socket);
        remember(if at_socket { &mut self.let_in } else { &mut self.seen }, source);
        self.heard.take(datagram.bytes, source, at_socket);
    }

    fn told(mut self) -> Heard {
        if self.heard.deaf.is_none() {
            self.heard.shut_out =
                self.seen.into_iter().filter(|source| !self.let_in.contains(source)).collect();
        }
        self.heard
    }
}

/// A few of them explain as much as all.
fn remember(list: &mut Vec<Ipv4Addr>, source: Ipv4Addr) {
    if !list.contains(&source) && list.len() < MOST {
        list.push(source);
    }
}

/// A packet socket for IPv4: what arrives on any interface, with its IP header. Of ETH_P_IP it sees nothing that leaves.
struct Tap(Socket);

/// A UDP datagram to one of the ports.
struct Datagram<'b> {
    source: Ipv4Addr,
    port: u16,
    bytes: &'b [u8],
}

impl Tap {
    fn open() -> Option<Self> {
        let protocol = Protocol::from(i32::from(0x0800_u16.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), Some(protocol)).ok()?;
        socket.attach_filter(&filter()).ok()?;
        Some(Self(socket))
    }

    fn fetch(&self, ears: &mut [Ear<'_>]) {
        let mut buffer = [0; 512];
        while let Ok((length, Some(from))) = recvfrom::<LinkAddr>(self.0.as_raw_fd(), &mut buffer) {
            let index = u32::try_from(from.ifindex()).unwrap_or(0);
            let bytes = buffer.get(..length).unwrap_or_default();
            let ear = ears.iter_mut().find(|ear| ear.interface.index == index);
            if let (Some(ear), Some(datagram)) = (ear, Datagram::of_ip(bytes)) {
                ear.take(&datagram, false);
            }
        }
    }
}

impl<'b> Datagram<'b> {
    /// Out of an IPv4 packet (RFC 791, RFC 768).
    fn of_ip(bytes: &'b [u8]) -> Option<Self> {
        let [first, _, _, _, _, _, _, _, _, 17, _, _, a, b, c, d, ..] = bytes else { return None };
        let udp = bytes.get(usize::from(first & 0x0f) * 4..)?;
        let [_, _, high, low, _, _, _, _, payload @ ..] = udp else { return None };
        let port = u16::from_be_bytes([*high, *low]);
        let source = Ipv4Addr::new(*a, *b, *c, *d);
        [EVENT_PORT, GENERAL_PORT].contains(&port).then_some(Self { source, port, bytes: payload })
    }
}

/// Keeps the rest of a busy host's traffic out: UDP to one of the two ports.
fn filter() -> [SockFilter; 8] {
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
        is(u32::from(EVENT_PORT), 2, 0),
        is(u32::from(GENERAL_PORT), 1, 0),
        step(libc::BPF_RET | libc::BPF_K, 0),
        step(libc::BPF_RET | libc::BPF_K, 0xffff),
    ]
}

#[cfg(test)]
mod tests;
