//! Measurements that are not believed, one after the other: a jump of the leader's time, a lasting shift, or lateness?
//!
//! What holds a packet up can only make it late: its residual is positive, and no two are late by the same. A leader
//! whose time jumped is off by one and the same amount from then on. So what a delay cannot explain is believed after a
//! few measurements that agree, and what a delay could explain only once they are steady: an overloaded host stamps for
//! seconds 5 to 30 ms late, and among so many some agree by chance.

use super::change::Line;
use super::kalman::Kalman;
use super::{GATE, JUMP, Measurement, RateGuess, noise};
use crate::time::Duration;
use arrayvec::ArrayVec;

/// So many rejected in a row (4 s at 4 Hz) and the map is no longer believed either: it is fitted anew.
pub(super) const DISTRUST: usize = 16;
/// Twice that are looked back on, since some leaders send more often.
const KEPT: usize = 2 * DISTRUST;
/// So many that agree with one another are a jump; two may be two Follow_Ups that took the wrong Sync.
const AGREEING: usize = 3;
/// For so long at least: three Syncs at 4 Hz. Three forged ones between two of the leader's take no time.
const AGREED: Duration = Duration::from_ms(400);
/// So many that could be late have to be steady.
const STEADY: usize = 8;
/// For so long: a host that is held up for a second or two is none for a single Sync's length.
const STEADIED: Duration = Duration::from_ms(1_500);
/// How far three quarters of them may lie from their median, in standard deviations of the noise.
const STEADINESS: f64 = 4.0;
/// No packet is later than this and still paired with its Follow_Up; a Follow_Up of the Sync before is within it.
const LATEST: Duration = Duration::from_secs(1);
/// Lateness is borne for so many in a row (30 s at 4 Hz), then the map is begun anew for want of anything better.
const PATIENCE: u32 = 120;
/// A line through all of them leaves so little over, in standard deviations of the noise, if they are of one line.
const LINEAR: f64 = 3.0;

/// The last ones in a row.
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
