//! Measurements that do not fit the clock map: fit outliers during the acquisition, and runs of measurements that the outlier test
//! rejects.
//!
//! A least-squares fit does not find its own outliers: a late packet at either end pulls the line towards itself. A [`MedianLine`] does.
//!
//! Rejected measurements in a row have one of three causes: a jump of the leader's time, a lasting shift of the path, or late
//! packets. A delay only makes residuals positive, and different ones. After a jump of the leader's time all residuals are equal.
//! Therefore residuals that no delay explains count as a jump after a few measurements that agree. Residuals that a delay could
//! explain count only when they are steady: an overloaded host timestamps packets 5 to 30 ms late for seconds, and some of these
//! delays are equal by chance.

use super::break_test::Line;
use super::kalman::Kalman;
use super::means::Origin;
use super::median_line::{MAX_POINTS, MedianLine};
use super::{ACQUISITION, MIN_JUMP, Measurement, OUTLIER_SIGMAS, RateGuess, noise};
use crate::time::Duration;
use arrayvec::ArrayVec;

/// Largest distance of an acquisition measurement from the median line, in standard deviations (by the median distance). With 10 %
/// of the packets 50 to 300 us late, the rate is within 1 ppm after 12.5 s in 95 % of the runs; without late packets after 8.75 s
/// (docs/accuracy/table.txt).
const FIT_OUTLIER_SIGMAS: f64 = 4.0;
/// Fewest measurements among which fit outliers are searched.
pub(super) const MIN_FIT: usize = 6;
/// Difference between the measured rate and the guess, in standard deviations, beyond which the guess is discarded.
const GUESS_CONFLICT_SIGMAS: f64 = 6.0;
/// Number of measurements from which on they may contradict the guess: fewer agree by chance at times, and their noise looks too
/// small.
const MIN_GUESS_CONFLICT: usize = 16;
/// The same for a difference of [`LARGE_CONFLICT_SIGMAS`].
const MIN_LARGE_CONFLICT: usize = 8;
/// Difference that fewer measurements have to show, in standard deviations.
const LARGE_CONFLICT_SIGMAS: f64 = 12.0;
const _: () = assert!(ACQUISITION == MAX_POINTS, "the line is through all measurements of the acquisition");

/// Fewest rejected measurements in a row after which the map is fitted to them.
pub(super) const REFIT_RUN: usize = 16;
/// Minimum duration of such a run.
const REFIT_SPAN: Duration = Duration::from_ms(3_700);
/// Number of rejected measurements kept: more than [`REFIT_SPAN`] at the shortest Sync interval, 62.5 ms.
const MAX_RUN: usize = 64;
/// Fewest measurements of a jump that no delay explains: two may be Syncs paired with the wrong Follow_Ups.
const MIN_JUMP_RUN: usize = 3;
/// Minimum duration of such a jump, less than that of three Syncs at 4 Hz. Three forged packets between two of the leader's Syncs
/// are shorter.
const MIN_JUMP_SPAN: Duration = Duration::from_ms(400);
/// Fewest measurements of a jump that a delay could explain.
const MIN_STEADY_RUN: usize = 8;
/// Minimum duration, so that a stall of 1 to 2 s is not taken for a jump of the leader.
const MIN_STEADY_SPAN: Duration = Duration::from_ms(1_500);
/// Largest distance of three quarters of these measurements from their median, in standard deviations of the noise.
const STEADY_SIGMAS: f64 = 4.0;
/// Largest delay at which a packet is still paired with its Follow_Up. A Sync paired with the previous Follow_Up is off by less.
const MAX_DELAY: Duration = Duration::from_secs(1);
/// After this many late measurements in a row (30 s at 4 Hz) the filter restarts.
const MAX_LATE_RUN: u32 = 120;
/// Largest scatter about a line of measurements that lie on it, in standard deviations of the noise.
const LINE_SCATTER_SIGMAS: f64 = 3.0;

/// Robust line through the measurements of the acquisition; those farther from it than [`FIT_OUTLIER_SIGMAS`] are fit outliers.
pub(super) struct FitOutliers {
    first: Measurement,
    line: MedianLine,
}

impl FitOutliers {
    /// Returns `None` for fewer than [`MIN_FIT`] measurements.
    pub(super) fn among(measurements: &[Measurement]) -> Option<Self> {
        let first = *measurements.first().filter(|_| measurements.len() >= MIN_FIT)?;
        let points: ArrayVec<(f64, f64), ACQUISITION> =
            measurements.iter().take(ACQUISITION).map(|one| point(first, *one)).collect();
        Some(Self { first, line: MedianLine::through(&points)? })
    }

    /// Whether the slope of the measurements differs from `guess` by more than both uncertainties allow.
    pub(super) fn contradicts(&self, guess: &RateGuess, measurements: &[Measurement], noise: f64) -> bool {
        let [first, .., last] = measurements else { return false };
        if measurements.len() < MIN_LARGE_CONFLICT {
            return false;
        }
        let are_few = measurements.len() < MIN_GUESS_CONFLICT;
        let sigmas = if are_few { LARGE_CONFLICT_SIGMAS } else { GUESS_CONFLICT_SIGMAS };
        #[expect(clippy::cast_precision_loss, reason = "at most ACQUISITION")]
        let count = measurements.len() as f64;
        let noise = noise.max(self.line.sigma);
        let sigma = noise * (12.0 / count).sqrt() / (last.raw - first.raw).secs_f64();
        (self.line.slope - guess.rate.ppb()).abs() > sigmas * (sigma + guess.sigma.ppb())
    }

