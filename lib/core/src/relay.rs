//! The relay: what danteshm says to chrony, and when.
//!
//! One sample for each Sync that dante4l believed, at the Sync's own instant and as raw as it was measured: chrony
//! filters for itself. The reference is always a date (Dante + K), never Dante's own seconds, which a chrony without a
//! lower bound on dates would step the clock to.

mod average;
mod date;
mod overlay;

pub use date::{Break, EpochRule, EpochSource, Evidence, Fixed, Steered, Told, Waiting};
pub use overlay::{Overlay, OverlayKeeper};

use crate::port::Sample;
use crate::time::{ClockMap, Duration, Raw, Real, Timestamp};
use crate::timescale::{EpochChange, Timescale, was_stepped};
use crate::track::{KernelWord, Loss, Track};
use arrayvec::ArrayVec;
use average::Average;
use std::fmt;

/// A K of an earlier run that leads further than this from the system clock is not gone on with: in between it was
/// stepped, and more than an hour at 100 ppm it was not.
const RESUMABLE: Duration = Duration::from_ms(500);

/// A sample that is older when it is seen is not told: this program was held up.
const LATE: Duration = Duration::from_secs(1);

/// Another timeline is not joined to a map that has become more uncertain than this since its last measurement: what
/// chrony is to see of a leader change.
const JOINABLE: Duration = Duration::from_ms(1);

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

impl RefclockSample {
    /// Reference minus system clock, as chrony looks at it: positive, the system clock is behind.
    pub fn ahead(&self) -> Duration {
        self.reference - self.received
    }
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input {
    /// What a date may be taken from, from now on.
    Date(Evidence),
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
    /// Samples are written from now on.
    Feeding,
    /// No more samples, because of this.
    Stopped(Loss),
    /// K was fixed.
    Fixed(Fixed),
    /// K was carried over to another timeline.
    Epoch(EpochChange),
    /// There is a leader, but no date to fix K to. Said once.
    Undated(Option<KernelWord>),
    /// Nothing is written for [`HUSH`], and K is fixed anew then: else chrony would see a jump.
    Hushed(Break),
}

/// chrony unwraps a `local` refclock from sample to sample and follows a jump; after more than 3 s without a sample it
/// begins anew, undisturbed.
pub const HUSH: Duration = Duration::from_secs(4);

/// What the user chose.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    /// When K may be fixed.
    pub rule: EpochRule,
    /// The mean of so long a stretch, instead of each Sync.
    pub every: Option<Duration>,
}

/// The relay.
#[derive(Debug)]
pub struct Relay {
    rule: EpochRule,
    average: Option<Average>,
    evidence: Evidence,
    feeding: bool,
    /// There is a leader.
    led: bool,
    /// It has no date, and that was said.
    undated: bool,
    scale: Option<Timescale>,
    /// Where its K is from.
    source: EpochSource,
    /// The scale that was given up last, to tell how far the next one is from it.
    before: Option<Timescale>,
    told: Option<Told>,
    /// The last Sync that was looked at: both clocks at its arrival.
    seen: Option<(Timestamp<Raw>, Timestamp<Real>)>,
    /// The last Sync that was told: its arrival, and how far the reference was from the system clock.
    last: Option<(Timestamp<Raw>, Duration)>,
    hush_until: Option<Timestamp<Raw>>,
    outputs: ArrayVec<Output, 8>,
}

impl Relay {
    /// A relay that goes on where one before it ended, if that told anything.
    pub fn new(config: Config, told: Option<Told>) -> Self {
        Self {
            rule: config.rule,
            average: config.every.map(Average::new),
            evidence: Evidence::default(),
            feeding: false,
            led: false,
            undated: false,
            scale: None,
            source: EpochSource::Clock,
            before: None,
            told,
            seen: None,
            last: None,
            hush_until: None,
            outputs: ArrayVec::new(),
        }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Timestamp<Raw>, input: Input) {
        match input {
            Input::Date(evidence) => self.evidence = evidence,
            Input::Sync { track, sample, path_delay } => self.sync(now, &track, &sample, path_delay),
            Input::Lost(loss) => self.lost(loss),
        }
    }

