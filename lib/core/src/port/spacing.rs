//! The Sync interval of a leader, as measured. What a leader advertises may be wrong (ptpd 1.1 can advertise 250 ms and send every 2 s) or
//! forged, so no timeout depends on it.

use crate::time::{Duration, Raw, Timestamp};
use std::fmt;

/// A Sync interval: 2 to the power of this number of seconds, as PTP states intervals (IEEE 1588-2002, 7.4.4.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncInterval(i8);

impl SyncInterval {
    /// Shortest interval that is used, 1/16 s. Dante uses 1/4 s, the standard has 1 to 16 s.
    const MIN: Self = Self(-4);
    /// Longest interval that is used, 16 s.
    const MAX: Self = Self(4);

    /// The interval of this logarithm to base 2 of seconds, limited to -4 to 4 (1/16 s to 16 s): others may be forged.
    pub fn from_log2(log2: i8) -> Self {
        Self(log2.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// The logarithm to base 2 of the interval in seconds.
    pub const fn log2(self) -> i8 {
        self.0
    }

    /// The interval.
    pub const fn duration(self) -> Duration {
        Duration::from_log2_secs(self.0)
    }

    /// The interval next to a measured spacing. `self`, the present one, stays unless the spacing differs from it clearly, so that a
    /// leader between two intervals does not alternate.
    fn near(self, spacing: Duration) -> Self {
        let log2 = spacing.secs_f64().log2();
        if (log2 - f64::from(self.0)).abs() <= CLEAR_LOG2 {
            return self;
        }
        #[expect(clippy::cast_possible_truncation, reason = "clamped")]
        Self(log2.round().clamp(f64::from(Self::MIN.0), f64::from(Self::MAX.0)) as i8)
    }
}

impl fmt::Display for SyncInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.duration().secs_f64())
    }
}

/// Difference of a measured spacing from the present interval, as a logarithm to base 2, from which on the interval changes.
const CLEAR_LOG2: f64 = 0.75;
/// Number of spacings of which the median is taken: two wrong ones, of late or forged packets, do not change it.
pub(super) const SPACINGS: usize = 5;

/// The last spacings of one sender's Syncs.
///
/// A spacing is the time between two Syncs divided by the difference of their sequence numbers, so that lost Syncs do not count. Syncs
/// that follow each other within half an interval give one spacing together: a burst, of a network that held packets back or of a
/// forger, is one wrong spacing and not many. Over a gap in the sequence numbers no spacing is measured that is much shorter than the
/// interval: the numbers were not lost, but belong to replayed or forged Syncs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spacings {
    /// Arrival and sequence number of the Sync from which the next spacing is measured.
    from: (Timestamp<Raw>, u16),
    /// The same of the last Sync.
    received: (Timestamp<Raw>, u16),
    /// The last spacings, the newest first.
    last: [Option<Duration>; SPACINGS],
    interval: SyncInterval,
}

impl Spacings {
    /// Starts with a sender's first Sync. Its interval is the `advertised` one until a spacing is measured.
    pub(super) fn new(arrived: Timestamp<Raw>, sequence_id: u16, advertised: SyncInterval) -> Self {
        let first = (arrived, sequence_id);
        Self { from: first, received: first, last: [None; SPACINGS], interval: advertised }
    }

    /// Continues after the sequence numbers restarted.
    pub(super) fn restart(&mut self, arrived: Timestamp<Raw>, sequence_id: u16) {
        self.received = (arrived, sequence_id);
        self.from = self.received;
    }

    /// Adds the next Sync.
    pub(super) fn add(&mut self, arrived: Timestamp<Raw>, sequence_id: u16) {
        if self.is_gap(arrived, sequence_id) {
            return self.restart(arrived, sequence_id);
        }
        self.received = (arrived, sequence_id);
        let (since, first) = self.from;
        let shortest = if self.is_measured() { self.interval } else { SyncInterval::MIN };
        if (arrived - since) * 2 < shortest.duration() {
            return;
        }
        self.from = (arrived, sequence_id);
        self.last.rotate_right(1);
        self.last[0] = Some((arrived - since) / i64::from(sequence_id.wrapping_sub(first)));
        if let Some(median) = self.median() {
            self.interval = self.interval.near(median);
        }
    }

