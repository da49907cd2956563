//! Lines to stdout, by a thread of its own: a pipe that nobody reads or a stopped terminal blocks that thread only.

use super::Stamp;
use crate::clock::raw_now;
use crate::thread::{SMALL_STACK, spawn};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Maximum of lines that wait for the thread.
const MAX_LINES: usize = 256;
/// After an overflow lines are queued again when no more than this wait: a slow reader then gets one number of lost lines for many
/// lines, not one for each.
const RESUME_LINES: usize = MAX_LINES / 2;

/// The queue to stdout.
#[derive(Clone)]
pub(super) struct Stdout(Arc<Queue>);

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// An entry was added or written.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    is_overflowing: bool,
    is_writing: bool,
}

enum Entry {
    Line(String),
    /// Number of lines that were lost here.
    Lost(u64),
}

impl Stdout {
    /// Starts the thread, which writes to `to`. Returns when it runs: a system call filter that is installed later allows what it
    /// does from then on.
    ///
    /// # Errors
    /// That of [`spawn`].
    pub fn start(program: &'static str, to: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let own = Arc::clone(&queue);
        let (started, runs) = sync_channel(1);
        spawn("stdout", SMALL_STACK, move || {
            _ = started.send(());
            own.write_to(program, to);
        })?;
        // An error means that the thread has ended: its lines are lost.
        _ = runs.recv();
        Ok(Self(queue))
    }

    /// Queues a line without its end.
    pub fn send(&self, line: String) {
        let mut state = self.0.lock();
        state.is_overflowing = match state.is_overflowing {
            true => state.entries.len() > RESUME_LINES,
            false => state.entries.len() >= MAX_LINES,
        };
        if !state.is_overflowing {
            state.entries.push_back(Entry::Line(line));
        } else if let Some(Entry::Lost(count)) = state.entries.back_mut() {
            *count += 1;
        } else {
            state.entries.push_back(Entry::Lost(1));
        }
        drop(state);
        self.0.changed.notify_all();
    }

    /// Waits until all lines are written, at most for `limit`.
    pub fn finish(&self, limit: Duration) {
        let is_busy = |state: &mut State| !state.entries.is_empty() || state.is_writing;
        drop(self.0.changed.wait_timeout_while(self.0.lock(), limit, is_busy));
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next entry; the one before it is written.
    fn next(&self) -> Entry {
        let mut state = self.lock();
        state.is_writing = false;
        self.changed.notify_all();
        loop {
            if let Some(entry) = state.entries.pop_front() {
                state.is_writing = true;
                return entry;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes all lines, and after an overflow or an error the number of lost ones. An error, such as that of a closed pipe, loses a
    /// line.
    fn write_to(&self, program: &str, mut to: impl Write) -> ! {
        let mut write = |line: &str| to.write_all(line.as_bytes()).and_then(|()| to.flush()).is_ok();
        let mut lost = 0;
        loop {
            let line = match self.next() {
                Entry::Line(line) => Some(line),
                Entry::Lost(count) => {
                    lost += count;
                    None
                }
            };
            let statement = || {
                let text = format!("lines of this log lost, as stdout did not accept them: {lost}");
                format!("{program}[{}]: {text}\n", Stamp(raw_now()))
            };
            if lost > 0 && write(&statement()) {
                lost = 0;
            }
            if line.is_some_and(|line| !write(&(line + "\n"))) {
                lost += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
