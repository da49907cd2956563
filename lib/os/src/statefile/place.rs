//! Where a file is written: the rule of [`super::replace`].

use super::directory_of;
use nix::unistd::geteuid;
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Maximum number of links, as in the kernel (MAXSYMLINKS).
const MAX_LINKS: usize = 40;

/// Flags of every call that opens a file whose kind may have changed since it was examined: it does not wait for the other end of
/// a FIFO, and takes no terminal.
pub(super) const CAREFUL: i32 = libc::O_NONBLOCK | libc::O_NOCTTY;

/// Where a file is written.
#[derive(Debug)]
pub(super) enum Place {
    /// Under this name, which is no link: nothing, or a regular file of this user or root.
    Name(PathBuf),
    /// Into a FIFO, a character device, or a file without a name: what is opened with these flags.
    Open(PathBuf, i32),
}

/// Follows links from `path` to the place where its file is written.
pub(super) fn place(path: &Path) -> io::Result<Place> {
    let mut name = path.to_owned();
    for _ in 0..MAX_LINKS {
        let found = match fs::symlink_metadata(&name) {
            Ok(found) => Some(found),
            Err(cause) if cause.kind() == ErrorKind::NotFound => None,
            Err(cause) => return Err(cause),
        };
        if let Some(link) = found.as_ref().filter(|found| found.is_symlink()) {
            if !is_trusted(link.uid()) {
                let (link, owner) = (name.display(), link.uid());
                return Err(io::Error::other(format!("{link} is a symbolic link of user {owner}")));
            }
            name = directory_of(&name).join(fs::read_link(&name)?);
            continue;
        }
        // The links of /proc/PID/fd name files that have no path, such as pipes: the kernel follows them, their texts do not.
        return match (fs::metadata(path), found) {
            (Ok(there), Some(found)) if is_same(&there, &found) => at(name, &found),
            (Ok(there), _) => at_open_file(path, &there),
            (Err(_), None) => Ok(Place::Name(name)),
            (Err(cause), Some(_)) => Err(cause),
        };
    }
    Err(io::Error::from_raw_os_error(libc::ELOOP))
}

fn at(name: PathBuf, found: &Metadata) -> io::Result<Place> {
    if found.is_file() {
        own(found).map(|()| Place::Name(name))
    } else {
        stream(found).map(|()| Place::Open(name, libc::O_NOFOLLOW))
    }
}

fn at_open_file(path: &Path, there: &Metadata) -> io::Result<Place> {
    if there.is_file() { own(there) } else { stream(there) }?;
    // At the end of a regular file, which may have other content.
    Ok(Place::Open(path.to_owned(), libc::O_APPEND))
}

/// Refuses what is neither a FIFO nor a character device.
fn stream(found: &Metadata) -> io::Result<()> {
    let kind = found.file_type();
    if kind.is_fifo() || kind.is_char_device() { Ok(()) } else { Err(not_usable(kind)) }
}

/// Opens the file of a [`Place::Open`] for writing without blocking.
pub(super) fn open(path: &Path, flags: i32) -> io::Result<File> {
    let opened = OpenOptions::new().write(true).custom_flags(CAREFUL | flags).open(path);
    let file = opened.map_err(|cause| match cause.raw_os_error() {
        Some(libc::ENXIO) if fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo()) => {
            io::Error::other("it is a FIFO without a reader")
        }
        _ => cause,
    })?;
    // Another file may have the name by now.
    let found = file.metadata()?;
    if flags & libc::O_APPEND != 0 && found.is_file() { own(&found) } else { stream(&found) }?;
    Ok(file)
}

/// Refuses a file of another user.
pub(super) fn own(file: &Metadata) -> io::Result<()> {
    if is_trusted(file.uid()) {
        return Ok(());
    }
    let (owner, us) = (file.uid(), geteuid());
    Err(io::Error::other(format!("it belongs to user {owner}, but this program runs as user {us}")))
}

fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == geteuid().as_raw()
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The error for a file of another kind than the required one.
pub(super) fn not_usable(kind: FileType) -> io::Error {
    io::Error::other(if kind.is_dir() {
        "it is a directory"
    } else if kind.is_fifo() {
        "it is a FIFO, not a regular file"
    } else if kind.is_socket() {
        "it is a socket"
    } else if kind.is_block_device() {
        "it is a block device"
    } else {
        "it is a device, not a regular file"
    })
}
