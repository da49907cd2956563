//! Straight lines over CLOCK_MONOTONIC_RAW: a clock's, one with its uncertainty, and the virtual clock, which is one that
//! is steered; and K, the epoch offset between the leader's time and UTC.

use super::{Correlation, Dante, Duration, Offset, Ratio, Raw, Reading, Real, Timestamp, Wander};

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
}

/// A clock that takes frequencies and steps as the kernel's does, but is only arithmetic over CLOCK_MONOTONIC_RAW: what
/// `--clock virtual` and the simulator steer in place of CLOCK_REALTIME.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VirtualClock {
    line: Affine<Real>,
}

impl VirtualClock {
    /// A clock that shows what was read, and runs at the oscillator's own rate from there.
    pub fn new(start: Reading) -> Self {
        Self { line: Affine { raw0: start.raw, at0: start.real, rate: Ratio::ZERO } }
    }

    /// What the clock shows at `raw`.
    pub fn at(&self, raw: Timestamp<Raw>) -> Timestamp<Real> {
        self.line.at(raw)
    }

    /// From `now` on the clock gains `rate` on the oscillator. Its phase does not jump: the line is re-anchored at
    /// `now`, which rounds by half a ns at most.
    pub fn set_frequency(&mut self, now: Timestamp<Raw>, rate: Ratio) {
        self.line = Affine { rate, ..self.line.anchored_at(now) };
    }

    /// Moves the clock by `by`, forwards if positive.
    pub fn step(&mut self, by: Duration) {
        self.line.at0 = self.line.at0 + by;
    }

    /// The clock itself, as a line: what a test compares with the truth.
    pub fn line(&self) -> Affine<Real> {
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(ns: i64) -> Timestamp<Raw> {
        Timestamp::from_ns(ns)
    }

    fn clock() -> VirtualClock {
        let real = Timestamp::from_ns(1_795_000_000_000_000_000);
        VirtualClock::new(Reading { raw: raw(5_000_000_000), real, width: Duration::from_ns(40) })
    }

    #[test]
    fn affine_keeps_nanoseconds_over_a_year() {
        let line = Affine { raw0: raw(0), at0: Timestamp::<Dante>::from_ns(7), rate: Ratio::from_ppm(12.0) };
        let year = 31_557_600_000_000_000;
        assert_eq!(line.at(raw(year)).ns(), year + 7 + year / 1_000_000 * 12);
        assert_eq!(line.anchored_at(raw(year)).at(raw(0)).ns(), 7);
    }

    #[test]
    fn uncertainty_grows_with_age_and_never_shrinks() {
        let map = ClockMap {
            line: Affine { raw0: raw(0), at0: Timestamp::from_ns(0), rate: Ratio::ZERO },
            sigma: Uncertainty { offset: Duration::from_ns(100), rate: Ratio::from_ppb(10.0) },
            correlation: Correlation::new(0.8),
            wander: Wander::from_ppb(1.0),
        };
        let at = |s: i64| map.uncertainty_at(raw(s * 1_000_000_000));
        assert_eq!(at(-5), at(0));
        assert_eq!(at(0).offset.ns(), 100);
        // 100^2 + 2*10*0.8*100*10 + (10*10)^2 + 1*10^3/3 = 36333; sqrt = 190.6
        assert_eq!(at(10).offset.ns(), 191);
        assert!((at(100).rate.ppb() - 200f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn starts_at_what_was_read_and_runs_at_the_oscillators_rate() {
        let clock = clock();
        assert_eq!(clock.at(raw(5_000_000_000)).ns(), 1_795_000_000_000_000_000);
        assert_eq!(clock.at(raw(8_000_000_000)).ns(), 1_795_000_003_000_000_000);
    }

    #[test]
    fn a_change_of_frequency_makes_no_jump_of_phase() {
        let mut clock = clock();
        for second in 6..100 {
            let now = raw(second * 1_000_000_000 + 123_457);
            let before = clock.at(now);
            clock.set_frequency(now, Ratio::from_ppm(if second % 2 == 0 { 37.3 } else { -12.9 }));
            assert_eq!(clock.at(now), before);
        }
    }

    #[test]
    fn a_step_moves_the_phase_and_leaves_the_rate() {
        let mut clock = clock();
        clock.set_frequency(raw(5_000_000_000), Ratio::from_ppm(10.0));
        let before = clock.at(raw(7_000_000_000));
        clock.step(Duration::from_ns(-250));
        assert_eq!(clock.at(raw(7_000_000_000)) - before, Duration::from_ns(-250));
        assert_eq!(clock.line().rate, Ratio::from_ppm(10.0));
        assert_eq!(clock.line().at(raw(7_000_000_000)), clock.at(raw(7_000_000_000)));
    }
}
