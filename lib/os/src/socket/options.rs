//! Socket options of a PTP socket, in the order in which they are set.

use super::{Channel, SocketError, TimestampSource};
use crate::net::{Interface, Kind};
use nix::sys::socket::sockopt::{Ipv4PacketInfo, RcvBufForce, ReceiveTimestampns, RxqOvfl, Timestamping};
use nix::sys::socket::{TimestampingFlag, setsockopt};
use nix::{setsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

sockopt_impl!(
    /// The interface for outgoing multicast, by index: two interfaces may have the same address.
    MulticastInterface,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_MULTICAST_IF,
    libc::ip_mreqn
);

/// Packets that the receive buffer should hold: a stall of 2 s on a network with 300 followers. Each of them multicasts about one
/// Delay_Req a second (event port) and gets one Delay_Resp (general port).
pub(super) const BUFFERED_PACKETS: usize = 600;
/// Most memory that the kernel accounts for one of these packets, bytes: a data buffer of 2 KiB and struct sk_buff. It depends on the
/// driver and on the slab sizes of the kernel: 768 to 1280 on loopback.
const MAX_PACKET_MEMORY: usize = 2304;

/// A non-blocking socket, closed on exec, bound to `interface` and `port` (0: any), with the channel's DSCP.
pub(super) fn bound(interface: &Interface, port: u16, channel: Channel) -> Result<Socket, SocketError> {
    let setup = |tried| move |cause| SocketError::setup(tried, interface, cause);
    let socket = Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP))
        .map_err(setup("opening a UDP socket"))?;
    socket.bind_device(Some(interface.name.as_bytes())).map_err(setup("SO_BINDTODEVICE"))?;
    if port != 0 {
        socket.set_reuse_address(true).map_err(setup("SO_REUSEADDR"))?;
    }
    socket
        .bind(&SockAddr::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)))
        .map_err(|cause| SocketError::bind(port, channel, interface, cause))?;
    // Receives only from the groups that this socket joined, not from those of other programs on the host.
    socket.set_multicast_all_v4(false).map_err(setup("IP_MULTICAST_ALL"))?;
    send_from(&socket, interface).map_err(setup("IP_MULTICAST_IF"))?;
    socket.set_multicast_ttl_v4(1).map_err(setup("IP_MULTICAST_TTL"))?;
    socket.set_ttl_v4(1).map_err(setup("IP_TTL"))?;
    // On lo each member receives one copy with the option on or off.
    socket.set_multicast_loop_v4(interface.kind == Kind::Loopback).map_err(setup("IP_MULTICAST_LOOP"))?;
    socket.set_tos_v4(u32::from(channel.dscp()) << 2).map_err(setup("IP_TOS"))?;
    request_buffer(&socket).map_err(setup("SO_RCVBUF"))?;
    setsockopt(&socket, Ipv4PacketInfo, &true).map_err(|cause| setup("IP_PKTINFO")(cause.into()))?;
    // Optional: a kernel without this option reports no dropped packets.
    let _ = setsockopt(&socket, RxqOvfl, &1);
    Ok(socket)
}

/// Requests a receive buffer of [`BUFFERED_PACKETS`]. With CAP_NET_ADMIN the kernel grants it (SO_RCVBUFFORCE), else at most
/// net.core.rmem_max.
fn request_buffer(socket: &Socket) -> io::Result<()> {
    // The kernel doubles the requested size.
    let bytes = BUFFERED_PACKETS * MAX_PACKET_MEMORY / 2;
    setsockopt(socket, RcvBufForce, &bytes).or_else(|_| socket.set_recv_buffer_size(bytes))
}

/// Number of packets that the receive buffer holds at least, by the size that the kernel granted.
pub(super) fn buffered_packets(socket: &Socket) -> io::Result<usize> {
    socket.recv_buffer_size().map(|bytes| bytes / MAX_PACKET_MEMORY)
}

/// Sets the interface and the source address of multicast packets, from the interface's present address.
pub(super) fn send_from(socket: &Socket, interface: &Interface) -> io::Result<()> {
    setsockopt(socket, MulticastInterface, &by_index(interface)).map_err(io::Error::from)
}

/// Enables receive and transmit timestamps of this source. If the kernel does not support software timestamps of this kind,
/// enables software receive timestamps only. Returns the source in use.
pub(super) fn enable_timestamps(
    socket: &Socket,
    wanted: TimestampSource,
    interface: &str,
) -> Result<TimestampSource, SocketError> {
    let failed = |cause| SocketError::NoTimestamps { interface: interface.to_owned(), cause };
    match setsockopt(socket, Timestamping, &flags(wanted)) {
        Ok(()) => return Ok(wanted),
        Err(cause) if wanted == TimestampSource::Hardware => return Err(failed(cause.into())),
        Err(_) => {}
    }
    enable_receive_timestamps(socket).map(|()| TimestampSource::SoftwareNs).map_err(failed)
}

pub(super) fn enable_receive_timestamps(socket: &Socket) -> io::Result<()> {
    setsockopt(socket, ReceiveTimestampns, &true).map_err(io::Error::from)
}

/// Resets the kernel's counter of datagrams: it starts from 0 each time OPT_ID is turned on.
pub(super) fn restart_keys(socket: &Socket, source: TimestampSource) -> io::Result<()> {
    let flags = flags(source);
    setsockopt(socket, Timestamping, &(flags - TimestampingFlag::SOF_TIMESTAMPING_OPT_ID))?;
    setsockopt(socket, Timestamping, &flags).map_err(io::Error::from)
}

/// Flags of SO_TIMESTAMPING for this source.
///
/// OPT_TSONLY: the error queue returns the timestamp and the key without the packet, which an unprivileged program would not
/// receive if the sysctl tstamp_allow_data is 0.
///
/// Requests only one kind of transmit timestamps: with both, a packet with a hardware timestamp gets no software timestamp.
fn flags(source: TimestampSource) -> TimestampingFlag {
    let common = TimestampingFlag::SOF_TIMESTAMPING_OPT_ID | TimestampingFlag::SOF_TIMESTAMPING_OPT_TSONLY;
    let of_source = match source {
        TimestampSource::Hardware => {
            TimestampingFlag::SOF_TIMESTAMPING_RX_HARDWARE
                | TimestampingFlag::SOF_TIMESTAMPING_TX_HARDWARE
                | TimestampingFlag::SOF_TIMESTAMPING_RAW_HARDWARE
        }
        TimestampSource::Software | TimestampSource::SoftwareNs | TimestampSource::None => {
            TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE
                | TimestampingFlag::SOF_TIMESTAMPING_TX_SOFTWARE
                | TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE
        }
    };
    common | of_source
}

fn by_index(interface: &Interface) -> libc::ip_mreqn {
    libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        // Source address of multicast packets, in network byte order.
        imr_address: libc::in_addr { s_addr: u32::from_ne_bytes(interface.address.octets()) },
        // An index is positive and small; the kernel's type is int.
        imr_ifindex: i32::try_from(interface.index).unwrap_or(0),
    }
}
