//! UDP sockets for PTP: one interface, one port, timestamps of received and sent packets.
//!
//! Timestamps are of CLOCK_REALTIME or of the card's clock (SCM_TIMESTAMPING, the first and the third of its times);
//! [`TimestampReader`] translates them to CLOCK_MONOTONIC_RAW.
//!
//! Multicast loopback: other sockets of this host do not receive what it multicasts, except on `lo`, the only interface that ends
//! on the same host. On Linux 6.18, every member on `lo` receives exactly one copy with IP_MULTICAST_LOOP on or off, without
//! root; on veth it receives one with the option on and none with it off.

mod error;
mod options;
mod timestamps;

pub use error::SocketError;
pub use timestamps::{TimestampReader, Timestamping};

use crate::net::Interface;
use dante_core::port::Channel;
use dante_core::port::TimestampSource;
use dante_core::time::{Real, Timestamp};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg};
use socket2::{InterfaceIndexOrAddress, SockAddr, Socket};
use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use timestamps::{of_source, of_time};

/// A received datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'b> {
    /// Payload, as far as it fits into the buffer.
    pub bytes: &'b [u8],
    /// Source address and port.
    pub source: SocketAddrV4,
    /// Whether it was sent to an address of this host, not to the multicast group or to all hosts.
    pub is_unicast: bool,
    /// Receive timestamp, on the clock of the socket's timestamp source. `None` with some cards, and for the first packets
    /// after the start.
    pub timestamp: Option<Timestamp<Real>>,
}

/// Transmit timestamp of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransmitTimestamp {
    /// Key of the datagram, returned by [`PtpSocket::send`].
    pub key: u32,
    /// Time at which the datagram left the driver, or the card; on the clock of the socket's timestamp source.
    pub timestamp: Timestamp<Real>,
}

/// Buffer for all requested control messages: timestamps (64), drops (24), the destination (32), a report of the error queue (48).
/// Aligned like `struct cmsghdr`.
#[repr(align(8))]
#[derive(Debug)]
struct Control([u8; 256]);

/// A non-blocking UDP socket of one channel on one interface.
#[derive(Debug)]
pub struct PtpSocket {
    socket: Socket,
    interface: String,
    /// Multicast group and index of the interface on which it is joined.
    member: Option<(Ipv4Addr, u32)>,
    timestamp_source: TimestampSource,
    control: Control,
    /// Key of the next datagram.
    next_key: u32,
    /// Key of the datagram that the kernel counts as 0.
    key_base: u32,
    dropped: u32,
}

impl PtpSocket {
    /// A socket that receives datagrams to `port` of this host or of `group` on `interface` only, and sends from that port. The
    /// event channel has timestamps from `source`; for hardware timestamps, set up the card first
    /// ([`Card`](crate::net::Card)).
    ///
    /// # Errors
    /// [`SocketError`]: for example, the port is in use, or a permission is missing.
    pub fn open(
        interface: &Interface,
        group: Ipv4Addr,
        port: u16,
        channel: Channel,
        source: TimestampSource,
    ) -> Result<Self, SocketError> {
        let socket = options::bound(interface, port, channel)?;
        let mut socket = Self::with_timestamps(socket, interface, channel, source)?;
        socket.member = Some((group, interface.index));
        socket.join()?;
        Ok(socket)
    }

    /// A socket that sends from a port chosen by the kernel, as Dante devices do. It joins no group.
    pub fn sender(interface: &Interface, channel: Channel) -> Result<Self, SocketError> {
        let socket = options::bound(interface, 0, channel)?;
        Self::with_timestamps(socket, interface, channel, TimestampSource::Software)
    }

    fn with_timestamps(
        socket: Socket,
        interface: &Interface,
        channel: Channel,
        source: TimestampSource,
    ) -> Result<Self, SocketError> {
        let interface = interface.name.clone();
        let timestamp_source = match channel {
            Channel::General => TimestampSource::None,
            Channel::Event => options::enable_timestamps(&socket, source, &interface)?,
        };
        let control = Control([0; 256]);
        let (next_key, key_base, dropped) = (0, 0, 0);
        Ok(Self { socket, interface, member: None, timestamp_source, control, next_key, key_base, dropped })
    }

    /// How many packets the receive buffer was to hold, and how many it holds at least: without CAP_NET_ADMIN the kernel grants no more
    /// than net.core.rmem_max.
    ///
    /// # Errors
    /// [`SocketError`], where the kernel does not report the size.
    pub fn buffered_packets(&self) -> Result<(usize, usize), SocketError> {
        let interface = || self.interface.clone();
        let failed = |cause| SocketError::Setup { tried: "SO_RCVBUF", interface: interface(), cause };
        Ok((options::BUFFERED_PACKETS, options::buffered_packets(&self.socket).map_err(failed)?))
    }

    /// Switches from hardware to software timestamps. Pending transmit timestamps are lost.
    pub fn use_software_timestamps(&mut self) -> Result<(), SocketError> {
        self.timestamp_source =
            options::enable_timestamps(&self.socket, TimestampSource::Software, &self.interface)?;
        self.restart_keys();
        Ok(())
    }

