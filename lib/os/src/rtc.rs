//! The real-time clock, `/dev/rtc0`, from which the kernel sets the system clock at boot: rtc(4).
//!
//! It holds a calendar date and whole seconds, in UTC, or in local time if another operating system shares the machine. Only one
//! program can open it at a time, so it is opened for the duration of a call.

use crate::procfs::text_of;
use dante_core::time::{Civil, Duration, Real, Timestamp};
use nix::errno::Errno;
use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file in which hwclock(8) records the RTC's time zone.
const ADJTIME: &str = "/etc/adjtime";

/// Time zone of the RTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// UTC.
    Utc,
    /// Local time of the system's time zone.
    Local,
}

impl Zone {
    /// Parses /etc/adjtime (hwclock(8)): local time if the third line is LOCAL, else UTC.
    pub fn of_adjtime(text: &str) -> Self {
        match text.lines().nth(2).map(str::trim) {
            Some("LOCAL") => Self::Local,
            _ => Self::Utc,
        }
    }
}

/// Why the RTC could not be read or set.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum RtcError {
    #[error("no RTC at {path}")]
    Absent { path: PathBuf },
    #[error("the RTC at {path} is busy: another program has it open")]
    Busy { path: PathBuf },
    #[error("not permitted to {tried} the RTC at {path}: needs root, or access to the file and CAP_SYS_TIME")]
    NotPermitted { tried: &'static str, path: PathBuf },
    #[error("{path} is not an RTC")]
    NotAClock { path: PathBuf },
    #[error("the RTC at {path} has no valid date: it was never set, or its battery is empty")]
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
    /// The RTC at `path`, usually `/dev/rtc0`; it is not opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Time from setting the RTC to the beginning of its next second: 0.5 s for a PC (rtc_cmos: setting resets the divider chain
    /// of the MC146818, drivers/rtc/rtc-mc146818-lib.c), 1 s for others, which begin the written second immediately.
    pub fn set_offset(&self) -> Duration {
        let name = self.path.file_name().map(|name| Path::new("/sys/class/rtc").join(name).join("name"));
        let name = name.and_then(|path| text_of(&path)).unwrap_or_default();
        if name.trim().is_empty() || name.starts_with("rtc_cmos") {
            Duration::from_ms(500)
        } else {
            Duration::from_secs(1)
        }
    }

    /// Sets the RTC to `utc`, rounded down to whole seconds. Called [`Self::set_offset`] before the next second of UTC, it makes
    /// the seconds of both begin together. Writes local time if /etc/adjtime contains LOCAL; the file is read at each call.
    ///
    /// # Errors
    /// See [`RtcError`]. The kernel requires CAP_SYS_TIME in addition to access to the file.
    pub fn set(&self, utc: Timestamp<Real>) -> Result<(), RtcError> {
        let tried = "set";
        let (seconds, _) = utc.split();
        let time = to_rtc(seconds, zone()).ok_or_else(|| self.error(tried, Errno::EOVERFLOW))?;
        let file = self.open(tried)?;
        // SAFETY: the descriptor is open, and the kernel reads one struct rtc_time, which outlives the call.
        match unsafe { ioctl::set_time(file.as_raw_fd(), &raw const time) } {
            Ok(_) => Ok(()),
            Err(cause) => Err(self.error(tried, cause)),
        }
    }

    /// Reads the RTC, as UTC: up to a second early, as it has whole seconds. Of an ambiguous local time at the end of summer
    /// time it returns one of the two.
    pub fn read(&self) -> Result<Timestamp<Real>, RtcError> {
        let tried = "read";
        let file = self.open(tried)?;
        let mut time = RtcTime::default();
        // SAFETY: the descriptor is open, and the kernel writes one struct rtc_time, the type of `time`.
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
            // Drivers return EINVAL for an invalid date.
            Errno::EINVAL if tried == "read" => RtcError::NoDate { path },
            _ => RtcError::Failed { tried, path, cause: cause.into() },
        }
    }
}

fn zone() -> Zone {
    text_of(Path::new(ADJTIME)).map_or(Zone::Utc, |text| Zone::of_adjtime(&text))
}

/// Converts seconds since 1970 (UTC) to the RTC's time.
fn to_rtc(seconds: i64, zone: Zone) -> Option<RtcTime> {
    // Local time equals UTC of an instant later by the offset of the zone.
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
        // The kernel computes these itself if a driver needs them.
        wday: 0,
        yday: 0,
        isdst: 0,
    })
}

/// Converts the RTC's time to seconds since 1970 (UTC); `None` if it is no valid date.
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

/// Local time minus UTC at this time, s.
fn local_offset(seconds: i64) -> Option<i64> {
    // POSIX does not require localtime_r to read the time zone, which may have changed.
    read_zone();
    // SAFETY: tm consists of integers and a pointer, for which zero is valid.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to variables that outlive the call, which keeps neither.
    let done = unsafe { libc::localtime_r(&raw const seconds, &raw mut local) };
    (!done.is_null()).then_some(local.tm_gmtoff)
}

