//! Boxes and colours of all views.

use crate::finding::Level;
use ratatui::Frame;
use ratatui::layout::{Constraint, Margin, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, BorderType, Paragraph, Wrap};

/// Style of frames, labels and less important text.
pub const QUIET: Style = Style::new().fg(Color::DarkGray);

/// Returns a box with a title.
pub fn framed(title: impl Into<Line<'static>>) -> Block<'static> {
    let title = title.into().fg(Color::Reset);
    Block::bordered().border_type(BorderType::Rounded).border_style(QUIET).title(title)
}

/// Draws a box without data: a sentence in its middle.
pub fn empty(frame: &mut Frame<'_>, area: Rect, title: &'static str, words: &str) {
    let block = framed(title);
    let inner = block.inner(area).inner(Margin::new(2, 0));
    frame.render_widget(block, area);
    let middle = inner.centered_vertically(Constraint::Length(2));
    frame.render_widget(Paragraph::new(words).style(QUIET).centered().wrap(Wrap { trim: true }), middle);
}

/// Returns the colour of a level.
pub const fn colour(level: Level) -> Color {
    match level {
        Level::Ok => Color::Green,
        Level::Warning => Color::Yellow,
        Level::Failure => Color::Red,
    }
}
