//! Slow changes of the path delay, as another path shows them: the Delay_Reqs to the leader, or the Syncs of the same clock on the
//! other network.
//!
//! On one path alone, a delay that changes slowly cannot be distinguished from a change of the leader's rate: the clock map follows
//! it. Measurements on another path then drift away from the map. As much of this drift as their noise and the map's uncertainty do
//! not explain is added to the published uncertainty. Which of the two paths changes is unknown, so nothing is corrected.

use super::{Diagnostic, Port, Sample, State};
use crate::estimate::means::Averager;
use crate::estimate::median_line::{MAX_POINTS, MedianLine};
use crate::time::{Duration, Ratio, Raw, Timestamp, Uncertainty};
use arrayvec::ArrayVec;

/// Lengths of the means, s. The drift is that of the last 32 means, over two minutes and over nine.
const LENGTHS_S: [f64; 2] = [4.0, 16.0];
/// Fewest means that show a drift.
const MIN_POINTS: usize = 16;
/// Age of a mean, relative to the length of all of them, from which on it is dropped: Delay_Reqs are up to 7.5 s apart.
const MAX_AGE_FACTOR: f64 = 2.0;
/// Drift that noise explains, in standard deviations.
const NOISE_SIGMAS: f64 = 3.0;
/// Largest ratio of the map's uncertainty at the time of a mean to the present one: before that the map was not settled.
const SETTLED_RATIO: f64 = 2.0;
/// Time after which 1/e of the offset by an earlier drift is left, s: the path with its new delay is as good as before.
const OFFSET_MEMORY_S: f64 = 600.0;
/// Largest autocorrelation from mean to mean for which the uncertainty of the drift allows.
const MAX_AUTOCORRELATION: f64 = 0.95;

/// The other path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OtherPath {
    /// From this port to the leader. The path delay is half the sum of both, so the offset is wrong by half the drift.
    DelayReq,
    /// From the same clock through the other network.
    Network,
}

impl OtherPath {
    /// Share of the drift by which the offset is wrong at most.
    const fn offset_share(self) -> f64 {
        match self {
            Self::DelayReq => 0.5,
            Self::Network => 1.0,
        }
    }
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

    /// Returns the uncertainty with the drifts.
    pub(super) fn added_to(&self, sigma: Uncertainty) -> Uncertainty {
        [&self.delay_req, &self.network].iter().fold(sigma, |sigma, comparison| Uncertainty {
            offset: Duration::from_ns_f64(sigma.offset.ns_f64().hypot(comparison.offset_ns)),
            rate: Ratio::from_ppb(sigma.rate.ppb().hypot(comparison.drift_ppb)),
        })
    }
}

/// Comparison of the clock map with one other path.
#[derive(Debug)]
struct Comparison {
    /// From which times are counted.
    origin: Option<Timestamp<Raw>>,
    windows: [Window; 2],
    /// When the drift was computed, s.
    at_s: f64,
    /// Drift beyond what is explained, ppb; zero if there is none.
    drift_ppb: f64,
    /// Offset by which the map may be wrong because of it, ns.
    offset_ns: f64,
}

