//! Stamps of the kernel or of a card taken to CLOCK_MONOTONIC_RAW, where nobody's steering disturbs them.

use crate::clock::{PhcReader, raw_now, read_realtime};
use dante_core::port::{NoStamp, Stamp};
use dante_core::time::{Real, StampTranslator, Timestamp};

/// Translates the stamps of one network's sockets.
#[derive(Debug)]
pub struct Stamps {
    /// Of CLOCK_REALTIME.
    system: StampTranslator,
    /// Of the card's clock, where the stamps are the card's.
    card: Option<(PhcReader, StampTranslator)>,
}

impl Stamps {
    /// For the kernel's own stamps, of CLOCK_REALTIME. Takes the first reading.
    pub fn start() -> Self {
        Self::of(None)
    }

    /// For the stamps of a card with this clock, or of the kernel. Takes the first reading.
    pub fn of(card: Option<PhcReader>) -> Self {
        let card = card.map(|clock| (clock, StampTranslator::default()));
        let mut stamps = Self { system: StampTranslator::default(), card };
        stamps.refresh();
        stamps
    }

    /// The instant of a stamp on both clocks of this host, taken just now.
    ///
    /// # Errors
    /// [`NoStamp`]: there was none, or the clock that it is of was stepped near it.
    pub fn translate(&mut self, stamp: Option<Timestamp<Real>>) -> Result<Stamp, NoStamp> {
        let system = || Some(read_realtime());
        let Some((clock, card)) = &mut self.card else {
            return self.system.translate(raw_now(), stamp, system);
        };
        let Stamp { raw, .. } = card.translate(raw_now(), stamp, || clock.read().ok())?;
        let real = self.system.real_at(raw_now(), raw, system).ok_or(NoStamp::Missing)?;
        Ok(Stamp { raw, real })
    }

    /// Takes a reading while nothing arrives, so that the next stamp is interpolated over a short span.
    pub fn refresh(&mut self) {
        self.system.note(read_realtime());
        if let Some((clock, card)) = &mut self.card
            && let Ok(reading) = clock.read()
        {
            card.note(reading);
        }
    }
}
