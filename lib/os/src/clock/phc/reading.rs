//! Reads a PTP hardware clock and CLOCK_MONOTONIC_RAW at one instant, by the best method that driver and kernel support.

use super::{clock_id, open};
use crate::clock::{ClockError, PhcError, narrowest, raw_now, read_realtime, timestamp};
use dante_core::time::{Duration, Reading, Timestamp};
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::path::Path;

/// Method to read the two clocks together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// PTP_SYS_OFFSET_PRECISE: the hardware latches both at once.
    Precise,
    /// PTP_SYS_OFFSET_EXTENDED: the driver reads CLOCK_MONOTONIC_RAW immediately before and after the card's register.
    Extended,
    /// PTP_SYS_OFFSET_EXTENDED with CLOCK_REALTIME, the only clock that kernels before 6.12 support.
    ExtendedRealtime,
    /// clock_gettime of both clocks in this process; the width includes the system call.
    Bracketed,
}

/// The methods, the best one first.
const METHODS: [Method; 4] = [Method::Precise, Method::Extended, Method::ExtendedRealtime, Method::Bracketed];
/// Number of samples per reading, of which the narrowest is used.
const SAMPLES: u8 = 5;

mod ioctl {
    nix::ioctl_readwrite!(offset_precise, b'=', 8, libc::ptp_sys_offset_precise);
    nix::ioctl_readwrite!(offset_extended, b'=', 9, libc::ptp_sys_offset_extended);
}

const _: () = assert!(size_of::<libc::ptp_sys_offset_precise>() == 64);
const _: () = assert!(size_of::<libc::ptp_sys_offset_extended>() == 16 + 25 * 3 * 16);

/// The file of a clock, and the method by which it is read.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    method: Cell<Option<Method>>,
}

impl Source {
    pub(super) fn new(file: File) -> Self {
        Self { file, method: Cell::new(None) }
    }

