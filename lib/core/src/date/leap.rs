//! On which days leap seconds are.

use crate::time::{Real, Timestamp};

const DAY_NS: i64 = 86_400_000_000_000;

/// Whether `utc` lies on the last day of June or December, at whose end leap seconds are (ITU-R TF.460). Servers announce
/// them up to a month ahead, and the kernel would take them at the next midnight.
pub fn is_leap_day(utc: Timestamp<Real>) -> bool {
    let today = utc.ns().div_euclid(DAY_NS);
    let (month, _) = month_and_day(today);
    let (_, tomorrow) = month_and_day(today + 1);
    tomorrow == 1 && (month == 6 || month == 12)
}

/// Month and day of the month in the Gregorian calendar, of a day counted from 1970-01-01. Years are counted from March,
/// so that the day that is not always there is the last one; from there the months' lengths follow 153 days in five.
fn month_and_day(days: i64) -> (i64, i64) {
    let since_0000_march = days + 719_468;
    let day_of_era = since_0000_march.rem_euclid(146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    (if month < 10 { month + 3 } else { month - 9 }, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_the_calendar() {
        // From date(1): date -u -d "2016-12-31" +%s, in days.
        let known = [
            (0, (1, 1)),
            (17_166, (12, 31)),
            (17_167, (1, 1)),
            (11_016, (2, 29)),
            (11_017, (3, 1)),
            (-1, (12, 31)),
        ];
        for (days, expected) in known {
            assert_eq!(month_and_day(days), expected, "day {days}");
        }
    }

    #[test]
    fn leap_seconds_are_at_the_end_of_june_and_december() {
        let day = |days: i64, seconds: i64| {
            is_leap_day(Timestamp::from_ns(days * DAY_NS + seconds * 1_000_000_000))
        };
        assert!(day(17_166, 0) && day(17_166, 86_399));
        assert!(!day(17_165, 86_399) && !day(17_167, 0));
        // 2015-06-30 and 2015-07-31.
        assert!(day(16_616, 43_200) && !day(16_647, 43_200));
        // 2000-02-29 is the last of its month, too.
        assert!(!day(11_016, 0));
    }
}
