//! What the picture shows: panels made of the samples, without a thought of how they are drawn.

use crate::history::{Entry, rate_histogram, rate_scale};
use crate::scale::{Histogram, Scale, as_f64, rms, signed, unit_of};

/// A place in a panel.
pub type Point = (f64, f64);

/// More points than a panel has columns cannot be told apart.
const COLUMNS: usize = 700;
/// Columns of the histogram.
const BINS: usize = 48;

/// The whole of it.
#[derive(Debug)]
pub struct Figure {
    pub title: String,
    pub below: String,
    pub panels: Vec<Panel>,
    pub histogram: Option<Histogram>,
    /// Of the axes of time.
    pub time: Axis,
}

/// A quantity over time.
#[derive(Debug)]
pub struct Panel {
    pub title: String,
    /// Numbers, to the right of the title.
    pub summary: String,
    pub unit: &'static str,
    pub scale: Scale,
    /// Lower and upper edges of what is uncertain.
    pub band: Vec<(Vec<Point>, Vec<Point>)>,
    pub lines: Vec<Vec<Point>>,
    pub dots: Vec<Point>,
    /// Dots of samples that were not believed.
    pub refused: Vec<Point>,
    /// Whether zero means something.
    pub about_zero: bool,
}

/// The axis of time.
#[derive(Debug)]
pub struct Axis {
    pub label: String,
    pub scale: Scale,
}

impl Figure {
    /// Of these samples, that were taken on this host, or stand in this file.
    pub fn of(entries: &[Entry], place: &str) -> Self {
        let clock = Clock::of(entries);
        let mut panels = vec![residual(entries, &clock), rate(entries, &clock)];
        panels.extend(phase(entries, &clock));
        Self {
            title: title(entries, place),
            below: below(entries),
            panels,
            histogram: rate_histogram(entries.iter(), BINS),
            time: clock.axis(entries),
        }
    }
}

/// Where a sample stands on the axis of time.
struct Clock {
    first: i64,
    unit: (&'static str, f64),
}

impl Clock {
    fn of(entries: &[Entry]) -> Self {
        let first = entries.first().map_or(0, |entry| entry.raw_ns);
        let last = entries.last().map_or(first, |entry| entry.raw_ns);
        let seconds = as_f64(last.saturating_sub(first)) / 1e9;
        let unit = match seconds {
            s if s <= 600.0 => ("s", 1.0),
            s if s <= 36_000.0 => ("min", 60.0),
            _ => ("h", 3600.0),
        };
        Self { first, unit }
    }

    fn at(&self, entry: &Entry) -> f64 {
        as_f64(entry.raw_ns.saturating_sub(self.first)) / 1e9 / self.unit.1
    }

