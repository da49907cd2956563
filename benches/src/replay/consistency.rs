//! Figures that need no true rate: whether the residuals, and the rates of independent fits, scatter as the estimator states.

use super::{Replay, Step, span_s};
use crate::experiment::{quantile, rms};
use dante_core::estimate::{Estimator, Measurement, RateGuess};
use dante_core::time::Duration;
use std::fmt;

/// An interval longer than the median one by this factor is a gap: at least one Sync was lost.
const GAP_FACTOR: f64 = 1.5;
/// Lags of the autocorrelation, s, in addition to that of one Sync interval.
const LAGS_S: [f64; 3] = [1.0, 4.0, 16.0];
/// Lengths of the windows of the disjoint fits, s.
const WINDOWS_S: [i64; 2] = [60, 240];
/// Smallest number of windows of a length: fewer have less than two differences.
const MIN_WINDOWS: usize = 3;
/// Smallest share of the expected Syncs with which a window is used.
const MIN_FILLED: f64 = 0.5;

/// The figures. Its text has one per line, with name, value and unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Number of Syncs.
    pub syncs: usize,
    /// Time from the first Sync to the last, s.
    pub span_s: f64,
    /// Median time between two Syncs, s.
    pub interval_s: f64,
    /// Number of intervals longer than 1.5 median ones.
    pub gaps: usize,
    /// Time from the first Sync to the one with which the estimator converged, s.
    pub converged_s: f64,
    /// Syncs that the estimator did not accept after that.
    pub rejected: usize,
    /// Standard deviation of the residuals of accepted Syncs, ns.
    pub scatter_ns: f64,
    /// Root mean square of the residuals, each divided by its stated standard deviation.
    pub normalised_rms: f64,
    /// Autocorrelation of the normalised residuals: lag in s (the first is one Sync interval) and value, if the recording is long
    /// enough.
    pub autocorrelation: [(f64, Option<f64>); 4],
    /// Disjoint fits over 60 s and over 240 s, where the recording is long enough.
    pub fits: [(i64, Option<DisjointFits>); 2],
    /// Jumps of the leader's time, whole recording.
    pub jumps: usize,
    /// Restarts of the map because of a break of the rate or phase, whole recording.
    pub restarts: u64,
    /// Stated standard deviation of the rate at the end, ppb.
    pub rate_sigma_ppb: f64,
    /// Stated standard deviation of the leader's time at the end, ns.
    pub offset_sigma_ns: f64,
}

/// Rates of least-squares fits to disjoint windows. No measurement is in two windows, so their differences show the real error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DisjointFits {
    /// Number of windows.
    pub windows: usize,
    /// Scatter of the differences of successive rates, divided by sqrt 2: the standard deviation of one rate, ppb.
    pub scatter_ppb: f64,
    /// Stated standard deviation of the rate at the ends of the windows, rms, ppb. The estimator has used all Syncs up to there.
    pub stated_ppb: f64,
    /// The same, of estimators that have used the Syncs of the window only.
    pub stated_alone_ppb: f64,
}

impl Figures {
    /// Computes the figures.
    pub fn of(replay: &Replay) -> Self {
        let intervals = intervals_s(&replay.steps);
        let interval_s = quantile(intervals.clone(), 0.5);
        let predicted = replay.predicted();
        let residuals: Vec<f64> = predicted.iter().filter_map(Step::residual_ns).collect();
        let normalised: Vec<(f64, f64)> =
            predicted.iter().filter_map(|step| normalised(replay, step)).collect();
        let [one, four, sixteen] = LAGS_S;
        let last = replay.steps.last();
        Self {
            syncs: replay.steps.len(),
            span_s: replay.span_s(),
            interval_s,
            gaps: intervals.iter().filter(|interval| **interval > GAP_FACTOR * interval_s).count(),
            converged_s: replay.span_s() - span_s(replay.evaluated()),
            rejected: predicted.len() - residuals.len(),
            scatter_ns: deviation(&residuals),
            normalised_rms: rms(normalised.iter().map(|(_, value)| *value)),
            autocorrelation: [interval_s, one, four, sixteen]
                .map(|lag| (lag, autocorrelation(&normalised, lag, interval_s))),
            fits: WINDOWS_S
                .map(|length| (length, DisjointFits::over(replay.evaluated(), length, interval_s))),
            jumps: replay.steps.iter().filter(|step| step.is_jump()).count(),
            restarts: last.map_or(0, |step| step.restarts),
            rate_sigma_ppb: last.map_or(f64::NAN, |step| step.rate_sigma.ppb()),
            offset_sigma_ns: last.map_or(f64::NAN, |step| step.offset_sigma.ns_f64()),
        }
    }
}

