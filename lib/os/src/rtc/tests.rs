//! The RTC of this machine is never set; where there is one that may be read, it is read.

use super::*;

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
        let offset = zone::local_offset(seconds).unwrap();
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
    assert!(matches!(rtc.error("set", Errno::EACCES), RtcError::NotPermitted { .. }));
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
