//! The clocks of one host against one another: timestamps of CLOCK_REALTIME or of a network card translated to
//! CLOCK_MONOTONIC_RAW as they are received, whatever is done to their clock meanwhile; and the detection of a suspend, in
//! which CLOCK_MONOTONIC_RAW stands still.

use super::{Duration, Raw, Real, Timestamp};
use crate::port::{NoTimestamp, PacketTimestamp};
use arrayvec::ArrayVec;

/// Two clocks read at one instant: the raw time is the middle of two reads that bracket the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// CLOCK_MONOTONIC_RAW, halfway between the read before and the read after.
    pub raw: Timestamp<Raw>,
    /// The other clock.
    pub real: Timestamp<Real>,
    /// The time between the two raw reads: the reading errs by at most half of it.
    pub width: Duration,
}

/// CLOCK_REALTIME was stepped between the stamp and the reading after it: the stamp means nothing any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("CLOCK_REALTIME was stepped near the time stamp")]
pub struct Stepped;

/// The last readings, between which stamps are interpolated.
///
/// One reading alone would not do: after a stall of 2 s at 37 ppm it errs by 74 us.
#[derive(Debug, Default)]
pub struct Bridge {
    readings: ArrayVec<Reading, { Bridge::DEPTH }>,
}

impl Bridge {
    /// At one reading a second or more, stamps that waited up to 7 s in a socket still fall between two of them.
    const DEPTH: usize = 8;
    /// The kernel steers CLOCK_REALTIME by at most 500 ppm (ADJ_FREQUENCY). What moves further than this between two
    /// readings was stepped, or slewed in haste: chronyd does that through ADJ_TICK, by some percent. Timestamps of that
    /// time are not worth having.
    const MAX_SLEW_PPM: i64 = 600;
    /// Reading noise (an interrupt between two reads of a reading) that is no step yet.
    const TOLERANCE: Duration = Duration::from_us(50);

    /// Takes note of a reading. Readings come in the order of time; an older one is passed over.
    pub fn note(&mut self, reading: Reading) {
        if self.readings.last().is_some_and(|last| reading.raw <= last.raw) {
            return;
        }
        if self.readings.is_full() {
            self.readings.remove(0);
        }
        self.readings.push(reading);
    }

    /// The last reading noted.
    pub fn latest(&self) -> Option<Reading> {
        self.readings.last().copied()
    }

    /// The raw time of the instant at which CLOCK_REALTIME showed `real`.
    ///
    /// A reading has to be noted after the stamp was taken. Between two readings it is interpolated, before all of them
    /// taken at the oldest one's distance.
    ///
    /// # Errors
    /// [`Stepped`] if CLOCK_REALTIME was stepped between the two readings around `real`, or between the oldest
    /// reading known and the present one where `real` lies before them, or if nothing was read yet.
    pub fn to_raw(&self, real: Timestamp<Real>) -> Result<Timestamp<Raw>, Stepped> {
        let latest = self.readings.last().ok_or(Stepped)?;
        if real >= latest.real {
            // The reading was taken after the stamp: if it shows an earlier time, the clock went back between them.
            let ahead = real - latest.real;
            return if ahead <= Self::TOLERANCE { Ok(latest.raw + ahead) } else { Err(Stepped) };
        }
        // Backwards from the present: the first pair that holds the stamp is the one under which it was taken.
        let mut after = latest;
        for before in self.readings.iter().rev().skip(1) {
            if Self::stepped(before, after) {
                return Err(Stepped);
            }
            if before.real <= real {
                let (span_real, span_raw) = (after.real - before.real, after.raw - before.raw);
                let into = real - before.real;
                // span_raw / span_real differs from 1 by 600 ppm at most: scaling the difference keeps the ns.
                return Ok(before.raw + into + into * ((span_raw - span_real) / span_real));
            }
            after = before;
        }
        Ok(after.raw - (after.real - real))
    }

    /// What CLOCK_REALTIME showed at `raw`, or would have shown, were it steered then as it is now: across a step the
    /// time after it counts. `None` if nothing was read yet.
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

/// Longest age of a reading that serves another timestamp: one burst of packets. An older one may precede a step back of
/// the clock, after which a new timestamp looks older than the reading.
const FRESH: Duration = Duration::from_ms(1);

/// Translates timestamps of one clock, CLOCK_REALTIME or a network card's, to CLOCK_MONOTONIC_RAW.
///
/// A reading of both clocks is taken after each timestamp unless one that follows it is fresh, so that a timestamp lies
/// between two readings. `read` takes it, or returns `None` where the clock cannot be read.
#[derive(Debug, Default)]
pub struct TimestampTranslator {
    bridge: Bridge,
}

impl TimestampTranslator {
    /// Notes a reading that was taken while no packet arrives, so that the next timestamp is interpolated over a short
    /// span.
    pub fn note(&mut self, reading: Reading) {
        self.bridge.note(reading);
    }

    /// The instant of a timestamp that was received just now.
    ///
    /// # Errors
    /// [`NoTimestamp::Missing`] where there is none, [`NoTimestamp::ClockStepped`] where its clock was stepped between it and the
    /// reading after it, or was never read.
    pub fn translate(
        &mut self,
        now: Timestamp<Raw>,
        stamp: Option<Timestamp<Real>>,
        read: impl FnOnce() -> Option<Reading>,
    ) -> Result<PacketTimestamp, NoTimestamp> {
        let real = stamp.ok_or(NoTimestamp::Missing)?;
        self.freshen(now, |latest| latest.real <= real, read);
        let raw = self.bridge.to_raw(real).map_err(|_| NoTimestamp::ClockStepped)?;
        Ok(PacketTimestamp { raw, real })
    }

    /// The clock's time at the recent instant `raw`; `None` if the clock was never read.
    pub fn real_at(
        &mut self,
        now: Timestamp<Raw>,
        raw: Timestamp<Raw>,
        read: impl FnOnce() -> Option<Reading>,
    ) -> Option<Timestamp<Real>> {
        self.freshen(now, |latest| latest.raw <= raw, read);
        self.bridge.to_real(raw)
    }

    /// Takes a reading, unless the latest one follows the timestamp and is fresh.
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

/// A longer growth of CLOCK_BOOTTIME - CLOCK_MONOTONIC is a suspend. The difference is read to some hundred ns; a clock
/// that moves by more than this against CLOCK_MONOTONIC_RAW counts as stepped
/// ([`was_stepped`](crate::timescale::was_stepped)), so a shorter suspend needs no explanation.
const LEAST_SUSPEND: Duration = Duration::from_ms(1);

/// Detects that the host was suspended: CLOCK_MONOTONIC_RAW stood still, so every clock map from before is void.
#[derive(Debug, Clone, Copy)]
pub struct SleepDetector {
    suspended: Duration,
}

impl SleepDetector {
    /// `suspended`: CLOCK_BOOTTIME - CLOCK_MONOTONIC, the time spent in suspend since boot.
    pub const fn new(suspended: Duration) -> Self {
        Self { suspended }
    }

    /// Takes the next reading of that difference. The length of the suspend, if there was one since the last.
    pub fn look(&mut self, suspended: Duration) -> Option<Duration> {
        let slept = suspended - std::mem::replace(&mut self.suspended, suspended);
        (slept > LEAST_SUSPEND).then_some(slept)
    }
}

#[cfg(test)]
mod tests;
