//! Charts over time: residual, rate, and phase error of the steered clock.

use super::app::App;
use super::panel::{QUIET, empty, framed};
use crate::history::{Entry, rate_scale};
use crate::scale::{Scale, as_f64, fixed, rms, signed, unit_of};
use dante_core::time::Duration;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType};

/// Least number of lines of a readable chart.
const MIN_HEIGHT: u16 = 6;
/// Time span of a chart.
const SHORT: Duration = Duration::from_secs(120);
/// Time span of a chart of at least `WIDE` columns, once there are samples for more than `SHORT`.
const LONG: Duration = Duration::from_secs(300);
const WIDE: u16 = 110;
const ACCEPTED: Color = Color::Cyan;
const REJECTED: Color = Color::Red;
const BAND: Style = Style::new().fg(Color::Blue);

/// A curve: its points and how they are drawn.
type Curve = (Vec<(f64, f64)>, Style, GraphType);

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let is_long = app.points.front().is_some_and(|point| app.age(point) > SHORT);
    let span = if area.width >= WIDE && is_long { LONG } else { SHORT };
    let recent: Vec<&Entry> = app.recent(span).collect();
    if recent.is_empty() {
        let words = "no samples: dante4l does not measure at present. New samples appear here.";
        empty(frame, area, " charts ", words);
        return;
    }
    let steered = recent.iter().any(|point| point.phase_error_ns.is_some());
    let count = if steered && area.height >= 3 * (MIN_HEIGHT + 2) { 3 } else { 2 };
    let areas = Layout::vertical(vec![Constraint::Fill(1); count]).split(area);
    let mut areas = areas.iter();
    for draw in [residual, rate, phase] {
        if let Some(area) = areas.next() {
            draw(frame, *area, app, &recent, span);
        }
    }
}

fn residual(frame: &mut Frame<'_>, area: Rect, app: &App, recent: &[&Entry], span: Duration) {
    let of = |accepted: bool| -> Vec<(f64, f64)> {
        let chosen = recent.iter().filter(|point| point.accepted == accepted);
        chosen.map(|point| (app.seconds(point), as_f64(point.residual_ns))).collect()
    };
    let (accepted, rejected) = (of(true), of(false));
    let curves = vec![
        (accepted, ACCEPTED.into(), GraphType::Scatter),
        (rejected, REJECTED.into(), GraphType::Scatter),
    ];
    let name = match app.missed {
        0 => "residual".to_owned(),
        missed => format!("{missed} samples missed, residual"),
    };
    in_time(frame, area, &name, curves, span);
}

fn phase(frame: &mut Frame<'_>, area: Rect, app: &App, recent: &[&Entry], span: Duration) {
    let points: Vec<(f64, f64)> =
        recent.iter().filter_map(|point| Some((app.seconds(point), as_f64(point.phase_error_ns?)))).collect();
    in_time(frame, area, "phase error", vec![(points, ACCEPTED.into(), GraphType::Line)], span);
}

/// Draws a chart of times about zero, in a unit that fits the size of the first curve.
fn in_time(frame: &mut Frame<'_>, area: Rect, name: &str, mut curves: Vec<Curve>, span: Duration) {
    // Distant points of the other curves are drawn at the edge, so that they do not compress the scale.
    let first: Vec<f64> = curves.iter().take(1).flat_map(|curve| &curve.0).map(|point| point.1).collect();
    let (unit, size) = unit_of(first.iter().fold(0.0, |most, value| value.abs().max(most)));
    let scale = Scale::about_zero(first.iter().map(|value| value / size), 20.0 / size, 4.0);
    for point in curves.iter_mut().flat_map(|curve| &mut curve.0) {
        point.1 = (point.1 / size).clamp(scale.low, scale.high);
    }
    let rms = rms(first.into_iter());
    let summary = rms.map(|rms| format!("rms {:.*} {unit}", if size > 1.0 { 2 } else { 0 }, rms / size));
    let zero = vec![(-span.secs_f64(), 0.0), (0.0, 0.0)];
    curves.insert(0, (zero, QUIET, GraphType::Line));
    chart(frame, area, format!(" {name} ({unit}) "), summary, &curves, &scale, span);
}

fn rate(frame: &mut Frame<'_>, area: Rect, app: &App, recent: &[&Entry], span: Duration) {
    let known = || {
        recent
            .iter()
            .filter_map(|point| point.rate_ppm().map(|(rate, sigma)| (app.seconds(point), rate, sigma)))
    };
    let last = known().next_back();
    let scale = rate_scale(recent.iter().copied());
    // Points outside the scale are drawn at its edge.
    let curve = |of: fn((f64, f64, f64)) -> (f64, f64)| -> Vec<(f64, f64)> {
        known().map(of).map(|(at, rate)| (at, rate.clamp(scale.low, scale.high))).collect()
    };
    let curves = vec![
        (curve(|(at, rate, sigma)| (at, rate - sigma)), BAND, GraphType::Line),
        (curve(|(at, rate, sigma)| (at, rate + sigma)), BAND, GraphType::Line),
        (curve(|(at, rate, _)| (at, rate)), ACCEPTED.into(), GraphType::Line),
    ];
    let summary = last.map(|(_, rate, sigma)| format!("{} ppm +/- {}", signed(rate, 4), fixed(sigma, 4)));
    chart(frame, area, " rate (ppm) ".into(), summary, &curves, &scale, span);
}

fn chart(
    frame: &mut Frame<'_>,
    area: Rect,
    title: String,
    summary: Option<String>,
    curves: &[Curve],
    scale: &Scale,
    span: Duration,
) {
    let mut block = framed(Line::from(title).bold());
    if let Some(summary) = summary {
        block = block.title(Line::from(format!(" {summary} ")).right_aligned());
    }
    let sets = curves.iter().map(|(points, style, kind)| {
        Dataset::default().marker(Marker::Braille).graph_type(*kind).style(*style).data(points)
    });
    let quiet = |text: String| Span::styled(text, QUIET);
    let middle = (scale.low + scale.high) / 2.0;
    // Fixed width, so that the chart does not move when the numbers change.
    let number = |value| quiet(format!("{:>9}", scale.text(value)));
    let times =
        if span == SHORT { ["2 min ago", "1 min ago", "now"] } else { ["5 min ago", "2 1/2 min ago", "now"] };
    let x = Axis::default()
        .style(QUIET)
        .bounds([-span.secs_f64(), 0.0])
        .labels(times.into_iter().map(|text| quiet(text.into())));
    let y = Axis::default()
        .style(QUIET)
        .bounds([scale.low, scale.high])
        .labels([scale.low, middle, scale.high].map(number));
    frame.render_widget(Chart::new(sets.collect()).block(block).x_axis(x).y_axis(y), area);
}
