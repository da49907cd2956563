//! Measurements that do not belong to the map: fit outliers during the acquisition, the outlier test after it.
//!
//! A fit by least squares cannot find its own outliers: a late packet at either end pulls the line to itself. The median of
//! the slopes between all pairs (Theil 1950, Sen 1968) is right as long as fewer than 29 % of the measurements are wrong.
//!
//! After the acquisition, rejected measurements in a row are a jump of the leader's time, a lasting shift, or lateness.
//! What holds a packet up can only make it late: its residual is positive, and no two are late by the same amount. A leader
//! whose time jumped is off by one and the same amount from then on. So what a delay cannot explain is accepted after a
//! few measurements that agree, and what a delay could explain only once they are steady: an overloaded host takes
//! timestamps 5 to 30 ms late for seconds, and among so many some agree by chance.

use super::break_test::Line;
use super::kalman::Kalman;
use super::{ACQUISITION, GATE, JUMP, Measurement, RateGuess, noise};
use crate::time::Duration;
use arrayvec::ArrayVec;

/// Beyond this many times what is typical, a measurement of the acquisition is left out. With a tenth of the packets 50 to
/// 300 us late, the rate is within 1 ppm after 15 s in 95 % of the runs, where without late packets it takes 10 s.
const ODD: f64 = 4.0;
/// The fewest measurements among which an outlier can be found.
pub(super) const DISCERNING: usize = 6;
/// A rate known from before is given up where the measurements speak against it by so many standard deviations.
const REFUTED: f64 = 6.0;
/// The fewest measurements that may refute a guess: fewer agree by chance now and then, and their noise looks too small.
const REFUTING: usize = 16;
/// Pairs of so many measurements.
const PAIRS: usize = ACQUISITION * (ACQUISITION - 1) / 2;

/// After this many rejected measurements in a row (4 s at 4 Hz) the map is fitted again.
pub(super) const DISTRUST: usize = 16;
/// Twice that are looked back on, since some leaders send more often.
const KEPT: usize = 2 * DISTRUST;
/// So many that agree with one another are a jump; two may be two Follow_Ups that took the wrong Sync.
const AGREEING: usize = 3;
/// For so long at least: three Syncs at 4 Hz. Three forged ones between two of the leader's take no time.
const AGREED: Duration = Duration::from_ms(400);
/// So many that could be late have to be steady.
const STEADY: usize = 8;
/// Minimum duration, so that a stall of 1 to 2 s is not taken for a jump of the leader.
const STEADIED: Duration = Duration::from_ms(1_500);
/// How far three quarters of them may lie from their median, in standard deviations of the noise.
const STEADINESS: f64 = 4.0;
/// No packet is later than this and still paired with its Follow_Up; a Follow_Up of the Sync before is within it.
const LATEST: Duration = Duration::from_secs(1);
/// After this many late measurements in a row (30 s at 4 Hz) the filter restarts.
const PATIENCE: u32 = 120;
/// Largest scatter about the line through all of them, in standard deviations of the noise, of measurements on one line.
const LINEAR: f64 = 3.0;

/// The line on which most of the measurements lie, and how far from it one may be.
pub(super) struct OddOnes {
    first: Measurement,
    slope: f64,
    level: f64,
    limit: f64,
}

impl OddOnes {
    /// `None` where there are too few to tell.
    pub(super) fn among(measurements: &[Measurement]) -> Option<Self> {
        let first = *measurements.first().filter(|_| measurements.len() >= DISCERNING)?;
        let points: ArrayVec<(f64, f64), ACQUISITION> =
            measurements.iter().take(ACQUISITION).map(|one| point(first, *one)).collect();
        let mut slopes = ArrayVec::<f64, PAIRS>::new();
        for (i, (t, y)) in points.iter().enumerate() {
            slopes.extend(points.iter().skip(i + 1).map(|(later, higher)| (higher - y) / (later - t)));
        }
        let slope = median(&mut slopes)?;
        let mut levels: ArrayVec<f64, ACQUISITION> = points.iter().map(|(t, y)| y - slope * t).collect();
        let level = median(&mut levels)?;
        levels.iter_mut().for_each(|one| *one = (*one - level).abs());
        Some(Self { first, slope, level, limit: ODD * noise::sigma_of(&levels)? })
    }

    /// Whether the slope of the measurements, with its own uncertainty, is none that `guess` allows.
    pub(super) fn refutes(&self, guess: &RateGuess, measurements: &[Measurement], noise: f64) -> bool {
        let [first, .., last] = measurements else { return false };
        if measurements.len() < REFUTING {
            return false;
        }
        #[expect(clippy::cast_precision_loss, reason = "at most ACQUISITION")]
        let count = measurements.len() as f64;
        let sigma = noise.max(self.limit / ODD) * (12.0 / count).sqrt() / (last.raw - first.raw).secs_f64();
        (self.slope - guess.rate.ppb()).abs() > REFUTED * (sigma + guess.sigma.ppb())
    }

