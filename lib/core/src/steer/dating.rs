//! The steerer's part in the date: K is moved as the date policy wants it, by a step or by running off the leader's rate.

use super::{Correction, Input, Output, State, Steerer};
use crate::date::{DateError, DateNews, Verdict};
use crate::time::{ClockMap, Duration, Offset, Ratio, Raw, Reading, Timestamp};
use crate::timescale::{Timescale, was_stepped};

/// A change of rate below this is none.
const GRAIN: Ratio = Ratio::from_ppb(0.1);
/// A jump that was to come soon comes within this.
const SOON: Duration = Duration::from_secs(10);

/// Why the clock jumped although the steerer did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jump {
    /// The host slept: CLOCK_MONOTONIC_RAW stood still.
    Slept,
    /// The kernel inserted or left out a leap second.
    Leap,
    /// Another program or the administrator set the clock.
    Set,
}

/// A jump that was taken for somebody's doing, and may yet prove to be something else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unexplained {
    at: Timestamp<Raw>,
    by: Offset,
    /// The date was left as it was before that, too.
    was_left: bool,
}

impl Steerer {
    /// K moves on at the rate that the date policy adds.
    pub(super) fn advance(&mut self, now: Timestamp<Raw>) {
        let since = now - self.advanced;
        self.advanced = now;
        let Some(scale) = &mut self.scale else { return };
        self.carry += self.date.slew().ppb() * since.secs_f64();
        let whole = Duration::from_ns_f64(self.carry);
        self.carry -= whole.ns_f64();
        scale.shift(whole);
    }

    /// The map that the date is told against.
    fn map(&self) -> Option<ClockMap> {
        self.scale.as_ref().map(|scale| *scale.map())
    }

    /// What the date of the steered clock is worth; `None` where nobody told the date yet.
    pub fn date_error(&self, now: &Reading) -> Option<DateError> {
        let map = self.map();
        let (rate, held) = match (map, self.state) {
            (Some(map), State::Locked) => ((map.line.rate, map.uncertainty_at(now.raw).rate), None),
            (Some(map), State::Holdover) => {
                let sigma = map.uncertainty_at(now.raw);
                // Nobody measures the leader, against whose time the date is told.
                ((map.line.rate, sigma.rate), Some(sigma.offset))
            }
            _ => ((self.frequency, Ratio::ZERO), None),
        };
        let mut error = self.date.error(now.raw, now.real, rate, map.as_ref())?;
        if let Some(sigma) = held {
            error.bound = error.bound + sigma * 3;
            error.sigma = Duration::from_secs_f64(error.sigma.secs_f64().hypot(sigma.secs_f64()));
        }
        Some(error)
    }

    /// The servers agreed on a date.
    pub(super) fn verdict(&mut self, now: Reading, verdict: &Verdict) {
        let map = self.map();
        let news = self.date.observe(verdict, map.as_ref());
        self.tell_date(news);
        self.mind_date(now);
        if self.state == State::Locked {
            // At once: K runs at the new rate from now on, and the clock with it.
            self.correct(now);
        }
    }

    /// Has the date told against the leader's time once that is the better base.
    pub(super) fn base_date(&mut self, now: Reading) {
        let Some(map) = self.map().filter(|_| self.settled && !self.date.is_on_leader()) else { return };
        if self.date.prefers_leader(now.raw, &map) {
            self.date.rebase(now.raw, None, Some(&map));
        }
    }

    /// Steps where the policy wants it, and finds the rate that it adds to the leader's from now on: each time anew, so
    /// that a correction ends when it is done, also where no server answers any more.
    pub(super) fn mind_date(&mut self, now: Reading) {
        if matches!(self.state, State::Refused | State::Yielded) {
            return;
        }
        let Some(error) = self.date_error(&now) else { return };
        let (step, news) = self.date.step_wanted(now.raw, &error);
        self.tell_date(news);
        if let Some(off) = step {
            self.tell(Output::Correct(Correction::Step(off)));
        }
        // Nothing runs off a rate that is not held.
        if !matches!(self.state, State::Locked | State::Holdover) {
            return;
        }
        let news = self.date.slewed(&error);
        self.tell_date(news);
        // In holdover nothing else sets the frequency.
        if let (State::Holdover, Some(rate)) = (self.state, self.held_rate())
            && (rate - self.frequency).abs() > GRAIN
        {
            self.tell(Output::Correct(Correction::Slew(rate)));
        }
    }

