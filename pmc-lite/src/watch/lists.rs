//! Counters and findings.

use super::panel::{QUIET, colour, empty, framed};
use crate::finding::{Finding, Level};
use crate::status::Status;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Margin, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Wrap};

/// Widths of the name of a counter, and of its value for each port.
const NAME: usize = 19;
const NUMBER: usize = 11;

/// Draws the counters of dante4l by port; those at zero are dimmed.
pub fn counters(frame: &mut Frame<'_>, area: Rect, status: &Status) {
    let ports = status.dante4l.published.as_ref().map(|dante4l| dante4l.ports.as_slice()).unwrap_or_default();
    let Some(first) = ports.first() else {
        empty(frame, area, " counters ", "no counters: dante4l publishes none.");
        return;
    };
    let block = framed(Line::from(" counters of dante4l ").bold());
    let inner = block.inner(area).inner(Margin::new(1, 0));
    frame.render_widget(block, area);
    let mut heading = " ".repeat(NAME);
    for port in ports {
        heading.push_str(&format!("{:>NUMBER$}", port.interface));
    }
    let lines: Vec<Line<'_>> = first
        .counters
        .by_name()
        .enumerate()
        .map(|(place, (name, _))| {
            let values: Vec<u64> =
                ports.iter().filter_map(|port| port.counters.values().get(place).copied()).collect();
            let text =
                values.iter().fold(format!("{name:<NAME$}"), |text, value| format!("{text}{value:>NUMBER$}"));
            let style = if values.iter().all(|value| *value == 0) { QUIET } else { Style::new() };
            Line::styled(text, style)
        })
        .collect();
    let width = u16::try_from(NAME + NUMBER * ports.len()).unwrap_or(u16::MAX);
    let rows = usize::from(inner.height.saturating_sub(1)).max(1);
    let blocks = lines.len().div_ceil(rows).max(1);
    let areas = Layout::horizontal(vec![Constraint::Length(width); blocks]).spacing(4).split(inner);
    for (part, area) in lines.chunks(rows).zip(areas.iter()) {
        let mut text = vec![Line::from(heading.clone()).bold()];
        text.extend(part.iter().cloned());
        frame.render_widget(Paragraph::new(text), *area);
    }
}

/// Draws all findings with their remedies.
pub fn findings(frame: &mut Frame<'_>, area: Rect, findings: &[Finding]) {
    if findings.is_empty() {
        empty(frame, area, " findings ", "no problems found.");
        return;
    }
    let block = framed(Line::from(" findings ").bold());
    let inner = block.inner(area).inner(Margin::new(1, 0));
    frame.render_widget(block, area);
    let mut top = inner;
    for finding in findings {
        let mut lines = wrapped(finding.what(), inner.width, "! ", finding.level);
        lines.extend(finding.ways().flat_map(|way| wrapped(way, inner.width, "  -> ", Level::Ok)));
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        if height > top.height {
            let more =
                Line::styled("more findings: enlarge the terminal, or run `pmc-lite get status`", QUIET);
            frame.render_widget(Paragraph::new(more).wrap(Wrap { trim: true }), top);
            return;
        }
        frame.render_widget(Paragraph::new(lines), Rect { height, ..top });
        top = Rect { y: top.y + height, height: top.height - height, ..top };
    }
}

/// Returns the worst finding in at most two lines, for the space above the charts of a small terminal.
pub fn strip(findings: &[Finding], width: u16) -> Vec<Line<'static>> {
    let worst = findings.iter().rev().max_by_key(|finding| finding.level);
    let Some(finding) = worst else { return Vec::new() };
    let mut lines = wrapped(finding.what(), width.saturating_sub(2), " ! ", finding.level);
    if lines.len() > 2 {
        lines.truncate(1);
        lines.push(Line::styled("   ... press 4 for the rest", QUIET));
    }
    lines
}

/// Wraps between words; the lines are aligned with the text of the first one.
fn wrapped(text: &str, width: u16, mark: &'static str, level: Level) -> Vec<Line<'static>> {
    let room = usize::from(width).saturating_sub(mark.len()).max(8);
    let mut rows: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(row) = rows.last_mut() else { break };
        if row.is_empty() {
            row.push_str(word);
        } else if row.chars().count() + 1 + word.chars().count() <= room {
            row.push(' ');
            row.push_str(word);
        } else {
            rows.push(word.to_owned());
        }
    }
    let style = if level == Level::Ok { QUIET } else { Style::new().fg(colour(level)).bold() };
    rows.into_iter()
        .enumerate()
        .map(|(place, row)| {
            let lead = if place == 0 { mark.to_owned() } else { " ".repeat(mark.len()) };
            Line::from(vec![Span::styled(lead, style), Span::raw(row)])
        })
        .collect()
}
