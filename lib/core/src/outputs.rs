//! The queue between an engine and the program that runs it.

use arrayvec::ArrayVec;

/// Outputs of an engine in their order, at most `N` between two drains.
///
/// Each engine sizes its queue for the largest number of outputs between two drains. A full queue is a fault of the engine: the
/// output is dropped and counted, and a debug build panics.
#[derive(Debug)]
pub struct Outputs<T, const N: usize> {
    queue: ArrayVec<T, N>,
    lost: u64,
}

impl<T, const N: usize> Default for Outputs<T, N> {
    fn default() -> Self {
        Self { queue: ArrayVec::new(), lost: 0 }
    }
}

impl<T, const N: usize> Outputs<T, N> {
    /// Appends an output.
    pub fn push(&mut self, output: T) {
        if self.queue.try_push(output).is_err() {
            self.lost = self.lost.saturating_add(1);
            debug_assert!(false, "more than {N} outputs between two drains");
        }
    }

    /// Appends outputs.
    pub fn extend(&mut self, outputs: impl IntoIterator<Item = T>) {
        outputs.into_iter().for_each(|output| self.push(output));
    }

    /// Removes and returns the oldest output.
    pub fn pop(&mut self) -> Option<T> {
        self.queue.pop_at(0)
    }

    /// Returns the number of dropped outputs since the start.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}
