//! A witness of the steered clock: takes down every line over CLOCK_MONOTONIC_RAW that dante2sys publishes for it.

use crate::stage::Stage;
use dante_core::page::Dante2sysStatus;
use dante_core::time::{Affine, Real};
use dante_os::clock::raw_now;
use dante_os::page::PageReader;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// dante2sys keeps its phase term within this of the leader's rate.
const PHASE_TERM_PPM: f64 = 5.0;
/// And the leader's rate is known to this at the least when it locks.
const RATE_PPM: f64 = 2.0;

/// The witness, until it is asked.
#[derive(Debug)]
pub struct ClockWatch {
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Seen>>>,
}

/// A line, and how many times the clock had been corrected by then.
type Seen = (u64, Affine<Real>);

/// What it has seen.
#[derive(Debug)]
pub struct Testimony(Vec<Seen>);

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

fn watch(mut reader: PageReader<Dante2sysStatus>, until: &AtomicBool) -> Vec<Seen> {
    let mut lines: Vec<Seen> = Vec::new();
    while !until.load(Ordering::Relaxed) {
        let body = reader.read(raw_now()).ok().map(|view| view.body);
        let seen = body.and_then(|body| Some((body.corrections, body.line()?)));
        lines.extend(seen.filter(|(_, line)| lines.last().is_none_or(|(_, last)| last != line)));
        std::thread::sleep(Duration::from_millis(5));
    }
    lines
}

impl Testimony {
    /// The clock never jumped, and never ran at another rate than those of the leaders and the bounded phase term.
    ///
    /// # Panics
    /// When it did.
    pub fn judge(&self, leaders_ppm: &[f64]) {
        let (slowest, fastest) = self.rates_ppm();
        let (corrections, jump) = (self.0.len(), self.largest_jump_ns());
        println!(
            "{corrections} corrections, the largest jump {jump} ns, rates {slowest:+.3} to {fastest:+.3} ppm"
        );
        // Four a second while a leader is heard, which it is for more than four seconds of each of these tests.
        assert!(corrections >= 12, "the witness slept");
        // Each line is anchored at a whole ns. Where the witness missed one between two others, their rates tell by
        // some ns more.
        assert!(jump <= 200, "the clock jumped");
        let (low, high) = least_and_most(leaders_ppm.iter().copied());
        let (low, high) = (low - PHASE_TERM_PPM - RATE_PPM, high + PHASE_TERM_PPM + RATE_PPM);
        assert!(low < slowest && fastest < high, "rates beyond {low:+} to {high:+} ppm");
    }

    /// The largest difference, ns, between what two successive lines say of the moment at which the later one begins:
    /// by so much did the clock jump. Where the witness was held up and missed a line between two, they say nothing;
    /// where it missed half of them, this panics.
    fn largest_jump_ns(&self) -> i64 {
        let jumps = self.0.windows(2).filter_map(|pair| {
            let [(before, old), (after, new)] = pair else { return None };
            (*after == before + 1).then(|| (new.at(new.raw0) - old.at(new.raw0)).ns().abs())
        });
        let jumps: Vec<i64> = jumps.collect();
        assert!(jumps.len() * 2 + 1 >= self.0.len(), "{} neighbours in {:?}", jumps.len(), self.0);
        jumps.into_iter().max().unwrap_or(0)
    }

    /// The slowest and the fastest rate of the clock against CLOCK_MONOTONIC_RAW, ppm.
    fn rates_ppm(&self) -> (f64, f64) {
        least_and_most(self.0.iter().map(|(_, line)| line.rate.ppm()))
    }
}

fn least_and_most(figures: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    (figures.clone().fold(f64::INFINITY, f64::min), figures.fold(f64::NEG_INFINITY, f64::max))
}