/// Converts a local time to seconds since 1970 (UTC). A time that does not exist, when summer time begins, gives a result that is
/// an hour off; a time that exists twice, when it ends, gives one of the two.
fn of_local(local: &Civil) -> Option<i64> {
    let shown = local.seconds()?;
    // The first guess may be on the other side of a change; the offset at the guess corrects that.
    let guess = shown - local_offset(shown)?;
    Some(shown - local_offset(guess)?)
}

fn read_zone() {
    unsafe extern "C" {
        fn tzset();
    }
    // SAFETY: tzset reads the environment, which the programs do not change after their start.
    unsafe { tzset() };
}

#[cfg(test)]
mod tests {
    //! These tests never set the RTC of this machine, and read it if there is one and access is permitted.

    use super::*;
    use crate::sandbox::skip;
    use std::process::Command;

    #[test]
    fn rtc_counts_months_from_0_and_years_from_1900() {
        let time = to_rtc(1_709_164_800 + 3_723, Zone::Utc).unwrap();
        let expected = RtcTime { sec: 3, min: 2, hour: 1, mday: 29, mon: 1, year: 124, ..RtcTime::default() };
        assert_eq!(time, expected);
        assert_eq!(from_rtc(&time, Zone::Utc), Some(1_709_164_800 + 3_723));
        assert_eq!(size_of::<RtcTime>(), 36);
        assert_eq!(from_rtc(&RtcTime::default(), Zone::Utc), None, "RTC without a battery");
    }

    /// The time zone belongs to the process, so a child runs this test again for each zone.
    #[test]
    fn local_time_is_that_of_the_systems_time_zone() {
        // November and July, in zones without and with summer time; minutes from UTC, east positive.
        let times = [1_700_000_000, 1_720_000_000];
        let zones =
            [("XXX-5:45", [345, 345]), ("XXX3:30", [-210, -210]), ("CET-1CEST,M3.5.0,M10.5.0/3", [60, 120])];
        let own = std::env::var("TZ").unwrap_or_default();
        if let Some((_, minutes)) = zones.iter().find(|(zone, _)| *zone == own) {
            for (seconds, minutes) in times.into_iter().zip(minutes) {
                let time = to_rtc(seconds, Zone::Local).unwrap();
                assert_eq!(from_rtc(&time, Zone::Local), Some(seconds));
                assert_eq!(from_rtc(&time, Zone::Utc), Some(seconds + minutes * 60), "{own}");
            }
            return;
        }
        for (zone, _) in zones {
            let mut child = Command::new("/proc/self/exe");
            child
                .args(["--exact", "rtc::tests::local_time_is_that_of_the_systems_time_zone"])
                .env("TZ", zone);
            let output = child.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{zone}: {text}");
        }
    }

    /// A child runs this test again with the variable.
    #[test]
    fn time_zone_of_the_user_who_starts_a_daemon_is_not_that_of_the_rtc() {
        let (own, name) = ("XXX-5:17", "time_zone_of_the_user_who_starts_a_daemon_is_not_that_of_the_rtc");
        if std::env::var("TZ").is_ok_and(|zone| zone == own) {
            crate::process::prepare();
            assert_ne!(local_offset(1_700_000_000), Some(317 * 60));
            return;
        }
        let name = format!("rtc::tests::{name}");
        let mut child = Command::new("/proc/self/exe");
        // In the main thread, the only one.
        child.args(["--exact", &name, "--test-threads=1"]).env("TZ", own);
        let output = child.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }

    #[test]
    fn zone_is_the_third_line_of_adjtime() {
        assert_eq!(Zone::of_adjtime("0.0 0 0.0\n0\nLOCAL\n"), Zone::Local);
        assert_eq!(Zone::of_adjtime("0.0 0 0.0\n0\nUTC\n"), Zone::Utc);
        assert_eq!(Zone::of_adjtime("LOCAL\n"), Zone::Utc);
        assert_eq!(Zone::of_adjtime(""), Zone::Utc);
    }

    #[test]
    fn errors_name_the_device_and_the_cause() {
        let error = |path: &str| Rtc::new(path).read().unwrap_err().to_string();
        assert_eq!(error("/dev/rtc-nowhere"), "no RTC at /dev/rtc-nowhere");
        assert_eq!(error("/dev/null"), "/dev/null is not an RTC");
        let rtc = Rtc::new("/dev/rtc0");
        let text = |tried, cause| rtc.error(tried, cause).to_string();
        assert_eq!(text("set", Errno::EBUSY), "the RTC at /dev/rtc0 is busy: another program has it open");
        assert!(matches!(rtc.error("set", Errno::EACCES), RtcError::NotPermitted { .. }));
        assert!(text("set", Errno::EACCES).starts_with("not permitted to set the RTC at /dev/rtc0: "));
        assert!(text("set", Errno::EIO).starts_with("cannot set the RTC at /dev/rtc0: "));
        assert!(text("read", Errno::EINVAL).contains("no valid date"));
    }

    /// Needs an RTC that was set and that no other program has open.
    #[test]
    fn reads_the_rtc() {
        match Rtc::new("/dev/rtc0").read() {
            Ok(time) => assert!(time > Timestamp::ZERO, "{time:?}"),
            Err(error @ (RtcError::Absent { .. } | RtcError::Busy { .. } | RtcError::NoDate { .. })) => {
                eprintln!("skipped: {error}")
            }
            Err(error) => skip(&error.to_string()),
        }
    }
}
