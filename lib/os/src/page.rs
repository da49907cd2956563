//! Pages of POSIX shared memory: one writer, read-only readers, and a doorbell.
//!
//! `/dev/shm` is writable by everybody, so a page is believed only when its owner is trusted; see [`PageReader`].

mod reader;
mod watch;
mod writer;

pub use reader::{PageReader, ReadError};
pub use watch::PageFollower;
pub use writer::{PageWriter, WriteError};

use dante_core::page::Body;
use nix::unistd::User;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// The name of a program's page, with the instance's name behind it.
#[derive(Debug, Clone)]
pub struct PageName<B> {
    name: String,
    body: PhantomData<B>,
}

impl<B: Body> PageName<B> {
    /// The page of the instance so called, or of the one without a name.
    pub fn new(instance: Option<&Instance>) -> Self {
        let name = match instance {
            Some(instance) => format!("{}.{}", B::NAME, instance.0),
            None => B::NAME.to_owned(),
        };
        Self { name, body: PhantomData }
    }

    /// As shm_open wants it.
    fn os_id(&self) -> String {
        format!("/{}", self.name)
    }

    /// Where it is seen.
    pub fn path(&self) -> PathBuf {
        PathBuf::from("/dev/shm").join(&self.name)
    }
}

/// Whether the user of this number is the service user of the program that writes the page.
fn is_service_user<B: Body>(uid: u32) -> bool {
    User::from_name(B::NAME).ok().flatten().is_some_and(|user| user.uid.as_raw() == uid)
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

    fn body(&self) -> Option<dante_core::page::Words<'a>> {
        let (head, body) = self.0.split_at_checked(dante_core::page::HEAD_WORDS)?;
        Some(dante_core::page::Words::new(head.get(Head::Sequence as usize)?, body))
    }
}

/// The words of a page's head, as `dante_core::page` draws them.
#[derive(Debug, Clone, Copy)]
enum Head {
    Magic = 0,
    Layout = 1,
    Size = 2,
    Life = 3,
    Instance = 4,
    HeartbeatUntil = 5,
    Doorbell = 6,
    Sequence = 7,
}

impl Head {
    /// In the file, in bytes.
    fn offset(self) -> u64 {
        self as u64 * 8
    }
}

#[cfg(test)]
mod tests;
