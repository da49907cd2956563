//! Replaces a file by one with other content, in one step.

use crate::daemon::random;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::geteuid;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::ops::Deref;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Attempts to make a temporary file: another program would have to guess a name of 64 random bits to prevent one.
const ATTEMPTS: usize = 4;
/// Length of the random part of a temporary file's name, hexadecimal digits.
const RANDOM_DIGITS: usize = 16;

/// Writes a temporary file in `directory` with mode 0644, syncs it and renames it to `name`. On an error the temporary file is
/// removed. One that a process left when it died is removed by the next call for the same name.
pub(super) fn exchange(directory: &Path, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
    remove_leftovers(directory, name);
    let (file, temporary) = create(directory, name)?;
    let done = fill(&file, bytes).and_then(|()| fs::rename(&temporary, directory.join(name)));
    if done.is_err() {
        // The first error is the one to report.
        _ = fs::remove_file(&temporary);
    }
    done
}

/// A temporary file. Its lock shows that its writer lives; some file systems have no locks.
enum Temporary {
    Locked(Flock<File>),
    Unlocked(File),
}

impl Deref for Temporary {
    type Target = File;

    fn deref(&self) -> &File {
        match self {
            Self::Locked(file) => file,
            Self::Unlocked(file) => file,
        }
    }
}

fn create(directory: &Path, name: &OsStr) -> io::Result<(Temporary, PathBuf)> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut temporary = prefix(name);
        temporary.push(format!("{:0RANDOM_DIGITS$x}", random()?));
        let path = directory.join(temporary);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o644).custom_flags(libc::O_NOFOLLOW);
        match options.open(&path) {
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists && attempt < ATTEMPTS => continue,
            Err(cause) => return Err(cause),
            Ok(file) => match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(file) if file.metadata()?.nlink() > 0 => return Ok((Temporary::Locked(file), path)),
                // Another process took it for a leftover before it was locked, and removes it.
                Ok(_) | Err((_, Errno::EWOULDBLOCK)) if attempt < ATTEMPTS => continue,
                Ok(file) => return Ok((Temporary::Locked(file), path)),
                Err((file, _)) => return Ok((Temporary::Unlocked(file), path)),
            },
        }
    }
}

fn prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    prefix
}

/// Removes temporary files of this user whose writer died: nobody holds their lock.
fn remove_leftovers(directory: &Path, name: &OsStr) {
    let prefix = prefix(name);
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let random = name.as_bytes().strip_prefix(prefix.as_bytes());
        let is_temporary = random
            .is_some_and(|random| random.len() == RANDOM_DIGITS && random.iter().all(u8::is_ascii_hexdigit));
        if !is_temporary {
            continue;
        }
        let path = entry.path();
        let is_own = |path: &Path| {
            fs::symlink_metadata(path).is_ok_and(|found| found.is_file() && found.uid() == geteuid().as_raw())
        };
        if !is_own(&path) {
            continue;
        }
        let flags = super::place::CAREFUL | libc::O_NOFOLLOW;
        // For writing: some file systems require that for this lock.
        let opened = OpenOptions::new().write(true).custom_flags(flags).open(&path);
        let locked = opened.ok().and_then(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).ok());
        if locked.is_some() {
            // A failure only leaves the file for the next call.
            _ = fs::remove_file(&path);
        }
    }
}

fn fill(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    // Independent of the umask.
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(bytes)?;
    file.sync_all()
}
