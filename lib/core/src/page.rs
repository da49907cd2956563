//! Pages: how the programs meet.
//!
//! Each daemon publishes one page of POSIX shared memory; readers map it read-only. A page is a head of eight 64-bit
//! words and a body. Numbers are in the byte order of the machine.
//!
//! ```text
//! word 0   magic "D4L_PAGE", written last when a page is made
//!      1   bits 0..31: layout version of the body, bits 32..63: kind (1 dante4l, 2 dante2sys, 3 danteshm)
//!      2   size of the page in bytes
//!      3   bits 0..31: process id of the writer, bits 32..63: life (0 being made, 1 live, 2 stopped, 3 replaced)
//!      4   instance: a random number that the writer draws at each start
//!      5   heartbeat_until: CLOCK_MONOTONIC_RAW, ns; later than that the writer is dead
//!      6   doorbell: counts what was published; written by pwrite, so that inotify tells of it
//!      7   sequence: odd while the body is being written
//!      8.. the body
//! ```
//!
//! The body is guarded by the sequence (a seqlock). Readers have read-only memory, on which Rust allows Relaxed atomic
//! loads only, so both sides use Relaxed word accesses and fences; see [`Words`].

mod dante2sys;
mod dante4l;
mod danteshm;
mod record;
mod seqlock;
mod text;

pub use dante2sys::{
    Dante2sys, DateRecord, LineRecord, RtcMode, STEER_DATE_GOOD, STEER_DATE_LEFT, STEER_HAS_DATE,
    STEER_HAS_LINE, STEER_HAS_PHASE, STEER_HAS_SCALE, SteeredClock, UtcSource,
};
pub use dante4l::{
    Dante4l, HeardRecord, KernelClock, LeaderRecord, MAX_PORTS, MapRecord, NoticeRecord, PORT_HAS_DELAY,
    PORT_HAS_LEADER, PORT_HAS_MAP, PORT_HAS_SAMPLE, PortRecord, RING, SampleRecord, StampSource,
};
pub use danteshm::{Danteshm, MAX_OUTPUTS, OutputKind, OutputRecord};
pub use seqlock::{Torn, Words};
pub use text::{SocketPath, Text};

use crate::named;
use crate::time::{Duration, Raw, Timestamp};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// "D4L_PAGE" as the bytes lie in memory.
pub const MAGIC: u64 = u64::from_ne_bytes(*b"D4L_PAGE");
/// Words of the head.
pub const HEAD_WORDS: usize = 8;
/// A heartbeat holds for so long.
pub const HEARTBEAT: Duration = Duration::from_secs(2);
/// And is renewed after this at the latest.
pub const HEARTBEAT_RENEWAL: Duration = Duration::from_secs(1);

/// The body of one program's page.
pub trait Body: FromBytes + IntoBytes + KnownLayout + Immutable + Clone {
    /// What the program, and so its page, is called.
    const NAME: &'static str;
    /// In the head.
    const KIND: u32;
    /// Rises with every change of the layout.
    const VERSION: u32;
    /// Of the whole page, head and body.
    const SIZE: usize = HEAD_WORDS * 8 + size_of::<Self>();
}

/// Word 1 of the head.
pub const fn layout_word<B: Body>() -> u64 {
    (B::KIND as u64) << 32 | B::VERSION as u64
}

/// Where a page stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Life {
    /// Its head is not complete.
    BeingMade = 0,
    /// Its writer runs, or did so until it was killed.
    Live = 1,
    /// Its writer ended in good order.
    Stopped = 2,
    /// Another page took its name: open anew.
    Replaced = 3,
}

impl Life {
    /// From word 3.
    pub fn of_word(word: u64) -> Self {
        match word >> 32 {
            1 => Self::Live,
            2 => Self::Stopped,
            3 => Self::Replaced,
            _ => Self::BeingMade,
        }
    }

    /// Word 3.
    pub const fn word(self, pid: u32) -> u64 {
        (self as u64) << 32 | pid as u64
    }
}

named! {
    /// How a page looks to a reader: the `page` of `pmc-lite get status --json`.
    pub enum Freshness {
        /// Its writer is alive.
        Fresh "fresh",
        /// Its writer died or hangs.
        Stale "stale",
        /// Its writer ended in good order.
        Stopped "stopped",
        /// There is none.
        Absent "absent",
        /// It belongs to somebody who must not write it.
        Foreign "foreign",
        /// It is laid out otherwise than this program knows.
        Layout "layout",
    }
}

impl Freshness {
    /// Of a page that may be believed.
    pub fn judge(life: Life, heartbeat_until: Timestamp<Raw>, now: Timestamp<Raw>) -> Self {
        match life {
            Life::Live if now <= heartbeat_until => Self::Fresh,
            Life::Live => Self::Stale,
            Life::Stopped => Self::Stopped,
            Life::BeingMade | Life::Replaced => Self::Absent,
        }
    }
}

/// A page as it was at one moment.
#[derive(Debug, Clone)]
pub struct View<B> {
    /// Whether its writer is alive.
    pub freshness: Freshness,
    /// The writer's process.
    pub pid: u32,
    /// The writer's random number.
    pub instance: u64,
    /// What it says.
    pub body: B,
}

#[cfg(test)]
mod tests;
