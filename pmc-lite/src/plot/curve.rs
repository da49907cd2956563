//! Points of a curve, and as many of them as can be told apart.

/// A place in a panel.
pub type Point = (f64, f64);

/// At most four points in each of `columns` parts of the time: the first, the last, the least and the greatest, so that
/// nothing that stands out is lost. In the order of time, as they must be given.
pub fn thinned(points: &[Point], columns: usize) -> Vec<Point> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    if points.len() <= 4 * columns || last.0 <= first.0 {
        return points.to_vec();
    }
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let width = (last.0 - first.0) / columns as f64;
    points
        .chunk_by(|a, b| ((a.0 - first.0) / width).floor() == ((b.0 - first.0) / width).floor())
        .flat_map(outstanding)
        .collect()
}

fn outstanding(points: &[Point]) -> Vec<Point> {
    let by_value = |a: &(usize, &Point), b: &(usize, &Point)| a.1.1.total_cmp(&b.1.1);
    let all = || points.iter().enumerate();
    let ends = [all().next(), all().min_by(by_value), all().max_by(by_value), all().next_back()];
    let is_one = |place| ends.iter().flatten().any(|end| end.0 == place);
    all().filter(|(place, _)| is_one(*place)).map(|(_, point)| *point).collect()
}

/// Parts without a gap: where nothing came for much longer than usual, a line must not be drawn across.
pub fn runs(points: &[Point]) -> Vec<&[Point]> {
    let mut gaps: Vec<f64> =
        points.windows(2).filter_map(|pair| Some(pair.get(1)?.0 - pair.first()?.0)).collect();
    gaps.sort_by(f64::total_cmp);
    let usual = gaps.get(gaps.len() / 2).copied().unwrap_or(0.0);
    points.chunk_by(|a, b| b.0 - a.0 <= (8.0 * usual).max(1e-9)).collect()
}
