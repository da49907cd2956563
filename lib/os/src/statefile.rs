//! A small text file that keeps state between runs. It is replaced atomically: after a crash or a power cut the file has the old
//! text or the new one.

use crate::denial::display_explained;
use dante_core::explain::Explain;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Maximum length of the text, bytes: state has some lines, and a longer file was not written by this program.
pub const MAX_LENGTH: usize = 4096;

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
                format!("cannot write {}: {}", path.display(), because(cause, path))
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

/// The cause, with the directory or disk that the kernel's error text does not name.
fn because(cause: &io::Error, path: &Path) -> String {
    match cause.kind() {
        ErrorKind::StorageFull => "the disk is full".into(),
        ErrorKind::QuotaExceeded => "the disk quota is used up".into(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only".into(),
        ErrorKind::NotFound => format!("directory {} does not exist", directory_of(path).display()),
        ErrorKind::PermissionDenied => {
            format!("no write permission for {}", directory_of(path).display())
        }
        _ => cause.to_string(),
    }
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

    /// Returns the text, or `None` if the file does not exist.
    ///
    /// # Errors
    /// [`StateError::Read`], [`StateError::TooLong`], [`StateError::NotText`].
    pub fn read(&self) -> Result<Option<String>, StateError> {
        let path = || self.path.clone();
        // O_NONBLOCK: opening a FIFO in its place must not block.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&self.path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(StateError::Read { path: path(), cause }),
        };
        let mut bytes = Vec::new();
        file.take(MAX_LENGTH as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|cause| StateError::Read { path: path(), cause })?;
        if bytes.len() > MAX_LENGTH {
            return Err(StateError::TooLong { path: path() });
        }
        String::from_utf8(bytes).map(Some).map_err(|_| StateError::NotText { path: path() })
    }

    /// Replaces the file by one with this text and mode 0644: writes a temporary file in the same directory, syncs it and
    /// renames it.
    ///
    /// # Errors
    /// [`StateError::Write`]: the old text is unchanged, and the temporary file is removed; [`StateError::NotDurable`];
    /// [`StateError::TooLong`] for a text that could not be read back.
    pub fn replace(&self, text: &str) -> Result<(), StateError> {
        if text.len() > MAX_LENGTH {
            return Err(StateError::TooLong { path: self.path.clone() });
        }
        replace(&self.path, text.as_bytes())
    }
}

/// Replaces the file at `path` atomically by one with these bytes, of any length.
///
/// # Errors
/// [`StateError::Write`] and [`StateError::NotDurable`], as of [`StateFile::replace`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    exchange(path, bytes).map_err(|cause| StateError::Write { path: path.to_owned(), cause })?;
    // The rename is durable once the directory is synced (fsync(2)).
    File::open(directory_of(path))
        .and_then(|directory| directory.sync_all())
        .map_err(|cause| StateError::NotDurable { path: path.to_owned(), cause })
}

fn exchange(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "this is the name of a directory, not of a file",
        ));
    };
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", std::process::id()));
    let temporary = directory_of(path).join(temporary);
    let file = match create(&temporary) {
        // Left by an earlier process with the same id, which is common in containers.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            std::fs::remove_file(&temporary)?;
            create(&temporary)?
        }
        other => other?,
    };
    let done = fill(file, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if done.is_err() {
        // The first error is the one to report.
        _ = std::fs::remove_file(&temporary);
    }
    done
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o644).custom_flags(libc::O_NOFOLLOW).open(path)
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    // Independent of the umask.
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
