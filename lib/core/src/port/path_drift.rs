//! Path drift: slow changes of the path delay, found by measurements on another path, which are the Delay_Reqs to the leader, or the
//! Syncs of the same clock on the other network.
//!
//! On one path alone, a path drift cannot be distinguished from a change of the leader's rate: the clock map follows it. Measurements
//! on another path then drift away from the map. As much of this drift as their noise and the map's uncertainty do not explain is
//! added to the published uncertainty. It is unknown which of the two paths changes, so nothing is corrected.

use super::{Diagnostic, Port, Sample, State};
use crate::estimate::means::Averager;
use crate::estimate::median_line::{MAX_POINTS, MedianLine};
use crate::time::{ClockMap, Duration, Ratio, Raw, Timestamp, Uncertainty};
use arrayvec::ArrayVec;

/// Sync intervals of a mean: the mean time between two Delay_Reqs. The drift is that of up to 32 means of either length.
const MEANS: [i64; 2] = [16, 64];
/// Smallest length of the shorter mean, s.
const MIN_LENGTH_S: f64 = 4.0;
/// Fewest means of which a drift is computed.
const MIN_POINTS: usize = 16;
/// Age of a mean, relative to the length of all of them, from which on it is dropped: Delay_Reqs may be twice as far apart as on
/// average.
const MAX_AGE_FACTOR: f64 = 2.0;
/// Drift that is explained by its uncertainty, in standard deviations.
const EXPLAINED_SIGMAS: f64 = 3.0;
/// Largest residual in the autocorrelation, in standard deviations.
const RESIDUAL_SIGMAS: f64 = 3.0;
/// Largest ratio of the map's uncertainty at the time of a mean to the present one: before that the map was not settled.
const SETTLED_RATIO: f64 = 2.0;
/// Largest autocorrelation from mean to mean for which the uncertainty of the drift allows.
const MAX_AUTOCORRELATION: f64 = 0.95;
/// Largest drift that is added to the uncertainty, ppb. No path delay changes faster for minutes; whoever sends wrong Delay_Resps
/// cannot take away the lock, which needs 6 ppm.
const MAX_DRIFT_PPB: f64 = 1_000.0;
/// Largest offset that is added to the uncertainty, ns: Dante devices mute at this path delay.
const MAX_OFFSET_NS: f64 = 250_000.0;
/// Time without a measurement on the other path after which its drift counts no more, in lengths of the shorter mean.
const EXPIRY: f64 = 32.0;
/// Time after which 1/e of the offset by an earlier drift is left, s. The present path delay becomes the reference: the uncertainty does
/// not include constant errors of the path delay.
const OFFSET_MEMORY_S: f64 = 600.0;

/// The other path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OtherPath {
    /// From this port to the leader. The path delay is half the sum of both, so the offset is wrong by half the drift.
    DelayReq,
    /// From the same clock through the other network.
    Network,
}

impl OtherPath {
    /// Largest share of the drift by which the offset is wrong.
    const fn offset_share(self) -> f64 {
        match self {
            Self::DelayReq => 0.5,
            Self::Network => 1.0,
        }
    }
}

/// A measurement on the other path.
#[derive(Debug, Clone, Copy)]
struct Comparable {
    at: Timestamp<Raw>,
    /// Its Dante time minus that of the clock map, without the path delay.
    difference: Duration,
    /// Uncertainty of the map at that time.
    sigma: Uncertainty,
    /// Sync interval.
    interval: Duration,
    /// If these numbers change, the differences do not continue: restarts of the map, timeline of the other network.
    series: (u64, u64),
}

/// Comparisons of the clock map with each of the other paths.
#[derive(Debug, Default)]
pub(super) struct Comparisons {
    delay_req: Comparison,
    network: Comparison,
}

impl Comparisons {
    fn get_mut(&mut self, path: OtherPath) -> &mut Comparison {
        match path {
            OtherPath::DelayReq => &mut self.delay_req,
            OtherPath::Network => &mut self.network,
        }
    }

