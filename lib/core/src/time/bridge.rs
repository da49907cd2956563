//! The clocks of one host relative to each other: translates timestamps of CLOCK_REALTIME or of a network card to
//! CLOCK_MONOTONIC_RAW, also while other programs steer or step their clock, and detects a suspend, in which CLOCK_MONOTONIC_RAW
//! stands still.

use super::{Duration, Raw, Real, Timestamp};
use crate::port::{NoTimestamp, PacketTimestamp};
use arrayvec::ArrayVec;

/// CLOCK_MONOTONIC_RAW and another clock, read at one instant: the other one between two reads of CLOCK_MONOTONIC_RAW.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// CLOCK_MONOTONIC_RAW, the middle of the two reads.
    pub raw: Timestamp<Raw>,
    /// The other clock.
    pub real: Timestamp<Real>,
    /// Time between the two reads of CLOCK_MONOTONIC_RAW. The error of the reading is at most half of it.
    pub width: Duration,
}

/// Why a timestamp cannot be translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untranslatable {
    /// Its clock was stepped between it and the reading after it, or was never read.
    #[error("the clock was stepped close to the timestamp")]
    Stepped,
    /// It precedes all readings, so a step of its clock between it and the oldest one cannot be excluded.
    #[error("the timestamp is older than all readings of its clock")]
    TooOld,
}

/// The last readings of two clocks, between which timestamps are interpolated.
///
/// A single reading does not suffice: 2 s later its error is 74 us, if CLOCK_REALTIME runs 37 ppm off.
#[derive(Debug, Default)]
pub struct Bridge {
    readings: ArrayVec<Reading, { Bridge::DEPTH }>,
}

impl Bridge {
    /// Number of readings kept. At intervals of `SPACING` or more they reach 6.3 s back, so that the reading before a stall of
    /// any length is kept while the packets of the stall are read from their socket, which takes some ms.
    const DEPTH: usize = 64;
    /// Minimum interval between two readings that are kept, the latest one excepted. It is shorter than the interval of Syncs
    /// (125 ms or more), so that a timestamp is interpolated over no longer span than that.
    const SPACING: Duration = Duration::from_ms(100);
    /// Largest rate of CLOCK_REALTIME between two readings, ppm. ADJ_FREQUENCY allows 500 ppm; a faster clock was stepped, or
    /// slewed by chronyd through ADJ_TICK, by some percent. Timestamps between these readings are rejected.
    const MAX_SLEW_PPM: i64 = 600;
    /// Largest error of a reading that does not count as a step: an interrupt between its reads.
    const TOLERANCE: Duration = Duration::from_us(50);

    /// Adds a reading. Readings are added in the order of time; an older one is ignored. Replaces the last reading if that followed
    /// the one before it by less than `SPACING`.
    pub fn note(&mut self, reading: Reading) {
        if self.readings.last().is_some_and(|last| reading.raw <= last.raw) {
            return;
        }
        if let [.., before, last] = self.readings.as_slice()
            && last.raw - before.raw < Self::SPACING
        {
            self.readings.pop();
        }
        if self.readings.is_full() {
            self.readings.remove(0);
        }
        self.readings.push(reading);
    }

    /// Returns the last reading.
    pub fn latest(&self) -> Option<Reading> {
        self.readings.last().copied()
    }

    /// Returns the CLOCK_MONOTONIC_RAW time of the instant at which CLOCK_REALTIME showed `real`.
    ///
    /// Requires a reading after the timestamp was taken. Between two readings the result is interpolated.
    ///
    /// # Errors
    /// [`Untranslatable::Stepped`] if CLOCK_REALTIME was stepped after the reading that precedes `real`, or if there is no reading;
    /// [`Untranslatable::TooOld`] if `real` precedes all readings by more than the error of a reading.
    pub fn to_raw(&self, real: Timestamp<Real>) -> Result<Timestamp<Raw>, Untranslatable> {
        let latest = self.readings.last().ok_or(Untranslatable::Stepped)?;
        if real >= latest.real {
            // The reading was taken after the timestamp: if it shows an earlier time, the clock was stepped back between them.
            let ahead = real - latest.real;
            return if ahead <= Self::TOLERANCE {
                Ok(latest.raw + ahead)
            } else {
                Err(Untranslatable::Stepped)
            };
        }
        // Backwards from the newest reading: the first pair that contains the timestamp is the pair around its instant.
        let mut after = latest;
        for before in self.readings.iter().rev().skip(1) {
            if Self::stepped(before, after) {
                return Err(Untranslatable::Stepped);
            }
            if before.real <= real {
                let (span_real, span_raw) = (after.real - before.real, after.raw - before.raw);
                let into = real - before.real;
                // span_raw / span_real differs from 1 by 600 ppm at most: only the difference is scaled, which preserves the ns.
                return Ok(before.raw + into + into * ((span_raw - span_real) / span_real));
            }
            after = before;
        }
        let before_all = after.real - real;
        if before_all <= Self::TOLERANCE { Ok(after.raw - before_all) } else { Err(Untranslatable::TooOld) }
    }

