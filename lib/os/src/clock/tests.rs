//! These tests read the kernel's clocks and never change them.

use super::realtime::{Realtime, frequency_alone, from_timex, setoffset, to_timex};
use super::*;

#[test]
fn frequency_saturates_at_500_ppm() {
    assert_eq!(to_timex(Ratio::from_ppm(500.0)), Some(500 << 16));
    assert_eq!(to_timex(Ratio::from_ppm(501.0)), Some(500 << 16));
    assert_eq!(to_timex(Ratio::from_ppm(-1e12)), Some(-(500 << 16)));
    assert_eq!(to_timex(Ratio::from_ppm(12.0)), Some(12 << 16));
    assert_eq!(to_timex(Ratio::new(f64::NAN)), None);
    assert_eq!(to_timex(Ratio::new(f64::INFINITY)), None);
}

#[test]
fn frequency_keeps_its_sign_and_value_to_half_a_unit() {
    for units in [-32_768_000, -1, 0, 1, 7, 65_536, 32_768_000] {
        assert_eq!(to_timex(from_timex(units)), Some(units));
    }
    for ppb in [-66_123.456, -0.1, 0.02, 11_950.0] {
        let taken = from_timex(to_timex(Ratio::from_ppb(ppb)).unwrap());
        assert!((taken.ppb() - ppb).abs() <= 1000.0 / 65_536.0 / 2.0 + 1e-9, "{ppb} became {}", taken.ppb());
    }
}

#[test]
fn a_step_back_has_positive_nanoseconds() {
    let parts = |ns| (setoffset(Duration::from_ns(ns)).tv_sec, setoffset(Duration::from_ns(ns)).tv_usec);
    assert_eq!(parts(-1), (-1, 999_999_999));
    assert_eq!(parts(-1_000_000_000), (-1, 0));
    assert_eq!(parts(-1_500_000_000), (-2, 500_000_000));
    assert_eq!(parts(2_000_000_001), (2, 1));
    assert_eq!(parts(i64::MIN), (-9_223_372_037, 145_224_192));
}

#[test]
fn only_what_steers_by_itself_is_turned_off() {
    let found = libc::STA_PLL | libc::STA_FREQHOLD | libc::STA_FLL | libc::STA_PPSFREQ | libc::STA_NANO;
    assert_eq!(frequency_alone(found), 0);
    assert_eq!(frequency_alone(found | libc::STA_UNSYNC | libc::STA_INS), libc::STA_UNSYNC | libc::STA_INS);
}

#[test]
fn the_clocks_state_is_read_without_rights() {
    let timex = Realtime::open().unwrap().timex().unwrap();
    assert!(timex.frequency.abs() <= Ratio::from_ppm(500.0), "{timex:?}");
    assert!((9_000..=11_000).contains(&timex.tick), "{timex:?}");
    assert!(timex.max_error >= Duration::ZERO, "{timex:?}");
}

#[test]
fn raw_time_never_goes_back() {
    let mut last = raw_now();
    for _ in 0..1000 {
        let next = raw_now();
        assert!(next >= last);
        last = next;
    }
}

#[test]
fn a_reading_is_a_tight_bracket_of_now() {
    let before = raw_now();
    let reading = read_realtime();
    let after = raw_now();
    assert!(before <= reading.raw && reading.raw <= after);
    assert!(reading.width >= Duration::ZERO && reading.width < Duration::from_ms(5), "{reading:?}");
    let std = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let apart = i64::try_from(std.as_nanos()).unwrap() - reading.real.ns();
    assert!(apart.abs() < 1_000_000_000, "CLOCK_REALTIME was read {apart} ns off");
}

#[test]
fn a_virtual_clock_starts_as_the_real_one() {
    let clock = SystemClock::Virtual(Virtual::start());
    let (real, stand_in) = (read_realtime(), clock.read());
    let apart = (stand_in.real - real.real) - (stand_in.raw - real.raw);
    assert!(apart.abs() < Duration::from_ms(5), "{apart:?}");
    assert_eq!(clock.frequency(), Ok(Ratio::ZERO));
}

#[test]
fn a_virtual_clock_takes_what_the_kernel_would() {
    let mut clock = SystemClock::Virtual(Virtual::start());
    assert_eq!(clock.set_frequency(Ratio::from_ppm(900.0)), Ok(Ratio::from_ppm(500.0)));
    assert_eq!(clock.set_frequency(Ratio::new(f64::NAN)), Err(ClockError::NotFinite));
    assert_eq!(clock.frequency(), Ok(Ratio::from_ppm(500.0)), "a refused frequency changes nothing");
    let before = clock.line().unwrap();
    clock.step(Duration::from_secs(-3)).unwrap();
    let reading = clock.read();
    assert_eq!(before.at(reading.raw) - reading.real, Duration::from_secs(3));
}

#[test]
fn a_refusal_says_which_right_is_missing() {
    let refused = ClockError::Refused { tried: "stepping CLOCK_REALTIME" };
    assert!(refused.is_permission() && refused.to_string().contains("CAP_SYS_TIME"));
    assert!(!ClockError::Failed { tried: "stepping CLOCK_REALTIME", cause: Errno::EINVAL }.is_permission());
}
