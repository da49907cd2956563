//! Packet timestamps of the kernel or of a card: their source, their format in a control message, and their translation to
//! CLOCK_MONOTONIC_RAW, which no program steers.

use crate::clock::{ClockError, PhcReader, raw_now, read_realtime, timestamp};
use dante_core::port::TimestampSource;
use dante_core::port::{NoTimestamp, PacketTimestamp};
use dante_core::time::{Reading, Real, Timestamp, TimestampTranslator};
use nix::sys::socket::Timestamps;
use nix::sys::time::TimeSpec;

/// Which timestamps to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Timestamping {
    /// Hardware timestamps of the network card if available, else software timestamps
    #[default]
    Auto,
    /// Timestamps of the kernel, taken in or just above the driver
    Software,
    /// Hardware timestamps of the network card only
    Hardware,
}

/// The timestamp of this source.
pub(super) fn of_source(source: TimestampSource, times: Timestamps) -> Option<Timestamp<Real>> {
    of_time(if source == TimestampSource::Hardware { times.hw_raw } else { times.system })
}

/// Converts a timestamp; the kernel sets a timestamp that was not taken to zero.
pub(super) fn of_time(time: TimeSpec) -> Option<Timestamp<Real>> {
    (time != TimeSpec::new(0, 0)).then(|| timestamp(time.tv_sec(), time.tv_nsec()))
}

/// Translates the timestamps of one network's sockets.
#[derive(Debug)]
pub struct TimestampReader {
    /// For timestamps of CLOCK_REALTIME.
    system: TimestampTranslator,
    /// For hardware timestamps.
    card: Option<CardClock>,
}

/// A card's clock and its translator.
#[derive(Debug)]
struct CardClock {
    clock: PhcReader,
    translator: TimestampTranslator,
    is_removed: bool,
}

impl TimestampReader {
    /// For software timestamps, of CLOCK_REALTIME. Takes the first reading of the clocks.
    pub fn start() -> Self {
        Self::of(None)
    }

    /// For hardware timestamps of a card with this clock; `None`: for software timestamps. Takes the first reading of the clocks.
    pub fn of(card: Option<PhcReader>) -> Self {
        let translator = TimestampTranslator::default();
        let card = card.map(|clock| CardClock { clock, translator, is_removed: false });
        let mut reader = Self { system: TimestampTranslator::default(), card };
        reader.refresh();
        reader
    }

    /// Translates a timestamp that was taken just now to CLOCK_MONOTONIC_RAW and CLOCK_REALTIME.
    ///
    /// # Errors
    /// [`NoTimestamp`]: there is none, or its clock was stepped at about that time.
    pub fn translate(&mut self, timestamp: Option<Timestamp<Real>>) -> Result<PacketTimestamp, NoTimestamp> {
        let system = || Some(read_realtime());
        let Some(CardClock { clock, translator, is_removed }) = &mut self.card else {
            return self.system.translate(raw_now(), timestamp, system);
        };
        let read = || read_card(clock, is_removed);
        let PacketTimestamp { raw, .. } = translator.translate(raw_now(), timestamp, read)?;
        let real = self.system.real_at(raw_now(), raw, system).ok_or(NoTimestamp::Missing)?;
        Ok(PacketTimestamp { raw, real })
    }

    /// Takes a reading of the clocks while no packets arrive, so that the next timestamp is interpolated over a short interval.
    pub fn refresh(&mut self) {
        self.system.note(read_realtime());
        if let Some(CardClock { clock, translator, is_removed }) = &mut self.card
            && let Some(reading) = read_card(clock, is_removed)
        {
            translator.note(reading);
        }
    }

    /// Whether the card's clock was removed, as the last readings showed: no timestamp can be translated any more.
    pub fn has_lost_clock(&self) -> bool {
        self.card.as_ref().is_some_and(|card| card.is_removed)
    }
}

fn read_card(clock: &PhcReader, is_removed: &mut bool) -> Option<Reading> {
    clock.read().inspect_err(|error| *is_removed |= matches!(error, ClockError::Removed { .. })).ok()
}