    /// Returns the CLOCK_REALTIME time at `raw`. For a `raw` before a step it is the time of the clock as it is after the step.
    /// Returns `None` if there is no reading.
    pub fn to_real(&self, raw: Timestamp<Raw>) -> Option<Timestamp<Real>> {
        let mut after = self.readings.last()?;
        for before in self.readings.iter().rev().skip(1) {
            if raw >= after.raw || Self::stepped(before, after) {
                break;
            }
            if before.raw <= raw {
                let (span_real, span_raw) = (after.real - before.real, after.raw - before.raw);
                let into = raw - before.raw;
                return Some(before.real + into + into * ((span_real - span_raw) / span_raw));
            }
            after = before;
        }
        Some(after.real + (raw - after.raw))
    }

    fn stepped(before: &Reading, after: &Reading) -> bool {
        let span = after.raw - before.raw;
        let moved = (after.real - before.real) - span;
        moved.abs() > span / 1_000_000 * Self::MAX_SLEW_PPM + Self::TOLERANCE
    }
}

/// Largest age of a reading that is used for another timestamp, of the same burst of packets. An older reading may precede a step
/// back of the clock, after which a new timestamp looks older than the reading.
const FRESH: Duration = Duration::from_ms(1);

/// Translates timestamps of one clock, CLOCK_REALTIME or a network card's, to CLOCK_MONOTONIC_RAW.
///
/// A timestamp has to lie between two readings of both clocks. Therefore a reading is taken after each timestamp, unless the last
/// reading follows the timestamp and is fresh. `read` takes a reading, or returns `None` if the clock cannot be read.
#[derive(Debug, Default)]
pub struct TimestampTranslator {
    bridge: Bridge,
}

impl TimestampTranslator {
    /// Adds a reading that was taken while no packet arrived, so that the next timestamp is interpolated over a short span.
    pub fn note(&mut self, reading: Reading) {
        self.bridge.note(reading);
    }

    /// Translates the timestamp of a packet that was read from its socket at `now`.
    ///
    /// # Errors
    /// [`NoTimestamp::Missing`] if there is no timestamp, [`NoTimestamp::ClockStepped`] if its clock was stepped between it and the
    /// reading after it, or was never read, [`NoTimestamp::TooOld`] if it precedes all readings.
    pub fn translate(
        &mut self,
        now: Timestamp<Raw>,
        timestamp: Option<Timestamp<Real>>,
        read: impl FnOnce() -> Option<Reading>,
    ) -> Result<PacketTimestamp, NoTimestamp> {
        let real = timestamp.ok_or(NoTimestamp::Missing)?;
        self.freshen(now, |latest| latest.real <= real, read);
        let raw = self.bridge.to_raw(real).map_err(|why| match why {
            Untranslatable::Stepped => NoTimestamp::ClockStepped,
            Untranslatable::TooOld => NoTimestamp::TooOld,
        })?;
        Ok(PacketTimestamp { raw, real })
    }

    /// Returns the clock's time at the recent instant `raw`, or `None` if the clock was never read.
    pub fn real_at(
        &mut self,
        now: Timestamp<Raw>,
        raw: Timestamp<Raw>,
        read: impl FnOnce() -> Option<Reading>,
    ) -> Option<Timestamp<Real>> {
        self.freshen(now, |latest| latest.raw <= raw, read);
        self.bridge.to_real(raw)
    }

    /// Takes a reading, unless the last one follows the timestamp and is fresh.
    fn freshen(
        &mut self,
        now: Timestamp<Raw>,
        precedes: impl FnOnce(Reading) -> bool,
        read: impl FnOnce() -> Option<Reading>,
    ) {
        if self.bridge.latest().is_none_or(|latest| precedes(latest) || now - latest.raw > FRESH)
            && let Some(reading) = read()
        {
            self.bridge.note(reading);
        }
    }
}

/// Smallest growth of CLOCK_BOOTTIME - CLOCK_MONOTONIC that counts as a suspend. The difference is read to some hundred ns. A
/// shorter suspend is not needed as an explanation: a clock counts as stepped only if it moves by more than this against
/// CLOCK_MONOTONIC_RAW ([`was_stepped`](crate::timescale::was_stepped)).
const MIN_SUSPEND: Duration = Duration::from_ms(1);

/// Detects a suspend of the host. CLOCK_MONOTONIC_RAW stood still in it, so every clock map from before is invalid.
#[derive(Debug, Clone, Copy)]
pub struct SleepDetector {
    suspended: Duration,
}

impl SleepDetector {
    /// Makes a detector. `suspended` is CLOCK_BOOTTIME - CLOCK_MONOTONIC: the time spent in suspend since boot.
    pub const fn new(suspended: Duration) -> Self {
        Self { suspended }
    }

    /// Takes the next reading of that difference and returns the length of a suspend since the previous reading.
    pub fn update(&mut self, suspended: Duration) -> Option<Duration> {
        let slept = suspended - std::mem::replace(&mut self.suspended, suspended);
        (slept > MIN_SUSPEND).then_some(slept)
    }
}

#[cfg(test)]
mod tests;
