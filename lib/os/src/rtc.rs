//! The real-time clock, `/dev/rtc0`, from which the system clock starts at boot: rtc(4).
//!
//! It holds whole seconds of a civil date, in UTC or, where another operating system shares the machine, in local time.
//! While a program has it open no other can open it, so it is opened for each call only.

use dante_core::time::{Civil, Duration, Real, Timestamp};
use nix::errno::Errno;
use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where hwclock(8) says which time the RTC holds.
const ADJTIME: &str = "/etc/adjtime";

/// Which time the RTC holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// UTC.
    Utc,
    /// Local time of the system's time zone.
    Local,
}

impl Zone {
    /// As the third line of /etc/adjtime says (hwclock(8)): LOCAL, or else UTC, as also where there is no such line.
    pub fn of_adjtime(text: &str) -> Self {
        match text.lines().nth(2).map(str::trim) {
            Some("LOCAL") => Self::Local,
            _ => Self::Utc,
        }
    }
}

/// Why the RTC could not be read or set.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence of each says what it is")]
pub enum RtcError {
    #[error("no RTC at {path}")]
    Absent { path: PathBuf },
    #[error("the RTC at {path} is busy: another program has it open")]
    Busy { path: PathBuf },
    #[error("no right to {tried} the RTC at {path}: it needs root, or access to the file and CAP_SYS_TIME")]
    NotPermitted { tried: &'static str, path: PathBuf },
    #[error("{path} is not an RTC")]
    NotAClock { path: PathBuf },
    #[error("the RTC at {path} holds no valid date: it was never set, or its battery is empty")]
    NoDate { path: PathBuf },
    #[error("cannot {tried} the RTC at {path}: {cause}")]
    Failed { tried: &'static str, path: PathBuf, cause: io::Error },
}

/// struct rtc_time (include/uapi/linux/rtc.h).
#[repr(C)]
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct RtcTime {
    sec: c_int,
    min: c_int,
    hour: c_int,
    mday: c_int,
    /// From 0.
    mon: c_int,
    /// Since 1900.
    year: c_int,
    wday: c_int,
    yday: c_int,
    isdst: c_int,
}

mod ioctl {
    use super::RtcTime;

    // RTC_RD_TIME: _IOR('p', 0x09, struct rtc_time)
    nix::ioctl_read!(read_time, b'p', 0x09, RtcTime);
    // RTC_SET_TIME: _IOW('p', 0x0a, struct rtc_time)
    nix::ioctl_write_ptr!(set_time, b'p', 0x0a, RtcTime);
}

/// A real-time clock.
#[derive(Debug, Clone)]
pub struct Rtc {
    path: PathBuf,
}

impl Rtc {
    /// The RTC at `path`, usually `/dev/rtc0`; nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// When its next second begins after it was set. A PC's needs half a second (rtc_cmos: the divider chain of the
    /// MC146818 is reset, drivers/rtc/rtc-mc146818-lib.c), others begin at once with the second that is written: a
    /// whole second later the next one follows.
    pub fn set_offset(&self) -> Duration {
        let name = self.path.file_name().map(|name| Path::new("/sys/class/rtc").join(name).join("name"));
        let name = name.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        if name.trim().is_empty() || name.starts_with("rtc_cmos") {
            Duration::from_ms(500)
        } else {
            Duration::from_secs(1)
        }
    }

    /// Sets it to the whole second of `utc`, rounded towards the past: at that date's [`Self::set_offset`] before the
    /// next second, the edges of both fall together. In local time
    /// where /etc/adjtime says so; it is looked at each time.
    ///
    /// # Errors
    /// See [`RtcError`]. The kernel asks for CAP_SYS_TIME beside the right to open the file.
    pub fn set(&self, utc: Timestamp<Real>) -> Result<(), RtcError> {
        let tried = "set";
        let (seconds, _) = utc.split();
        let time = to_rtc(seconds, zone()).ok_or_else(|| self.error(tried, Errno::EOVERFLOW))?;
        let file = self.open(tried)?;
        // SAFETY: the descriptor is open, and the kernel reads one struct rtc_time, which lives through the call.
        match unsafe { ioctl::set_time(file.as_raw_fd(), &raw const time) } {
            Ok(_) => Ok(()),
            Err(cause) => Err(self.error(tried, cause)),
        }
    }

    /// What it shows, as UTC: up to a second in the past, since it tells whole seconds. Local time that the change to
    /// winter time makes ambiguous is taken as libc's mktime(3) takes it.
    pub fn read(&self) -> Result<Timestamp<Real>, RtcError> {
        let tried = "read";
        let file = self.open(tried)?;
        let mut time = RtcTime::default();
        // SAFETY: the descriptor is open, and the kernel writes one struct rtc_time, which `time` is.
        unsafe { ioctl::read_time(file.as_raw_fd(), &raw mut time) }
            .map_err(|cause| self.error(tried, cause))?;
        let seconds = from_rtc(&time, zone()).and_then(|seconds| seconds.checked_mul(1_000_000_000));
        seconds.map(Timestamp::from_ns).ok_or_else(|| RtcError::NoDate { path: self.path.clone() })
    }

    fn open(&self, tried: &'static str) -> Result<File, RtcError> {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(&self.path);
        opened.map_err(|cause| match cause.raw_os_error() {
            Some(errno) => self.error(tried, Errno::from_raw(errno)),
            None => RtcError::Failed { tried, path: self.path.clone(), cause },
        })
    }

    fn error(&self, tried: &'static str, cause: Errno) -> RtcError {
        let path = self.path.clone();
        match cause {
            Errno::ENOENT | Errno::ENODEV | Errno::ENXIO => RtcError::Absent { path },
            Errno::EBUSY => RtcError::Busy { path },
            Errno::EACCES | Errno::EPERM => RtcError::NotPermitted { tried, path },
            Errno::ENOTTY => RtcError::NotAClock { path },
            // The driver's word for a date that is none.
            Errno::EINVAL if tried == "read" => RtcError::NoDate { path },
            _ => RtcError::Failed { tried, path, cause: cause.into() },
        }
    }
}

fn zone() -> Zone {
    std::fs::read_to_string(ADJTIME).map_or(Zone::Utc, |text| Zone::of_adjtime(&text))
}

/// Seconds since 1970 as the RTC is to hold them.
fn to_rtc(seconds: i64, zone: Zone) -> Option<RtcTime> {
    // A civil date in local time is the one that UTC would have, that many seconds later.
    let shown = match zone {
        Zone::Utc => seconds,
        Zone::Local => seconds.checked_add(local_offset(seconds)?)?,
    };
    let Civil { year, month, day, hour, minute, second } = Civil::at(shown);
    Some(RtcTime {
        sec: c_int::try_from(second).ok()?,
        min: c_int::try_from(minute).ok()?,
        hour: c_int::try_from(hour).ok()?,
        mday: c_int::try_from(day).ok()?,
        mon: c_int::try_from(month - 1).ok()?,
        year: c_int::try_from(year - 1900).ok()?,
        // The kernel computes these itself where a driver wants them.
        wday: 0,
        yday: 0,
        isdst: 0,
    })
}

/// Seconds since 1970 that the RTC stands for; None for what is no date.
fn from_rtc(time: &RtcTime, zone: Zone) -> Option<i64> {
    let shown = Civil {
        year: i64::from(time.year) + 1900,
        month: i64::from(time.mon) + 1,
        day: i64::from(time.mday),
        hour: i64::from(time.hour),
        minute: i64::from(time.min),
        second: i64::from(time.sec),
    };
    match zone {
        Zone::Utc => shown.seconds(),
        Zone::Local => of_local(&shown),
    }
}

/// How far local time is ahead of UTC then, s.
fn local_offset(seconds: i64) -> Option<i64> {
    // localtime_r need not read the zone by itself (POSIX), and TZ may have changed since.
    read_zone();
    // SAFETY: tm is made of integers and a pointer, for which zero is a value.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to variables that live through the call, which keeps neither.
    let done = unsafe { libc::localtime_r(&raw const seconds, &raw mut local) };
    (!done.is_null()).then_some(local.tm_gmtoff)
}

/// Seconds after 1970-01-01 UTC of a date in local time. Where the clocks go forward and it does not exist, an hour off;
/// where they go back and it is twice, one of the two.
fn of_local(date: &Civil) -> Option<i64> {
    let shown = date.seconds()?;
    // The offset is that of the time looked for: near a change the first guess may be of the other side.
    let guess = shown - local_offset(shown)?;
    Some(shown - local_offset(guess)?)
}

fn read_zone() {
    unsafe extern "C" {
        fn tzset();
    }
    // SAFETY: tzset reads the environment, which nothing in the suite changes after its start.
    unsafe { tzset() };
}

#[cfg(test)]
mod tests {
    //! The RTC of this machine is never set; where there is one that may be read, it is read.

    use super::*;

    #[test]
    fn the_rtc_counts_months_from_0_and_years_from_1900() {
        let time = to_rtc(1_709_164_800 + 3_723, Zone::Utc).unwrap();
        let expected = RtcTime { sec: 3, min: 2, hour: 1, mday: 29, mon: 1, year: 124, ..RtcTime::default() };
        assert_eq!(time, expected);
        assert_eq!(from_rtc(&time, Zone::Utc), Some(1_709_164_800 + 3_723));
        assert_eq!(size_of::<RtcTime>(), 36);
        assert_eq!(from_rtc(&RtcTime::default(), Zone::Utc), None, "an RTC without a battery");
    }

    #[test]
    fn local_time_is_the_systems() {
        // Not in the hour in which a change of the clocks makes local time ambiguous, in any zone.
        for seconds in [1_700_000_000, 1_720_000_000, 1_784_000_000] {
            let time = to_rtc(seconds, Zone::Local).unwrap();
            assert_eq!(from_rtc(&time, Zone::Local), Some(seconds));
            let offset = local_offset(seconds).unwrap();
            assert_eq!(to_rtc(seconds + offset, Zone::Utc), Some(time));
            assert!(offset.abs() <= 15 * 3_600, "{offset} s");
        }
    }

    #[test]
    fn the_zone_is_the_third_line_of_adjtime() {
        assert_eq!(Zone::of_adjtime("0.0 0 0.0\n0\nLOCAL\n"), Zone::Local);
        assert_eq!(Zone::of_adjtime("0.0 0 0.0\n0\nUTC\n"), Zone::Utc);
        assert_eq!(Zone::of_adjtime("LOCAL\n"), Zone::Utc);
        assert_eq!(Zone::of_adjtime(""), Zone::Utc);
    }

    #[test]
    fn what_cannot_be_read_is_told_in_a_sentence() {
        let error = |path: &str| Rtc::new(path).read().unwrap_err().to_string();
        assert_eq!(error("/dev/rtc-nowhere"), "no RTC at /dev/rtc-nowhere");
        assert_eq!(error("/dev/null"), "/dev/null is not an RTC");
        let rtc = Rtc::new("/dev/rtc0");
        let sentence = |tried, cause| rtc.error(tried, cause).to_string();
        assert_eq!(
            sentence("set", Errno::EBUSY),
            "the RTC at /dev/rtc0 is busy: another program has it open"
        );
        assert!(matches!(rtc.error("set", Errno::EACCES), RtcError::NotPermitted { .. }));
        assert!(sentence("set", Errno::EACCES).starts_with("no right to set the RTC at /dev/rtc0: "));
        assert!(sentence("set", Errno::EIO).starts_with("cannot set the RTC at /dev/rtc0: "));
        assert!(sentence("read", Errno::EINVAL).contains("no valid date"));
    }

    /// Needs an RTC and the right to read it; passed over without.
    #[test]
    fn an_rtc_is_read() {
        match Rtc::new("/dev/rtc0").read() {
            Ok(time) => assert!(time > Timestamp::ZERO, "{time:?}"),
            Err(error) => eprintln!("skipped: {error}"),
        }
    }
}
