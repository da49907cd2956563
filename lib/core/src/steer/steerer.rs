//! The steerer: runs the state machine, the control law and the UTC keeper.

use super::control::Control;
use super::hold::{EarlierEpoch, Hold, REVIEW_INTERVAL};
use super::utc::{Run, UtcKeeper};
use super::{ClockState, Config, Correction, Done, Event, Input, Output, Reason, State};
use crate::outputs::Outputs;
use crate::page::{Dante4l, View};
use crate::time::{ClockMap, Duration, Offset, Ratio, Raw, Reading, Timestamp};
use crate::timescale::Timescale;
use crate::track::{Loss, Track};
use crate::utc::{ClockIdentity, SavedUtc, SavedUtcUse, UtcError};

/// Largest uncertainty of Dante time (one standard deviation) with which UTC over it is saved and resumed.
const SAVED_UTC_SIGMA: Duration = Duration::from_ms(1);
/// A smaller change of rate is not applied in holdover.
const MIN_RATE_CHANGE: Ratio = Ratio::from_ppb(0.1);

/// Steers one clock.
#[derive(Debug)]
pub struct Steerer {
    config: Config,
    pub(super) utc: UtcKeeper,
    control: Control,
    state: State,
    /// The leader was rejected because of its rate, and is still too fast.
    is_too_fast: bool,
    hold: Option<Hold>,
    /// K and UTC of an earlier run, until the first lock.
    earlier: Option<EarlierEpoch>,
    saved: Option<SavedUtc>,
    /// The leader whose clock map is followed.
    leader: ClockIdentity,
    frequency: Ratio,
    review: Option<Timestamp<Raw>>,
    corrections: u64,
    outputs: Outputs<Output, 40>,
}

impl Steerer {
    /// Returns a steerer of a clock that runs at `frequency` and that this program controls.
    pub fn new(config: Config, now: &ClockState, frequency: Ratio) -> Self {
        Self {
            config,
            utc: UtcKeeper::new(config.utc, config.rules, now.reading.raw),
            control: Control::new(now),
            state: State::Waiting,
            is_too_fast: false,
            hold: None,
            earlier: None,
            saved: None,
            leader: ClockIdentity::default(),
            frequency,
            review: None,
            corrections: 0,
            outputs: Outputs::default(),
        }
    }

    /// Resumes the state of an earlier run at the first lock: K, if the clock still agrees with it, and UTC, if the leader's time has
    /// continued and UTC was not measured yet.
    #[must_use]
    pub fn resuming(self, earlier: Option<EarlierEpoch>, saved: Option<SavedUtc>) -> Self {
        Self { earlier, saved, ..self }
    }

    /// K of an earlier run, until the first lock.
    pub fn earlier_epoch(&self) -> Option<EarlierEpoch> {
        self.earlier
    }

