//! Rate limits of log lines about conditions that last, or that others cause. Repetitions of a line within a minute are not logged;
//! lines beyond a limit are counted, and their number is logged when the minute ends.

use dante_core::time::{Duration, Raw, Timestamp};
use std::fmt;

/// Minimum interval between two equal lines, and the interval of the limits.
const INTERVAL: Duration = Duration::from_secs(60);
/// Maximum length of a key, bytes: others choose names in it.
const MAX_KEY: usize = 256;
/// Maximum length of a text for the status line, bytes.
const MAX_STATUS: usize = 1024;

/// Lines beyond a limit.
#[derive(Debug, Default)]
struct Suppressed {
    /// What the lines are about; `None`: unspecified.
    subject: Option<String>,
    count: u64,
    /// Time of the first one.
    since: Option<Timestamp<Raw>>,
}

impl Suppressed {
    fn of(subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..Self::default() }
    }

    fn subject(&self) -> &str {
        self.subject.as_deref().unwrap_or("this log")
    }

    fn add(&mut self, now: Timestamp<Raw>) {
        self.since.get_or_insert(now);
        self.count += 1;
    }

    /// Logs the number of lines, once the minute has ended.
    fn tick(&mut self, now: Timestamp<Raw>) {
        if self.since.is_some_and(|since| now - since >= INTERVAL) {
            let subject = self.subject();
            log::warn!("{subject}: {} more lines within a minute were suppressed", self.count);
            (self.count, self.since) = (0, None);
        }
    }
}

/// Rate limit of messages: the same message at most once a minute, and so many different ones of each kind.
#[derive(Debug)]
pub struct Throttle<K> {
    recent: Vec<(usize, K, Timestamp<Raw>)>,
    most: usize,
    suppressed: Suppressed,
}

impl<K> Default for Throttle<K> {
    fn default() -> Self {
        Self { recent: Vec::new(), most: Self::MAX_MESSAGES, suppressed: Suppressed::default() }
    }
}

impl<K> Throttle<K> {
    /// Default maximum of different messages of a kind in a minute: bounds what a peer can cause.
    const MAX_MESSAGES: usize = 16;

    /// Returns a limit of `most` different messages of each kind in a minute; `subject` begins the line about suppressed ones.
    pub fn new(subject: impl Into<String>, most: usize) -> Self {
        Self { recent: Vec::new(), most, suppressed: Suppressed::of(subject) }
    }

    /// Logs the number of suppressed messages when their minute has ended. Call it at least once a second.
    pub fn tick(&mut self, now: Timestamp<Raw>) {
        self.suppressed.tick(now);
    }
}

impl<K: PartialEq> Throttle<K> {
    /// Whether `message` may be logged now. Each kind has its own limit, so that the messages that one source causes do not suppress
    /// those of others; the caller bounds the number of kinds.
    pub fn allows(&mut self, kind: usize, message: K, now: Timestamp<Raw>) -> bool {
        self.tick(now);
        self.recent.retain(|(_, _, at)| now - *at < INTERVAL);
        let mut same_kind = self.recent.iter().filter(|(recent, _, _)| *recent == kind);
        if same_kind.clone().any(|(_, recent, _)| *recent == message) {
            return false;
        }
        if same_kind.nth(self.most.saturating_sub(1)).is_some() {
            self.suppressed.add(now);
            return false;
        }
        self.recent.push((kind, message, now));
        true
    }
}

/// Warnings about conditions that may last: the same text is logged at most once a minute. The last one is kept for the status
/// line until it is cleared.
#[derive(Debug, Default)]
pub struct Complaints {
    throttle: Throttle<String>,
    last: Option<String>,
}

impl Complaints {
    /// `subject` begins the line about suppressed warnings.
    pub fn about(subject: impl Into<String>) -> Self {
        Self { throttle: Throttle::new(subject, Throttle::<String>::MAX_MESSAGES), last: None }
    }

    /// Logs the warning, unless it was logged within the last minute.
    pub fn warn(&mut self, now: Timestamp<Raw>, what: impl fmt::Display) {
        let text = what.to_string();
        self.warn_as(now, &text, format_args!("{text}"));
    }

    /// Logs `line`, whose values may change each time, unless a line with this cause was logged within the last minute.
    pub fn warn_as(&mut self, now: Timestamp<Raw>, cause: &str, line: fmt::Arguments<'_>) {
        self.warn_from(now, 0, cause, line);
    }

    /// As [`Self::warn_as`], with a limit of its own for each source: numbers that the caller bounds.
    pub fn warn_from(&mut self, now: Timestamp<Raw>, source: usize, cause: &str, line: fmt::Arguments<'_>) {
        if self.throttle.allows(source, start_of(cause, MAX_KEY).to_owned(), now) {
            log::warn!("{line}");
        }
        self.last = Some(start_of(cause, MAX_STATUS).to_owned());
    }

    /// Logs the number of suppressed warnings when their minute has ended. Call it at least once a second.
    pub fn tick(&mut self, now: Timestamp<Raw>) {
        self.throttle.tick(now);
    }

    /// The last warning, logged or not.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Clears the last warning: its cause is gone.
    pub fn clear(&mut self) {
        self.last = None;
    }
}

/// The first `most` bytes of a text, or fewer: whole characters.
fn start_of(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

/// Rate limit of log lines about changes that a peer can cause: 20 lines a minute.
#[derive(Debug, Default)]
pub struct Budget {
    since: Option<Timestamp<Raw>>,
    spent: u32,
    suppressed: Suppressed,
}

impl Budget {
    /// Maximum of lines in [`INTERVAL`]: a start, a leader change and a loss of the link in one minute cause some ten.
    const LINES: u32 = 20;

    /// `subject` begins the line about suppressed lines.
    pub fn about(subject: impl Into<String>) -> Self {
        Self { suppressed: Suppressed::of(subject), ..Self::default() }
    }

    /// Logs the line at level info if the budget allows. The last line is followed by a warning that further lines are
    /// suppressed.
    pub fn info(&mut self, now: Timestamp<Raw>, line: fmt::Arguments<'_>) {
        self.log(now, log::Level::Info, line);
    }

    /// The same at level warning.
    pub fn warn(&mut self, now: Timestamp<Raw>, line: fmt::Arguments<'_>) {
        self.log(now, log::Level::Warn, line);
    }

    fn log(&mut self, now: Timestamp<Raw>, level: log::Level, line: fmt::Arguments<'_>) {
        self.tick(now);
        if self.since.is_none_or(|since| now - since >= INTERVAL) {
            (self.since, self.spent) = (Some(now), 0);
        }
        if self.spent >= Self::LINES {
            self.suppressed.add(now);
            return;
        }
        self.spent += 1;
        log::log!(level, "{line}");
        if self.spent == Self::LINES {
            let subject = self.suppressed.subject();
            log::warn!(
                "{subject}: too many changes, further ones are not logged for the rest of this minute"
            );
        }
    }

    /// Logs the number of suppressed lines when their minute has ended. Call it at least once a second.
    pub fn tick(&mut self, now: Timestamp<Raw>) {
        self.suppressed.tick(now);
    }
}

#[cfg(test)]
mod tests;
