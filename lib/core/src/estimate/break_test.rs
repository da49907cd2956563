//! The break test: detects a step of the leader's rate or a shift of its phase (a changed path) among accepted measurements.
//!
//! The filter follows only a random walk of the rate. It would need minutes to follow a step of 1 ppm, and its uncertainty would
//! not include the error meanwhile. Therefore the last measurements are compared with the filter's line. If their distances from
//! it have a significant slope, a rate step and a phase shift are fitted to them at each possible instant. If the better fit is
//! clearly better, the filter restarts at its instant.

use super::Measurement;
use super::kalman::Kalman;
use arrayvec::ArrayVec;

/// Length of the longest window of measurements: 32 s at 4 Hz.
const MAX_WINDOW: usize = 128;
/// Window lengths, shortest first: a large break is significant after fewer measurements.
const WINDOWS: [usize; 3] = [32, 64, MAX_WINDOW];
/// Smallest slope or step of a break, in standard deviations. In 55 hours of Syncs with the half-normal noise of real devices, 6.5
/// gave a few false breaks and 7 none.
const BREAK_SIGMAS: f64 = 7.0;
/// Largest rate step of an oscillator that keeps running, ppb. A larger fitted one is treated as a phase shift.
const MAX_RATE_STEP_PPB: f64 = 5_000.0;
/// Smallest difference of the residual sums of squares, in noise variances, at which a rate step is preferred to the best phase
/// shift. The first measurements after a shift by some standard deviations look like either.
const RATE_STEP_MARGIN: f64 = 8.0;
/// The same for a phase shift against the best rate step. It is larger, because a missed rate step makes the published uncertainty
/// too small.
const PHASE_SHIFT_MARGIN: f64 = 16.0;
/// Fewest measurements after a break: fewer do not distinguish a rate step from a phase shift.
const MIN_AFTER_BREAK: usize = 8;

/// The last accepted measurements.
#[derive(Debug, Default)]
pub(super) struct RecentMeasurements {
    window: ArrayVec<Measurement, MAX_WINDOW>,
}

/// A break of the leader's rate or phase.
#[derive(Debug, Clone, Copy)]
pub(super) struct DetectedBreak {
    /// Index of the first measurement after the break.
    pub from: usize,
    /// Change of the rate, ppb; zero for a phase shift.
    pub rate_ppb: f64,
}

impl RecentMeasurements {
    pub(super) fn clear(&mut self) {
        self.window.clear();
    }

    pub(super) fn push(&mut self, measurement: Measurement) {
        if self.window.is_full() {
            self.window.remove(0);
        }
        self.window.push(measurement);
    }

    /// Discards the measurements before the break and returns the others.
    pub(super) fn since(&mut self, found: DetectedBreak) -> &[Measurement] {
        self.window.drain(..found.from.min(self.window.len()));
        &self.window
    }

    /// Returns the break that the measurements show against `filter`'s line; their noise is `sigma` ns.
    pub(super) fn find_break(&self, filter: &Kalman, sigma: f64) -> Option<DetectedBreak> {
        WINDOWS.into_iter().find_map(|length| self.find_within(length, filter, sigma))
    }

