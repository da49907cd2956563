//! The steerer: from the leader's map to corrections of a clock.
//!
//! The clock is *synthesised*: its frequency is the leader's rate plus a small, bounded term that brings the phase
//! error `e = clock - (Dante + K)` to zero. The rate comes from a free-running measurement, so no loop filter stands
//! between it and the clock; the phase is bounded, so the clock does not wander off in a random walk.
//!
//! [`Steerer::handle`] takes what happened together with a fresh reading of the clock, [`Steerer::poll`] hands out
//! corrections and news, [`Steerer::deadline`] says when it wants to look again.

mod dating;
mod state;

pub use dating::Jump;
pub use state::{Event, State};

use crate::date::{DateKeeper, DateNews, DateRules, Verdict};
use crate::time::{ClockMap, Duration, Offset, Ratio, Raw, Reading, Timestamp};
use crate::timescale::{EpochChange, Timescale};
use crate::track::{Loss, TimelineKey, Track};
use arrayvec::ArrayVec;
use dating::Unexplained;
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
    /// The clock was stepped as it was asked for.
    Stepped(Offset),
    /// The clock could not be corrected.
    Refused,
    /// The servers agree on a date.
    Date(Verdict),
    /// The clock is about to be seen to have jumped, or was: for this reason.
    Jumped(Jump),
    /// Another program steers the clock too.
    Disturbed,
    /// The clock was taken in hand again; it runs at this frequency.
    Taken(Ratio),
    /// The deadline came.
    Deadline,
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
    /// The clock jumped by this much, by nothing that was asked for: K is fixed anew to where the clock is now.
    Adopted(Offset, Jump),
    /// News of the date.
    Date(DateNews),
    /// Take the clock in hand again, if nobody else has it, and report with [`Input::Taken`], else [`Input::Disturbed`].
    Take,
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
    /// Another program steers the clock.
    Disturbed,
    /// It was left alone for long enough to be tried again.
    Taken,
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
            Self::Disturbed => f.write_str("another program steers the clock: it is left to it for a while"),
            Self::Taken => f.write_str("the clock is taken in hand again"),
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

/// The clock is left to another program for so long at first, and at most; twice as long each time.
const YIELDS: (Duration, Duration) = (Duration::from_secs(16), Duration::from_secs(1024));
/// A clock that was in our hands for so long without a disturbance is ours.
const UNDISTURBED: Duration = Duration::from_secs(600);

/// The steerer.
#[derive(Debug)]
pub struct Steerer {
    limits: Limits,
    date: DateKeeper,
    state: State,
    scale: Option<Timescale>,
    frequency: Ratio,
    phase_error: Option<Offset>,
    /// The last reading of the clock: what moved since then further than any frequency moves it, jumped.
    watched: Option<Reading>,
    /// K stands. While a timeline is new and its map still moves by microseconds, K moves with it.
    settled: bool,
    review: Option<Timestamp<Raw>>,
    /// K was moved on to here for the date's sake, but for this part of a ns.
    advanced: Timestamp<Raw>,
    carry: f64,
    /// Why the clock is to jump soon, if it does, and since when that is known.
    expected: Option<(Timestamp<Raw>, Jump)>,
    /// The last jump that nothing explained yet.
    unexplained: Option<Unexplained>,
    /// How long the clock is left to another program the next time, and when it was last taken from it.
    yields: Duration,
    taken_at: Option<Timestamp<Raw>>,
    corrections: u64,
    date_steps: u64,
    disturbances: u64,
    outputs: ArrayVec<Output, 12>,
}

impl Steerer {
    /// A steerer of a clock that runs at `frequency` now.
    pub fn new(limits: Limits, rules: DateRules, frequency: Ratio) -> Self {
        Self {
            limits,
            date: DateKeeper::new(rules),
            state: State::Waiting,
            scale: None,
            frequency,
            phase_error: None,
            watched: None,
            settled: false,
            review: None,
            advanced: Timestamp::ZERO,
            carry: 0.0,
            expected: None,
            unexplained: None,
            yields: YIELDS.0,
            taken_at: None,
            corrections: 0,
            date_steps: 0,
            disturbances: 0,
            outputs: ArrayVec::new(),
        }
    }

