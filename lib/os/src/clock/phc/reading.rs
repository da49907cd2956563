//! A PTP hardware clock and CLOCK_MONOTONIC_RAW at one instant, in the best of the ways that driver and kernel offer.

use super::{clock_id, open};
use crate::clock::{ClockError, PhcError, raw_now, read_realtime, tightest, timestamp};
use dante_core::time::{Duration, Reading, Timestamp};
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

/// How the two clocks are read together. The best that works comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// PTP_SYS_OFFSET_PRECISE: the hardware latches both at once.
    Precise,
    /// PTP_SYS_OFFSET_EXTENDED: the driver reads CLOCK_MONOTONIC_RAW next to the card's register, before and after.
    Extended,
    /// The same with CLOCK_REALTIME, which is all that kernels before 6.12 can.
    ExtendedRealtime,
    /// clock_gettime of both from here, across the system call.
    Bracketed,
}

const WAYS: [Way; 4] = [Way::Precise, Way::Extended, Way::ExtendedRealtime, Way::Bracketed];
/// The tightest of so many counts.
const SAMPLES: u8 = 5;

mod ioctl {
    nix::ioctl_readwrite!(offset_precise, b'=', 8, libc::ptp_sys_offset_precise);
    nix::ioctl_readwrite!(offset_extended, b'=', 9, libc::ptp_sys_offset_extended);
}

const _: () = assert!(size_of::<libc::ptp_sys_offset_precise>() == 64);
const _: () = assert!(size_of::<libc::ptp_sys_offset_extended>() == 16 + 25 * 3 * 16);

/// The file of a clock, with the way in which it is read.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    way: Cell<Option<Way>>,
}

impl Source {
    pub(super) fn new(file: File) -> Self {
        Self { file, way: Cell::new(None) }
    }

    pub(super) fn read(&self) -> nix::Result<Reading> {
        let fd = self.file.as_raw_fd();
        if let Some(way) = self.way.get() {
            return match by(way, fd) {
                // Once in a while a cross time stamp is not ready in time (EBUSY, ETIMEDOUT).
                Err(cause) if cause != Errno::ENODEV && way != Way::Bracketed => by(Way::Bracketed, fd),
                result => result,
            };
        }
        let mut result = Err(Errno::EOPNOTSUPP);
        for way in WAYS {
            result = by(way, fd);
            if result.is_ok() {
                log::debug!("the PTP hardware clock is read by {way:?}");
                self.way.set(Some(way));
                break;
            }
        }
        result
    }
}

impl AsRawFd for Source {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// A PTP hardware clock that is only read: no right to steer it is needed.
#[derive(Debug)]
pub struct PhcReader(Source);

impl PhcReader {
    /// Opens `/dev/ptpN` for reading, and reads it once.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PhcError> {
        open(path.as_ref(), false).map(|(source, ..)| Self(source))
    }

    /// The clock and CLOCK_MONOTONIC_RAW at one instant.
    ///
    /// # Errors
    /// [`ClockError::Failed`], with ENODEV when the card is gone.
    pub fn read(&self) -> Result<Reading, ClockError> {
        self.0.read().map_err(super::failed("reading the PTP hardware clock"))
    }
}

fn by(way: Way, fd: RawFd) -> nix::Result<Reading> {
    match way {
        Way::Precise => precise(fd),
        Way::Extended => {
            let samples = extended(fd, libc::CLOCK_MONOTONIC_RAW)?;
            best(&samples).ok_or(Errno::EINVAL)
        }
        Way::ExtendedRealtime => {
            let before = read_realtime();
            let samples = extended(fd, libc::CLOCK_REALTIME)?;
            let after = read_realtime();
            through(before, &samples, after).ok_or(Errno::EAGAIN)
        }
        Way::Bracketed => tightest(|| {
            let time = clock_gettime(ClockId::from_raw(clock_id(fd)))?;
            Ok(timestamp(time.tv_sec(), time.tv_nsec()))
        }),
    }
}

fn precise(fd: RawFd) -> nix::Result<Reading> {
    // SAFETY: the structure is made of integers alone, for which zero is a value.
    let mut both: libc::ptp_sys_offset_precise = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and the kernel reads and writes one ptp_sys_offset_precise, which `both` is.
    unsafe { ioctl::offset_precise(fd, &raw mut both) }?;
    let (raw, clock) = (both.sys_monoraw, both.device);
    Ok(Reading {
        raw: timestamp(raw.sec, raw.nsec.into()),
        real: timestamp(clock.sec, clock.nsec.into()),
        width: Duration::ZERO,
    })
}

/// The system's clock, the card's and the system's again, ns.
type Triple = [i64; 3];

fn extended(fd: RawFd, clock: libc::clockid_t) -> nix::Result<[Triple; SAMPLES as usize]> {
    // SAFETY: the structure is made of integers alone, for which zero is a value.
    let mut all: libc::ptp_sys_offset_extended = unsafe { std::mem::zeroed() };
    all.n_samples = SAMPLES.into();
    // Before Linux 6.12 this was reserved, and had to be 0, which is CLOCK_REALTIME.
    all.clockid = clock;
    // SAFETY: the descriptor is open, and the kernel reads and writes one ptp_sys_offset_extended, which `all` is.
    unsafe { ioctl::offset_extended(fd, &raw mut all) }?;
    let mut samples = [[0; 3]; SAMPLES as usize];
    for (to, from) in samples.iter_mut().zip(&all.ts) {
        *to = from.map(|time| {
            let ns: Timestamp<()> = timestamp(time.sec, time.nsec.into());
            ns.ns()
        });
    }
    Ok(samples)
}

/// The sample with the shortest time between its two reads of the system's clock.
fn shortest(samples: &[Triple]) -> Option<(Triple, i64)> {
    let width = |triple: &Triple| triple[2].saturating_sub(triple[0]);
    // What took less than no time was stepped.
    let sane = samples.iter().filter(|triple| width(triple) >= 0);
    sane.min_by_key(|triple| width(triple)).map(|triple| (*triple, width(triple)))
}

/// Samples whose system's clock is CLOCK_MONOTONIC_RAW.
fn best(samples: &[Triple]) -> Option<Reading> {
    let ([before, clock, _], width) = shortest(samples)?;
    Some(Reading {
        raw: Timestamp::from_ns(before + width / 2),
        real: Timestamp::from_ns(clock),
        width: Duration::from_ns(width),
    })
}

/// Samples whose system's clock is CLOCK_REALTIME, which was read with CLOCK_MONOTONIC_RAW before and after; `None` if
/// it was stepped meanwhile.
fn through(before: Reading, samples: &[Triple], after: Reading) -> Option<Reading> {
    let mut bridge = dante_core::time::Bridge::default();
    bridge.note(before);
    bridge.note(after);
    let ([from, clock, _], width) = shortest(samples)?;
    let middle = Timestamp::from_ns(from + width / 2);
    if middle < before.real {
        return None;
    }
    let raw = bridge.to_raw(middle).ok()?;
    let width = Duration::from_ns(width) + after.width;
    Some(Reading { raw, real: Timestamp::from_ns(clock), width })
}

/// What the clock would show, had it run on at the oscillator's rate since `last`.
pub(super) fn continued(last: Reading) -> Reading {
    let raw = raw_now();
    Reading { raw, real: last.real + (raw - last.raw), ..last }
}

#[cfg(test)]
mod tests {
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
}
