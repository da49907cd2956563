//! Civil dates of the Gregorian calendar.

use std::fmt;

/// A date and a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Year of the Gregorian calendar.
    pub year: i64,
    /// Month, from 1.
    pub month: i64,
    /// Day of the month, from 1.
    pub day: i64,
    /// Hour, 0 to 23.
    pub hour: i64,
    /// Minute, 0 to 59.
    pub minute: i64,
    /// Second, 0 to 59, or 60 in a leap second.
    pub second: i64,
}

const DAY: i64 = 86_400;
/// Days from 1 March to the first day of each month, from March on.
const BEFORE: [i64; 12] = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337];
/// Days in 400 years, the period of the calendar.
const PERIOD: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

impl Civil {
    /// Returns the date and time of day in UTC, `seconds` after 1970-01-01.
    pub fn at(seconds: i64) -> Self {
        let (days, rest) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        // Years start in March, so that the leap day is their last day.
        let days = days + EPOCH;
        let (period, day) = (days.div_euclid(PERIOD), days.rem_euclid(PERIOD));
        // Subtract the leap days before `day`: one in 4 years, none in 100 years, one in 400 years.
        let year = (day - day / 1_460 + day / 36_524 - day / (PERIOD - 1)) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let index = BEFORE.iter().rposition(|before| *before <= day).unwrap_or(0);
        let before = BEFORE.get(index).copied().unwrap_or(0);
        let march_month = i64::try_from(index).unwrap_or(0);
        let (month, next) = if march_month < 10 { (march_month + 3, 0) } else { (march_month - 9, 1) };
        Self {
            year: period * 400 + year + next,
            month,
            day: day - before + 1,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
        }
    }

    /// Returns the seconds after 1970-01-01, or `None` if this is no valid UTC date of the years 1 to 9999. A leap second gives
    /// the same number as the second after it.
    pub fn seconds(&self) -> Option<i64> {
        let Self { year, month, day, hour, minute, second } = *self;
        let is_time = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
        if !is_time || !(1..10_000).contains(&year) || !(1..=12).contains(&month) || day < 1 {
            return None;
        }
        let (march_year, march_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let before = *BEFORE.get(usize::try_from(march_month).ok()?)?;
        let years = 365 * march_year + march_year / 4 - march_year / 100 + march_year / 400;
        let seconds = (years + before + day - 1 - EPOCH) * DAY + hour * 3_600 + minute * 60 + second;
        // Converted back, a day that the month does not have is a day of another month.
        let back = Self::at(seconds - second);
        (back.month == month && back.day == day).then_some(seconds)
    }
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute, second } = self;
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn civil(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> Civil {
        Civil { year, month, day, hour, minute, second }
    }

    #[test]
    fn converts_known_dates() {
        for (seconds, date) in [
            (0, civil(1970, 1, 1, 0, 0, 0)),
            (-1, civil(1969, 12, 31, 23, 59, 59)),
            (951_782_399, civil(2000, 2, 28, 23, 59, 59)),
            (951_782_400, civil(2000, 2, 29, 0, 0, 0)),
            (951_868_800, civil(2000, 3, 1, 0, 0, 0)),
            (1_000_000_000, civil(2001, 9, 9, 1, 46, 40)),
            (1_483_228_799, civil(2016, 12, 31, 23, 59, 59)),
            (1_709_164_800, civil(2024, 2, 29, 0, 0, 0)),
            (1_740_787_200, civil(2025, 3, 1, 0, 0, 0)),
            (2_147_483_648, civil(2038, 1, 19, 3, 14, 8)),
            (4_107_542_399, civil(2100, 2, 28, 23, 59, 59)),
            (4_107_542_400, civil(2100, 3, 1, 0, 0, 0)),
            (-2_203_891_200, civil(1900, 3, 1, 0, 0, 0)),
        ] {
            assert_eq!(Civil::at(seconds), date);
            assert_eq!(date.seconds(), Some(seconds), "{date:?}");
        }
    }

    #[test]
    fn converts_every_day_of_800_years() {
        let mut last = Civil::at(-11_676_096_000);
        assert_eq!(last, civil(1600, 1, 1, 0, 0, 0));
        for day in 1..=2 * 146_097 {
            let seconds = -11_676_096_000 + day * 86_400;
            let date = Civil::at(seconds);
            let leap = date.year % 4 == 0 && (date.year % 100 != 0 || date.year % 400 == 0);
            let length = match last.month {
                2 if leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            let next = if last.day < length {
                civil(last.year, last.month, last.day + 1, 0, 0, 0)
            } else if last.month < 12 {
                civil(last.year, last.month + 1, 1, 0, 0, 0)
            } else {
                civil(last.year + 1, 1, 1, 0, 0, 0)
            };
            assert_eq!(date, next);
            assert_eq!(date.seconds(), Some(seconds));
            last = date;
        }
    }

    #[test]
    fn rejects_invalid_dates() {
        for wrong in [
            civil(2025, 2, 29, 0, 0, 0),
            civil(2100, 2, 29, 0, 0, 0),
            civil(2026, 4, 31, 0, 0, 0),
            civil(2026, 0, 1, 0, 0, 0),
            civil(2026, 13, 1, 0, 0, 0),
            civil(2026, 1, 0, 0, 0, 0),
            civil(2026, 1, 1, 24, 0, 0),
            civil(2026, 1, 1, 0, 60, 0),
            civil(2026, 1, 1, 0, 0, -1),
            civil(0, 1, 1, 0, 0, 0),
        ] {
            assert_eq!(wrong.seconds(), None, "{wrong:?}");
        }
        assert_eq!(civil(2016, 12, 31, 23, 59, 60).seconds(), Some(1_483_228_800), "a leap second");
    }
}