impl Default for Comparison {
    fn default() -> Self {
        let windows = LENGTHS_S.map(Window::new);
        Self { origin: None, windows, at_s: 0.0, drift_ppb: 0.0, offset_ns: 0.0 }
    }
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

impl Comparison {
    /// Adds the difference of a measurement from the map. Returns the drift if it was computed again, ppb.
    fn add(
        &mut self,
        path: OtherPath,
        at: Timestamp<Raw>,
        difference: Duration,
        sigma: Uncertainty,
    ) -> Option<f64> {
        let at_s = (at - *self.origin.get_or_insert(at)).secs_f64();
        let is_new = self.windows.each_mut().map(|window| window.add(at_s, difference.ns_f64(), sigma));
        if !is_new.contains(&true) {
            return None;
        }
        let (drift_ppb, span_s) = match self.windows.each_ref().map(|window| window.unexplained(sigma)) {
            [a, b] if a.0.abs() > b.0.abs() => a,
            [_, b] => b,
        };
        let passed_s = at_s - std::mem::replace(&mut self.at_s, at_s);
        // When it is seen first, it began before the window or in it.
        let unseen_s = if self.drift_ppb == 0.0 { span_s } else { passed_s };
        let memory = if drift_ppb == 0.0 { (-passed_s / OFFSET_MEMORY_S).exp() } else { 1.0 };
        self.offset_ns = memory * self.offset_ns + path.offset_share() * drift_ppb * unseen_s;
        self.drift_ppb = drift_ppb;
        Some(drift_ppb)
    }
}

impl Window {
    fn new(length_s: f64) -> Self {
        Self {
            averager: Averager::new(length_s),
            points: ArrayVec::new(),
            max_age_s: MAX_AGE_FACTOR * length_s * MAX_POINTS as f64,
        }
    }

    /// Returns whether a mean is finished.
    fn add(&mut self, at_s: f64, difference_ns: f64, sigma: Uncertainty) -> bool {
        let Some(finished) = self.averager.push((at_s, difference_ns), 0.0) else { return false };
        let max_age_s = self.max_age_s;
        self.points.retain(|point| at_s - point.at_s < max_age_s);
        if self.points.is_full() {
            self.points.remove(0);
        }
        self.points.push(Point {
            at_s: finished.mean.at_s,
            difference_ns: finished.mean.gain_ns,
            rate_sigma_ppb: sigma.rate.ppb(),
        });
        true
    }

    /// Returns the drift in ppb that neither its own uncertainty nor that of the map explains, and the duration of the window in s.
    fn unexplained(&self, sigma: Uncertainty) -> (f64, f64) {
        let is_settled = |point: &&Point| point.rate_sigma_ppb <= SETTLED_RATIO * sigma.rate.ppb();
        let count = self.points.iter().rev().take_while(is_settled).count();
        let settled = self.points.get(self.points.len() - count..).unwrap_or_default();
        let (Some(first), Some(last), true) = (settled.first(), settled.last(), count >= MIN_POINTS) else {
            return (0.0, 0.0);
        };
        let points: ArrayVec<(f64, f64), MAX_POINTS> =
            settled.iter().map(|point| (point.at_s - first.at_s, point.difference_ns)).collect();
        let span_s = last.at_s - first.at_s;
        let Some((drift, drift_sigma)) = drift_of(&points) else { return (0.0, 0.0) };
        // The map's phase wanders within its uncertainty, so differences from it drift even without slow delays.
        let wander = 12_f64.sqrt() * sigma.offset.ns_f64() / span_s;
        let explained = drift_sigma.powi(2) + sigma.rate.ppb().powi(2) + wander.powi(2);
        let beyond = (drift.powi(2) - NOISE_SIGMAS.powi(2) * explained).max(0.0).sqrt();
        (beyond.copysign(drift), span_s)
    }
}

/// Returns the slope of points and its standard deviation, which allows for noise that is correlated from point to point.
fn drift_of(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let line = MedianLine::through(points)?;
    let count = points.len() as f64;
    let mean_s = points.iter().map(|(t, _)| t).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|(t, _)| (t - mean_s).powi(2)).sum();
    let limit = NOISE_SIGMAS * line.sigma;
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
    /// Compares the clock map with a Sync that the same clock has sent on the other network.
    pub fn compare_other_network(&mut self, now: Timestamp<Raw>, sample: &Sample) {
        if self.state == State::Slave
            && sample.accepted
            && let Some(map) = self.estimator.map()
        {
            let at = sample.arrived.raw;
            self.compare(now, OtherPath::Network, at, sample.origin - map.dante_at(at));
        }
    }