    /// The clock was stepped as it was asked for: K goes with it, so that the phase stays what it was.
    pub(super) fn stepped(&mut self, now: Reading, off: Offset) {
        self.date.stepped(now.raw);
        self.date_steps += 1;
        if let Some(scale) = &mut self.scale {
            scale.shift(-off.span());
        }
    }

    /// Looks whether the clock jumped by nothing that was asked for. It stays where it is then, and K is fixed anew.
    pub(super) fn watch(&mut self, now: &Reading, input: &Input) {
        let Some(before) = self.watched.replace(*now) else { return };
        let elapsed = now.raw - before.raw;
        let moved = (now.real - before.real) - elapsed;
        // A program that was held up amid a reading, under a tracer say, read the two clocks at different times.
        let certain = (moved.abs() - (before.width + now.width) / 2).max(Duration::ZERO);
        if matches!(input, Input::Stepped(_)) || !was_stepped(certain, elapsed) {
            return;
        }
        let by = Offset::from_ns((moved - elapsed * self.frequency).ns());
        let expected = self.expected.take().filter(|(since, _)| now.raw - *since <= SOON);
        let jump = expected.map_or(Jump::Set, |(_, jump)| jump);
        let jump = if jump == Jump::Leap && !is_a_second(by) { Jump::Set } else { jump };
        if let Some(scale) = &mut self.scale {
            *scale = Timescale::fixed_at(scale.key(), *scale.map(), now.raw, now.real);
        }
        let was_left = self.date.is_left();
        self.unexplained = (jump == Jump::Set).then_some(Unexplained { at: now.raw, by, was_left });
        self.tell(Output::Adopted(by, jump));
        match jump {
            // While the clock is left to another program, that one sets it as it likes.
            Jump::Set if self.state == State::Yielded => {}
            Jump::Set => {
                self.disturbances += 1;
                let news = self.date.leave();
                self.tell_date(news);
            }
            Jump::Slept => self.slept(),
            Jump::Leap => self.date.leap_passed(by.span()),
        }
    }

    /// A jump is explained: one that was seen already, or one that is yet to be seen.
    pub(super) fn explained(&mut self, now: Timestamp<Raw>, jump: Jump) {
        let seen = self.unexplained.take().filter(|seen| self.expected.is_some() && now - seen.at <= SOON);
        if seen.is_some() {
            self.expected = None;
        }
        match (jump, seen) {
            (Jump::Slept, _) => self.slept(),
            (Jump::Leap, Some(seen)) if is_a_second(seen.by) => {
                self.disturbances = self.disturbances.saturating_sub(1);
                self.date.leap_passed(seen.by.span());
                self.date.set_left(seen.was_left);
            }
            (Jump::Leap | Jump::Set, _) => {}
        }
    }

    /// A jump just before another program was seen to steer the clock was that program's, and nobody's will.
    pub(super) fn jump_was_anothers(&mut self, now: Timestamp<Raw>) {
        if let Some(seen) = self.unexplained.take().filter(|seen| now - seen.at <= SOON) {
            self.date.set_left(seen.was_left);
        }
    }

    /// The raw clock stood still, and with it all that was told against it.
    fn slept(&mut self) {
        self.date.slept();
        self.settled = false;
    }

    fn tell_date(&mut self, news: Option<DateNews>) {
        if let Some(news) = news {
            self.tell(Output::Date(news));
        }
    }
}

/// As a leap second makes a clock jump.
fn is_a_second(by: Offset) -> bool {
    (by.span().abs() - Duration::from_secs(1)).abs() < Duration::from_ms(50)
}
