//! UTC: replies of NTP servers, selection of those that agree, the leader's rate against UTC, and the UTC policy that the user
//! configured.
//!
//! The rate comes from the leader, UTC from elsewhere. Each reply of a server is a pair (CLOCK_MONOTONIC_RAW, UTC), so that steps
//! and slews of the system clock, by this or another program, do not affect the measurements.

mod drift;
mod estimate;
pub mod packet;
mod policy;
mod saved;
mod server_clock;
pub mod servers;
mod servo;

pub use estimate::UtcError;
pub use policy::{Policy, UtcRules};
pub use saved::{ClockIdentity, SavedUtc, SavedUtcUse};
pub use server_clock::{Refusal, ServerClock, UNDECLARED_ERROR};
pub use servers::UtcMeasurement;
pub use servo::{UtcEvent, UtcServo};

use crate::numbered;
use crate::time::{Civil, Duration, Raw, Real, Timestamp};

/// One reply of an NTP server, measured against CLOCK_MONOTONIC_RAW, which nothing steers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// The middle between request and reply.
    pub raw: Timestamp<Raw>,
    /// UTC at that instant, if the path delay is the same in both directions.
    pub utc: Timestamp<Real>,
    /// From the request to the reply, without the server's processing time (delta of RFC 5905, section 8).
    pub round_trip: Duration,
    /// What the server announces for the end of the UTC day.
    pub leap: Leap,
    /// What the server declares about its own clock.
    pub server: ServerClock,
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

/// Whether `utc` lies on the last day of June or December, at whose end leap seconds are (ITU-R TF.460). Servers announce them up
/// to a month ahead, but the kernel would apply them at the next midnight.
pub fn is_leap_day(utc: Timestamp<Real>) -> bool {
    const DAY_S: i64 = 86_400;
    let seconds = utc.ns().div_euclid(1_000_000_000);
    let (today, tomorrow) = (Civil::at(seconds), Civil::at(seconds + DAY_S));
    tomorrow.day == 1 && [6, 12].contains(&today.month)
}

/// Whether `utc` is at most 24 h before or after an instant at which a leap second can be.
fn is_near_leap(utc: Timestamp<Real>) -> bool {
    is_leap_day(utc) || is_leap_day(utc - Duration::from_secs(86_400))
}

/// The result of one request to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A time.
    Time(Exchange),
    /// The kiss code RATE (RFC 5905, section 7.4): send fewer requests.
    SlowDown,
    /// The kiss codes DENY and RSTR: send no more requests.
    Denied,
    /// No usable reply: none at all, or one that was refused ([`Refusal`]).
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leap_seconds_are_at_the_end_of_june_and_december() {
        let on = |year, month, day, second| {
            let civil = Civil { year, month, day, hour: 23, minute: 59, second };
            is_leap_day(Timestamp::from_ns(civil.seconds().unwrap() * 1_000_000_000))
        };
        assert!(on(2016, 12, 31, 0) && on(2016, 12, 31, 59) && on(2015, 6, 30, 30));
        let near = |year, month, day, hour| {
            let civil = Civil { year, month, day, hour, minute: 30, second: 0 };
            is_near_leap(Timestamp::from_ns(civil.seconds().unwrap() * 1_000_000_000))
        };
        assert!(near(2016, 12, 31, 0) && near(2017, 1, 1, 23) && near(2026, 7, 1, 12));
        assert!(!near(2016, 12, 30, 23) && !near(2017, 1, 2, 0) && !near(2026, 10, 1, 0));
        assert!(!on(2016, 12, 30, 59) && !on(2017, 1, 1, 0) && !on(2015, 7, 31, 59) && !on(2000, 2, 29, 59));
    }
}
