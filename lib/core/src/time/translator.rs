//! Kernel and hardware timestamps, translated to CLOCK_MONOTONIC_RAW as they are received.

use super::{Bridge, Duration, Raw, Reading, Real, Timestamp};
use crate::port::{NoStamp, Stamp};

/// Longest age of a reading that serves another timestamp: one burst of packets. An older one may precede a step back of
/// the clock, after which a new timestamp looks older than the reading.
const FRESH: Duration = Duration::from_ms(1);

/// Translates timestamps of one clock, CLOCK_REALTIME or a network card's, to CLOCK_MONOTONIC_RAW.
///
/// A reading of both clocks is taken after each timestamp unless one that follows it is fresh, so that a timestamp lies
/// between two readings. `read` takes it, or returns `None` where the clock cannot be read.
#[derive(Debug, Default)]
pub struct StampTranslator {
    bridge: Bridge,
}

impl StampTranslator {
    /// Notes a reading that was taken while no packet arrives, so that the next timestamp is interpolated over a short
    /// span.
    pub fn note(&mut self, reading: Reading) {
        self.bridge.note(reading);
    }

    /// The instant of a timestamp that was received just now.
    ///
    /// # Errors
    /// [`NoStamp::Missing`] where there is none, [`NoStamp::ClockStepped`] where its clock was stepped between it and the
    /// reading after it, or was never read.
    pub fn translate(
        &mut self,
        now: Timestamp<Raw>,
        stamp: Option<Timestamp<Real>>,
        read: impl FnOnce() -> Option<Reading>,
    ) -> Result<Stamp, NoStamp> {
        let real = stamp.ok_or(NoStamp::Missing)?;
        self.freshen(now, |latest| latest.real <= real, read);
        let raw = self.bridge.to_raw(real).map_err(|_| NoStamp::ClockStepped)?;
        Ok(Stamp { raw, real })
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

#[cfg(test)]
mod tests;
