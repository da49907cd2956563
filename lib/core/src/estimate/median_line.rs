//! The line with the median slope of all pairs of points (Theil 1950, Sen 1968). It is right as long as fewer than 29 % of the points
//! are wrong, at either end too, where one wrong point pulls a least-squares line towards itself.

use super::noise::sigma_of;
use arrayvec::ArrayVec;

/// Most points.
pub(crate) const MAX_POINTS: usize = 32;
const PAIRS: usize = MAX_POINTS * (MAX_POINTS - 1) / 2;

/// A line through points (s, ns).
#[derive(Debug, Clone, Copy)]
pub(crate) struct MedianLine {
    /// ppb
    pub slope: f64,
    /// Value at 0 s, ns.
    pub level: f64,
    /// Standard deviation of a point, by the median distance, ns.
    pub sigma: f64,
}

impl MedianLine {
    /// Returns the line through the first [`MAX_POINTS`] of the points; `None` for fewer than two different times.
    pub(crate) fn through(points: &[(f64, f64)]) -> Option<Self> {
        let points = points.get(..MAX_POINTS).unwrap_or(points);
        let mut slopes = ArrayVec::<f64, PAIRS>::new();
        for (i, (t, y)) in points.iter().enumerate() {
            slopes.extend(points.iter().skip(i + 1).map(|(later, higher)| (higher - y) / (later - t)));
        }
        let slope = median(&mut slopes).filter(|slope| slope.is_finite())?;
        let mut levels: ArrayVec<f64, MAX_POINTS> = points.iter().map(|(t, y)| y - slope * t).collect();
        let level = median(&mut levels)?;
        levels.iter_mut().for_each(|one| *one = (*one - level).abs());
        Some(Self { slope, level, sigma: sigma_of(&levels)? })
    }

    /// Distance of a point from the line, ns; positive above it.
    pub(crate) fn distance(&self, (t, y): (f64, f64)) -> f64 {
        y - self.slope * t - self.level
    }
}

/// Returns the median, of an even number the upper one; `None` of no values.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    let middle = values.len() / 2;
    (middle < values.len()).then(|| *values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_points_do_not_move_the_line() {
        let mut points: Vec<(f64, f64)> = (0..20).map(|i| (f64::from(i), 5.0 + 3.0 * f64::from(i))).collect();
        for i in [0, 1, 18, 19] {
            points[i].1 += 1e6;
        }
        let line = MedianLine::through(&points).unwrap();
        assert_eq!((line.slope, line.level, line.sigma), (3.0, 5.0, 0.0));
        assert_eq!(line.distance((100.0, 306.0)), 1.0);
    }

    #[test]
    fn points_of_one_time_have_no_line() {
        assert!(MedianLine::through(&[]).is_none() && MedianLine::through(&[(1.0, 2.0)]).is_none());
        assert!(MedianLine::through(&[(1.0, 2.0), (1.0, 3.0)]).is_none());
    }
}
