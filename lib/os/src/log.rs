//! Messages: to syslog, to stdout with `-m`, in the shape of linuxptp: `PROGRAM[5439.103]: text`.

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

/// Sends all messages of this process where the flags say. A missing syslog is said once, on stderr, and is no error.
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
        // Without a standard error there is nowhere to write that.
        _ = writeln!(
            std::io::stderr(),
            "{program}: no syslog runs here ({cause}); -m writes messages to stdout"
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

/// The same thing is said at most once a minute.
#[derive(Debug)]
pub struct Throttle<K> {
    said: Vec<(K, Timestamp<Raw>)>,
}

impl<K> Default for Throttle<K> {
    fn default() -> Self {
        Self { said: Vec::new() }
    }
}

impl<K: PartialEq> Throttle<K> {
    const SILENCE: Duration = Duration::from_secs(60);
    /// What a peer can make us say is bounded: beyond this many different things, nothing new is said.
    const MOST: usize = 16;

    /// Whether `what` may be said now.
    pub fn allows(&mut self, what: K, now: Timestamp<Raw>) -> bool {
        self.said.retain(|(_, at)| now - *at < Self::SILENCE);
        if self.said.iter().any(|(said, _)| *said == what) || self.said.len() >= Self::MOST {
            return false;
        }
        self.said.push((what, now));
        true
    }
}

/// Warnings about what may go on for long: the same text at most once a minute. The last one is kept for the status line
/// until it is cleared.
#[derive(Debug, Default)]
pub struct Complaints {
    throttle: Throttle<String>,
    last: Option<String>,
}

impl Complaints {
    /// Writes the warning, unless it was written within the last minute.
    pub fn warn(&mut self, now: Timestamp<Raw>, what: impl fmt::Display) {
        let text = what.to_string();
        self.warn_as(now, &text, format_args!("{text}"));
    }

    /// Writes `line`, which may change from one time to the next, unless this cause was written within the last minute.
    pub fn warn_as(&mut self, now: Timestamp<Raw>, cause: &str, line: fmt::Arguments<'_>) {
        if self.throttle.allows(cause.to_owned(), now) {
            log::warn!("{line}");
        }
        self.last = Some(cause.to_owned());
    }

    /// The last warning, written or not.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// The cause of the last warning is gone.
    pub fn clear(&mut self) {
        self.last = None;
    }
}

/// So many lines a minute about changes that a peer can cause, and no more.
#[derive(Debug, Default)]
pub struct Budget {
    since: Option<Timestamp<Raw>>,
    spent: u32,
}

impl Budget {
    const WINDOW: Duration = Duration::from_secs(60);
    /// A start, a leader change and a loss of the link in one minute need some ten.
    const LINES: u32 = 20;

    /// Writes the line at the level of information, if the budget allows; the last one says that it was the last.
    pub fn info(&mut self, now: Timestamp<Raw>, line: fmt::Arguments<'_>) {
        if self.since.is_none_or(|since| now - since >= Self::WINDOW) {
            *self = Self { since: Some(now), spent: 0 };
        }
        self.spent = self.spent.saturating_add(1);
        if self.spent <= Self::LINES {
            log::info!("{line}");
        }
        if self.spent == Self::LINES {
            log::warn!("too many changes: for the rest of this minute they are not written any more");
        }
    }
}

/// One summary line every so often: the root mean square, the largest, and the last of what was measured meanwhile.
#[derive(Debug)]
pub struct Summary {
    every: Duration,
    since: Option<Timestamp<Raw>>,
    count: u32,
    squares: f64,
    largest: Duration,
}

/// What a summary line tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SummaryLine {
    /// How many measurements.
    pub count: u32,
    /// Their root mean square.
    pub rms: Duration,
    /// The one furthest from zero, without its sign.
    pub largest: Duration,
}

impl Summary {
    /// A line every `every`; zero: one for each measurement.
    pub const fn new(every: Duration) -> Self {
        Self { every, since: None, count: 0, squares: 0.0, largest: Duration::ZERO }
    }

    /// Takes a measurement in; a line when it is time for one.
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

    fn at(s: i64) -> Timestamp<Raw> {
        Timestamp::ZERO + Duration::from_secs(s)
    }

    #[test]
    fn the_same_is_said_once_a_minute() {
        let mut throttle = Throttle::default();
        assert!(throttle.allows("a", at(0)));
        assert!(!throttle.allows("a", at(59)));
        assert!(throttle.allows("b", at(59)));
        assert!(throttle.allows("a", at(60)));
    }

    #[test]
    fn what_a_peer_can_make_us_say_is_bounded() {
        let mut throttle = Throttle::default();
        let said = (0..1000).filter(|n| throttle.allows(*n, at(1))).count();
        assert_eq!(said, 16);
    }

    #[test]
    fn what_changes_in_a_line_is_no_cause_to_write_it_again() {
        let mut complaints = Complaints::default();
        complaints.warn_as(at(0), "an uptime", format_args!("an uptime of 1.0 h"));
        complaints.warn_as(at(1), "an uptime", format_args!("an uptime of 1.1 h"));
        assert_eq!(complaints.last(), Some("an uptime"));
        assert!(
            !complaints.throttle.allows("an uptime".to_owned(), at(59)),
            "written a minute ago at the most"
        );
    }

    #[test]
    fn a_budget_is_renewed_every_minute() {
        let mut budget = Budget::default();
        (0..19).for_each(|n| budget.info(at(n), format_args!("line")));
        assert!(budget.spent < Budget::LINES);
        (0..1000).for_each(|_| budget.info(at(30), format_args!("line")));
        assert!(budget.spent >= Budget::LINES);
        budget.info(at(60), format_args!("line"));
        assert!(budget.spent < Budget::LINES);
    }

    #[test]
    fn a_summary_is_due_after_its_interval_and_starts_anew() {
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
