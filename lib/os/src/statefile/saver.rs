//! Writes files from a thread, so that a slow disk does not block the main loop: a sync takes many seconds on a worn card, while
//! a daemon's heartbeat is valid for 2 s and its service manager waits for 10 s.

use super::StateError;
use crate::thread::{SMALL_STACK, spawn};
use dante_core::time::{Duration, Raw, Timestamp};
use std::thread::JoinHandle;
use std::time::Instant;

/// Time to the next attempt after a failed write.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);
/// Longest wait for the last write at exit. It must be shorter than TimeoutStopSec= of the units.
const EXIT_WAIT: std::time::Duration = std::time::Duration::from_secs(4);

/// What the user should know about the writes. Each is reported once, however often a write fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A write failed, and is retried every minute.
    Failed(&'a str),
    /// A write succeeded after others had failed.
    SavedAgain,
    /// The program ends before a write has ended.
    Unfinished,
}

/// The schedule of the writes of one file, or of several that are written together, and the thread of the write in progress. There
/// is at most one write at a time; the caller passes its latest values to each.
#[derive(Debug)]
pub struct Saver {
    /// Name of the thread.
    name: &'static str,
    report: fn(Event<'_>),
    /// When the next write is due; `None`: there is nothing to write.
    due: Option<Timestamp<Raw>>,
    writing: Option<JoinHandle<Result<(), StateError>>>,
    trouble: Option<String>,
}

impl Saver {
    /// `name`: of the thread; `report` logs an event.
    pub fn new(name: &'static str, report: fn(Event<'_>)) -> Self {
        Self { name, report, due: None, writing: None, trouble: None }
    }

    /// Makes a write due at `at`, unless one is due already.
    pub fn schedule(&mut self, at: Timestamp<Raw>) {
        self.due.get_or_insert(at);
    }

    /// Whether a write is due, now or later.
    pub fn is_scheduled(&self) -> bool {
        self.due.is_some()
    }

    /// Handles the end of a write, and returns whether the next one is to be started now. Never waits.
    pub fn is_due(&mut self, now: Timestamp<Raw>) -> bool {
        if self.collect() && self.trouble.is_some() {
            self.due = Some(now + RETRY_INTERVAL);
        }
        self.writing.is_none() && self.due.is_some_and(|due| now >= due)
    }

    /// Starts a write in a thread. Does nothing while one is in progress.
    pub fn start(
        &mut self,
        now: Timestamp<Raw>,
        write: impl FnOnce() -> Result<(), StateError> + Send + 'static,
    ) {
        if self.writing.is_some() {
            return;
        }
        self.due = None;
        match spawn(self.name, SMALL_STACK, write) {
            Ok(writing) => self.writing = Some(writing),
            Err(cause) => {
                self.ended(Err(format!("cannot start a thread to write a file: {cause}")));
                self.due = Some(now + RETRY_INTERVAL);
            }
        }
    }

    /// At exit: waits for the write in progress, then for the last one, together for up to 4 s.
    pub fn finish(
        &mut self,
        now: Timestamp<Raw>,
        last: Option<impl FnOnce() -> Result<(), StateError> + Send + 'static>,
    ) {
        let limit = Instant::now() + EXIT_WAIT;
        self.wait(limit);
        if let Some(last) = last {
            self.start(now, last);
            self.wait(limit);
        }
        if self.writing.is_some() {
            (self.report)(Event::Unfinished);
        }
    }

    /// Why the last write failed.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn wait(&mut self, limit: Instant) {
        while self.writing.is_some() && !self.collect() && Instant::now() < limit {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Handles the result of a write that has ended. Returns whether one has.
    fn collect(&mut self) -> bool {
        let Some(writing) = self.writing.take_if(|writing| writing.is_finished()) else { return false };
        self.ended(match writing.join() {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the thread that writes a file panicked".into()),
        });
        true
    }

    fn ended(&mut self, result: Result<(), String>) {
        match (&result, &self.trouble) {
            (Err(error), None) => (self.report)(Event::Failed(error)),
            (Ok(()), Some(_)) => (self.report)(Event::SavedAgain),
            _ => {}
        }
        self.trouble = result.err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::logged;
    use std::path::PathBuf;
    use std::sync::mpsc::channel;

    fn saver() -> Saver {
        Saver::new("test", |event| log::info!("{event:?}"))
    }

    fn at(seconds: i64) -> Timestamp<Raw> {
        Timestamp::from_ns(0) + Duration::from_secs(seconds)
    }

    fn error() -> StateError {
        StateError::TooLong { path: PathBuf::from("state") }
    }

    /// Waits for the end of a write as the main loop does, at this time.
    fn pass(saver: &mut Saver, now: i64) {
        while saver.writing.is_some() {
            saver.is_due(at(now));
            std::thread::yield_now();
        }
    }

    #[test]
    fn failed_write_is_reported_once_and_retried_every_minute() {
        let mut saver = saver();
        assert!(!saver.is_due(at(0)), "nothing to write");
        saver.schedule(at(5));
        saver.schedule(at(99));
        assert!(!saver.is_due(at(4)) && saver.is_due(at(5)));
        let lines = logged(|| {
            for second in [5, 66, 127] {
                assert!(saver.is_due(at(second)), "{second}");
                saver.start(at(second), || Err(error()));
                assert!(!saver.is_scheduled());
                pass(&mut saver, second + 1);
                assert_eq!(saver.trouble(), Some(error().to_string().as_str()));
                assert!(!saver.is_due(at(second + 60)));
            }
            saver.start(at(188), || Ok(()));
            pass(&mut saver, 188);
        });
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("INFO Failed(\"state is longer"), "{lines:?}");
        assert_eq!(
            (lines[1].as_str(), saver.trouble(), saver.is_scheduled()),
            ("INFO SavedAgain", None, false)
        );
    }

    #[test]
    fn panic_in_the_thread_is_reported_and_the_write_retried() {
        let mut saver = saver();
        let lines = logged(|| {
            saver.start(at(0), || panic!("on purpose"));
            pass(&mut saver, 0);
        });
        assert_eq!(lines, ["INFO Failed(\"the thread that writes a file panicked\")"]);
        assert!(!saver.is_due(at(59)) && saver.is_due(at(60)));
    }

    #[test]
    fn slow_disk_blocks_only_at_exit_and_writes_do_not_overlap() {
        let mut saver = saver();
        let (answer, disk) = channel::<()>();
        saver.start(at(0), move || disk.recv().map_err(|_| error()));
        saver.schedule(at(0));
        assert!(!saver.is_due(at(9)), "a second write while the first is in progress");
        saver.start(at(9), || panic!("a second write while the first is in progress"));
        let begun = Instant::now();
        let last = || -> Result<(), StateError> { panic!("written after the limit") };
        let lines = logged(|| saver.finish(at(9), Some(last)));
        assert!(begun.elapsed() >= EXIT_WAIT, "waits for the write");
        assert_eq!(lines, ["INFO Unfinished"]);
        answer.send(()).unwrap();
        let (sender, written) = channel();
        let last = move || sender.send(3).map_err(|_| error());
        saver.finish(at(9), Some(last));
        assert_eq!((written.try_recv(), saver.trouble()), (Ok(3), None), "the last values are written");
    }
}
