//! The leader's true time, told to whoever judges a follower.

use anyhow::Context;
use dante_core::time::{Ratio, Timestamp};
use dante_sim::oscillator::Oscillator;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// [`Oscillator`] as `dantesim leader --truth FILE` writes it: JSON.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Truth {
    raw0_ns: i64,
    dante0_ns: i64,
    rate_ppb: f64,
    wander_ppb: f64,
}

impl From<Oscillator> for Truth {
    fn from(oscillator: Oscillator) -> Self {
        Self {
            raw0_ns: oscillator.line.raw0.ns(),
            dante0_ns: oscillator.line.at0.ns(),
            rate_ppb: oscillator.line.rate.ppb(),
            wander_ppb: oscillator.wander.ppb(),
        }
    }
}

impl From<Truth> for Oscillator {
    fn from(truth: Truth) -> Self {
        let (rate, wander) = (Ratio::from_ppb(truth.rate_ppb), Ratio::from_ppb(truth.wander_ppb));
        Self::new(Timestamp::from_ns(truth.raw0_ns), Timestamp::from_ns(truth.dante0_ns), rate, wander)
    }
}

impl Truth {
    /// Writes it whole or not at all.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let part = path.with_extension("part");
        let text = serde_json::to_string(self)?;
        std::fs::write(&part, text)
            .and_then(|()| std::fs::rename(&part, path))
            .with_context(|| format!("cannot write the truth to {}", path.display()))
    }
}