    /// Adds the drifts to the uncertainty of `map`.
    pub(super) fn add_to(&self, map: &mut ClockMap) {
        for comparison in [&self.delay_req, &self.network] {
            let (drift_ppb, offset_ns) = comparison.at(map.line.raw0);
            map.add_error(Duration::from_ns_f64(offset_ns), Ratio::from_ppb(drift_ppb));
        }
    }
}

/// Comparison of the clock map with one other path.
#[derive(Debug, Default)]
struct Comparison {
    /// From which times are counted.
    origin: Option<Timestamp<Raw>>,
    interval: Duration,
    series: (u64, u64),
    windows: Option<[Window; 2]>,
    /// When the last measurement was added, and when the drift was computed, s.
    added_s: f64,
    computed_s: f64,
    /// Drift beyond what is explained, ppb; zero if there is none.
    drift_ppb: f64,
    /// Offset by which the map may be wrong because of it, ns.
    offset_ns: f64,
}

/// A drift.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Drift {
    /// As measured, ppb.
    measured_ppb: f64,
    /// The part of it that is not explained, ppb; zero: all is explained.
    beyond_ppb: f64,
    /// Duration of the window, s.
    span_s: f64,
}

impl Comparison {
    /// Adds a measurement. Returns the drift if it was computed again.
    fn add(&mut self, path: OtherPath, one: &Comparable) -> Option<Drift> {
        let at_s = (one.at - *self.origin.get_or_insert(one.at)).secs_f64();
        if self.interval != one.interval || self.series != one.series {
            (self.interval, self.series, self.windows) = (one.interval, one.series, None);
        }
        let windows = self.windows.get_or_insert_with(|| Window::pair(one.interval));
        self.added_s = at_s;
        let is_new = windows.each_mut().map(|window| window.add(at_s, one));
        if !is_new.contains(&true) {
            return None;
        }
        let drift = match windows.each_ref().map(|window| window.drift(one.sigma)) {
            [a, b] if a.beyond_ppb.abs() > b.beyond_ppb.abs() => a,
            [_, b] => b,
        };
        let passed_s = at_s - std::mem::replace(&mut self.computed_s, at_s);
        // At the first detection the drift counts over the whole window.
        let counted_s = if self.drift_ppb == 0.0 { drift.span_s } else { passed_s };
        self.drift_ppb = drift.beyond_ppb.clamp(-MAX_DRIFT_PPB, MAX_DRIFT_PPB);
        if self.drift_ppb == 0.0 {
            self.offset_ns *= (-passed_s / OFFSET_MEMORY_S).exp();
        }
        let moved_ns = path.offset_share() * self.drift_ppb * counted_s;
        self.offset_ns = (self.offset_ns + moved_ns).clamp(-MAX_OFFSET_NS, MAX_OFFSET_NS);
        Some(drift)
    }

    /// Returns the drift in ppb and the offset in ns that count at a time.
    fn at(&self, at: Timestamp<Raw>) -> (f64, f64) {
        let Some(origin) = self.origin else { return (0.0, 0.0) };
        let age_s = (at - origin).secs_f64() - self.added_s;
        if age_s < EXPIRY * lengths_s(self.interval)[0] {
            (self.drift_ppb, self.offset_ns)
        } else {
            (0.0, self.offset_ns * (-age_s / OFFSET_MEMORY_S).exp())
        }
    }
}

fn lengths_s(interval: Duration) -> [f64; 2] {
    let [short, _] = MEANS;
    let scale = (MIN_LENGTH_S / (interval * short).secs_f64()).max(1.0);
    MEANS.map(|count| (interval * count).secs_f64() * scale)
}

/// The last means.
#[derive(Debug)]
struct Window {
    averager: Averager,
    points: ArrayVec<Point, MAX_POINTS>,
    max_age_s: f64,
}

/// Mean difference between measurements on the other path and the map.
#[derive(Debug, Clone, Copy)]
struct Point {
    at_s: f64,
    difference_ns: f64,
    /// Uncertainty of the map's rate at that time.
    rate_sigma_ppb: f64,
}

