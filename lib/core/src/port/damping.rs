//! How long a better leader has to wait: whoever alternates with another is not followed back and forth.
//!
//! On a network in order a leader that hears a better one falls silent, and nothing is waited for. Where both go on, or
//! each is silent in turn, every change costs the followers a timeline; so each one makes the next one wait twice as long.

use crate::time::{Duration, Raw, Timestamp};
use arrayvec::ArrayVec;

/// A better leader has to be it for so many intervals while the present one goes on: 2 s at 4 Hz.
const HOLD: i64 = 8;
/// And at most this, however often they have changed.
const LONGEST_HOLD: Duration = Duration::from_secs(64);
/// What is there when the present one is silent has to be there for so long, after one change in the last minutes: longer
/// than it takes until one that is silent now and then counts as gone.
const WAIT: Duration = Duration::from_secs(4);
/// And at most this: a leader that waits for nobody is better than none.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// Changes are remembered for so long.
const MEMORY: Duration = Duration::from_secs(300);

/// The changes to another leader lately.
#[derive(Debug, Default)]
pub(super) struct Damping {
    changes: ArrayVec<Timestamp<Raw>, 6>,
}

impl Damping {
    pub(super) fn changed(&mut self, now: Timestamp<Raw>) {
        if self.changes.is_full() {
            self.changes.remove(0);
        }
        self.changes.push(now);
    }

    /// How long a better one has to wait beside one that goes on and advertises this interval.
    pub(super) fn hold(&self, now: Timestamp<Raw>, interval: Duration) -> Duration {
        (interval * HOLD * (1 << self.recent(now))).min(LONGEST_HOLD)
    }

    /// How long another one has to have been there before it is followed in place of one that is silent.
    pub(super) fn wait(&self, now: Timestamp<Raw>) -> Duration {
        match self.recent(now) {
            0 => Duration::ZERO,
            changes => (WAIT * (1 << (changes - 1))).min(LONGEST_WAIT),
        }
    }

    fn recent(&self, now: Timestamp<Raw>) -> usize {
        self.changes.iter().filter(|at| now - **at < MEMORY).count()
    }
}
