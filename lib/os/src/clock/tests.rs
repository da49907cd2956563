//! Tests of clocks. They read the kernel's clocks and never change them.

use super::realtime::{
    declared_errors_us, declared_status, frequency_alone, from_timex, setoffset, timex_of, to_timex, whole_us,
};
use super::*;
use crate::sandbox::unprivileged;
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
        let applied = from_timex(to_timex(Ratio::from_ppb(ppb)).unwrap());
        let error = applied.ppb() - ppb;
        assert!(error.abs() <= 1000.0 / 65_536.0 / 2.0 + 1e-9, "{ppb} became {}", applied.ppb());
    }
}

#[test]
fn backward_step_has_positive_nanoseconds() {
    let parts = |ns| (setoffset(Duration::from_ns(ns)).tv_sec, setoffset(Duration::from_ns(ns)).tv_usec);
    assert_eq!(parts(-1), (-1, 999_999_999));
    assert_eq!(parts(-1_000_000_000), (-1, 0));
    assert_eq!(parts(-1_500_000_000), (-2, 500_000_000));
    assert_eq!(parts(2_000_000_001), (2, 1));
    assert_eq!(parts(i64::MIN), (-9_223_372_037, 145_224_192));
}

#[test]
fn clears_only_bits_that_steer_the_clock() {
    let found = libc::STA_PLL | libc::STA_FREQHOLD | libc::STA_FLL | libc::STA_PPSFREQ | libc::STA_NANO;
    assert_eq!(frequency_alone(found), 0);
    assert_eq!(frequency_alone(found | libc::STA_UNSYNC | libc::STA_INS), libc::STA_UNSYNC | libc::STA_INS);
}

#[test]
fn reads_the_clocks_state_without_privileges() {
    let independent = || {
        let mut read = kernel(|_| ());
        // SAFETY: the pointer is to a timex that outlives the call; without modes, the kernel changes nothing.
        unsafe { libc::adjtimex(&raw mut read) };
        read
    };
    // The maximum error grows every second, and another program may steer the clock between the readings.
    is_good_once_in_100_tries(|| {
        let before = independent();
        let (kernel, timex) =
            unprivileged(|| (Realtime::open().unwrap().kernel().unwrap(), timex().unwrap()));
        let is_of = |read: &libc::timex| {
            let ppm = f64::from(i32::try_from(read.freq).unwrap()) / 65_536.0;
            (kernel.frequency.ppm() - ppm).abs() < 1e-9
                && (kernel.tick, kernel.status) == (read.tick, read.status)
                && timex.max_error == Duration::from_us(read.maxerror)
        };
        let after = independent();
        (is_of(&before) || is_of(&after), format!("{kernel:?} {timex:?}"))
    });
}

/// Repeats `attempt` until it is good: the host may hold it up, or another program may step CLOCK_REALTIME meanwhile.
fn is_good_once_in_100_tries(attempt: impl Fn() -> (bool, String)) {
    let (mut is_good, mut values) = attempt();
    for _ in 1..100 {
        if !is_good {
            (is_good, values) = attempt();
        }
    }
    assert!(is_good, "{values}");
}

fn kernel(fill: impl FnOnce(&mut libc::timex)) -> libc::timex {
    // SAFETY: timex consists of integers, for which zero is valid.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    timex.tick = NOMINAL_TICK;
    fill(&mut timex);
    timex
}

#[test]
fn leap_state_is_the_kernels_return_value() {
    let leap = |state| timex_of(state, &kernel(|_| ())).kernel.leap;
    let known =
        [KernelLeap::None, KernelLeap::Insert, KernelLeap::Delete, KernelLeap::Passing, KernelLeap::Over];
    for (state, expected) in (0..).zip(known) {
        assert_eq!(leap(state), expected);
    }
    assert_eq!((leap(5), leap(9)), (KernelLeap::Unsynchronised, KernelLeap::Unknown(9)));
}

#[test]
fn offset_is_in_us_without_sta_nano() {
    let slew = |status| timex_of(libc::TIME_OK, &kernel(|t| (t.offset, t.status) = (-7, status))).kernel.slew;
    assert_eq!([0, libc::STA_NANO].map(slew), [Duration::from_us(-7), Duration::from_ns(-7)]);
}

#[test]
fn maximum_error_is_in_us_with_and_without_sta_nano() {
    let max_error = |status| {
        let fill = |t: &mut libc::timex| (t.maxerror, t.esterror, t.status) = (7, 3, status);
        timex_of(libc::TIME_OK, &kernel(fill)).max_error
    };
    assert_eq!([0, libc::STA_NANO].map(max_error), [Duration::from_us(7); 2]);
}

/// dante-core defines the bits without libc.
#[test]
fn self_steering_bits_are_those_of_the_kernel() {
    let bits = libc::STA_PLL | libc::STA_FLL | libc::STA_FREQHOLD | libc::STA_PPSFREQ | libc::STA_PPSTIME;
    assert_eq!(SELF_STEERING, bits);
}

