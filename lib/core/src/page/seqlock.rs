//! The seqlock over a page's body.
//!
//! Writer: sequence to odd, release fence, words, sequence to even (release). Reader: sequence, acquire fence, words,
//! acquire fence, sequence again; odd or changed, the words are torn and read again. All accesses are atomic, so that
//! a torn read is a wrong value and never undefined behaviour; all of a reader's are Relaxed loads, the only ones that
//! Rust allows on read-only memory. The pattern is the one of H.-J. Boehm, "Can seqlocks get along with programming
//! language memory models?" (MSPC 2012), and a loom test walks through its interleavings.

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
}

impl<'a, W: Word> Words<'a, W> {
    /// `words` guarded by `sequence`.
    pub const fn new(sequence: &'a W, words: &'a [W]) -> Self {
        Self { sequence, words }
    }

    /// Writes `bytes` (of the words' own length; what is missing stays as it was). There must be one writer only.
    /// A sequence that a dead writer left odd is made good.
    pub fn store(&self, bytes: &[u8]) {
        let odd = self.sequence.load() | 1;
        self.sequence.store(odd, Ordering::Relaxed);
        W::fence(Ordering::Release);
        for (word, chunk) in self.words.iter().zip(bytes.as_chunks::<8>().0) {
            word.store(u64::from_ne_bytes(*chunk), Ordering::Relaxed);
        }
        self.sequence.store(odd.wrapping_add(1), Ordering::Release);
    }

    /// Reads the words into `bytes`.
    ///
    /// # Errors
    /// [`Torn`] after a bounded number of attempts; `bytes` then hold nothing of use.
    pub fn load(&self, bytes: &mut [u8]) -> Result<(), Torn> {
        for _ in 0..ATTEMPTS {
            if self.try_load(bytes) {
                return Ok(());
            }
            W::pause();
        }
        Err(Torn)
    }

    pub(super) fn try_load(&self, bytes: &mut [u8]) -> bool {
        let before = self.sequence.load();
        W::fence(Ordering::Acquire);
        if before % 2 == 1 {
            return false;
        }
        for (word, chunk) in self.words.iter().zip(bytes.as_chunks_mut::<8>().0) {
            *chunk = word.load().to_ne_bytes();
        }
        W::fence(Ordering::Acquire);
        self.sequence.load() == before
    }
}
