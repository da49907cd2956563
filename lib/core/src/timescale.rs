//! The time scale of the suite: UTC as Dante time plus the epoch offset (K), continuous across leaders.
//!
//! dante2sys steers the system clock to it, and danteshm publishes it to chrony, by the same rules: K is set at the first lock. K
//! is kept while each clock map continues the previous one, also where dante4l was restarted. On a map that does not, K is set
//! again, so that UTC continues without a jump from the old clock map, extrapolated.

use crate::time::{ClockMap, Dante, Duration, Epoch, Ratio, Raw, Real, Timestamp};
use crate::track::TimelineKey;
use std::fmt;

/// Piece of the epoch offset (K): K from one instant on as a straight line, in integers, so that every host computes the same UTC
/// to the ns:
/// `UTC(D) = utc0 + (D - dante0) + floor((D - dante0) * slope / 2^48)`, in 128 bits. Leap seconds are not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Random number of the run of dante2sys that sets K, as on its clock page; 0 in a [`Timescale`].
    pub origin: u64,
    /// Counts the pieces of an origin from 1.
    pub serial: u64,
    /// Dante time at the start.
    pub dante0: Timestamp<Dante>,
    /// UTC at the start.
    pub utc0: Timestamp<Real>,
    /// Rate of UTC against Dante time, minus one, in units of 2^-48.
    pub slope: i64,
}

impl Piece {
    const SLOPE_BITS: u32 = 48;

    /// Returns `slope` for UTC that runs at `rate` relative to Dante time.
    #[expect(clippy::cast_possible_truncation, reason = "a float cast saturates, and NaN becomes 0")]
    fn slope_of(rate: Ratio) -> i64 {
        const UNITS: f64 = (1_u64 << Piece::SLOPE_BITS) as f64;
        (rate.fraction() * UNITS).round() as i64
    }

    /// Returns UTC at Dante time `dante`, without leap seconds.
    pub fn utc_at(&self, dante: Timestamp<Dante>) -> Timestamp<Real> {
        let (gained, _) = self.gained(dante, 0);
        self.utc0 + (dante - self.dante0) + gained
    }

    /// Returns the gain of UTC over Dante time since the start: whole ns, and the fraction in units of 2^-48 ns. `part` is the
    /// fraction at the start.
    fn gained(&self, dante: Timestamp<Dante>, part: i64) -> (Duration, i64) {
        let exact = i128::from((dante - self.dante0).ns()) * i128::from(self.slope) + i128::from(part);
        let whole = exact >> Self::SLOPE_BITS;
        let rest = exact - (whole << Self::SLOPE_BITS);
        // The gain saturates at 292 years; the fraction is less than 2^48.
        (Duration::from_ns(clamped(whole)), clamped(rest))
    }
}

fn clamped(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// UTC as Dante time plus the epoch offset (K).
#[derive(Debug, Clone, Copy)]
pub struct Timescale {
    key: TimelineKey,
    map: ClockMap,
    piece: Piece,
    /// Fraction of a ns at the start of the piece, in units of 2^-48 ns. Without it each new piece would lose half a ns.
    part: i64,
    /// Leap seconds that the clock passed.
    leap_seconds: i32,
}

/// Largest difference of two clock maps up to which the newer one continues the older one, apart from their uncertainty. Few NTP
/// servers show UTC to this, and the control law corrects it within seconds.
const MAX_MAP_CHANGE: Duration = Duration::from_us(20);
/// The uncertainty of the maps at their last measurements, in standard deviations, that is allowed in addition, and its limit. No two
/// leaders whose time is their uptime are that close by chance.
const MAP_SIGMAS: i64 = 4;
const MAX_MAP_NOISE: Duration = Duration::from_ms(1);

/// Largest difference between a clock and Dante time + K of an earlier run up to which the difference alone shows that the leader's
/// time has continued. A clock reaches it after minutes at its last frequency; the time of another leader, if that is its uptime, is not
/// that close by chance.
pub const MAX_RESUMED_ERROR: Duration = Duration::from_ms(1);

/// Why K is carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// The timeline of Dante time.
    Timeline,
    /// The clock map, by one of the same timeline: newer minus older map.
    Map(Duration),
}

/// K was carried over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochChange {
    /// What was replaced.
    pub replaced: Replaced,
    /// K before.
    pub from: Epoch,
    /// K from now on.
    pub to: Epoch,
    /// Time over which the old clock map was extrapolated: time since its last measurement.
    pub gap: Duration,
}

impl fmt::Display for EpochChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (gap, from, to) = (self.gap.secs_f64(), self.from.ns(), self.to.ns());
        let by = Duration::from_ns(to.saturating_sub(from)).secs_f64();
        match self.replaced {
            Replaced::Timeline => write!(
                f,
                "epoch offset (K) carried over to a new timeline of Dante time after {gap:.3} s without a measurement: {from} to {to} ns, by {by:+.9} s; UTC does not jump"
            ),
            Replaced::Map(moved) => write!(
                f,
                "epoch offset (K) carried over to a clock map that differs from the extrapolated one by {:+.9} s, after {gap:.3} s without a measurement: {from} to {to} ns, by {by:+.9} s; UTC does not jump",
                moved.secs_f64()
            ),
        }
    }
}

/// Whether a clock was stepped, or the host suspended: it moved by more than the kernel slews (500 ppm, with a margin) plus the
/// error of the readings (1 ms). `moved` is the clock's gain over its reference during `elapsed`.
pub fn was_stepped(moved: Duration, elapsed: Duration) -> bool {
    moved.abs() > Duration::from_ms(1) + elapsed.abs() * Ratio::from_ppm(600.0)
}