impl DisjointFits {
    /// Ratio of the scatter to the uncertainty that the estimator stated with all Syncs up to the end of each window.
    pub fn ratio(&self) -> f64 {
        self.scatter_ppb / self.stated_ppb
    }

    /// Ratio of the scatter to the uncertainty stated with the Syncs of each window only.
    pub fn ratio_alone(&self) -> f64 {
        self.scatter_ppb / self.stated_alone_ppb
    }

    /// Splits the Syncs into windows of `length_s`. Returns `None` if fewer than three are usable, or no three in a row.
    fn over(steps: &[Step], length_s: i64, interval_s: f64) -> Option<Self> {
        let (first, last) = (steps.first()?, steps.last()?);
        let length = Duration::from_secs(length_s);
        let count = (last.measurement.raw - first.measurement.raw).ns() / length.ns();
        let fits = (0..count).map(|window| {
            let start = first.measurement.raw + length * window;
            let from = steps.partition_point(|step| step.measurement.raw < start);
            let to = steps.partition_point(|step| step.measurement.raw < start + length);
            WindowFit::of(steps.get(from..to)?, length, interval_s)
        });
        let fits: Vec<Option<WindowFit>> = fits.collect();
        let usable = || fits.iter().flatten();
        let differences: Vec<f64> = fits
            .windows(2)
            .filter_map(|pair| match pair {
                [Some(one), Some(other)] => Some(other.rate_ppb - one.rate_ppb),
                _ => None,
            })
            .collect();
        (usable().count() >= MIN_WINDOWS && differences.len() + 1 >= MIN_WINDOWS).then(|| Self {
            windows: usable().count(),
            scatter_ppb: rms(differences) / std::f64::consts::SQRT_2,
            stated_ppb: rms(usable().map(|fit| fit.stated_ppb)),
            stated_alone_ppb: rms(usable().map(|fit| fit.stated_alone_ppb)),
        })
    }
}

/// Fit to one window.
struct WindowFit {
    rate_ppb: f64,
    stated_ppb: f64,
    stated_alone_ppb: f64,
}

impl WindowFit {
    /// Fits the accepted Syncs. Returns `None` if the leader's time jumped in the window or many Syncs are missing.
    fn of(steps: &[Step], length: Duration, interval_s: f64) -> Option<Self> {
        let accepted = steps.iter().filter(|step| step.residual_ns().is_some());
        let accepted: Vec<Measurement> = accepted.map(|step| step.measurement).collect();
        let expected = length.secs_f64() / interval_s;
        if steps.iter().any(Step::is_jump) || (accepted.len() as f64) < MIN_FILLED * expected {
            return None;
        }
        let mut alone = Estimator::new(RateGuess::UNKNOWN);
        for step in steps {
            alone.update(step.measurement);
        }
        let last = steps.last()?;
        Some(Self {
            rate_ppb: least_squares_ppb(&accepted)?,
            stated_ppb: last.rate_sigma.ppb(),
            stated_alone_ppb: alone.map()?.uncertainty_at(last.measurement.raw).rate.ppb(),
        })
    }
}

/// Rate of the leader relative to CLOCK_MONOTONIC_RAW by a least-squares fit, ppb.
fn least_squares_ppb(measurements: &[Measurement]) -> Option<f64> {
    let first = measurements.first()?;
    let points = || {
        measurements.iter().map(|one| {
            let elapsed = one.raw - first.raw;
            (elapsed.secs_f64(), (one.dante - first.dante - elapsed).ns_f64())
        })
    };
    let count = measurements.len() as f64;
    let (x, y) = points().fold((0.0, 0.0), |sum, point| (sum.0 + point.0 / count, sum.1 + point.1 / count));
    let (xx, xy) =
        points().fold((0.0, 0.0), |sum, (s, ns)| (sum.0 + (s - x).powi(2), sum.1 + (s - x) * (ns - y)));
    (xx > 0.0).then(|| xy / xx)
}

