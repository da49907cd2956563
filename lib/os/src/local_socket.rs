//! Unix sockets to services of this host that may not read: syslog, the service manager, chronyd. No call blocks, and none needs ioctl(2),
//! which the system call filter denies.

use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::path::Path;

/// Opens a socket that is connected to `path`. A path that begins with NUL is an abstract name.
///
/// # Errors
/// The kernel's: `EPROTOTYPE` if the service has another kind of socket.
pub(crate) fn connect(path: &Path, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, kind.nonblocking().cloexec(), None)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}

/// Sends `bytes`.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] if the service does not read, and [`io::ErrorKind::WriteZero`] if a stream took a part.
pub(crate) fn send(socket: &Socket, bytes: &[u8]) -> io::Result<()> {
    let sent = socket.send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}
