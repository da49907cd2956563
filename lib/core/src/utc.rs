//! UTC: what NTP servers state, which of them a majority agrees with, how the leader's seconds run against UTC, and what the
//! policy that the user chose makes of it.
//!
//! Rate comes from the leader, the date from elsewhere. Every answer of a server is a pair (CLOCK_MONOTONIC_RAW, UTC),
//! so that nothing that is done to the system clock, by us or by anybody, spoils what was measured.

mod drift;
mod estimate;
mod policy;
pub mod servers;
mod servo;

pub use estimate::UtcError;
pub use policy::{Policy, UtcRules};
pub use servers::UtcMeasurement;
pub use servo::{UtcEvent, UtcServo};

use crate::numbered;
use crate::time::{Civil, Duration, Raw, Real, Timestamp};

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

/// Whether `utc` lies on the last day of June or December, at whose end leap seconds are (ITU-R TF.460). Servers announce
/// them up to a month ahead, and the kernel would take them at the next midnight.
pub fn is_leap_day(utc: Timestamp<Real>) -> bool {
    const DAY_S: i64 = 86_400;
    let seconds = utc.ns().div_euclid(1_000_000_000);
    let (today, tomorrow) = (Civil::at(seconds), Civil::at(seconds + DAY_S));
    tomorrow.day == 1 && [6, 12].contains(&today.month)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leap_seconds_are_at_the_end_of_june_and_december() {
        let on = |year, month, day, second| {
            let date = Civil { year, month, day, hour: 23, minute: 59, second };
            is_leap_day(Timestamp::from_ns(date.seconds().unwrap() * 1_000_000_000))
        };
        assert!(on(2016, 12, 31, 0) && on(2016, 12, 31, 59) && on(2015, 6, 30, 30));
        assert!(!on(2016, 12, 30, 59) && !on(2017, 1, 1, 0) && !on(2015, 7, 31, 59) && !on(2000, 2, 29, 59));
    }
}
