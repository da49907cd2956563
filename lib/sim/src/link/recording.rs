//! Recorded Syncs, as `pmc-lite log` writes them, and their delays as a link.

use dante_core::estimate::Measurement;
use dante_core::time::{Duration, Ratio, Raw, Timestamp};
use std::sync::Arc;

/// Recorded Syncs in the order of their arrival.
#[derive(Debug, Clone)]
pub struct Recording {
    measurements: Vec<Measurement>,
}

/// Why a text is no recording. Lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordingError {
    /// The header lacks a column.
    NoColumn(&'static str),
    /// A line has no integer in a column.
    NoNumber(usize, &'static str),
    /// A Sync arrived no later than the one before.
    NotLater(usize),
    /// Fewer than two Syncs.
    TooShort,
}

impl std::fmt::Display for RecordingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoColumn(name) => write!(f, "line 1: no column {name}"),
            Self::NoNumber(line, name) => write!(f, "line {line}: no integer in column {name}"),
            Self::NotLater(line) => write!(f, "line {line}: raw_ns is not greater than in the line before"),
            Self::TooShort => write!(f, "fewer than two Syncs"),
        }
    }
}

impl std::error::Error for RecordingError {}

impl Recording {
    /// Reads a table of comma-separated values with a header. The columns `raw_ns` (arrival by CLOCK_MONOTONIC_RAW) and `origin_ns`
    /// (departure by the leader's clock) are found by their names; others are ignored. Empty lines, and lines that start with `#`,
    /// are ignored too.
    ///
    /// # Errors
    /// If a column or a number is missing, or if the times of arrival do not increase.
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        let lines = text.lines().enumerate().map(|(i, line)| (i + 1, line.trim()));
        let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let header = lines.next().map_or("", |(_, line)| line);
        let column = |name: &'static str| {
            let place = header.split(',').position(|cell| cell.trim() == name);
            place.map(|place| (place, name)).ok_or(RecordingError::NoColumn(name))
        };
        let (raw, origin) = (column("raw_ns")?, column("origin_ns")?);
        let mut measurements: Vec<Measurement> = Vec::new();
        for (number, line) in lines {
            let ns = |(place, name): (usize, &'static str)| {
                let cell = line.split(',').nth(place).and_then(|cell| cell.trim().parse::<i64>().ok());
                cell.ok_or(RecordingError::NoNumber(number, name))
            };
            let (raw, dante) = (Timestamp::from_ns(ns(raw)?), Timestamp::from_ns(ns(origin)?));
            if measurements.last().is_some_and(|last| last.raw >= raw) {
                return Err(RecordingError::NotLater(number));
            }
            measurements.push(Measurement { raw, dante });
        }
        if measurements.len() < 2 {
            return Err(RecordingError::TooShort);
        }
        Ok(Self { measurements })
    }

    /// The Syncs; at least two.
    pub fn measurements(&self) -> &[Measurement] {
        &self.measurements
    }

    /// Returns the delays, if the leader's true rate was constant. The smallest delay is unknown: it becomes `least`.
    pub fn delays(&self, rate: Ratio, least: Duration) -> Delays {
        let Some(first) = self.measurements.first() else { return Delays::default() };
        let late = |one: &Measurement| {
            let by_leader = (one.dante - first.dante).ns_f64();
            let sent = by_leader / (1.0 + rate.fraction());
            (Duration::from_ns_f64(sent), (one.raw - first.raw).ns_f64() - sent)
        };
        let points: Vec<_> = self.measurements.iter().map(late).collect();
        let earliest = points.iter().map(|(_, ns)| *ns).fold(f64::INFINITY, f64::min);
        let points = points.into_iter().map(|(at, ns)| (at, least + Duration::from_ns_f64(ns - earliest)));
        Delays { points: points.collect() }
    }
}

/// Recorded delays, repeated without end.
#[derive(Debug, Clone, Default)]
pub struct Delays {
    /// Each with its departure, since the first.
    points: Arc<[(Duration, Duration)]>,
}

impl Delays {
    /// Returns the delay of a packet that leaves at `at`: that of the last recorded packet that left until then.
    pub(super) fn at(&self, at: Timestamp<Raw>) -> Duration {
        let Some((span, _)) = self.points.last() else { return Duration::ZERO };
        let at = Duration::from_ns(at.ns().rem_euclid(span.ns().max(1)));
        let place = self.points.partition_point(|(sent, _)| *sent <= at);
        self.points.get(place.saturating_sub(1)).map_or(Duration::ZERO, |(_, delay)| *delay)
    }

    /// Median delay.
    pub fn median(&self) -> Duration {
        let mut delays: Vec<Duration> = self.points.iter().map(|(_, delay)| *delay).collect();
        delays.sort_unstable();
        delays.get(delays.len() / 2).copied().unwrap_or(Duration::ZERO)
    }

    /// Mean delay.
    pub fn mean(&self) -> Duration {
        let sum: f64 = self.points.iter().map(|(_, delay)| delay.ns_f64()).sum();
        Duration::from_ns_f64(sum / self.points.len().max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name() {
        let text = "# a comment\n\norigin_ns, number ,raw_ns\n7,1,100\n\n# another\n9,2,200\n";
        let read = Recording::parse(text).unwrap();
        let times: Vec<_> = read.measurements().iter().map(|one| (one.raw.ns(), one.dante.ns())).collect();
        assert_eq!(times, [(100, 7), (200, 9)]);
    }

    #[test]
    fn each_fault_is_named_with_its_line() {
        let error = |text: &str| Recording::parse(text).unwrap_err().to_string();
        assert_eq!(error(""), "line 1: no column raw_ns");
        assert_eq!(error("raw_ns,x\n1,2\n"), "line 1: no column origin_ns");
        assert_eq!(error("raw_ns,origin_ns\n1,2\n3,\n"), "line 3: no integer in column origin_ns");
        assert_eq!(error("raw_ns,origin_ns\n1,2\n1e3,4\n"), "line 3: no integer in column raw_ns");
        assert_eq!(error("raw_ns,origin_ns\n1\n"), "line 2: no integer in column origin_ns");
        let back = error("raw_ns,origin_ns\n5,2\n5,4\n");
        assert_eq!(back, "line 3: raw_ns is not greater than in the line before");
        assert_eq!(error("raw_ns,origin_ns\n5,2\n"), "fewer than two Syncs");
    }

    #[test]
    fn recorded_delays_are_repeated_with_the_least_one_given() {
        let recording = Recording::parse("raw_ns,origin_ns\n1030,0\n2010,1000\n3020,2000\n").unwrap();
        let delays = recording.delays(Ratio::ZERO, Duration::from_ns(5));
        let at = |ns| delays.at(Timestamp::from_ns(ns)).ns();
        assert_eq!([0, 999, 1000, 1999, 2000, 3000].map(at), [25, 25, 5, 5, 25, 5]);
        assert_eq!((delays.median().ns(), delays.mean().ns()), (15, 15));
    }
}
