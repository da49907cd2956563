//! Receives PTP on a network for some seconds: which leaders send, in which subdomain, and whether their packets reach sockets.
//! Sends nothing except the kernel's reports of multicast memberships (IGMP).
//!
//! Packets are counted twice: at sockets like those of dante4l and, with CAP_NET_RAW, at the interface ([`Tap`]), before the
//! reverse-path filter and the firewall, with their VLAN tags. This host dropped the packets that only the tap received.

use dante_core::explain::Explain;
use dante_core::port::Channel;
use dante_core::port::TimestampSource;
use dante_core::wire::{EVENT_PORT, GENERAL_PORT, Message, Packet, PortIdentity, Subdomain, WireError};
use dante_os::denial::{Denial, Denied};
use dante_os::net::Interface;
use dante_os::socket::{PtpSocket, SocketError};
use dante_os::tap::Tap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Multicast groups of all subdomains.
const GROUPS: [Ipv4Addr; 4] =
    [Subdomain::DFLT.group(), Subdomain::ALT1.group(), Subdomain::ALT2.group(), Subdomain::ALT3.group()];

/// Maximum number of leaders, and of senders, that are recorded: a few explain as much as all.
const MAX_RECORDED: usize = 16;

/// Maximum number of packets that are read of one socket at a time: listening ends in time during a flood.
const MAX_BATCH: usize = 256;

/// Interval of reading the sockets. Timestamps do not matter here.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Packets received on one interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Received {
    /// Leaders: senders of PTPv1 Syncs.
    pub leaders: Vec<ReceivedLeader>,
    /// PTPv2 packets on both ports.
    pub ptp_v2: Arrivals,
    /// Packets on the port of event messages, 319.
    pub event: Arrivals,
    /// Packets on the port of general messages, 320.
    pub general: Arrivals,
    /// Senders of PTPv1 Syncs with a VLAN tag. Such packets count nowhere else.
    pub tagged: Vec<TaggedLeader>,
    /// Senders whose packets arrived at the interface, but at no socket.
    pub blocked: Vec<Ipv4Addr>,
    /// Why the sockets could not be opened.
    pub failure: Option<OpenFailure>,
}

/// Why sockets could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFailure {
    /// Error text.
    pub what: String,
    /// Kind of denial, if the kernel denied them.
    pub denial: Option<Denial>,
}

/// Number of packets that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arrivals {
    /// At the sockets.
    pub sockets: u64,
    /// At the interface; `None` without CAP_NET_RAW.
    pub interface: Option<u64>,
}

impl Arrivals {
    fn count(&mut self, at_socket: bool) {
        if at_socket {
            self.sockets += 1;
        } else {
            self.interface = self.interface.map(|count| count + 1);
        }
    }

    /// Whether any packet arrived.
    pub fn is_any(self) -> bool {
        self.sockets > 0 || self.interface.is_some_and(|count| count > 0)
    }
}

/// A sender of Syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedLeader {
    /// Its port identity.
    pub identity: PortIdentity,
    /// Source address of its packets.
    pub address: Ipv4Addr,
    /// Its subdomain.
    pub subdomain: Subdomain,
    /// Its Syncs reached a socket.
    pub reaches_socket: bool,
}

/// A sender of Syncs with a VLAN tag, which the interface does not receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaggedLeader {
    /// VLAN id.
    pub vlan: u16,
    /// Its port identity.
    pub identity: PortIdentity,
    /// Source address of its packets.
    pub address: Ipv4Addr,
}

impl Received {
    /// Whether packets of this kind arrive at the interface, but reach no socket.
    pub fn is_blocked(&self, of: impl Fn(&Self) -> Arrivals) -> bool {
        let arrivals = of(self);
        self.failure.is_none() && arrivals.sockets == 0 && arrivals.interface.is_some_and(|count| count > 0)
    }

    fn take_tagged(&mut self, bytes: &[u8], address: Ipv4Addr, vlan: u16) {
        let Ok(Packet { header, message: Message::Sync(_) }) = Packet::parse(bytes) else { return };
        let new = TaggedLeader { vlan, identity: header.source, address };
        if !self.tagged.contains(&new) && self.tagged.len() < MAX_RECORDED {
            self.tagged.push(new);
        }
    }

    fn take(&mut self, bytes: &[u8], source: Ipv4Addr, at_socket: bool) {
        match Packet::parse(bytes) {
            Ok(Packet { header, message: Message::Sync(_) }) => {
                let (identity, subdomain) = (header.source, header.subdomain);
                let new = ReceivedLeader { identity, address: source, subdomain, reaches_socket: at_socket };
                let has_room = self.leaders.len() < MAX_RECORDED;
                let known = self.leaders.iter_mut().find(|leader| {
                    (leader.identity, leader.address, leader.subdomain) == (identity, source, subdomain)
                });
                match known {
                    Some(leader) => leader.reaches_socket |= at_socket,
                    None if has_room => self.leaders.push(new),
                    None => {}
                }
            }
            Err(WireError::Version2) => self.ptp_v2.count(at_socket),
            _ => {}
        }
    }
}