    /// The next thing to be done or told; call until it is `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_at(0)
    }

    fn sync(&mut self, now: Timestamp<Raw>, track: &Track, sample: &Sample, path_delay: Duration) {
        let Some(map) = track.live_map() else { return self.lost(Loss::NoLeader) };
        self.led = true;
        let (raw, real) = (sample.arrived.raw, sample.arrived.real);
        let of_this_timeline = sample.timeline == track.key.number;
        // A Sync is named by its instant: whatever the page repeats, it is looked at once.
        let was_seen = self.seen.is_some_and(|(seen, _)| raw <= seen);
        if !sample.accepted || !of_this_timeline || was_seen || now - raw > LATE {
            return;
        }
        // Also while nothing is written: a clock that somebody steps, or slews in haste, is no date to take.
        if let Some((raw_before, real_before)) = self.seen.replace((raw, real)) {
            let elapsed = raw - raw_before;
            let moved = (real - real_before) - elapsed;
            if was_stepped(moved, elapsed) {
                return self.hush(raw + HUSH, Break::Stepped(moved));
            }
        }
        if self.hush_until.is_some_and(|until| raw < until) {
            return;
        }
        self.hush_until = None;
        let mut scale = match self.scale {
            Some(scale) => scale,
            None => match self.fixed(track, map, raw, real) {
                Some(scale) => scale,
                None => return,
            },
        };
        if scale.key() != track.key && scale.map().uncertainty_at(raw).offset > JOINABLE {
            return self.hush(raw + HUSH, Break::Uncertain(scale.map().uncertainty_at(raw).offset));
        }
        if let Some(change) = scale.follow(track.key, *map, raw) {
            self.tell(Output::Epoch(change));
        }
        let reference = scale.epoch().date_of(sample.origin + path_delay);
        let told = RefclockSample { reference, received: real };
        if let Some((last, before)) = self.last
            && was_stepped(told.ahead() - before, raw - last)
        {
            return self.hush(raw + HUSH, Break::Jump(told.ahead() - before));
        }
        self.scale = Some(scale);
        self.last = Some((raw, told.ahead()));
        if !std::mem::replace(&mut self.feeding, true) {
            self.tell(Output::Feeding);
        }
        let told = match &mut self.average {
            Some(average) => average.add(raw, told),
            None => Some(told),
        };
        if let Some(told) = told {
            self.tell(Output::Write(told));
        }
    }

    /// Fixes K: to that of the run before, to dante2sys', or to where the system clock is.
    fn fixed(
        &mut self,
        track: &Track,
        map: &ClockMap,
        raw: Timestamp<Raw>,
        real: Timestamp<Real>,
    ) -> Option<Timescale> {
        let mut resumed = None;
        if let Some(told) = self.told.take() {
            let scale = Timescale::resumed(told.key, *map, told.epoch);
            let ahead = scale.date_at(raw) - real;
            if told.key == track.key && self.rule.allows(told.source) && ahead.abs() <= RESUMABLE {
                resumed = Some((scale, told.source));
            } else if raw < told.last + HUSH {
                self.hush(told.last + HUSH, Break::Forgotten);
                return None;
            }
        }
        let is_resumed = resumed.is_some();
        let Some((scale, source)) = resumed.or_else(|| self.newly_fixed(track, map, raw, real)) else {
            if !std::mem::replace(&mut self.undated, true) {
                self.tell(Output::Undated(self.evidence.kernel));
            }
            return None;
        };
        self.undated = false;
        let moved = self.before.take().map(|before| scale.date_at(raw) - before.date_at(raw));
        let ahead = scale.date_at(raw) - real;
        let epoch = scale.epoch();
        self.tell(Output::Fixed(Fixed { epoch, source, is_resumed, moved, ahead }));
        self.source = source;
        Some(scale)
    }

    fn newly_fixed(
        &self,
        track: &Track,
        map: &ClockMap,
        raw: Timestamp<Raw>,
        real: Timestamp<Real>,
    ) -> Option<(Timescale, EpochSource)> {
        let source = self.evidence.source(self.rule, track.key)?;
        let scale = match (source, self.evidence.steered) {
            (EpochSource::Dante2sys, Some(steered)) => Timescale::resumed(track.key, *map, steered.epoch),
            _ => Timescale::fixed_at(track.key, *map, raw, real),
        };
        Some((scale, source))
    }

    /// Chrony must not see the jump that would follow.
    fn hush(&mut self, until: Timestamp<Raw>, why: Break) {
        // A clock that goes on moving goes on being waited for, and that is said once.
        if self.hush_until.is_none() || self.scale.is_some() {
            self.tell(Output::Hushed(why));
        }
        self.before = self.scale.take().or(self.before);
        self.last = None;
        self.hush_until = Some(until);
        self.cease();
    }

    fn lost(&mut self, loss: Loss) {
        if self.feeding {
            self.tell(Output::Stopped(loss));
        }
        self.led = false;
        self.cease();
    }

    fn cease(&mut self) {
        if let Some(average) = &mut self.average {
            average.forget();
        }
        if std::mem::replace(&mut self.feeding, false) {
            self.tell(Output::Withdraw);
        }
    }

    /// Whether samples are being written.
    pub fn state(&self) -> State {
        if self.feeding { State::Feeding } else { State::Waiting }
    }

    /// What is missing while none are written.
    pub fn waiting(&self) -> Waiting {
        match (self.feeding, self.led, self.hush_until) {
            (true, ..) => Waiting::Nothing,
            (_, true, Some(_)) => Waiting::Silence,
            (_, true, None) if self.undated => Waiting::Date,
            _ => Waiting::Leader,
        }
    }

    /// The time scale told to chrony, and where its K is from, once it was fixed.
    pub fn timescale(&self) -> Option<(&Timescale, EpochSource)> {
        self.scale.as_ref().map(|scale| (scale, self.source))
    }

    fn tell(&mut self, output: Output) {
        // Outputs are drained after each input, which makes at most four.
        let told = self.outputs.try_push(output);
        debug_assert!(told.is_ok(), "an output found no room");
    }
}

#[cfg(test)]
mod tests;
