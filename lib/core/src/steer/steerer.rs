//! The steerer: its states, and when the law and the UTC keeper have their say.

use super::control::Control;
use super::hold::{Hold, REVIEW};
use super::utc::{Run, UtcKeeper};
use super::{ClockState, Config, Correction, Done, Event, Input, Output, Reason, State};
use crate::outputs::Outputs;
use crate::page::{Dante4l, View};
use crate::time::{Offset, Ratio, Raw, Reading, Timestamp};
use crate::timescale::Timescale;
use crate::track::{Loss, Track};
use crate::utc::UtcError;

/// A change of rate below this is none.
const GRAIN: Ratio = Ratio::from_ppb(0.1);

/// The steerer.
#[derive(Debug)]
pub struct Steerer {
    config: Config,
    pub(super) utc: UtcKeeper,
    control: Control,
    state: State,
    hold: Option<Hold>,
    frequency: Ratio,
    review: Option<Timestamp<Raw>>,
    corrections: u64,
    outputs: Outputs<Output, 40>,
}

impl Steerer {
    /// A steerer of a clock that was just taken, and runs at `frequency`.
    pub fn new(config: Config, now: &ClockState, frequency: Ratio) -> Self {
        Self {
            config,
            utc: UtcKeeper::new(config.utc, config.rules, now.reading.raw),
            control: Control::new(now),
            state: State::Waiting,
            hold: None,
            frequency,
            review: None,
            corrections: 0,
            outputs: Outputs::default(),
        }
    }

    /// Takes in what happened; `now` is a reading of the clock taken just before.
    pub fn handle(&mut self, now: &ClockState, input: Input<'_>) {
        self.look(now);
        let now = &now.reading;
        match input {
            Input::Page(page) => self.page(now, page),
            Input::Answer { server, answer } => {
                if self.utc.answered(now.raw, (server, answer), self.run().map.as_ref()) {
                    self.keep(now);
                }
            }
            Input::End => return self.lost(Reason::Lost(Loss::Ending)),
        }
        if self.review.is_some_and(|due| now.raw >= due) {
            self.review(now);
        }
    }

    /// Takes in what came of an output.
    pub(super) fn done(&mut self, now: &Reading, done: Done) {
        match done {
            Done::Applied(frequency) => {
                self.frequency = frequency;
                self.corrections += 1;
                self.step(Event::Accepted, Reason::Accepted);
            }
            Done::Stepped(off) => {
                self.control.stepped(*now);
                self.utc.stepped(now.raw);
                // K goes with the clock, so that the phase stays what it was.
                self.hold.iter_mut().for_each(|hold| hold.scale.shift(now.raw, -off.span()));
            }
            Done::Taken(frequency) => {
                self.frequency = frequency;
                self.control.taken(now.raw);
                self.step(Event::Taken, Reason::Taken);
            }
            Done::InUse => self.yielded(now.raw),
            Done::Refused => {
                let wait = if self.state == State::Yielded { Control::FIRST_YIELD } else { REVIEW };
                self.review = Some(now.raw + wait);
                self.step(Event::Refused, Reason::Refused);
            }
            Done::Declared(quality) => self.utc.declared(now.raw, quality),
        }
    }

    /// Decides what the kernel is to publish, once the clock was corrected.
    pub(super) fn conclude(&mut self, now: &Reading) {
        self.outputs.extend(self.utc.declare(now, &self.run()).map(Output::Declare));
    }