    /// Whether `one` is an outlier.
    pub(super) fn contains(&self, one: &Measurement) -> bool {
        self.line.distance(point(self.first, *one)).abs() > FIT_OUTLIER_SIGMAS * self.line.sigma
    }
}

/// Returns the time in s and the leader's gain in ns since the first measurement.
fn point(first: Measurement, one: Measurement) -> (f64, f64) {
    Origin::at(first).point(one)
}

/// The measurements that the outlier test rejected in a row.
#[derive(Debug, Default)]
pub(super) struct RejectedRun {
    /// The last of them, oldest first.
    run: ArrayVec<Measurement, MAX_RUN>,
    /// Number of all of them.
    count: u32,
}

/// Cause of a run of rejected measurements.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Too few measurements for a decision, or late packets.
    Undecided,
    /// The leader's time jumped. The last measurements, as many as this, show the new time.
    Jump(usize),
    /// The residuals are small enough for a change of the path.
    Shift,
}

impl RejectedRun {
    pub(super) fn clear(&mut self) {
        self.run.clear();
        self.count = 0;
    }

    /// Returns the last of them, as many as the map is fitted to.
    pub(super) fn refit_run(&self) -> &[Measurement] {
        let count = (REFIT_RUN..self.run.len()).find(|count| span(self.last(*count)) >= REFIT_SPAN);
        self.last(count.unwrap_or(self.run.len()))
    }

    /// Returns the last `count` of them, oldest first.
    pub(super) fn last(&self, count: usize) -> &[Measurement] {
        self.run.get(self.run.len().saturating_sub(count)..).unwrap_or_default()
    }

    /// Adds a rejected measurement and compares the run with the line of `filter`, which contains none of them.
    pub(super) fn test(
        &mut self,
        one: Measurement,
        filter: &Kalman,
        sigma: f64,
        min_jump: Duration,
    ) -> Outcome {
        if self.run.is_full() {
            self.run.remove(0);
        }
        self.run.push(one);
        self.count = self.count.saturating_add(1);
        let residual = |one: &Measurement| Duration::from_ns_f64(-filter.distance_ns(*one));
        let is_far = |one: &Measurement| residual(one).abs() >= min_jump;
        let may_be_late = |one: &Measurement| (-min_jump..MAX_DELAY).contains(&residual(one));
        let far = is_far(&one);
        if far && !may_be_late(&one) {
            let mut agreeing = 1;
            for pair in self.run.windows(2).rev() {
                let [earlier, later] = pair else { break };
                if !is_far(earlier) || !are_of_one_line(*earlier, *later, sigma) {
                    break;
                }
                agreeing += 1;
            }
            if agreeing >= MIN_JUMP_RUN && span(self.last(agreeing)) >= MIN_JUMP_SPAN {
                return Outcome::Jump(agreeing);
            }
        } else if far && let Some(steady) = self.steady(filter, sigma, is_far) {
            return Outcome::Jump(steady);
        }
        let last = self.refit_run();
        if last.len() < REFIT_RUN || span(last) < REFIT_SPAN {
            return Outcome::Undecided;
        }
        if last.iter().all(|one| residual(one).abs() < MIN_JUMP) {
            return Outcome::Shift;
        }
        if !last.iter().all(may_be_late) {
            return if far { Outcome::Jump(1) } else { Outcome::Undecided };
        }
        if far && (is_linear(last, filter, sigma) || self.count >= MAX_LATE_RUN) {
            return Outcome::Jump(1);
        }
        Outcome::Undecided
    }

    /// Returns the number of last measurements that span [`MIN_STEADY_SPAN`], if their distances from the filter's line are
    /// steady.
    fn steady(&self, filter: &Kalman, sigma: f64, is_far: impl Fn(&Measurement) -> bool) -> Option<usize> {
        let count =
            (MIN_STEADY_RUN..=self.run.len()).find(|count| span(self.last(*count)) >= MIN_STEADY_SPAN)?;
        let last = self.last(count);
        if !last.iter().all(is_far) {
            return None;
        }
        let mut distances: ArrayVec<f64, MAX_RUN> = last.iter().map(|one| filter.distance_ns(*one)).collect();
        distances.sort_unstable_by(f64::total_cmp);
        let median = *distances.get(count / 2)?;
        distances.iter_mut().for_each(|distance| *distance = (*distance - median).abs());
        distances.sort_unstable_by(f64::total_cmp);
        let three_quarters = *distances.get(count * 3 / 4)?;
        (three_quarters <= STEADY_SIGMAS * sigma.max(noise::FLOOR_NS)).then_some(count)
    }
}

fn span(run: &[Measurement]) -> Duration {
    match run {
        [first, .., last] => last.raw - first.raw,
        _ => Duration::ZERO,
    }
}

/// Whether the measurements lie on one line of any rate, as after a change of the kernel's clock source.
fn is_linear(run: &[Measurement], filter: &Kalman, sigma: f64) -> bool {
    let Some(first) = run.first() else { return false };
    let points = run.iter().map(|one| ((one.raw - first.raw).secs_f64(), filter.distance_ns(*one)));
    Line::through(points).is_some_and(|line| line.scatter(run.len()) <= LINE_SCATTER_SIGMAS * sigma)
}

/// Whether both measurements lie on one line of a rate that a leader can have.
fn are_of_one_line(earlier: Measurement, later: Measurement, sigma_ns: f64) -> bool {
    let raw = later.raw - earlier.raw;
    let apart = ((later.dante - earlier.dante) - raw).ns_f64().abs();
    apart
        <= OUTLIER_SIGMAS * std::f64::consts::SQRT_2 * sigma_ns
            + (raw * RateGuess::UNKNOWN.sigma).ns_f64().abs()
}
