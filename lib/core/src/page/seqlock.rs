//! The seqlock over a page's body.
//!
//! Writer: sequence to odd, release fence, words, tail, sequence to even (release). Reader: sequence, acquire fence, words,
//! tail, acquire fence, sequence again; odd or changed, the words are torn and read again. The tail is the last word of a
//! page: the even sequence plus the sum of the head's constant words and of all words, modulo 2^64. It shows what the
//! sequence does not: a file that another process cut short and extended again is zeros from some place on, and no order
//! holds between those zeros and what is written meanwhile. All accesses are atomic, so that a torn read is a wrong value
//! and never undefined behaviour; all of a reader's are Relaxed loads, the only ones that Rust allows on read-only memory.
//! The pattern is the one of H.-J. Boehm, "Can seqlocks get along with programming language memory models?" (MSPC 2012),
//! and a loom test walks through its interleavings.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// So many torn reads in a row are not a writer at work (which takes under a microsecond) but a dead one.
const ATTEMPTS: usize = 64;

/// The writer died in the middle of the body, or something writes without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the page is caught in the middle of a change: its writer died there")]
pub struct Torn;

/// What a page is made of: the machine's own words, and in a test such as show every order that the memory model allows.
pub trait Word {
    /// A Relaxed load.
    fn load(&self) -> u64;
    /// A store of that ordering.
    fn store(&self, value: u64, ordering: Ordering);
    /// A fence among words of this kind.
    fn fence(ordering: Ordering);
    /// A moment for whoever writes.
    fn pause();
}

impl Word for AtomicU64 {
    fn load(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }

    fn store(&self, value: u64, ordering: Ordering) {
        self.store(value, ordering);
    }

    fn fence(ordering: Ordering) {
        fence(ordering);
    }

    fn pause() {
        std::hint::spin_loop();
    }
}

/// A sequence word and the words that it guards.
#[derive(Debug)]
pub struct Words<'a, W = AtomicU64> {
    sequence: &'a W,
    words: &'a [W],
    tail: &'a W,
    constants: u64,
}

impl<'a, W: Word> Words<'a, W> {
    /// `words` guarded by `sequence`, and `tail` behind them. `constants` is the sum of what else must not change.
    pub const fn new(sequence: &'a W, words: &'a [W], tail: &'a W, constants: u64) -> Self {
        Self { sequence, words, tail, constants }
    }

    /// The sequence that a writer begins with who takes the words over.
    pub fn sequence(&self) -> u64 {
        self.sequence.load()
    }

    /// Writes `bytes`, of the words' own length. There must be one writer only, who hands over the sequence that the last
    /// call returned: the one in memory may have been set back by another process, and a reader would take two bodies of
    /// one sequence for one. A sequence that a dead writer left odd is made good.
    pub fn store(&self, sequence: u64, bytes: &[u8]) -> u64 {
        let odd = sequence | 1;
        let even = odd.wrapping_add(1);
        self.sequence.store(odd, Ordering::Relaxed);
        W::fence(Ordering::Release);
        let mut sum = even.wrapping_add(self.constants);
        for (word, chunk) in self.words.iter().zip(bytes.as_chunks::<8>().0) {
            let value = u64::from_ne_bytes(*chunk);
            word.store(value, Ordering::Relaxed);
            sum = sum.wrapping_add(value);
        }
        self.tail.store(sum, Ordering::Relaxed);
        self.sequence.store(even, Ordering::Release);
        even
    }

    /// Reads the words into `bytes`; the sequence that they belong to.
    ///
    /// # Errors
    /// [`Torn`] after a bounded number of attempts; `bytes` then hold nothing of use.
    pub fn load(&self, bytes: &mut [u8]) -> Result<u64, Torn> {
        for _ in 0..ATTEMPTS {
            if let Some(sequence) = self.try_load(bytes) {
                return Ok(sequence);
            }
            W::pause();
        }
        Err(Torn)
    }

    pub(super) fn try_load(&self, bytes: &mut [u8]) -> Option<u64> {
        let before = self.sequence.load();
        W::fence(Ordering::Acquire);
        // 0: nothing was ever written, or the file was cut short in front of the sequence.
        if before % 2 == 1 || before == 0 {
            return None;
        }
        let mut sum = before.wrapping_add(self.constants);
        for (word, chunk) in self.words.iter().zip(bytes.as_chunks_mut::<8>().0) {
            let value = word.load();
            *chunk = value.to_ne_bytes();
            sum = sum.wrapping_add(value);
        }
        let tail = self.tail.load();
        W::fence(Ordering::Acquire);
        (tail == sum && self.sequence.load() == before).then_some(before)
    }
}
