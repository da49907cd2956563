//! UDP sockets for PTP: one interface, one port, kernel time stamps of what arrives and of what left.
//!
//! The stamps are of CLOCK_REALTIME, or of the card's own clock (SCM_TIMESTAMPING, the first and the third of its times);
//! [`TimestampReader`] takes them to CLOCK_MONOTONIC_RAW.
//!
//! Loops back: what this host multicasts is not given to its own other sockets, except on `lo`, where the wire itself
//! ends on this host. Tried on Linux 6.18: on `lo` every member gets exactly one copy, whether IP_MULTICAST_LOOP is on
//! or off, and root is needed for none of it; on veth one with the loop on, none with it off.

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
use timestamps::{taken_at, taken_by};

/// A datagram that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received<'b> {
    /// What fitted into the buffer.
    pub bytes: &'b [u8],
    /// Who sent it.
    pub source: SocketAddrV4,
    /// When it arrived, on the clock of the socket's stamps. Some cards and the first packets after start have none.
    pub stamp: Option<Timestamp<Real>>,
}

/// A datagram that left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Departure {
    /// What [`PtpSocket::send`] returned for it.
    pub key: u32,
    /// When it left the driver's software, or the card; on the clock of the socket's stamps.
    pub stamp: Timestamp<Real>,
}

/// Room for every control message asked for: stamps (64), drops (24), a report of the error queue (48). Aligned as
/// `struct cmsghdr` is.
#[repr(align(8))]
#[derive(Debug)]
struct Control([u8; 256]);

/// A non-blocking UDP socket of one channel on one interface.
#[derive(Debug)]
pub struct PtpSocket {
    socket: Socket,
    interface: String,
    /// The group joined, and on which interface.
    member: Option<(Ipv4Addr, u32)>,
    stamps: TimestampSource,
    control: Control,
    /// The key of the next datagram, and of the one that the kernel counts as 0.
    next_key: u32,
    key_base: u32,
    dropped: u32,
}

impl PtpSocket {
    /// A socket that receives what is sent to `port`, to this host or to `group`, on `interface` alone, and sends
    /// from that port. What it stamps, if its channel is stamped, has its time from `stamps`; the card has to be told
    /// before ([`Card`](crate::net::Card)).
    ///
    /// # Errors
    /// [`SocketError`]: among others the port is taken, or needs a right that is missing.
    pub fn open(
        interface: &Interface,
        group: Ipv4Addr,
        port: u16,
        channel: Channel,
        stamps: TimestampSource,
    ) -> Result<Self, SocketError> {
        let socket = options::bound(interface, port, channel)?;
        let mut socket = Self::with_stamps(socket, interface, channel, stamps)?;
        socket.member = Some((group, interface.index));
        socket.join()?;
        Ok(socket)
    }

    /// A socket that sends from a port which the kernel chooses, as Dante devices do. It joins no group.
    pub fn sender(interface: &Interface, channel: Channel) -> Result<Self, SocketError> {
        let socket = options::bound(interface, 0, channel)?;
        Self::with_stamps(socket, interface, channel, TimestampSource::Software)
    }

    fn with_stamps(
        socket: Socket,
        interface: &Interface,
        channel: Channel,
        stamps: TimestampSource,
    ) -> Result<Self, SocketError> {
        let interface = interface.name.clone();
        let stamps = match channel {
            Channel::General => TimestampSource::None,
            Channel::Event => options::stamp(&socket, stamps, &interface)?,
        };
        let control = Control([0; 256]);
        let (next_key, key_base, dropped) = (0, 0, 0);
        Ok(Self { socket, interface, member: None, stamps, control, next_key, key_base, dropped })
    }

