//! Content of the picture: panels made of the samples, independent of the drawing.

use crate::history::{Entry, rate_histogram, rate_scale};
use crate::scale::{Histogram, Scale, as_f64, fixed, rms, signed, unit_of};
use dante_core::printable::printable;

/// A point of a panel.
pub type Point = (f64, f64);

/// Columns of a panel: more points cannot be distinguished.
const COLUMNS: usize = 700;
/// Characters of a word in the title; a file name may have 255.
const MAX_WORD: usize = 80;
/// Bins of the histogram.
const BINS: usize = 48;

/// The whole picture.
#[derive(Debug)]
pub struct Figure {
    pub title: String,
    pub below: String,
    pub panels: Vec<Panel>,
    pub histogram: Option<Histogram>,
    /// Time axis of all panels.
    pub time: Axis,
}

/// A quantity over time.
#[derive(Debug)]
pub struct Panel {
    pub title: String,
    /// Statistics, to the right of the title.
    pub summary: String,
    pub unit: &'static str,
    pub scale: Scale,
    /// Lower and upper edges of the uncertainty band.
    pub band: Vec<(Vec<Point>, Vec<Point>)>,
    pub lines: Vec<Vec<Point>>,
    pub dots: Vec<Point>,
    /// Dots of rejected samples.
    pub rejected: Vec<Point>,
    /// The scale is centred on zero, and a line is drawn there.
    pub about_zero: bool,
}

/// The time axis.
#[derive(Debug)]
pub struct Axis {
    pub label: String,
    pub scale: Scale,
}

impl Figure {
    /// Makes the figure of these samples; `source` is the host or the file that they come from.
    pub fn of(entries: &[Entry], source: &str) -> Self {
        let clock = Clock::of(entries);
        let mut panels = vec![residual(entries, &clock), rate(entries, &clock)];
        panels.extend(phase(entries, &clock));
        Self {
            title: title(entries, source),
            below: below(entries),
            panels,
            histogram: rate_histogram(entries.iter(), BINS),
            time: clock.axis(entries),
        }
    }
}

/// Position of a sample on the time axis.
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
        let began = entries.first().map(|entry| to_second(&entry.time)).unwrap_or_default();
        let last = entries.iter().map(|entry| self.at(entry)).fold(0.0, f64::max);
        let round = Scale::around([0.0, last].into_iter(), 1.0, 8.0);
        Axis {
            label: format!("{} since {began} UTC", self.unit.0),
            scale: Scale { low: 0.0, high: last.max(round.step / 4.0), ..round },
        }
    }
}

/// Cuts an RFC 3339 time to the second, and replaces the T by a space.
fn to_second(time: &str) -> String {
    word(&time.chars().take(19).collect::<String>().replace('T', " "))
}

/// Makes a word of a log or a file name fit into a line of the picture: cut, and without characters that XML does not permit.
fn word(text: &str) -> String {
    printable(&text.chars().take(MAX_WORD).collect::<String>()).into_owned()
}

fn title(entries: &[Entry], source: &str) -> String {
    let mut leaders: Vec<&str> = entries.iter().filter_map(|entry| entry.leader.as_deref()).collect();
    leaders.dedup();
    match leaders.as_slice() {
        [] => format!("no leader, seen by {}", word(source)),
        [leader] => format!("Dante leader {}, seen by {}", word(leader), word(source)),
        [.., leader] => {
            format!("Dante leader {} and others before it, seen by {}", word(leader), word(source))
        }
    }
}

fn below(entries: &[Entry]) -> String {
    let [from, to] = [entries.first(), entries.last()]
        .map(|entry| entry.map(|entry| to_second(&entry.time)).unwrap_or_default());
    let missed = entries.iter().skip(1).fold(0u64, |sum, entry| sum.saturating_add(entry.missed));
    let rejected = entries.iter().filter(|entry| !entry.accepted).count();
    let mut text = format!("{from} to {to} UTC, {} samples, {rejected} rejected", entries.len());
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
    in_time("residual of each Sync against the clock map", of(true), of(false), true)
}

