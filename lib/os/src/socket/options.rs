//! Socket options, in the order in which a PTP socket is made.

use super::{Channel, SocketError, TimestampSource};
use crate::net::{Interface, Kind};
use nix::sys::socket::sockopt::{ReceiveTimestampns, RxqOvfl, Timestamping};
use nix::sys::socket::{TimestampingFlag, setsockopt};
use nix::{setsockopt_impl, sockopt_impl};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

sockopt_impl!(
    /// The interface for outgoing multicast, by index: two interfaces may have one address.
    MulticastInterface,
    SetOnly,
    libc::IPPROTO_IP,
    libc::IP_MULTICAST_IF,
    libc::ip_mreqn
);

/// Room for what arrives while the program cannot fetch it: two seconds beside some hundred followers, of which each
/// multicasts a request about once a second and is answered. The kernel counts up to 2.3 kB for each packet and doubles
/// what is asked for. Without a further right it gives no more than net.core.rmem_max, 208 KiB on most hosts.
const ROOM: usize = 1 << 20;

/// A non-blocking socket, closed on exec, bound to `interface` and `port` (0: any), with the channel's precedence.
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
    // Only the groups that this socket joined, not those of every program on the host.
    socket.set_multicast_all_v4(false).map_err(setup("IP_MULTICAST_ALL"))?;
    send_from(&socket, interface).map_err(setup("IP_MULTICAST_IF"))?;
    socket.set_multicast_ttl_v4(1).map_err(setup("IP_MULTICAST_TTL"))?;
    socket.set_ttl_v4(1).map_err(setup("IP_TTL"))?;
    // lo makes one copy for each member either way.
    socket.set_multicast_loop_v4(interface.kind == Kind::Loopback).map_err(setup("IP_MULTICAST_LOOP"))?;
    socket.set_tos_v4(u32::from(channel.dscp()) << 2).map_err(setup("IP_TOS"))?;
    socket.set_recv_buffer_size(ROOM).map_err(setup("SO_RCVBUF"))?;
    // Only a count: a kernel without it counts nothing.
    let _ = setsockopt(&socket, RxqOvfl, &1);
    Ok(socket)
}

/// What is multicast has the interface's address as it is now.
pub(super) fn send_from(socket: &Socket, interface: &Interface) -> io::Result<()> {
    setsockopt(socket, MulticastInterface, &by_index(interface)).map_err(io::Error::from)
}

/// Asks for stamps both ways, of this source; where the kernel does not know that, for software's of what arrives alone.
pub(super) fn stamp(
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
    stamp_arrivals(socket).map(|()| TimestampSource::SoftwareNs).map_err(failed)
}

pub(super) fn stamp_arrivals(socket: &Socket) -> io::Result<()> {
    setsockopt(socket, ReceiveTimestampns, &true).map_err(io::Error::from)
}

/// The kernel counts from 0 again each time OPT_ID is turned on.
pub(super) fn restart_keys(socket: &Socket, stamps: TimestampSource) -> io::Result<()> {
    let flags = flags(stamps);
    setsockopt(socket, Timestamping, &(flags - TimestampingFlag::SOF_TIMESTAMPING_OPT_ID))?;
    setsockopt(socket, Timestamping, &flags).map_err(io::Error::from)
}

/// OPT_TSONLY: the error queue gives the stamp and the key without the packet, which an unprivileged program would not
/// get where the sysctl tstamp_allow_data is 0.
///
/// Where both are asked for on departure, a packet that the card stamps gets no other stamp; so only one is asked for.
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
        // The source address of what is multicast; in network order, as its octets lie in memory.
        imr_address: libc::in_addr { s_addr: u32::from_ne_bytes(interface.address.octets()) },
        // An index is positive and small; the kernel's own type is int.
        imr_ifindex: i32::try_from(interface.index).unwrap_or(0),
    }
}