    /// Has the kernel stamp from now on, where the card was to do it. Timestamps on their way are given up.
    pub fn stamp_by_software(&mut self) -> Result<(), SocketError> {
        self.stamps = options::stamp(&self.socket, TimestampSource::Software, &self.interface)?;
        self.count_anew();
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

    /// Leaves the group. When all sockets of this host have left it and one joins it again, the kernel tells the
    /// network so (IGMP), and a switch that had forgotten this host learns of it.
    pub fn leave(&self) {
        if let Some((group, index)) = self.member {
            // A membership that is lost already is no loss.
            _ = self.socket.leave_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index));
        }
    }

    /// Sends from the address that the interface has now.
    pub fn send_from(&self, interface: &Interface) -> Result<(), SocketError> {
        options::send_from(&self.socket, interface)
            .map_err(|cause| SocketError::setup("IP_MULTICAST_IF", interface, cause))
    }

    /// Where this socket's stamps come from.
    pub fn stamps(&self) -> TimestampSource {
        self.stamps
    }

    /// Datagrams that the kernel threw away since the socket was opened, because nobody fetched them in time; as of
    /// the last one received.
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    /// The next datagram; None when none waits.
    ///
    /// # Errors
    /// [`SocketError::Receive`], as when the interface went away. A missing stamp is no error.
    pub fn receive<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Option<Received<'b>>, SocketError> {
        let arrival = loop {
            match fetch(&self.socket, self.stamps, buffer, &mut self.control.0) {
                Ok(arrival) => break arrival,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(cause) => {
                    return Err(SocketError::Receive { interface: self.interface.clone(), cause });
                }
            }
        };
        self.dropped = arrival.dropped.unwrap_or(self.dropped);
        let Arrival { length, source, stamp, .. } = arrival;
        Ok(Some(Received { bytes: buffer.get(..length).unwrap_or_default(), source, stamp }))
    }

    /// Sends a datagram and returns the key under which [`departed`](Self::departed) will tell when it left. Keys
    /// count the datagrams sent, from 0.
    ///
    /// # Errors
    /// [`SocketError::Send`]. Timestamps that were still on their way are then given up.
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
                    self.count_anew();
                    return Err(SocketError::Send { to, interface: self.interface.clone(), cause });
                }
            }
        }
    }

    /// The next transmit stamp that has arrived; None when none waits. One datagram has one stamp, or, on an interface
    /// whose driver takes none, never any.
    pub fn departed(&mut self) -> Result<Option<Departure>, SocketError> {
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
            let (mut key, mut stamp) = (None, None);
            for control in message.cmsgs().into_iter().flatten() {
                match control {
                    ControlMessageOwned::ScmTimestampsns(stamps) => stamp = taken_by(self.stamps, stamps),
                    ControlMessageOwned::Ipv4RecvErr(report, _)
                        if report.ee_origin == libc::SO_EE_ORIGIN_TIMESTAMPING =>
                    {
                        key = Some(self.key_base.wrapping_add(report.ee_data));
                    }
                    _ => {}
                }
            }
            // Anything else on the queue is of no use, and gone now.
            if let (Some(key), Some(stamp)) = (key, stamp) {
                return Ok(Some(Departure { key, stamp }));
            }
        }
    }

    /// After a failed send nobody knows whether the kernel counted the datagram (a firewall's refusal it counts, a
    /// datagram too long it does not), and every later stamp might get another's key. So its counter is set to 0.
    fn count_anew(&mut self) {
        if !matches!(self.stamps, TimestampSource::Software | TimestampSource::Hardware) {
            return;
        }
        while let Ok(Some(_)) = self.departed() {}
        if options::restart_keys(&self.socket, self.stamps).is_ok() {
            self.key_base = self.next_key;
        }
    }
}

impl AsFd for PtpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What one recvmsg gives, apart from the bytes.
struct Arrival {
    length: usize,
    source: SocketAddrV4,
    stamp: Option<Timestamp<Real>>,
    dropped: Option<u32>,
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
    let (mut stamp, mut dropped) = (None, None);
    // None of them where not all did fit (MSG_CTRUNC): the packet counts, without a stamp.
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::ScmTimestampsns(stamps) => stamp = taken_by(source, stamps),
            ControlMessageOwned::ScmTimestampns(time) => stamp = taken_at(time),
            ControlMessageOwned::RxqOvfl(count) => dropped = Some(count),
            _ => {}
        }
    }
    Ok(Arrival {
        length: message.bytes,
        // The kernel names the sender of every UDP datagram.
        source: message.address.map_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), SocketAddrV4::from),
        stamp,
        dropped,
    })
}

#[cfg(test)]
mod tests;
