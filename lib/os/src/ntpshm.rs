//! NTP shared memory: the System V segment through which chronyd and ntpd receive samples of a reference clock, as from gpsd.
//!
//! 96 bytes, native endian, LP64:
//! ```text
//!  0 mode i32      4 count i32     8 clock s i64       16 clock us i32    24 receive s i64
//! 32 receive us   36 leap i32     40 precision i32     44 nsamples i32    48 valid i32
//! 52 clock ns u32 56 receive ns u32                    60 dummy
//! ```
//! Mode 1: the writer increments `count` before and after a change; a reader that sees it change discards what it read. The
//! memory is shared with programs in other languages, so every field is an atomic, and only fences order the accesses.

mod output;
mod segment;

pub use output::ShmOutput;

use crate::denial::display_explained;
use dante_core::explain::Explain;
use dante_core::relay::RefclockSample;
use dante_core::time::{Real, Timestamp};
use nix::errno::Errno;
use segment::{Fields, Mapping};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, fence};

/// Why a segment cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum ShmError {
    /// The unit has no System V key.
    NoSuchUnit {
        unit: u32,
    },
    Refused {
        unit: u32,
    },
    WrongSize {
        unit: u32,
    },
    Missing {
        unit: u32,
    },
    Foreign {
        unit: u32,
        owner: u32,
    },
    Failed {
        tried: &'static str,
        unit: u32,
        cause: Errno,
    },
}

impl Explain for ShmError {
    fn what(&self) -> String {
        match self {
            Self::NoSuchUnit { unit } => format!("NTP SHM unit {unit} is out of range"),
            Self::Refused { unit } => format!(
                "NTP SHM unit {unit} was created by another user: by root if chronyd, ntpd or gpsd started first; the \
                 segment outlives them"
            ),
            Self::WrongSize { unit } => format!(
                "NTP SHM unit {unit} exists with another size than {} bytes: another program uses this key",
                size_of::<Fields>()
            ),
            Self::Missing { unit } => format!(
                "NTP SHM unit {unit} does not exist: no program has created it yet (or PrivateIPC= hides it)"
            ),
            Self::Foreign { unit, owner } => {
                format!("NTP SHM unit {unit} belongs to user {owner}, who could forge samples for chronyd")
            }
            Self::Failed { tried, unit, cause } => format!("{tried} NTP SHM unit {unit}: {cause}"),
        }
    }

    fn remedy(&self) -> Option<String> {
        let remove = |unit: u32| format!("`ipcrm -M 0x{:08x}`", segment::KEY.wrapping_add(unit));
        Some(match *self {
            Self::NoSuchUnit { .. } => "choose a unit from 0 to 255, as is usual with chrony and ntpd".into(),
            Self::Refused { unit } => format!(
                "stop chronyd, remove the segment with {}, wait a second until this program has made its own, then start chronyd \
                 (`ipcs -m` shows the owner)\n\
                 or choose another unit",
                remove(unit)
            ),
            Self::WrongSize { unit } | Self::Foreign { unit, .. } => {
                format!("choose another unit, or remove the segment with {}", remove(unit))
            }
            Self::Missing { .. } | Self::Failed { .. } => return None,
        })
    }
}

display_explained!(ShmError);

/// Log2 of the precision in seconds: about 1 us, that of software timestamps. chrony ignores it.
const PRECISION: i32 = -20;

/// The writer of a unit.
#[derive(Debug)]
pub struct NtpShm {
    memory: Mapping,
    /// The slot holds a sample of this writer that no program has taken, as far as is known.
    is_offered: bool,
}

impl NtpShm {
    /// Creates the segment of `unit` with the permissions `mode` (chronyd itself uses 0o600), or attaches an existing one, and
    /// keeps its permissions.
    ///
    /// # Errors
    /// [`ShmError`]: the segment belongs to another user, or has another size.
    pub fn create(unit: u32, mode: u32) -> Result<Self, ShmError> {
        Mapping::create(unit, mode).map(|memory| Self { memory, is_offered: false })
    }

    /// Publishes a sample. It replaces a sample that was not read yet, as the protocol has one slot. Returns whether a program took
    /// the previous sample.
    pub fn write(&mut self, sample: &RefclockSample) -> bool {
        let taken = self.change(|fields| {
            let (seconds, ns) = parts(sample.reference);
            fields.clock_sec.store(seconds, Relaxed);
            fields.clock_usec.store(micros(ns), Relaxed);
            fields.clock_nsec.store(ns, Relaxed);
            let (seconds, ns) = parts(sample.received);
            fields.receive_sec.store(seconds, Relaxed);
            fields.receive_usec.store(micros(ns), Relaxed);
            fields.receive_nsec.store(ns, Relaxed);
            // No warning of a leap second: any value but 0, 1 or 2 makes chrony drop the sample.
            fields.leap.store(0, Relaxed);
            fields.precision.store(PRECISION, Relaxed);
        });
        self.memory.fields().valid.store(1, Release);
        self.is_offered = true;
        taken
    }

    /// Withdraws a sample that was not read yet, for when the reference has no valid time. Returns whether a program took the
    /// last sample.
    pub fn withdraw(&mut self) -> bool {
        self.change(|_| ())
    }

