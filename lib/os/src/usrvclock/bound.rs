//! The socket and its name in the file system: made with the right mode, never in place of what belongs to somebody else.

use crate::denial::{Denial, Denied, display_explained};
use dante_core::explain::Explain;
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence of each says what it is")]
pub enum ServeError {
    InTheWay { path: PathBuf, what: String },
    Taken { path: PathBuf },
    Failed { path: PathBuf, tried: &'static str, cause: io::Error },
}

impl Explain for ServeError {
    fn what(&self) -> String {
        match self {
            Self::InTheWay { path, what } => format!("usrvclock {}: {what}", path.display()),
            Self::Taken { path } => {
                format!("usrvclock {}: another program serves a clock there", path.display())
            }
            Self::Failed { path, tried, cause } => format!("usrvclock {}: {tried}: {cause}", path.display()),
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::InTheWay { .. } => Some("remove it, or name another path".into()),
            Self::Taken { .. } => Some("end it, or name another path".into()),
            Self::Failed { .. } => None,
        }
    }
}

impl Denied for ServeError {
    /// Where it is denied, waiting does not help: a user has to decide which program gets the path. A folder that is missing or
    /// not writable may become so.
    fn denial(&self) -> Option<Denial> {
        matches!(self, Self::InTheWay { .. } | Self::Taken { .. }).then_some(Denial::InUse)
    }
}

display_explained!(ServeError);

/// A socket that was made here.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) socket: UnixDatagram,
    /// Device and inode of its name.
    pub(super) name: (u64, u64),
}

pub(super) fn bind(path: &Path, mode: u32) -> Result<Bound, ServeError> {
    let failed = |tried| move |cause| ServeError::Failed { path: path.into(), tried, cause };
    make_room(path)?;
    let socket =
        Socket::new(Domain::UNIX, Type::DGRAM.nonblocking().cloexec(), None).map_err(failed("a socket"))?;
    let socket = UnixDatagram::from(OwnedFd::from(socket));
    // The name gets the socket's own mode, less the umask, so that it is never open to more than it will be.
    set_mode(&socket, mode).map_err(failed("its mode"))?;
    let address = SockAddr::unix(path).map_err(failed("its path"))?;
    socket2::SockRef::from(&socket).bind(&address).map_err(failed("making it"))?;
    let name = name_of(path).map_err(failed("looking at it"))?;
    give_mode(path, name, mode).map_err(failed("its mode"))?;
    Ok(Bound { socket, name })
}

/// Removes a socket that a predecessor left. Whatever else is there stays.
fn make_room(path: &Path) -> Result<(), ServeError> {
    let in_the_way = |what: String| ServeError::InTheWay { path: path.into(), what };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(ServeError::Failed { path: path.into(), tried: "looking at it", cause }),
    };
    if !found.file_type().is_socket() {
        return Err(in_the_way("there is a file that is no socket".into()));
    }
    if found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(in_the_way(format!("there is a socket of user {}", found.uid())));
    }
    let asked = Socket::new(Domain::UNIX, Type::DGRAM.nonblocking().cloexec(), None)
        .and_then(|socket| socket.connect(&SockAddr::unix(path)?));
    match asked {
        Err(cause) if cause.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|cause| ServeError::Failed { path: path.into(), tried: "removing the old one", cause }),
        _ => Err(ServeError::Taken { path: path.into() }),
    }
}

fn set_mode(socket: &UnixDatagram, mode: u32) -> io::Result<()> {
    let mode = nix::sys::stat::Mode::from_bits_truncate(mode & 0o777);
    Ok(nix::sys::stat::fchmod(socket, mode)?)
}

/// Takes the umask back, on the very socket that was made: by a descriptor, lest somebody puts another file in its place.
fn give_mode(path: &Path, name: (u64, u64), mode: u32) -> io::Result<()> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)?;
    let found = file.metadata()?;
    if (found.dev(), found.ino()) != name {
        return Err(io::Error::other("it was replaced while it was made"));
    }
    let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(by_descriptor, Permissions::from_mode(mode & 0o777))
}

/// Device and inode of the file with this name.
pub(super) fn name_of(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}
