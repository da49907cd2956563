//! Pages of POSIX shared memory: one writer, read-only readers, and a doorbell.
//!
//! `/dev/shm` is writable by everybody, so a page is read only when its owner is trusted; see [`PageReader`]. A page that is cut
//! short under its readers and its writer harms neither.

mod guard;
mod publisher;
mod reader;
mod watch;
mod writer;

pub use publisher::Publisher;
pub use reader::{Fault, PageReader, ReadError};
pub use watch::PageFollower;
pub use writer::{Obstacle, PageWriter, WriteError};

use dante_core::page::{Body, Form, HEAD_WORDS, Head, Words};
use nix::unistd::User;
use std::marker::PhantomData;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The name of a program's page, with the instance's name behind it.
#[derive(Debug, Clone)]
pub struct PageName<B> {
    name: String,
    path: PathBuf,
    body: PhantomData<B>,
}

impl<B: Body> PageName<B> {
    /// The page of the instance so called, or of the one without a name.
    pub fn new(instance: Option<&Instance>) -> Self {
        let instance = instance.map_or(String::new(), |instance| format!("@{instance}"));
        let form = match B::FORM {
            Form::Clock => "",
            Form::Status => ".status",
        };
        let name = format!("{}{instance}{form}", B::PROGRAM);
        Self { path: Path::new("/dev/shm").join(&name), name, body: PhantomData }
    }

    /// As shm_open wants it.
    fn os_id(&self) -> String {
        format!("/{}", self.name)
    }

    /// Where it is seen.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is the name of the file with this device and inode.
    fn leads_to(&self, device: u64, inode: u64) -> bool {
        self.path.symlink_metadata().is_ok_and(|named| (named.dev(), named.ino()) == (device, inode))
    }
}

/// Whether the user of this number is the service user of the program that writes the page.
fn is_service_user<B: Body>(uid: u32) -> bool {
    User::from_name(B::PROGRAM).ok().flatten().is_some_and(|user| user.uid.as_raw() == uid)
}

/// The name of an instance: several suites on one host, each on its own network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance(String);

impl std::str::FromStr for Instance {
    type Err = &'static str;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let fits = (1..=32).contains(&name.len());
        if fits && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            Ok(Self(name.to_owned()))
        } else {
            Err("1 to 32 letters, digits, '-' or '_'")
        }
    }
}

impl std::fmt::Display for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The words of a mapped page.
#[derive(Debug, Clone, Copy)]
struct PageWords<'a>(&'a [AtomicU64]);

impl<'a> PageWords<'a> {
    /// # Safety
    /// `start` must point to `words` words of shared memory, aligned to 8 bytes, that stay mapped for `'a`; whoever
    /// else accesses them does so atomically. For a read-only mapping only Relaxed loads may follow.
    unsafe fn new(start: *const u8, words: usize) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), words) })
    }

    /// 0 where there is no such word.
    fn load(&self, word: Head) -> u64 {
        self.0.get(word as usize).map_or(0, |place| place.load(Ordering::Relaxed))
    }

    fn store(&self, word: Head, value: u64, order: Ordering) {
        if let Some(place) = self.0.get(word as usize) {
            place.store(value, order);
        }
    }

    /// The body; `constants` are the words of [`Head::CONSTANTS`] by which it is written, or read.
    fn body(&self, constants: [u64; 6]) -> Option<Words<'a>> {
        let (head, rest) = self.0.split_at_checked(HEAD_WORDS)?;
        let (tail, body) = rest.split_last()?;
        let sum = constants.into_iter().fold(0, u64::wrapping_add);
        Some(Words::new(head.get(Head::Sequence as usize)?, body, tail, sum))
    }
}

#[cfg(test)]
mod tests;