    /// Whether this is one of them.
    pub(super) fn has(&self, one: &Measurement) -> bool {
        let (t, y) = point(self.first, *one);
        (y - self.slope * t - self.level).abs() > self.limit
    }
}

/// Seconds and the leader's gain, ns, since the first measurement.
fn point(first: Measurement, one: Measurement) -> (f64, f64) {
    let raw = one.raw - first.raw;
    (raw.secs_f64(), ((one.dante - first.dante) - raw).ns_f64())
}

fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    (middle < values.len()).then(|| *values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

/// The measurements that the outlier test rejected in a row.
#[derive(Debug, Default)]
pub(super) struct Doubted {
    run: ArrayVec<Measurement, KEPT>,
    count: u32,
}

/// What they amount to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It is too early to tell, or they are late.
    Open,
    /// The leader's time jumped: the last so many say where to.
    Jump(usize),
    /// All have moved by something that a path may do.
    Shift,
}

impl Doubted {
    pub(super) fn clear(&mut self) {
        self.run.clear();
        self.count = 0;
    }

    /// The last `count` of them, oldest first.
    pub(super) fn last(&self, count: usize) -> &[Measurement] {
        self.run.get(self.run.len().saturating_sub(count)..).unwrap_or_default()
    }

    /// Takes in one more, and judges them against the line of `filter`, which none of them has moved.
    pub(super) fn judge(&mut self, one: Measurement, filter: &Kalman, sigma: f64) -> Finding {
        if self.run.is_full() {
            self.run.remove(0);
        }
        self.run.push(one);
        self.count = self.count.saturating_add(1);
        let residual = |one: &Measurement| Duration::from_ns_f64(-filter.distance_ns(*one));
        let is_far = |one: &Measurement| residual(one).abs() >= JUMP;
        let may_be_late = |one: &Measurement| (-JUMP..LATEST).contains(&residual(one));
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
            if agreeing >= AGREEING && span(self.last(agreeing)) >= AGREED {
                return Finding::Jump(agreeing);
            }
        } else if far && let Some(steady) = self.steady(filter, sigma, is_far) {
            return Finding::Jump(steady);
        }
        let last = self.last(DISTRUST);
        if last.len() < DISTRUST {
            return Finding::Open;
        }
        if !last.iter().any(is_far) {
            return Finding::Shift;
        }
        if !last.iter().all(may_be_late) {
            return if far { Finding::Jump(1) } else { Finding::Open };
        }
        if far && (is_linear(last, filter, sigma) || self.count >= PATIENCE) {
            return Finding::Jump(1);
        }
        Finding::Open
    }

    /// The shortest stretch up to now that is long enough to be judged, if it is steady.
    fn steady(&self, filter: &Kalman, sigma: f64, is_far: impl Fn(&Measurement) -> bool) -> Option<usize> {
        let count = (STEADY..=self.run.len()).find(|count| span(self.last(*count)) >= STEADIED)?;
        let last = self.last(count);
        if !last.iter().all(is_far) {
            return None;
        }
        let mut distances: ArrayVec<f64, KEPT> = last.iter().map(|one| filter.distance_ns(*one)).collect();
        distances.sort_unstable_by(f64::total_cmp);
        let median = *distances.get(count / 2)?;
        distances.iter_mut().for_each(|distance| *distance = (*distance - median).abs());
        distances.sort_unstable_by(f64::total_cmp);
        let three_quarters = *distances.get(count * 3 / 4)?;
        (three_quarters <= STEADINESS * sigma.max(noise::FLOOR_NS)).then_some(count)
    }
}

fn span(run: &[Measurement]) -> Duration {
    match run {
        [first, .., last] => last.raw - first.raw,
        _ => Duration::ZERO,
    }
}

/// Whether they lie on one line of any rate, as when the host's clock source changed.
fn is_linear(run: &[Measurement], filter: &Kalman, sigma: f64) -> bool {
    let Some(first) = run.first() else { return false };
    let points = run.iter().map(|one| ((one.raw - first.raw).secs_f64(), filter.distance_ns(*one)));
    Line::through(points).is_some_and(|line| line.scatter(run.len()) <= LINEAR * sigma)
}

/// Whether both lie on one line of any rate that a leader can have.
fn are_of_one_line(earlier: Measurement, later: Measurement, sigma_ns: f64) -> bool {
    let raw = later.raw - earlier.raw;
    let apart = ((later.dante - earlier.dante) - raw).ns_f64().abs();
    apart <= GATE * std::f64::consts::SQRT_2 * sigma_ns + (raw * RateGuess::UNKNOWN.sigma).ns_f64().abs()
}
