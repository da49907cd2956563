//! The seqlock over a page's body.
//!
//! Writer: sequence to odd, release fence, words, tail, sequence to even (release). Reader: sequence, acquire fence, words,
//! tail, acquire fence, sequence again. If the sequence is odd or has changed, the words are torn and are read again. The tail is
//! the last word of a page: the even sequence plus the sum of the head's constant words and of all words of the body, modulo 2^64.
//! It shows what the sequence does not: a file that another process truncated and extended again is zeros from some offset on, and
//! no memory order holds between those zeros and concurrent writes. All accesses are atomic, so that a torn read gives a wrong
//! value and never undefined behaviour. A reader uses Relaxed loads only, as Rust allows no others on read-only memory. The
//! pattern is that of H.-J. Boehm, "Can seqlocks get along with programming language memory models?" (MSPC 2012). A loom test
//! checks its interleavings.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Number of torn reads in a row after which a read fails. A running writer needs less than a microsecond, so it has died or was
/// preempted.
const ATTEMPTS: usize = 64;

/// The writer died while it wrote the body, or another process changes the page continually.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the page is inconsistent: its writer died while writing it")]
pub struct Torn;

/// An atomic word of a page: `AtomicU64`, or in a test the one of loom, which tries every order that the memory model allows.
pub trait Word {
    /// A Relaxed load.
    fn load(&self) -> u64;
    /// A store with this ordering.
    fn store(&self, value: u64, ordering: Ordering);
    /// A fence among words of this type.
    fn fence(ordering: Ordering);
    /// A short wait for the writer.
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

/// A sequence word, the words that it guards, and their tail.
#[derive(Debug)]
pub struct Words<'a, W = AtomicU64> {
    sequence: &'a W,
    words: &'a [W],
    tail: &'a W,
    constants: u64,
}

impl<'a, W: Word> Words<'a, W> {
    /// `words` guarded by `sequence`, followed by `tail`. `constants` is the sum of the head's words that must not change.
    pub const fn new(sequence: &'a W, words: &'a [W], tail: &'a W, constants: u64) -> Self {
        Self { sequence, words, tail, constants }
    }

    /// The sequence in memory, with which a writer that takes over the page begins.
    pub fn sequence(&self) -> u64 {
        self.sequence.load()
    }

    /// Writes `bytes`, whose length is that of the words, and returns the new sequence. There must be one writer only. `sequence` is
    /// the one that the last call returned: another process may have set back the one in memory, and a reader would take two
    /// bodies with the same sequence for one. An odd sequence that a dead writer left becomes even.
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

    /// Reads the words into `bytes`, and returns their sequence.
    ///
    /// # Errors
    /// [`Torn`] after 16 torn reads; `bytes` are then undefined.
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
        // 0: no body was written yet, or the file was truncated before the sequence.
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