    /// The next thing to be done or reported; call until it is `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop().or_else(|| self.utc.poll())
    }

    /// When [`Input::Page`] is due at the latest.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        [self.review, self.utc.deadline()].into_iter().flatten().min()
    }

    /// What became of the clock since the last look.
    fn look(&mut self, now: &ClockState) {
        let (at, slew) = (now.reading.raw, self.utc.slew());
        self.hold.iter_mut().for_each(|hold| hold.scale.set_rate(at, slew));
        let Self { state, frequency, hold, utc, outputs, .. } = self;
        if self.control.look(now, (*state, *frequency), hold, utc, outputs) {
            self.yielded(at);
        }
    }

    /// dante4l's page, and what it means for the clock.
    fn page(&mut self, now: &Reading, page: Option<&View<Dante4l>>) {
        let track = self.config.track(page);
        self.utc.look(now.raw, page.filter(|_| track.is_ok()), self.run().map.as_ref());
        match track {
            Ok(track) => self.leader(now, &track),
            Err(loss) => self.lost(Reason::Lost(loss)),
        }
        self.keep(now);
    }

    fn leader(&mut self, now: &Reading, track: &Track) {
        let Some(map) = &track.map else { return };
        self.step(Event::Leader, Reason::Leader);
        if self.state == State::Locked && self.timescale().is_some_and(|scale| scale.key() != track.key) {
            self.lost(Reason::OtherTimeline);
        }
        if map.uncertainty_at(now.raw).rate > self.state.needs() {
            if self.state == State::Locked {
                self.lost(Reason::Uncertain);
            }
            return;
        }
        // Clamped, the clock would run away from Dante + K for ever, and be stepped after it.
        if (map.line.rate + self.utc.keeper().steady_slew()).abs() > self.config.limits.frequency {
            return self.lost(Reason::Lost(Loss::TooFast));
        }
        let before = self.run().map;
        let hold = self.hold.get_or_insert_with(|| Hold::begin(track.key, *map, now));
        if let Some(change) = hold.follow(track.key, *map, now) {
            self.utc.leader_changed(now.raw, before.as_ref());
            self.push(Output::Epoch(change));
        }
        self.step(Event::RateKnown, Reason::RateKnown);
        // Before UTC is looked at: what K was before the clock was in other hands is not the clock's error.
        if self.state == State::Locked && self.hold.as_mut().is_some_and(|hold| hold.settle(now)) {
            self.utc.prefer_leader(now.raw, map);
        }
    }

    /// What is to be done about UTC and the phase; at most once an input, for a step that is wanted is wanted until it is
    /// made. A changed rate is set at once: K runs at it from now on.
    pub(super) fn keep(&mut self, now: &Reading) {
        if let Some(off) = self.utc.keep(now, &self.run()) {
            self.push(Output::Correct(Correction::Step(off)));
        }
        // From now on the clock is to run at that rate, and so does K.
        let slew = self.utc.slew();
        self.hold.iter_mut().for_each(|hold| hold.scale.set_rate(now.raw, slew));
        self.correct(now);
        // In holdover nothing else sets the frequency.
        if let (State::Holdover, Some(rate)) = (self.state, self.rate_with(self.utc.slew()))
            && (rate - self.frequency).abs() > GRAIN
        {
            self.slew(rate);
        }
    }

    /// Leaves the clock to another program that steers it.
    fn yielded(&mut self, now: Timestamp<Raw>) {
        // What it does while it has the clock is no further disturbance; only the answer to Take is.
        let is_known = self.state == State::Yielded && self.review.is_some();
        if is_known || self.state == State::Refused {
            return;
        }
        self.hold.iter_mut().for_each(Hold::give_up);
        self.review = Some(self.control.yielded(now, self.state, &mut self.utc));
        self.step(Event::Disturbed, Reason::Disturbed);
    }

    /// The rate of a clock that nobody looks at: no phase term. `steady_slew`, where that is for good.
    fn rate_with(&self, slew: Ratio) -> Option<Ratio> {
        Some(self.hold.as_ref()?.rate_with(slew, &self.config))
    }

    /// Lets go of the phase, for which there is no fresh look any more.
    fn lost(&mut self, reason: Reason) {
        let (before, is_ending) = (self.state, reason == Reason::Lost(Loss::Ending));
        self.step(Event::Lost, reason);
        let slew = if is_ending { self.utc.keeper().steady_slew() } else { self.utc.slew() };
        let was_held = before == State::Locked || (before == State::Holdover && is_ending);
        if let (true, Some(rate)) = (was_held, self.rate_with(slew)) {
            self.hold.iter_mut().for_each(Hold::let_go);
            self.review = None;
            self.slew(rate);
        }
    }

    /// The phase term is renewed; a clock that refused is asked once more, for what it does already.
    fn review(&mut self, now: &Reading) {
        self.review = None;
        match self.state {
            State::Locked => self.correct(now),
            // Never the phase term, which nobody would take away again.
            State::Refused => {
                let rate = self.rate_with(self.utc.keeper().steady_slew());
                self.slew(rate.unwrap_or(self.frequency.clamp(self.config.limits.frequency)));
            }
            State::Yielded => self.push(Output::Take),
            State::Waiting | State::Acquiring | State::Holdover => {}
        }
    }

    fn correct(&mut self, now: &Reading) {
        if let (State::Locked, Some(hold)) = (self.state, &mut self.hold) {
            let frequency = hold.correction(now, self.utc.slew(), self.frequency, &self.config);
            self.review = Some(now.raw + REVIEW);
            self.slew(frequency);
        }
    }

    fn slew(&mut self, frequency: Ratio) {
        self.push(Output::Correct(Correction::Slew(frequency)));
    }

    /// Behind the news that the UTC keeper has so far.
    fn push(&mut self, output: Output) {
        self.outputs.extend(std::iter::from_fn(|| self.utc.poll()));
        self.outputs.push(output);
    }

    fn step(&mut self, event: Event, reason: Reason) {
        if let Some(to) = self.state.after(event) {
            let from = std::mem::replace(&mut self.state, to);
            self.push(Output::Changed { from, to, reason });
        }
    }

    /// How the clock runs.
    pub fn run(&self) -> Run {
        let map = self.timescale().map(|scale| *scale.map());
        Run { state: self.state, map, frequency: self.frequency }
    }

    /// Where the state machine stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// The frequency that the clock was last seen to take.
    pub fn frequency(&self) -> Ratio {
        self.frequency
    }

    /// The clock minus (Dante + K), when it was last looked at; unknown while there is no leader.
    pub fn phase_error(&self) -> Option<Offset> {
        self.hold.as_ref()?.phase_error()
    }

    /// The time scale that the clock is held on, once it was fixed.
    pub fn timescale(&self) -> Option<&Timescale> {
        self.hold.as_ref().map(|hold| &hold.scale)
    }

    /// The UTC keeper.
    pub fn utc(&self) -> &UtcKeeper {
        &self.utc
    }

    /// What the clock's UTC is worth; `None` before the first measurement.
    pub fn utc_error(&self, now: &Reading) -> Option<UtcError> {
        self.utc.error(now, &self.run())
    }

    /// Whether this program holds the clock, and its UTC is good.
    pub fn is_utc_good(&self) -> bool {
        self.utc.is_good() && !matches!(self.state(), State::Yielded | State::Refused)
    }

    /// The frequency to go on with where there is no leader, and what it may be wrong by, if that is known well enough.
    pub fn known_frequency(&self, now: Timestamp<Raw>) -> Option<(Ratio, Ratio)> {
        let sigma = self.timescale()?.map().uncertainty_at(now).rate;
        let rate = self.rate_with(self.utc.keeper().steady_slew())?;
        (sigma < State::Acquiring.needs()).then_some((rate, sigma))
    }

    /// Corrections that the clock took, and how often another program was seen to steer the clock, or set it.
    pub fn counts(&self) -> (u64, u64) {
        (self.corrections, self.control.disturbances())
    }
}
