//! A tap: receives UDP datagrams at the interfaces of this host before the reverse-path filter and the firewall, with their VLAN tags.
//! It needs CAP_NET_RAW, changes nothing and sends nothing.

use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt};
use nix::{setsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};
use std::io::IoSliceMut;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::os::fd::AsRawFd;

sockopt_impl!(
    /// Adds `struct tpacket_auxdata` to each packet (packet(7)): the kernel removes the VLAN tag from the packet itself.
    PacketAuxdata,
    SetOnly,
    libc::SOL_PACKET,
    libc::PACKET_AUXDATA,
    libc::c_int
);

/// A packet socket that receives IPv4 UDP datagrams to two ports, with their IP header. It has to be of ETH_P_ALL, since the kernel
/// discards the VLAN tag before it passes a packet to sockets of ETH_P_IP. The filter drops the packets that this host sends.
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
    /// The VLAN id of its tag (IEEE 802.1Q), with which this interface does not receive it; `None` without a tag, or with id 0, a
    /// priority alone.
    pub vlan: Option<u16>,
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
        let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::DGRAM.nonblocking(), Some(protocol)).ok()?;
        socket.attach_filter(&filter(ports)).ok()?;
        setsockopt(&socket, PacketAuxdata, &1).ok()?;
        Some(Self { socket, ports })
    }

    /// Returns the next queued datagram, or `None`. At most `MAX_SKIPPED` malformed packets before it are dropped.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> Option<Tapped<'b>> {
        for _ in 0..MAX_SKIPPED {
            let (length, from, vlan) = self.packet(buffer)?;
            let found = datagram(buffer.get(..length)?, &self.ports);
            if let (Some(from), Some((source, port, payload))) = (from, found) {
                let interface = u32::try_from(from.ifindex()).unwrap_or(0);
                return Some(Tapped { interface, vlan, source, port, bytes: buffer.get(payload)? });
            }
        }
        None
    }

    /// Returns the length of the next queued packet in the buffer, its interface and its VLAN id, or `None`.
    fn packet(&self, buffer: &mut [u8]) -> Option<(usize, Option<LinkAddr>, Option<u16>)> {
        let mut parts = [IoSliceMut::new(buffer)];
        let mut control = nix::cmsg_space!(libc::tpacket_auxdata);
        let flags = MsgFlags::MSG_DONTWAIT;
        let message =
            recvmsg::<LinkAddr>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags).ok()?;
        let vlan = message.cmsgs().ok().into_iter().flatten().find_map(|part| match part {
            ControlMessageOwned::Unknown(part)
                if (part.cmsg_header.cmsg_level, part.cmsg_header.cmsg_type)
                    == (libc::SOL_PACKET, libc::PACKET_AUXDATA) =>
            {
                vlan_of(&part.data_bytes)
            }
            _ => None,
        });
        Some((message.bytes, message.address, vlan))
    }
}

/// Ethernet protocol numbers, `<linux/if_ether.h>`.
const ETH_P_ALL: u16 = 0x0003;
const ETH_P_IP: u32 = 0x0800;
/// Offsets of a filter's loads of what the kernel knows about a packet, `<linux/filter.h>`: its protocol, and its direction.
const SKF_AD_PROTOCOL: u32 = 0xffff_f000;
const SKF_AD_PKTTYPE: u32 = 0xffff_f004;
/// `PACKET_OUTGOING` of `<linux/if_packet.h>`.
const PACKET_OUTGOING: u32 = 4;

/// The VLAN id of a `struct tpacket_auxdata`: status u32, two lengths u32, two offsets u16, tag u16, protocol u16.
fn vlan_of(auxdata: &[u8]) -> Option<u16> {
    let status = u32::from_ne_bytes(*auxdata.first_chunk()?);
    let tag = u16::from_ne_bytes(*auxdata.get(16..)?.first_chunk()?);
    // The lower 12 bits are the id, the upper ones a priority.
    let id = tag & 0x0fff;
    (status & libc::TP_STATUS_VLAN_VALID != 0 && id != 0).then_some(id)
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

/// A socket filter that accepts UDP over IPv4 to one of the two ports only, as a busy host receives much other traffic, and no packet
/// that this host sends.
fn filter([one, other]: [u16; 2]) -> [SockFilter; 12] {
    let code = |parts: u32| u16::try_from(parts).unwrap_or_default();
    let step = |parts, k| SockFilter::new(code(parts), 0, 0, k);
    let is = |value, then, otherwise| {
        SockFilter::new(code(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K), then, otherwise, value)
    };
    [
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, SKF_AD_PROTOCOL),
        is(ETH_P_IP, 0, 8),
        step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, SKF_AD_PKTTYPE),
        is(PACKET_OUTGOING, 6, 0),
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