impl Window {
    /// The windows for a Sync interval.
    fn pair(interval: Duration) -> [Self; 2] {
        lengths_s(interval).map(|length_s| Self {
            averager: Averager::new(length_s),
            points: ArrayVec::new(),
            max_age_s: MAX_AGE_FACTOR * length_s * MAX_POINTS as f64,
        })
    }

    /// Returns whether a mean is finished.
    fn add(&mut self, at_s: f64, one: &Comparable) -> bool {
        let Some(finished) = self.averager.push((at_s, one.difference.ns_f64()), 0.0) else { return false };
        let max_age_s = self.max_age_s;
        self.points.retain(|point| at_s - point.at_s < max_age_s);
        if self.points.is_full() {
            self.points.remove(0);
        }
        self.points.push(Point {
            at_s: finished.mean.at_s,
            difference_ns: finished.mean.gain_ns,
            rate_sigma_ppb: one.sigma.rate.ppb(),
        });
        true
    }

    /// Returns the drift, zero if there are too few means.
    fn drift(&self, sigma: Uncertainty) -> Drift {
        let is_settled = |point: &&Point| point.rate_sigma_ppb <= SETTLED_RATIO * sigma.rate.ppb();
        let count = self.points.iter().rev().take_while(is_settled).count();
        let settled = self.points.get(self.points.len() - count..).unwrap_or_default();
        let (Some(first), Some(last), true) = (settled.first(), settled.last(), count >= MIN_POINTS) else {
            return Drift::default();
        };
        let points: ArrayVec<(f64, f64), MAX_POINTS> =
            settled.iter().map(|point| (point.at_s - first.at_s, point.difference_ns)).collect();
        let span_s = last.at_s - first.at_s;
        let Some((measured_ppb, noise_ppb)) = slope_of(&points) else { return Drift::default() };
        // The map's phase moves within its uncertainty, so differences from it drift even where the path delays are constant.
        let by_phase_ppb = 12_f64.sqrt() * sigma.offset.ns_f64() / span_s;
        let explained = noise_ppb.powi(2) + sigma.rate.ppb().powi(2) + by_phase_ppb.powi(2);
        let beyond = (measured_ppb.powi(2) - EXPLAINED_SIGMAS.powi(2) * explained).max(0.0).sqrt();
        Drift { measured_ppb, beyond_ppb: beyond.copysign(measured_ppb), span_s }
    }
}

/// Returns the slope of points and its standard deviation, which allows for noise that is correlated from point to point.
fn slope_of(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let line = MedianLine::through(points)?;
    let count = points.len() as f64;
    let mean_s = points.iter().map(|(t, _)| t).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|(t, _)| (t - mean_s).powi(2)).sum();
    let limit = RESIDUAL_SIGMAS * line.sigma;
    let residual = |point: &(f64, f64)| line.distance(*point).clamp(-limit, limit);
    let energy: f64 = points.iter().map(|point| residual(point).powi(2)).sum();
    let products: f64 =
        points.windows(2).map(|pair| if let [a, b] = pair { residual(a) * residual(b) } else { 0.0 }).sum();
    let raw = if energy > 0.0 { products / energy } else { 0.0 };
    // The fit of a line makes the autocorrelation of its residuals look smaller by (2 + 4 r) / n.
    let autocorrelation = ((count * raw + 2.0) / (count - 4.0)).clamp(0.0, MAX_AUTOCORRELATION);
    let inflation = (1.0 + autocorrelation) / (1.0 - autocorrelation);
    Some((line.slope, line.sigma * (inflation / spread).sqrt()))
}

impl Port {
    /// Compares the clock map with an accepted Sync of the same clock on the other network, whose port is SLAVE.
    pub(crate) fn compare_other_network(&mut self, now: Timestamp<Raw>, sample: &Sample) {
        if let Some(map) = self.estimator.map() {
            let at = sample.arrived.raw;
            self.compare(
                now,
                OtherPath::Network,
                sample.timeline,
                &map,
                at,
                sample.origin - map.dante_at(at),
            );
        }
    }

