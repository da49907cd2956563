//! The screen as a pure function of [`App`]. The other modules draw its parts.

use super::app::{App, View};
use super::panel::{QUIET, framed};
use super::{charts, header, histogram, lists};
use crate::status::Status;
use crate::text::headline;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Stylize;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph, Wrap};

/// Least usable size, columns and lines.
const MIN_SIZE: (u16, u16) = (60, 16);
/// Size from which histogram and findings are shown beside the charts.
const LARGE: (u16, u16) = (120, 36);

pub fn draw(frame: &mut Frame<'_>, app: &App) {
    let area = frame.area();
    let Some(status) = &app.status else { return };
    if area.width < MIN_SIZE.0 || area.height < MIN_SIZE.1 {
        let text = format!("{}\n\nwatch needs a larger terminal: 80x24 is enough", headline(status, "").0);
        frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
        return;
    }
    let [top, body, keys] =
        Layout::vertical([Constraint::Length(header::HEIGHT), Constraint::Min(0), Constraint::Length(1)])
            .areas(area);
    header::draw(frame, top, app, status);
    match app.view {
        View::Charts => overview(frame, body, app, status),
        View::Histogram => histogram::draw(frame, body, app),
        View::Counters => lists::counters(frame, body, status),
        View::Findings => lists::findings(frame, body, &status.findings),
    }
    footer(frame, keys, app, status);
    if app.help {
        help(frame, body);
    }
}

/// Draws the charts, with histogram and findings beside them if there is space.
fn overview(frame: &mut Frame<'_>, area: Rect, app: &App, status: &Status) {
    if area.width >= LARGE.0 && area.height + header::HEIGHT >= LARGE.1 {
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(62), Constraint::Percentage(38)]).areas(area);
        let [upper, lower] = Layout::vertical([Constraint::Percentage(50); 2]).areas(right);
        charts::draw(frame, left, app);
        histogram::draw(frame, upper, app);
        lists::findings(frame, lower, &status.findings);
        return;
    }
    let strip = lists::strip(&status.findings, area.width);
    let rows = u16::try_from(strip.len()).unwrap_or(0);
    let [top, below] = Layout::vertical([Constraint::Length(rows), Constraint::Min(0)]).areas(area);
    frame.render_widget(Paragraph::new(strip), top);
    charts::draw(frame, below, app);
}

fn footer(frame: &mut Frame<'_>, area: Rect, app: &App, status: &Status) {
    let mut spans = vec![Span::raw(" ")];
    for (view, number) in View::ALL.into_iter().zip(1..) {
        let count = match view {
            View::Findings if !status.findings.is_empty() => format!(" ({})", status.findings.len()),
            _ => String::new(),
        };
        let text = format!(" {number} {}{count} ", view.name());
        spans.push(if view == app.view { text.reversed() } else { Span::raw(text) });
    }
    let keys = "Tab next  ? help  q quit ";
    let width = u16::try_from(keys.len()).unwrap_or(u16::MAX);
    let [left, right] = Layout::horizontal([Constraint::Min(0), Constraint::Length(width)]).areas(area);
    frame.render_widget(Line::from(spans), left);
    frame.render_widget(Line::styled(keys, QUIET), right);
}

const HELP: [(&str, &str); 8] = [
    ("1 2 3 4", "charts, histogram, counters, findings"),
    ("Tab, right", "next view; Shift-Tab, left: previous view"),
    ("c", "clear charts and histogram"),
    ("?, h", "this help"),
    ("q, Esc", "quit; so does Ctrl-C"),
    ("", ""),
    ("residual", "arrival of a Sync minus the clock map; red: rejected"),
    ("rate", "leader against CLOCK_MONOTONIC_RAW; +: the leader is fast"),
];

fn help(frame: &mut Frame<'_>, body: Rect) {
    let lines: Vec<Line<'_>> = HELP
        .iter()
        .map(|(key, does)| Line::from(vec![Span::from(format!(" {key:<11}")).bold(), Span::raw(*does)]))
        .collect();
    let height = u16::try_from(lines.len()).unwrap_or(0) + 2;
    let area = body.centered(Constraint::Length(68), Constraint::Length(height));
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(framed(" help ")), area);
}
