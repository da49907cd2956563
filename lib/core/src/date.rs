//! The date: what NTP servers say of UTC, which of them to believe, how the leader's seconds run against UTC, and what the
//! policy that the user chose makes of it.
//!
//! Rate comes from the leader, the date from elsewhere. Every answer of a server is a pair (CLOCK_MONOTONIC_RAW, UTC),
//! so that nothing that is done to the system clock, by us or by anybody, spoils what was measured.

mod drift;
mod keeper;
mod leap;
mod policy;
pub mod servers;

pub use keeper::{DateError, DateKeeper, DateNews};
pub use leap::is_leap_day;
pub use policy::{DateRules, Policy};
pub use servers::Verdict;

use crate::numbered;
use crate::time::{Duration, Raw, Real, Timestamp};

/// One answer of a time server, tied to the clock that nobody steers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// The middle between question and answer.
    pub raw: Timestamp<Raw>,
    /// UTC at that instant, if the way to the server takes as long as the way back.
    pub utc: Timestamp<Real>,
    /// From the question to the answer, without the server's own time (delta of RFC 5905, section 8).
    pub round_trip: Duration,
    /// What the server announces for the end of the UTC day.
    pub leap: Leap,
}

numbered! {
    /// A leap second at the end of the UTC day.
    #[derive(Default)]
    pub enum Leap {
        /// None.
        #[default]
        None = 0 "none",
        /// The last minute has 61 seconds.
        Insert = 1 "insert",
        /// The last minute has 59 seconds.
        Delete = 2 "delete",
    }
}

/// What came of one question to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A time.
    Time(Exchange),
    /// The kiss code RATE (RFC 5905, section 7.4): ask less often.
    SlowDown,
    /// The kiss codes DENY and RSTR: never ask again.
    Denied,
    /// Nothing that can be used: no answer, garbage, a server that is not synchronised itself, or a clock stepped
    /// between question and answer.
    Nothing,
}
