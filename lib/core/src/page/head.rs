//! The head of a page, and the form of what follows it.

use super::Body;
use crate::named;
use crate::time::{Duration, Raw, Timestamp};

/// "D4L_PAGE" as the bytes lie in memory.
pub const MAGIC: u64 = u64::from_ne_bytes(*b"D4L_PAGE");
/// Words of the head.
pub const HEAD_WORDS: usize = 16;
/// Bytes of the head.
pub const HEAD_SIZE: usize = HEAD_WORDS * 8;
/// Bytes of the tail, the last word of a page: the sum of [`Head::Sequence`], of [`Head::CONSTANTS`] and of the words of
/// the body, modulo 2^64.
pub const TAIL_SIZE: usize = 8;
/// Largest size of a page that a reader accepts, bytes: a bound on what a faulty writer makes its readers map.
pub const MAX_SIZE: usize = 1 << 20;
/// A heartbeat is valid for this long.
pub const HEARTBEAT: Duration = Duration::from_secs(2);
/// It is renewed after this at the latest.
pub const HEARTBEAT_RENEWAL: Duration = Duration::from_secs(1);

/// The words of a page's head, by their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// [`MAGIC`], written last when a page is made.
    Magic = 0,
    /// Bits 0..31: version of the body, bits 32..63: its kind.
    Layout = 1,
    /// Size of the page and of its file, bytes.
    Size = 2,
    /// Bits 0..31: process id of the writer, bits 32..63: [`Life`].
    Life = 3,
    /// A random number that the writer draws at each start.
    Instance = 4,
    /// CLOCK_MONOTONIC_RAW, ns: later than that the writer is dead.
    HeartbeatUntil = 5,
    /// Counts publications. On a clock page it is written by pwrite(2), so that inotify reports it.
    Doorbell = 6,
    /// Odd while the body is being written.
    Sequence = 7,
    /// Bits 0..31: offset of the array from the beginning of the page, bytes; bits 32..63: distance from one entry to the
    /// next, bytes. 0 where the body has no array.
    Array = 8,
    /// Number of entries of the array. The words behind it are zero.
    Entries = 9,
}

impl Head {
    /// The words that never change while one writer runs.
    pub const CONSTANTS: [Self; 6] =
        [Self::Magic, Self::Layout, Self::Size, Self::Instance, Self::Array, Self::Entries];

    /// Where the word is, bytes from the beginning of the page.
    pub const fn offset(self) -> u64 {
        self as u64 * 8
    }
}

/// What a page's version means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A clock page: fields are only ever appended, so a reader takes any size of its major version. Its doorbell rings.
    Clock,
    /// A status page: read by programs of the same layout alone. It has no doorbell: watch the clock page.
    Status,
}

/// Sizes of a page, by its head: the reader's own, or those of another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Of the page, bytes.
    pub size: usize,
    /// The array that ends the page, if the body has one.
    pub array: Option<Array>,
}

/// The array of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array {
    /// From the beginning of the page, bytes.
    pub offset: usize,
    /// From one entry to the next, bytes.
    pub stride: usize,
    /// How many entries.
    pub entries: usize,
}

impl Shape {
    /// From the words [`Head::Size`], [`Head::Array`] and [`Head::Entries`]; `None` where they contradict one another.
    pub fn of_words([size, array, entries]: [u64; 3]) -> Option<Self> {
        let size = usize::try_from(size)
            .ok()
            .filter(|size| (HEAD_SIZE + TAIL_SIZE..=MAX_SIZE).contains(size) && size % 8 == 0)?;
        let [offset, stride, entries] = [array & 0xffff_ffff, array >> 32, entries].map(usize::try_from);
        let array = Array { offset: offset.ok()?, stride: stride.ok()?, entries: entries.ok()? };
        if array == (Array { offset: 0, stride: 0, entries: 0 }) {
            return Some(Self { size, array: None });
        }
        let fits = array.offset >= HEAD_SIZE
            && array.stride > 0
            && array.stride.checked_mul(array.entries)?.checked_add(array.offset)? <= size - TAIL_SIZE;
        fits.then_some(Self { size, array: Some(array) })
    }

    /// Those words.
    pub const fn words(self) -> [u64; 3] {
        match self.array {
            None => [self.size as u64, 0, 0],
            Some(Array { offset, stride, entries }) => {
                [self.size as u64, (stride as u64) << 32 | offset as u64, entries as u64]
            }
        }
    }

    /// Bytes of the body, between head and tail.
    pub const fn body(self) -> usize {
        self.size - HEAD_SIZE - TAIL_SIZE
    }

    /// Bytes from the end of the head to the array, or to the tail.
    pub(super) fn fields(self) -> usize {
        self.array.map_or(self.size - TAIL_SIZE, |array| array.offset) - HEAD_SIZE
    }
}

/// Word 1 of the head.
pub const fn layout_word<B: Body>() -> u64 {
    (B::KIND as u64) << 32 | B::VERSION as u64
}

/// The words of [`Head::CONSTANTS`], for a writer of this instance.
pub const fn constants<B: Body>(instance: u64) -> [u64; 6] {
    let [size, array, entries] = B::SHAPE.words();
    [MAGIC, layout_word::<B>(), size, instance, array, entries]
}

/// The tail that belongs to the bytes of a page, of which its last word is left out; 0 where they are too few.
pub fn tail_of(page: &[u8]) -> u64 {
    let word = |place: usize| {
        let bytes = page.get(place * 8..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    };
    let head = Head::CONSTANTS.into_iter().chain([Head::Sequence]).map(|word| word as usize);
    let body = HEAD_WORDS..(page.len() / 8).saturating_sub(1);
    head.chain(body).filter_map(word).fold(0, u64::wrapping_add)
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
    /// It is being made again: open it again.
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
        /// It has a layout or a size that this program does not read.
        Layout "layout",
    }
}

impl Freshness {
    /// Of a page that is trusted.
    pub fn judge(life: Life, heartbeat_until: Timestamp<Raw>, now: Timestamp<Raw>) -> Self {
        match life {
            Life::Live if now <= heartbeat_until => Self::Fresh,
            Life::Live => Self::Stale,
            Life::Stopped => Self::Stopped,
            Life::BeingMade | Life::Replaced => Self::Absent,
        }
    }
}
