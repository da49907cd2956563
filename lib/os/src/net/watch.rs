//! Changes of interfaces and their addresses, as the kernel reports them (rtnetlink).
//!
//! An event only names the interface that changed; [`Interface::find`](super::Interface::find) returns its present state. So a
//! lost message does no harm: after [`InterfaceEvent::Missed`] the state is read as well.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A change of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterfaceEvent<'a> {
    /// An interface was added, removed, set up or down, renamed, or gained or lost carrier.
    Link {
        /// Index of the interface.
        index: u32,
        /// Name of the interface; empty if the message has none.
        name: &'a str,
        /// Whether the interface was up and had carrier (IFF_RUNNING).
        running: bool,
    },
    /// An IPv4 address of this interface was added or removed.
    Address {
        /// Index of the interface.
        index: u32,
    },
    /// Messages were lost or could not be parsed; any interface may have changed.
    Missed,
}

/// Receives the kernel's messages about interfaces of the network namespace in which it was opened.
#[derive(Debug)]
pub struct Watch {
    socket: OwnedFd,
    buffer: Box<[u8; Self::BUFFER]>,
}

impl Watch {
    /// Size of the receive buffer, bytes. The kernel's NLMSG_GOODSIZE is at most 8 KiB; a message about an interface has
    /// some 1.5 KiB.
    const BUFFER: usize = 16 * 1024;
    /// Maximum of datagrams per [`Self::read`]: a host with a thousand containers may send more at once.
    const BATCH: usize = 256;

    /// Opens the socket. Needs no privilege.
    ///
    /// # Errors
    /// The kernel's error, for example if a sandbox refuses AF_NETLINK.
    pub fn open() -> nix::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        // Both are positive bit masks.
        let groups = (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR).unsigned_abs();
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self { socket, buffer: Box::new([0; Self::BUFFER]) })
    }

    /// Calls `report` for each event since the last call. An error of the socket is [`InterfaceEvent::Missed`].
    pub fn read(&mut self, mut report: impl FnMut(InterfaceEvent<'_>)) {
        for _ in 0..Self::BATCH {
            // MSG_TRUNC: returns the length of the message even if it did not fit.
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
            match recv(self.socket.as_raw_fd(), &mut self.buffer[..], flags) {
                Ok(length) => match self.buffer.get(..length) {
                    Some(bytes) => parse(bytes, &mut report),
                    None => report(InterfaceEvent::Missed),
                },
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                // ENOBUFS: the socket buffer overflowed.
                Err(_) => return report(InterfaceEvent::Missed),
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// `struct nlmsghdr`: length u32, type u16, flags u16, sequence u32, port u32; then the body, padded to 4 bytes.
const HEADER: usize = 16;
/// `struct ifinfomsg`: family u8, padding u8, type u16, index i32, flags u32, change u32; then attributes.
const LINK: usize = 16;
/// `struct ifaddrmsg`: family, prefix length, flags, scope u8, index u32; then attributes.
const ADDRESS: usize = 8;
const RUNNING: u32 = libc::IFF_RUNNING.unsigned_abs();

/// Calls `report` for each message of a datagram.
fn parse<'b>(mut bytes: &'b [u8], report: &mut impl FnMut(InterfaceEvent<'b>)) {
    while !bytes.is_empty() {
        let length = u32_at(bytes, 0).and_then(|length| usize::try_from(length).ok());
        let Some(message) = length.and_then(|length| bytes.get(..length)).filter(|m| m.len() >= HEADER)
        else {
            return report(InterfaceEvent::Missed);
        };
        if let Some(event) = event(u16_at(message, 4).unwrap_or(0), message.get(HEADER..).unwrap_or(&[])) {
            report(event);
        }
        bytes = bytes.get(message.len().next_multiple_of(4)..).unwrap_or(&[]);
    }
}

fn event(kind: u16, body: &[u8]) -> Option<InterfaceEvent<'_>> {
    let found = match kind {
        libc::RTM_NEWLINK | libc::RTM_DELLINK => {
            u32_at(body, 4).zip(u32_at(body, 8)).map(|(index, flags)| {
                let attributes = body.get(LINK..).unwrap_or(&[]);
                InterfaceEvent::Link {
                    index,
                    name: name(attributes).unwrap_or(""),
                    running: flags & RUNNING != 0,
                }
            })
        }
        libc::RTM_NEWADDR | libc::RTM_DELADDR => {
            u32_at(body, 4).filter(|_| body.len() >= ADDRESS).map(|index| InterfaceEvent::Address { index })
        }
        _ => return None,
    };
    Some(found.unwrap_or(InterfaceEvent::Missed))
}

/// The interface name (IFLA_IFNAME) in the attributes: length u16, type u16, value, padded to 4 bytes.
fn name(mut attributes: &[u8]) -> Option<&str> {
    loop {
        let length = usize::from(u16_at(attributes, 0)?);
        let value = attributes.get(4..length)?;
        if u16_at(attributes, 2)? == libc::IFLA_IFNAME {
            return std::str::from_utf8(value.split(|byte| *byte == 0).next()?).ok();
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests;
