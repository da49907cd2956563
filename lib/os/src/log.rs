//! Log messages: to syslog, and to stdout with `-m`, in the format of linuxptp: `PROGRAM[5439.103]: text`.

use crate::clock::raw_now;
use crate::daemon::CommonArgs;
use dante_core::time::{Duration, Raw, Timestamp};
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::fmt;
use std::io::Write;
use std::sync::Mutex;
use syslog::{Facility, Formatter3164, Logger, LoggerBackend};

struct Messages {
    program: &'static str,
    stdout: bool,
    syslog: Option<Mutex<Logger<LoggerBackend, Formatter3164>>>,
}

/// Installs the logger of this process according to the flags. A missing syslog is reported once on stderr, and is no error.
pub fn start(program: &'static str, flags: &CommonArgs) {
    let formatter = Formatter3164 {
        facility: Facility::LOG_DAEMON,
        hostname: None,
        process: program.to_owned(),
        pid: std::process::id(),
    };
    let no_syslog = |error| {
        let cause = match error {
            syslog::Error::Initialization(cause) => cause.to_string(),
            other => other.to_string(),
        };
        // If stderr is closed too, the report is lost.
        _ = writeln!(
            std::io::stderr(),
            "{program}: cannot open syslog ({cause}); -m writes messages to stdout"
        );
    };
    let syslog = (!flags.no_syslog).then(|| syslog::unix(formatter).map_err(no_syslog).ok()).flatten();
    let messages = Messages { program, stdout: flags.messages, syslog: syslog.map(Mutex::new) };
    if log::set_boxed_logger(Box::new(messages)).is_ok() {
        log::set_max_level(match flags.log_level {
            0..=3 => LevelFilter::Error,
            4..=5 => LevelFilter::Warn,
            6 => LevelFilter::Info,
            _ => LevelFilter::Debug,
        });
    }
}

impl Log for Messages {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let at = raw_now().ns() / 1_000_000;
        let (s, ms) = (at / 1000, at % 1000);
        if self.stdout {
            // A closed pipe must not end a daemon.
            _ = writeln!(std::io::stdout().lock(), "{}[{s}.{ms:03}]: {}", self.program, record.args());
        }
        if let Some(mut syslog) = self.syslog.as_ref().and_then(|syslog| syslog.lock().ok()) {
            let text = format_args!("[{s}.{ms:03}] {}", record.args());
            _ = match record.level() {
                Level::Error => syslog.err(text),
                Level::Warn => syslog.warning(text),
                Level::Info => syslog.info(text),
                Level::Debug | Level::Trace => syslog.debug(text),
            };
        }
    }

    fn flush(&self) {}
}

/// Rate limit of messages: the same message at most once a minute.
#[derive(Debug)]
pub struct Throttle<K> {
    recent: Vec<(K, Timestamp<Raw>)>,
}

impl<K> Default for Throttle<K> {
    fn default() -> Self {
        Self { recent: Vec::new() }
    }
}

impl<K: PartialEq> Throttle<K> {
    /// Minimum interval between two equal messages.
    const INTERVAL: Duration = Duration::from_secs(60);
    /// Maximum of different messages in [`Self::INTERVAL`]: bounds what a peer can cause.
    const MAX_MESSAGES: usize = 16;

