//! The relay: what danteshm says to chrony, and when.
//!
//! One sample for each Sync that dante4l believed, at the Sync's own instant and as raw as it was measured: chrony
//! filters for itself. The reference is always a date (Dante + K), never Dante's own seconds, which a chrony without a
//! lower bound on dates would step the clock to.

use crate::port::Sample;
use crate::steer::Loss;
use crate::time::{Duration, Epoch, Raw, Real, Timestamp};
use crate::timescale::{EpochChange, TimelineKey, Timescale, Track, was_stepped};
use arrayvec::ArrayVec;
use std::fmt;

/// A K of an earlier run that leads further than this from the system clock is not gone on with: in between it was
/// stepped, and more than an hour at 100 ppm it was not.
const RESUMABLE: Duration = Duration::from_ms(500);

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
    /// The reference would jump by this much, since the system clock was stepped, the host slept or K of an earlier run
    /// is lost. Nothing is written for [`HUSH`], and K is fixed anew then.
    Hushed(Duration),
}

/// chrony unwraps a `local` refclock from sample to sample and follows a jump; after more than 3 s without a sample it
/// begins anew, undisturbed.
pub const HUSH: Duration = Duration::from_secs(4);

/// K as it was told to chrony in an earlier run of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Under this timeline.
    pub key: TimelineKey,
    /// K.
    pub epoch: Epoch,
}

/// The relay.
#[derive(Debug, Default)]
pub struct Relay {
    feeding: bool,
    scale: Option<Timescale>,
    told: Option<Told>,
    /// The last sample: when it arrived, and how far the reference was from the system clock.
    last: Option<(Timestamp<Raw>, Duration)>,
    hush_until: Option<Timestamp<Raw>>,
    outputs: ArrayVec<Output, 8>,
}

impl Relay {
    /// A relay that goes on where one before it ended, if that told anything.
    pub fn new(told: Option<Told>) -> Self {
        Self { told, ..Self::default() }
    }

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
        let raw = sample.arrived.raw;
        let of_this_timeline = sample.timeline == track.key.number;
        // A Sync is named by its instant: whatever the page repeats, it is written once.
        let was_written = self.last.is_some_and(|(last, _)| raw <= last);
        let is_hushed = self.hush_until.is_some_and(|until| raw < until);
        if !sample.accepted || !of_this_timeline || was_written || is_hushed {
            return;
        }
        let mut scale = match (self.scale, self.told.take()) {
            (Some(scale), _) => scale,
            (None, None) => Timescale::fixed_at(track.key, *map, raw, sample.arrived.real),
            (None, Some(told)) if told.key == track.key => Timescale::resumed(told.key, *map, told.epoch),
            (None, Some(_)) => return self.hush(raw, Duration::ZERO),
        };
        if let Some(change) = scale.follow(track.key, *map, raw) {
            self.tell(Output::Epoch(change));
        }
        let reference = scale.epoch().date_of(sample.origin + path_delay);
        let ahead = reference - sample.arrived.real;
        let (last, before) = self.last.unwrap_or((raw, Duration::ZERO));
        if was_stepped(ahead - before, raw - last) && (self.last.is_some() || ahead.abs() > RESUMABLE) {
            return self.hush(raw, ahead - before);
        }
        self.scale = Some(scale);
        self.last = Some((raw, ahead));
        if !std::mem::replace(&mut self.feeding, true) {
            self.tell(Output::Feeding);
        }
        self.tell(Output::Write(RefclockSample { reference, received: sample.arrived.real }));
    }

    /// Chrony must not see the jump that would follow.
    fn hush(&mut self, raw: Timestamp<Raw>, jump: Duration) {
        self.scale = None;
        self.last = None;
        self.hush_until = Some(raw + HUSH);
        self.tell(Output::Hushed(jump));
        if std::mem::replace(&mut self.feeding, false) {
            self.tell(Output::Withdraw);
        }
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
        // Outputs are drained after each input, which makes at most four.
        let told = self.outputs.try_push(output);
        debug_assert!(told.is_ok(), "an output found no room");
    }
}

#[cfg(test)]
mod tests;
