//! The states of the port and their transitions (IEEE 1588-2002, 7.3; a slave-only port has no others).
//!
//! ```text
//! INITIALIZING --opened--> LISTENING --leader chosen--> UNCALIBRATED --converged--> SLAVE
//!       |                   ^   ^ ^                        |   ^                     | |
//!       |                   |   | +-------- silence -------+   +- diverged, another -+ |
//!     failed             opened +----------------------------- silence ----------------+
//!       v                   |
//!     FAULTY ---------------+        (failed leads to FAULTY from every state)
//! ```

use crate::numbered;

numbered! {
    /// Port states, numbered as IEEE 1588-2002 numbers them.
    pub enum State {
        /// The sockets are not open yet.
        Initializing = 0 "INITIALIZING",
        /// The interface or the sockets failed; opening them is retried.
        Faulty = 1 "FAULTY",
        /// No leader is received.
        Listening = 3 "LISTENING",
        /// A leader was chosen; its rate is not known well enough yet.
        Uncalibrated = 7 "UNCALIBRATED",
        /// The leader is followed.
        Slave = 8 "SLAVE",
    }
}

/// Causes of state transitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The sockets were opened.
    Opened,
    /// The interface or the sockets failed.
    Failed,
    /// A leader was chosen, or another one instead.
    LeaderChosen,
    /// The leader's rate is known well enough.
    Converged,
    /// The estimate of the leader's time is no longer valid, or gets no new measurements.
    Diverged,
    /// The leader's Syncs stopped.
    Silence,
}

impl State {
    /// Returns the state after `event`; `None` if the event has no effect.
    pub const fn after(self, event: Event) -> Option<Self> {
        match (self, event) {
            (_, Event::Failed) => Some(Self::Faulty),
            (Self::Initializing | Self::Faulty, Event::Opened) => Some(Self::Listening),
            (Self::Listening | Self::Uncalibrated | Self::Slave, Event::LeaderChosen) => {
                Some(Self::Uncalibrated)
            }
            (Self::Uncalibrated, Event::Converged) => Some(Self::Slave),
            (Self::Slave, Event::Diverged) => Some(Self::Uncalibrated),
            (Self::Uncalibrated | Self::Slave, Event::Silence) => Some(Self::Listening),
            _ => None,
        }
    }

    /// Whether the sockets are open, so that packets are processed.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Initializing | Self::Faulty)
    }
}
