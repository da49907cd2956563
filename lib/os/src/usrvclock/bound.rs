//! The socket and its name in the file system: creates it with the requested mode, and never replaces a file of another program.

use crate::denial::display_explained;
use crate::local_socket;
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
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum ServeError {
    InTheWay { path: PathBuf, what: String },
    Taken { path: PathBuf },
    NoDirectory { path: PathBuf },
    Denied { path: PathBuf },
    Failed { path: PathBuf, tried: &'static str, cause: io::Error },
}

impl Explain for ServeError {
    fn what(&self) -> String {
        match self {
            Self::InTheWay { path, what } => format!("usrvclock {}: {what}", path.display()),
            Self::Taken { path } => {
                format!("usrvclock {}: another program uses this socket", path.display())
            }
            Self::NoDirectory { path } => {
                format!("usrvclock {}: the directory of the socket does not exist", path.display())
            }
            Self::Denied { path } => {
                format!("usrvclock {}: no permission for this user to create the socket", path.display())
            }
            Self::Failed { path, tried, cause } => format!("usrvclock {}: {tried}: {cause}", path.display()),
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::InTheWay { .. } => Some("remove it, or choose another path".into()),
            Self::Taken { .. } => {
                Some("`sudo pmc-lite doctor` names it: stop it, or choose another path".into())
            }
            Self::NoDirectory { .. } => Some("create it, or choose another path".into()),
            Self::Denied { .. } => {
                Some("change the group and mode of its directory, or choose another path".into())
            }
            Self::Failed { .. } => None,
        }
    }
}

impl ServeError {
    /// Kind, for the rate limit of the log.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::InTheWay { .. } => "in the way",
            Self::Taken { .. } => "taken",
            Self::NoDirectory { .. } => "no directory",
            Self::Denied { .. } => "denied",
            Self::Failed { .. } => "failed",
        }
    }

    fn new(path: &Path, tried: &'static str, cause: io::Error) -> Self {
        match cause.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Self::NoDirectory { path: path.into() },
            ErrorKind::PermissionDenied => Self::Denied { path: path.into() },
            _ => Self::Failed { path: path.into(), tried, cause },
        }
    }
}

display_explained!(ServeError);

/// A socket bound to its path.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) socket: UnixDatagram,
    /// Device and inode of its name.
    pub(super) name: (u64, u64),
}

pub(super) fn bind(path: &Path, mode: u32) -> Result<Bound, ServeError> {
    let failed = |tried| move |cause| ServeError::new(path, tried, cause);
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::DGRAM.nonblocking().cloexec(), None)
        .map_err(failed("cannot create a socket"))?;
    let socket = UnixDatagram::from(OwnedFd::from(socket));
    // The kernel adds the user of the sender to each datagram that is sent from now on.
    nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::PassCred, &true)
        .map_err(io::Error::from)
        .map_err(failed("cannot request the users of clients"))?;
    // bind gives the name the socket's mode minus the umask, so that the name never has more permissions than requested.
    set_mode(&socket, mode).map_err(failed("cannot set the mode"))?;
    let address = SockAddr::unix(path).map_err(failed("invalid path"))?;
    socket2::SockRef::from(&socket).bind(&address).map_err(failed("cannot bind"))?;
    let name = name_of(path).map_err(failed("cannot stat"))?;
    set_mode_of_name(path, name, mode).map_err(failed("cannot set the mode"))?;
    Ok(Bound { socket, name })
}

/// Removes a socket that an earlier run left. Keeps any other file.
fn remove_stale(path: &Path) -> Result<(), ServeError> {
    let in_the_way = |what: String| ServeError::InTheWay { path: path.into(), what };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        Err(cause) => return Err(ServeError::new(path, "cannot stat", cause)),
    };
    if !found.file_type().is_socket() {
        return Err(in_the_way("a file that is not a socket has this name".into()));
    }
    if found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(in_the_way(format!("a socket of user {} has this name", found.uid())));
    }
    // connect to a datagram socket sends nothing; it is refused if no process has the socket.
    match local_socket::connect(path, Type::DGRAM) {
        Err(cause) if cause.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|cause| ServeError::new(path, "cannot remove the old socket", cause)),
        _ => Err(ServeError::Taken { path: path.into() }),
    }
}

fn set_mode(socket: &UnixDatagram, mode: u32) -> io::Result<()> {
    let mode = nix::sys::stat::Mode::from_bits_truncate(mode & 0o777);
    Ok(nix::sys::stat::fchmod(socket, mode)?)
}

/// Sets the mode of the socket's name, which bind reduced by the umask. Uses a descriptor, so that another file that replaces the
/// socket meanwhile is not changed.
fn set_mode_of_name(path: &Path, name: (u64, u64), mode: u32) -> io::Result<()> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_NOFOLLOW).open(path)?;
    let found = file.metadata()?;
    if (found.dev(), found.ino()) != name {
        return Err(io::Error::other("another process replaced it meanwhile"));
    }
    let by_descriptor = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(by_descriptor, Permissions::from_mode(mode & 0o777))
}

/// Device and inode of the file with this name.
pub(super) fn name_of(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}
