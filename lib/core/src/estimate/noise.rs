//! The noise of the measurements, found in two ways, of which the smaller counts.
//!
//! Of three measurements in a row the middle one is held against the line through its neighbours. That needs no map, no
//! rate and no state, so a wrong map cannot make the noise look large. But one late packet spoils three such deviations,
//! and with a tenth of them late the noise looks half as large again. Once the map is good, the measurements' distances
//! from it, of which a late packet spoils one, tell it better. Medians of the last ones shrug off bursts in either.

use super::Measurement;
use arrayvec::ArrayVec;

/// So many are kept: 16 s at 4 Hz.
const WINDOW: usize = 64;
/// A median of fewer says too little.
const ENOUGH: usize = 8;
/// How much more than a median says is believed, where it is one of few.
const CAUTION: f64 = 4.0;
/// Before there are enough: somewhat more than plain software stamps of a real device show (6.8 us).
const UNKNOWN_NS: f64 = 10_000.0;
/// Of as few as this it is only believed that it is far more than that, ...
const FEW: usize = 3;
/// ... by so many times, as where a busy machine's guest stamps. Else five measurements would seem to give a rate.
const FAR_MORE: f64 = 3.0;
/// Below this the kernel's own reading of clocks shows, not the network.
pub(super) const FLOOR_NS: f64 = 20.0;
/// The median of |x| of a normal variable, over its standard deviation.
const MEDIAN_OF_NORMAL: f64 = 0.6745;

/// Finds the standard deviation of the measurements.
#[derive(Debug)]
pub(super) struct Noise {
    last_two: ArrayVec<Measurement, 2>,
    /// From the line through the neighbours.
    deviations: Last,
    /// From the map.
    distances: Last,
    sigma_ns: f64,
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            last_two: ArrayVec::new(),
            deviations: Last::default(),
            distances: Last::default(),
            sigma_ns: UNKNOWN_NS,
        }
    }
}

impl Noise {
    pub(super) fn sigma_ns(&self) -> f64 {
        self.sigma_ns
    }

    /// The next measurement does not continue the last one.
    pub(super) fn interrupt(&mut self) {
        self.last_two.clear();
        self.distances = Last::default();
    }

    /// Takes a measurement in, with its distance from the map (`innovation`) where the map adds little to it: scaled to
    /// the noise alone.
    pub(super) fn observe(&mut self, measurement: Measurement, innovation: Option<f64>) {
        if let [first, middle] = self.last_two.as_slice()
            && let Some(deviation) = deviation_ns(*first, *middle, measurement)
        {
            self.deviations.keep(deviation);
        }
        if self.last_two.is_full() {
            self.last_two.remove(0);
        }
        self.last_two.push(measurement);
        if let Some(innovation) = innovation {
            self.distances.keep(innovation.abs());
        }
        if let Some(sigma) = self.deviations.sigma() {
            self.sigma_ns = self
                .distances
                .sigma()
                .filter(|_| self.distances.kept.len() >= WINDOW / 2)
                .map_or(sigma, |other| other.min(sigma))
                .max(FLOOR_NS);
        } else if let Some(sigma) =
            sigma_of(&self.deviations.kept).filter(|_| self.deviations.kept.len() >= FEW)
        {
            self.sigma_ns = if sigma > FAR_MORE * UNKNOWN_NS { sigma } else { UNKNOWN_NS };
        }
    }
}

/// The last of something, and the standard deviation that its median stands for.
#[derive(Debug, Default)]
struct Last {
    kept: ArrayVec<f64, WINDOW>,
    next: usize,
}

impl Last {
    fn keep(&mut self, value: f64) {
        if let Err(full) = self.kept.try_push(value) {
            if let Some(oldest) = self.kept.get_mut(self.next) {
                *oldest = full.element();
            }
            self.next = (self.next + 1) % WINDOW;
        }
    }

    fn sigma(&self) -> Option<f64> {
        let count = self.kept.len();
        // A median of few is often too small, and a noise thought too small rejects what is right.
        #[expect(clippy::cast_precision_loss, reason = "at most WINDOW")]
        let caution = 1.0 + CAUTION * ((1.0 / count as f64).sqrt() - (1.0 / WINDOW as f64).sqrt());
        sigma_of(&self.kept).filter(|_| count >= ENOUGH).map(|sigma| sigma * caution)
    }
}

/// The standard deviation for which the median of these absolute values speaks.
pub(super) fn sigma_of<const N: usize>(values: &ArrayVec<f64, N>) -> Option<f64> {
    let mut sorted = values.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).map(|median| median / MEDIAN_OF_NORMAL)
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
