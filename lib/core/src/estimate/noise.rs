//! Estimates the measurement noise in two ways and uses the smaller result.
//!
//! The first: of three measurements in a row, the deviation of the middle one from the line through its neighbours. It needs no
//! clock map, so a wrong map cannot make the noise look large. But one late packet affects three deviations: with 10 % late
//! packets the estimate is 50 % too large. The second: the distances of the measurements from the map, once the map is good. A
//! late packet affects only one of them. Both use the median of the last values, which a burst of late packets does not move.

use super::Measurement;
use arrayvec::ArrayVec;

/// Number of values of a median: 16 s at 4 Hz.
const WINDOW: usize = 64;
/// Fewest values of a median.
const MIN_VALUES: usize = 8;
/// Scales the increase of an estimate from fewer values than [`WINDOW`]: a median of few values is often too small.
const FEW_VALUES_FACTOR: f64 = 4.0;
/// Standard deviation until there are enough values, ns. Software timestamps of a real device have 6.8 us.
const DEFAULT_NS: f64 = 10_000.0;
/// Fewest values of an early estimate, which replaces the default only if it exceeds it by [`EARLY_FACTOR`].
const MIN_EARLY_VALUES: usize = 3;
/// Smallest ratio of an early estimate to the default, as for timestamps of a virtual machine on a busy host. With the default
/// noise five measurements would seem to determine the rate there.
const EARLY_FACTOR: f64 = 3.0;
/// Smallest estimate, ns: below this the noise is that of the kernel's clock readings, not of the network.
pub(super) const FLOOR_NS: f64 = 20.0;
/// Median of |x| of a normal variable, divided by its standard deviation.
const MEDIAN_OF_NORMAL: f64 = 0.6745;

/// Estimator of the standard deviation of a measurement.
#[derive(Debug)]
pub(super) struct Noise {
    last_two: ArrayVec<Measurement, 2>,
    /// Deviations from the line through the neighbours, ns.
    deviations: RecentValues,
    /// Distances from the clock map, ns.
    distances: RecentValues,
    sigma_ns: f64,
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            last_two: ArrayVec::new(),
            deviations: RecentValues::default(),
            distances: RecentValues::default(),
            sigma_ns: DEFAULT_NS,
        }
    }
}

impl Noise {
    pub(super) fn sigma_ns(&self) -> f64 {
        self.sigma_ns
    }

    /// Discards the last measurements and the distances from the map: the next measurement does not continue them.
    pub(super) fn interrupt(&mut self) {
        self.last_two.clear();
        self.distances = RecentValues::default();
    }

    /// Adds a measurement. `innovation` is its distance from the map, scaled to the measurement noise alone; `None` where the
    /// map's own uncertainty is too large for that.
    pub(super) fn observe(&mut self, measurement: Measurement, innovation: Option<f64>) {
        if let [first, middle] = self.last_two.as_slice()
            && let Some(deviation) = deviation_ns(*first, *middle, measurement)
        {
            self.deviations.push(deviation);
        }
        if self.last_two.is_full() {
            self.last_two.remove(0);
        }
        self.last_two.push(measurement);
        if let Some(innovation) = innovation {
            self.distances.push(innovation.abs());
        }
        if let Some(sigma) = self.deviations.sigma() {
            self.sigma_ns = self
                .distances
                .sigma()
                .filter(|_| self.distances.values.len() >= WINDOW / 2)
                .map_or(sigma, |other| other.min(sigma))
                .max(FLOOR_NS);
        } else if let Some(sigma) =
            sigma_of(&self.deviations.values).filter(|_| self.deviations.values.len() >= MIN_EARLY_VALUES)
        {
            self.sigma_ns = if sigma > EARLY_FACTOR * DEFAULT_NS { sigma } else { DEFAULT_NS };
        }
    }
}

/// The last [`WINDOW`] values.
#[derive(Debug, Default)]
struct RecentValues {
    values: ArrayVec<f64, WINDOW>,
    next: usize,
}

impl RecentValues {
    fn push(&mut self, value: f64) {
        if let Err(full) = self.values.try_push(value) {
            if let Some(oldest) = self.values.get_mut(self.next) {
                *oldest = full.element();
            }
            self.next = (self.next + 1) % WINDOW;
        }
    }

    fn sigma(&self) -> Option<f64> {
        let count = self.values.len();
        // An estimate that is too small would reject good measurements.
        #[expect(clippy::cast_precision_loss, reason = "at most WINDOW")]
        let factor = 1.0 + FEW_VALUES_FACTOR * ((1.0 / count as f64).sqrt() - (1.0 / WINDOW as f64).sqrt());
        sigma_of(&self.values).filter(|_| count >= MIN_VALUES).map(|sigma| sigma * factor)
    }
}

/// Returns the standard deviation of a normal variable with the median of these absolute values.
pub(super) fn sigma_of<const N: usize>(values: &ArrayVec<f64, N>) -> Option<f64> {
    let mut sorted = values.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).map(|median| median / MEDIAN_OF_NORMAL)
}

/// Returns |middle - line through its neighbours|, scaled to the standard deviation of one measurement, ns.
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
