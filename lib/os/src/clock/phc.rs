//! A PTP hardware clock, `/dev/ptpN`: the clock of a network card, steered as CLOCK_REALTIME is, through
//! clock_adjtime(2) on the file's dynamic clock id.
//!
//! Interface: include/uapi/linux/ptp_clock.h; what the kernel makes of it: drivers/ptp/ptp_clock.c.

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
#[expect(missing_docs, reason = "the sentence of each says what it is")]
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
                format!("no right to steer {}: it must be opened for writing", path.display())
            }
            Self::NotReadable { path } => format!("no right to read {}", path.display()),
            Self::Absent { path } => format!(
                "there is no {}: the card has no PTP hardware clock, or its driver is not loaded",
                path.display()
            ),
            Self::Failed { tried, path, cause } => format!("cannot {tried} {}: {cause}", path.display()),
        }
    }

    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::NotAClock { .. } => "`ethtool -T IFACE` names the one of a network card".into(),
            Self::NotPermitted { .. } => {
                "run this as root or as a service, or give the file to a group of this user's by \
                                          a udev rule"
                    .into()
            }
            Self::NotReadable { .. } => {
                "run this as root, or as a user of the group that a udev rule gives the file to".into()
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
    /// The largest frequency, ppb.
    max_adj: c_int,
    /// Alarms, stamps, outputs and pins, which nothing here uses.
    rest: [c_int; 19],
}

mod ioctl {
    // PTP_CLOCK_GETCAPS: _IOR(PTP_CLK_MAGIC, 1, struct ptp_clock_caps)
    nix::ioctl_read!(getcaps, b'=', 1, super::Capabilities);
}

/// A PTP hardware clock, to be steered.
#[derive(Debug)]
pub struct Phc {
    /// Kept open: the clock id means this clock as long as the file is.
    source: Source,
    limit: Ratio,
    last: Cell<Reading>,
}

impl Phc {
    /// Opens `/dev/ptpN` for reading and writing, asks for its capabilities and reads it once; changes nothing.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, PhcError> {
        let (source, caps, first) = open(path.as_ref(), true)?;
        let limit = Ratio::from_ppb(f64::from(caps.max_adj));
        Ok(Self { source, limit, last: Cell::new(first) })
    }

    /// The file of the clock with this number.
    pub fn path(number: u32) -> PathBuf {
        format!("/dev/ptp{number}").into()
    }

    /// The largest frequency that the driver takes, of either sign.
    pub fn limit(&self) -> Ratio {
        self.limit
    }

    /// The clock and CLOCK_MONOTONIC_RAW at one instant: by a cross time stamp of the hardware where it has that, else
    /// the tightest of five brackets RAW-PHC-RAW. A read over PCIe takes about 1 us, and the width says so.
    ///
    /// # Errors
    /// [`ClockError::Failed`], with ENODEV when the card is gone.
    pub fn read(&self) -> Result<Reading, ClockError> {
        let reading = self.source.read().map_err(failed("reading the PTP hardware clock"))?;
        self.last.set(reading);
        Ok(reading)
    }

    /// As [`Self::read`]; of a clock that is gone, what it would show had it run on at the oscillator's rate, so that
    /// no step is seen where there was none. What is tried next on the clock tells the error.
    pub(super) fn read_or_continue(&self) -> Reading {
        self.read().unwrap_or_else(|_| continued(self.last.get()))
    }

    /// The frequency dialled: +10 ppb, the clock gains 10 ns a second. Zero after the driver was loaded, whatever the
    /// card was left at.
    ///
    /// # Errors
    /// [`ClockError::Failed`], with ENODEV when the card is gone.
    pub fn frequency(&self) -> Result<Ratio, ClockError> {
        let read = self.adjtime(0, "reading the frequency of the PTP hardware clock", |_| ())?;
        Ok(from_timex(read.freq))
    }

    /// Sets the frequency, held within the driver's [limit](Self::limit), and returns the one taken. Its grain here
    /// is 2^-16 ppm; the card's own may be coarser, and the kernel does not tell.
    ///
    /// # Errors
    /// [`ClockError::Failed`], with ENODEV when the card is gone; [`ClockError::NotFinite`].
    pub fn set_frequency(&mut self, rate: Ratio) -> Result<Ratio, ClockError> {
        let units = to_timex_within(rate, self.limit).ok_or(ClockError::NotFinite)?;
        let tried = "setting the frequency of the PTP hardware clock";
        let took = self.adjtime(libc::ADJ_FREQUENCY, tried, |t| t.freq = units)?;
        Ok(from_timex(took.freq))
    }

    /// Moves the clock by `by` at once, forwards if positive.
    ///
    /// # Errors
    /// [`ClockError::Failed`], with ENODEV when the card is gone.
    pub fn step(&mut self, by: Duration) -> Result<(), ClockError> {
        let time = setoffset(by);
        let modes = libc::ADJ_SETOFFSET | libc::ADJ_NANO;
        self.adjtime(modes, "stepping the PTP hardware clock", |t| t.time = time).map(drop)
    }

    /// The one call of clock_adjtime: `fill` sets what `modes` names; returns what the kernel wrote back.
    fn adjtime(
        &self,
        modes: u32,
        tried: &'static str,
        fill: impl FnOnce(&mut libc::timex),
    ) -> Result<libc::timex, ClockError> {
        // SAFETY: timex is made of integers alone, for which zero is a value.
        let mut timex: libc::timex = unsafe { std::mem::zeroed() };
        fill(&mut timex);
        timex.modes = modes;
        // SAFETY: the pointer is to a timex that lives through the call; the kernel reads and writes that struct only.
        // The id is that of an open file, so no other clock is meant by it.
        let result = unsafe { libc::clock_adjtime(clock_id(self.source.as_raw_fd()), &raw mut timex) };
        Errno::result(result).map_err(failed(tried))?;
        Ok(timex)
    }
}

/// FD_TO_CLOCKID (include/linux/posix-timers.h): the clock of an open file. Negative, as no clock of the kernel's own.
pub(super) fn clock_id(fd: RawFd) -> libc::clockid_t {
    const CLOCKFD: libc::clockid_t = 3;
    (!fd << 3) | CLOCKFD
}

/// Opens a clock, asks for its capabilities, by which it is known to be one, and reads it once.
fn open(path: &Path, write: bool) -> Result<(Source, Capabilities, Reading), PhcError> {
    let failed = |tried, cause| PhcError::Failed { tried, path: path.into(), cause };
    // Without O_NONBLOCK, opening the wrong device (a terminal line) may wait for ever.
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
    // SAFETY: the descriptor is open, and the kernel writes one struct ptp_clock_caps, which `caps` is.
    match unsafe { ioctl::getcaps(file.as_raw_fd(), &raw mut caps) } {
        Ok(_) => {}
        // Some devices answer a request unknown to them with EINVAL, and a folder can be opened for reading.
        Err(Errno::ENOTTY | Errno::EINVAL) => return Err(PhcError::NotAClock { path: path.into() }),
        Err(cause) => return Err(failed("ask for the capabilities of", cause.into())),
    }
    let source = Source::new(file);
    let first = source.read().map_err(|cause| failed("read", cause.into()))?;
    Ok((source, caps, first))
}

fn failed(tried: &'static str) -> impl Fn(Errno) -> ClockError {
    move |cause| ClockError::Failed { tried, cause }
}

#[cfg(test)]
mod tests {
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
}