fn phase(entries: &[Entry], clock: &Clock) -> Option<Panel> {
    let points: Vec<Point> =
        entries.iter().filter_map(|entry| Some((clock.at(entry), as_f64(entry.phase_error_ns?)))).collect();
    (!points.is_empty()).then(|| in_time("phase error of the steered clock", points, Vec::new(), false))
}

/// Makes a panel of times in a unit that fits their size.
fn in_time(name: &str, mut points: Vec<Point>, mut rejected: Vec<Point>, as_dots: bool) -> Panel {
    let most = points.iter().map(|point| point.1.abs()).fold(0.0, f64::max);
    let (unit, size) = unit_of(most);
    points.iter_mut().chain(&mut rejected).for_each(|point| point.1 /= size);
    let scale = Scale::about_zero(points.iter().map(|point| point.1), 20.0 / size, 4.0);
    // A distant rejected sample is drawn at the edge, so that it does not compress the scale.
    rejected.iter_mut().for_each(|point| point.1 = point.1.clamp(scale.low, scale.high));
    let digits = if size > 1.0 { 2 } else { 0 };
    let peak = points.iter().map(|point| point.1.abs()).fold(0.0, f64::max);
    let summary = rms(points.iter().map(|point| point.1))
        .map_or(String::new(), |rms| format!("rms {rms:.digits$} {unit}, max {peak:.digits$} {unit}"));
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
        rejected: thinned(&rejected, COLUMNS),
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
        // Points outside the scale are drawn at its edge.
        let within = |(at, rate): Point| (at, rate.clamp(scale.low, scale.high));
        let points: Vec<Point> = known.iter().map(of).map(within).collect();
        runs(&thinned(&points, COLUMNS)).into_iter().map(<[_]>::to_vec).collect()
    };
    let lower = curve(|(at, rate, sigma)| (*at, rate - sigma));
    let upper = curve(|(at, rate, sigma)| (*at, rate + sigma));
    let summary = known.last().map_or(String::new(), |(_, rate, sigma)| {
        format!("at the end {} ppm ± {}", signed(*rate, 4), fixed(*sigma, 4))
    });
    Panel {
        title: "rate of the leader against this host, with its standard deviation".into(),
        summary,
        unit: "ppm",
        scale,
        band: lower.into_iter().zip(upper).collect(),
        lines: curve(|(at, rate, _)| (*at, *rate)),
        dots: Vec::new(),
        rejected: Vec::new(),
        about_zero: false,
    }
}

/// Returns at most four points of each of `columns` equal spans of time: the first, the last, the least and the greatest, so that
/// every outlier remains. Input and output are in the order of time.
pub fn thinned(points: &[Point], columns: usize) -> Vec<Point> {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
    if points.len() <= 4 * columns || last.0 <= first.0 {
        return points.to_vec();
    }
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let width = (last.0 - first.0) / columns as f64;
    points
        .chunk_by(|a, b| ((a.0 - first.0) / width).floor() == ((b.0 - first.0) / width).floor())
        .flat_map(extremes)
        .collect()
}

/// Returns the first, the last, the least and the greatest point, in the order of time.
fn extremes(points: &[Point]) -> Vec<Point> {
    let by_value = |a: &(usize, &Point), b: &(usize, &Point)| a.1.1.total_cmp(&b.1.1);
    let all = || points.iter().enumerate();
    let ends = [all().next(), all().min_by(by_value), all().max_by(by_value), all().next_back()];
    let is_one = |place| ends.iter().flatten().any(|end| end.0 == place);
    all().filter(|(place, _)| is_one(*place)).map(|(_, point)| *point).collect()
}

/// Splits at gaps, intervals of more than 8 times the median, so that no line is drawn across them.
pub fn runs(points: &[Point]) -> Vec<&[Point]> {
    let mut gaps: Vec<f64> =
        points.windows(2).filter_map(|pair| Some(pair.get(1)?.0 - pair.first()?.0)).collect();
    gaps.sort_by(f64::total_cmp);
    let median = gaps.get(gaps.len() / 2).copied().unwrap_or(0.0);
    points.chunk_by(|a, b| b.0 - a.0 <= (8.0 * median).max(1e-9)).collect()
}
