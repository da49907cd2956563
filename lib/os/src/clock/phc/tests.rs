//! What can be tried without a PTP hardware clock; where there is one, it is read and never changed.

use super::*;

#[test]
fn the_clock_id_is_that_of_the_kernels_headers() {
    // FD_TO_CLOCKID(fd) = ((~(clockid_t)fd) << 3) | 3
    assert_eq!([0, 1, 3, 9].map(clock_id), [-5, -13, -29, -77]);
}

#[test]
fn the_capabilities_are_as_long_as_the_kernels() {
    assert_eq!(size_of::<Capabilities>(), 80);
}

#[test]
fn what_is_no_clock_is_refused_with_a_sentence() {
    let error = |path: &str| Phc::open(path).unwrap_err().to_string();
    let expected =
        "/dev/null is not a PTP hardware clock; `ethtool -T IFACE` names the one of a network card";
    assert_eq!(error("/dev/null"), expected);
    assert!(error("/").contains("is not a PTP hardware clock"));
    let absent = error("/dev/ptp-nowhere");
    assert!(absent.starts_with("there is no /dev/ptp-nowhere: "), "{absent}");
}

#[test]
fn a_missing_right_is_told() {
    let error = PhcError::NotPermitted { path: "/dev/ptp0".into() };
    assert!(
        error.denial() == Some(Denial::NotPermitted) && error.to_string().contains("udev rule"),
        "{error}"
    );
    let error = PhcError::Absent { path: "/dev/ptp0".into() };
    assert!(error.denial().is_none());
}

#[test]
fn a_frequency_stays_within_the_drivers_limit() {
    // The kernel (scaled_ppm_to_ppb) computes ppb = (1 + freq) * 125 / 2^13, rounded down, and refuses beyond max_adj.
    let ppb = |units: i64| ((1 + units) * 125) >> 13;
    for max_adj in [1, 32_767, 62_499_999, 999_999_999] {
        let limit = Ratio::from_ppb(f64::from(max_adj));
        for wanted in [Ratio::new(10.0), limit] {
            let up = to_timex_within(wanted, limit).unwrap();
            let down = to_timex_within(-wanted, limit).unwrap();
            let most = i64::from(max_adj);
            assert!(ppb(up) <= most && ppb(up) >= most - 1, "{max_adj}: {}", ppb(up));
            assert!(ppb(down) >= -most && ppb(down) <= 1 - most, "{max_adj}: {}", ppb(down));
        }
    }
    assert_eq!(to_timex_within(Ratio::new(f64::NAN), Ratio::from_ppb(5.0)), None);
}

/// Needs a PTP hardware clock and the right to open it; passed over without.
#[test]
fn a_hardware_clock_is_read() {
    let clock = match Phc::open("/dev/ptp0") {
        Ok(clock) => clock,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let (first, second) = (clock.read().unwrap(), clock.read().unwrap());
    assert!(second.real > first.real && second.raw > first.raw);
    assert!(clock.frequency().unwrap().abs() <= clock.limit());
}
