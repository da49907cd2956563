//! Changes of interfaces and their addresses, as the kernel reports them (rtnetlink).
//!
//! An event only names the interface that changed; [`Interface::find`](super::Interface::find) returns its present state. So a
//! lost message does no harm: after [`InterfaceEvent::Missed`] the state is read as well.

use super::netlink::{self, Attributes, Message, Messages, u32_at};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockFlag, recv};
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
    buffer: Box<[u8; netlink::BUFFER]>,
}

impl Watch {
    /// Maximum of datagrams per [`Self::read`]: a host with a thousand containers may send more at once.
    const BATCH: usize = 256;

    /// Opens the socket. Needs no privilege.
    ///
    /// # Errors
    /// The kernel's error, for example if a sandbox refuses AF_NETLINK.
    pub fn open() -> nix::Result<Self> {
        // Both are positive bit masks.
        let groups = (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR).unsigned_abs();
        let socket = netlink::open(groups, SockFlag::SOCK_NONBLOCK)?;
        Ok(Self { socket, buffer: Box::new([0; netlink::BUFFER]) })
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

/// `struct ifinfomsg`: family u8, padding u8, type u16, index i32, flags u32, change u32; then attributes.
pub(super) const LINK: usize = 16;
/// `struct ifaddrmsg`: family, prefix length, flags, scope u8, index u32; then attributes.
pub(super) const ADDRESS: usize = 8;
const RUNNING: u32 = libc::IFF_RUNNING.unsigned_abs();

/// Calls `report` for each message of a datagram.
fn parse<'b>(bytes: &'b [u8], report: &mut impl FnMut(InterfaceEvent<'b>)) {
    for message in Messages(bytes) {
        match message.map(event) {
            Ok(None) => {}
            Ok(Some(event)) => report(event),
            Err(_) => report(InterfaceEvent::Missed),
        }
    }
}

fn event(Message { kind, body, .. }: Message<'_>) -> Option<InterfaceEvent<'_>> {
    let found = match kind {
        libc::RTM_NEWLINK | libc::RTM_DELLINK => {
            u32_at(body, 4).zip(u32_at(body, 8)).map(|(index, flags)| {
                let attributes = Attributes(body.get(LINK..).unwrap_or(&[]));
                InterfaceEvent::Link {
                    index,
                    name: attributes.text(libc::IFLA_IFNAME).unwrap_or(""),
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

#[cfg(test)]
mod tests;
