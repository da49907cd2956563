//! rtnetlink(7): the framing of messages and attributes, and requests for lists.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, socket,
};
use std::os::fd::{AsRawFd, OwnedFd};

/// `struct nlmsghdr`: length u32, type u16, flags u16, sequence u32, port u32; then the body, padded to 4 bytes.
const HEADER: usize = 16;
/// Size of receive buffers, bytes. The kernel's NLMSG_GOODSIZE is at most 8 KiB, a list comes in parts of up to 32 KiB; a message
/// about an interface has some 1.5 KiB.
pub(super) const BUFFER: usize = 32 * 1024;

/// A message: its type (RTM_*) and its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'b> {
    pub kind: u16,
    flags: u16,
    pub body: &'b [u8],
}

/// A datagram ends within a message, or has a wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// The messages of a datagram. Ends after the first error.
#[derive(Debug, Clone)]
pub(super) struct Messages<'b>(pub &'b [u8]);

impl<'b> Iterator for Messages<'b> {
    type Item = Result<Message<'b>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.0);
        if bytes.is_empty() {
            return None;
        }
        let length = u32_at(bytes, 0).and_then(|length| usize::try_from(length).ok());
        let whole = length.and_then(|length| bytes.get(..length));
        let parts = whole.and_then(|message| {
            Some((u16_at(message, 4)?, u16_at(message, 6)?, message.get(HEADER..)?, message.len()))
        });
        let Some((kind, flags, body, length)) = parts else { return Some(Err(Malformed)) };
        self.0 = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Ok(Message { kind, flags, body }))
    }
}

/// Attributes: length u16, type u16, value, padded to 4 bytes. Ends at the first malformed one.
#[derive(Debug, Clone)]
pub(super) struct Attributes<'b>(pub &'b [u8]);

impl<'b> Iterator for Attributes<'b> {
    /// The type, without NLA_F_NESTED, and the value.
    type Item = (u16, &'b [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_at(self.0, 0)?);
        let (kind, value) = (u16_at(self.0, 2)?, self.0.get(4..length)?);
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind & NLA_TYPE_MASK, value))
    }
}

/// Without NLA_F_NESTED and NLA_F_NET_BYTEORDER, which are the upper two bits.
const NLA_TYPE_MASK: u16 = 0x3fff;

impl<'b> Attributes<'b> {
    /// The value of the first attribute of this type.
    pub fn value(&self, kind: u16) -> Option<&'b [u8]> {
        self.clone().find(|(found, _)| *found == kind).map(|(_, value)| value)
    }

    /// The attributes within the first attribute of this type; none without it.
    pub fn nested(&self, kind: u16) -> Attributes<'b> {
        Attributes(self.value(kind).unwrap_or(&[]))
    }

    /// The text of the first attribute of this type: up to its zero byte.
    pub fn text(&self, kind: u16) -> Option<&'b str> {
        text_of(self.value(kind)?)
    }

    /// The number of the first attribute of this type.
    pub fn u32(&self, kind: u16) -> Option<u32> {
        u32_at(self.value(kind)?, 0)
    }
}

/// The text up to the first zero byte; `None` if it is not UTF-8.
pub(super) fn text_of(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value.split(|byte| *byte == 0).next()?).ok()
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Opens a socket that receives the notifications of these groups (RTMGRP_*). Needs no privilege.
pub(super) fn open(groups: u32, flags: SockFlag) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | flags;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    Ok(socket)
}

/// How often a list is requested again that changed while the kernel sent it.
const ATTEMPTS: u32 = 4;

/// Requests a list (`RTM_GET*`, with the fixed part of its body), and returns the messages of type `RTM_NEW*`.
///
/// # Errors
/// The kernel did not answer, so nothing is known: no descriptor or memory is free. EINTR: the list changed all the time.
pub(super) fn list(request: u16, fixed: &[u8]) -> nix::Result<Vec<Vec<u8>>> {
    let socket = open(0, SockFlag::empty())?;
    for sequence in 1..=ATTEMPTS {
        match list_once(&socket, sequence, request, fixed) {
            Err(Errno::EINTR) => {}
            answer => return answer,
        }
    }
    Err(Errno::EINTR)
}

fn list_once(socket: &OwnedFd, sequence: u32, request: u16, fixed: &[u8]) -> nix::Result<Vec<Vec<u8>>> {
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP).unsigned_abs();
    let flags = u16::try_from(flags).map_err(|_| Errno::EINVAL)?;
    let length = u32::try_from(HEADER + fixed.len()).map_err(|_| Errno::EINVAL)?;
    let message = [
        &length.to_ne_bytes()[..],
        &request.to_ne_bytes(),
        &flags.to_ne_bytes(),
        &sequence.to_ne_bytes(),
        &[0; 4],
        fixed,
    ];
    sendto(socket.as_raw_fd(), &message.concat(), &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let (mut found, mut is_consistent) = (Vec::new(), true);
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
            Ok(length) => length,
            Err(Errno::EINTR) => continue,
            Err(cause) => return Err(cause),
        };
        let datagram = buffer.get(..length).ok_or(Errno::EMSGSIZE)?;
        // A datagram of an earlier attempt.
        if u32_at(datagram, 8) != Some(sequence) {
            continue;
        }
        for message in Messages(datagram) {
            let Message { kind, flags, body } = message.map_err(|Malformed| Errno::EBADMSG)?;
            is_consistent &= i32::from(flags) & libc::NLM_F_DUMP_INTR == 0;
            // Both end with zero or a negative error.
            let error = || u32_at(body, 0).map_or(0, |error| -error.cast_signed());
            match i32::from(kind) {
                libc::NLMSG_DONE | libc::NLMSG_ERROR if error() != 0 => return Err(Errno::from_raw(error())),
                libc::NLMSG_DONE if is_consistent => return Ok(found),
                libc::NLMSG_DONE => return Err(Errno::EINTR),
                _ if kind == request - GET_MINUS_NEW => found.push(body.to_vec()),
                _ => {}
            }
        }
    }
}

/// RTM_GETLINK minus RTM_NEWLINK, and the same for each kind of object.
const GET_MINUS_NEW: u16 = libc::RTM_GETLINK - libc::RTM_NEWLINK;

#[cfg(test)]
pub(super) mod tests;
