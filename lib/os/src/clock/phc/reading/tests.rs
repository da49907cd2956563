//! What is made of the numbers; a guest has the clock that gives them.

use super::*;
use crate::denial::{Denial, Denied};

const SECOND: i64 = 1_000_000_000;

fn reading(raw: i64, real: i64, width: i64) -> Reading {
    let (raw, real) = (Timestamp::from_ns(raw), Timestamp::from_ns(real));
    Reading { raw, real, width: Duration::from_ns(width) }
}

#[test]
fn the_tightest_sample_is_taken_in_its_middle() {
    let samples = [[1000, 77_000, 5000], [6000, 79_000, 6900], [8000, 81_000, 9100]];
    assert_eq!(best(&samples), Some(reading(6450, 79_000, 900)));
    // A driver that counted back: never a reading of less than no width.
    assert_eq!(best(&[[5000, 1, 4000], [8000, 2, 9000]]), Some(reading(8500, 2, 1000)));
    assert_eq!(best(&[[5000, 1, 4000]]), None);
    assert_eq!(best(&[]), None);
}

#[test]
fn samples_of_realtime_are_taken_to_monotonic_raw() {
    // CLOCK_REALTIME is 10 s ahead, and slewed by +500 ppm.
    let before = reading(SECOND, 11 * SECOND, 40);
    let after = reading(SECOND + 20_000, 11 * SECOND + 20_010, 60);
    let samples =
        [[11 * SECOND + 9_000, 5, 11 * SECOND + 11_010], [11 * SECOND + 12_000, 6, 11 * SECOND + 19_000]];
    assert_eq!(through(before, &samples, after), Some(reading(SECOND + 10_000, 5, 2070)));
    // Stepped between the two readings, or before the first was taken: nothing is known.
    let stepped = reading(SECOND + 20_000, 12 * SECOND, 60);
    assert_eq!(through(before, &samples, stepped), None);
    assert_eq!(through(before, &[[SECOND, 5, SECOND + 10]], after), None);
}

#[test]
fn a_clock_that_is_only_read_needs_no_right_to_write() {
    let error = |path: &str| PhcReader::open(path).unwrap_err().to_string();
    assert!(error("/dev/null").contains("is not a PTP hardware clock"));
    assert!(error("/").contains("is not a PTP hardware clock"));
    assert!(error("/dev/ptp-nowhere").starts_with("there is no /dev/ptp-nowhere: "));
    let error = PhcError::NotReadable { path: "/dev/ptp0".into() };
    assert!(
        error.denial() == Some(Denial::NotPermitted)
            && error.to_string().starts_with("no right to read /dev/ptp0"),
        "{error}"
    );
}

/// Needs a PTP hardware clock and the right to open it; passed over without.
#[test]
fn all_ways_agree() {
    let reader = match PhcReader::open("/dev/ptp0") {
        Ok(reader) => reader,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let fd = reader.0.as_raw_fd();
    let reference = by(Way::Bracketed, fd).unwrap();
    for reading in WAYS.iter().filter_map(|way| by(*way, fd).ok()) {
        let apart = (reading.real - reference.real) - (reading.raw - reference.raw);
        let allowed = reading.width + reference.width + Duration::from_us(100);
        assert!(apart.abs() < allowed, "{reading:?} {reference:?}");
    }
}