impl Timescale {
    /// Makes a scale whose K is set so that it shows `utc` at `raw`.
    pub fn fixed_at(key: TimelineKey, map: ClockMap, raw: Timestamp<Raw>, utc: Timestamp<Real>) -> Self {
        let piece = Piece { origin: 0, serial: 1, dante0: map.dante_at(raw), utc0: utc, slope: 0 };
        Self { key, map, piece, part: 0, leap_seconds: 0 }
    }

    /// Makes a scale that continues with K of an earlier run of the program.
    pub fn resumed(key: TimelineKey, map: ClockMap, epoch: Epoch) -> Self {
        let raw = map.line.raw0;
        Self::fixed_at(key, map, raw, epoch.utc_of(map.dante_at(raw)))
    }

    /// Makes a scale with the piece of K of an earlier run of the program, and its count of leap seconds.
    pub fn with_piece(key: TimelineKey, map: ClockMap, piece: Piece, leap_seconds: i32) -> Self {
        Self { key, map, piece: Piece { origin: 0, serial: 1, ..piece }, part: 0, leap_seconds }
    }

    /// Sets K again, so that the scale shows `utc` at `raw`.
    pub fn refix(&mut self, raw: Timestamp<Raw>, utc: Timestamp<Real>) {
        let dante0 = self.map.dante_at(raw);
        self.begin(Piece { dante0, utc0: utc - self.leap(), ..self.piece });
        self.part = 0;
    }

    /// Sets the rate of UTC relative to Dante time from `now` on, as the UTC policy requires.
    pub fn set_rate(&mut self, now: Timestamp<Raw>, rate: Ratio) {
        let slope = Piece::slope_of(rate);
        if slope != self.piece.slope {
            self.begin_at(now, slope, Duration::ZERO);
        }
    }

    /// Starts a piece at `now` and moves UTC by `by`.
    fn begin_at(&mut self, now: Timestamp<Raw>, slope: i64, by: Duration) {
        let dante0 = self.map.dante_at(now);
        let (gained, part) = self.piece.gained(dante0, self.part);
        let utc0 = self.piece.utc0 + (dante0 - self.piece.dante0) + gained + by;
        self.begin(Piece { dante0, utc0, slope, ..self.piece });
        self.part = part;
    }

    /// Returns what a newer map replaces at `now`; `None` if it continues the present one. How long the present map was extrapolated
    /// does not matter: a wrong extrapolation is not an error of the clock.
    pub fn replaced_by(&self, key: TimelineKey, map: &ClockMap, now: Timestamp<Raw>) -> Option<Replaced> {
        let by = map.dante_at(now) - self.map.dante_at(now);
        // Within one timeline an uncertain newer map is one that was fitted again, and its error is no reason to move the clock.
        let (sigma, replaced) = if key == self.key {
            (self.map.sigma.offset, Replaced::Map(by))
        } else {
            (self.map.sigma.offset + map.sigma.offset, Replaced::Timeline)
        };
        (by.abs() > MAX_MAP_CHANGE + (sigma * MAP_SIGMAS).min(MAX_MAP_NOISE)).then_some(replaced)
    }

    /// Continues with a newer map. If it does not continue the present one, K is carried over at `now` and the change is returned.
    pub fn follow(&mut self, key: TimelineKey, map: ClockMap, now: Timestamp<Raw>) -> Option<EpochChange> {
        let replaced = self.replaced_by(key, &map, now);
        let gap = now - self.map.line.raw0;
        let (utc, from) = (self.utc_at(now), self.epoch_at(now));
        (self.key, self.map) = (key, map);
        let replaced = replaced?;
        self.refix(now, utc);
        Some(EpochChange { replaced, from, to: self.epoch_at(now), gap })
    }

    /// Moves K by `by` from `now` on.
    pub fn shift(&mut self, now: Timestamp<Raw>, by: Duration) {
        self.begin_at(now, self.piece.slope, by);
    }

    /// Counts a leap second of the kernel. The clock moved by `by`, and K was set again to the moved clock; here the second is
    /// taken out of K and added to the count of leap seconds, and the time of the scale does not change.
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

    /// Returns UTC at Dante time `dante`.
    pub fn utc_of(&self, dante: Timestamp<Dante>) -> Timestamp<Real> {
        self.piece.utc_at(dante) + self.leap()
    }

    /// Returns UTC at `raw`.
    pub fn utc_at(&self, raw: Timestamp<Raw>) -> Timestamp<Real> {
        self.utc_of(self.map.dante_at(raw))
    }

    /// Returns K at `raw`: UTC minus Dante time.
    pub fn epoch_at(&self, raw: Timestamp<Raw>) -> Epoch {
        let dante = self.map.dante_at(raw);
        Epoch::fixed_at(self.utc_of(dante), dante)
    }

    /// Returns the current piece of K.
    pub fn piece(&self) -> Piece {
        self.piece
    }

    /// Returns the leap seconds that the clock passed, to be added to the UTC of the piece: -1 for an inserted one.
    pub fn leap_seconds(&self) -> i32 {
        self.leap_seconds
    }

    /// Returns the timeline of the map.
    pub fn key(&self) -> TimelineKey {
        self.key
    }

    /// Returns the clock map.
    pub fn map(&self) -> &ClockMap {
        &self.map
    }
}

#[cfg(test)]
mod tests;
