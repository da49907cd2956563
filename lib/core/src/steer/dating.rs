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
        match (&self.scale, self.state) {
            (Some(scale), State::Locked | State::Holdover) => {
                self.date.error(now.raw, scale.date_at(now.raw), scale.map().line.rate, map.as_ref())
            }
            _ => self.date.error(now.raw, now.real, self.frequency, map.as_ref()),
        }
    }

    /// The servers agreed on a date.
    pub(super) fn verdict(&mut self, now: Reading, verdict: &Verdict) {
        let map = self.map();
        let news = self.date.observe(verdict, map.as_ref());
        self.tell_date(news);
        let Some(error) = self.date_error(&now) else { return };
        self.mind_date(now);
        // Nothing runs off a rate that is not held.
        if matches!(self.state, State::Locked | State::Holdover) {
            let news = self.date.slewed(&error);
            self.tell_date(news);
            self.let_run();
        }
    }

    /// In holdover nothing else sets the frequency.
    fn let_run(&mut self) {
        if let (State::Holdover, Some(rate)) = (self.state, self.free_rate())
            && (rate - self.frequency).abs() > GRAIN
        {
            self.tell(Output::Correct(Correction::Slew(rate)));
        }
    }

    /// Steps where the policy wants it.
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
        if matches!(input, Input::Stepped(_)) || !was_stepped(moved, elapsed) {
            return;
        }
        let expected = self.expected.take().filter(|(since, _)| now.raw - *since <= SOON);
        let jump = expected.map_or(Jump::Set, |(_, jump)| jump);
        if let Some(scale) = &mut self.scale {
            *scale = Timescale::fixed_at(scale.key(), *scale.map(), now.raw, now.real);
        }
        let by = moved - elapsed * self.frequency;
        self.jumped(Offset::from_ns(by.ns()), jump);
    }

    fn jumped(&mut self, by: Offset, jump: Jump) {
        let news = match jump {
            Jump::Set => self.date.leave(),
            Jump::Slept => {
                self.date.begin_anew(true);
                None
            }
            Jump::Leap => {
                self.date.leap_passed(by.span());
                None
            }
        };
        self.tell(Output::Adopted(by, jump));
        self.tell_date(news);
    }

    fn tell_date(&mut self, news: Option<DateNews>) {
        if let Some(news) = news {
            self.tell(Output::Date(news));
        }
    }
}
