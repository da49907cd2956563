//! A leader whose packets arrive as those of dantesim do not: from the same host, at the address of one host, or with the tag of a VLAN.

use crate::namespace::{CABLE, Namespace};
use dante_core::port::{Channel, PacketTimestamp};
use dante_core::time::{Duration, Ratio, Timestamp};
use dante_core::wire::{EVENT_PORT, GENERAL_PORT, PortIdentity, Subdomain};
use dante_os::clock::read_realtime;
use dante_sim::leader::{Input, Leader, LeaderConfig, Output};
use dante_sim::oscillator::Oscillator;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::sockopt::BindToDevice;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendto, setsockopt, socket};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Its time at the start.
const UPTIME: Duration = Duration::from_secs(699);
/// Longest pause: the program ends that much after it is stopped.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// How its packets are addressed.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// To this address; if it is the multicast group, the programs of its own host receive them, too.
    To(Ipv4Addr),
    /// To the multicast group, from this address, with this VLAN id in an IEEE 802.1Q tag.
    Tagged(u16, Ipv4Addr),
}

/// A leader in a thread of its own, ended on drop. Its timestamps are those of a program, late by some microseconds.
#[derive(Debug)]
pub struct RawLeader {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RawLeader {
    /// Starts a leader on the cable of this host.
    ///
    /// # Panics
    /// If its socket cannot be opened.
    pub fn start(host: &Namespace, identity: PortIdentity, way: Way) -> Self {
        let sender = host.within(|| Sender::open(way));
        let ends = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&ends);
        let thread = std::thread::spawn(move || lead(identity, &sender, &asked));
        Self { ends, thread: Some(thread) }
    }
}

impl Drop for RawLeader {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

fn lead(identity: PortIdentity, sender: &Sender, ends: &AtomicBool) {
    let start = read_realtime().raw;
    let oscillator =
        Oscillator::new(start, Timestamp::ZERO + UPTIME, Ratio::from_ppm(12.0), Ratio::from_ppb(0.0));
    let mut leader = Leader::new(LeaderConfig::dante(identity), oscillator, start);
    while !ends.load(Ordering::Relaxed) {
        leader.handle(read_realtime().raw, Input::Deadline);
        while let Some(output) = leader.poll() {
            match output {
                Output::Sync { packet, token } => {
                    let now = read_realtime();
                    sender.send(Channel::Event, &packet);
                    let timestamp = Ok(PacketTimestamp { raw: now.raw, real: now.real });
                    leader.handle(now.raw, Input::Departed { token, timestamp });
                }
                Output::General { packet } => sender.send(Channel::General, &packet),
                Output::ForeignLeader(_) => {}
            }
        }
        std::thread::sleep(PAUSE);
    }
}

#[derive(Debug)]
enum Sender {
    Datagrams(UdpSocket, Ipv4Addr),
    Tagged { socket: OwnedFd, interface: LinkAddr, vlan: u16, from: Ipv4Addr },
}

impl Sender {
    fn open(way: Way) -> Self {
        match way {
            Way::To(to) => {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a UDP socket");
                setsockopt(&socket, BindToDevice, &CABLE.into()).expect("the cable");
                Self::Datagrams(socket, to)
            }
            Way::Tagged(vlan, from) => {
                let all = getifaddrs().expect("the interfaces");
                let mut addresses = all.filter(|one| one.interface_name == CABLE);
                let interface = addresses.find_map(|one| one.address?.as_link_addr().copied());
                Self::Tagged {
                    socket: socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), None)
                        .expect("a packet socket"),
                    interface: interface.expect("the cable"),
                    vlan,
                    from,
                }
            }
        }
    }

    fn send(&self, channel: Channel, bytes: &[u8]) {
        let port = match channel {
            Channel::Event => EVENT_PORT,
            Channel::General => GENERAL_PORT,
        };
        match self {
            Self::Datagrams(socket, to) => {
                socket.send_to(bytes, (*to, port)).expect("a datagram sent");
            }
            Self::Tagged { socket, interface, vlan, from } => {
                let frame = tagged(interface.addr().unwrap_or_default(), *vlan, *from, port, bytes);
                sendto(socket.as_raw_fd(), &frame, interface, MsgFlags::empty()).expect("a frame sent");
            }
        }
    }
}

/// Returns an Ethernet frame with a VLAN tag: a UDP datagram from this address to the multicast group of PTP.
fn tagged(mac: [u8; 6], vlan: u16, from: Ipv4Addr, port: u16, payload: &[u8]) -> Vec<u8> {
    const UDP: usize = 8;
    const IP: usize = 20;
    let to = Subdomain::DFLT.group();
    let length = |header: usize| u16::try_from(header + payload.len()).expect("a short packet").to_be_bytes();
    let [_, b, c, d] = to.octets();
    let mut ip =
        [&[0x45, 0][..], &length(IP + UDP), &[0, 0, 0, 0, 1, 17, 0, 0], &from.octets(), &to.octets()]
            .concat();
    let words = ip.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum = words.fold(0, |sum, word| {
        let sum = sum + word;
        (sum & 0xffff) + (sum >> 16)
    });
    let checksum = !u16::try_from(sum).expect("16 bits");
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let port = port.to_be_bytes();
    // Without a checksum of UDP.
    let udp = [&port[..], &port, &length(UDP), &[0, 0]].concat();
    let group = [1, 0, 0x5e, b & 0x7f, c, d];
    let types = [&[0x81, 0][..], &vlan.to_be_bytes(), &[8, 0]].concat();
    [&group[..], &mac, &types, &ip, &udp, payload].concat()
}