    /// Joins the group again after [`Self::leave`].
    pub fn join(&self) -> Result<(), SocketError> {
        let Some((group, index)) = self.member else { return Ok(()) };
        self.socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index)).map_err(|cause| {
            let interface = self.interface.clone();
            SocketError::Join { group, interface, cause }
        })
    }

    /// Leaves the group. After all sockets of this host have left it, the next join sends an IGMP report, which renews a
    /// membership that a switch has dropped.
    pub fn leave(&self) {
        if let Some((group, index)) = self.member {
            // Fails if the membership was lost already.
            _ = self.socket.leave_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index));
        }
    }

    /// Sends from the present address of the interface.
    pub fn send_from(&self, interface: &Interface) -> Result<(), SocketError> {
        options::send_from(&self.socket, interface)
            .map_err(|cause| SocketError::setup("IP_MULTICAST_IF", interface, cause))
    }

    /// Source of this socket's timestamps.
    pub fn timestamp_source(&self) -> TimestampSource {
        self.timestamp_source
    }

    /// Number of datagrams that the kernel dropped since the socket was opened because its buffer was full, as of the last
    /// datagram received.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Receives the next datagram; `None` if none is queued.
    ///
    /// # Errors
    /// [`SocketError::Receive`], for example if the interface was removed. A missing timestamp is no error.
    pub fn receive<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<Received<'b>>, SocketError> {
        let arrival = loop {
            match fetch(&self.socket, self.timestamp_source, buffer, &mut self.control.0) {
                Ok(arrival) => break arrival,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(cause) => {
                    return Err(SocketError::Receive { interface: self.interface.clone(), cause });
                }
            }
        };
        self.dropped = arrival.dropped.unwrap_or(self.dropped);
        let Arrival { length, source, timestamp, is_unicast, .. } = arrival;
        let bytes = buffer.get(..length).unwrap_or_default();
        Ok(Some(Received { bytes, source, is_unicast, timestamp }))
    }

    /// Sends a datagram. Returns the key of its [transmit timestamp](Self::transmit_timestamp); keys count the datagrams sent,
    /// from 0.
    ///
    /// # Errors
    /// [`SocketError::Send`]. Pending transmit timestamps are then lost.
    pub fn send(&mut self, bytes: &[u8], to: SocketAddrV4) -> Result<u32, SocketError> {
        loop {
            match self.socket.send_to(bytes, &SockAddr::from(to)) {
                Ok(_) => {
                    let key = self.next_key;
                    self.next_key = key.wrapping_add(1);
                    return Ok(key);
                }
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                Err(cause) => {
                    self.restart_keys();
                    return Err(SocketError::Send { to, interface: self.interface.clone(), cause });
                }
            }
        }
    }

    /// Returns the next transmit timestamp; `None` if none is queued. A datagram has one, or none if the interface's driver does
    /// not support them.
    pub fn transmit_timestamp(&mut self) -> Result<Option<TransmitTimestamp>, SocketError> {
        loop {
            let (fd, control) = (self.socket.as_raw_fd(), Some(&mut self.control.0[..]));
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let message = match recvmsg::<()>(fd, &mut [], control, flags) {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => continue,
                Err(cause) => {
                    return Err(SocketError::Receive { interface: self.interface.clone(), cause });
                }
            };
            let (mut key, mut timestamp) = (None, None);
            for control in message.cmsgs().into_iter().flatten() {
                match control {
                    ControlMessageOwned::ScmTimestampsns(times) => {
                        timestamp = of_source(self.timestamp_source, times);
                    }
                    ControlMessageOwned::Ipv4RecvErr(report, _)
                        if report.ee_origin == libc::SO_EE_ORIGIN_TIMESTAMPING =>
                    {
                        key = Some(self.key_base.wrapping_add(report.ee_data));
                    }
                    _ => {}
                }
            }
            // Discards other messages of the error queue.
            if let (Some(key), Some(timestamp)) = (key, timestamp) {
                return Ok(Some(TransmitTimestamp { key, timestamp }));
            }
        }
    }

    /// Resets the kernel's counter of datagrams to 0. After a failed send it is unknown whether the kernel counted the datagram
    /// (it counts one that a firewall drops, but not one that is too long), and all later timestamps might have wrong keys.
    fn restart_keys(&mut self) {
        if !matches!(self.timestamp_source, TimestampSource::Software | TimestampSource::Hardware) {
            return;
        }
        while let Ok(Some(_)) = self.transmit_timestamp() {}
        if options::restart_keys(&self.socket, self.timestamp_source).is_ok() {
            self.key_base = self.next_key;
        }
    }
}

impl AsFd for PtpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Result of one recvmsg, without the payload.
struct Arrival {
    length: usize,
    source: SocketAddrV4,
    timestamp: Option<Timestamp<Real>>,
    dropped: Option<u32>,
    is_unicast: bool,
}

fn fetch(
    socket: &Socket,
    source: TimestampSource,
    buffer: &mut [u8],
    control: &mut [u8],
) -> nix::Result<Arrival> {
    let mut into = [IoSliceMut::new(buffer)];
    let message =
        recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut into, Some(control), MsgFlags::MSG_DONTWAIT)?;
    let (mut timestamp, mut dropped, mut is_unicast) = (None, None, false);
    // No control messages at all if they did not all fit (MSG_CTRUNC): the packet then has no timestamp.
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::ScmTimestampsns(times) => timestamp = of_source(source, times),
            ControlMessageOwned::ScmTimestampns(time) => timestamp = of_time(time),
            ControlMessageOwned::RxqOvfl(count) => dropped = Some(count),
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                // ip(7): the destination address of the packet, and the local address that received it.
                is_unicast = info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr;
            }
            _ => {}
        }
    }
    Ok(Arrival {
        length: message.bytes,
        // The kernel returns the source address of every UDP datagram.
        source: message.address.map_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), SocketAddrV4::from),
        timestamp,
        dropped,
        is_unicast,
    })
}

#[cfg(test)]
mod tests;