    /// Compares the estimator's `map` with a measurement on another path at `at`, which differs from the map by `difference`, apart
    /// from the constant delays of the paths.
    pub(super) fn compare(
        &mut self,
        now: Timestamp<Raw>,
        path: OtherPath,
        series: u64,
        map: &ClockMap,
        at: Timestamp<Raw>,
        difference: Duration,
    ) {
        let Some(interval) = self.leader().map(|leader| leader.interval().duration()) else { return };
        // Otherwise the map is extrapolated, or not accurate yet.
        let Some(timeline) = self.timeline.as_mut().filter(|_| self.state == State::Slave) else { return };
        let one = Comparable {
            at,
            difference,
            sigma: map.uncertainty_at(at),
            interval,
            series: (self.estimator.restarts(), series),
        };
        let drift = timeline.comparisons.get_mut(path).add(path, &one);
        if let Some(Drift { measured_ppb, .. }) = drift.filter(|drift| drift.beyond_ppb != 0.0) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates, positive"
            )]
            self.diagnose(now, Diagnostic::PathDrift(measured_ppb.abs().round() as u16));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    /// Uncertainty of a map on white noise of 5 us.
    const SIGMA: Uncertainty = Uncertainty { offset: Duration::from_ns(300), rate: Ratio::from_ppb(8.0) };
    const INTERVAL: Duration = Duration::from_ms(250);

    fn time(s: i64) -> Timestamp<Raw> {
        Timestamp::from_ns(s * 1_000_000_000)
    }

    fn one(s: i64, ns: f64) -> Comparable {
        let difference = Duration::from_ns_f64(ns);
        Comparable { at: time(s), difference, sigma: SIGMA, interval: INTERVAL, series: (0, 0) }
    }

    /// Adds a measurement each 4 s: `ns` at that second, with noise of 5 us that has this autocorrelation. Returns the drifts found.
    fn run(
        comparison: &mut Comparison,
        seconds: std::ops::Range<i64>,
        ns: impl Fn(i64) -> f64,
        autocorrelation: f64,
        sigma: Uncertainty,
    ) -> Vec<Drift> {
        let mut rng = Pcg64Mcg::seed_from_u64(seconds.start.unsigned_abs());
        let (mut noise, mut found) = (0.0, Vec::new());
        for s in seconds.step_by(4) {
            let white = 5_000.0 * 12_f64.sqrt() * (rng.random::<f64>() - 0.5);
            noise = autocorrelation * noise + (1.0 - autocorrelation * autocorrelation).sqrt() * white;
            let one = Comparable { sigma, ..one(s, ns(s) + noise) };
            found.extend(comparison.add(OtherPath::DelayReq, &one));
        }
        found
    }

    /// A drift of 200 ppb for 600 s, which has just ended.
    fn drifted() -> Comparison {
        let mut comparison = Comparison::default();
        run(&mut comparison, 0..600, |s| 200.0 * s as f64, 0.0, SIGMA);
        comparison
    }

    #[test]
    fn drift_is_found_with_its_sign_and_the_offset_accumulates() {
        for drift in [200.0, -200.0] {
            let mut comparison = Comparison::default();
            let found = run(&mut comparison, 0..600, |s| drift * s as f64, 0.0, SIGMA);
            let last = found.last().unwrap();
            assert!((last.measured_ppb - drift).abs() < 20.0, "{last:?} instead of {drift}");
            assert!((last.beyond_ppb - drift).abs() < 30.0, "{last:?} instead of {drift}");
            // Half of 120 us.
            let half_us = comparison.offset_ns / 1e3;
            assert!((half_us / drift.signum() - 60.0).abs() < 12.0, "{half_us} us");
        }
    }

    #[test]
    fn offset_decays_while_the_delay_is_constant_again() {
        let mut comparison = drifted();
        let was = comparison.offset_ns;
        run(&mut comparison, 600..3000, |_| 120_000.0, 0.0, SIGMA);
        assert_eq!(comparison.drift_ppb, 0.0);
        assert!(comparison.offset_ns < 0.1 * was, "{} ns of {was}", comparison.offset_ns);
    }

    #[test]
    fn drift_counts_no_more_without_measurements() {
        let comparison = drifted();
        let (drift, offset) = comparison.at(time(650));
        assert!(drift > 150.0 && offset > 40_000.0, "{drift} ppb, {offset} ns");
        let (drift, left) = comparison.at(time(800));
        assert!(drift == 0.0 && left < offset, "{drift} ppb, {left} ns");
        assert!(comparison.at(time(6_000)).1 < 100.0);
    }

    #[test]
    fn drift_and_offset_are_bounded() {
        let mut comparison = Comparison::default();
        run(&mut comparison, 0..20_000, |s| 10_000.0 * (s % 2_000) as f64, 0.0, SIGMA);
        run(&mut comparison, 20_000..20_600, |s| 10_000.0 * s as f64, 0.0, SIGMA);
        assert_eq!((comparison.drift_ppb, comparison.offset_ns), (MAX_DRIFT_PPB, MAX_OFFSET_NS));
    }

    #[test]
    fn noise_does_not_drift_even_if_it_is_slow() {
        for (autocorrelation, limit) in [(0.0, 0.002), (0.5, 0.005), (0.9, 0.03)] {
            let found = run(&mut Comparison::default(), 0..360_000, |_| 0.0, autocorrelation, SIGMA);
            let false_alarms = found.iter().filter(|drift| drift.beyond_ppb != 0.0).count();
            let share = false_alarms as f64 / found.len() as f64;
            assert!(share < limit, "{share} with an autocorrelation of {autocorrelation}");
        }
    }

    #[test]
    fn differences_from_a_map_that_was_not_settled_do_not_count() {
        let young = Uncertainty { rate: Ratio::from_ppb(50.0), ..SIGMA };
        let mut comparison = Comparison::default();
        run(&mut comparison, 0..120, |s| 500.0 * s as f64, 0.0, young);
        let found = run(&mut comparison, 120..180, |_| 60_000.0, 0.0, SIGMA);
        assert!(!found.is_empty() && found.iter().all(|drift| *drift == Drift::default()), "{found:?}");
    }

    #[test]
    fn differences_of_another_series_or_interval_do_not_count() {
        let others = [
            Comparable { series: (1, 0), ..one(600, 120_000.0) },
            Comparable { series: (0, 1), ..one(600, 120_000.0) },
            Comparable { interval: INTERVAL * 4, ..one(600, 120_000.0) },
        ];
        for other in others {
            let mut comparison = drifted();
            for s in (600..1_200).step_by(20) {
                let found = comparison.add(OtherPath::Network, &Comparable { at: time(s), ..other });
                assert!(found.is_none_or(|drift| drift.beyond_ppb == 0.0), "{found:?} at {s} s");
            }
        }
    }

    #[test]
    fn drift_is_found_at_any_sync_interval() {
        for ms in [62, 250, 2_000, 16_000] {
            let (interval, mut comparison) = (Duration::from_ms(ms), Comparison::default());
            let mut last = Drift::default();
            // Delay_Reqs, 2 to 30 intervals apart.
            let mut at = Timestamp::ZERO;
            for n in 0..400 {
                at = at + interval * (2 + 28 * (n % 2));
                let difference = (at - Timestamp::ZERO) * Ratio::from_ppb(300.0);
                let one = Comparable { at, difference, interval, ..one(0, 0.0) };
                last = comparison.add(OtherPath::DelayReq, &one).unwrap_or(last);
            }
            assert!((last.measured_ppb - 300.0).abs() < 1.0 && last.beyond_ppb > 250.0, "{ms} ms: {last:?}");
        }
    }
}
