//! The port's states and the arrows between them (IEEE 1588-2002, 7.3; a slave-only port has no others).
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
        /// The interface failed; it is tried again.
        Faulty = 1 "FAULTY",
        /// No leader is heard.
        Listening = 3 "LISTENING",
        /// A leader was chosen, its rate is not known well enough yet.
        Uncalibrated = 7 "UNCALIBRATED",
        /// The leader is followed.
        Slave = 8 "SLAVE",
    }
}

/// What moves the port from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The sockets are open.
    Opened,
    /// The interface or the sockets failed.
    Failed,
    /// A leader, or another one, is followed from now on.
    LeaderChosen,
    /// The leader's rate is known well enough.
    Converged,
    /// What was known of the leader holds no longer.
    Diverged,
    /// The leader is silent.
    Silence,
}

impl State {
    /// The state after `event`; `None` where the event means nothing.
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

    /// The sockets are open and packets mean something.
    pub const fn is_open(self) -> bool {
        !matches!(self, Self::Initializing | Self::Faulty)
    }
}
