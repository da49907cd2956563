//! What happens to interfaces and their addresses, told by the kernel as it happens (rtnetlink).
//!
//! The messages only say where to look: what an interface is now, [`Interface::find`](super::Interface::find) tells. So
//! nothing depends on each message being heard, and where some were lost one looks all the same.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News<'a> {
    /// To an interface: it is new, gone, up, down, renamed, with or without carrier.
    Link {
        /// Its index.
        index: u32,
        /// Its name; empty where the message has none.
        name: &'a str,
        /// Whether it has carrier and is up (IFF_RUNNING) as the kernel wrote this.
        running: bool,
    },
    /// To an IPv4 address of this interface.
    Address {
        /// The interface's index.
        index: u32,
    },
    /// To whom is not known: messages were lost, or not understood.
    Missed,
}

/// The kernel's messages about interfaces, in the network namespace in which this was opened.
#[derive(Debug)]
pub struct Watch {
    socket: OwnedFd,
    buffer: Box<[u8; Self::ROOM]>,
}

impl Watch {
    /// The kernel's own NLMSG_GOODSIZE is at most 8 KiB; a message about an interface takes some 1.5 KiB.
    const ROOM: usize = 16 * 1024;
    /// A message is taken at each turn, and not all a host of a thousand containers can send.
    const BATCH: usize = 256;

    /// Opens the socket. It needs no right.
    ///
    /// # Errors
    /// The kernel's, as when a sandbox refuses AF_NETLINK.
    pub fn open() -> nix::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        // Both are small positive bits.
        let groups = (libc::RTMGRP_LINK | libc::RTMGRP_IPV4_IFADDR).unsigned_abs();
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
        Ok(Self { socket, buffer: Box::new([0; Self::ROOM]) })
    }

    /// Tells what has happened since this was called last. An error of the socket is [`News::Missed`].
    pub fn read(&mut self, mut tell: impl FnMut(News<'_>)) {
        for _ in 0..Self::BATCH {
            // MSG_TRUNC: the length of the message, also where it did not fit.
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
            match recv(self.socket.as_raw_fd(), &mut self.buffer[..], flags) {
                Ok(length) => match self.buffer.get(..length) {
                    Some(bytes) => each(bytes, &mut tell),
                    None => tell(News::Missed),
                },
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                // ENOBUFS: more happened than the socket holds.
                Err(_) => return tell(News::Missed),
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

/// Tells of each message of a datagram.
fn each<'b>(mut bytes: &'b [u8], tell: &mut impl FnMut(News<'b>)) {
    while !bytes.is_empty() {
        let length = u32_at(bytes, 0).and_then(|length| usize::try_from(length).ok());
        let Some(message) = length.and_then(|length| bytes.get(..length)).filter(|m| m.len() >= HEADER)
        else {
            return tell(News::Missed);
        };
        if let Some(news) = news(u16_at(message, 4).unwrap_or(0), message.get(HEADER..).unwrap_or(&[])) {
            tell(news);
        }
        bytes = bytes.get(message.len().next_multiple_of(4)..).unwrap_or(&[]);
    }
}

fn news(kind: u16, body: &[u8]) -> Option<News<'_>> {
    let found = match kind {
        libc::RTM_NEWLINK | libc::RTM_DELLINK => {
            u32_at(body, 4).zip(u32_at(body, 8)).map(|(index, flags)| {
                let attributes = body.get(LINK..).unwrap_or(&[]);
                News::Link { index, name: name(attributes).unwrap_or(""), running: flags & RUNNING != 0 }
            })
        }
        libc::RTM_NEWADDR | libc::RTM_DELADDR => {
            u32_at(body, 4).filter(|_| body.len() >= ADDRESS).map(|index| News::Address { index })
        }
        _ => return None,
    };
    Some(found.unwrap_or(News::Missed))
}

/// IFLA_IFNAME among the attributes: length u16, type u16, value, padded to 4 bytes.
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