#[test]
fn marking_as_synchronised_changes_no_other_bit() {
    let synchronised =
        |leap| Declared::Synchronised { max_error: Duration::ZERO, est_error: Duration::ZERO, leap };
    // STA_PPSSIGNAL is read-only, STA_PLL steers; 0x10000 stands for a bit of future kernels.
    let found = 0x10000 | libc::STA_UNSYNC | libc::STA_DEL | libc::STA_PLL | libc::STA_PPSSIGNAL;
    assert_eq!(declared_status(found, synchronised(Leap::None)), 0x10000);
    assert_eq!(declared_status(found, synchronised(Leap::Insert)), 0x10000 | libc::STA_INS);
    assert_eq!(declared_status(libc::STA_INS, synchronised(Leap::Delete)), libc::STA_DEL);
    assert_eq!(
        declared_status(0x10000 | libc::STA_INS, Declared::Unsynchronised { max_error: Duration::ZERO }),
        0x10000 | libc::STA_UNSYNC
    );
}

/// timedatectl(1) reports a clock as synchronised if `maxerror` is below 16 s, and ignores STA_UNSYNC.
#[test]
fn unsynchronised_clock_has_the_kernels_maximum_error_whatever_its_bound() {
    for max_error in [Duration::ZERO, Duration::from_ms(150), Duration::MAX] {
        assert_eq!(declared_errors_us(Declared::Unsynchronised { max_error }), (16_000_000, 16_000_000));
    }
    let (max_error, est_error) = (Duration::from_ms(7), Duration::from_ns(1));
    let synchronised = Declared::Synchronised { max_error, est_error, leap: Leap::None };
    assert_eq!(declared_errors_us(synchronised), (7_000, 1));
}

#[test]
fn error_bounds_are_rounded_up_and_limited() {
    assert_eq!([-1, 0, 1, 1_000, 1_001].map(|ns| whole_us(Duration::from_ns(ns))), [0, 0, 1, 1, 2]);
    assert_eq!(whole_us(Duration::MAX), 16_000_000);
}

#[test]
fn only_the_frequency_determines_a_virtual_clock() {
    let mut clock = SystemClock::stand_in();
    let synchronised =
        Declared::Synchronised { max_error: Duration::ZERO, est_error: Duration::ZERO, leap: Leap::None };
    for setting in
        [Setting::Frequency(Ratio::from_ppm(3.0)), Setting::Control, Setting::Declared(synchronised)]
    {
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
fn reading_is_a_narrow_bracket_of_now() {
    is_good_once_in_100_tries(|| {
        let before = raw_now();
        let reading = read_realtime();
        let after = raw_now();
        assert!(before <= reading.raw && reading.raw <= after && reading.width >= Duration::ZERO);
        let std = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let apart = i64::try_from(std.as_nanos()).unwrap() - reading.real.ns();
        let is_good = reading.width < Duration::from_ms(1) && (0..5_000_000).contains(&apart);
        (is_good, format!("{reading:?}, {apart} ns before the next reading"))
    });
}

#[test]
fn virtual_clock_starts_at_clock_realtime() {
    is_good_once_in_100_tries(|| {
        let mut clock = SystemClock::stand_in();
        let (real, virtual_one) = (read_realtime(), clock.read().reading);
        let apart = (virtual_one.real - real.real) - (virtual_one.raw - real.raw);
        assert_eq!(clock.kernel().unwrap().frequency, Ratio::ZERO);
        (apart.abs() < Duration::from_ms(1), format!("{apart:?}"))
    });
}

#[test]
fn virtual_clock_has_the_limits_of_the_kernel() {
    let mut clock = SystemClock::stand_in();
    let mut set = |rate| clock.set(Setting::Frequency(rate));
    assert_eq!(set(Ratio::from_ppm(900.0)), Ok(Ratio::from_ppm(500.0)));
    assert_eq!(set(Ratio::new(f64::NAN)), Err(Fault::Failed(ClockError::NotFinite)));
    let before = clock.line().unwrap();
    assert_eq!(before.rate, Ratio::from_ppm(500.0), "a rejected frequency changed the clock");
    clock.step(Duration::from_secs(-3)).unwrap();
    let reading = clock.read().reading;
    assert_eq!(before.at(reading.raw) - reading.real, Duration::from_secs(3));
}

#[test]
fn error_for_a_refusal_names_the_capability() {
    let refused = ClockError::Refused { tried: "stepping CLOCK_REALTIME" };
    assert!(refused.denial() == Some(Denial::NotPermitted) && refused.to_string().contains("CAP_SYS_TIME"));
    let failed = ClockError::Failed { tried: "stepping CLOCK_REALTIME", cause: Errno::EINVAL };
    assert_eq!(failed.denial(), None);
}

#[test]
fn suspended_time_is_accurate_to_a_millisecond() {
    is_good_once_in_100_tries(|| {
        let (first, second) = (suspended(), suspended());
        assert!(first >= Duration::ZERO);
        let is_good = (second - first).abs() < Duration::from_ms(1);
        (is_good, format!("{first:?}, {second:?}"))
    });
}
