//! These tests read the kernel's clocks and never change them.

use super::realtime::{
    Left, NOMINAL_TICK, declared_status, disturbance_of, frequency_alone, from_timex, left_after_frequency,
    leftovers, setoffset, timex_of, to_timex, whole_us,
};
use super::*;
use dante_core::date::Leap;

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

fn kernel(fill: impl FnOnce(&mut libc::timex)) -> libc::timex {
    // SAFETY: timex is made of integers alone, for which zero is a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    timex.tick = NOMINAL_TICK;
    fill(&mut timex);
    timex
}

fn timex(fill: impl FnOnce(&mut libc::timex)) -> Timex {
    timex_of(libc::TIME_OK, &kernel(fill))
}

#[test]
fn the_kernels_return_value_is_the_leap_state() {
    let leap = |state| timex_of(state, &kernel(|_| ())).leap;
    let known =
        [KernelLeap::None, KernelLeap::Insert, KernelLeap::Delete, KernelLeap::Passing, KernelLeap::Over];
    for (state, expected) in (0..).zip(known) {
        assert_eq!(leap(state), expected);
    }
    assert_eq!((leap(5), leap(9)), (KernelLeap::Unsynchronised, KernelLeap::Unknown(9)));
}

#[test]
fn an_offset_is_in_us_unless_the_kernel_says_ns() {
    assert_eq!(timex(|t| t.offset = -7).slew, Duration::from_us(-7));
    let nano = timex(|t| (t.offset, t.status) = (-7, libc::STA_NANO));
    assert_eq!(nano.slew, Duration::from_ns(-7));
}

#[test]
fn what_was_left_behind_is_told_in_sentences() {
    let found = timex(|t| {
        t.tick = 10_001;
        t.status = libc::STA_PLL | libc::STA_UNSYNC | libc::STA_INS;
        t.offset = 250;
    });
    let said: Vec<String> =
        leftovers(&found, Duration::from_us(-1000)).iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "the kernel's tick was 10001 us, left by another program; set to nominal",
            "the kernel's PLL was on (status 0x0001), left by another program; turned off",
            "the kernel was still slewing the clock by -750 us, begun by another program; ended",
        ]
    );
    let usual =
        timex(|t| (t.status, t.freq, t.maxerror) = (libc::STA_UNSYNC | libc::STA_NANO, 77, 16_000_000));
    assert_eq!(leftovers(&usual, Duration::ZERO), []);
}

#[test]
fn a_clock_that_nobody_took_is_not_disturbed() {
    assert_eq!(Realtime::open().unwrap().disturbance(), Ok(None));
}

#[test]
fn what_another_program_did_is_found() {
    let left = Left { units: 786_432, tick: NOMINAL_TICK, self_steering: 0 };
    let found = |fill: fn(&mut libc::timex)| {
        let mut now = kernel(|t| t.freq = left.units);
        fill(&mut now);
        disturbance_of(left, now.freq, &timex_of(libc::TIME_OK, &now), Duration::ZERO)
    };
    assert_eq!(found(|_| ()), None);
    let harmless = libc::STA_UNSYNC | libc::STA_INS | libc::STA_DEL | libc::STA_NANO | libc::STA_CLOCKERR;
    assert_eq!(harmless, 0x3070);
    assert_eq!(found(|t| (t.status, t.maxerror, t.esterror) = (0x3070, 1, 1)), None);
    assert_eq!(found(|t| t.tick = 9_999), Some(Disturbance::Tick(9_999)));
    assert_eq!(
        found(|t| t.status = libc::STA_FLL | libc::STA_UNSYNC),
        Some(Disturbance::SelfSteering(libc::STA_FLL))
    );
    assert_eq!(found(|t| t.offset = 3), Some(Disturbance::Slew(Duration::from_us(3))));
    // One unit, 0.015 ppb, is enough.
    let frequency = found(|t| t.freq += 1).unwrap();
    assert_eq!(frequency, Disturbance::Frequency { left: Ratio::from_ppm(12.0), found: from_timex(786_433) });
    assert_eq!(
        frequency.to_string(),
        "another program set the clock's frequency to +12000.015 ppb; it was left at +12000.000 ppb"
    );
    let adjtime = disturbance_of(left, left.units, &timex(|_| ()), Duration::from_ms(2)).unwrap();
    assert_eq!(adjtime.to_string(), "another program slews the clock; +2000 us of it are still to come");
}

#[test]
fn a_frequency_of_ours_does_not_hide_the_tick_of_another() {
    let first =
        left_after_frequency(None, &kernel(|t| (t.freq, t.status) = (5, libc::STA_PLL | libc::STA_UNSYNC)));
    assert_eq!(first, Left { units: 5, tick: NOMINAL_TICK, self_steering: libc::STA_PLL });
    let second = left_after_frequency(Some(first), &kernel(|t| (t.freq, t.tick) = (6, 10_100)));
    assert_eq!(second, Left { units: 6, ..first });
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
fn a_virtual_clock_is_never_disturbed_and_remembers_what_was_declared() {
    let mut clock = SystemClock::Virtual(Virtual::start());
    assert_eq!((clock.take(), clock.disturbance(), clock.declared()), (Ok(Vec::new()), Ok(None), None));
    let good =
        Declared::Good { max_error: Duration::from_ms(5), est_error: Duration::from_us(9), leap: Leap::None };
    clock.declare(good).unwrap();
    assert_eq!(clock.declared(), Some(good));
    clock.step(Duration::from_secs(1)).unwrap();
    assert_eq!(clock.declared(), None, "a step makes the kernel's clock a bad one");
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

#[test]
fn time_asleep_is_told_to_less_than_a_millisecond() {
    let (first, second) = (suspended(), suspended());
    assert!(first >= Duration::ZERO);
    assert!(
        (second - first).abs() < Duration::from_ms(1),
        "{first:?}, {second:?}: it cannot sleep in a test"
    );
}