/// Time since the first Sync, s, and residual divided by its stated standard deviation, of an accepted Sync.
fn normalised(replay: &Replay, step: &Step) -> Option<(f64, f64)> {
    let first = replay.steps.first()?.measurement.raw;
    Some(((step.measurement.raw - first).secs_f64(), step.residual_ns()? / step.expected_ns))
}

/// Autocorrelation at `lag_s` of values with their times. A pair is two values whose distance differs from the lag by at most half
/// an interval, so gaps and rejected Syncs do not shift the lag.
fn autocorrelation(values: &[(f64, f64)], lag_s: f64, interval_s: f64) -> Option<f64> {
    let mean = average(values.iter().map(|(_, value)| *value));
    let variance = average(values.iter().map(|(_, value)| (value - mean).powi(2)));
    let (mut products, mut pairs) = (0.0, 0_u32);
    let mut later = values.iter().peekable();
    for (at, value) in values {
        while later.next_if(|(time, _)| *time < at + lag_s - 0.5 * interval_s).is_some() {}
        if let Some((time, other)) = later.peek()
            && *time < at + lag_s + 0.5 * interval_s
        {
            products += (value - mean) * (other - mean);
            pairs += 1;
        }
    }
    (pairs > 0 && variance > 0.0).then(|| products / f64::from(pairs) / variance)
}

fn intervals_s(steps: &[Step]) -> Vec<f64> {
    let later = steps.iter().skip(1);
    steps
        .iter()
        .zip(later)
        .map(|(one, next)| (next.measurement.raw - one.measurement.raw).secs_f64())
        .collect()
}

fn average(values: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = values.into_iter().fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

/// Standard deviation.
fn deviation(values: &[f64]) -> f64 {
    let mean = average(values.iter().copied());
    rms(values.iter().map(|value| value - mean))
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String, unit: &str| {
            writeln!(f, "{}", format!("{name:<52} {value:>10} {unit}").trim_end())
        };
        line("Syncs", self.syncs.to_string(), "")?;
        line("span", format!("{:.1}", self.span_s), "s")?;
        line("Sync interval, median", format!("{:.3}", self.interval_s), "s")?;
        line("gaps, intervals over 1.5 medians", self.gaps.to_string(), "")?;
        line("converged after", format!("{:.1}", self.converged_s), "s")?;
        line("rejected Syncs after that", self.rejected.to_string(), "")?;
        line("residuals, scatter", format!("{:.0}", self.scatter_ns), "ns")?;
        line("normalised residuals, rms", format!("{:.2}", self.normalised_rms), "sigma")?;
        for (index, (lag, value)) in self.autocorrelation.iter().enumerate() {
            let lag = if index == 0 { "1 sample".into() } else { format!("{lag} s") };
            let name = format!("normalised residuals, autocorrelation at {lag}");
            line(&name, optional(*value, 2), "")?;
        }
        for (length, fits) in &self.fits {
            let mut part = |name: &str, value: Option<f64>, digits: usize, unit: &str| {
                line(&format!("fits of {length} s, {name}"), optional(value, digits), unit)
            };
            part("windows", fits.map(|fits| fits.windows as f64), 0, "")?;
            part("scatter of the rate", fits.map(|fits| fits.scatter_ppb), 1, "ppb")?;
            part("stated sigma", fits.map(|fits| fits.stated_ppb), 1, "ppb")?;
            part("scatter / sigma", fits.map(|fits| fits.ratio()), 2, "")?;
            part("stated sigma, window alone", fits.map(|fits| fits.stated_alone_ppb), 1, "ppb")?;
            part("scatter / sigma, window alone", fits.map(|fits| fits.ratio_alone()), 2, "")?;
        }
        line("false alarms, jumps of the leader's time", self.jumps.to_string(), "")?;
        line("false alarms, restarts of the map", self.restarts.to_string(), "")?;
        line("stated sigma of the rate at the end", format!("{:.1}", self.rate_sigma_ppb), "ppb")?;
        line("stated sigma of the offset at the end", format!("{:.0}", self.offset_sigma_ns), "ns")
    }
}

/// The value, or a dash if the recording is too short for it.
fn optional(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".into(), |value| format!("{value:.digits$}"))
}
