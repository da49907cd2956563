//! Histogram of the rate, as Dante Controller's clock monitoring shows it for each device.

use super::app::App;
use super::panel::{QUIET, empty, framed};
use crate::history::rate_histogram;
use crate::scale::{Histogram, decimals, signed};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Bar, BarChart, BarGroup};

/// Width of a column: two coloured cells and one blank.
const COLUMN: u16 = 3;
/// Width of the numbers to the left of the columns.
const NUMBERS: u16 = 8;

pub fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let block = framed(Line::from(" samples by ppm ").bold());
    let inner = block.inner(area);
    let [main, axis, names] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(1), Constraint::Length(1)]).areas(inner);
    let [numbers, columns] =
        Layout::horizontal([Constraint::Length(NUMBERS), Constraint::Min(0)]).areas(main);
    let bins = usize::from(columns.width / COLUMN).max(1);
    let Some(histogram) = rate_histogram(app.points.iter(), bins) else {
        let words = "no rates: they are counted while dante4l follows a leader (SLAVE).";
        empty(frame, area, " samples by ppm ", words);
        return;
    };
    let summary = format!(
        " {} ppm +/- {:.4}, {} samples ",
        signed(histogram.mean, 4),
        histogram.deviation,
        histogram.samples
    );
    frame.render_widget(block.title(Line::from(summary).right_aligned()), area);
    let most = histogram.counts.iter().copied().max().unwrap_or(0);
    frame.render_widget(bars(&histogram, most), columns);
    counts(frame, numbers, most);
    below(frame, axis, names, &histogram);
}

fn bars(histogram: &Histogram, most: u64) -> BarChart<'static> {
    let bars: Vec<Bar<'_>> =
        histogram.counts.iter().map(|count| Bar::default().value(*count).text_value(String::new())).collect();
    BarChart::default()
        .data(BarGroup::default().bars(&bars))
        .max(most.max(1))
        .bar_width(COLUMN - 1)
        .bar_gap(1)
        .bar_style(Style::new().fg(Color::Cyan))
}

/// Draws the largest count at the top, and half of it in the middle.
fn counts(frame: &mut Frame<'_>, area: Rect, most: u64) {
    let mut write = |row: u16, count: u64| {
        let place = Rect { y: area.y + row, height: 1, width: NUMBERS - 1, ..area };
        frame.render_widget(Line::styled(count.to_string(), QUIET).right_aligned(), place);
    };
    if area.height > 0 {
        write(0, most);
    }
    if area.height > 4 && most > 1 && most.is_multiple_of(2) {
        write(area.height / 2, most / 2);
    }
}

/// Draws the axis, with the rates in ppm at the left edges of bins.
fn below(frame: &mut Frame<'_>, axis: Rect, names: Rect, histogram: &Histogram) {
    let width = usize::from(axis.width.saturating_sub(NUMBERS));
    let mut line: Vec<char> = "─".repeat(width).chars().collect();
    // Round numbers, as many as fit.
    let every = if histogram.counts.len() > 60 { 10 } else { 5 };
    let digits = decimals(histogram.width * f64::from(every));
    for tick in histogram.ticks(every) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place on the screen")]
        let column = ((tick - histogram.low) / histogram.width).round() as usize * usize::from(COLUMN);
        let text = signed(tick, digits);
        if column + text.len() > width {
            break;
        }
        if let Some(cell) = line.get_mut(column) {
            *cell = '┬';
        }
        let Ok(column) = u16::try_from(column) else { break };
        let at = Rect { x: names.x + NUMBERS + column, width: names.width - NUMBERS - column, ..names };
        frame.render_widget(Line::styled(text, QUIET), at);
    }
    let text: String = line.into_iter().collect();
    let columns = Rect { x: axis.x + NUMBERS, width: axis.width - NUMBERS, ..axis };
    frame.render_widget(Line::styled(text, QUIET), columns);
    let numbers = Rect { width: NUMBERS - 1, ..names };
    frame.render_widget(Line::styled("ppm", QUIET).right_aligned(), numbers);
}
