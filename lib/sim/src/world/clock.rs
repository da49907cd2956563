//! A host's clocks: the oscillator that nobody steers, and the kernel's clock above it.

use super::True;
use super::engines::{Clock, ClockState};
use dante_core::time::{Affine, Duration, Ratio, Raw, Reading, Real, Timestamp, VirtualClock};

/// CLOCK_MONOTONIC_RAW and CLOCK_REALTIME of a host as functions of true time.
#[derive(Debug)]
pub struct SimClock {
    raw: Affine<Raw>,
    real: VirtualClock,
    /// As adjtimex set it last, whoever did.
    frequency: Ratio,
    /// Beside it, as adjtime(3) slews.
    slew: Ratio,
    /// CLOCK_BOOTTIME - CLOCK_MONOTONIC.
    suspended: Duration,
}

impl SimClock {
    /// Clocks that show `raw` and `real` at `now`. CLOCK_MONOTONIC_RAW gains `rate` on true time.
    pub(super) fn new(now: True, raw: Timestamp<Raw>, real: Timestamp<Real>, rate: Ratio) -> Self {
        Self {
            raw: Affine { raw0: now, at0: raw, rate },
            real: VirtualClock::new(Reading { raw, real, width: Duration::ZERO }),
            frequency: Ratio::ZERO,
            slew: Ratio::ZERO,
            suspended: Duration::ZERO,
        }
    }

    /// CLOCK_MONOTONIC_RAW.
    pub fn raw_at(&self, now: True) -> Timestamp<Raw> {
        self.raw.at(now)
    }

    /// CLOCK_REALTIME.
    pub fn at(&self, now: True) -> Timestamp<Real> {
        self.real.at(self.raw.at(now))
    }

    /// CLOCK_REALTIME over CLOCK_MONOTONIC_RAW.
    pub fn line(&self) -> Affine<Real> {
        self.real.line()
    }

    /// The rate of CLOCK_MONOTONIC_RAW against true time.
    pub fn raw_rate(&self) -> Ratio {
        self.raw.rate
    }

    /// The first ns of true time at which CLOCK_MONOTONIC_RAW shows `due` or more.
    pub(super) fn when(&self, due: Timestamp<Raw>) -> True {
        let since = due - self.raw.at0;
        let rate = self.raw.rate.fraction();
        let mut at = self.raw.raw0 + since - since * Ratio::new(rate / (1.0 + rate));
        while self.raw.at(at) < due {
            at = at + Duration::from_ns(1);
        }
        at
    }

    /// Both at one instant.
    pub fn reading(&self, now: True) -> Reading {
        let raw = self.raw.at(now);
        Reading { raw, real: self.real.at(raw), width: Duration::ZERO }
    }

    pub(super) fn step(&mut self, by: Duration) {
        self.real.step(by);
    }

    pub(super) fn set_frequency(&mut self, now: True, frequency: Ratio) {
        self.frequency = frequency;
        self.real.set_frequency(self.raw.at(now), frequency + self.slew);
    }

    pub(super) fn set_slew(&mut self, now: True, slew: Ratio) {
        self.slew = slew;
        self.real.set_frequency(self.raw.at(now), self.frequency + slew);
    }

    /// CLOCK_MONOTONIC_RAW stands still for so long, and CLOCK_REALTIME does not.
    pub(super) fn suspend(&mut self, span: Duration) {
        self.suspended = self.suspended + span;
        self.real.step(span);
    }

    /// The clock as dante2sys has it.
    pub(super) fn now(&mut self, now: True) -> ClockNow<'_> {
        ClockNow { clock: self, now }
    }
}

/// A host's clock at one instant.
pub(super) struct ClockNow<'a> {
    clock: &'a mut SimClock,
    now: True,
}

impl Clock for ClockNow<'_> {
    fn read(&mut self) -> ClockState {
        ClockState {
            reading: self.clock.reading(self.now),
            suspended: self.clock.suspended,
            frequency: self.clock.frequency,
        }
    }

    fn set(&mut self, frequency: Ratio) -> Ratio {
        self.clock.set_frequency(self.now, frequency);
        frequency
    }

    fn step(&mut self, by: Duration) {
        self.clock.step(by);
    }
}

#[cfg(test)]
mod tests;
