//! The policy that the user chooses, and its bounds.

use crate::numbered;
use crate::time::{Duration, Ratio, Real, Timestamp};

numbered! {
    /// Rate and date cannot both hold: a leader runs some ppm off UTC. What gives way is the user's choice.
    #[derive(Default)]
    pub enum Policy {
        /// The rate is exactly the leader's; the date is set by a step when it is off by a threshold.
        #[default]
        Step = 0 "step",
        /// The rate is the leader's, off by at most a bound while the date is corrected.
        Slew = 1 "slew",
        /// The rate is exactly the leader's; the date is set once.
        Free = 2 "free",
        /// The rate is UTC's in the long run; the leader's only over minutes.
        Utc = 3 "utc",
    }
}

/// The policy and its bounds.
#[derive(Debug, Clone, Copy)]
pub struct UtcRules {
    /// What gives way.
    pub policy: Policy,
    /// At the start the date is set by a step if it is off by more than this.
    pub first_step: Duration,
    /// [`Policy::Step`] steps when the date is off by more than this.
    pub step_threshold: Duration,
    /// [`Policy::Slew`] runs off the leader's rate by at most this.
    pub max_slew: Ratio,
    /// The date is good while its error is certainly below this.
    pub max_error: Duration,
    /// No date before this one is believed: the program was not there yet.
    pub earliest: Timestamp<Real>,
}

impl UtcRules {
    /// [`Policy::Utc`] runs off the leader's rate by at most this: leaders are up to 66 ppm off UTC.
    pub const UTC_SLEW: Ratio = Ratio::from_ppm(150.0);
    /// [`Policy::Step`] steps no more often.
    pub const STEPS_APART: Duration = Duration::from_secs(60);

    /// How far the clock may run off the leader's rate for the date's sake.
    pub fn slew_bound(&self) -> Ratio {
        match self.policy {
            Policy::Step | Policy::Free => Ratio::ZERO,
            Policy::Slew => self.max_slew,
            Policy::Utc => Self::UTC_SLEW,
        }
    }
}

impl Default for UtcRules {
    fn default() -> Self {
        Self {
            policy: Policy::Step,
            first_step: Duration::from_ms(20),
            step_threshold: Duration::from_ms(10),
            max_slew: Ratio::from_ppm(5.0),
            max_error: Duration::from_ms(100),
            earliest: Timestamp::from_ns(0),
        }
    }
}
