//! On which days leap seconds are.

use crate::time::{Civil, Real, Timestamp};

const DAY_S: i64 = 86_400;

/// Whether `utc` lies on the last day of June or December, at whose end leap seconds are (ITU-R TF.460). Servers announce
/// them up to a month ahead, and the kernel would take them at the next midnight.
pub fn is_leap_day(utc: Timestamp<Real>) -> bool {
    let seconds = utc.ns().div_euclid(1_000_000_000);
    let (today, tomorrow) = (Civil::at(seconds), Civil::at(seconds + DAY_S));
    tomorrow.day == 1 && [6, 12].contains(&today.month)
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
