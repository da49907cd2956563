//! A PTP hardware clock, `/dev/ptpN`: the clock of a network card, steered like CLOCK_REALTIME, by clock_adjtime(2) on the
//! dynamic clock id of the open file.
//!
//! Interface: include/uapi/linux/ptp_clock.h; implementation in the kernel: drivers/ptp/ptp_clock.c.

use super::ClockError;
use super::realtime::{from_timex, setoffset, to_timex_within};
use crate::denial::{Denial, Denied, display_explained};
use dante_core::explain::Explain;
use dante_core::time::{Duration, Ratio, Reading};
use nix::errno::Errno;
use reading::{Source, continued};
use std::cell::Cell;
use std::ffi::c_int;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

mod reading;

pub use reading::PhcReader;

/// Why a PTP hardware clock cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum PhcError {
    NotAClock { path: PathBuf },
    NotPermitted { path: PathBuf },
    NotReadable { path: PathBuf },
    Absent { path: PathBuf },
    Failed { tried: &'static str, path: PathBuf, cause: io::Error },
}

impl Explain for PhcError {
    fn what(&self) -> String {
        match self {
            Self::NotAClock { path } => format!("{} is not a PTP hardware clock", path.display()),
            Self::NotPermitted { path } => {
                format!("no permission to steer {}: it must be opened for writing", path.display())
            }
            Self::NotReadable { path } => format!("no permission to read {}", path.display()),
            Self::Absent { path } => format!(
                "{} does not exist: the card has no PTP hardware clock, or its driver is not loaded",
                path.display()
            ),
            Self::Failed { tried, path, cause } => format!("cannot {tried} {}: {cause}", path.display()),
        }
    }

    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::NotAClock { .. } => "`ethtool -T IFACE` shows the clock of a network card".into(),
            Self::NotPermitted { .. } => {
                "run this as root or as a service, or give a group of this user access to the file by a udev rule".into()
            }
            Self::NotReadable { .. } => {
                "run this as root, or give a group of this user access to the file by a udev rule".into()
            }
            Self::Absent { .. } | Self::Failed { .. } => return None,
        })
    }
}

impl Denied for PhcError {
    fn denial(&self) -> Option<Denial> {
        let refused = matches!(self, Self::NotPermitted { .. } | Self::NotReadable { .. });
        refused.then_some(Denial::NotPermitted)
    }
}

display_explained!(PhcError);

/// struct ptp_clock_caps.
#[repr(C)]
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Capabilities {
    /// Maximum frequency offset, ppb.
    max_adj: c_int,
    /// Alarms, external timestamps, outputs and pins, which are not used here.
    rest: [c_int; 19],
}

mod ioctl {
    // PTP_CLOCK_GETCAPS: _IOR(PTP_CLK_MAGIC, 1, struct ptp_clock_caps)
    nix::ioctl_read!(getcaps, b'=', 1, super::Capabilities);
}

/// A PTP hardware clock that is steered.
#[derive(Debug)]
pub struct Phc {
    /// Kept open: the clock id is valid while the file is open.
    source: Source,
    limit: Ratio,
    last: Cell<Reading>,
}

impl Phc {
    /// Opens `/dev/ptpN` for reading and writing, reads its capabilities and its time, and changes nothing.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PhcError> {
        let (source, caps, first) = open(path.as_ref(), true)?;
        let limit = Ratio::from_ppb(f64::from(caps.max_adj));
        Ok(Self { source, limit, last: Cell::new(first) })
    }

    /// Path of the clock with this number.
    pub fn path(number: u32) -> PathBuf {
        format!("/dev/ptp{number}").into()
    }

    /// Maximum frequency offset that the driver accepts, of either sign.
    pub fn limit(&self) -> Ratio {
        self.limit
    }

    /// Reads the clock and CLOCK_MONOTONIC_RAW at one instant: by a cross timestamp of the hardware if it has that, else by the
    /// narrowest of five brackets RAW-PHC-RAW. A read over PCIe takes about 1 us; the width includes it.
    ///
    /// # Errors
    /// [`ClockError::Removed`], [`ClockError::Failed`].
    pub fn read(&self) -> Result<Reading, ClockError> {
        let reading = self.source.read().map_err(failed("reading the PTP hardware clock"))?;
        self.last.set(reading);
        Ok(reading)
    }

    /// Like [`Self::read`]; if that fails, extrapolates the last reading at the oscillator's rate, so that no step is detected.
    /// The next operation on the clock returns the error.
    pub(super) fn read_or_continue(&self) -> Reading {
        self.read().unwrap_or_else(|_| continued(self.last.get()))
    }

    /// The frequency offset that is set: +10 ppb, the clock gains 10 ns a second. Zero after the driver was loaded, even if the
    /// card still runs at another frequency.
    ///
    /// # Errors
    /// [`ClockError::Removed`], [`ClockError::Failed`].
    pub fn frequency(&self) -> Result<Ratio, ClockError> {
        let read = self.adjtime(0, "reading the frequency of the PTP hardware clock", |_| ())?;
        Ok(from_timex(read.freq))
    }

    /// Sets the frequency offset, limited to the driver's [limit](Self::limit), and returns the one that the kernel applied. Its
    /// resolution is 2^-16 ppm; that of the card may be coarser, and the kernel does not report it.
    ///
    /// # Errors
    /// [`ClockError::Removed`], [`ClockError::Failed`], [`ClockError::NotFinite`].
    pub fn set_frequency(&mut self, rate: Ratio) -> Result<Ratio, ClockError> {
        let units = to_timex_within(rate, self.limit).ok_or(ClockError::NotFinite)?;
        let tried = "setting the frequency of the PTP hardware clock";
        let applied = self.adjtime(libc::ADJ_FREQUENCY, tried, |t| t.freq = units)?;
        Ok(from_timex(applied.freq))
    }

    /// Steps the clock by `by`, forwards if positive.
    ///
    /// # Errors
    /// [`ClockError::Removed`], [`ClockError::Failed`].
    pub fn step(&mut self, by: Duration) -> Result<(), ClockError> {
        let time = setoffset(by);
        let modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
        self.adjtime(modes, "stepping the PTP hardware clock", |t| t.time = time).map(drop)
    }

    /// Calls clock_adjtime: `fill` sets the fields named by `modes`. Returns the fields that the kernel wrote.
    fn adjtime(
        &self,
        modes: u32,
        tried: &'static str,
        fill: impl FnOnce(&mut libc::timex),
    ) -> Result<libc::timex, ClockError> {
        // SAFETY: timex consists of integers, for which zero is valid.
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        fill(&mut timex);
        timex.modes = modes;
        // SAFETY: the pointer is to a timex that outlives the call; the kernel accesses that struct only. The id is that of an
        // open file, so it denotes no other clock.
        let result = unsafe { libc::clock_adjtime(clock_id(self.source.as_raw_fd()), &raw mut timex) };
        Errno::result(result).map_err(failed(tried))?;
        Ok(timex)
    }
}

