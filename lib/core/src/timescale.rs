//! The time scale that the suite keeps: Dante + K, continuous across leaders.
//!
//! dante2sys holds the system clock on it and danteshm tells it to chrony. Both follow it by the same rules, which
//! stand here once: K is fixed at the first lock, and at every change of the leader's timeline it is chosen anew so
//! that the date goes on where the old map, carried forward, had brought it.

use crate::time::{ClockMap, Dante, Duration, Epoch, Ratio, Raw, Real, Timestamp};
use crate::track::TimelineKey;
use std::fmt;

/// K over a stretch of Dante time, in integers, so that every host computes the same UTC to the ns:
/// `UTC(D) = utc0 + (D - dante0) + floor((D - dante0) * slope / 2^48)`, in 128 bits. Leap seconds are not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// A random number of who decides K; 0 where nobody else is to know.
    pub origin: u64,
    /// Rises with each piece of an origin, from 1.
    pub serial: u64,
    /// Where it begins.
    pub dante0: Timestamp<Dante>,
    /// UTC there.
    pub utc0: Timestamp<Real>,
    /// Rate of UTC against Dante time, minus one, in units of 2^-48.
    pub slope: i64,
}

impl Piece {
    const SLOPE_BITS: u32 = 48;

    /// `slope` for UTC that runs off Dante time at `rate`.
    #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, and NaN becomes 0")]
    fn slope_of(rate: Ratio) -> i64 {
        const UNITS: f64 = (1_u64 << Piece::SLOPE_BITS) as f64;
        (rate.fraction() * UNITS).round() as i64
    }

    /// UTC at Dante time `dante`, without leap seconds.
    pub fn utc_at(&self, dante: Timestamp<Dante>) -> Timestamp<Real> {
        let (gained, _) = self.gained(dante, 0);
        self.utc0 + (dante - self.dante0) + gained
    }

    /// What UTC gains on Dante time since the beginning, and the part of a ns beyond it, in units of 2^-48 ns; `part` is what
    /// it began with.
    fn gained(&self, dante: Timestamp<Dante>, part: i64) -> (Duration, i64) {
        let exact = i128::from((dante - self.dante0).ns()) * i128::from(self.slope) + i128::from(part);
        let whole = exact >> Self::SLOPE_BITS;
        let rest = exact - (whole << Self::SLOPE_BITS);
        // Beyond 292 years it saturates; the rest is less than 2^48.
        (Duration::from_ns(clamped(whole)), clamped(rest))
    }
}

fn clamped(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// Dante + K.
#[derive(Debug, Clone, Copy)]
pub struct Timescale {
    key: TimelineKey,
    map: ClockMap,
    piece: Piece,
    /// The part of a ns that the piece began with, in units of 2^-48 ns: without it each new piece would lose half a ns.
    part: i64,
    /// Leap seconds that the clock has passed.
    leap_seconds: i32,
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
    /// Fixes K such that the scale shows `utc` at `raw`.
    pub fn fixed_at(key: TimelineKey, map: ClockMap, raw: Timestamp<Raw>, utc: Timestamp<Real>) -> Self {
        let piece = Piece { origin: 0, serial: 1, dante0: map.dante_at(raw), utc0: utc, slope: 0 };
        Self { key, map, piece, part: 0, leap_seconds: 0 }
    }

    /// Goes on with the K that was fixed before, in another run of the program.
    pub fn resumed(key: TimelineKey, map: ClockMap, epoch: Epoch) -> Self {
        let raw = map.line.raw0;
        Self::fixed_at(key, map, raw, epoch.date_of(map.dante_at(raw)))
    }

    /// Fixes K again: such that the scale shows `utc` at `raw`.
    pub fn refix(&mut self, raw: Timestamp<Raw>, utc: Timestamp<Real>) {
        let dante0 = self.map.dante_at(raw);
        self.begin(Piece { dante0, utc0: utc - self.leap(), ..self.piece });
        self.part = 0;
    }

    /// From `now` on UTC runs off Dante time at `rate`, the policy's.
    pub fn set_rate(&mut self, now: Timestamp<Raw>, rate: Ratio) {
        let slope = Piece::slope_of(rate);
        if slope != self.piece.slope {
            self.begin_at(now, slope, Duration::ZERO);
        }
    }

    /// Begins a piece at `now`, from which on UTC is `by` later than it was.
    fn begin_at(&mut self, now: Timestamp<Raw>, slope: i64, by: Duration) {
        let dante0 = self.map.dante_at(now);
        let (gained, part) = self.piece.gained(dante0, self.part);
        let utc0 = self.piece.utc0 + (dante0 - self.piece.dante0) + gained + by;
        self.begin(Piece { dante0, utc0, slope, ..self.piece });
        self.part = part;
    }

    /// Goes on with a newer map. On another timeline K is carried over at `now`, and that is reported.
    pub fn follow(&mut self, key: TimelineKey, map: ClockMap, now: Timestamp<Raw>) -> Option<EpochChange> {
        let gap = now - self.map.line.raw0;
        let before = (key != self.key).then(|| (self.utc_at(now), self.epoch_at(now)));
        (self.key, self.map) = (key, map);
        let (utc, from) = before?;
        self.refix(now, utc);
        Some(EpochChange { from, to: self.epoch_at(now), gap })
    }

    /// Moves K by `by` from `now` on: the UTC policy alone does so.
    pub fn shift(&mut self, now: Timestamp<Raw>, by: Duration) {
        self.begin_at(now, self.piece.slope, by);
    }

    /// What K took for its own was a leap second that the kernel passed, by which the clock moved: from now on it is counted
    /// apart, and UTC stays what it is.
    pub fn count_leap(&mut self, now: Timestamp<Raw>, by: Duration) {
        let seconds = if by < Duration::ZERO { -1 } else { 1 };
        self.leap_seconds = self.leap_seconds.saturating_add(seconds);
        self.shift(now, Duration::from_secs(i64::from(-seconds)));
    }

    fn begin(&mut self, piece: Piece) {
        self.piece = Piece { serial: self.piece.serial.saturating_add(1), ..piece };
    }

    fn leap(&self) -> Duration {
        Duration::from_secs(self.leap_seconds.into())
    }

    /// UTC at Dante time `dante`.
    pub fn utc_of(&self, dante: Timestamp<Dante>) -> Timestamp<Real> {
        self.piece.utc_at(dante) + self.leap()
    }

    /// UTC at `raw`.
    pub fn utc_at(&self, raw: Timestamp<Raw>) -> Timestamp<Real> {
        self.utc_of(self.map.dante_at(raw))
    }

    /// K at `raw`: UTC minus Dante time.
    pub fn epoch_at(&self, raw: Timestamp<Raw>) -> Epoch {
        let dante = self.map.dante_at(raw);
        Epoch::fixed_at(self.utc_of(dante), dante)
    }

    /// K in force.
    pub fn piece(&self) -> Piece {
        self.piece
    }

    /// Leap seconds that the clock has passed, to be added to what the piece gives: -1 for an inserted one.
    pub fn leap_seconds(&self) -> i32 {
        self.leap_seconds
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

#[cfg(test)]
mod tests;
