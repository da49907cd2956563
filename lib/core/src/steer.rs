//! The steerer: from the leader's map to corrections of a clock.
//!
//! The clock is *synthesised*: its frequency is the leader's rate plus a small, bounded term that brings the phase
//! error `e = clock - (Dante + K)` to zero. The rate comes from a free-running measurement, so no loop filter stands
//! between it and the clock; the phase is bounded, so the clock does not wander off in a random walk.
//!
//! [`Steerer::handle`] takes what happened together with a fresh reading of the clock, [`Steerer::poll`] hands out
//! corrections and news, [`Steerer::deadline`] says when it wants to look again.

mod state;

pub use state::{Event, State};

use crate::time::{ClockMap, Duration, Offset, Ratio, Raw, Reading, Timestamp};
use crate::timescale::{EpochChange, TimelineKey, Timescale, Track, was_stepped};
use arrayvec::ArrayVec;
use std::fmt;

/// What is to be done to the clock. The caller does it and reports back.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Correction {
    /// Run at this frequency: +10 ppb, the clock gains 10 ns a second on CLOCK_MONOTONIC_RAW.
    Slew(Ratio),
    /// The clock is off by this much (clock minus what is right): move it back by that, at once.
    Step(Offset),
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input {
    /// dante4l's page was read.
    Leader(Track),
    /// dante4l's page does not tell anything.
    Lost(Loss),
    /// A correction was applied; the clock took this frequency.
    Applied(Ratio),
    /// The clock could not be corrected.
    Refused,
    /// The deadline came.
    Deadline,
}

/// Why there is nothing to steer by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// dante4l has no leader, or does not know its rate yet.
    NoLeader,
    /// dante4l has not written its page for two seconds.
    Stale,
    /// dante4l was stopped.
    Stopped,
    /// There is no page of dante4l, or none that may be believed.
    NoPage,
    /// This program was asked to end.
    Ending,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLeader => "dante4l has no leader that it knows well",
            Self::Stale => "dante4l's page is stale",
            Self::Stopped => "dante4l was stopped",
            Self::NoPage => "no page of dante4l",
            Self::Ending => "this program ends",
        })
    }
}

/// What is to be done or told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Output {
    /// Correct the clock.
    Correct(Correction),
    /// The state changed.
    Changed {
        /// From this.
        from: State,
        /// To this.
        to: State,
        /// Because of this.
        reason: Reason,
    },
    /// K was carried over to another timeline.
    Epoch(EpochChange),
    /// Somebody stepped the clock by this much, or the host slept: K is fixed anew to where the clock is now.
    Adopted(Offset),
}

/// Why the state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// dante4l follows a leader.
    Leader,
    /// The leader's rate is known well enough to steer by.
    RateKnown,
    /// There is nothing to steer by.
    Lost(Loss),
    /// The leader's rate is not known well enough any more.
    Uncertain,
    /// Dante time is not continuous: another leader, a reboot, or dante4l itself was restarted.
    OtherTimeline,
    /// The clock cannot be corrected.
    Refused,
    /// It can again.
    Accepted,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str("dante4l follows a leader"),
            Self::RateKnown => f.write_str("the leader's rate is known"),
            Self::Lost(loss) => write!(f, "{loss}"),
            Self::Uncertain => f.write_str("the leader's rate is not known well enough any more"),
            Self::OtherTimeline => f.write_str("Dante time is not continuous"),
            Self::Refused => f.write_str("the clock cannot be corrected"),
            Self::Accepted => f.write_str("the clock takes corrections again"),
        }
    }
}

/// Bounds of the law.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// No frequency beyond this is ever set. The kernel's own bound is 500 ppm (MAXFREQ in linux/timex.h); some room
    /// is left so that it never clips.
    pub frequency: Ratio,
    /// The phase term stays within this of the leader's rate, so that the clock runs sanely on if the program dies.
    pub phase_term: Ratio,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frequency: Ratio::from_ppm(490.0), phase_term: Ratio::from_ppm(5.0) }
    }
}

