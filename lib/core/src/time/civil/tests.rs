use super::*;

fn civil(year: i64, month: i64, day: i64, hour: i64, minute: i64, second: i64) -> Civil {
    Civil { year, month, day, hour, minute, second }
}

#[test]
fn dates_are_those_of_the_calendar() {
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
fn every_day_of_800_years_follows_the_one_before() {
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
fn what_is_no_date_is_none() {
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
