//! The noise of the measurements, found without the filter's help.
//!
//! Of three measurements in a row the middle one is held against the line through its neighbours. That needs no map, no
//! rate and no state, so a wrong map cannot make the noise look large, nor a wrong noise make the map look right. The
//! median of the last ones shrugs off bursts.

use super::Measurement;
use arrayvec::ArrayVec;

/// So many deviations are kept: 16 s at 4 Hz.
const WINDOW: usize = 64;
/// Before there are enough: somewhat more than plain software stamps of a real device show (6.8 us).
const UNKNOWN_NS: f64 = 10_000.0;
/// Below this the kernel's own reading of clocks shows, not the network.
const FLOOR_NS: f64 = 20.0;
/// The median of |x| of a normal variable, over its standard deviation.
const MEDIAN_OF_NORMAL: f64 = 0.6745;

/// Finds the standard deviation of the measurements.
#[derive(Debug)]
pub(super) struct Noise {
    last_two: ArrayVec<Measurement, 2>,
    deviations: ArrayVec<f64, WINDOW>,
    next: usize,
    sigma_ns: f64,
}

impl Default for Noise {
    fn default() -> Self {
        Self { last_two: ArrayVec::new(), deviations: ArrayVec::new(), next: 0, sigma_ns: UNKNOWN_NS }
    }
}

impl Noise {
    pub(super) fn sigma_ns(&self) -> f64 {
        self.sigma_ns
    }

    /// The next measurement does not continue the last one.
    pub(super) fn interrupt(&mut self) {
        self.last_two.clear();
    }

    pub(super) fn observe(&mut self, measurement: Measurement) {
        if let [first, middle] = self.last_two.as_slice()
            && let Some(deviation) = deviation_ns(*first, *middle, measurement)
        {
            self.keep(deviation);
        }
        if self.last_two.is_full() {
            self.last_two.remove(0);
        }
        self.last_two.push(measurement);
    }

    fn keep(&mut self, deviation: f64) {
        if self.deviations.is_full() {
            if let Some(oldest) = self.deviations.get_mut(self.next) {
                *oldest = deviation;
            }
            self.next = (self.next + 1) % WINDOW;
        } else {
            self.deviations.push(deviation);
        }
        let mut sorted = self.deviations.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let Some(&median) = sorted.get(sorted.len() / 2) else { return };
        let count = sorted.len();
        if count >= 8 {
            // A median of few is often too small, and a noise thought too small rejects what is right.
            #[expect(clippy::cast_precision_loss, reason = "at most WINDOW")]
            let caution = 1.0 + 8.0 / count as f64;
            self.sigma_ns = (median / MEDIAN_OF_NORMAL * caution).max(FLOOR_NS);
        }
    }
}

/// |middle - line through its neighbours|, scaled to the standard deviation of one measurement.
fn deviation_ns(first: Measurement, middle: Measurement, last: Measurement) -> Option<f64> {
    let excess = |m: Measurement| ((m.dante - first.dante) - (m.raw - first.raw)).ns_f64();
    let (before, whole) = ((middle.raw - first.raw).secs_f64(), (last.raw - first.raw).secs_f64());
    if before <= 0.0 || whole <= before {
        return None;
    }
    let share = before / whole;
    let deviation = excess(middle) - share * excess(last);
    let scale = (1.0 + share * share + (1.0 - share) * (1.0 - share)).sqrt();
    Some((deviation / scale).abs())
}
