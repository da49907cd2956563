//! The steerer's states and transitions.
//!
//! ```text
//! WAITING --leader--> ACQUIRING --rate known--> LOCKED --lost--> HOLDOVER
//!    ^                    |                       ^                  |
//!    +------- lost -------+                       +--- rate known ---+
//!
//! WAITING, ACQUIRING, LOCKED, HOLDOVER --refused---> REFUSED --accepted--> WAITING
//!                                      --disturbed-> YIELDED --taken-----> WAITING
//! ```

use crate::numbered;
use crate::time::Ratio;

/// The clock is locked when the uncertainty of the leader's rate is below this. A media clock tolerates an error of 2 ppm, and the
/// estimator reaches this uncertainty within 3 s. It is also the limit for a frequency in the drift file.
const LOCK: Ratio = Ratio::from_ppm(2.0);
/// The lock is lost when the uncertainty exceeds this. Higher than [`LOCK`], because the estimated noise, and with it the
/// uncertainty, still varies while the noise is first measured.
const UNLOCK: Ratio = Ratio::from_ppm(6.0);

numbered! {
    /// The steerer's state. The numbers are those on the page.
    pub enum State {
        /// No leader is followed; the clock keeps its frequency.
        Waiting = 0 "WAITING",
        /// The leader's rate is not known well enough yet; the clock is not steered.
        Acquiring = 1 "ACQUIRING",
        /// The clock is steered to Dante time + the epoch offset (K).
        Locked = 2 "LOCKED",
        /// No usable clock map: no leader, dante4l does not run, or a new timeline begins. The clock keeps its last rate.
        Holdover = 3 "HOLDOVER",
        /// The clock cannot be corrected.
        Refused = 4 "REFUSED",
        /// Another program steers the clock; this one pauses.
        Yielded = 5 "YIELDED",
    }
}

/// What changes the steerer's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// dante4l follows a leader.
    Leader,
    /// The leader's rate is known well enough.
    RateKnown,
    /// There is no leader to follow.
    Lost,
    /// A correction failed.
    Refused,
    /// A correction was accepted.
    Accepted,
    /// Another program steers the clock.
    Disturbed,
    /// Control of the clock was taken again.
    Taken,
}

impl State {
    /// Returns the state after `event`; `None` where it does not change.
    pub const fn after(self, event: Event) -> Option<Self> {
        match (self, event) {
            (Self::Waiting, Event::Leader) => Some(Self::Acquiring),
            (Self::Acquiring | Self::Holdover, Event::RateKnown) => Some(Self::Locked),
            (Self::Acquiring, Event::Lost) => Some(Self::Waiting),
            (Self::Locked, Event::Lost) => Some(Self::Holdover),
            (Self::Refused, Event::Accepted) | (Self::Yielded, Event::Taken) => Some(Self::Waiting),
            (Self::Waiting | Self::Acquiring | Self::Locked | Self::Holdover, Event::Disturbed) => {
                Some(Self::Yielded)
            }
            (Self::Waiting | Self::Acquiring | Self::Locked | Self::Holdover, Event::Refused) => {
                Some(Self::Refused)
            }
            _ => None,
        }
    }

    /// Largest uncertainty of the leader's rate, one standard deviation, with which the clock may be locked.
    pub const fn max_rate_sigma(self) -> Ratio {
        if matches!(self, Self::Locked) { UNLOCK } else { LOCK }
    }
}
