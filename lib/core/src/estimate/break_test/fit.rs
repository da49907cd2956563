//! Fits of a rate step and of a phase shift to distances from a line.

use super::{DetectedBreak, MAX_RATE_STEP_PPB};

/// Smallest slope or step of a break, in standard deviations. With 6 there were 1.5 false breaks in 10 hours of the `busy` network,
/// with 6.5 there are 0.8, and on a recorded trace of a rough network none.
const BREAK_SIGMAS: f64 = 6.5;
/// Smallest difference of the residual sums of squares, in noise variances, at which a rate step is preferred to the best phase
/// shift. The first measurements after a shift by some standard deviations look like either.
const RATE_STEP_MARGIN: f64 = 8.0;
/// The same for a phase shift against the best rate step. It is larger, because a missed rate step makes the published uncertainty
/// too small.
const PHASE_SHIFT_MARGIN: f64 = 16.0;
/// Fewest points after a break: fewer do not distinguish a rate step from a phase shift.
const MIN_AFTER_BREAK: usize = 4;
/// Variance of the slope of a random walk of the rate over T s about the rate at its start, as a multiple of q^2 T.
const WALK_SLOPE: f64 = 13.0 / 35.0;

/// Noise of the points and of the line.
pub(super) struct Noise {
    /// Variance of a point, ns^2, with which white noise would scatter slopes as the noise does.
    pub variance: f64,
    /// Variance of a point by the white noise alone, ns^2.
    pub white: f64,
    /// Standard deviation of the line's rate, ppb.
    pub line_ppb: f64,
    /// Random walk of the rate, ppb per root second.
    pub walk_ppb: f64,
    /// Time since the line, s.
    pub age_s: f64,
}