/// Bounds of the phase's time constant, s: where a map seems perfect the readings of the clock still err by some tens of
/// ns, and where it seems hopeless a phase error must fade within minutes.
const PHASE_TIME: (f64, f64) = (2.0, 120.0);
/// The leader's rate must be known to this before the clock is locked to it: an error of 2 ppm is what a media clock
/// does not feel, and the estimator comes to it within 3 s.
const LOCK_PPM: f64 = 2.0;
/// And is let go when it is known to no better than this: what is known of a noise that is only just being found moves.
const UNLOCK_PPM: f64 = 6.0;
/// Until the rate is known to this, the map's offset moves by microseconds as it is found, and K with it.
const SETTLED_PPB: f64 = 200.0;
/// A phase term stays in force no longer than this without a fresh look at the clock.
const REVIEW: Duration = Duration::from_secs(1);

/// The steerer.
#[derive(Debug)]
pub struct Steerer {
    limits: Limits,
    state: State,
    scale: Option<Timescale>,
    frequency: Ratio,
    phase_error: Option<Offset>,
    /// The phase error at the last look, and when that was.
    looked: Option<(Timestamp<Raw>, Offset)>,
    /// K stands. While a timeline is new and its map still moves by microseconds, K moves with it.
    settled: bool,
    review: Option<Timestamp<Raw>>,
    corrections: u64,
    outputs: ArrayVec<Output, 8>,
}

impl Steerer {
    /// A steerer of a clock that runs at `frequency` now.
    pub fn new(limits: Limits, frequency: Ratio) -> Self {
        Self {
            limits,
            state: State::Waiting,
            scale: None,
            frequency,
            phase_error: None,
            looked: None,
            settled: false,
            review: None,
            corrections: 0,
            outputs: ArrayVec::new(),
        }
    }

    /// Takes in what happened; `now` is a reading of the steered clock taken just before.
    pub fn handle(&mut self, now: Reading, input: Input) {
        match input {
            Input::Leader(track) => self.leader(now, &track),
            Input::Lost(loss) => self.lost(Reason::Lost(loss)),
            Input::Applied(frequency) => {
                self.frequency = frequency;
                self.corrections += 1;
                self.step(Event::Accepted, Reason::Accepted);
            }
            Input::Refused => {
                self.review = Some(now.raw + REVIEW);
                self.step(Event::Refused, Reason::Refused);
            }
            Input::Deadline => {
                if self.review.is_some_and(|at| now.raw >= at) {
                    self.review(now);
                }
            }
        }
    }

