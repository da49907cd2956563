//! The queue between an engine and the program that runs it.

use arrayvec::ArrayVec;

/// Outputs of an engine in the order in which they arose, at most `N` between two drains.
///
/// Each engine sizes its queue for the most that one input can cause. An output that finds no room is a fault of the
/// engine: it is dropped and counted, and a debug build panics.
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
            debug_assert!(false, "more than {N} outputs of one input");
        }
    }

    /// Appends as many as there are.
    pub fn extend(&mut self, outputs: impl IntoIterator<Item = T>) {
        outputs.into_iter().for_each(|output| self.push(output));
    }

    /// The oldest output.
    pub fn pop(&mut self) -> Option<T> {
        self.queue.pop_at(0)
    }

    /// Outputs dropped for want of room, since the start.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}
