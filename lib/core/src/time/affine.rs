//! Clocks as straight lines over CLOCK_MONOTONIC_RAW: the plain line, the clock map with its uncertainty, and the virtual clock
//! that is steered. And the epoch offset (K) between Dante time and UTC.

use super::{Correlation, Dante, Duration, Offset, Ratio, Raw, Reading, Real, Timestamp, Wander};

/// A clock as a straight line over CLOCK_MONOTONIC_RAW: `C(raw) = at0 + (1 + rate) * (raw - raw0)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Affine<C> {
    /// Anchor of the line.
    pub raw0: Timestamp<Raw>,
    /// The clock's time at the anchor.
    pub at0: Timestamp<C>,
    /// The clock's rate relative to CLOCK_MONOTONIC_RAW, minus 1: +10 ppb, the clock gains 10 ns a second.
    pub rate: Ratio,
}

impl<C> Affine<C> {
    /// Returns the clock's time at `raw`.
    pub fn at(&self, raw: Timestamp<Raw>) -> Timestamp<C> {
        let elapsed = raw - self.raw0;
        self.at0 + elapsed + elapsed * self.rate
    }

    /// Returns the same line anchored at `raw`, rounded to a whole ns.
    pub fn anchored_at(&self, raw: Timestamp<Raw>) -> Self {
        Self { raw0: raw, at0: self.at(raw), rate: self.rate }
    }
}

/// Uncertainty of a [`ClockMap`] at one instant, one standard deviation.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Uncertainty {
    /// Of the leader's time. It includes the noise of a measured path delay, but no constant error of the path delay.
    pub offset: Duration,
    /// Of the leader's rate.
    pub rate: Ratio,
}

impl Uncertainty {
    /// None.
    pub const ZERO: Self = Self { offset: Duration::ZERO, rate: Ratio::ZERO };
}

/// The clock map: Dante time as a line over CLOCK_MONOTONIC_RAW, with its uncertainty.
///
/// `line.raw0` is the instant of the last measurement. From there on the uncertainty grows by the uncertainty of the rate and by
/// the random walk of the rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockMap {
    /// The line.
    pub line: Affine<Dante>,
    /// Uncertainty at `line.raw0`, one standard deviation.
    pub sigma: Uncertainty,
    /// Correlation of the errors of offset and rate at `line.raw0`.
    pub correlation: Correlation,
    /// Random walk of the rate.
    pub wander: Wander,
}

impl ClockMap {
    /// Returns Dante time at `raw`.
    pub fn dante_at(&self, raw: Timestamp<Raw>) -> Timestamp<Dante> {
        self.line.at(raw)
    }

    /// Returns the uncertainty at `raw`, one standard deviation. Before the anchor it is that of the anchor.
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

    /// Returns the uncertainty of the leader's time at `raw` that counts for a quantity last measured against this map at
    /// `measured_at`, one standard deviation. While the map was extrapolated, the quantity was measured against the extrapolated
    /// line, and only the part since then counts.
    pub fn uncertainty_since(&self, measured_at: Timestamp<Raw>, raw: Timestamp<Raw>) -> Duration {
        let sigma = self.uncertainty_at(raw);
        if measured_at <= self.line.raw0 {
            return sigma.offset;
        }
        (raw - measured_at).max(Duration::ZERO) * sigma.rate
    }

    /// Adds errors to the uncertainty that are independent of it and of one another, as standard deviations of either sign.
    pub fn add_error(&mut self, offset: Duration, rate: Ratio) {
        let sum = |a: f64, b: f64| if b == 0.0 { a } else { a.hypot(b) };
        let was = self.sigma;
        self.sigma = Uncertainty {
            offset: Duration::from_ns_f64(sum(was.offset.ns_f64(), offset.ns_f64())),
            rate: Ratio::from_ppb(sum(was.rate.ppb(), rate.ppb())),
        };
        // The covariance stays.
        let product = |of: Uncertainty| of.offset.ns_f64() * of.rate.ppb();
        let share = product(was) / product(self.sigma);
        if share < 1.0 {
            self.correlation = Correlation::new(self.correlation.value() * share);
        }
    }
}

/// The epoch offset (K): UTC minus Dante time, which is the UTC at which Dante time was zero. `UTC = Dante time + K`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(Duration);

impl Epoch {
    /// Returns the epoch offset with which Dante time `dante` is UTC `utc`.
    pub fn fixed_at(utc: Timestamp<Real>, dante: Timestamp<Dante>) -> Self {
        Self(Offset::between(utc, dante).span())
    }

    /// Makes an epoch offset from ns, the unit on a clock page.
    pub const fn from_ns(ns: i64) -> Self {
        Self(Duration::from_ns(ns))
    }

    /// Returns K in ns.
    pub const fn ns(self) -> i64 {
        self.0.ns()
    }

