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

use crate::time::Ratio;
use std::fmt;

/// The leader's rate must be known to this before the clock is locked to it: an error of 2 ppm is what a media clock
/// does not feel, and the estimator comes to it within 3 s. So well a frequency has to be known to be remembered.
const LOCK: Ratio = Ratio::from_ppm(2.0);
/// And is let go when it is known to no better than this: what is known of a noise that is only just being found moves.
const UNLOCK: Ratio = Ratio::from_ppm(6.0);

/// Where the steerer stands. The numbers are those on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// No leader yet; the clock is left as it is.
    Waiting = 0,
    /// The leader's rate is not known well enough yet; the clock is left as it is.
    Acquiring = 1,
    /// The clock is held on Dante + K.
    Locked = 2,
    /// The leader is gone; the clock keeps its rate.
    Holdover = 3,
    /// The clock cannot be corrected.
    Refused = 4,
    /// Another program steers the clock; it is left to it for a while.
    Yielded = 5,
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
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Waiting, Self::Acquiring, Self::Locked, Self::Holdover, Self::Refused, Self::Yielded];

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

    /// From the number on a page.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| *state as u8 == number)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "WAITING",
            Self::Acquiring => "ACQUIRING",
            Self::Locked => "LOCKED",
            Self::Holdover => "HOLDOVER",
            Self::Refused => "REFUSED",
            Self::Yielded => "YIELDED",
        })
    }
}
