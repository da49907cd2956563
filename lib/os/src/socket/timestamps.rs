//! Timestamps of the kernel or of a card: which to ask for, how a control message holds them, and their translation to
//! CLOCK_MONOTONIC_RAW, which nobody steers.

use crate::clock::{PhcReader, raw_now, read_realtime, timestamp};
use dante_core::port::TimestampSource;
use dante_core::port::{NoTimestamp, PacketTimestamp};
use dante_core::time::{Real, Timestamp, TimestampTranslator};
use nix::sys::socket::Timestamps;
use nix::sys::time::TimeSpec;

/// Which stamps to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Timestamping {
    /// The network card's where they are to be had, else the kernel's
    #[default]
    Auto,
    /// The kernel's, taken in the driver or just above it
    Software,
    /// The network card's, or none
    Hardware,
}

/// The time of the clock that this source stands for.
pub(super) fn taken_by(source: TimestampSource, stamps: Timestamps) -> Option<Timestamp<Real>> {
    taken_at(if source == TimestampSource::Hardware { stamps.hw_raw } else { stamps.system })
}

/// The kernel leaves a stamp that it did not take at zero.
pub(super) fn taken_at(time: TimeSpec) -> Option<Timestamp<Real>> {
    (time != TimeSpec::new(0, 0)).then(|| timestamp(time.tv_sec(), time.tv_nsec()))
}

/// Translates the timestamps of one network's sockets.
#[derive(Debug)]
pub struct TimestampReader {
    /// Of CLOCK_REALTIME.
    system: TimestampTranslator,
    /// Of the card's clock, where the stamps are the card's.
    card: Option<(PhcReader, TimestampTranslator)>,
}

impl TimestampReader {
    /// For the kernel's own stamps, of CLOCK_REALTIME. Takes the first reading.
    pub fn start() -> Self {
        Self::of(None)
    }

    /// For the stamps of a card with this clock, or of the kernel. Takes the first reading.
    pub fn of(card: Option<PhcReader>) -> Self {
        let card = card.map(|clock| (clock, TimestampTranslator::default()));
        let mut stamps = Self { system: TimestampTranslator::default(), card };
        stamps.refresh();
        stamps
    }

    /// The instant of a stamp on both clocks of this host, taken just now.
    ///
    /// # Errors
    /// [`NoTimestamp`]: there was none, or the clock that it is of was stepped near it.
    pub fn translate(&mut self, stamp: Option<Timestamp<Real>>) -> Result<PacketTimestamp, NoTimestamp> {
        let system = || Some(read_realtime());
        let Some((clock, card)) = &mut self.card else {
            return self.system.translate(raw_now(), stamp, system);
        };
        let PacketTimestamp { raw, .. } = card.translate(raw_now(), stamp, || clock.read().ok())?;
        let real = self.system.real_at(raw_now(), raw, system).ok_or(NoTimestamp::Missing)?;
        Ok(PacketTimestamp { raw, real })
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
