//! The steerer's states and the arrows between them.
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

/// The leader's rate must be known to this before the clock is locked to it: an error of 2 ppm is what a media clock
/// does not feel, and the estimator comes to it within 3 s. So well a frequency has to be known to be remembered.
const LOCK: Ratio = Ratio::from_ppm(2.0);
/// And is let go when it is known to no better than this: what is known of a noise that is only just being found moves.
const UNLOCK: Ratio = Ratio::from_ppm(6.0);

numbered! {
    /// Where the steerer stands. The numbers are those on the page.
    pub enum State {
        /// No leader yet; the clock is left as it is.
        Waiting = 0 "WAITING",
        /// The leader's rate is not known well enough yet; the clock is left as it is.
        Acquiring = 1 "ACQUIRING",
        /// The clock is held on Dante + K.
        Locked = 2 "LOCKED",
        /// The leader is gone; the clock keeps its rate.
        Holdover = 3 "HOLDOVER",
        /// The clock cannot be corrected.
        Refused = 4 "REFUSED",
        /// Another program steers the clock; it is left to it for a while.
        Yielded = 5 "YIELDED",
    }
}

/// What moves the steerer from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// dante4l follows a leader.
    Leader,
    /// The leader's rate is known well enough.
    RateKnown,
    /// There is nothing to steer by.
    Lost,
    /// A correction failed.
    Refused,
    /// A correction was taken.
    Accepted,
    /// Another program steers the clock.
    Disturbed,
    /// The clock was taken in hand again.
    Taken,
}

impl State {
    /// The state after `event`; `None` where nothing changes.
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

    /// How well the leader's rate has to be known, one standard deviation, for the clock to be locked to it.
    pub const fn needs(self) -> Ratio {
        if matches!(self, Self::Locked) { UNLOCK } else { LOCK }
    }
}
