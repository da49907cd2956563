//! The steerer's states and the arrows between them.
//!
//! ```text
//! WAITING --leader--> ACQUIRING --rate known--> LOCKED --lost--> HOLDOVER
//!    ^                    |                       ^                  |
//!    +------- lost -------+                       +--- rate known ---+
//!
//! every state --refused--> REFUSED --accepted--> WAITING
//! every state but REFUSED --disturbed--> YIELDED --taken--> WAITING
//! ```

use std::fmt;

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
