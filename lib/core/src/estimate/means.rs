//! Means of measurements over some time, as points of a plane: seconds, and ns that the leader has gained.

use super::Measurement;
use crate::time::{Duration, Timestamp};

/// Point from which times and gains are counted, so that they are exact as floats for years.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin(Measurement);

impl Origin {
    pub(super) fn at(first: Measurement) -> Self {
        Self(first)
    }

    /// Returns the seconds since the origin and the leader's gain over CLOCK_MONOTONIC_RAW in ns.
    pub(super) fn point(&self, one: Measurement) -> (f64, f64) {
        let raw = one.raw - self.0.raw;
        (raw.secs_f64(), ((one.dante - self.0.dante) - raw).ns_f64())
    }

    /// The measurement that a mean stands for.
    pub(super) fn measurement(&self, mean: Mean) -> Measurement {
        let raw = Duration::from_secs_f64(mean.at_s);
        let gain = Duration::from_ns_f64(mean.gain_ns);
        Measurement { raw: self.0.raw + raw, dante: self.0.dante + raw + gain }
    }
}

impl Default for Origin {
    fn default() -> Self {
        Self(Measurement { raw: Timestamp::from_ns(0), dante: Timestamp::from_ns(0) })
    }
}

/// Mean of some measurements.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mean {
    /// Number of the measurements.
    pub count: f64,
    /// Time since the origin, s.
    pub at_s: f64,
    /// The leader's gain since the origin, ns, or whatever else is averaged.
    pub gain_ns: f64,
}

/// Forms means of the measurements of about the same length in time.
#[derive(Debug)]
pub(crate) struct Averager {
    length_s: f64,
    /// Time of the first measurement of the current mean.
    first_s: f64,
    /// Time of the last measurement.
    last_s: f64,
    /// The sums are relative to the first measurement.
    first_ns: f64,
    count: f64,
    sum_s: f64,
    sum_ns: f64,
}

/// A finished mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Finished {
    pub mean: Mean,
    /// The measurements were interrupted for longer than the length of a mean, so that the next mean does not follow this one.
    pub is_followed_by_gap: bool,
}

impl Averager {
    pub(crate) fn new(length_s: f64) -> Self {
        Self { length_s, first_s: 0.0, last_s: 0.0, first_ns: 0.0, count: 0.0, sum_s: 0.0, sum_ns: 0.0 }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.length_s);
    }

    /// Adds a measurement. Returns the previous mean if the measurement does not belong to it. `interval_s` is the mean time
    /// between two measurements: half of it decides on which side of a boundary a measurement lies.
    pub(crate) fn push(&mut self, (at_s, gain_ns): (f64, f64), interval_s: f64) -> Option<Finished> {
        let is_new = self.count > 0.0 && at_s - self.first_s > self.length_s - interval_s / 2.0;
        let finished = is_new.then(|| Finished {
            mean: Mean {
                count: self.count,
                at_s: self.first_s + self.sum_s / self.count,
                gain_ns: self.first_ns + self.sum_ns / self.count,
            },
            is_followed_by_gap: at_s - self.last_s > self.length_s.max(4.0 * interval_s),
        });
        if is_new || self.count == 0.0 {
            (self.first_s, self.first_ns) = (at_s, gain_ns);
            (self.count, self.sum_s, self.sum_ns) = (0.0, 0.0, 0.0);
        }
        self.last_s = at_s;
        self.count += 1.0;
        self.sum_s += at_s - self.first_s;
        self.sum_ns += gain_ns - self.first_ns;
        finished
    }
}