    /// Takes in what happened; `now` is a reading of the steered clock taken just before.
    pub fn handle(&mut self, now: Reading, input: Input) {
        self.advance(now.raw);
        if let Input::Jumped(jump) = input {
            self.expected = Some((now.raw, jump));
        }
        self.watch(&now, &input);
        match input {
            Input::Leader(track) => self.leader(now, &track),
            Input::Lost(loss) => {
                self.lost(Reason::Lost(loss));
                if loss != Loss::Ending {
                    self.mind_date(now);
                }
            }
            Input::Applied(frequency) => {
                self.frequency = frequency;
                self.corrections += 1;
                self.step(Event::Accepted, Reason::Accepted);
            }
            Input::Stepped(off) => self.stepped(now, off),
            Input::Refused => {
                let wait = if self.state == State::Yielded { YIELDS.0 } else { REVIEW };
                self.review = Some(now.raw + wait);
                self.step(Event::Refused, Reason::Refused);
            }
            Input::Date(verdict) => self.verdict(now, &verdict),
            Input::Jumped(jump) => self.explained(now.raw, jump),
            Input::Disturbed => self.yielded(now.raw),
            Input::Taken(frequency) => {
                self.frequency = frequency;
                self.taken_at = Some(now.raw);
                self.step(Event::Taken, Reason::Taken);
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
        // Clamped, the clock would run away from Dante + K for ever, and be stepped after it.
        let room = self.limits.frequency - (map.line.rate + self.date.steady_slew()).abs();
        if room < Ratio::ZERO {
            return self.lost(Reason::Lost(Loss::TooFast));
        }
        match &mut self.scale {
            None => self.scale = Some(Timescale::fixed_at(track.key, *map, now.raw, now.real)),
            Some(scale) => {
                let before = *scale.map();
                if let Some(change) = scale.follow(track.key, *map, now.raw) {
                    self.settled = false;
                    self.date.rebase(now.raw, Some(&before), None);
                    self.tell(Output::Epoch(change));
                }
            }
        }
        self.step(Event::RateKnown, Reason::RateKnown);
        if self.state == State::Locked {
            // Before the date is looked at: what K was before the clock was in other hands is not the clock's error.
            self.settle(now);
            self.base_date(now);
        }
        self.mind_date(now);
        if self.state == State::Locked {
            self.correct(now);
        }
    }

    /// Leaves the clock to another program that steers it, each time for longer.
    fn yielded(&mut self, now: Timestamp<Raw>) {
        match self.state {
            State::Refused => return,
            // What it does while it has the clock is no further disturbance; only the answer to Take is.
            State::Yielded if self.review.is_some() => return,
            State::Yielded => {}
            _ => self.disturbances += 1,
        }
        if self.taken_at.take().is_some_and(|at| now - at > UNDISTURBED) {
            self.yields = YIELDS.0;
        }
        self.phase_error = None;
        self.settled = false;
        self.jump_was_anothers(now);
        self.date.yielded();
        self.review = Some(now + self.yields);
        self.yields = (self.yields * 2).min(YIELDS.1);
        self.step(Event::Disturbed, Reason::Disturbed);
    }

    /// The rate of a clock that is held without a look at the leader: no phase term, but what brings the date right.
    fn held_rate(&self) -> Option<Ratio> {
        let scale = self.scale.as_ref()?;
        Some((scale.map().line.rate + self.date.slew()).clamp(self.limits.frequency))
    }

    /// The rate to leave a clock at that nobody looks at any more, and to begin with the next time.
    pub fn lasting_rate(&self) -> Option<Ratio> {
        let scale = self.scale.as_ref()?;
        Some((scale.map().line.rate + self.date.steady_slew()).clamp(self.limits.frequency))
    }

    /// Lets go: keeps the leader's rate, without the phase term, for which there is no fresh look any more.
    fn lost(&mut self, reason: Reason) {
        let was_held = matches!(self.state, State::Locked | State::Holdover);
        let was_locked = self.state == State::Locked;
        self.step(Event::Lost, reason);
        let is_ending = reason == Reason::Lost(Loss::Ending);
        let rate = if is_ending { self.lasting_rate() } else { self.held_rate() };
        if let (true, Some(rate)) = (was_locked || (was_held && is_ending), rate) {
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
                let rate = self.lasting_rate().unwrap_or(self.frequency.clamp(self.limits.frequency));
                self.tell(Output::Correct(Correction::Slew(rate)));
            }
            State::Yielded => self.tell(Output::Take),
            State::Waiting | State::Acquiring | State::Holdover => {}
        }
    }

    /// What the map learns of its own offset in the first seconds of a timeline is no error of the clock.
    fn settle(&mut self, now: Reading) {
        if let (false, Some(scale)) = (self.settled, &mut self.scale) {
            *scale = Timescale::fixed_at(scale.key(), *scale.map(), now.raw, now.real);
            self.settled = scale.map().uncertainty_at(now.raw).rate.ppb() < SETTLED_PPB;
        }
    }

    /// The law.
    fn correct(&mut self, now: Reading) {
        self.settle(now);
        let Some(scale) = &self.scale else { return };
        let error = Offset::between(now.real, scale.date_at(now.raw));
        let term = (-error.span() / phase_time(scale.map())).clamp(self.limits.phase_term);
        let frequency = (scale.map().line.rate + self.date.slew() + term).clamp(self.limits.frequency);
        self.phase_error = Some(error);
        self.review = Some(now.raw + REVIEW);
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

    /// The date and its policy.
    pub fn date(&self) -> &DateKeeper {
        &self.date
    }

    /// How often the clock was stepped for the date's sake.
    pub fn date_steps(&self) -> u64 {
        self.date_steps
    }

    /// How often another program was seen to steer the clock.
    pub fn disturbances(&self) -> u64 {
        self.disturbances
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
