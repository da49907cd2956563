//! The head of a page, and the sizes of its parts.

use super::Body;
use crate::named;
use crate::time::{Duration, Raw, Timestamp};

/// "D4L_PAGE" in the order of its bytes in memory.
pub const MAGIC: u64 = u64::from_ne_bytes(*b"D4L_PAGE");
/// Size of the head, 64-bit words.
pub const HEAD_WORDS: usize = 16;
/// Size of the head, bytes.
pub const HEAD_SIZE: usize = HEAD_WORDS * 8;
/// Size of the tail, bytes. The tail is the last word of a page, a checksum: the sum of [`Head::Sequence`], of
/// [`Head::CONSTANTS`] and of the words of the body, modulo 2^64.
pub const TAIL_SIZE: usize = 8;
/// Largest size of a page that a reader accepts, bytes. It limits how much memory a faulty writer makes readers map.
pub const MAX_SIZE: usize = 1 << 20;
/// Validity of a heartbeat: the page is stale this long after the writer's last renewal.
pub const HEARTBEAT: Duration = Duration::from_secs(2);
/// Longest time between two renewals of the heartbeat.
pub const HEARTBEAT_RENEWAL: Duration = Duration::from_secs(1);

/// The words of the head, by their position.
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
    /// End of the heartbeat's validity, CLOCK_MONOTONIC_RAW, ns: after it the writer is regarded as dead.
    HeartbeatUntil = 5,
    /// Count of publications. On a clock page it is written by pwrite(2), so that inotify reports it.
    Doorbell = 6,
    /// Odd while the body is being written.
    Sequence = 7,
    /// Bits 0..31: offset of the array from the beginning of the page, bytes; bits 32..63: distance from one entry to the
    /// next, bytes. 0 where the body has no array.
    Array = 8,
    /// Number of entries of the array. The words after this one are zero.
    Entries = 9,
}

impl Head {
    /// The words that do not change while one writer runs. They are part of the checksum.
    pub const CONSTANTS: [Self; 6] =
        [Self::Magic, Self::Layout, Self::Size, Self::Instance, Self::Array, Self::Entries];

    /// Offset of the word from the beginning of the page, bytes.
    pub const fn offset(self) -> u64 {
        self as u64 * 8
    }
}

/// The two types of pages, which differ in the meaning of their version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A clock page: fields are only appended, so a reader accepts any size of its major version. It has a doorbell.
    Clock,
    /// A status page: only programs with the same layout number read it. It has no doorbell; its readers watch the clock page.
    Status,
}

/// Sizes of a page and its array, of this version or, by a page's head, of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Size of the page, bytes.
    pub size: usize,
    /// The array at the end of the body, if there is one.
    pub array: Option<Array>,
}

/// Position and size of a page's array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array {
    /// Offset from the beginning of the page, bytes.
    pub offset: usize,
    /// Distance from one entry to the next, bytes.
    pub stride: usize,
    /// Number of entries.
    pub entries: usize,
}

impl Shape {
    /// Converts the words [`Head::Size`], [`Head::Array`] and [`Head::Entries`]; `None` where they are inconsistent.
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

    /// Returns the words [`Head::Size`], [`Head::Array`] and [`Head::Entries`].
    pub const fn words(self) -> [u64; 3] {
        match self.array {
            None => [self.size as u64, 0, 0],
            Some(Array { offset, stride, entries }) => {
                [self.size as u64, (stride as u64) << 32 | offset as u64, entries as u64]
            }
        }
    }

    /// Size of the body, between head and tail, bytes.
    pub const fn body(self) -> usize {
        self.size - HEAD_SIZE - TAIL_SIZE
    }

    /// Size of the fields between the head and the array, or the tail where there is no array, bytes.
    pub(super) fn fields(self) -> usize {
        self.array.map_or(self.size - TAIL_SIZE, |array| array.offset) - HEAD_SIZE
    }
}

/// The word [`Head::Layout`].
pub const fn layout_word<B: Body>() -> u64 {
    (B::KIND as u64) << 32 | B::VERSION as u64
}

/// The words of [`Head::CONSTANTS`] for a writer with this instance number.
pub const fn constants<B: Body>(instance: u64) -> [u64; 6] {
    let [size, array, entries] = B::SHAPE.words();
    [MAGIC, layout_word::<B>(), size, instance, array, entries]
}

/// The tail for the bytes of a whole page, whose last word is not part of the sum. Words that `page` lacks count as 0.
pub fn tail_of(page: &[u8]) -> u64 {
    let word = |place: usize| {
        let bytes = page.get(place * 8..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    };
    let head = Head::CONSTANTS.into_iter().chain([Head::Sequence]).map(|word| word as usize);
    let body = HEAD_WORDS..(page.len() / 8).saturating_sub(1);
    head.chain(body).filter_map(word).fold(0, u64::wrapping_add)
}

/// State of a page, in its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Life {
    /// The head is not complete.
    BeingMade = 0,
    /// The writer runs, or ran until it was killed.
    Live = 1,
    /// The writer ended normally.
    Stopped = 2,
    /// Another file has replaced the page: readers open the page again.
    Replaced = 3,
}

impl Life {
    /// Converts the word [`Head::Life`].
    pub fn of_word(word: u64) -> Self {
        match word >> 32 {
            1 => Self::Live,
            2 => Self::Stopped,
            3 => Self::Replaced,
            _ => Self::BeingMade,
        }
    }

    /// The word [`Head::Life`].
    pub const fn word(self, pid: u32) -> u64 {
        (self as u64) << 32 | pid as u64
    }
}

named! {
    /// State of a page as a reader sees it: the key `page` of `pmc-lite get status --json`.
    pub enum Freshness {
        /// The writer is alive.
        Fresh "fresh",
        /// The writer died or hangs.
        Stale "stale",
        /// The writer ended normally.
        Stopped "stopped",
        /// There is no page.
        Absent "absent",
        /// The file is not trusted: wrong owner or permissions, unreadable, or not a regular file.
        Foreign "foreign",
        /// The file is not a page of this program, or has a layout or a size that this version does not read.
        Layout "layout",
    }
}

impl Freshness {
    /// Determines the state of a trusted page.
    pub fn judge(life: Life, heartbeat_until: Timestamp<Raw>, now: Timestamp<Raw>) -> Self {
        match life {
            Life::Live if now <= heartbeat_until => Self::Fresh,
            Life::Live => Self::Stale,
            Life::Stopped => Self::Stopped,
            Life::BeingMade | Life::Replaced => Self::Absent,
        }
    }
}
