//! The relay: what danteshm says to chrony, and when.
//!
//! One sample for each Sync that dante4l believed, at the Sync's own instant and as raw as it was measured: chrony
//! filters for itself. The reference is always a date (Dante + K), never Dante's own seconds, which a chrony without a
//! lower bound on dates would step the clock to.

use crate::port::Sample;
use crate::steer::Loss;
use crate::time::{Duration, Raw, Real, Timestamp};
use crate::timescale::{EpochChange, TimelineKey, Timescale, Track};
use arrayvec::ArrayVec;
use std::fmt;

/// Whether samples are being written. The numbers are those on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Nothing to relay.
    Waiting = 0,
    /// A sample for each Sync.
    Feeding = 1,
}

impl State {
    /// From the number on a page.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Waiting, Self::Feeding].into_iter().find(|state| *state as u8 == number)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "WAITING",
            Self::Feeding => "FEEDING",
        })
    }
}

/// A sample for a reference clock driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefclockSample {
    /// The date that the reference shows.
    pub reference: Timestamp<Real>,
    /// CLOCK_REALTIME at the same instant.
    pub received: Timestamp<Real>,
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input {
    /// A Sync on dante4l's page.
    Sync {
        /// The leader, as the page shows it.
        track: Track,
        /// The measurement.
        sample: Sample,
        /// The mean path delay, zero where it is not measured.
        path_delay: Duration,
    },
    /// There is nothing to relay.
    Lost(Loss),
}

/// What is to be done or told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Write this sample.
    Write(RefclockSample),
    /// Take back what was written and not read.
    Withdraw,
    /// Samples are written from now on, with K fixed to the system clock at this Sync or kept from before.
    Feeding,
    /// No more samples, because of this.
    Stopped(Loss),
    /// K was carried over to another timeline.
    Epoch(EpochChange),
}

/// The relay.
#[derive(Debug, Default)]
pub struct Relay {
    feeding: bool,
    scale: Option<Timescale>,
    last: Option<(TimelineKey, Timestamp<Raw>)>,
    outputs: ArrayVec<Output, 4>,
}

impl Relay {
    /// Takes in what happened.
    pub fn handle(&mut self, input: Input) {
        match input {
            Input::Sync { track, sample, path_delay } => self.sync(&track, &sample, path_delay),
            Input::Lost(loss) => self.lost(loss),
        }
    }

    /// The next thing to be done or told; call until it is `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_at(0)
    }

    fn sync(&mut self, track: &Track, sample: &Sample, path_delay: Duration) {
        let Some(map) = track.live_map() else { return self.lost(Loss::NoLeader) };
        let of_this_timeline = sample.timeline == track.key.number;
        if !sample.accepted || !of_this_timeline || self.was_written(track.key, sample.arrived.raw) {
            return;
        }
        let raw = sample.arrived.raw;
        match &mut self.scale {
            None => self.scale = Some(Timescale::fixed_at(track.key, *map, raw, sample.arrived.real)),
            Some(scale) => {
                if let Some(change) = scale.follow(track.key, *map, raw) {
                    self.tell(Output::Epoch(change));
                }
            }
        }
        let Some(scale) = &self.scale else { return };
        let reference = scale.epoch().date_of(sample.origin + path_delay);
        self.last = Some((track.key, raw));
        if !std::mem::replace(&mut self.feeding, true) {
            self.tell(Output::Feeding);
        }
        self.tell(Output::Write(RefclockSample { reference, received: sample.arrived.real }));
    }

    /// A Sync is named by its instant: whatever the page repeats, it is written once.
    fn was_written(&self, key: TimelineKey, raw: Timestamp<Raw>) -> bool {
        self.last.is_some_and(|(last_key, last_raw)| key.instance == last_key.instance && raw <= last_raw)
    }

    fn lost(&mut self, loss: Loss) {
        if std::mem::replace(&mut self.feeding, false) {
            self.tell(Output::Stopped(loss));
            self.tell(Output::Withdraw);
        }
    }

    /// Whether samples are being written.
    pub fn state(&self) -> State {
        if self.feeding { State::Feeding } else { State::Waiting }
    }

    /// The time scale told to chrony, once it was fixed.
    pub fn timescale(&self) -> Option<&Timescale> {
        self.scale.as_ref()
    }

    fn tell(&mut self, output: Output) {
        // Outputs are drained after each input, which makes at most three.
        _ = self.outputs.try_push(output);
    }
}

#[cfg(test)]
mod tests;
