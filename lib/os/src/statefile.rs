//! A small text that outlives the program, replaced as a whole: after a crash or a power cut there is the old text or
//! the new one, never half of one.

use crate::denial::display_explained;
use dante_core::explain::Explain;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The longest text, bytes: state is some lines, and a longer file is somebody else's.
pub const LONGEST: usize = 4096;

/// Why state could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence of each says what it is")]
pub enum StateError {
    Read {
        path: PathBuf,
        cause: io::Error,
    },
    /// Writing failed, and the file is as it was before.
    Write {
        path: PathBuf,
        cause: io::Error,
    },
    /// The new text is in its place, but a power cut may yet bring the old one back.
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
                "{} was replaced, but its folder could not be written out to the disk: {cause}",
                path.display()
            ),
            Self::TooLong { path } => {
                format!("{} is longer than {LONGEST} bytes: it is not this program's", path.display())
            }
            Self::NotText { path } => {
                format!("{} is not text: it is damaged or not this program's", path.display())
            }
        }
    }

    fn remedy(&self) -> Option<String> {
        let is_foreign = matches!(self, Self::TooLong { .. } | Self::NotText { .. });
        is_foreign.then(|| "remove it, or name another file".into())
    }
}

display_explained!(StateError);

/// The cause, where the kernel's own words do not say which folder or disk is meant.
fn because(cause: &io::Error, path: &Path) -> String {
    match cause.kind() {
        ErrorKind::StorageFull => "the disk is full".into(),
        ErrorKind::QuotaExceeded => "the disk quota is used up".into(),
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only".into(),
        ErrorKind::NotFound => format!("there is no folder {}", folder_of(path).display()),
        ErrorKind::PermissionDenied => {
            format!("no right to write to {}", folder_of(path).display())
        }
        _ => cause.to_string(),
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file with one program's state. One thread of one process writes it.
#[derive(Debug, Clone)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// State at `path`; nothing is touched yet. The folder is never made.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text, or None if there is no such file.
    ///
    /// # Errors
    /// [`StateError::Read`], [`StateError::TooLong`], [`StateError::NotText`].
    pub fn read(&self) -> Result<Option<String>, StateError> {
        let path = || self.path.clone();
        // A FIFO in its place must not hold the program up.
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&self.path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(StateError::Read { path: path(), cause }),
        };
        let mut bytes = Vec::new();
        file.take(LONGEST as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|cause| StateError::Read { path: path(), cause })?;
        if bytes.len() > LONGEST {
            return Err(StateError::TooLong { path: path() });
        }
        String::from_utf8(bytes).map(Some).map_err(|_| StateError::NotText { path: path() })
    }

    /// Puts `text` in the file's place: written beside it, brought to the disk, and renamed. Readable by all.
    ///
    /// # Errors
    /// [`StateError::Write`], after which the old text is untouched and nothing new is left behind;
    /// [`StateError::NotDurable`]; [`StateError::TooLong`] for a text that could not be read back.
    pub fn replace(&self, text: &str) -> Result<(), StateError> {
        if text.len() > LONGEST {
            return Err(StateError::TooLong { path: self.path.clone() });
        }
        replace(&self.path, text.as_bytes())
    }
}

/// Puts a file of these bytes at `path`, of any length, as [`StateFile::replace`] does.
///
/// # Errors
/// [`StateError::Write`] and [`StateError::NotDurable`], as there.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    exchange(path, bytes).map_err(|cause| StateError::Write { path: path.to_owned(), cause })?;
    // The new name is on the disk when the folder is (fsync(2)).
    File::open(folder_of(path))
        .and_then(|folder| folder.sync_all())
        .map_err(|cause| StateError::NotDurable { path: path.to_owned(), cause })
}

fn exchange(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Some(name) = path.file_name() else {
        return Err(io::Error::new(ErrorKind::InvalidInput, "a folder's name, not a file's"));
    };
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let beside = folder_of(path).join(beside);
    let file = match create(&beside) {
        // Left by a process that had our id: in a container ids are few.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            std::fs::remove_file(&beside)?;
            create(&beside)?
        }
        other => other?,
    };
    let done = fill(file, bytes).and_then(|()| std::fs::rename(&beside, path));
    if done.is_err() {
        // The first failure is the one to tell.
        _ = std::fs::remove_file(&beside);
    }
    done
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o644).custom_flags(libc::O_NOFOLLOW).open(path)
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    // Whatever the umask is.
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests;
