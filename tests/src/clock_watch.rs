//! A witness of the steered clock: takes down every line over CLOCK_MONOTONIC_RAW that dante2sys publishes for it.

use crate::stage::Stage;
use dante_core::page::Dante2sys;
use dante_core::time::{Affine, Real};
use dante_os::clock::raw_now;
use dante_os::page::PageReader;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The witness, until it is asked.
#[derive(Debug)]
pub struct ClockWatch {
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Affine<Real>>>>,
}

/// What it has seen.
#[derive(Debug)]
pub struct Testimony(Vec<Affine<Real>>);

impl ClockWatch {
    /// Watches from now on.
    pub fn start(stage: &Stage) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let (until, page) = (Arc::clone(&enough), stage.page_name());
        Self { enough, thread: Some(std::thread::spawn(move || watch(PageReader::new(page), &until))) }
    }

    /// What was seen.
    ///
    /// # Panics
    /// When the thread did.
    pub fn finish(mut self) -> Testimony {
        self.enough.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("a thread");
        Testimony(thread.join().expect("the witness"))
    }
}

impl Drop for ClockWatch {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
    }
}

fn watch(mut reader: PageReader<Dante2sys>, until: &AtomicBool) -> Vec<Affine<Real>> {
    let mut lines = Vec::new();
    while !until.load(Ordering::Relaxed) {
        let line = reader.read(raw_now()).ok().and_then(|view| view.body.line());
        lines.extend(line.filter(|line| lines.last() != Some(line)));
        std::thread::sleep(Duration::from_millis(5));
    }
    lines
}

impl Testimony {
    /// How many times the clock was corrected.
    pub fn corrections(&self) -> usize {
        self.0.len()
    }

    /// The largest difference, ns, between what two successive lines say of the moment at which the later one begins:
    /// by so much did the clock jump.
    pub fn largest_jump_ns(&self) -> i64 {
        let jumps = self.0.windows(2).map(|pair| (pair[1].at(pair[1].raw0) - pair[0].at(pair[1].raw0)).ns());
        jumps.map(i64::abs).max().unwrap_or(0)
    }

    /// The slowest and the fastest rate of the clock against CLOCK_MONOTONIC_RAW, ppm.
    pub fn rates_ppm(&self) -> (f64, f64) {
        let rates = self.0.iter().map(|line| line.rate.ppm());
        (rates.clone().fold(f64::INFINITY, f64::min), rates.fold(f64::NEG_INFINITY, f64::max))
    }
}
