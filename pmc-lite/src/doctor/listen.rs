//! Listening to a network for some seconds: which leaders send there, in which subdomain, and whether their packets get
//! through to programs. Nothing is sent but the kernel's reports of multicast memberships (IGMP).
//!
//! Packets are counted twice: at sockets as a follower has them and, with CAP_NET_RAW, at the interface ([`Tap`]), before the
//! reverse-path filter and the firewall. Packets that only the interface has were dropped on this host.

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

/// The groups of all subdomains.
const GROUPS: [Ipv4Addr; 4] =
    [Subdomain::DFLT.group(), Subdomain::ALT1.group(), Subdomain::ALT2.group(), Subdomain::ALT3.group()];

/// Leaders and senders that are remembered.
const MOST: usize = 16;

/// Between two looks; nothing is measured here.
const LOOK: Duration = Duration::from_millis(20);

/// What was heard on one interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Received {
    /// Leaders: who sends PTPv1 Syncs.
    pub leaders: Vec<ReceivedLeader>,
    /// PTPv2 packets, on either port.
    pub ptp_v2: Arrivals,
    /// On the port of event messages, 319.
    pub event: Arrivals,
    /// On that of general messages, 320.
    pub general: Arrivals,
    /// Senders whose packets arrived at the interface, but at no socket.
    pub shut_out: Vec<Ipv4Addr>,
    /// Why there were no sockets.
    pub failure: Option<OpenFailure>,
}

/// Why sockets could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFailure {
    /// In words.
    pub what: String,
    /// The kind, where the kernel denied them.
    pub denial: Option<Denial>,
}

/// Packets that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arrivals {
    /// By sockets, as programs have them.
    pub sockets: u64,
    /// At the interface; `None` without the right to listen there.
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

    /// Whether either heard anything.
    pub fn is_any(self) -> bool {
        self.sockets > 0 || self.interface.is_some_and(|count| count > 0)
    }
}

/// Who sends Syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceivedLeader {
    /// Its port.
    pub identity: PortIdentity,
    /// Where its packets come from.
    pub address: Ipv4Addr,
    /// Its subdomain.
    pub subdomain: Subdomain,
    /// Its Syncs came to a socket.
    pub is_let_in: bool,
}

impl Received {
    /// These packets arrive at the interface, and none at a program.
    pub fn is_shut_out(&self, of: impl Fn(&Self) -> Arrivals) -> bool {
        let arrivals = of(self);
        self.failure.is_none() && arrivals.sockets == 0 && arrivals.interface.is_some_and(|count| count > 0)
    }

    fn take(&mut self, bytes: &[u8], source: Ipv4Addr, at_socket: bool) {
        match Packet::parse(bytes) {
            Ok(Packet { header, message: Message::Sync(_) }) => {
                let (identity, subdomain) = (header.source, header.subdomain);
                let new = ReceivedLeader { identity, address: source, subdomain, is_let_in: at_socket };
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
pub fn listen(interfaces: &[Interface], span: Duration) -> Vec<Received> {
    let tap = Tap::open([EVENT_PORT, GENERAL_PORT]);
    let mut listeners: Vec<Listener<'_>> =
        interfaces.iter().map(|interface| Listener::open(interface, tap.is_some())).collect();
    let begun = Instant::now();
    while begun.elapsed() < span && !listeners.is_empty() {
        std::thread::sleep(LOOK);
        listeners.iter_mut().for_each(Listener::fetch);
        if let Some(tap) = &tap {
            fetch(tap, &mut listeners);
        }
    }
    listeners.into_iter().map(Listener::told).collect()
}

/// Hands the packets of the tap to the listeners of their interfaces.
fn fetch(tap: &Tap, listeners: &mut [Listener<'_>]) {
    let mut buffer = [0; 512];
    while let Some(tapped) = tap.receive(&mut buffer) {
        if let Some(listener) =
            listeners.iter_mut().find(|listener| listener.interface.index == tapped.interface)
        {
            listener.take(tapped.source, tapped.port, tapped.bytes, false);
        }
    }
}

struct Listener<'a> {
    interface: &'a Interface,
    /// With their ports.
    sockets: Vec<(u16, PtpSocket)>,
    heard: Received,
    let_in: Vec<Ipv4Addr>,
    seen: Vec<Ipv4Addr>,
}

impl<'a> Listener<'a> {
    fn open(interface: &'a Interface, has_tap: bool) -> Self {
        let none = Arrivals { sockets: 0, interface: has_tap.then_some(0) };
        let mut heard = Received { event: none, general: none, ptp_v2: none, ..Received::default() };
        let sockets = Self::sockets(interface).unwrap_or_else(|error| {
            heard.failure = Some(OpenFailure { what: error.what(), denial: error.denial() });
            Vec::new()
        });
        Self { interface, sockets, heard, let_in: Vec::new(), seen: Vec::new() }
    }

    fn sockets(interface: &Interface) -> Result<Vec<(u16, PtpSocket)>, SocketError> {
        let channels = [(Channel::Event, EVENT_PORT), (Channel::General, GENERAL_PORT)];
        let each =
            GROUPS.into_iter().flat_map(|group| channels.map(|(channel, port)| (group, channel, port)));
        each.map(|(group, channel, port)| {
            let stamps = TimestampSource::Software;
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
                self.take(source, port, bytes, true);
            }
        }
        self.sockets = sockets;
    }

    fn take(&mut self, source: Ipv4Addr, port: u16, bytes: &[u8], at_socket: bool) {
        if source == self.interface.address && !source.is_loopback() {
            return;
        }
        let arrivals = if port == EVENT_PORT { &mut self.heard.event } else { &mut self.heard.general };
        arrivals.count(at_socket);
        remember(if at_socket { &mut self.let_in } else { &mut self.seen }, source);
        self.heard.take(bytes, source, at_socket);
    }

    fn told(mut self) -> Received {
        if self.heard.failure.is_none() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_speaks_ptpv2_is_counted_and_is_no_leader() {
        let mut heard = Received::default();
        let mut bytes = [0; 44];
        bytes[1] = 2;
        heard.take(&bytes, Ipv4Addr::LOCALHOST, true);
        heard.take(b"garbage", Ipv4Addr::LOCALHOST, true);
        assert_eq!((heard.ptp_v2.sockets, heard.leaders.len()), (1, 0));
    }
}
