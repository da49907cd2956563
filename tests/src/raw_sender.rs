//! Sockets of another host that send any packet: forged, malformed, too many.

use crate::namespace::{CABLE, Namespace};
use dante_core::port::{Channel, TimestampSource};
use dante_core::wire::{Buffer, EVENT_PORT, Flags, GENERAL_PORT, Header, PortIdentity, Subdomain, SyncBody};
use dante_os::net::Interface;
use dante_os::socket::PtpSocket;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, MultiHeaders, SockFlag, SockType, SockaddrIn, sendmmsg, sendto, socket,
};
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Datagrams in one sendmmsg(2).
const BATCH: usize = 64;

/// Sockets that receive what PTPv1 devices send, and send any bytes to them.
#[derive(Debug)]
pub struct RawSender {
    event: PtpSocket,
    general: PtpSocket,
    sender: PtpSocket,
}

impl RawSender {
    /// Opens the sockets on this host.
    ///
    /// # Panics
    /// If they cannot be opened.
    pub fn on(host: &Namespace) -> Self {
        host.within(|| {
            let interface = Interface::find(&CABLE.into()).expect("the cable");
            let group = Subdomain::DFLT.group();
            let open = |port, channel| {
                PtpSocket::open(&interface, group, port, channel, TimestampSource::Software)
                    .expect("a socket")
            };
            let sender = PtpSocket::sender(&interface, Channel::General).expect("a socket");
            Self {
                event: open(EVENT_PORT, Channel::Event),
                general: open(GENERAL_PORT, Channel::General),
                sender,
            }
        })
    }

    /// Sends these bytes to the multicast group.
    ///
    /// # Panics
    /// If they cannot be sent.
    pub fn send(&mut self, channel: Channel, bytes: &[u8]) {
        self.sender.send(bytes, to(channel)).expect("a datagram sent");
    }

    /// Returns the packets received since the last call.
    ///
    /// # Panics
    /// If a socket fails.
    pub fn received(&mut self) -> Vec<(Channel, Vec<u8>)> {
        let mut packets = Vec::new();
        let mut buffer = [0; 256];
        for (channel, socket) in [(Channel::Event, &mut self.event), (Channel::General, &mut self.general)] {
            while let Some(received) = socket.receive(&mut buffer).expect("a socket that works") {
                packets.push((channel, received.bytes.to_vec()));
            }
        }
        packets
    }
}

/// A packet generator, which receives nothing: that would slow it down.
#[derive(Debug)]
pub struct Generator(PtpSocket);

impl Generator {
    /// Opens its socket on this host.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub fn on(host: &Namespace) -> Self {
        host.within(|| {
            let interface = Interface::find(&CABLE.into()).expect("the cable");
            Self(PtpSocket::sender(&interface, Channel::General).expect("a socket"))
        })
    }

    /// Sends these packets in turn on a channel for `span`, at most `rate` a second. Returns how many it sent.
    ///
    /// # Panics
    /// If sendmmsg(2) fails.
    pub fn flood(&self, channel: Channel, packets: &[Vec<u8>], rate: u32, span: Duration) -> u64 {
        let to = [Some(SockaddrIn::from(to(channel))); BATCH];
        let mut headers = MultiHeaders::preallocate(BATCH, None);
        let slices: Vec<_> = packets.iter().map(|packet| [IoSlice::new(packet)]).collect();
        let batches: Vec<_> = slices.chunks_exact(BATCH).collect();
        let (begun, mut sent) = (Instant::now(), 0u64);
        for batch in batches.iter().cycle() {
            let elapsed = begun.elapsed();
            if elapsed >= span {
                break;
            }
            if sent as f64 > elapsed.as_secs_f64() * f64::from(rate) {
                std::thread::sleep(Duration::from_micros(200));
                continue;
            }
            let fd = self.0.as_fd().as_raw_fd();
            match sendmmsg(fd, &mut headers, *batch, to, [], MsgFlags::empty()) {
                Ok(results) => sent += results.count() as u64,
                Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS) => {}
                Err(errno) => panic!("sendmmsg: {errno}"),
            }
        }
        sent
    }
}

/// Returns the multicast group and the UDP port of a channel.
pub(crate) fn to(channel: Channel) -> SocketAddrV4 {
    let port = match channel {
        Channel::Event => EVENT_PORT,
        Channel::General => GENERAL_PORT,
    };
    SocketAddrV4::new(Subdomain::DFLT.group(), port)
}

/// A sender of frames with a VLAN tag (IEEE 802.1Q). It needs no VLAN interface.
#[derive(Debug)]
pub struct TaggedSender {
    socket: OwnedFd,
    cable: LinkAddr,
    from: Ipv4Addr,
}

impl TaggedSender {
    /// Opens its socket on this host. Its packets have the source address `from`.
    ///
    /// # Panics
    /// If it cannot be opened.
    pub fn on(host: &Namespace, from: Ipv4Addr) -> Self {
        host.within(|| {
            let flags = SockFlag::SOCK_CLOEXEC;
            let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None).expect("a packet socket");
            let mut interfaces = nix::ifaddrs::getifaddrs().expect("the interfaces");
            let cable = interfaces
                .find_map(|one| one.address.filter(|_| one.interface_name == CABLE)?.as_link_addr().copied());
            Self { socket, cable: cable.expect("the cable"), from }
        })
    }

    /// Sends a PTP packet to the multicast group, in VLAN `vlan`.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn send(&self, vlan: u16, channel: Channel, payload: &[u8]) {
        let to = to(channel);
        let length = |header: usize| u16::try_from(header + payload.len()).expect("a short packet");
        let group = to.ip().octets();
        let [_, b, c, d] = group;
        let mut frame = vec![0x01, 0x00, 0x5e, b & 0x7f, c, d];
        frame.extend(self.cable.addr().expect("a hardware address"));
        frame.extend(0x8100_u16.to_be_bytes());
        frame.extend(vlan.to_be_bytes());
        frame.extend(0x0800_u16.to_be_bytes());
        let mut ip = vec![0x45, 0];
        ip.extend(length(28).to_be_bytes());
        // No fragments, TTL 1, UDP, the checksum.
        ip.extend([0, 0, 0, 0, 1, 17, 0, 0]);
        ip.extend(self.from.octets());
        ip.extend(group);
        let words = ip.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
        let sum = words.fold(0, |sum, word| {
            let sum = sum + word;
            (sum & 0xffff) + (sum >> 16)
        });
        let checksum = !u16::try_from(sum).expect("16 bits");
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
        frame.extend(ip);
        frame.extend(to.port().to_be_bytes());
        frame.extend(to.port().to_be_bytes());
        frame.extend(length(8).to_be_bytes());
        // No checksum.
        frame.extend([0, 0]);
        frame.extend(payload);
        let sent = sendto(self.socket.as_raw_fd(), &frame, &self.cable, MsgFlags::empty());
        sent.expect("a frame sent");
    }
}

/// Builds a Sync like that of a Dante leader, with any source.
pub fn sync(source: PortIdentity, sequence_id: u16, preferred: bool) -> Buffer {
    let mut body = SyncBody::dante(source);
    (body.grandmaster.sequence_id, body.grandmaster.preferred) = (sequence_id, preferred);
    header(source, sequence_id).sync(&body)
}

/// Header of a two-step Sync and of its Follow_Up.
pub fn header(source: PortIdentity, sequence_id: u16) -> Header {
    let flags = Flags::ASSIST | Flags::BOUNDARY_CLOCK;
    Header { version_network: 1, subdomain: Subdomain::DFLT, source, sequence_id, flags }
}
