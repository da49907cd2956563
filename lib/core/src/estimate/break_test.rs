//! Has the leader's rate, or the path, changed without anybody saying so?
//!
//! The filter follows a random walk of the rate and no more: a step of 1 ppm would take it minutes to find, under an
//! uncertainty that knows nothing of it. So the last measurements are held against the filter's own line. If they lean
//! away from it by more than chance allows, they are explained either by a rate that broke at some moment or by a phase
//! that shifted at some moment, whichever leaves clearly less unexplained, and the filter begins anew there.

use super::Measurement;
use super::kalman::Kalman;
use arrayvec::ArrayVec;

/// So many measurements are looked back on: 32 s at 4 Hz.
const LONGEST: usize = 128;
/// And fewer, for what is larger and shows sooner.
const WINDOWS: [usize; 3] = [32, 64, LONGEST];
/// A lean of so many standard deviations is no chance. On the half-normal noise of real devices 6.5 was met by chance now
/// and then in 55 hours of Syncs, 7 was not.
const SIGNIFICANT: f64 = 7.0;
/// An oscillator that goes on running does not change its rate by more than this at once; a path does seem to.
const PLAUSIBLE_PPB: f64 = 5_000.0;
/// By so many variances of the noise a bend has to explain more than the best shift does: of a path that shifts by some standard
/// deviations the first measurements look like either.
const BENT: f64 = 8.0;
/// And a shift more than the best bend: a rate that has changed and is not believed to makes the stated uncertainty a lie.
const SHIFTED: f64 = 16.0;
/// So many measurements after the break at least, or it is too early to say what it is.
const AFTER: usize = 8;

/// The last measurements that were believed.
#[derive(Debug, Default)]
pub(super) struct Recent {
    kept: ArrayVec<Measurement, LONGEST>,
}

/// What explains them.
#[derive(Debug, Clone, Copy)]
pub(super) struct DetectedBreak {
    /// It happened with this one of the measurements kept.
    pub from: usize,
    /// By how much the rate changed, ppb; zero where the phase shifted.
    pub rate_ppb: f64,
}

impl Recent {
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }

    pub(super) fn keep(&mut self, measurement: Measurement) {
        if self.kept.is_full() {
            self.kept.remove(0);
        }
        self.kept.push(measurement);
    }

    /// Those from the change on; what was before is forgotten.
    pub(super) fn since(&mut self, change: DetectedBreak) -> &[Measurement] {
        self.kept.drain(..change.from.min(self.kept.len()));
        &self.kept
    }

    /// A change that the measurements show against `filter`'s line, if their noise is `sigma` ns.
    pub(super) fn change(&self, filter: &Kalman, sigma: f64) -> Option<DetectedBreak> {
        WINDOWS.into_iter().find_map(|window| self.change_within(window, filter, sigma))
    }

    fn change_within(&self, window: usize, filter: &Kalman, sigma: f64) -> Option<DetectedBreak> {
        let skipped = self.kept.len().checked_sub(window)?;
        let last = self.kept.get(skipped..)?;
        let first = last.first()?;
        let points: ArrayVec<(f64, f64), LONGEST> =
            last.iter().map(|one| ((one.raw - first.raw).secs_f64(), filter.distance_ns(*one))).collect();
        let lean = Line::through(points.iter().copied())?;
        let chance = (sigma * sigma / lean.spread + filter.rate_sigma_ppb().powi(2)).sqrt();
        if lean.slope.abs() < SIGNIFICANT * chance {
            return None;
        }
        let [bent, shifted] = breaks(&points);
        let (best, other) = match (bent, shifted) {
            (Some(bent), Some(shifted)) if shifted.line.unexplained < bent.line.unexplained => {
                (shifted, Some(bent))
            }
            (Some(bent), shifted) => (bent, shifted),
            (None, shifted) => (shifted?, None),
        };
        // The noise as the filter takes it is itself only found, and may be half as large as it is.
        #[expect(clippy::cast_precision_loss, reason = "at most LONGEST")]
        let variance = (sigma * sigma).max(best.line.unexplained / (window as f64 - 3.0));
        let certain = best.line.slope.abs() > SIGNIFICANT * (variance / best.line.spread).sqrt();
        let distinct = other.is_none_or(|other| {
            let is_alike = other.rate_ppb == 0.0 && best.rate_ppb == 0.0;
            let least = if best.rate_ppb == 0.0 { SHIFTED } else { BENT };
            is_alike || other.line.unexplained - best.line.unexplained > least * variance
        });
        (certain && distinct && best.from + AFTER <= window)
            .then_some(DetectedBreak { from: skipped + best.from, rate_ppb: best.rate_ppb })
    }
}

/// Where the points break, and the line that says so.
struct Break {
    from: usize,
    /// The slope from there on; zero where they shift instead.
    rate_ppb: f64,
    line: Line,
}

/// Where the points would be bent, and where shifted, if they are the one or the other. Also at the very end: what begins there is
/// no reason to look for a change before it.
fn breaks(points: &[(f64, f64)]) -> [Option<Break>; 2] {
    let places = 0..points.len().saturating_sub(1);
    let bent = places.clone().filter_map(|from| {
        let begin = points.get(from)?.0;
        let line = Line::through(points.iter().map(|(t, d)| ((t - begin).max(0.0), *d)))?;
        let rate_ppb = if line.slope.abs() < PLAUSIBLE_PPB { line.slope } else { 0.0 };
        Some(Break { from, rate_ppb, line })
    });
    let shifted = places.skip(1).filter_map(|from| {
        let line =
            Line::through(points.iter().enumerate().map(|(i, (_, d))| (f64::from(u8::from(i >= from)), *d)))?;
        Some(Break { from, rate_ppb: 0.0, line })
    });
    let unexplained = |a: &Break, b: &Break| a.line.unexplained.total_cmp(&b.line.unexplained);
    [bent.min_by(unexplained), shifted.min_by(unexplained)]
}

/// A straight line by least squares.
pub(super) struct Line {
    pub slope: f64,
    /// Sum of the squares of the abscissae about their mean.
    spread: f64,
    /// Sum of the squares of what the line leaves over.
    unexplained: f64,
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
        slope.is_finite().then_some(Self { slope, spread: xx, unexplained: yy - slope * xy })
    }

    /// The standard deviation of what the line through `count` points leaves over.
    pub(super) fn scatter(&self, count: usize) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "some dozens")]
        let freedom = count.saturating_sub(2).max(1) as f64;
        (self.unexplained.max(0.0) / freedom).sqrt()
    }
}
