//! Pages of POSIX shared memory: one writer, read-only readers, and a doorbell.
//!
//! Every user may create files in `/dev/shm`, so a reader accepts a page only from a trusted owner; see [`PageReader`].
//! Truncating a page harms neither its readers nor its writer.

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
use std::sync::{Mutex, PoisonError};

/// Name of a program's page, including the instance name.
#[derive(Debug, Clone)]
pub struct PageName<B> {
    name: String,
    path: PathBuf,
    body: PhantomData<B>,
}

impl<B: Body> PageName<B> {
    /// Name of the page of this instance; `None`: the instance without a name.
    pub fn new(instance: Option<&Instance>) -> Self {
        let instance = instance.map_or(String::new(), |instance| format!("@{instance}"));
        let form = match B::FORM {
            Form::Clock => "",
            Form::Status => ".status",
        };
        let name = format!("{}{instance}{form}", B::PROGRAM);
        Self { path: Path::new("/dev/shm").join(&name), name, body: PhantomData }
    }

    /// Name as an argument of shm_open(3).
    fn os_id(&self) -> String {
        format!("/{}", self.name)
    }

    /// Path of the page's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path leads to the file with this device and inode.
    fn leads_to(&self, device: u64, inode: u64) -> bool {
        self.path.symlink_metadata().is_ok_and(|named| (named.dev(), named.ino()) == (device, inode))
    }
}

/// User ids of the service users looked up so far; `None`: there is no such user.
static SERVICE_USERS: Mutex<Vec<(&str, Option<u32>)>> = Mutex::new(Vec::new());

/// User id of the service user of the program that writes the page. It is looked up once: the name service (nsswitch.conf(5)) may
/// ask a server on the network and wait for it, and main loops check owners.
fn service_user<B: Body>() -> Option<u32> {
    let mut known = SERVICE_USERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, user)) = known.iter().find(|(program, _)| *program == B::PROGRAM) {
        return *user;
    }
    // A failure, such as a lack of descriptors, is no answer: the next check asks again.
    let user = User::from_name(B::PROGRAM).ok()?.map(|user| user.uid.as_raw());
    known.push((B::PROGRAM, user));
    user
}

/// Whether `uid` is the service user of the program that writes the page.
fn is_service_user<B: Body>(uid: u32) -> bool {
    service_user::<B>() == Some(uid)
}

/// Name of an instance: several suites can run on one host, each on its own network.
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
    /// `start` must point to `words` words of shared memory, aligned to 8 bytes, that stay mapped for `'a`; all other accesses
    /// to them must be atomic. A read-only mapping allows Relaxed loads only.
    unsafe fn new(start: *const u8, words: usize) -> Self {
        // SAFETY: the caller guarantees the conditions above.
        Self(unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), words) })
    }

    /// Returns 0 if the page is too short for this word.
    fn load(&self, word: Head) -> u64 {
        self.0.get(word as usize).map_or(0, |place| place.load(Ordering::Relaxed))
    }

    fn store(&self, word: Head, value: u64, order: Ordering) {
        if let Some(place) = self.0.get(word as usize) {
            place.store(value, order);
        }
    }

    /// The body. `constants`: values of the words [`Head::CONSTANTS`], which are part of the checksum in the tail.
    fn body(&self, constants: [u64; 6]) -> Option<Words<'a>> {
        let (head, rest) = self.0.split_at_checked(HEAD_WORDS)?;
        let (tail, body) = rest.split_last()?;
        let sum = constants.into_iter().fold(0, u64::wrapping_add);
        Some(Words::new(head.get(Head::Sequence as usize)?, body, tail, sum))
    }
}

#[cfg(test)]
mod tests;
