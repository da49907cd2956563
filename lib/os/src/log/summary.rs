//! Periodic lines with root mean square and maximum of measurements.

use dante_core::time::{Duration, Raw, Timestamp};

/// Accumulates measurements for a periodic summary line.
#[derive(Debug)]
pub struct Summary {
    every: Duration,
    since: Option<Timestamp<Raw>>,
    count: u32,
    squares: f64,
    largest: Duration,
}

/// Content of a summary line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SummaryLine {
    /// Number of measurements.
    pub count: u32,
    /// Root mean square of the measurements.
    pub rms: Duration,
    /// Largest absolute value.
    pub largest: Duration,
}

impl Summary {
    /// One line per `every`; zero: one line for each measurement.
    pub const fn new(every: Duration) -> Self {
        Self { every, since: None, count: 0, squares: 0.0, largest: Duration::ZERO }
    }

    /// Adds a measurement. Returns a line if one is due, and starts the next interval.
    pub fn add(&mut self, now: Timestamp<Raw>, value: Duration) -> Option<SummaryLine> {
        let since = *self.since.get_or_insert(now);
        self.count += 1;
        self.squares += value.secs_f64() * value.secs_f64();
        self.largest = self.largest.max(value.abs());
        if now - since < self.every {
            return None;
        }
        let rms = Duration::from_secs_f64((self.squares / f64::from(self.count)).sqrt());
        let line = SummaryLine { count: self.count, rms, largest: self.largest };
        *self = Self { since: Some(now), ..Self::new(self.every) };
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp<Raw> {
        Timestamp::ZERO + Duration::from_secs(s)
    }

    #[test]
    fn summary_is_due_after_its_interval_and_restarts() {
        let mut summary = Summary::new(Duration::from_secs(2));
        assert_eq!(summary.add(at(0), Duration::from_ns(-300)), None);
        assert_eq!(summary.add(at(1), Duration::from_ns(400)), None);
        let line = summary.add(at(2), Duration::from_ns(0)).unwrap();
        assert_eq!((line.count, line.rms.ns(), line.largest.ns()), (3, 289, 400));
        let mut each = Summary::new(Duration::ZERO);
        assert_eq!(each.add(at(0), Duration::from_ns(-7)).unwrap().largest.ns(), 7);
        assert_eq!(each.add(at(0), Duration::from_ns(5)).unwrap().rms.ns(), 5);
    }
}