    /// The next thing to be done or told; call until it is `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_at(0)
    }

    /// When [`Input::Deadline`] is due at the latest.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.review
    }

    fn leader(&mut self, now: Reading, track: &Track) {
        let Some(map) = track.live_map() else { return self.lost(Reason::Lost(Loss::NoLeader)) };
        self.step(Event::Leader, Reason::Leader);
        if self.state == State::Locked && self.scale.is_some_and(|scale| scale.key() != track.key) {
            self.lost(Reason::OtherTimeline);
        }
        let sigma = map.uncertainty_at(now.raw).rate.ppm();
        match self.state {
            State::Locked if sigma > UNLOCK_PPM => return self.lost(Reason::Uncertain),
            State::Locked => {}
            _ if sigma > LOCK_PPM => return,
            _ => {}
        }
        match &mut self.scale {
            None => self.scale = Some(Timescale::fixed_at(track.key, *map, now.raw, now.real)),
            Some(scale) => {
                if let Some(change) = scale.follow(track.key, *map, now.raw) {
                    self.settled = false;
                    self.tell(Output::Epoch(change));
                }
            }
        }
        self.step(Event::RateKnown, Reason::RateKnown);
        if self.state == State::Locked {
            self.correct(now);
        }
    }

    /// Lets go: keeps the leader's rate, without the phase term, for which there is no fresh look any more.
    fn lost(&mut self, reason: Reason) {
        let was_locked = self.state == State::Locked;
        self.step(Event::Lost, reason);
        if let (true, Some(scale)) = (was_locked, &self.scale) {
            let rate = scale.map().line.rate.clamp(self.limits.frequency);
            self.phase_error = None;
            self.review = None;
            self.tell(Output::Correct(Correction::Slew(rate)));
        }
    }

    /// The phase term is renewed; a clock that refused is asked once more, for what it does already.
    fn review(&mut self, now: Reading) {
        self.review = None;
        match self.state {
            State::Locked => self.correct(now),
            State::Refused => {
                // Never the phase term, which nobody would take away again.
                let rate = self.scale.map_or(self.frequency, |scale| scale.map().line.rate);
                self.tell(Output::Correct(Correction::Slew(rate.clamp(self.limits.frequency))));
            }
            State::Waiting | State::Acquiring | State::Holdover => {}
        }
    }

    /// The law.
    fn correct(&mut self, now: Reading) {
        let Some(scale) = &mut self.scale else { return };
        let mut error = Offset::between(now.real, scale.date_at(now.raw));
        let moved = |(then, before): (Timestamp<Raw>, Offset)| {
            let moved = error.span() - before.span();
            was_stepped(moved, now.raw - then).then_some(Offset::from_ns(moved.ns()))
        };
        let adopted = self.looked.and_then(moved);
        if adopted.is_some() || !self.settled {
            // A step by somebody else is his affair; and what the map learns of its own offset in the first seconds of
            // a timeline is no error of the clock.
            self.settled = scale.map().uncertainty_at(now.raw).rate.ppb() < SETTLED_PPB;
            *scale = Timescale::fixed_at(scale.key(), *scale.map(), now.raw, now.real);
            error = Offset::ZERO;
        }
        self.looked = Some((now.raw, error));
        let term = (-error.span() / phase_time(scale.map())).clamp(self.limits.phase_term);
        let frequency = (scale.map().line.rate + term).clamp(self.limits.frequency);
        self.phase_error = Some(error);
        self.review = Some(now.raw + REVIEW);
        if let Some(size) = adopted {
            self.tell(Output::Adopted(size));
        }
        self.tell(Output::Correct(Correction::Slew(frequency)));
    }

    /// Where the state machine stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// The frequency that the clock was last seen to take.
    pub fn frequency(&self) -> Ratio {
        self.frequency
    }

    /// The clock's rate minus the leader's.
    pub fn rate_error(&self) -> Option<Ratio> {
        self.scale.as_ref().map(|scale| self.frequency - scale.map().line.rate)
    }

    /// The clock minus (Dante + K), when it was last looked at; unknown while there is no leader.
    pub fn phase_error(&self) -> Option<Offset> {
        self.phase_error
    }

    /// The time scale that the clock is held on, once it was fixed.
    pub fn timescale(&self) -> Option<&Timescale> {
        self.scale.as_ref()
    }

    /// The timeline that the clock is held on.
    pub fn key(&self) -> Option<TimelineKey> {
        self.scale.as_ref().map(Timescale::key)
    }

    /// How many corrections the clock took.
    pub fn corrections(&self) -> u64 {
        self.corrections
    }

    fn step(&mut self, event: Event, reason: Reason) {
        if let Some(to) = self.state.after(event) {
            let from = std::mem::replace(&mut self.state, to);
            self.tell(Output::Changed { from, to, reason });
        }
    }

    fn tell(&mut self, output: Output) {
        // Outputs are drained after each input, which makes at most six.
        let told = self.outputs.try_push(output);
        debug_assert!(told.is_ok(), "an output found no room");
    }
}

/// The time constant with which the phase error is brought to zero: as the map's offset is uncertain to its rate. Shorter,
/// and the noise of the map's offset goes into the clock's rate; longer, and the noise of its rate builds up phase. At
/// this ratio both are within 1.4 times what the map itself has (measured over 2000 s and 20 seeds, on software stamps
/// of veth and of real devices). It opens by itself from 2 s at lock to 16 s and 58 s there.
fn phase_time(map: &ClockMap) -> Duration {
    let seconds = map.sigma.offset.secs_f64() / map.sigma.rate.fraction();
    Duration::from_secs_f64(seconds.clamp(PHASE_TIME.0, PHASE_TIME.1))
}

#[cfg(test)]
mod tests;
