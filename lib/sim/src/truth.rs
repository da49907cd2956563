//! The leader's true time, told to whoever judges a follower.

use crate::oscillator::Oscillator;
use dante_core::time::{Ratio, Timestamp};
use serde::{Deserialize, Serialize};

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
