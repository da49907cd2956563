//! Replay of recorded Syncs (`pmc-lite log`) through the estimator: what the estimator states about its own errors, compared with
//! the residuals, with independent fits and, if known, with the leader's true rate.

use dante_core::estimate::{Classification, Estimator, Measurement, RateGuess};
use dante_core::time::{Duration, Ratio};
use dante_sim::link::Recording;
use std::fmt;

pub mod consistency;
pub mod truth;

/// Number of measurements required for SLAVE, as in the port.
const CONVERGED_DEPTH: usize = 5;
/// Uncertainty of the rate below which the port is SLAVE, ppm.
const CONVERGED_PPM: f64 = 20.0;
/// Uncertainty of the rate from which on its errors count, ppb.
const SETTLED_PPB: f64 = 50.0;

/// Why a recording cannot be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub enum ReplayError {
    /// The estimator did not reach the accuracy that the port requires for SLAVE.
    NotConverged {
        /// Number of Syncs.
        syncs: usize,
        /// Time from the first Sync to the last, s.
        span_s: f64,
    },
    /// No Sync is late enough after the first one.
    AfterEnd {
        /// The required time after the first Sync, s.
        after_s: f64,
        /// Time from the first Sync to the last, s.
        span_s: f64,
    },
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConverged { syncs, span_s } => write!(
                f,
                "too few Syncs: the estimator did not converge with {syncs} Syncs in {span_s:.1} s; record for longer"
            ),
            Self::AfterEnd { after_s, span_s } => {
                write!(f, "no Sync is {after_s} s after the first one: the log ends after {span_s:.1} s")
            }
        }
    }
}

impl std::error::Error for ReplayError {}

/// One Sync and the state of the estimator.
#[derive(Debug, Clone, Copy)]
struct Step {
    measurement: Measurement,
    classification: Classification,
    /// Standard deviation that the estimator stated for the residual before the update, ns.
    expected_ns: f64,
    /// Rate of the clock map after the update.
    rate: Ratio,
    /// Its stated standard deviation at the arrival of the Sync.
    rate_sigma: Ratio,
    /// Stated standard deviation of the leader's time at the arrival of the Sync.
    offset_sigma: Duration,
    /// [`Estimator::restarts`] after the update.
    restarts: u64,
}

impl Step {
    /// Residual of an accepted Sync, ns. A rejected Sync does not belong to the noise that the estimator describes.
    fn residual_ns(&self) -> Option<f64> {
        match self.classification {
            Classification::Accepted { residual } => Some(residual.ns_f64()),
            _ => None,
        }
    }

    fn is_jump(&self) -> bool {
        matches!(self.classification, Classification::Jumped { .. })
    }
}

/// The Syncs of a recording, each with the state of the estimator.
#[derive(Debug, Clone)]
pub struct Replay {
    steps: Vec<Step>,
    /// Index of the Sync with which the estimator converged. It stays converged.
    converged: usize,
}

impl Replay {
    /// Runs an estimator without a guess of the rate over the recording.
    ///
    /// # Errors
    /// If the estimator does not converge.
    pub fn of(recording: &Recording) -> Result<Self, ReplayError> {
        let mut converged = None;
        let mut steps = Vec::with_capacity(recording.measurements().len());
        let mut estimator = Estimator::new(RateGuess::UNKNOWN);
        for (index, measurement) in recording.measurements().iter().enumerate() {
            let step = Step::of(&mut estimator, *measurement);
            let is_precise = step.rate_sigma.ppm() < CONVERGED_PPM;
            if converged.is_none() && is_precise && estimator.depth() >= CONVERGED_DEPTH {
                converged = Some(index);
            }
            steps.push(step);
        }
        let not_converged = ReplayError::NotConverged { syncs: steps.len(), span_s: span_s(&steps) };
        Ok(Self { converged: converged.ok_or(not_converged)?, steps })
    }

    /// Index of the Sync from which on errors of the rate count: the first one after which their stated uncertainty is small. The first
    /// errors after convergence are large, and would dominate the rms. If the uncertainty never is small, all errors count.
    fn settled(&self) -> usize {
        let is_settled = |step: &Step| step.rate_sigma.ppb() < SETTLED_PPB;
        self.evaluated().iter().position(is_settled).map_or(self.converged, |after| self.converged + after)
    }

    /// The Syncs from the one on with which the estimator converged.
    fn evaluated(&self) -> &[Step] {
        self.steps.get(self.converged..).unwrap_or_default()
    }

    /// The Syncs whose residual is relative to a converged clock map.
    fn predicted(&self) -> &[Step] {
        self.evaluated().get(1..).unwrap_or_default()
    }

    fn span_s(&self) -> f64 {
        span_s(&self.steps)
    }
}

impl Step {
    fn of(estimator: &mut Estimator, measurement: Measurement) -> Self {
        let before = estimator.map().map_or(0.0, |map| map.uncertainty_at(measurement.raw).offset.ns_f64());
        let expected_ns = estimator.noise().ns_f64().hypot(before);
        let classification = estimator.update(measurement);
        let map = estimator.map();
        let sigma = map.map(|map| map.uncertainty_at(measurement.raw));
        Self {
            measurement,
            classification,
            expected_ns,
            rate: map.map_or(RateGuess::UNKNOWN.rate, |map| map.line.rate),
            rate_sigma: sigma.map_or(RateGuess::UNKNOWN.sigma, |sigma| sigma.rate),
            offset_sigma: sigma.map_or(Duration::ZERO, |sigma| sigma.offset),
            restarts: estimator.restarts(),
        }
    }
}

/// Time from the first Sync to the last, s.
fn span_s(steps: &[Step]) -> f64 {
    match (steps.first(), steps.last()) {
        (Some(first), Some(last)) => (last.measurement.raw - first.measurement.raw).secs_f64(),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests;
