//! What is shown, and what keys do to it.

use crate::history::{Entry, History};
use crate::pages::Pages;
use crate::scale::good_rates;
use crate::status::Status;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use dante_core::named;
use dante_core::time::{Duration, Raw, Timestamp};
use dante_os::page::Instance;
use std::collections::VecDeque;

/// Samples are remembered for so long: what the histogram is made of.
const MEMORY: Duration = Duration::from_secs(3600);

named! {
    /// What is looked at, in the order of the keys, 1 to 4.
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

/// Whether a key ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    GoOn,
    Quit,
}

/// One sample, as far as it is drawn.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub raw: Timestamp<Raw>,
    pub residual_ns: i64,
    pub accepted: bool,
    /// In state SLAVE.
    pub settled: bool,
    /// With its standard deviation.
    pub rate_ppm: Option<(f64, f64)>,
    pub phase_error_ns: Option<i64>,
}

impl From<Entry> for Point {
    fn from(entry: Entry) -> Self {
        Self {
            raw: Timestamp::from_ns(entry.raw_ns),
            residual_ns: entry.residual_ns,
            accepted: entry.accepted,
            settled: entry.is_settled(),
            rate_ppm: entry.rate_ppm(),
            phase_error_ns: entry.phase_error_ns,
        }
    }
}

/// The rates that count, with their standard deviations, ppm.
pub fn good<'a>(points: impl Iterator<Item = &'a Point> + Clone) -> Vec<(f64, f64)> {
    good_rates(points.filter(|point| point.settled).filter_map(|point| point.rate_ppm))
}

/// All that the screen is made of.
pub struct App {
    pub instance: Option<String>,
    /// `None` before the first look.
    pub status: Option<Status>,
    pub now: Timestamp<Raw>,
    pub points: VecDeque<Point>,
    /// So many samples came too early to be read.
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
            history: History::with_the_past(),
        }
    }

    /// Takes in what the pages say now.
    pub fn see(&mut self, pages: &Pages) {
        self.now = pages.now;
        let first = self.status.replace(Status::of(pages)).is_none();
        for entry in self.history.take(pages) {
            // What was before the first look is not missed by anybody.
            self.missed += if first { 0 } else { entry.missed };
            self.points.push_back(entry.into());
        }
        while self.points.front().is_some_and(|point| self.now - point.raw > MEMORY) {
            self.points.pop_front();
        }
    }

    /// Does what a key is for.
    pub fn press(&mut self, key: KeyEvent) -> Next {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Next::Quit,
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Char('q') | KeyCode::Esc => return Next::Quit,
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Char('1') => self.view = View::Charts,
            KeyCode::Char('2') => self.view = View::Histogram,
            KeyCode::Char('3') => self.view = View::Counters,
            KeyCode::Char('4') => self.view = View::Findings,
            KeyCode::Tab | KeyCode::Right => self.view = self.view.next(1),
            KeyCode::BackTab | KeyCode::Left => self.view = self.view.next(View::ALL.len() - 1),
            KeyCode::Char('c') => self.points.clear(),
            _ => {}
        }
        Next::GoOn
    }

    /// Those of the last `span`.
    pub fn recent(&self, span: Duration) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(move |point| self.now - point.raw <= span)
    }

    /// A point's place on an axis of seconds that ends now with 0.
    pub fn seconds(&self, point: &Point) -> f64 {
        (point.raw - self.now).secs_f64()
    }
}
