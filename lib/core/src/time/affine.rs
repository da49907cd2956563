//! What relates two clocks: a straight line, one with its uncertainty, and the date of the leader's zero.

use super::{Correlation, Dante, Duration, Offset, Ratio, Raw, Real, Timestamp, Wander};

/// A clock as a straight line over CLOCK_MONOTONIC_RAW: `C(raw) = at0 + (1 + rate) * (raw - raw0)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine<C> {
    /// Where the line is anchored.
    pub raw0: Timestamp<Raw>,
    /// The clock's time there.
    pub at0: Timestamp<C>,
    /// The clock's rate relative to the raw one: +10 ppb, the clock gains 10 ns a second.
    pub rate: Ratio,
}

impl<C> Affine<C> {
    /// The clock's time at `raw`.
    pub fn at(&self, raw: Timestamp<Raw>) -> Timestamp<C> {
        let elapsed = raw - self.raw0;
        self.at0 + elapsed + elapsed * self.rate
    }

    /// The same line, anchored at `raw`: rounds to a whole ns.
    pub fn anchored_at(&self, raw: Timestamp<Raw>) -> Self {
        Self { raw0: raw, at0: self.at(raw), rate: self.rate }
    }
}

/// One standard deviation of what a [`ClockMap`] says, at some instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uncertainty {
    /// Of the leader's time. It leaves out the path delay, which only an exchange of Delay_Req can measure.
    pub offset: Duration,
    /// Of the leader's rate.
    pub rate: Ratio,
}

/// The leader's time as a line over CLOCK_MONOTONIC_RAW, and how well it is known.
///
/// The uncertainty is that of the last measurement at `line.raw0` and grows with age: by the rate's own uncertainty,
/// and by the random walk that an oscillator's rate takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockMap {
    /// The line itself.
    pub line: Affine<Dante>,
    /// One standard deviation at `line.raw0`.
    pub sigma: Uncertainty,
    /// Of the errors of offset and rate at `line.raw0`.
    pub correlation: Correlation,
    /// How far the rate wanders.
    pub wander: Wander,
}

impl ClockMap {
    /// The leader's time at `raw`.
    pub fn dante_at(&self, raw: Timestamp<Raw>) -> Timestamp<Dante> {
        self.line.at(raw)
    }

    /// One standard deviation at `raw`. Before the anchor, that of the anchor.
    pub fn uncertainty_at(&self, raw: Timestamp<Raw>) -> Uncertainty {
        let age = (raw - self.line.raw0).secs_f64().max(0.0);
        let (offset, rate) = (self.sigma.offset.ns_f64(), self.sigma.rate.ppb());
        let walk = self.wander.ppb();
        let variance = offset * offset
            + 2.0 * age * self.correlation.value() * offset * rate
            + age * age * rate * rate
            + walk * walk * age.powi(3) / 3.0;
        Uncertainty {
            offset: Duration::from_ns_f64(variance.max(0.0).sqrt()),
            rate: Ratio::from_ppb((rate * rate + walk * walk * age).sqrt()),
        }
    }
}

/// `K`: the date of the leader's zero, so that `date = leader's time + K`. The only way from one to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(Duration);

impl Epoch {
    /// The epoch that makes the leader's time `dante` the date `date`.
    pub fn fixed_at(date: Timestamp<Real>, dante: Timestamp<Dante>) -> Self {
        Self(Offset::between(date, dante).span())
    }

    /// From K in ns, as a page holds it.
    pub const fn from_ns(ns: i64) -> Self {
        Self(Duration::from_ns(ns))
    }

    /// K in ns.
    pub const fn ns(self) -> i64 {
        self.0.ns()
    }

    /// The date at the leader's time `dante`.
    pub fn date_of(self, dante: Timestamp<Dante>) -> Timestamp<Real> {
        Timestamp::from_ns(dante.ns()) + self.0
    }

    /// The epoch under another timeline of the leader that leaves the date as it is: at `raw` both maps give one date.
    pub fn carried_over(self, from: &ClockMap, to: &ClockMap, raw: Timestamp<Raw>) -> Self {
        Self::fixed_at(self.date_of(from.dante_at(raw)), to.dante_at(raw))
    }
}
