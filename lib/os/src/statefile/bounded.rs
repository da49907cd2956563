//! Reading files that users or other processes name, without waiting and with bounded memory.

use super::place::{CAREFUL, not_usable};
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Reads a regular file, up to `limit` bytes of it: a caller that reads one more than it accepts detects a longer file. `/dev/null`
/// is empty. Other devices and FIFOs are not opened, because that may block, act on the device, or let a writer continue.
///
/// # Errors
/// The kernel's error, or what the file is instead of a regular one.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let seen = fs::metadata(path)?;
    if is_null(&seen) {
        return Ok(Vec::new());
    }
    if !seen.is_file() {
        return Err(not_usable(seen.file_type()));
    }
    let file = OpenOptions::new().read(true).custom_flags(CAREFUL).open(path)?;
    // Another file may have the name by now.
    let found = file.metadata()?.file_type();
    if !found.is_file() {
        return Err(not_usable(found));
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a file is `/dev/null`.
pub fn is_null(file: &Metadata) -> bool {
    let number = file.rdev();
    file.file_type().is_char_device() && (libc::major(number), libc::minor(number)) == (1, 3)
}
