//! These tests read the kernel's clocks and never change them.

use super::realtime::{
    declared_status, frequency_alone, from_timex, setoffset, timex_of, to_timex, whole_us,
};
use super::*;
use dante_core::steer::{Declared, KernelLeap, NOMINAL_TICK, SELF_STEERING};
use dante_core::utc::Leap;

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
    let (kernel, timex) = (Realtime::open().unwrap().kernel().unwrap(), timex().unwrap());
    assert!(kernel.frequency.abs() <= Ratio::from_ppm(500.0), "{kernel:?}");
    assert!((9_000..=11_000).contains(&kernel.tick), "{kernel:?}");
    assert!(timex.max_error >= Duration::ZERO, "{timex:?}");
}

fn kernel(fill: impl FnOnce(&mut libc::timex)) -> libc::timex {
    // SAFETY: timex is made of integers alone, for which zero is a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    timex.tick = NOMINAL_TICK;
    fill(&mut timex);
    timex
}

#[test]
fn the_kernels_return_value_is_the_leap_state() {
    let leap = |state| timex_of(state, &kernel(|_| ())).kernel.leap;
    let known =
        [KernelLeap::None, KernelLeap::Insert, KernelLeap::Delete, KernelLeap::Passing, KernelLeap::Over];
    for (state, expected) in (0..).zip(known) {
        assert_eq!(leap(state), expected);
    }
    assert_eq!((leap(5), leap(9)), (KernelLeap::Unsynchronised, KernelLeap::Unknown(9)));
}

#[test]
fn an_offset_is_in_us_unless_the_kernel_says_ns() {
    let slew = |status| timex_of(libc::TIME_OK, &kernel(|t| (t.offset, t.status) = (-7, status))).kernel.slew;
    assert_eq!([0, libc::STA_NANO].map(slew), [Duration::from_us(-7), Duration::from_ns(-7)]);
}

/// dante-core knows the bits without libc.
#[test]
fn the_bits_of_self_steering_are_the_kernels() {
    let bits = libc::STA_PLL | libc::STA_FLL | libc::STA_FREQHOLD | libc::STA_PPSFREQ | libc::STA_PPSTIME;
    assert_eq!(SELF_STEERING, bits);
}

#[test]
fn a_declaration_touches_no_other_bit() {
    let good = |leap| Declared::Good { max_error: Duration::ZERO, est_error: Duration::ZERO, leap };
    // STA_PPSSIGNAL is the kernel's own, STA_PLL steers; 0x10000 stands for what may yet be invented.
    let found = 0x10000 | libc::STA_UNSYNC | libc::STA_DEL | libc::STA_PLL | libc::STA_PPSSIGNAL;
    assert_eq!(declared_status(found, good(Leap::None)), 0x10000);
    assert_eq!(declared_status(found, good(Leap::Insert)), 0x10000 | libc::STA_INS);
    assert_eq!(declared_status(libc::STA_INS, good(Leap::Delete)), libc::STA_DEL);
    assert_eq!(
        declared_status(0x10000 | libc::STA_INS, Declared::Bad { max_error: Duration::ZERO }),
        0x10000 | libc::STA_UNSYNC
    );
}

#[test]
fn declared_errors_are_rounded_up_and_bounded() {
    assert_eq!([-1, 0, 1, 1_000, 1_001].map(|ns| whole_us(Duration::from_ns(ns))), [0, 0, 1, 1, 2]);
    assert_eq!(whole_us(Duration::MAX), 16_000_000);
}

#[test]
fn a_virtual_clock_is_ruled_by_its_frequency_alone() {
    let mut clock = SystemClock::stand_in();
    let good = Declared::Good { max_error: Duration::ZERO, est_error: Duration::ZERO, leap: Leap::None };
    for setting in [Setting::Frequency(Ratio::from_ppm(3.0)), Setting::Control, Setting::Declared(good)] {
        assert_eq!(clock.set(setting), Ok(Ratio::from_ppm(3.0)), "{setting:?}");
    }
    let kernel = clock.read().kernel.unwrap();
    assert_eq!((kernel.disturbance(Ratio::from_ppm(3.0)), kernel.leftovers().count()), (None, 0));
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
    let mut clock = SystemClock::stand_in();
    let (real, stand_in) = (read_realtime(), clock.read().reading);
    let apart = (stand_in.real - real.real) - (stand_in.raw - real.raw);
    assert!(apart.abs() < Duration::from_ms(5), "{apart:?}");
    assert_eq!(clock.kernel().unwrap().frequency, Ratio::ZERO);
}

#[test]
fn a_virtual_clock_takes_what_the_kernel_would() {
    let mut clock = SystemClock::stand_in();
    let mut set = |rate| clock.set(Setting::Frequency(rate));
    assert_eq!(set(Ratio::from_ppm(900.0)), Ok(Ratio::from_ppm(500.0)));
    assert_eq!(set(Ratio::new(f64::NAN)), Err(Fault::Failed(ClockError::NotFinite)));
    let before = clock.line().unwrap();
    assert_eq!(before.rate, Ratio::from_ppm(500.0), "a refused frequency changes nothing");
    clock.step(Duration::from_secs(-3)).unwrap();
    let reading = clock.read().reading;
    assert_eq!(before.at(reading.raw) - reading.real, Duration::from_secs(3));
}

#[test]
fn a_refusal_says_which_right_is_missing() {
    let refused = ClockError::Refused { tried: "stepping CLOCK_REALTIME" };
    assert!(refused.denial() == Some(Denial::NotPermitted) && refused.to_string().contains("CAP_SYS_TIME"));
    let failed = ClockError::Failed { tried: "stepping CLOCK_REALTIME", cause: Errno::EINVAL };
    assert_eq!(failed.denial(), None);
}

#[test]
fn time_asleep_is_told_to_less_than_a_millisecond() {
    let (first, second) = (suspended(), suspended());
    assert!(first >= Duration::ZERO);
    assert!(
        (second - first).abs() < Duration::from_ms(1),
        "{first:?}, {second:?}: it cannot sleep in a test"
    );
}
