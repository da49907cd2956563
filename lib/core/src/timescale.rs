//! The time scale that the suite keeps: Dante + K, continuous across leaders.
//!
//! dante2sys holds the system clock on it and danteshm tells it to chrony. Both follow it by the same rules, which
//! stand here once: K is fixed at the first lock, and at every change of the leader's timeline it is chosen anew so
//! that the date goes on where the old map, carried forward, had brought it.

use crate::time::{ClockMap, Duration, Epoch, Ratio, Raw, Real, Timestamp};
use crate::track::TimelineKey;
use std::fmt;

/// Dante + K.
#[derive(Debug, Clone, Copy)]
pub struct Timescale {
    key: TimelineKey,
    map: ClockMap,
    epoch: Epoch,
    /// When [`Self::advance`] was called last, and the part of a ns that it is behind.
    advanced: Timestamp<Raw>,
    carry_ns: f64,
}

/// K was chosen anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochChange {
    /// Before.
    pub from: Epoch,
    /// From now on.
    pub to: Epoch,
    /// How long the old map was carried forward without a measurement.
    pub gap: Duration,
}

impl fmt::Display for EpochChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "K carried over to another timeline after {:.3} s without a measurement: {} to {} ns, by {:+.9} s; no jump",
            self.gap.secs_f64(),
            self.from.ns(),
            self.to.ns(),
            Duration::from_ns(self.to.ns().saturating_sub(self.from.ns())).secs_f64()
        )
    }
}

/// How far a clock may move against the scale between two looks, and be the same clock still: the most that the kernel
/// slews (500 ppm, and something to spare) and what readings err by. Beyond it, somebody stepped it or the host slept.
pub fn was_stepped(moved: Duration, elapsed: Duration) -> bool {
    moved.abs() > Duration::from_ms(1) + elapsed.abs() * Ratio::from_ppm(600.0)
}

impl Timescale {
    /// Fixes K such that the scale shows `date` at `raw`.
    pub fn fixed_at(key: TimelineKey, map: ClockMap, raw: Timestamp<Raw>, date: Timestamp<Real>) -> Self {
        Self { advanced: raw, ..Self::resumed(key, map, Epoch::fixed_at(date, map.dante_at(raw))) }
    }

    /// Goes on with the K that was fixed before, in another run of the program.
    pub const fn resumed(key: TimelineKey, map: ClockMap, epoch: Epoch) -> Self {
        Self { key, map, epoch, advanced: map.line.raw0, carry_ns: 0.0 }
    }

    /// Fixes K again: such that the scale shows `date` at `raw`.
    pub fn refix(&mut self, raw: Timestamp<Raw>, date: Timestamp<Real>) {
        self.epoch = Epoch::fixed_at(date, self.map.dante_at(raw));
    }

    /// Moves K on to `now` at the rate that the UTC policy adds to the leader's.
    pub fn advance(&mut self, now: Timestamp<Raw>, rate: Ratio) {
        let since = now - std::mem::replace(&mut self.advanced, now);
        self.carry_ns += rate.ppb() * since.secs_f64();
        let whole = Duration::from_ns_f64(self.carry_ns);
        self.carry_ns -= whole.ns_f64();
        self.shift(whole);
    }

    /// Goes on with a newer map. On another timeline K is carried over at `now`, and that is told.
    pub fn follow(&mut self, key: TimelineKey, map: ClockMap, now: Timestamp<Raw>) -> Option<EpochChange> {
        let mut change = None;
        if key != self.key {
            let to = self.epoch.carried_over(&self.map, &map, now);
            change = Some(EpochChange { from: self.epoch, to, gap: now - self.map.line.raw0 });
            self.epoch = to;
            self.key = key;
        }
        self.map = map;
        change
    }

    /// Moves K by `by`: the date policy's doing, and nobody else's.
    pub fn shift(&mut self, by: Duration) {
        self.epoch = Epoch::from_ns(self.epoch.ns().saturating_add(by.ns()));
    }

    /// The date at `raw`.
    pub fn date_at(&self, raw: Timestamp<Raw>) -> Timestamp<Real> {
        self.epoch.date_of(self.map.dante_at(raw))
    }

    /// K.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The timeline that it is on.
    pub fn key(&self) -> TimelineKey {
        self.key
    }

    /// The map that it was last given.
    pub fn map(&self) -> &ClockMap {
        &self.map
    }
}