/// FD_TO_CLOCKID (include/linux/posix-timers.h): the clock id of an open file. Negative, unlike the ids of other clocks.
pub(super) fn clock_id(fd: RawFd) -> libc::clockid_t {
    const CLOCKFD: libc::clockid_t = 3;
    (!fd << 3) | CLOCKFD
}

/// Opens a clock, reads its capabilities, which proves that it is a PTP hardware clock, and reads its time.
fn open(path: &Path, write: bool) -> Result<(Source, Capabilities, Reading), PhcError> {
    let failed = |tried, cause| PhcError::Failed { tried, path: path.into(), cause };
    // Without O_NONBLOCK, opening the wrong device (a serial line) may block forever.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).write(write).custom_flags(flags).open(path);
    let file = file.map_err(|cause| match cause.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EACCES | Errno::EPERM) if write => PhcError::NotPermitted { path: path.into() },
        Some(Errno::EACCES | Errno::EPERM) => PhcError::NotReadable { path: path.into() },
        Some(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => PhcError::Absent { path: path.into() },
        Some(Errno::EISDIR) => PhcError::NotAClock { path: path.into() },
        _ => failed("open", cause),
    })?;
    let mut caps = Capabilities::default();
    // SAFETY: the descriptor is open, and the kernel writes one struct ptp_clock_caps, the type of `caps`.
    match unsafe { ioctl::getcaps(file.as_raw_fd(), &raw mut caps) } {
        Ok(_) => {}
        // Some devices return EINVAL for an unknown request, and a directory can be opened for reading.
        Err(Errno::ENOTTY | Errno::EINVAL) => return Err(PhcError::NotAClock { path: path.into() }),
        Err(cause) => return Err(failed("read the capabilities of", cause.into())),
    }
    let source = Source::new(file);
    let first = source.read().map_err(|cause| failed("read", cause.into()))?;
    Ok((source, caps, first))
}

fn failed(tried: &'static str) -> impl Fn(Errno) -> ClockError {
    move |cause| match cause {
        Errno::ENODEV => ClockError::Removed { tried },
        cause => ClockError::Failed { tried, cause },
    }
}

#[cfg(test)]
mod tests {
    //! Tests without a PTP hardware clock; if there is one, they read it and never change it.

    use super::*;
    use crate::sandbox::skip;

    #[test]
    fn clock_id_is_that_of_the_kernels_headers() {
        // FD_TO_CLOCKID(fd) = ((~(clockid_t)fd) << 3) | 3
        assert_eq!([0, 1, 3, 9].map(clock_id), [-5, -13, -29, -77]);
    }

    #[test]
    fn capabilities_have_the_size_of_the_kernels_struct() {
        assert_eq!(size_of::<Capabilities>(), 80);
    }

    #[test]
    fn rejects_files_that_are_not_a_ptp_hardware_clock() {
        let error = |path: &str| Phc::open(path).unwrap_err().to_string();
        let expected =
            "/dev/null is not a PTP hardware clock; `ethtool -T IFACE` shows the clock of a network card";
        assert_eq!(error("/dev/null"), expected);
        assert!(error("/").contains("is not a PTP hardware clock"));
        let absent = error("/dev/ptp-nowhere");
        assert!(absent.starts_with("/dev/ptp-nowhere does not exist: "), "{absent}");
    }

    #[test]
    fn error_for_a_missing_permission_names_the_remedy() {
        let error = PhcError::NotPermitted { path: "/dev/ptp0".into() };
        assert!(
            error.denial() == Some(Denial::NotPermitted) && error.to_string().contains("udev rule"),
            "{error}"
        );
        let error = PhcError::Absent { path: "/dev/ptp0".into() };
        assert!(error.denial().is_none());
    }

    #[test]
    fn frequency_stays_within_the_drivers_limit() {
        // The kernel (scaled_ppm_to_ppb) computes ppb = (1 + freq) * 125 / 2^13, rounded down, and rejects more than max_adj.
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

    /// Needs a PTP hardware clock.
    #[test]
    fn reads_the_hardware_clock() {
        let clock = match Phc::open("/dev/ptp0") {
            Ok(clock) => clock,
            Err(error @ PhcError::Absent { .. }) => return eprintln!("skipped: {error}"),
            Err(error) => return skip(&error.to_string()),
        };
        let (first, second) = (clock.read().unwrap(), clock.read().unwrap());
        assert!(second.real > first.real && second.raw > first.raw);
        assert!(clock.frequency().unwrap().abs() <= clock.limit());
    }
}