    fn axis(&self, entries: &[Entry]) -> Axis {
        let began = entries.first().map(|entry| minute(&entry.time)).unwrap_or_default();
        let last = entries.iter().map(|entry| self.at(entry)).fold(0.0, f64::max);
        let round = Scale::around([0.0, last].into_iter(), 1.0, 8.0);
        Axis {
            label: format!("{} since {began} UTC", self.unit.0),
            scale: Scale { low: 0.0, high: last.max(round.step / 4.0), ..round },
        }
    }
}

/// To the second, without the T.
fn minute(time: &str) -> String {
    time.get(..19).unwrap_or(time).replace('T', " ")
}

fn title(entries: &[Entry], place: &str) -> String {
    let mut leaders: Vec<&str> = entries.iter().filter_map(|entry| entry.leader.as_deref()).collect();
    leaders.dedup();
    match leaders.as_slice() {
        [] => format!("no leader, seen by {place}"),
        [leader] => format!("Dante leader {leader}, seen by {place}"),
        [.., leader] => format!("Dante leader {leader} and others before it, seen by {place}"),
    }
}

fn below(entries: &[Entry]) -> String {
    let [from, to] = [entries.first(), entries.last()]
        .map(|entry| entry.map(|entry| minute(&entry.time)).unwrap_or_default());
    let missed: u64 = entries.iter().skip(1).map(|entry| entry.missed).sum();
    let refused = entries.iter().filter(|entry| !entry.accepted).count();
    let mut text = format!("{from} to {to} UTC, {} samples, {refused} not believed", entries.len());
    if missed > 0 {
        text.push_str(&format!(", {missed} missed"));
    }
    text
}

fn residual(entries: &[Entry], clock: &Clock) -> Panel {
    let of = |accepted: bool| -> Vec<Point> {
        let chosen = entries.iter().filter(|entry| entry.accepted == accepted);
        chosen.map(|entry| (clock.at(entry), as_f64(entry.residual_ns))).collect()
    };
    in_time("residual of each Sync against the map", of(true), of(false), true)
}

fn phase(entries: &[Entry], clock: &Clock) -> Option<Panel> {
    let points: Vec<Point> =
        entries.iter().filter_map(|entry| Some((clock.at(entry), as_f64(entry.phase_error_ns?)))).collect();
    (!points.is_empty()).then(|| in_time("phase error of the steered clock", points, Vec::new(), false))
}

/// A quantity that is a time, in a unit of its size.
fn in_time(name: &str, mut points: Vec<Point>, mut refused: Vec<Point>, as_dots: bool) -> Panel {
    let most = points.iter().map(|point| point.1.abs()).fold(0.0, f64::max);
    let (unit, size) = unit_of(most);
    points.iter_mut().chain(&mut refused).for_each(|point| point.1 /= size);
    let scale = Scale::about_zero(points.iter().map(|point| point.1), 20.0 / size, 4.0);
    // One that is far off shows at the edge, and does not flatten the rest.
    refused.iter_mut().for_each(|point| point.1 = point.1.clamp(scale.low, scale.high));
    let digits = if size > 1.0 { 2 } else { 0 };
    let peak = points.iter().map(|point| point.1.abs()).fold(0.0, f64::max);
    let summary = rms(points.iter().map(|point| point.1))
        .map_or(String::new(), |rms| format!("rms {rms:.digits$} {unit}, at most {peak:.digits$} {unit}"));
    let thin = thinned(&points, COLUMNS);
    let (dots, lines) = if as_dots {
        (thin, Vec::new())
    } else {
        (Vec::new(), runs(&thin).into_iter().map(<[_]>::to_vec).collect())
    };
    Panel {
        title: name.into(),
        summary,
        unit,
        scale,
        band: Vec::new(),
        lines,
        dots,
        refused: thinned(&refused, COLUMNS),
        about_zero: true,
    }
}

fn rate(entries: &[Entry], clock: &Clock) -> Panel {
    let known: Vec<(f64, f64, f64)> = entries
        .iter()
        .filter_map(|entry| entry.rate_ppm().map(|(rate, sigma)| (clock.at(entry), rate, sigma)))
        .collect();
    let scale = rate_scale(entries.iter());
    let curve = |of: fn(&(f64, f64, f64)) -> Point| -> Vec<Vec<Point>> {
        // What is beyond shows at the edge.
        let within = |(at, rate): Point| (at, rate.clamp(scale.low, scale.high));
        let points: Vec<Point> = known.iter().map(of).map(within).collect();
        runs(&thinned(&points, COLUMNS)).into_iter().map(<[_]>::to_vec).collect()
    };
    let lower = curve(|(at, rate, sigma)| (*at, rate - sigma));
    let upper = curve(|(at, rate, sigma)| (*at, rate + sigma));
    let summary = known.last().map_or(String::new(), |(_, rate, sigma)| {
        format!("at the end {} ppm ± {sigma:.4}", signed(*rate, 4))
    });
    Panel {
        title: "rate of the leader against this host, with its standard deviation".into(),
        summary,
        unit: "ppm",
        scale,
        band: lower.into_iter().zip(upper).collect(),
        lines: curve(|(at, rate, _)| (*at, *rate)),
        dots: Vec::new(),
        refused: Vec::new(),
        about_zero: false,
    }
}

/// At most four points in each of `columns` parts of the time: the first, the last, the least and the greatest, so that
/// no outlier is lost. Points are given and returned in the order of time.
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
