//! `pmc-lite watch --line`: the state in one line a second, for the status bar of a desktop.

use crate::args::LineFormat;
use crate::finding::Level;
use crate::output;
use crate::pages::{Pages, Readers};
use crate::status::Status;
use crate::text::headline;
use crate::verdict::{self, Verdict};
use anyhow::Result;
use dante_core::time::Duration;
use dante_os::clock::raw_now;
use dante_os::page::Instance;
use dante_os::poll::Poll;
use serde::Serialize;

#[cfg(test)]
mod tests;

const INTERVAL: Duration = Duration::from_secs(1);

/// A line of JSON, with the keys of several status bars; each ignores those of the others.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// waybar, i3status-rust: what is displayed.
    text: &'a str,
    /// i3blocks, i3bar: the same.
    full_text: &'a str,
    /// waybar: selects an icon (`format-icons`).
    alt: &'a str,
    /// waybar: class for the style sheet.
    class: Level,
    /// i3status-rust: selects the colour.
    state: &'static str,
    /// waybar: the verdict, its reason, and the findings with their remedies.
    tooltip: &'a str,
}

/// Writes a line at once, and then one a second, until a signal or until the reader closes the pipe.
///
/// # Errors
/// A line is lost for another reason.
pub fn run(format: LineFormat, instance: Option<&Instance>) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut readers = Readers::new(instance);
    let mut due = raw_now();
    loop {
        if !output::print_to_reader(&line(&readers.read(), format))? {
            return Ok(());
        }
        due = (due + INTERVAL).max(raw_now());
        if poll.wait(&[], Some(due))?.signal.is_some() {
            return Ok(());
        }
    }
}

/// Returns the line.
pub fn line(pages: &Pages, format: LineFormat) -> String {
    let status = Status::of(pages);
    let text = text(&status);
    if format == LineFormat::Text {
        return text;
    }
    let (words, level) = headline(&status, "");
    let reason = verdict::of(pages).text();
    let findings = status.findings.iter().flat_map(|finding| {
        let remedies = finding.ways().map(|way| format!("  -> {way}"));
        std::iter::once(format!("! {}", finding.what())).chain(remedies)
    });
    let tooltip = [words, reason].into_iter().chain(findings).collect::<Vec<_>>().join("\n");
    let alt = status.verdict.name();
    let state = match level {
        Level::Ok => "Good",
        Level::Warning => "Warning",
        Level::Failure => "Critical",
    };
    output::json_line(&Line { text: &text, full_text: &text, alt, class: level, state, tooltip: &tooltip })
}

/// What fits into a status bar: the verdict, and the phase error of a synchronised clock.
fn text(status: &Status) -> String {
    let steered = status.dante2sys.published.as_ref().filter(|_| status.dante2sys.life.running);
    let phase_error = steered.and_then(|steered| steered.phase_error_ns);
    match (status.verdict, phase_error) {
        (Verdict::Synchronised, Some(ns)) => format!("Dante {}", short(ns)),
        (verdict, _) => format!("Dante {}", verdict.name().replace('_', " ")),
    }
}

/// A time with three digits at most, so that the line does not change its width all the time.
fn short(ns: i64) -> String {
    let size = ns.unsigned_abs();
    match size {
        0..1_000 => format!("{ns:+} ns"),
        1_000..1_000_000 => format!("{:+.0} us", ns as f64 / 1e3),
        _ => format!("{:+.0} ms", ns as f64 / 1e6),
    }
}