    /// Returns UTC at Dante time `dante`.
    pub fn utc_of(self, dante: Timestamp<Dante>) -> Timestamp<Real> {
        Timestamp::from_ns(dante.ns()) + self.0
    }
}

/// A clock that is computed from CLOCK_MONOTONIC_RAW and takes frequencies and steps like CLOCK_REALTIME. `--clock virtual` and
/// the simulator steer it in place of CLOCK_REALTIME.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VirtualClock {
    line: Affine<Real>,
}

impl VirtualClock {
    /// Makes a clock that shows the time of `start` and runs at the oscillator's rate.
    pub fn new(start: Reading) -> Self {
        Self { line: Affine { raw0: start.raw, at0: start.real, rate: Ratio::ZERO } }
    }

    /// Returns the time of the clock at `raw`.
    pub fn at(&self, raw: Timestamp<Raw>) -> Timestamp<Real> {
        self.line.at(raw)
    }

    /// Sets the rate of the clock relative to the oscillator from `now` on. The phase does not jump: the line is anchored at
    /// `now`, with a rounding error of half a ns at most.
    pub fn set_frequency(&mut self, now: Timestamp<Raw>, rate: Ratio) {
        self.line = Affine { rate, ..self.line.anchored_at(now) };
    }

    /// Steps the clock by `by`, forwards if positive.
    pub fn step(&mut self, by: Duration) {
        self.line.at0 = self.line.at0 + by;
    }

    /// Returns the clock as a line, which tests compare with the true time.
    pub fn line(&self) -> Affine<Real> {
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::TEST_UTC_NS;

    fn raw(ns: i64) -> Timestamp<Raw> {
        Timestamp::from_ns(ns)
    }

    fn clock() -> VirtualClock {
        let real = Timestamp::from_ns(TEST_UTC_NS);
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
    fn uncertainty_grows_with_age() {
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
    fn error_of_an_extrapolated_map_counts_since_the_last_measurement_against_it() {
        let line = Affine { raw0: raw(0), at0: Timestamp::ZERO, rate: Ratio::ZERO };
        let sigma = Uncertainty { offset: Duration::from_ns(100), rate: Ratio::from_ppb(10.0) };
        let map = ClockMap { line, sigma, correlation: Correlation::ZERO, wander: Wander::ZERO };
        let at = |s: i64| raw(s * 1_000_000_000);
        assert_eq!(map.uncertainty_since(at(-5), at(3600)), map.uncertainty_at(at(3600)).offset);
        assert_eq!(map.uncertainty_since(at(3500), at(3600)).ns(), 1_000, "100 s at 10 ppb");
        assert_eq!(map.uncertainty_since(at(3600), at(3600)), Duration::ZERO);
    }

    #[test]
    fn independent_errors_leave_the_covariance() {
        let line = Affine { raw0: raw(0), at0: Timestamp::ZERO, rate: Ratio::ZERO };
        let sigma = Uncertainty { offset: Duration::from_ns(300), rate: Ratio::from_ppb(8.0) };
        let map = ClockMap { line, sigma, correlation: Correlation::new(0.8), wander: Wander::from_ppb(1.0) };
        let (mut same, mut larger) = (map, map);
        same.add_error(Duration::ZERO, Ratio::ZERO);
        assert_eq!(same, map);
        larger.add_error(Duration::from_ns(400), Ratio::from_ppb(6.0));
        assert_eq!((larger.sigma.offset.ns(), larger.sigma.rate.ppb()), (500, 10.0));
        assert!((larger.correlation.value() - 0.8 * 300.0 * 8.0 / 5_000.0).abs() < 1e-9);
    }

    #[test]
    fn virtual_clock_starts_at_the_reading_and_runs_at_the_oscillators_rate() {
        let clock = clock();
        assert_eq!(clock.at(raw(5_000_000_000)).ns(), TEST_UTC_NS);
        assert_eq!(clock.at(raw(8_000_000_000)).ns(), TEST_UTC_NS + 3_000_000_000);
    }

    #[test]
    fn change_of_frequency_does_not_move_the_phase() {
        let mut clock = clock();
        for second in 6..100 {
            let now = raw(second * 1_000_000_000 + 123_457);
            let before = clock.at(now);
            clock.set_frequency(now, Ratio::from_ppm(if second % 2 == 0 { 37.3 } else { -12.9 }));
            assert_eq!(clock.at(now), before);
        }
    }

    #[test]
    fn step_moves_the_phase_and_not_the_rate() {
        let mut clock = clock();
        clock.set_frequency(raw(5_000_000_000), Ratio::from_ppm(10.0));
        let before = clock.at(raw(7_000_000_000));
        clock.step(Duration::from_ns(-250));
        assert_eq!(clock.at(raw(7_000_000_000)) - before, Duration::from_ns(-250));
        assert_eq!(clock.line().rate, Ratio::from_ppm(10.0));
        assert_eq!(clock.line().at(raw(7_000_000_000)), clock.at(raw(7_000_000_000)));
    }
}
