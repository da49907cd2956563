//! The RTC of this machine is never set; where there is one that may be read, it is read.

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

#[test]
fn the_rtc_counts_months_from_0_and_years_from_1900() {
    let time = to_rtc(1_709_164_800 + 3_723, Zone::Utc).unwrap();
    let expected = RtcTime { sec: 3, min: 2, hour: 1, mday: 29, mon: 1, year: 124, ..RtcTime::default() };
    assert_eq!(time, expected);
    assert_eq!(from_rtc(&time, Zone::Utc), Some(1_709_164_800 + 3_723));
    assert_eq!(size_of::<RtcTime>(), 36);
    assert_eq!(from_rtc(&RtcTime::default(), Zone::Utc), None, "an RTC without a battery");
}

#[test]
fn local_time_is_the_systems() {
    // Not in the hour in which a change of the clocks makes local time ambiguous, in any zone.
    for seconds in [1_700_000_000, 1_720_000_000, 1_784_000_000] {
        let time = to_rtc(seconds, Zone::Local).unwrap();
        assert_eq!(from_rtc(&time, Zone::Local), Some(seconds));
        let offset = civil::local_offset(seconds).unwrap();
        assert_eq!(to_rtc(seconds + offset, Zone::Utc), Some(time));
        assert!(offset.abs() <= 15 * 3_600, "{offset} s");
    }
}

#[test]
fn the_zone_is_the_third_line_of_adjtime() {
    assert_eq!(Zone::of_adjtime("0.0 0 0.0\n0\nLOCAL\n"), Zone::Local);
    assert_eq!(Zone::of_adjtime("0.0 0 0.0\n0\nUTC\n"), Zone::Utc);
    assert_eq!(Zone::of_adjtime("LOCAL\n"), Zone::Utc);
    assert_eq!(Zone::of_adjtime(""), Zone::Utc);
}

#[test]
fn what_cannot_be_read_is_told_in_a_sentence() {
    let error = |path: &str| Rtc::new(path).read().unwrap_err().to_string();
    assert_eq!(error("/dev/rtc-nowhere"), "no RTC at /dev/rtc-nowhere");
    assert_eq!(error("/dev/null"), "/dev/null is not an RTC");
    let rtc = Rtc::new("/dev/rtc0");
    let sentence = |tried, cause| rtc.error(tried, cause).to_string();
    assert_eq!(sentence("set", Errno::EBUSY), "the RTC at /dev/rtc0 is busy: another program has it open");
    assert!(rtc.error("set", Errno::EACCES).is_permission());
    assert!(sentence("set", Errno::EACCES).starts_with("no right to set the RTC at /dev/rtc0: "));
    assert!(sentence("set", Errno::EIO).starts_with("cannot set the RTC at /dev/rtc0: "));
    assert!(sentence("read", Errno::EINVAL).contains("no valid date"));
}

/// Needs an RTC and the right to read it; passed over without.
#[test]
fn an_rtc_is_read() {
    match Rtc::new("/dev/rtc0").read() {
        Ok(time) => assert!(time > Timestamp::ZERO, "{time:?}"),
        Err(error) => eprintln!("skipped: {error}"),
    }
}
