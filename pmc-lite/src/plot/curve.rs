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
    let place = |found: Option<(usize, &Point)>| found.map(|found| found.0);
    let by_value = |a: &(usize, &Point), b: &(usize, &Point)| a.1.1.total_cmp(&b.1.1);
    let mut places: Vec<usize> = [
        Some(0),
        place(points.iter().enumerate().min_by(by_value)),
        place(points.iter().enumerate().max_by(by_value)),
        points.len().checked_sub(1),
    ]
    .into_iter()
    .flatten()
    .collect();
    places.sort_unstable();
    places.dedup();
    places.into_iter().filter_map(|place| points.get(place).copied()).collect()
}

/// Parts without a gap: where nothing came for much longer than usual, a line must not be drawn across.
pub fn runs(points: &[Point]) -> Vec<&[Point]> {
    let mut gaps: Vec<f64> =
        points.windows(2).filter_map(|pair| Some(pair.get(1)?.0 - pair.first()?.0)).collect();
    gaps.sort_by(f64::total_cmp);
    let usual = gaps.get(gaps.len() / 2).copied().unwrap_or(0.0);
    points.chunk_by(|a, b| b.0 - a.0 <= (8.0 * usual).max(1e-9)).collect()
}