    /// Whether a program took the last sample; `true` once for each sample.
    pub fn was_taken(&mut self) -> bool {
        // A reader clears `valid` after it has read a sample.
        let taken = self.is_offered && self.memory.fields().valid.load(Relaxed) == 0;
        self.is_offered &= !taken;
        taken
    }

    /// Marks the sample in the slot as read, as chronyd does. Returns whether there was one. For demonstrations and tests.
    pub fn take(&self) -> bool {
        self.memory.fields().valid.swap(0, Relaxed) == 1
    }

    /// Number of other attachments: of programs that read or could read samples.
    pub fn other_programs(&self) -> u64 {
        self.memory.other_attachments()
    }

    /// Whether another process removed the segment's key: a program that starts now does not find this segment.
    pub fn is_removed(&self) -> bool {
        self.memory.is_removed()
    }

    /// Changes the fields and leaves `valid` at 0, also if the program dies anywhere in here. Returns whether a program took the
    /// last sample.
    fn change(&mut self, fill: impl FnOnce(&Fields)) -> bool {
        let fields = self.memory.fields();
        let count = fields.count.load(Relaxed);
        fields.mode.store(1, Relaxed);
        let taken = std::mem::take(&mut self.is_offered) && fields.valid.swap(0, Relaxed) == 0;
        fields.valid.store(0, Relaxed);
        // Release: a reader that sees this count sees valid = 0. The fence: a reader that sees a new field sees this count.
        fields.count.store(count.wrapping_add(1), Release);
        fence(Release);
        fill(fields);
        fence(Release);
        fields.count.store(count.wrapping_add(2), Relaxed);
        taken
    }

    /// Whether every local user may write to the segment, and so forge samples for chronyd.
    pub fn is_open_to_all(&self) -> bool {
        self.memory.state().is_ok_and(|state| state.shm_perm.mode & 0o002 != 0)
    }

    /// Changes the owner of the segment, who may then attach it. The creator keeps all permissions (ipcperms in the kernel's
    /// ipc/util.c treats both as the owner), and can attach it again after a restart. So a writer with its own user can create a
    /// unit with mode 0600 for chronyd, which attaches as root. Does nothing if the user owns the segment already.
    ///
    /// # Errors
    /// [`ShmError::Failed`], for example if this user does not own the segment.
    pub fn give_to(&self, uid: u32) -> Result<(), ShmError> {
        self.memory.give_to(uid)
    }

    /// Whether the segment of `unit` exists.
    pub fn exists(unit: u32) -> bool {
        segment::get(unit, 0, 0).is_ok()
    }

    /// Removes the segment of `unit`: its key is free immediately, its memory once the last program detaches. For the private
    /// units of demonstrations and tests: chronyd keeps the segment that it has attached, and would never see a new one.
    ///
    /// # Errors
    /// [`ShmError::Missing`], or the kernel's error if it belongs to another user.
    pub fn remove(unit: u32) -> Result<(), ShmError> {
        segment::remove(unit)
    }
}

/// A passive reader: unlike chronyd it does not clear `valid`, so it takes no sample away from another reader.
#[derive(Debug)]
pub struct NtpShmReader {
    memory: Mapping,
}

impl NtpShmReader {
    /// Attaches the segment of `unit` read-only.
    ///
    /// # Errors
    /// [`ShmError::Missing`] if there is none, [`ShmError::Refused`] without read permission.
    pub fn attach(unit: u32) -> Result<Self, ShmError> {
        Mapping::attach_read_only(unit).map(|memory| Self { memory })
    }

    /// The sample in the slot and its count, read as chrony does. `None` if there is none, if a reader took it, or if it was
    /// being written.
    pub fn read(&self) -> Option<(RefclockSample, i32)> {
        // Relaxed loads and fences only: Rust allows no other loads on read-only memory.
        let fields = self.memory.fields();
        let count = fields.count.load(Relaxed);
        fence(Acquire);
        let valid = fields.valid.load(Relaxed);
        let timestamp = |sec: &AtomicI64, usec: &AtomicI32, nsec: &AtomicU32| {
            let (usec, nsec) = (usec.load(Relaxed), nsec.load(Relaxed));
            // As in chrony: the ns are used only if they agree with the us.
            let ns =
                if micros(nsec) == usec { i64::from(nsec) } else { i64::from(usec).saturating_mul(1000) };
            crate::clock::timestamp(sec.load(Relaxed), ns)
        };
        let sample = RefclockSample {
            reference: timestamp(&fields.clock_sec, &fields.clock_usec, &fields.clock_nsec),
            received: timestamp(&fields.receive_sec, &fields.receive_usec, &fields.receive_nsec),
        };
        fence(Acquire);
        (valid == 1 && fields.count.load(Relaxed) == count).then_some((sample, count))
    }
}

fn parts(time: Timestamp<Real>) -> (i64, u32) {
    let (seconds, ns) = time.split();
    (seconds, u32::try_from(ns).unwrap_or(0))
}

/// Truncates, as a reader uses the ns only if ns / 1000 equals the us.
fn micros(ns: u32) -> i32 {
    i32::try_from(ns / 1000).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