    /// Returns whether the sequence number is further ahead of the last one than Syncs can have been lost since then.
    pub(super) fn is_gap(&self, arrived: Timestamp<Raw>, sequence_id: u16) -> bool {
        let (before, last) = self.received;
        let steps = i64::from(sequence_id.wrapping_sub(last));
        self.is_measured() && steps > 1 && (arrived - before) * 2 < self.interval.duration() * steps
    }

    /// Returns whether a spacing was measured.
    pub(super) fn is_measured(&self) -> bool {
        self.last[0].is_some()
    }

    /// Returns whether the interval is certain: one wrong spacing does not change it.
    pub(super) fn is_certain(&self) -> bool {
        self.last.iter().flatten().count() >= SPACINGS.div_ceil(2)
    }

    pub(super) fn interval(&self) -> SyncInterval {
        self.interval
    }

    /// The median; of an even number the longer one, as too long an interval loses no leader.
    fn median(&self) -> Option<Duration> {
        let mut sorted = self.last;
        sorted.sort_unstable();
        let absent = sorted.iter().filter(|spacing| spacing.is_none()).count();
        sorted.get(absent + (SPACINGS - absent) / 2).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The interval after Syncs at these times, ms, with these sequence numbers.
    fn interval(advertised: i8, syncs: impl IntoIterator<Item = (i64, u16)>) -> f64 {
        let mut syncs =
            syncs.into_iter().map(|(ms, sequence)| (Timestamp::ZERO + Duration::from_ms(ms), sequence));
        let (at, sequence) = syncs.next().unwrap();
        let mut spacings = Spacings::new(at, sequence, SyncInterval::from_log2(advertised));
        syncs.for_each(|(at, sequence)| spacings.add(at, sequence));
        spacings.interval().duration().secs_f64()
    }

    fn steady(ms: i64, count: u16) -> impl Iterator<Item = (i64, u16)> {
        (0..count).map(move |n| (ms * i64::from(n), n))
    }

    #[test]
    fn measured_spacing_replaces_the_advertised_interval() {
        assert_eq!(interval(-2, steady(2_000, 1)), 0.25, "one Sync measures nothing");
        assert_eq!(interval(-2, steady(2_000, 2)), 2.0);
        assert_eq!(interval(4, steady(250, 2)), 0.25);
        assert_eq!(interval(-2, steady(10, 50)), 0.0625, "the shortest");
        assert_eq!(interval(-2, steady(60_000, 3)), 16.0, "the longest");
    }

    #[test]
    fn lost_syncs_do_not_lengthen_the_interval() {
        let syncs = steady(250, 200).filter(|(_, n)| n % 5 == 0);
        assert_eq!(interval(4, syncs), 0.25);
    }

    #[test]
    fn burst_does_not_shorten_the_interval() {
        let held_back = |(ms, n): (i64, u16)| (if (5_000..9_000).contains(&ms) { 9_000 } else { ms }, n);
        for count in 20..60 {
            assert_eq!(interval(-2, steady(250, count).map(held_back)), 0.25, "after {count} Syncs");
        }
        let forged = steady(1_000, 20).chain((1..200).map(|n| (19_000 + i64::from(n), 19 + n)));
        assert_eq!(interval(0, forged), 1.0);
        let jumps = steady(1_000, 20).chain((1..200).map(|n| (19_000 + 600 * i64::from(n), 19 + 40 * n)));
        assert_eq!(interval(0, jumps), 1.0);
    }

    #[test]
    fn spacing_between_two_intervals_does_not_alternate() {
        let mut spacings = Spacings::new(Timestamp::ZERO, 0, SyncInterval::from_log2(-2));
        let mut at = Timestamp::ZERO;
        let mut seen = Vec::new();
        for n in 1..200 {
            at = at + Duration::from_ms(if (n / 10) % 2 == 0 { 330 } else { 380 });
            spacings.add(at, n);
            seen.push(spacings.interval());
        }
        seen.dedup();
        assert_eq!(seen.len(), 1, "{seen:?}");
    }
}
