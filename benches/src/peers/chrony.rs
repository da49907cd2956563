//! chrony-like: a regression line through up to 64 samples. The runs test removes old samples that do not fit the line. The
//! remaining offset is slewed.
//!
//! Simplified: a sample is the median of the four Syncs of a second, like a reference clock with a poll interval of 1 s. All
//! samples have the same weight (chrony weights by delay, which is constant here). The runs test is the normal approximation of
//! chrony's table, at the same level of 5 %, without chrony's use of older samples. chrony corrects its stored samples for its own
//! corrections of the clock; this is equivalent to a regression on an uncorrected clock, which is used here.

use super::dantesync::median;
use super::{Follower, clock_at, offset_ns, run_at};
use crate::trace::{BEGIN, Sync};
use dante_core::time::{Duration, Raw, Timestamp, VirtualClock};

/// Largest frequency correction of the kernel, ppb.
const BOUND_PPB: f64 = 500_000.0;
/// Largest number of samples.
const MAX_SAMPLES: usize = 64;
/// Number of samples that the runs test does not reduce.
const MIN_SAMPLES: usize = 8;
/// chrony's corrtimeratio.
const CORRECTION_TIME_RATIO: f64 = 3.0;

/// Regression line through the samples, at the newest one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    offset_ns: f64,
    slope_ppb: f64,
    offset_sd_ns: f64,
}

/// The follower.
#[derive(Debug)]
pub struct Chrony {
    clock: VirtualClock,
    pending_ns: Vec<f64>,
    /// Time of each sample, and the offset of a clock without corrections, ns.
    samples: Vec<(Timestamp<Raw>, f64)>,
    /// End of the current slew, and the frequency after it.
    slew: Option<(Timestamp<Raw>, f64)>,
}

impl Default for Chrony {
    fn default() -> Self {
        Self { clock: clock_at(BEGIN), pending_ns: Vec::new(), samples: Vec::new(), slew: None }
    }
}

impl Chrony {
    /// Returns the number of samples of the line.
    pub fn samples(&self) -> usize {
        self.samples.len()
    }

    /// Returns the sum of all corrections of the clock until `raw`, ns.
    fn corrected_ns(&self, raw: Timestamp<Raw>) -> f64 {
        (self.clock.at(raw).ns() - clock_at(BEGIN).at(raw).ns()) as f64
    }

    fn end_slew(&mut self, now: Timestamp<Raw>) {
        if let Some((end, frequency)) = self.slew
            && now >= end
        {
            run_at(&mut self.clock, end, frequency, BOUND_PPB);
            self.slew = None;
        }
    }

    fn measured(&mut self, now: Timestamp<Raw>, offset_ns: f64) {
        self.samples.push((now, offset_ns - self.corrected_ns(now)));
        if self.samples.len() > MAX_SAMPLES {
            self.samples.remove(0);
        }
        let mut line = fit(&self.samples);
        while self.samples.len() > MIN_SAMPLES && has_few_runs(&self.samples, &line) {
            self.samples.remove(0);
            line = fit(&self.samples);
        }
        if self.samples.len() < 4 {
            return;
        }
        // The correction has the opposite sign of the clock's rate.
        let frequency = -line.slope_ppb;
        let remaining = line.offset_ns + self.corrected_ns(now);
        // As in sys_generic.c: the smaller the offset relative to its uncertainty, the longer the slew.
        let per_s = CORRECTION_TIME_RATIO * 0.5 * line.offset_sd_ns;
        let span_s = (per_s / remaining.abs().max(1e-3)).clamp(1.0, 1e4);
        let slewing = run_at(&mut self.clock, now, frequency - remaining / span_s, BOUND_PPB);
        // A slew at the bound takes longer.
        let span_s = if slewing == frequency { 1.0 } else { (remaining / (frequency - slewing)).abs() };
        self.slew = Some((now + Duration::from_secs_f64(span_s), frequency));
    }
}

