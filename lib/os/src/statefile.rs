//! Files that the programs write, and small text files that keep state between runs. A file is replaced atomically: after a crash or
//! a power cut it has the old text or the new one. [`replace`] has the rule for links, devices and files of other users.

mod bounded;
mod exchange;
mod place;
mod saver;

pub use bounded::{is_null, read_regular};
pub use saver::{Event, Saver};

use crate::denial::display_explained;
use dante_core::explain::Explain;
use exchange::exchange;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use place::{CAREFUL, Place, place};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Maximum length of the text, bytes: state has some lines, and a longer file was not written by this program.
pub const MAX_LENGTH: usize = 4096;
/// Longest time for the reader of a FIFO to take a text of a daemon.
const STREAM_LIMIT: Duration = Duration::from_secs(2);
/// The same for the output of a command, whose user waits for it.
const TOOL_LIMIT: Duration = Duration::from_secs(60);
/// Time between two attempts to write to a full FIFO.
const WRITE_PAUSE: Duration = Duration::from_millis(5);

/// Why state could not be read or written.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum StateError {
    Read {
        path: PathBuf,
        cause: io::Error,
    },
    /// Writing failed, and the file is unchanged.
    Write {
        path: PathBuf,
        cause: io::Error,
    },
    /// The file was replaced, but a power cut may restore the old text.
    NotDurable {
        path: PathBuf,
        cause: io::Error,
    },
    TooLong {
        path: PathBuf,
    },
    NotText {
        path: PathBuf,
    },
}

impl Explain for StateError {
    fn what(&self) -> String {
        match self {
            Self::Read { path, cause } => format!("cannot read {}: {cause}", path.display()),
            Self::Write { path, cause } => {
                format!("cannot write {}: {cause}", path.display())
            }
            Self::NotDurable { path, cause } => format!(
                "{} was replaced, but its directory could not be written to the disk: {cause}",
                path.display()
            ),
            Self::TooLong { path } => {
                format!("{} is longer than {MAX_LENGTH} bytes: this program did not write it", path.display())
            }
            Self::NotText { path } => {
                format!("{} is not text: it is damaged, or this program did not write it", path.display())
            }
        }
    }

    fn remedy(&self) -> Option<String> {
        let is_foreign = matches!(self, Self::TooLong { .. } | Self::NotText { .. });
        is_foreign.then(|| "remove it, or name another file".into())
    }
}

display_explained!(StateError);

/// The error of replacing a file, with the directory or disk that the kernel's error text does not name.
fn explained(cause: io::Error, path: &Path) -> io::Error {
    let directory = directory_of(path).display();
    let text = match cause.kind() {
        ErrorKind::StorageFull => "the disk is full".into(),
        ErrorKind::QuotaExceeded => "the disk quota is used up".into(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only".into(),
        ErrorKind::NotFound => format!("directory {directory} does not exist"),
        ErrorKind::PermissionDenied => format!("no write permission for {directory}"),
        _ => return cause,
    };
    io::Error::new(cause.kind(), text)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file with the state of one program. Only one thread of one process may write it.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// State at `path`. Does not access the file; its directory must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the text, or `None` if the file does not exist. Only a regular file is read, and `/dev/null`, which is empty.
    ///
    /// # Errors
    /// [`StateError::Read`], [`StateError::TooLong`], [`StateError::NotText`].
    pub fn read(&self) -> Result<Option<String>, StateError> {
        let path = || self.path.clone();
        let bytes = match read_regular(&self.path, MAX_LENGTH as u64 + 1) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(StateError::Read { path: path(), cause }),
        };
        if bytes.len() > MAX_LENGTH {
            return Err(StateError::TooLong { path: path() });
        }
        String::from_utf8(bytes).map(Some).map_err(|_| StateError::NotText { path: path() })
    }

    /// Replaces the file by one with this text, as [`replace`]. The reader of a FIFO has 2 s for it.
    ///
    /// # Errors
    /// Those of [`replace`]; [`StateError::TooLong`] for a text that could not be read back.
    pub fn replace(&self, text: &str) -> Result<(), StateError> {
        if text.len() > MAX_LENGTH {
            return Err(StateError::TooLong { path: self.path.clone() });
        }
        write(&self.path, text.as_bytes(), STREAM_LIMIT)
    }
}

