//! The break test: detects a step of the leader's rate or a shift of its phase (a changed path) among accepted measurements.
//!
//! The filters follow only a random walk of the rate. They would need minutes to follow a step of 1 ppm, or would take it for a slow
//! delay, and the uncertainty would not include the error meanwhile. Therefore means over 1 s of the last measurements are compared
//! with the line of the filter bank from before them. If their distances from it have a significant slope, a rate step and a phase
//! shift are fitted to them at each possible instant. If the better fit is clearly better, the bank restarts at its instant.
//!
//! How much slow noise scatters a slope is known from the weights of the bank in the last minutes, not from the present ones: these
//! change with the break.

mod fit;

pub(super) use fit::Line;

use super::bank::Bank;
use super::kalman::Kalman;
use super::means::{Averager, Mean, Origin};
use super::median_line::median;
use arrayvec::ArrayVec;

/// Number of means in the longest window: 128 s.
const MAX_WINDOW: usize = 128;
/// Window lengths, shortest first: a large break is significant after fewer means.
const WINDOWS: [usize; COUNT] = [8, 16, 32, 64, MAX_WINDOW];
const COUNT: usize = 5;
/// Largest rate step of an oscillator that keeps running, ppb. A larger fitted one is treated as a phase shift.
pub(super) const MAX_RATE_STEP_PPB: f64 = 5_000.0;
/// Time between two samples of the slope noise, in means.
const NOISE_INTERVAL: u32 = 4;
/// Number of samples of the slope noise, whose median is used: 128 s.
const NOISES: usize = 32;
/// Smallest time between two earlier lines, s.
const LINE_INTERVAL_S: f64 = 8.0;
/// Number of earlier lines: more than the longest window.
const LINES: usize = 18;

/// The history that the test compares.
#[derive(Debug)]
pub(super) struct BreakTest {
    averager: Averager,
    means: ArrayVec<Second, MAX_WINDOW>,
    lines: ArrayVec<EarlierLine, LINES>,
    /// Slope noise of each window, see [`Bank::slope_noise`].
    noises: ArrayVec<[f64; COUNT], NOISES>,
    finished: u32,
}

/// A mean over 1 s.
#[derive(Debug, Clone, Copy)]
struct Second {
    mean: Mean,
    /// Squared scatter of the measurements about their neighbours at that time, ns^2.
    scatter: f64,
}

/// The line of the filter bank at an earlier time.
#[derive(Debug, Clone, Copy)]
struct EarlierLine {
    at_s: f64,
    gain_ns: f64,
    rate_ppb: f64,
    rate_sigma_ppb: f64,
}

/// A break of the leader's rate or phase.
#[derive(Debug, Clone, Copy)]
pub(super) struct DetectedBreak {
    /// Index of the first mean after the break.
    from: usize,
    /// Change of the rate, ppb; zero for a phase shift.
    pub rate_ppb: f64,
}

impl Default for BreakTest {
    fn default() -> Self {
        Self {
            averager: Averager::new(1.0),
            means: ArrayVec::new(),
            lines: ArrayVec::new(),
            noises: ArrayVec::new(),
            finished: 0,
        }
    }
}

impl BreakTest {
    /// Discards the measurements: the next one does not continue them.
    pub(super) fn interrupt(&mut self) {
        self.averager.clear();
        self.means.clear();
        self.lines.clear();
    }

    /// Adds an accepted measurement. `scatter_ns` is the scatter about the neighbours. Returns whether a mean is finished.
    pub(super) fn observe(&mut self, point: (f64, f64), interval_s: f64, scatter_ns: f64) -> bool {
        let finished = self.averager.push(point, interval_s);
        if let Some(finished) = finished {
            push(&mut self.means, Second { mean: finished.mean, scatter: scatter_ns * scatter_ns });
            self.finished = self.finished.wrapping_add(1);
        }
        finished.is_some()
    }

    /// Adds the present line and slope noise of the bank, after a mean is finished.
    pub(super) fn remember(&mut self, bank: &Bank, filter: &Kalman, origin: &Origin, interval_s: f64) {
        if self.finished.is_multiple_of(NOISE_INTERVAL) {
            // A mean takes 1 s, or the time between two measurements.
            let mean_s = interval_s.max(1.0);
            push(
                &mut self.noises,
                WINDOWS.map(|length| bank.slope_noise(length as f64 * mean_s, interval_s)),
            );
        }
        let (at_s, gain_ns) = filter.point(origin);
        if self.lines.last().is_none_or(|last| at_s - last.at_s >= LINE_INTERVAL_S) {
            let (rate_ppb, rate_sigma_ppb) = (filter.rate_ppb(), filter.rate_sigma_ppb());
            push(&mut self.lines, EarlierLine { at_s, gain_ns, rate_ppb, rate_sigma_ppb });
        }
    }

    /// Returns the break that the means show. `walk_ppb` is the oscillators' random walk. If `is_certain`, a run of rejected
    /// measurements shows that there is one.
    pub(super) fn find(&self, walk_ppb: f64, is_certain: bool) -> Option<DetectedBreak> {
        // The shortest window may begin after a break that is certain.
        let shortest = usize::from(is_certain);
        let mut windows = WINDOWS.into_iter().zip(self.slope_noise()).skip(shortest);
        windows.find_map(|(length, noise)| self.find_within(length, noise, walk_ppb, is_certain))
    }

    fn find_within(
        &self,
        length: usize,
        noise: f64,
        walk_ppb: f64,
        is_certain: bool,
    ) -> Option<DetectedBreak> {
        let skipped = self.means.len().checked_sub(length)?;
        let last = self.means.get(skipped..)?;
        let first_s = last.first()?.mean.at_s;
        let line = self.lines.iter().rfind(|line| line.at_s <= first_s).or_else(|| self.lines.first())?;
        let points: ArrayVec<(f64, f64), MAX_WINDOW> =
            last.iter().map(|one| (one.mean.at_s, line.distance_ns(&one.mean))).collect();
        let (scatter, count) = last
            .iter()
            .fold((0.0, 0.0), |(scatter, count), one| (scatter + one.scatter, count + one.mean.count));
        let white = scatter / count.max(1.0);
        let noise = fit::Noise {
            variance: noise * white,
            white,
            line_ppb: line.rate_sigma_ppb,
            walk_ppb,
            age_s: points.last()?.0 - line.at_s,
        };
        let found = fit::find(&points, &noise, is_certain)?;
        Some(DetectedBreak { from: skipped + found.from, ..found })
    }

    /// Median of the slope noise in the last minutes, for each window.
    fn slope_noise(&self) -> [f64; COUNT] {
        std::array::from_fn(|window| {
            let of = self.noises.iter().filter_map(|noises| noises.get(window));
            median(&mut of.copied().collect::<ArrayVec<f64, NOISES>>()).unwrap_or(1.0)
        })
    }

    /// Discards the means before the break, and the lines from before. Returns the means after it.
    pub(super) fn restart(&mut self, found: DetectedBreak) -> impl Iterator<Item = Mean> + Clone {
        self.means.drain(..found.from.min(self.means.len()));
        self.lines.clear();
        self.means.iter().map(|one| one.mean)
    }
}

impl EarlierLine {
    fn distance_ns(&self, mean: &Mean) -> f64 {
        mean.gain_ns - self.gain_ns - self.rate_ppb * (mean.at_s - self.at_s)
    }
}

/// Adds a value, in place of the oldest one if there is no room.
fn push<T, const N: usize>(values: &mut ArrayVec<T, N>, value: T) {
    if values.is_full() {
        values.remove(0);
    }
    values.push(value);
}
