//! The mean of the samples of one stretch.

use super::RefclockSample;
use crate::time::{Duration, Raw, Timestamp};

/// Samples of the present stretch, and when it began.
#[derive(Debug)]
pub(super) struct Average {
    every: Duration,
    since: Option<Timestamp<Raw>>,
    first: Option<RefclockSample>,
    count: i64,
    /// Sums of the differences to the first one's `received` and `ahead`.
    received: Duration,
    ahead: Duration,
}

impl Average {
    pub const fn new(every: Duration) -> Self {
        let zero = Duration::ZERO;
        Self { every, since: None, first: None, count: 0, received: zero, ahead: zero }
    }

    /// Takes in a sample that arrived at `raw`. The mean, when the stretch is over: the mean offset at the mean time.
    ///
    /// That is also the value, at its centre, of the straight line that fits the samples best, so a clock that drifts
    /// makes no difference, and nowhere else does the line have less noise.
    pub fn add(&mut self, raw: Timestamp<Raw>, sample: RefclockSample) -> Option<RefclockSample> {
        let since = *self.since.get_or_insert(raw);
        let first = *self.first.get_or_insert(sample);
        self.count += 1;
        self.received = self.received + (sample.received - first.received);
        self.ahead = self.ahead + (sample.ahead() - first.ahead());
        // Syncs are not quite regular: one that comes a little early belongs to this stretch.
        if raw - since < self.every - self.every / 8 {
            return None;
        }
        let received = first.received + self.received / self.count;
        let reference = received + first.ahead() + self.ahead / self.count;
        // Stretches follow each other on a grid, so that one Sync that was not believed delays one mean and no more.
        let is_far = raw - since > self.every * 2;
        let since = if is_far { raw } else { since + self.every };
        *self = Self { since: Some(since), ..Self::new(self.every) };
        Some(RefclockSample { reference, received })
    }

    /// What was gathered is void.
    pub fn forget(&mut self) {
        *self = Self::new(self.every);
    }
}