    /// Whether `message` may be logged now.
    pub fn allows(&mut self, message: K, now: Timestamp<Raw>) -> bool {
        self.recent.retain(|(_, at)| now - *at < Self::INTERVAL);
        if self.recent.iter().any(|(recent, _)| *recent == message) || self.recent.len() >= Self::MAX_MESSAGES
        {
            return false;
        }
        self.recent.push((message, now));
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
    /// Logs the warning, unless it was logged within the last minute.
    pub fn warn(&mut self, now: Timestamp<Raw>, what: impl fmt::Display) {
        let text = what.to_string();
        self.warn_as(now, &text, format_args!("{text}"));
    }

    /// Logs `line`, whose values may change each time, unless a line with this cause was logged within the last minute.
    pub fn warn_as(&mut self, now: Timestamp<Raw>, cause: &str, line: fmt::Arguments<'_>) {
        if self.throttle.allows(cause.to_owned(), now) {
            log::warn!("{line}");
        }
        self.last = Some(cause.to_owned());
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

/// Rate limit of log lines about changes that a peer can cause: 20 lines a minute.
#[derive(Debug, Default)]
pub struct Budget {
    since: Option<Timestamp<Raw>>,
    spent: u32,
}

impl Budget {
    const WINDOW: Duration = Duration::from_secs(60);
    /// Maximum of lines in [`Self::WINDOW`]: a start, a leader change and a loss of the link in one minute cause some ten.
    const LINES: u32 = 20;

    /// Logs the line at level info if the budget allows. The last line is followed by a warning that further lines are
    /// suppressed.
    pub fn info(&mut self, now: Timestamp<Raw>, line: fmt::Arguments<'_>) {
        if self.since.is_none_or(|since| now - since >= Self::WINDOW) {
            *self = Self { since: Some(now), spent: 0 };
        }
        self.spent = self.spent.saturating_add(1);
        if self.spent <= Self::LINES {
            log::info!("{line}");
        }
        if self.spent == Self::LINES {
            log::warn!("too many changes: further ones are not logged for the rest of this minute");
        }
    }
}

/// Accumulates measurements for a periodic summary line.
#[derive(Debug)]
pub struct Summary {
    every: Duration,
    since: Option<Timestamp<Raw>>,
    count: u32,
    squares: f64,
    largest: Duration,
}

/// Content of a summary line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SummaryLine {
    /// Number of measurements.
    pub count: u32,
    /// Root mean square of the measurements.
    pub rms: Duration,
    /// Largest absolute value.
    pub largest: Duration,
}

impl Summary {
    /// One line per `every`; zero: one line for each measurement.
    pub const fn new(every: Duration) -> Self {
        Self { every, since: None, count: 0, squares: 0.0, largest: Duration::ZERO }
    }

    /// Adds a measurement. Returns a line if one is due, and starts the next interval.
    pub fn add(&mut self, now: Timestamp<Raw>, value: Duration) -> Option<SummaryLine> {
        let since = *self.since.get_or_insert(now);
        self.count += 1;
        self.squares += value.secs_f64() * value.secs_f64();
        self.largest = self.largest.max(value.abs());
        if now - since < self.every {
            return None;
        }
        let rms = Duration::from_secs_f64((self.squares / f64::from(self.count)).sqrt());
        let line = SummaryLine { count: self.count, rms, largest: self.largest };
        *self = Self { since: Some(now), ..Self::new(self.every) };
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::logged;

    fn at(s: i64) -> Timestamp<Raw> {
        Timestamp::ZERO + Duration::from_secs(s)
    }

    #[test]
    fn logs_the_same_message_once_a_minute() {
        let mut throttle = Throttle::default();
        assert!(throttle.allows("a", at(0)));
        assert!(!throttle.allows("a", at(59)));
        assert!(throttle.allows("b", at(59)));
        assert!(throttle.allows("a", at(60)));
    }

    #[test]
    fn number_of_different_messages_is_bounded() {
        let mut throttle = Throttle::default();
        let allowed = (0..1000).filter(|n| throttle.allows(*n, at(1))).count();
        assert_eq!(allowed, 16);
    }

    #[test]
    fn changed_values_do_not_repeat_a_warning() {
        let mut complaints = Complaints::default();
        let lines = logged(|| {
            for s in [0, 1, 59, 60] {
                complaints.warn_as(at(s), "an uptime", format_args!("an uptime of {s} s"));
            }
        });
        assert_eq!(lines, ["WARN an uptime of 0 s", "WARN an uptime of 60 s"]);
        assert_eq!(complaints.last(), Some("an uptime"));
    }

    #[test]
    fn logs_20_changes_a_minute() {
        let mut budget = Budget::default();
        let mut lines =
            |from, to| logged(|| (from..to).for_each(|n| budget.info(at(n), format_args!("{n} s"))));
        let mut expected: Vec<String> = (100..120).map(|n| format!("INFO {n} s")).collect();
        expected
            .push("WARN too many changes: further ones are not logged for the rest of this minute".into());
        assert_eq!(lines(100, 160), expected);
        assert_eq!(lines(160, 162), ["INFO 160 s", "INFO 161 s"]);
    }

    #[test]
    fn summary_is_due_after_its_interval_and_restarts() {
        let mut summary = Summary::new(Duration::from_secs(2));
        assert_eq!(summary.add(at(0), Duration::from_ns(-300)), None);
        assert_eq!(summary.add(at(1), Duration::from_ns(400)), None);
        let line = summary.add(at(2), Duration::from_ns(0)).unwrap();
        assert_eq!((line.count, line.rms.ns(), line.largest.ns()), (3, 289, 400));
        let mut each = Summary::new(Duration::ZERO);
        assert_eq!(each.add(at(0), Duration::from_ns(-7)).unwrap().largest.ns(), 7);
        assert_eq!(each.add(at(0), Duration::from_ns(5)).unwrap().rms.ns(), 5);
    }
}
