//! Registrations of clients, with the user of the sender as the kernel reports it (SCM_CREDENTIALS, unix(7)).

use nix::sys::socket::{ControlMessageOwned, MsgFlags, UnixAddr, UnixCredentials, recvmsg};
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// User id that stands for an unknown one (overflowuid, `nobody`).
const UNKNOWN: u32 = 65_534;

/// Receives a datagram, without blocking. Returns the address of the sender and its user; `None` for a sender without a name.
pub(super) fn receive(socket: &UnixDatagram) -> nix::Result<Option<(SocketAddr, u32)>> {
    let mut byte = [0; 1];
    let mut parts = [IoSliceMut::new(&mut byte)];
    // Room for the user only: descriptors that a client sends along are discarded by the kernel.
    let mut control = nix::cmsg_space!(UnixCredentials);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<UnixAddr>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
    // An error: the control messages were truncated, because there were descriptors. That is no registration.
    let Ok(mut parts) = message.cmsgs() else { return Ok(None) };
    let user = parts.find_map(|part| match part {
        ControlMessageOwned::ScmCredentials(user) => Some(user.uid()),
        _ => None,
    });
    let address = message.address.and_then(|address| {
        let path = address.path().and_then(|path| SocketAddr::from_pathname(path).ok());
        path.or_else(|| SocketAddr::from_abstract_name(address.as_abstract()?).ok())
    });
    Ok(address.map(|address| (address, user.unwrap_or(UNKNOWN))))
}