/// Returns the break that the points show: distances in ns from a line, over s. If `is_certain`, there is one.
pub(super) fn find(points: &[(f64, f64)], noise: &Noise, is_certain: bool) -> Option<DetectedBreak> {
    let trend = Line::through(points.iter().copied())?;
    let walk = noise.walk_ppb.powi(2) * noise.age_s * WALK_SLOPE;
    let trend_sigma = (noise.variance / trend.spread + noise.line_ppb.powi(2) + walk).sqrt();
    if !is_certain && trend.slope.abs() < BREAK_SIGMAS * trend_sigma {
        return None;
    }
    let [rate_step, phase_shift] = best_breaks(points, noise.white);
    let (best, other) = match (rate_step, phase_shift) {
        (Some(step), Some(shift)) if shift.line.residual_squares < step.line.residual_squares => {
            (shift, Some(step))
        }
        (Some(step), shift) => (step, shift),
        (None, shift) => (shift?, None),
    };
    // The estimated noise may be half the true noise.
    let residual = best.line.residual_squares / (points.len() as f64 - 3.0);
    let variance = residual.max(if is_certain { noise.white } else { noise.variance });
    let is_shift = best.rate_ppb == 0.0;
    let margin = if is_shift { PHASE_SHIFT_MARGIN } else { RATE_STEP_MARGIN };
    let is_distinct = other.as_ref().is_none_or(|other| {
        let are_shifts = other.rate_ppb == 0.0 && is_shift;
        are_shifts || other.line.residual_squares - best.line.residual_squares > margin * variance
    });
    if is_certain {
        // If neither is distinct, the points after the shift fit both, with the uncertainty of a rate step.
        let (shift, step) =
            if is_shift { (Some(&best), other.as_ref()) } else { (other.as_ref(), Some(&best)) };
        let (shift, step) =
            (shift.filter(|_| is_shift || !is_distinct), step.filter(|_| !is_shift || !is_distinct));
        let from = shift.or(step)?.from;
        return Some(DetectedBreak { from, rate_ppb: step.map_or(0.0, |step| step.rate_ppb) });
    }
    let uncertainty = variance / best.line.spread + if is_shift { 0.0 } else { walk };
    let is_significant = best.line.slope.abs() > BREAK_SIGMAS * uncertainty.sqrt();
    (is_significant && is_distinct && best.from + MIN_AFTER_BREAK <= points.len())
        .then_some(DetectedBreak { from: best.from, rate_ppb: best.rate_ppb })
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
fn best_breaks(points: &[(f64, f64)], variance: f64) -> [Option<FittedBreak>; 2] {
    let places = 0..points.len().saturating_sub(1);
    let rate_steps = places.clone().filter_map(|from| {
        let begin = points.get(from)?.0;
        let line = Line::through(points.iter().map(|(t, d)| ((t - begin).max(0.0), *d)))?;
        let rate_ppb = if line.slope.abs() < MAX_RATE_STEP_PPB { line.slope } else { 0.0 };
        Some(FittedBreak { from, rate_ppb, line })
    });
    let phase_shifts = places.skip(1).filter_map(|from| {
        // The mean before contains measurements from both sides of the shift.
        let pure = points.iter().enumerate().filter(|(i, _)| i + 1 != from);
        let mut line = Line::through(pure.map(|(i, (_, d))| (f64::from(u8::from(i >= from)), *d)))?;
        line.residual_squares += variance;
        Some(FittedBreak { from, rate_ppb: 0.0, line })
    });
    let by_residual =
        |a: &FittedBreak, b: &FittedBreak| a.line.residual_squares.total_cmp(&b.line.residual_squares);
    [rate_steps.min_by(by_residual), phase_shifts.min_by(by_residual)]
}

/// A straight line fitted by least squares.
pub(in super::super) struct Line {
    pub slope: f64,
    /// Sum of the squares of the abscissae about their mean.
    spread: f64,
    /// Sum of the squares of the residuals.
    residual_squares: f64,
}

impl Line {
    pub fn through(points: impl Iterator<Item = (f64, f64)> + Clone) -> Option<Self> {
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
    pub fn scatter(&self, count: usize) -> f64 {
        let degrees_of_freedom = count.saturating_sub(2).max(1) as f64;
        (self.residual_squares.max(0.0) / degrees_of_freedom).sqrt()
    }

    /// Standard deviation of the slope, by the residuals of `count` points.
    pub fn slope_sigma(&self, count: usize) -> f64 {
        self.scatter(count) / self.spread.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    const NOISE: Noise =
        Noise { variance: 100.0 * 100.0, white: 100.0 * 100.0, line_ppb: 5.0, walk_ppb: 0.1, age_s: 40.0 };

    /// 32 means over 1 s with a standard deviation of 100 ns about `change`, ns.
    fn points(change: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        let mut rng = Pcg64Mcg::seed_from_u64(9);
        let mut noise = || 100.0 * 12_f64.sqrt() * (rng.random::<f64>() - 0.5);
        (0..32).map(|i| (f64::from(i), change(f64::from(i)) + noise())).collect()
    }

    #[test]
    fn noise_is_no_break() {
        assert!(find(&points(|_| 0.0), &NOISE, false).is_none());
        // Within the uncertainty of the line's rate.
        assert!(find(&points(|t| 10.0 * t), &NOISE, false).is_none());
    }

    #[test]
    fn rate_step_and_phase_shift_are_distinguished() {
        let step = find(&points(|t| 500.0 * (t - 16.0).max(0.0)), &NOISE, false).unwrap();
        assert!((step.rate_ppb - 500.0).abs() < 40.0 && step.from.abs_diff(16) <= 1, "{step:?}");
        let shift = find(&points(|t| if t < 16.0 { 0.0 } else { 5_000.0 }), &NOISE, false).unwrap();
        assert!(shift.rate_ppb == 0.0 && shift.from.abs_diff(16) <= 1, "{shift:?}");
    }

    #[test]
    fn break_at_the_last_points_waits_for_more() {
        assert!(find(&points(|t| if t < 30.0 { 0.0 } else { 20_000.0 }), &NOISE, false).is_none());
    }

    #[test]
    fn slow_noise_needs_a_larger_step() {
        let slow = Noise { variance: 1_000.0 * NOISE.variance, ..NOISE };
        let points = points(|t| 500.0 * (t - 16.0).max(0.0));
        assert!(find(&points, &NOISE, false).is_some() && find(&points, &slow, false).is_none());
    }
}