    /// Handles an input; `now` is a reading of the clock taken just before.
    pub fn handle(&mut self, now: &ClockState, input: Input<'_>) {
        self.check_clock(now);
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

    /// Handles the result of an output that `drive` carried out.
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
                // The epoch offset (K) moves with the clock, so that the phase error does not change.
                self.hold.iter_mut().for_each(|hold| hold.scale.shift(now.raw, -off.span()));
            }
            Done::Taken(frequency) => {
                self.frequency = frequency;
                self.control.taken(now.raw);
                self.step(Event::Taken, Reason::Taken);
            }
            Done::InUse => self.yielded(now.raw),
            Done::Refused => {
                let wait = if self.state == State::Yielded { Control::FIRST_YIELD } else { REVIEW_INTERVAL };
                self.review = Some(now.raw + wait);
                self.step(Event::Refused, Reason::Refused);
            }
            Done::Declared(quality) => self.utc.declared(now.raw, quality),
        }
    }

    /// Queues the UTC status that the kernel is to publish, if one is due. Call it after the corrections were carried out.
    pub(super) fn conclude(&mut self, now: &Reading) {
        self.outputs.extend(self.utc.declare(now, &self.run()).map(Output::Declare));
    }

    /// Returns the next output; call until it is `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop().or_else(|| self.utc.poll())
    }

    /// Latest time of the next [`Input::Page`].
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        [self.review, self.utc.deadline()].into_iter().flatten().min()
    }

    /// Checks what happened to the clock since the last check.
    fn check_clock(&mut self, now: &ClockState) {
        let (at, slew) = (now.reading.raw, self.utc.slew());
        self.hold.iter_mut().for_each(|hold| hold.scale.set_rate(at, slew));
        let Self { state, frequency, hold, utc, outputs, .. } = self;
        if self.control.check(now, (*state, *frequency), hold, utc, outputs) {
            self.yielded(at);
        }
    }

    /// Handles dante4l's clock page.
    fn page(&mut self, now: &Reading, page: Option<&View<Dante4l>>) {
        let track = self.config.track(page);
        self.utc.update(now.raw, page.filter(|_| track.is_ok()), self.run().map.as_ref());
        match track {
            Ok(track) => {
                let identity = page.map(|page| (page.body.grandmaster, page.body.grandmaster_port));
                self.leader(now, &track, identity.unwrap_or_default());
            }
            Err(loss) => {
                self.is_too_fast = false;
                self.lost(Reason::Lost(loss));
            }
        }
        self.keep(now);
    }

    fn leader(&mut self, now: &Reading, track: &Track, identity: ClockIdentity) {
        let Some(map) = &track.map else { return };
        let is_uncertain = map.uncertainty_at(now.raw).rate > self.state.max_rate_sigma();
        // A leader beyond the frequency bound is rejected: with a clamped frequency the clock would drift away from Dante time +
        // K without limit.
        let rate = map.line.rate + self.utc.servo().steady_slew();
        let was_too_fast =
            std::mem::replace(&mut self.is_too_fast, rate.abs() > self.config.limits.frequency);
        if self.is_too_fast && was_too_fast && self.state == State::Waiting {
            return;
        }
        self.step(Event::Leader, Reason::Leader);
        if self.state == State::Locked && self.timescale().is_some_and(|scale| scale.key() != track.key) {
            self.lost(Reason::OtherTimeline);
        }
        if is_uncertain {
            self.is_too_fast = false;
            if self.state == State::Locked {
                self.lost(Reason::Uncertain);
            }
            return;
        }
        if self.is_too_fast {
            return self.lost(Reason::Lost(Loss::TooFast));
        }
        let before = self.timescale().map(|scale| (scale.key(), *scale.map()));
        let earlier = self.earlier.take();
        let hold = self.hold.get_or_insert_with(|| Hold::begin(track.key, *map, now, earlier));
        let (replaced, change) = hold.follow(track.key, *map, now);
        self.leader = identity;
        if let Some((key, before)) = &before {
            self.utc.map_changed(now.raw, (before, map), replaced, *key == track.key);
        }
        if let Some(change) = change {
            self.push(Output::Epoch(change));
        }
        self.step(Event::RateKnown, Reason::RateKnown);
        // K is settled before UTC: a K from before another program steered the clock is not an error of the clock.
        if self.state == State::Locked {
            self.utc.follows(track.key);
            if self.hold.as_mut().is_some_and(|hold| hold.settle(now)) {
                self.utc.prefer_leader(now.raw, map);
            }
            if map.uncertainty_at(now.raw).offset < SAVED_UTC_SIGMA {
                self.resume_utc(now, map);
            }
        }
    }

    /// Corrects the clock by UTC of an earlier run, if that is still right. It does not count as measured: NTP servers confirm it.
    fn resume_utc(&mut self, now: &Reading, map: &ClockMap) {
        let is_needed = self.utc.needs_utc();
        let Some(saved) = self.saved.take().filter(|_| is_needed) else { return };
        let used = saved.compare(now, self.leader, (map.dante_at(now.raw), map.line.rate));
        self.push(Output::SavedUtc(used));
        if let SavedUtcUse::Used { off, bound, .. } = used {
            if saved.is_rate_known() {
                self.utc.resume_slew(saved.rate);
            }
            // The clock may be right to less than the bound.
            if off.span().abs() > self.config.rules.first_step.max(bound) {
                self.push(Output::Correct(Correction::Step(off)));
            }
        }
    }

    /// Returns UTC over Dante time for the next run, if it is well known.
    pub fn utc_to_save(&self, now: &Reading) -> Option<SavedUtc> {
        let (error, map) = (self.utc_error(now)?, self.timescale()?.map());
        let is_dante_known = matches!(self.state, State::Locked | State::Holdover)
            && map.uncertainty_at(now.raw).offset < SAVED_UTC_SIGMA;
        (is_dante_known && self.is_utc_synchronised()).then(|| SavedUtc {
            leader: self.leader,
            leader_rate: map.line.rate,
            dante: map.dante_at(now.raw),
            utc: now.real - error.error.span(),
            rate: -error.leader_rate,
            rate_sigma: error.leader_rate_sigma,
            bound: error.bound - error.error.span().abs(),
        })
    }

    /// Applies the UTC policy and corrects the phase. Called at most once per input, because the policy requests a step until it is
    /// made. A changed rate is set at once, because K follows it from now on.
    pub(super) fn keep(&mut self, now: &Reading) {
        if let Some(off) = self.utc.keep(now, &self.run()) {
            self.push(Output::Correct(Correction::Step(off)));
        }
        // K follows the new rate from now on, as the clock will.
        let slew = self.utc.slew();
        self.hold.iter_mut().for_each(|hold| hold.scale.set_rate(now.raw, slew));
        self.correct(now);
        // In holdover nothing else sets the frequency.
        if let (State::Holdover, Some(rate)) = (self.state, self.rate_with(self.utc.slew()))
            && (rate - self.frequency).abs() > MIN_RATE_CHANGE
        {
            self.slew(rate);
        }
    }

    /// Yields the clock to another program that steers it.
    fn yielded(&mut self, now: Timestamp<Raw>) {
        // While yielded, only a failed `Take` starts a new, longer wait; what the other program does meanwhile does not.
        let is_known = self.state == State::Yielded && self.review.is_some();
        if is_known || self.state == State::Refused {
            return;
        }
        self.hold.iter_mut().for_each(Hold::give_up);
        self.review = Some(self.control.yielded(now, self.state, &mut self.utc));
        self.step(Event::Disturbed, Reason::Disturbed);
    }

    /// Returns the leader's rate plus `slew`, without a phase term. Use `steady_slew` where no later correction follows.
    fn rate_with(&self, slew: Ratio) -> Option<Ratio> {
        Some(self.hold.as_ref()?.rate_with(slew, &self.config))
    }

    /// The leader is lost: removes the phase term, which nothing would update any more.
    fn lost(&mut self, reason: Reason) {
        let (before, is_ending) = (self.state, reason == Reason::Lost(Loss::Ending));
        self.step(Event::Lost, reason);
        let slew = if is_ending { self.utc.servo().steady_slew() } else { self.utc.slew() };
        let was_held = before == State::Locked || (before == State::Holdover && is_ending);
        if let (true, Some(rate)) = (was_held, self.rate_with(slew)) {
            self.hold.iter_mut().for_each(Hold::clear_phase);
            self.review = None;
            self.slew(rate);
        }
    }

    /// Updates the phase term; retries a clock that refused a correction, or that another program steered.
    fn review(&mut self, now: &Reading) {
        self.review = None;
        match self.state {
            State::Locked => self.correct(now),
            // Without a phase term: in this state nothing would remove it again.
            State::Refused => {
                let rate = self.rate_with(self.utc.servo().steady_slew());
                self.slew(rate.unwrap_or(self.frequency.clamp(self.config.limits.frequency)));
            }
            State::Yielded => self.push(Output::Take),
            State::Waiting | State::Acquiring | State::Holdover => {}
        }
    }

    fn correct(&mut self, now: &Reading) {
        if let (State::Locked, Some(hold)) = (self.state, &mut self.hold) {
            let frequency = hold.correction(now, self.utc.slew(), self.frequency, &self.config);
            self.review = Some(now.raw + REVIEW_INTERVAL);
            self.slew(frequency);
        }
    }

    fn slew(&mut self, frequency: Ratio) {
        self.push(Output::Correct(Correction::Slew(frequency)));
    }

    /// Queues an output after those of the UTC keeper.
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

    /// State, leader map and frequency, by which the UTC error is estimated.
    pub fn run(&self) -> Run {
        let map = self.timescale().map(|scale| *scale.map());
        Run { state: self.state, map, frequency: self.frequency }
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// The frequency that the clock accepted last.
    pub fn frequency(&self) -> Ratio {
        self.frequency
    }

    /// The clock minus (Dante time + K), when it was last measured; `None` without a leader.
    pub fn phase_error(&self) -> Option<Offset> {
        self.hold.as_ref()?.phase_error()
    }

    /// The time scale to which the clock is steered, once K was set.
    pub fn timescale(&self) -> Option<&Timescale> {
        self.hold.as_ref().map(|hold| &hold.scale)
    }

    /// The UTC keeper.
    pub fn utc(&self) -> &UtcKeeper {
        &self.utc
    }

    /// The clock's UTC error; `None` before the first measurement.
    pub fn utc_error(&self, now: &Reading) -> Option<UtcError> {
        self.utc.error(now, &self.run())
    }

    /// Whether the kernel publishes the clock as synchronised to UTC, and the state is neither YIELDED nor REFUSED.
    pub fn is_utc_synchronised(&self) -> bool {
        self.utc.is_synchronised() && !matches!(self.state(), State::Yielded | State::Refused)
    }

    /// Returns the leader's rate with the steady part of the policy's slew, and its uncertainty, if that is low enough to lock.
    pub fn known_frequency(&self, now: Timestamp<Raw>) -> Option<(Ratio, Ratio)> {
        let sigma = self.timescale()?.map().uncertainty_at(now).rate;
        let rate = self.rate_with(self.utc.servo().steady_slew())?;
        (sigma < State::Acquiring.max_rate_sigma()).then_some((rate, sigma))
    }

    /// Number of frequencies that the clock accepted, and of disturbances by other programs.
    pub fn counts(&self) -> (u64, u64) {
        (self.corrections, self.control.disturbances())
    }
}
