//! Record of the steered clock: every line over CLOCK_MONOTONIC_RAW that dante2sys publishes for it.

use crate::stage::Stage;
use dante_core::page::Dante2sysStatus;
use dante_core::time::{Affine, Real};
use dante_os::clock::raw_now;
use dante_os::page::PageReader;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bound of dante2sys' phase term, ppm: `Limits::default().phase_term` of dante_core::steer.
const PHASE_TERM_PPM: f64 = 5.0;
/// Bound of the error of the leader's rate when dante2sys locks, ppm.
const RATE_PPM: f64 = 2.0;
/// Corrections needed to judge the clock: three seconds of four corrections each.
const MIN_CORRECTIONS: usize = 12;
/// Longest wait for them at the end of a test.
const CORRECTIONS_TIMEOUT: Duration = Duration::from_secs(60);
/// Interval between two reads of the page; dante2sys corrects the clock every 250 ms.
const READ_INTERVAL: Duration = Duration::from_millis(5);

/// A running record.
#[derive(Debug)]
pub struct ClockWatch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Vec<Seen>>,
    end: AtomicBool,
}

impl Shared {
    fn lines(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of a correction, and the clock's line after it.
type Seen = (u64, Affine<Real>);

/// A finished record.
#[derive(Debug)]
pub struct ClockRecord(Vec<Seen>);

impl ClockWatch {
    /// Records from now on.
    pub fn start(stage: &Stage) -> Self {
        let shared = Arc::new(Shared::default());
        let (for_thread, page) = (Arc::clone(&shared), stage.page_name());
        let thread = std::thread::spawn(move || watch(PageReader::new(page), &for_thread));
        Self { shared, thread: Some(thread) }
    }

    /// Waits until the record is long enough to judge the clock, and ends it.
    ///
    /// # Panics
    /// If dante2sys publishes too few corrections, or the thread panicked.
    pub fn finish(mut self) -> ClockRecord {
        crate::wait_until("12 corrections, most of them consecutive", CORRECTIONS_TIMEOUT, || {
            let lines = self.shared.lines();
            lines.len() >= MIN_CORRECTIONS && jumps_ns(&lines).len() * 2 + 1 >= lines.len()
        });
        self.shared.end.store(true, Ordering::Relaxed);
        self.thread.take().expect("a thread").join().expect("the thread that reads the page");
        ClockRecord(self.shared.lines().clone())
    }
}

impl Drop for ClockWatch {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
    }
}

fn watch(mut reader: PageReader<Dante2sysStatus>, shared: &Shared) {
    while !shared.end.load(Ordering::Relaxed) {
        let body = reader.read(raw_now()).ok().map(|view| view.body);
        let seen = body.and_then(|body| Some((body.corrections, body.line()?)));
        let mut lines = shared.lines();
        let new = seen.filter(|(_, line)| lines.last().is_none_or(|(_, last)| last != line));
        lines.extend(new);
        drop(lines);
        std::thread::sleep(READ_INTERVAL);
    }
}

impl ClockRecord {
    /// Checks that the clock did not jump, and that its rate was always that of a leader within the bounds of the phase term.
    ///
    /// # Panics
    /// If not.
    pub fn judge(&self, leaders_ppm: &[f64]) {
        let (slowest, fastest) = self.rates_ppm();
        let jump = jumps_ns(&self.0).into_iter().max().unwrap_or(0);
        println!(
            "{} corrections, largest jump {jump} ns, rates {slowest:+.3} to {fastest:+.3} ppm",
            self.0.len()
        );
        // Lines are anchored at whole ns: without a jump, two of them differ by some ns.
        assert!(jump <= 200, "the clock jumped by {jump} ns");
        let (low, high) = least_and_most(leaders_ppm.iter().copied());
        let (low, high) = (low - PHASE_TERM_PPM - RATE_PPM, high + PHASE_TERM_PPM + RATE_PPM);
        assert!(low < slowest && fastest < high, "rates beyond {low:+} to {high:+} ppm");
    }

    /// Returns the lowest and the highest rate of the clock against CLOCK_MONOTONIC_RAW, ppm.
    fn rates_ppm(&self) -> (f64, f64) {
        least_and_most(self.0.iter().map(|(_, line)| line.rate.ppm()))
    }
}

/// Returns how far the clock jumped at each correction, ns: the difference between the lines before and after it at the instant
/// where the later one begins. Corrections between which one is missing are left out.
fn jumps_ns(lines: &[Seen]) -> Vec<i64> {
    let jumps = lines.windows(2).filter_map(|pair| {
        let [(before, old), (after, new)] = pair else { return None };
        (*after == before + 1).then(|| (new.at(new.raw0) - old.at(new.raw0)).ns().abs())
    });
    jumps.collect()
}

fn least_and_most(figures: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    (figures.clone().fold(f64::INFINITY, f64::min), figures.fold(f64::NEG_INFINITY, f64::max))
}
