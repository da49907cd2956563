//! Kernel stamps taken to CLOCK_MONOTONIC_RAW, where nobody's steering disturbs them.

use crate::clock::{raw_now, read_realtime};
use dante_core::port::{NoStamp, Stamp};
use dante_core::time::{Bridge, Duration, Reading, Real, Timestamp};

/// A reading serves for all packets of one burst, so long as CLOCK_REALTIME is not stepped meanwhile; a stamp that seems
/// to be older than the last reading may also come from after a step back.
const FRESH: Duration = Duration::from_ms(1);

/// Translates the stamps of one program's sockets.
#[derive(Debug)]
pub struct Stamps {
    bridge: Bridge,
}

impl Stamps {
    /// Takes the first reading of both clocks.
    pub fn start() -> Self {
        let mut bridge = Bridge::default();
        bridge.note(read_realtime());
        Self { bridge }
    }

    /// The instant of a kernel stamp on both clocks, taken just now: a reading follows it unless there is one already,
    /// so that a stamp always lies between two.
    ///
    /// # Errors
    /// [`NoStamp`]: there was none, or CLOCK_REALTIME was stepped near it.
    pub fn translate(&mut self, stamp: Option<Timestamp<Real>>) -> Result<Stamp, NoStamp> {
        let real = stamp.ok_or(NoStamp::Missing)?;
        let is_old = |latest: Reading| latest.real <= real || raw_now() - latest.raw > FRESH;
        if self.bridge.latest().is_none_or(is_old) {
            self.bridge.note(read_realtime());
        }
        let raw = self.bridge.to_raw(real).map_err(|_| NoStamp::ClockStepped)?;
        Ok(Stamp { raw, real })
    }

    /// Takes a reading while nothing arrives, so that the next stamp is interpolated over a short span.
    pub fn refresh(&mut self) {
        self.bridge.note(read_realtime());
    }
}
