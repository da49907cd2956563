//! Tests that compare CLOCK_REALTIME with CLOCK_MONOTONIC_RAW fail where another program steers CLOCK_REALTIME meanwhile; no
//! namespace has a CLOCK_REALTIME of its own.

use dante_os::clock::read_realtime;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// CLOCK_REALTIME was steered if it left the line with its median rate by more than this, ns.
const STEERED_NS: f64 = 100_000.0;

/// Between two readings.
const READ_INTERVAL: Duration = Duration::from_millis(500);

/// Runs `test`. Runs it once more if it fails while another program steps or slews CLOCK_REALTIME.
///
/// # Panics
/// When `test` panics.
pub fn repeat_if_steered(test: impl Fn()) {
    let watch = Watch::start();
    let first = catch_unwind(AssertUnwindSafe(&test));
    let moved_ns = watch.finish();
    match first {
        Ok(()) => {}
        Err(_) if moved_ns > STEERED_NS => {
            println!(
                "another program moved CLOCK_REALTIME by {:.0} us: the test is repeated",
                moved_ns / 1e3
            );
            test();
        }
        Err(cause) => resume_unwind(cause),
    }
}

/// Reads both clocks until it is finished.
struct Watch {
    end: Sender<()>,
    thread: JoinHandle<Vec<(f64, f64)>>,
}

impl Watch {
    fn start() -> Self {
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            let mut readings = Vec::new();
            let first = read_realtime();
            loop {
                let now = read_realtime();
                let (raw, real) = ((now.raw - first.raw).ns(), (now.real - first.real).ns());
                readings.push((raw as f64, (real - raw) as f64));
                if ended.recv_timeout(READ_INTERVAL) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    return readings;
                }
            }
        });
        Self { end, thread }
    }

    /// Returns the largest distance of CLOCK_REALTIME from the line with its median rate, ns.
    fn finish(self) -> f64 {
        drop(self.end);
        moved_ns(&self.thread.join().expect("the readings"))
    }
}

/// Of readings of CLOCK_MONOTONIC_RAW and of CLOCK_REALTIME minus that, both ns.
fn moved_ns(readings: &[(f64, f64)]) -> f64 {
    let mut rates: Vec<f64> =
        readings.windows(2).map(|pair| (pair[1].1 - pair[0].1) / (pair[1].0 - pair[0].0)).collect();
    rates.sort_by(f64::total_cmp);
    let rate = rates.get(rates.len() / 2).copied().unwrap_or(0.0);
    let off = readings.iter().map(|(raw, difference)| difference - rate * raw);
    let (low, high) =
        off.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), off| (low.min(off), high.max(off)));
    (high - low).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 50 s at +20 ppm.
    fn steady() -> Vec<(f64, f64)> {
        (0..100).map(|n| (f64::from(n) * 5e8, f64::from(n) * 5e8 * 20e-6)).collect()
    }

    #[test]
    fn steady_clock_is_not_taken_for_a_steered_one() {
        assert!(moved_ns(&steady()) < 1.0, "{}", moved_ns(&steady()));
    }

    #[test]
    fn step_and_slew_are_seen() {
        let mut stepped = steady();
        stepped[70..].iter_mut().for_each(|reading| reading.1 += 200_000.0);
        assert!(moved_ns(&stepped) > STEERED_NS);
        let mut slewed = steady();
        (80..100).for_each(|n| slewed[n].1 += (n as f64 - 80.0) * 5e8 * 50e-6);
        assert!(moved_ns(&slewed) > STEERED_NS);
    }
}
