//! State of the live view, and the effect of keys.

use crate::history::{Entry, History};
use crate::pages::Pages;
use crate::status::Status;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use dante_core::named;
use dante_core::time::{Duration, Raw, Timestamp};
use dante_os::page::Instance;
use std::collections::VecDeque;

/// Time for which samples are kept: the histogram counts them.
const SAMPLES_KEPT: Duration = Duration::from_secs(3600);

named! {
    /// Views, in the order of the keys 1 to 4.
    pub enum View {
        Charts "charts",
        Histogram "histogram",
        Counters "counters",
        Findings "findings",
    }
}

impl View {
    fn next(self, by: usize) -> Self {
        let place = Self::ALL.iter().position(|view| *view == self).unwrap_or(0);
        Self::ALL.into_iter().cycle().nth(place + by).unwrap_or(self)
    }
}

/// Whether a key ends the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Continue,
    Quit,
}

/// All data on the screen.
pub struct App {
    pub instance: Option<String>,
    /// `None` before the first read.
    pub status: Option<Status>,
    pub now: Timestamp<Raw>,
    pub points: VecDeque<Entry>,
    /// Number of samples that were overwritten before they were read.
    pub missed: u64,
    pub view: View,
    pub help: bool,
    history: History,
}

impl App {
    pub fn new(instance: Option<&Instance>) -> Self {
        Self {
            instance: instance.map(ToString::to_string),
            status: None,
            now: Timestamp::ZERO,
            points: VecDeque::new(),
            missed: 0,
            view: View::Charts,
            help: false,
            history: History::from_oldest(),
        }
    }

    /// Takes over the current state of the pages.
    pub fn update(&mut self, pages: &Pages) {
        self.now = pages.now;
        let first = self.status.replace(Status::of(pages)).is_none();
        for entry in self.history.take(pages) {
            // Samples before the first read do not count as missed.
            self.missed = self.missed.saturating_add(if first { 0 } else { entry.missed });
            self.points.push_back(entry);
        }
        while self.points.front().is_some_and(|point| self.age(point) > SAMPLES_KEPT) {
            self.points.pop_front();
        }
    }

    /// Handles a key.
    pub fn press(&mut self, key: KeyEvent) -> Next {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Next::Quit,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Char('q') | KeyCode::Esc => return Next::Quit,
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Char(key @ '1'..='4') => self.view = View::Charts.next(key as usize - '1' as usize),
            KeyCode::Tab | KeyCode::Right => self.view = self.view.next(1),
            KeyCode::BackTab | KeyCode::Left => self.view = self.view.next(View::ALL.len() - 1),
            KeyCode::Char('c') => self.points.clear(),
            _ => {}
        }
        Next::Continue
    }

    /// Returns the samples of the last `span`.
    pub fn recent(&self, span: Duration) -> impl Iterator<Item = &Entry> {
        self.points.iter().filter(move |point| self.age(point) <= span)
    }

    /// Returns the position of a point on an axis of seconds, where 0 is now.
    pub fn seconds(&self, point: &Entry) -> f64 {
        -self.age(point).secs_f64()
    }

    pub fn age(&self, point: &Entry) -> Duration {
        self.now - Timestamp::from_ns(point.raw_ns)
    }
}
