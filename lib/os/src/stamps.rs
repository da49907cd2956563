//! Stamps of the kernel or of a card taken to CLOCK_MONOTONIC_RAW, where nobody's steering disturbs them.

use crate::clock::{PhcReader, raw_now, read_realtime};
use dante_core::port::{NoStamp, Stamp};
use dante_core::time::{Bridge, Duration, Reading, Real, Timestamp};

/// A reading serves for all packets of one burst, so long as CLOCK_REALTIME is not stepped meanwhile; a stamp that seems
/// to be older than the last reading may also come from after a step back.
const FRESH: Duration = Duration::from_ms(1);

/// Translates the stamps of one network's sockets.
#[derive(Debug)]
pub struct Stamps {
    /// From CLOCK_REALTIME.
    bridge: Bridge,
    /// From the card's clock, where the stamps are the card's.
    card: Option<(PhcReader, Bridge)>,
}

impl Stamps {
    /// For the kernel's own stamps, of CLOCK_REALTIME. Takes the first reading.
    pub fn start() -> Self {
        let mut stamps = Self { bridge: Bridge::default(), card: None };
        stamps.refresh();
        stamps
    }

    /// For the stamps of a card with this clock. Takes the first reading.
    pub fn of_card(clock: PhcReader) -> Self {
        let mut stamps = Self { bridge: Bridge::default(), card: Some((clock, Bridge::default())) };
        stamps.refresh();
        stamps
    }

    /// The instant of a stamp on both clocks of this host, taken just now: a reading follows it unless there is one
    /// already, so that a stamp always lies between two.
    ///
    /// # Errors
    /// [`NoStamp`]: there was none, or the clock that it is of was stepped near it.
    pub fn translate(&mut self, stamp: Option<Timestamp<Real>>) -> Result<Stamp, NoStamp> {
        let stamp = stamp.ok_or(NoStamp::Missing)?;
        let Some((clock, bridge)) = &mut self.card else {
            let stepped = |_| NoStamp::ClockStepped;
            freshen(&mut self.bridge, |latest| latest.real <= stamp, || Some(read_realtime()));
            return Ok(Stamp { raw: self.bridge.to_raw(stamp).map_err(stepped)?, real: stamp });
        };
        freshen(bridge, |latest| latest.real <= stamp, || clock.read().ok());
        let raw = bridge.to_raw(stamp).map_err(|_| NoStamp::ClockStepped)?;
        freshen(&mut self.bridge, |latest| latest.raw <= raw, || Some(read_realtime()));
        let real = self.bridge.to_real(raw).ok_or(NoStamp::Missing)?;
        Ok(Stamp { raw, real })
    }

    /// Takes a reading while nothing arrives, so that the next stamp is interpolated over a short span.
    pub fn refresh(&mut self) {
        self.bridge.note(read_realtime());
        if let Some((clock, bridge)) = &mut self.card
            && let Ok(reading) = clock.read()
        {
            bridge.note(reading);
        }
    }
}

/// Notes a reading, unless the latest follows the stamp and is fresh.
fn freshen(bridge: &mut Bridge, precedes: impl Fn(Reading) -> bool, read: impl Fn() -> Option<Reading>) {
    let is_old = |latest: Reading| precedes(latest) || raw_now() - latest.raw > FRESH;
    if bridge.latest().is_none_or(is_old)
        && let Some(reading) = read()
    {
        bridge.note(reading);
    }
}
