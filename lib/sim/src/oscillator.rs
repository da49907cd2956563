//! The leader's clock as a known function of CLOCK_MONOTONIC_RAW: the truth that followers are compared with.
//!
//! [`Oscillator`] is a closed form with few parameters, for `dantesim`; [`Truth`] is its form in a file; [`Path`] has random
//! noise too, for the simulated world.

mod path;

pub use path::{Model, Path, Sine};

use dante_core::time::{Affine, Dante, Duration, Ratio, Raw, Timestamp};
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// A clock with a constant rate and a slow sine, as a temperature cycle causes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Oscillator {
    /// The leader's time without the wander.
    pub line: Affine<Dante>,
    /// Amplitude of the sine.
    pub wander: Ratio,
    /// Period of the sine.
    pub period: Duration,
}

impl Oscillator {
    /// Default period of the sine.
    pub const PERIOD: Duration = Duration::from_secs(300);

    /// Makes a clock that shows `at0` at `raw0`, where the sine is zero and rises.
    pub const fn new(raw0: Timestamp<Raw>, at0: Timestamp<Dante>, rate: Ratio, wander: Ratio) -> Self {
        Self { line: Affine { raw0, at0, rate }, wander, period: Self::PERIOD }
    }

    /// Returns the leader's time at `raw`.
    pub fn at(&self, raw: Timestamp<Raw>) -> Timestamp<Dante> {
        let turns = self.turns(raw);
        let swing = self.wander.fraction() * self.period.secs_f64() / TAU * (1.0 - (TAU * turns).cos());
        self.line.at(raw) + Duration::from_secs_f64(swing)
    }

    /// Returns the leader's rate at `raw`, relative to CLOCK_MONOTONIC_RAW.
    pub fn rate_at(&self, raw: Timestamp<Raw>) -> Ratio {
        let turns = self.turns(raw);
        self.line.rate + Ratio::new(self.wander.fraction() * (TAU * turns).sin())
    }

    fn turns(&self, raw: Timestamp<Raw>) -> f64 {
        (raw - self.line.raw0).secs_f64() / self.period.secs_f64()
    }
}

/// An [`Oscillator`] as `dantesim leader --truth FILE` writes it in JSON, for programs that measure a follower's error.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Truth {
    raw0_ns: i64,
    dante0_ns: i64,
    rate_ppb: f64,
    wander_ppb: f64,
}

impl From<Oscillator> for Truth {
    fn from(oscillator: Oscillator) -> Self {
        Self {
            raw0_ns: oscillator.line.raw0.ns(),
            dante0_ns: oscillator.line.at0.ns(),
            rate_ppb: oscillator.line.rate.ppb(),
            wander_ppb: oscillator.wander.ppb(),
        }
    }
}

impl From<Truth> for Oscillator {
    fn from(truth: Truth) -> Self {
        let (rate, wander) = (Ratio::from_ppb(truth.rate_ppb), Ratio::from_ppb(truth.wander_ppb));
        Self::new(Timestamp::from_ns(truth.raw0_ns), Timestamp::from_ns(truth.dante0_ns), rate, wander)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_the_derivative_of_the_time() {
        let oscillator =
            Oscillator::new(Timestamp::ZERO, Timestamp::ZERO, Ratio::from_ppm(12.0), Ratio::from_ppb(20.0));
        for s in [0, 75, 150, 222, 300, 1000] {
            let (before, after) =
                (Timestamp::from_ns(s * 1_000_000_000), Timestamp::from_ns((s + 1) * 1_000_000_000));
            let gained = ((oscillator.at(after) - oscillator.at(before)) - (after - before)).ns();
            let rate = oscillator.rate_at(before + (after - before) / 2).ppb();
            assert!((gained as f64 - rate).abs() < 1.5, "at {s} s: gained {gained} ns, rate {rate} ppb");
        }
        assert!((oscillator.rate_at(Timestamp::from_ns(75_000_000_000)).ppb() - 12_020.0).abs() < 1e-6);
    }
}