    fn find_within(&self, length: usize, filter: &Kalman, sigma: f64) -> Option<DetectedBreak> {
        let skipped = self.window.len().checked_sub(length)?;
        let last = self.window.get(skipped..)?;
        let first = last.first()?;
        let points: ArrayVec<(f64, f64), MAX_WINDOW> =
            last.iter().map(|one| ((one.raw - first.raw).secs_f64(), filter.distance_ns(*one))).collect();
        let trend = Line::through(points.iter().copied())?;
        let trend_sigma = (sigma * sigma / trend.spread + filter.rate_sigma_ppb().powi(2)).sqrt();
        if trend.slope.abs() < BREAK_SIGMAS * trend_sigma {
            return None;
        }
        let [rate_step, phase_shift] = best_breaks(&points);
        let (best, other) = match (rate_step, phase_shift) {
            (Some(step), Some(shift)) if shift.line.residual_squares < step.line.residual_squares => {
                (shift, Some(step))
            }
            (Some(step), shift) => (step, shift),
            (None, shift) => (shift?, None),
        };
        // The estimated noise may be half the true noise.
        #[expect(clippy::cast_precision_loss, reason = "at most MAX_WINDOW")]
        let variance = (sigma * sigma).max(best.line.residual_squares / (length as f64 - 3.0));
        let is_significant = best.line.slope.abs() > BREAK_SIGMAS * (variance / best.line.spread).sqrt();
        let is_distinct = other.is_none_or(|other| {
            let same_kind = other.rate_ppb == 0.0 && best.rate_ppb == 0.0;
            let margin = if best.rate_ppb == 0.0 { PHASE_SHIFT_MARGIN } else { RATE_STEP_MARGIN };
            same_kind || other.line.residual_squares - best.line.residual_squares > margin * variance
        });
        (is_significant && is_distinct && best.from + MIN_AFTER_BREAK <= length)
            .then_some(DetectedBreak { from: skipped + best.from, rate_ppb: best.rate_ppb })
    }
}

/// A break fitted to points.
struct FittedBreak {
    /// Index of the first point after the break.
    from: usize,
    /// Change of the slope; zero for a phase shift.
    rate_ppb: f64,
    line: Line,
}

/// Returns the rate step and the phase shift that fit the points best. Breaks at the last points are included, so that such a
/// break is not fitted as an earlier one.
fn best_breaks(points: &[(f64, f64)]) -> [Option<FittedBreak>; 2] {
    let places = 0..points.len().saturating_sub(1);
    let rate_steps = places.clone().filter_map(|from| {
        let begin = points.get(from)?.0;
        let line = Line::through(points.iter().map(|(t, d)| ((t - begin).max(0.0), *d)))?;
        let rate_ppb = if line.slope.abs() < MAX_RATE_STEP_PPB { line.slope } else { 0.0 };
        Some(FittedBreak { from, rate_ppb, line })
    });
    let phase_shifts = places.skip(1).filter_map(|from| {
        let line =
            Line::through(points.iter().enumerate().map(|(i, (_, d))| (f64::from(u8::from(i >= from)), *d)))?;
        Some(FittedBreak { from, rate_ppb: 0.0, line })
    });
    let by_residual =
        |a: &FittedBreak, b: &FittedBreak| a.line.residual_squares.total_cmp(&b.line.residual_squares);
    [rate_steps.min_by(by_residual), phase_shifts.min_by(by_residual)]
}

/// A straight line fitted by least squares.
pub(super) struct Line {
    pub slope: f64,
    /// Sum of the squares of the abscissae about their mean.
    spread: f64,
    /// Sum of the squares of the residuals.
    residual_squares: f64,
}

impl Line {
    pub(super) fn through(points: impl Iterator<Item = (f64, f64)> + Clone) -> Option<Self> {
        let (count, sum_x, sum_y) =
            points.clone().fold((0.0, 0.0, 0.0), |(n, sx, sy), (x, y)| (n + 1.0, sx + x, sy + y));
        let (mean_x, mean_y) = (sum_x / count, sum_y / count);
        let (xx, xy, yy) = points.fold((0.0, 0.0, 0.0), |(xx, xy, yy), (x, y)| {
            let (x, y) = (x - mean_x, y - mean_y);
            (xx + x * x, xy + x * y, yy + y * y)
        });
        let slope = xy / xx;
        slope.is_finite().then_some(Self { slope, spread: xx, residual_squares: yy - slope * xy })
    }

    /// Standard deviation of the residuals of `count` points.
    pub(super) fn scatter(&self, count: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "some dozens")]
        let degrees_of_freedom = count.saturating_sub(2).max(1) as f64;
        (self.residual_squares.max(0.0) / degrees_of_freedom).sqrt()
    }
}