impl Follower for Chrony {
    fn name(&self) -> &'static str {
        "chrony-like"
    }

    fn sync(&mut self, sync: &Sync) {
        self.end_slew(sync.arrived);
        let offset = offset_ns(&self.clock, sync, Duration::ZERO);
        self.pending_ns.push(offset - self.corrected_ns(sync.arrived));
        if self.pending_ns.len() == crate::trace::PER_SECOND {
            // The four offsets are carried to the last one by the slope of the line.
            let known = if self.samples.len() > 3 { fit(&self.samples).slope_ppb } else { 0.0 };
            let ages = [0.75, 0.5, 0.25, 0.0];
            let carried: Vec<f64> =
                self.pending_ns.iter().zip(ages).map(|(ns, age)| ns + known * age).collect();
            self.pending_ns.clear();
            self.measured(sync.arrived, median(&carried) + self.corrected_ns(sync.arrived));
        }
    }

    fn clock(&self) -> &VirtualClock {
        &self.clock
    }
}

/// Fits a line by least squares.
fn fit(samples: &[(Timestamp<Raw>, f64)]) -> Line {
    let (Some(&(newest, zero)), n) = (samples.last(), samples.len() as f64) else {
        return Line { offset_ns: 0.0, slope_ppb: 0.0, offset_sd_ns: 0.0 };
    };
    let point = |&(raw, ns): &(Timestamp<Raw>, f64)| ((raw - newest).secs_f64(), ns - zero);
    let (st, sy) = samples.iter().map(point).fold((0.0, 0.0), |(t, y), (pt, py)| (t + pt, y + py));
    let (mt, my) = (st / n, sy / n);
    let (stt, sty) = samples
        .iter()
        .map(point)
        .fold((0.0, 0.0), |(tt, ty), (t, y)| (tt + (t - mt) * (t - mt), ty + (t - mt) * (y - my)));
    let slope = if stt > 0.0 { sty / stt } else { 0.0 };
    let left: f64 = samples.iter().map(point).map(|(t, y)| (y - my - slope * (t - mt)).powi(2)).sum();
    let variance = left / (n - 2.0).max(1.0);
    let of_offset = if stt > 0.0 { variance * (1.0 / n + mt * mt / stt) } else { variance };
    Line { offset_ns: zero + my - slope * mt, slope_ppb: slope, offset_sd_ns: of_offset.sqrt() }
}

/// Whether the line does not fit: the residuals have fewer runs than 95 % of random sequences. A run is a series of residuals of
/// one sign.
fn has_few_runs(samples: &[(Timestamp<Raw>, f64)], line: &Line) -> bool {
    let Some(&(newest, _)) = samples.last() else { return false };
    let above = samples
        .iter()
        .map(|&(raw, ns)| ns - line.offset_ns - line.slope_ppb * (raw - newest).secs_f64() > 0.0);
    let signs: Vec<bool> = above.collect();
    let runs = 1 + signs.windows(2).filter(|pair| pair.first() != pair.last()).count();
    let n = samples.len() as f64;
    (runs as f64) < (n + 1.0) / 2.0 - 1.645 * (n - 1.0).sqrt() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::tests::noiseless;
    use crate::trace::{NETWORKS, Trace};
    use dante_sim::oscillator::Model;

    #[test]
    fn rate_and_offset_are_exact_without_noise() {
        let mut chrony = Chrony::default();
        let mut last = None;
        for sync in noiseless(-42_000.0, 200.0) {
            chrony.sync(&sync);
            last = Some((sync.phase_ns(&chrony.clock), chrony.clock.line().rate.ppb()));
        }
        let (phase, rate) = last.unwrap();
        assert!((rate + 42_000.0).abs() < 2.0, "{rate} ppb");
        assert!(phase.abs() < 20.0, "{phase} ns");
    }

    #[test]
    fn runs_test_removes_samples_after_a_rate_step() {
        let model = Model {
            steps: vec![(Duration::from_secs(100), dante_core::time::Ratio::from_ppm(5.0))],
            ..Model::STEADY
        };
        let mut chrony = Chrony::default();
        let (mut before, mut fewest) = (0, MAX_SAMPLES);
        for sync in Trace::new(&NETWORKS[0], model, 10.0, 3).take(4 * 130) {
            chrony.sync(&sync);
            if sync.at_s() < 100.0 {
                before = chrony.samples();
            } else {
                fewest = fewest.min(chrony.samples());
            }
        }
        assert!(before >= 40 && fewest <= 16, "{before} samples before, {fewest} after");
    }
}