/// Listens on all interfaces at once for `span`. Packets of this host are not counted.
pub fn listen(interfaces: &[Interface], span: Duration) -> Vec<Received> {
    let tap = Tap::open([EVENT_PORT, GENERAL_PORT]);
    let mut listeners: Vec<Listener<'_>> =
        interfaces.iter().map(|interface| Listener::open(interface, tap.is_some())).collect();
    let started = Instant::now();
    while started.elapsed() < span && !listeners.is_empty() {
        std::thread::sleep(POLL_INTERVAL);
        listeners.iter_mut().for_each(Listener::fetch);
        if let Some(tap) = &tap {
            fetch(tap, &mut listeners);
        }
    }
    listeners.into_iter().map(Listener::finish).collect()
}

/// Passes the packets of the tap to the listeners of their interfaces.
fn fetch(tap: &Tap, listeners: &mut [Listener<'_>]) {
    let mut buffer = [0; 512];
    for _ in 0..MAX_BATCH {
        let Some(tapped) = tap.receive(&mut buffer) else { return };
        if let Some(listener) =
            listeners.iter_mut().find(|listener| listener.interface.index == tapped.interface)
        {
            match tapped.vlan {
                Some(vlan) => listener.received.take_tagged(tapped.bytes, tapped.source, vlan),
                None => listener.take(tapped.source, tapped.port, tapped.bytes, false),
            }
        }
    }
}

struct Listener<'a> {
    interface: &'a Interface,
    /// Each with its UDP port.
    sockets: Vec<(u16, PtpSocket)>,
    received: Received,
    /// Senders whose packets reached a socket.
    at_sockets: Vec<Ipv4Addr>,
    /// Senders whose packets arrived at the interface.
    at_interface: Vec<Ipv4Addr>,
}

impl<'a> Listener<'a> {
    fn open(interface: &'a Interface, has_tap: bool) -> Self {
        let none = Arrivals { sockets: 0, interface: has_tap.then_some(0) };
        let mut received = Received { event: none, general: none, ptp_v2: none, ..Received::default() };
        let sockets = Self::sockets(interface).unwrap_or_else(|error| {
            received.failure = Some(OpenFailure { what: error.what(), denial: error.denial() });
            Vec::new()
        });
        Self { interface, sockets, received, at_sockets: Vec::new(), at_interface: Vec::new() }
    }

    fn sockets(interface: &Interface) -> Result<Vec<(u16, PtpSocket)>, SocketError> {
        let channels = [(Channel::Event, EVENT_PORT), (Channel::General, GENERAL_PORT)];
        let each =
            GROUPS.into_iter().flat_map(|group| channels.map(|(channel, port)| (group, channel, port)));
        each.map(|(group, channel, port)| {
            Ok((port, PtpSocket::open(interface, group, port, channel, TimestampSource::Software)?))
        })
        .collect()
    }

    fn fetch(&mut self) {
        let mut buffer = [0; 256];
        let mut sockets = std::mem::take(&mut self.sockets);
        for (port, socket) in &mut sockets {
            for _ in 0..MAX_BATCH {
                let Ok(Some(received)) = socket.receive(&mut buffer) else { break };
                let (port, source, bytes) = (*port, *received.source.ip(), received.bytes);
                self.take(source, port, bytes, true);
            }
        }
        self.sockets = sockets;
    }

    fn take(&mut self, source: Ipv4Addr, port: u16, bytes: &[u8], at_socket: bool) {
        if source == self.interface.address && !source.is_loopback() {
            return;
        }
        let arrivals = if port == EVENT_PORT { &mut self.received.event } else { &mut self.received.general };
        arrivals.count(at_socket);
        record(if at_socket { &mut self.at_sockets } else { &mut self.at_interface }, source);
        self.received.take(bytes, source, at_socket);
    }

    fn finish(mut self) -> Received {
        if self.received.failure.is_none() {
            self.received.blocked =
                self.at_interface.into_iter().filter(|source| !self.at_sockets.contains(source)).collect();
        }
        self.received
    }
}

/// Adds a sender to the list, up to [`MAX_RECORDED`].
fn record(list: &mut Vec<Ipv4Addr>, source: Ipv4Addr) {
    if !list.contains(&source) && list.len() < MAX_RECORDED {
        list.push(source);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ptpv2_packet_is_counted_and_makes_no_leader() {
        let mut received = Received::default();
        let mut bytes = [0; 44];
        bytes[1] = 2;
        received.take(&bytes, Ipv4Addr::LOCALHOST, true);
        received.take(b"garbage", Ipv4Addr::LOCALHOST, true);
        assert_eq!((received.ptp_v2.sockets, received.leaders.len()), (1, 0));
    }
}
