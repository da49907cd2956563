//! Means of samples over a fixed interval (`--sample-rate`).

use super::RefclockSample;
use crate::time::{Duration, Raw, Timestamp};

/// The samples of the current interval.
#[derive(Debug)]
pub(super) struct Average {
    /// Length of an interval.
    every: Duration,
    /// When the current interval began.
    since: Option<Timestamp<Raw>>,
    first: Option<RefclockSample>,
    count: i64,
    /// Sums of the differences to `received` and `ahead` of the first sample.
    received: Duration,
    ahead: Duration,
}

impl Average {
    pub const fn new(every: Duration) -> Self {
        let zero = Duration::ZERO;
        Self { every, since: None, first: None, count: 0, received: zero, ahead: zero }
    }

    /// Adds a sample that arrived at `raw`. Returns the mean at the end of the interval: the mean offset at the mean time.
    ///
    /// That is the centre of the least-squares line through the samples. A constant drift of the clock does not bias it, and the
    /// line has its least noise there.
    pub fn add(&mut self, raw: Timestamp<Raw>, sample: RefclockSample) -> Option<RefclockSample> {
        let since = *self.since.get_or_insert(raw);
        let first = *self.first.get_or_insert(sample);
        self.count += 1;
        self.received = self.received + (sample.received - first.received);
        self.ahead = self.ahead + (sample.ahead() - first.ahead());
        // Syncs are not quite regular: one that comes up to an eighth of the interval early completes it.
        if raw - since < self.every - self.every / 8 {
            return None;
        }
        let received = first.received + self.received / self.count;
        let reference = received + first.ahead() + self.ahead / self.count;
        // Intervals start on a fixed grid, so that one rejected Sync delays one mean only.
        let is_far = raw - since > self.every * 2;
        let since = if is_far { raw } else { since + self.every };
        *self = Self { since: Some(since), ..Self::new(self.every) };
        Some(RefclockSample { reference, received })
    }

    /// Discards the samples of the current interval.
    pub fn clear(&mut self) {
        *self = Self::new(self.every);
    }
}
