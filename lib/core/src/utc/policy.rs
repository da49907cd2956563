//! The UTC policy that the user configures, and its bounds.

use crate::numbered;
use crate::time::{Duration, Ratio, Real, Timestamp};

numbered! {
    /// What is kept when leader and UTC run at different rates, which they do by 6 to 66 ppm: the leader's rate, or UTC.
    #[derive(Default)]
    pub enum Policy {
        /// The rate is exactly the leader's; a UTC error above a threshold is corrected by a step.
        #[default]
        Step = 0 "step",
        /// The rate is the leader's, off by at most a bound while a UTC error is corrected.
        Slew = 1 "slew",
        /// The rate is exactly the leader's; UTC is set once.
        Free = 2 "free",
        /// The rate is UTC's in the long run, the leader's over minutes.
        Utc = 3 "utc",
    }
}

/// The UTC policy and its bounds.
#[derive(Debug, Clone, Copy)]
pub struct UtcRules {
    /// What is kept when leader and UTC run at different rates.
    pub policy: Policy,
    /// At the start a larger UTC error is corrected by a step.
    pub first_step: Duration,
    /// [`Policy::Step`] corrects a larger UTC error by a step.
    pub step_threshold: Duration,
    /// Largest difference from the leader's rate with [`Policy::Slew`], and of the correction of a UTC error with [`Policy::Utc`].
    pub max_slew: Ratio,
    /// UTC is synchronised while the UTC bound is below this.
    pub max_error: Duration,
    /// Earlier times are implausible: the time when the program was built.
    pub earliest: Timestamp<Real>,
}

impl UtcRules {
    /// Largest difference from the leader's rate with [`Policy::Utc`]: leaders are up to 66 ppm off UTC.
    pub const UTC_SLEW: Ratio = Ratio::from_ppm(150.0);
    /// Shortest time between two steps of [`Policy::Step`].
    pub const STEPS_APART: Duration = Duration::from_secs(60);

    /// Largest difference from the leader's rate to correct UTC.
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
