//! Errors of the estimated rate, if the leader's true rate is known and constant.

use super::{Replay, ReplayError};
use dante_core::time::Ratio;
use std::fmt;

/// Errors of the rate over the settled part of a recording. Its text is one line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateErrors {
    /// Root mean square, ppb.
    pub rms_ppb: f64,
    /// Largest absolute value, ppb.
    pub worst_ppb: f64,
    /// Share of the errors within two stated standard deviations, 0 to 1.
    pub within_2_sigma: f64,
    /// Jumps and restarts. A constant rate has none, so each is a false alarm.
    pub false_alarms: u64,
}

impl RateErrors {
    /// Compares the rates with `truth`, from `after_s` seconds after the first Sync on; `None`: from a small stated uncertainty on.
    ///
    /// # Errors
    /// If the recording ends before that.
    pub fn of(replay: &Replay, truth: Ratio, after_s: Option<f64>) -> Result<Self, ReplayError> {
        let first = replay.steps.first().map(|step| step.measurement.raw);
        let is_before = |step: &super::Step, after_s: f64| {
            first.is_some_and(|first| (step.measurement.raw - first).secs_f64() < after_s)
        };
        let start = after_s.map_or_else(
            || replay.settled(),
            |after_s| replay.steps.partition_point(|step| is_before(step, after_s)).max(replay.converged),
        );
        let after_end = ReplayError::AfterEnd { after_s: after_s.unwrap_or(0.0), span_s: replay.span_s() };
        let (before, steps) = replay.steps.split_at_checked(start).unwrap_or_default();
        let last = steps.last().ok_or(after_end)?;

        let (mut squares, mut worst_ppb, mut within) = (0.0, 0.0_f64, 0_u32);
        for step in steps {
            let error = (step.rate - truth).ppb();
            squares += error * error;
            worst_ppb = worst_ppb.max(error.abs());
            within += u32::from(error.abs() <= 2.0 * step.rate_sigma.ppb());
        }
        let count = steps.len() as f64;
        let jumps = steps.iter().filter(|step| step.is_jump()).count() as u64;
        Ok(Self {
            rms_ppb: (squares / count).sqrt(),
            worst_ppb,
            within_2_sigma: f64::from(within) / count,
            false_alarms: jumps + last.restarts - before.last().map_or(0, |step| step.restarts),
        })
    }
}

impl fmt::Display for RateErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rms_ppb, worst_ppb, within_2_sigma, false_alarms } = self;
        let percent = 100.0 * within_2_sigma;
        write!(
            f,
            "rate_rms_ppb={rms_ppb:.1} rate_worst_ppb={worst_ppb:.1} within_2_sigma={percent:.1} false_alarms={false_alarms}"
        )
    }
}