/// Writes the file at `path`, of any length. This is the rule for all files that the programs of the suite write:
///
/// - No file, or a regular file of this user or root: replaced atomically by a file with mode 0644. A temporary file in the same
///   directory is written, synced to the disk and renamed.
/// - A symbolic link of this user or root: the file that it names, by the same rule; a link of another user is refused. If the
///   text of the link is not the path of that file, as that of `/dev/stdout` to a pipe, the open file is written.
/// - A character device or a FIFO: written. A FIFO without a reader is an error, and one whose reader does not take the
///   text within 60 s (of a daemon: 2 s) as well.
/// - A directory, a block device, a socket: refused.
/// - A regular file of another user: refused, also for root, because a new file would have another owner.
///
/// # Errors
/// [`StateError::Write`]: a regular file is unchanged, and the temporary file is removed; [`StateError::NotDurable`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    write(path, bytes, TOOL_LIMIT)
}

/// Whether [`replace`] accepts what is at `path` now, for a command that has the content later.
///
/// # Errors
/// [`StateError::Write`].
pub fn check(path: &Path) -> Result<(), StateError> {
    place(path).map(drop).map_err(|cause| StateError::Write { path: path.to_owned(), cause })
}

/// Opens the file at `path` for output that grows, by the rule of [`replace`], except that a regular file is emptied instead of
/// replaced. Writing to a FIFO waits for its reader.
///
/// # Errors
/// [`StateError::Write`].
pub fn create(path: &Path) -> Result<File, StateError> {
    open(path).map_err(|cause| StateError::Write { path: path.to_owned(), cause })
}

fn open(path: &Path) -> io::Result<File> {
    let file = match place(path)? {
        Place::Name(name) => {
            let flags = CAREFUL | libc::O_NOFOLLOW;
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .custom_flags(flags)
                .open(name)
                .map_err(|cause| explained(cause, path))?;
            // Another file may have the name by now.
            let found = file.metadata()?;
            if !found.is_file() {
                return Err(place::not_usable(found.file_type()));
            }
            place::own(&found)?;
            file.set_len(0)?;
            file
        }
        Place::Open(name, flags) => place::open(&name, flags)?,
    };
    let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
    fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK))?;
    Ok(file)
}

fn write(path: &Path, bytes: &[u8], limit: Duration) -> Result<(), StateError> {
    let failed = |cause| StateError::Write { path: path.to_owned(), cause };
    let name = match place(path).map_err(failed)? {
        Place::Open(name, flags) => {
            let written = place::open(&name, flags).and_then(|file| write_all(&file, bytes, limit));
            return written.map_err(failed);
        }
        Place::Name(name) => name,
    };
    let Some(last) = name.file_name() else {
        return Err(failed(io::Error::other("this is the name of a directory, not of a file")));
    };
    let directory = directory_of(&name);
    exchange(directory, last, bytes).map_err(|cause| failed(explained(cause, &name)))?;
    // The rename is durable once the directory is synced (fsync(2)).
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|cause| StateError::NotDurable { path: path.to_owned(), cause })
}

/// Writes to a file that is open without blocking, for `limit` at most.
fn write_all(mut file: &File, mut rest: &[u8], limit: Duration) -> io::Result<()> {
    let end = Instant::now() + limit;
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
            Err(cause) if cause.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                std::thread::sleep(WRITE_PAUSE);
            }
            Err(cause) if cause.kind() == ErrorKind::WouldBlock => {
                return Err(io::Error::other("its reader does not read"));
            }
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