    /// Compares the clock map with a measurement on another path: CLOCK_MONOTONIC_RAW and the leader's time of one instant, apart
    /// from the constant delay of that path.
    pub(super) fn compare(
        &mut self,
        now: Timestamp<Raw>,
        path: OtherPath,
        at: Timestamp<Raw>,
        difference: Duration,
    ) {
        let (Some(timeline), Some(map)) = (&mut self.timeline, self.estimator.map()) else { return };
        let Some(drift_ppb) = timeline.comparisons.get_mut(path).add(path, at, difference, map.sigma) else {
            return;
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, positive")]
        let ppb = drift_ppb.abs().round() as u16;
        if ppb > 0 {
            self.diagnose(now, Diagnostic::SlowDelay(ppb));
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

    /// Adds a difference each 4 s for `seconds`: the drift in ppb, and noise of 5 us with this autocorrelation. Returns the drifts
    /// found.
    fn run(
        comparison: &mut Comparison,
        seconds: std::ops::Range<i64>,
        drift_ppb: f64,
        autocorrelation: f64,
        sigma: Uncertainty,
    ) -> Vec<f64> {
        let mut rng = Pcg64Mcg::seed_from_u64(seconds.start.unsigned_abs());
        let (mut noise, mut found) = (0.0, Vec::new());
        for s in seconds.step_by(4) {
            let white = 5_000.0 * 12_f64.sqrt() * (rng.random::<f64>() - 0.5);
            noise = autocorrelation * noise + (1.0 - autocorrelation * autocorrelation).sqrt() * white;
            let (at, ns) = (Timestamp::from_ns(s * 1_000_000_000), drift_ppb * s as f64 + noise);
            found.extend(comparison.add(OtherPath::DelayReq, at, Duration::from_ns_f64(ns), sigma));
        }
        found
    }

    #[test]
    fn drift_is_found_with_its_sign_and_the_offset_accumulates() {
        for drift in [200.0, -200.0] {
            let mut comparison = Comparison::default();
            let found = run(&mut comparison, 0..600, drift, 0.0, SIGMA);
            let last = found.last().unwrap();
            assert!((last - drift).abs() < 20.0, "{last} instead of {drift}");
            // Half of 120 us, of which the first seconds were not seen.
            let half_us = comparison.offset_ns / 1e3;
            assert!((half_us / drift.signum() - 60.0).abs() < 12.0, "{half_us} us");
        }
    }

    #[test]
    fn offset_decays_when_the_delay_is_constant_again() {
        let mut comparison = Comparison::default();
        run(&mut comparison, 0..600, 200.0, 0.0, SIGMA);
        let was = comparison.offset_ns;
        run(&mut comparison, 600..3000, 0.0, 0.0, SIGMA);
        assert_eq!(comparison.drift_ppb, 0.0);
        assert!(comparison.offset_ns < 0.5 * was, "{} ns of {was}", comparison.offset_ns);
    }

    #[test]
    fn noise_does_not_drift_even_if_it_is_slow() {
        for (autocorrelation, limit) in [(0.0, 0.002), (0.5, 0.005), (0.9, 0.03)] {
            let found = run(&mut Comparison::default(), 0..360_000, 0.0, autocorrelation, SIGMA);
            let false_alarms = found.iter().filter(|drift| **drift != 0.0).count();
            let share = false_alarms as f64 / found.len() as f64;
            assert!(share < limit, "{share} with an autocorrelation of {autocorrelation}");
        }
    }

    #[test]
    fn differences_from_a_map_that_was_not_settled_do_not_count() {
        let young = Uncertainty { rate: Ratio::from_ppb(50.0), ..SIGMA };
        let mut comparison = Comparison::default();
        run(&mut comparison, 0..120, 500.0, 0.0, young);
        let found = run(&mut comparison, 120..180, 0.0, 0.0, SIGMA);
        assert!(!found.is_empty() && found.iter().all(|drift| *drift == 0.0), "{found:?}");
    }

    #[test]
    fn uncertainty_is_unchanged_without_a_drift() {
        assert_eq!(Comparisons::default().added_to(SIGMA), SIGMA);
    }
}
