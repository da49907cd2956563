//! Estimates the white measurement noise in two ways.
//!
//! The first: of three measurements in a row, the deviation of the middle one from the line through its neighbours. It needs no
//! clock map, so a wrong map cannot make the noise look large, and slow delays hardly affect it. But one late packet affects three
//! deviations: with 10 % late packets the estimate is 50 % too large. The second: how far the measurements are from the prediction of
//! the filter bank, in its expected deviations. A late packet affects only one of them, so a clearly smaller result is used. Both
//! use the median of the last values, which a burst of late packets does not move.

use super::Measurement;
use super::median_line::median;
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

/// Number of the last values that may show a rise: 4 s at 4 Hz.
const QUICK_WINDOW: usize = 16;
/// Ratio of their median to that of all values from which on they count.
const QUICK_RISE: f64 = 2.0;
/// Largest ratio of the second result to the first at which the second is used: a smaller difference is chance.
const LATE_PACKETS_RATIO: f64 = 0.8;

/// Estimator of the standard deviation of a measurement.
#[derive(Debug)]
pub(super) struct Noise {
    deviations: Deviations,
    /// Distances from the prediction, scaled to the measurement noise alone, ns.
    distances: RecentValues,
    sigma_ns: f64,
}

impl Default for Noise {
    fn default() -> Self {
        Self { deviations: Deviations::default(), distances: RecentValues::default(), sigma_ns: DEFAULT_NS }
    }
}

impl Noise {
    pub(super) fn sigma_ns(&self) -> f64 {
        self.sigma_ns
    }

    /// Discards the last measurements and the distances from the prediction: the next measurement does not continue them.
    pub(super) fn interrupt(&mut self) {
        self.deviations.interrupt();
        self.distances = RecentValues::default();
    }

    /// Adds a measurement. `distance` is its distance from the prediction, scaled to the measurement noise alone; `None` where there
    /// is none.
    pub(super) fn observe(&mut self, measurement: Measurement, distance: Option<f64>) {
        self.deviations.observe(measurement);
        let deviations = &self.deviations.values;
        if let Some(distance) = distance {
            self.distances.push(distance.abs());
        }
        if let Some(sigma) = deviations.sigma() {
            let (sigma, quick) = match self.distances.sigma() {
                Some(other) if self.distances.values.len() >= WINDOW / 2 => {
                    (smaller(sigma, other), smaller(deviations.quick(), self.distances.quick()))
                }
                _ => (sigma, deviations.quick()),
            };
            self.sigma_ns = if quick > QUICK_RISE * sigma { quick } else { sigma }.max(FLOOR_NS);
        } else if let Some(sigma) = deviations.early() {
            self.sigma_ns = if sigma > EARLY_FACTOR * DEFAULT_NS { sigma } else { DEFAULT_NS };
        }
    }
}

/// Returns the estimate by the prediction where it is clearly smaller than that by the neighbours.
fn smaller(by_neighbours: f64, by_prediction: f64) -> f64 {
    if by_prediction < LATE_PACKETS_RATIO * by_neighbours { by_prediction } else { by_neighbours }
}

/// Deviations of measurements from the line through their neighbours.
#[derive(Debug, Default)]
pub(super) struct Deviations {
    last_two: ArrayVec<Measurement, 2>,
    /// ns
    values: RecentValues,
}

impl Deviations {
    /// The next measurement does not continue the last ones.
    pub(super) fn interrupt(&mut self) {
        self.last_two.clear();
    }

    pub(super) fn observe(&mut self, measurement: Measurement) {
        if let [first, middle] = self.last_two.as_slice()
            && let Some(deviation) = deviation_ns(*first, *middle, measurement)
        {
            self.values.push(deviation);
        }
        if self.last_two.is_full() {
            self.last_two.remove(0);
        }
        self.last_two.push(measurement);
    }

    /// Returns the standard deviation of a measurement by the last [`QUICK_WINDOW`] deviations, ns; zero while there are too few.
    pub(super) fn recent_ns(&self) -> f64 {
        if self.values.values.len() > QUICK_WINDOW {
            self.values.quick()
        } else {
            self.values.early().unwrap_or(0.0)
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

    /// Returns the standard deviation by a few values.
    fn early(&self) -> Option<f64> {
        sigma_of(&self.values).filter(|_| self.values.len() >= MIN_EARLY_VALUES)
    }

    /// Returns the standard deviation by the last [`QUICK_WINDOW`] values; zero if there are not more values than that.
    fn quick(&self) -> f64 {
        let count = self.values.len();
        if count <= QUICK_WINDOW {
            return 0.0;
        }
        // Until the ring is full, `next` is zero and the last value is the newest.
        let newest = self.next + count;
        let last: ArrayVec<f64, QUICK_WINDOW> =
            (1..=QUICK_WINDOW).filter_map(|ago| self.values.get((newest - ago) % count)).copied().collect();
        sigma_of(&last).unwrap_or(0.0)
    }
}

/// Returns the standard deviation of a normal variable with the median of these absolute values.
pub(crate) fn sigma_of<const N: usize>(values: &ArrayVec<f64, N>) -> Option<f64> {
    median(&mut values.clone()).map(|median| median / MEDIAN_OF_NORMAL)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Duration, Timestamp};
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    /// Measurements at 4 Hz whose delays are uniform, with this standard deviation, ns; every tenth is later by `late_ns`. The distance
    /// from the prediction is the deviation from the mean delay. The median of such delays is 1.28 times that of normal ones.
    fn observe(noise: &mut Noise, syncs: std::ops::Range<i64>, sigma_ns: f64, late_ns: f64) {
        let mut rng = Pcg64Mcg::seed_from_u64(5);
        for n in syncs {
            let late = if n % 10 == 3 { late_ns } else { 0.0 };
            let deviation = sigma_ns * 12_f64.sqrt() * (rng.random::<f64>() - 0.5) + late;
            let sent = n * 250_000_000;
            let raw = Timestamp::from_ns(sent) + Duration::from_ns_f64(deviation);
            noise.observe(Measurement { raw, dante: Timestamp::from_ns(sent) }, Some(-deviation));
        }
    }

    #[test]
    fn level_that_rises_tenfold_counts_within_4_s() {
        let mut noise = Noise::default();
        observe(&mut noise, 0..200, 1_000.0, 0.0);
        let quiet = noise.sigma_ns();
        observe(&mut noise, 200..218, 10_000.0, 0.0);
        assert!((700.0..1_500.0).contains(&quiet), "{quiet}");
        assert!((5_000.0..16_000.0).contains(&noise.sigma_ns()), "{}", noise.sigma_ns());
    }

    #[test]
    fn late_packets_do_not_raise_the_estimate() {
        let mut noise = Noise::default();
        observe(&mut noise, 0..400, 1_000.0, 100_000.0);
        assert!((700.0..2_000.0).contains(&noise.sigma_ns()), "{}", noise.sigma_ns());
    }

    #[test]
    fn few_measurements_give_the_default_unless_they_scatter_by_much_more() {
        let mut noise = Noise::default();
        observe(&mut noise, 0..6, 1_000.0, 0.0);
        assert_eq!(noise.sigma_ns(), DEFAULT_NS);
        let mut noise = Noise::default();
        observe(&mut noise, 0..6, 1_000_000.0, 0.0);
        assert!(noise.sigma_ns() > 100_000.0, "{}", noise.sigma_ns());
    }
}