    pub(super) fn read(&self) -> nix::Result<Reading> {
        let fd = self.file.as_raw_fd();
        if let Some(method) = self.method.get() {
            return match by(method, fd) {
                // Occasionally a cross timestamp is not ready in time (EBUSY, ETIMEDOUT).
                Err(cause) if cause != Errno::ENODEV && method != Method::Bracketed => {
                    by(Method::Bracketed, fd)
                }
                result => result,
            };
        }
        let mut result = Err(Errno::EOPNOTSUPP);
        for method in METHODS {
            result = by(method, fd);
            if result.is_ok() {
                log::debug!("reading the PTP hardware clock by method {method:?}");
                self.method.set(Some(method));
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

/// A PTP hardware clock that is only read, without permission to steer it.
#[derive(Debug)]
pub struct PhcReader(Source);

impl PhcReader {
    /// Opens `/dev/ptpN` for reading, and reads its time once.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PhcError> {
        open(path.as_ref(), false).map(|(source, ..)| Self(source))
    }

    /// Reads the clock and CLOCK_MONOTONIC_RAW at one instant.
    ///
    /// # Errors
    /// [`ClockError::Removed`], [`ClockError::Failed`].
    pub fn read(&self) -> Result<Reading, ClockError> {
        self.0.read().map_err(super::failed("reading the PTP hardware clock"))
    }
}

fn by(method: Method, fd: RawFd) -> nix::Result<Reading> {
    match method {
        Method::Precise => precise(fd),
        Method::Extended => {
            let samples = extended(fd, libc::CLOCK_MONOTONIC_RAW)?;
            best(&samples).ok_or(Errno::EINVAL)
        }
        Method::ExtendedRealtime => {
            let before = read_realtime();
            let samples = extended(fd, libc::CLOCK_REALTIME)?;
            let after = read_realtime();
            through(before, &samples, after).ok_or(Errno::EAGAIN)
        }
        Method::Bracketed => narrowest(|| {
            let time = clock_gettime(ClockId::from_raw(clock_id(fd)))?;
            Ok(timestamp(time.tv_sec(), time.tv_nsec()))
        }),
    }
}

fn precise(fd: RawFd) -> nix::Result<Reading> {
    // SAFETY: the structure consists of integers, for which zero is valid.
    let mut both: libc::ptp_sys_offset_precise = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and the kernel accesses one ptp_sys_offset_precise, the type of `both`.
    unsafe { ioctl::offset_precise(fd, &raw mut both) }?;
    let (raw, clock) = (both.sys_monoraw, both.device);
    Ok(Reading {
        raw: timestamp(raw.sec, raw.nsec.into()),
        real: timestamp(clock.sec, clock.nsec.into()),
        width: Duration::ZERO,
    })
}

/// System clock, card's clock, system clock again, ns.
type Triple = [i64; 3];

fn extended(fd: RawFd, clock: libc::clockid_t) -> nix::Result<[Triple; SAMPLES as usize]> {
    // SAFETY: the structure consists of integers, for which zero is valid.
    let mut all: libc::ptp_sys_offset_extended = unsafe { std::mem::zeroed() };
    all.n_samples = SAMPLES.into();
    // Before Linux 6.12 this field was reserved and had to be 0, the value of CLOCK_REALTIME.
    all.clockid = clock;
    // SAFETY: the descriptor is open, and the kernel accesses one ptp_sys_offset_extended, the type of `all`.
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

/// The sample with the shortest time between its two reads of the system clock, and that time.
fn shortest(samples: &[Triple]) -> Option<(Triple, i64)> {
    let width = |triple: &Triple| triple[2].saturating_sub(triple[0]);
    // A negative width: the system clock was stepped back.
    let sane = samples.iter().filter(|triple| width(triple) >= 0);
    sane.min_by_key(|triple| width(triple)).map(|triple| (*triple, width(triple)))
}

/// The reading from samples whose system clock is CLOCK_MONOTONIC_RAW.
fn best(samples: &[Triple]) -> Option<Reading> {
    let ([before, clock, _], width) = shortest(samples)?;
    Some(Reading {
        raw: Timestamp::from_ns(before + width / 2),
        real: Timestamp::from_ns(clock),
        width: Duration::from_ns(width),
    })
}

/// The reading from samples whose system clock is CLOCK_REALTIME, translated by readings of CLOCK_REALTIME and
/// CLOCK_MONOTONIC_RAW before and after; `None` if CLOCK_REALTIME was stepped meanwhile.
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

/// Extrapolates `last` to now at the oscillator's rate.
pub(super) fn continued(last: Reading) -> Reading {
    let raw = raw_now();
    Reading { raw, real: last.real + (raw - last.raw), ..last }
}

#[cfg(test)]
mod tests {
    //! Tests of the computation; the guest tests read a PTP hardware clock.

    use super::*;
    use crate::denial::{Denial, Denied};
    use crate::sandbox::{skip, unprivileged};
    use crate::scratch::Scratch;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    const SECOND: i64 = 1_000_000_000;

    fn reading(raw: i64, real: i64, width: i64) -> Reading {
        let (raw, real) = (Timestamp::from_ns(raw), Timestamp::from_ns(real));
        Reading { raw, real, width: Duration::from_ns(width) }
    }

    #[test]
    fn reading_is_the_middle_of_the_narrowest_sample() {
        let samples = [[1000, 77_000, 5000], [6000, 79_000, 6900], [8000, 81_000, 9100]];
        assert_eq!(best(&samples), Some(reading(6450, 79_000, 900)));
        // A clock that went backwards: no reading may have a negative width.
        assert_eq!(best(&[[5000, 1, 4000], [8000, 2, 9000]]), Some(reading(8500, 2, 1000)));
        assert_eq!(best(&[[5000, 1, 4000]]), None);
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn samples_of_realtime_are_translated_to_monotonic_raw() {
        // CLOCK_REALTIME is 10 s ahead, and slewed by +500 ppm.
        let before = reading(SECOND, 11 * SECOND, 40);
        let after = reading(SECOND + 20_000, 11 * SECOND + 20_010, 60);
        let samples =
            [[11 * SECOND + 9_000, 5, 11 * SECOND + 11_010], [11 * SECOND + 12_000, 6, 11 * SECOND + 19_000]];
        assert_eq!(through(before, &samples, after), Some(reading(SECOND + 10_000, 5, 2070)));
        // CLOCK_REALTIME was stepped between the two readings, or the sample is older than both: no result.
        let stepped = reading(SECOND + 20_000, 12 * SECOND, 60);
        assert_eq!(through(before, &samples, stepped), None);
        assert_eq!(through(before, &[[SECOND, 5, SECOND + 10]], after), None);
    }

    #[test]
    fn errors_of_a_clock_that_is_only_read() {
        let error = |path: &str| PhcReader::open(path).unwrap_err().to_string();
        assert!(error("/dev/null").contains("is not a PTP hardware clock"));
        assert!(error("/").contains("is not a PTP hardware clock"));
        assert!(error("/dev/ptp-nowhere").starts_with("/dev/ptp-nowhere does not exist: "));
    }

    #[test]
    fn reading_needs_no_permission_to_write() {
        let place = Scratch::new();
        place.write("ptp", "");
        let path = place.0.join("ptp");
        let error = |mode| {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            unprivileged(|| PhcReader::open(&path).unwrap_err())
        };
        assert!(matches!(error(0o444), PhcError::NotAClock { .. }), "{}", error(0o444));
        let refused = error(0o000);
        assert_eq!(refused.denial(), Some(Denial::NotPermitted), "{refused}");
        assert!(
            refused.to_string().starts_with(&format!("no permission to read {}", path.display())),
            "{refused}"
        );
    }

    /// Needs a PTP hardware clock.
    #[test]
    fn all_methods_agree() {
        let reader = match PhcReader::open("/dev/ptp0") {
            Ok(reader) => reader,
            Err(error @ PhcError::Absent { .. }) => return eprintln!("skipped: {error}"),
            Err(error) => return skip(&error.to_string()),
        };
        let fd = reader.0.as_raw_fd();
        let reference = by(Method::Bracketed, fd).unwrap();
        for reading in METHODS.iter().filter_map(|method| by(*method, fd).ok()) {
            let apart = (reading.real - reference.real) - (reading.raw - reference.raw);
            let allowed = reading.width + reference.width + Duration::from_us(100);
            assert!(apart.abs() < allowed, "{reading:?} {reference:?}");
        }
    }
}
