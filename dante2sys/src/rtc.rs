//! Keeps the RTC, from which the time of day is read at the next boot.

use dante_core::steer::Clock;
use dante_core::steer::RtcMode;
use dante_core::time::{Duration, Raw, Reading, Real, Timestamp};
use dante_os::rtc::{Rtc, RtcError};
use std::path::PathBuf;

/// Time between two writes.
const INTERVAL: Duration = Duration::from_secs(3600);
/// Time to the next attempt after a failed write.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
/// Largest delay after the right moment of a second with which the RTC is still written; later, the next second is awaited.
const MAX_DELAY: Duration = Duration::from_ms(50);

pub struct RtcKeeper {
    pub mode: RtcMode,
    rtc: Rtc,
    /// Earliest time of the next write.
    due: Option<Timestamp<Raw>>,
    /// The time of day that was last written.
    pub written: Option<Timestamp<Real>>,
    /// The error of the last attempt.
    pub trouble: Option<String>,
}

impl RtcKeeper {
    pub fn new(mode: RtcMode, path: PathBuf) -> Self {
        Self { mode, rtc: Rtc::new(path), due: None, written: None, trouble: None }
    }

    /// Writes the RTC if that is due and this is the right moment of a second; `may_write`: the clock's time may be written.
    /// Returns when to call again.
    pub fn keep(&mut self, now: Reading, may_write: bool) -> Option<Timestamp<Raw>> {
        if self.mode != RtcMode::Device || !may_write {
            return None;
        }
        let due = *self.due.get_or_insert(now.raw);
        if now.raw < due {
            return Some(due);
        }
        let wait = self.wait(now.real);
        if wait > Duration::ZERO {
            return Some(now.raw + wait);
        }
        self.write(now);
        self.due
    }

    /// Writes the RTC at exit, after waiting for the right moment.
    pub fn end(&mut self, clock: &mut impl Clock, may_write: bool) {
        if self.mode != RtcMode::Device || !may_write || self.due.is_none() {
            return;
        }
        std::thread::sleep(self.wait(clock.read().reading.real).to_std());
        self.write(clock.read().reading);
    }

    /// The time to the moment at which the RTC must be set to the current second so that its next second starts with the clock's.
    fn wait(&self, real: Timestamp<Real>) -> Duration {
        to_moment(real, self.rtc.set_offset())
    }

    fn write(&mut self, now: Reading) {
        self.wrote(now, self.rtc.set(now.real));
    }

    fn wrote(&mut self, now: Reading, result: Result<(), RtcError>) {
        match result {
            Ok(()) => {
                let was_faulty = self.trouble.take().is_some();
                if self.written.replace(now.real).is_none() {
                    log::info!("RTC set; it will be set again every hour");
                } else if was_faulty {
                    log::info!("RTC set again");
                }
                self.due = Some(now.raw + INTERVAL);
            }
            Err(error) => {
                let text = error.to_string();
                if self.trouble.as_ref() != Some(&text) {
                    log::warn!("{text}; retrying every minute");
                }
                self.trouble = Some(text);
                self.due = Some(now.raw + RETRY_INTERVAL);
            }
        }
    }
}

/// Returns the time to the moment of a second that lies `before` its end; zero then and up to [`MAX_DELAY`] later.
fn to_moment(real: Timestamp<Real>, before: Duration) -> Duration {
    let within = Duration::from_ns(real.ns().rem_euclid(SECOND.ns()));
    let past = within - (SECOND - before);
    if past < Duration::ZERO {
        -past
    } else if past <= MAX_DELAY {
        Duration::ZERO
    } else {
        SECOND - past
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logged::logged;
    use std::io;

    #[test]
    fn rtc_is_written_at_the_right_moment_of_a_second() {
        let at = |ms: i64| Timestamp::from_ns(0) + Duration::from_ms(1_795_000_000_000 + ms);
        let wait = |ms, before| to_moment(at(ms), Duration::from_ms(before)).ms();
        // The RTC of a PC.
        assert_eq!([0, 499, 500, 550, 551, 999].map(|ms| wait(ms, 500)), [500, 1, 0, 0, 949, 501]);
        // An RTC that starts its second when it is set.
        assert_eq!([0, 50, 51, 999].map(|ms| wait(ms, 1000)), [0, 0, 949, 1]);
        assert_eq!(to_moment(Timestamp::from_ns(-1), Duration::from_ms(500)), Duration::from_ns(500_000_001));
    }

    const NOW: Reading = Reading { raw: Timestamp::ZERO, real: Timestamp::ZERO, width: Duration::ZERO };
    const SET: &str = "INFO RTC set; it will be set again every hour";

    /// The sentence of an error. A new one does not compile without it.
    fn sentence(error: &RtcError) -> &'static str {
        match error {
            RtcError::Absent { .. } => "WARN no RTC at /dev/rtc0; retrying every minute",
            RtcError::Busy { .. } => {
                "WARN the RTC at /dev/rtc0 is busy: another program has it open; retrying every minute"
            }
            RtcError::NotPermitted { .. } => {
                "WARN not permitted to set the RTC at /dev/rtc0: needs root, or access to the file and CAP_SYS_TIME; retrying every minute"
            }
            RtcError::NotAClock { .. } => "WARN /dev/rtc0 is not an RTC; retrying every minute",
            RtcError::NoDate { .. } => {
                "WARN the RTC at /dev/rtc0 has no valid date: it was never set, or its battery is empty; retrying every minute"
            }
            RtcError::Failed { .. } => {
                "WARN cannot set the RTC at /dev/rtc0: Input/output error (os error 5); retrying every minute"
            }
        }
    }

    fn errors() -> [RtcError; 6] {
        let (tried, path) = ("set", PathBuf::from("/dev/rtc0"));
        [
            RtcError::Absent { path: path.clone() },
            RtcError::Busy { path: path.clone() },
            RtcError::NotPermitted { tried, path: path.clone() },
            RtcError::NotAClock { path: path.clone() },
            RtcError::NoDate { path: path.clone() },
            RtcError::Failed { tried, path, cause: io::Error::from_raw_os_error(5) },
        ]
    }

    #[test]
    fn each_fault_is_reported_once_with_its_end() {
        for ((first, second), third) in errors().into_iter().zip(errors()).zip(errors()) {
            let expected = sentence(&first);
            let mut rtc = RtcKeeper::new(RtcMode::Device, "/dev/rtc0".into());
            let lines = logged(|| {
                for result in [Err(first), Err(second), Ok(()), Ok(()), Err(third), Ok(()), Ok(())] {
                    rtc.wrote(NOW, result);
                }
            });
            assert_eq!(lines, [expected, SET, expected, "INFO RTC set again"]);
        }
    }

    #[test]
    fn file_that_is_no_rtc_is_reported_once() {
        for (path, expected) in [
            ("/dev/no-rtc", "WARN no RTC at /dev/no-rtc; retrying every minute"),
            ("/dev/null", "WARN /dev/null is not an RTC; retrying every minute"),
            ("/proc", "WARN /proc is not an RTC; retrying every minute"),
        ] {
            let mut rtc = RtcKeeper::new(RtcMode::Device, path.into());
            let lines = logged(|| (0..3).for_each(|_| rtc.write(NOW)));
            assert_eq!(lines, [expected]);
        }
    }

    #[test]
    fn rtc_that_is_not_to_be_written_causes_no_line() {
        for (mode, may_write) in [(RtcMode::Off, true), (RtcMode::Kernel, true), (RtcMode::Device, false)] {
            let mut rtc = RtcKeeper::new(mode, "/dev/no-rtc".into());
            let real = Timestamp::ZERO + SECOND - rtc.rtc.set_offset();
            let lines = logged(|| _ = rtc.keep(Reading { real, ..NOW }, may_write));
            assert!(lines.is_empty(), "{mode}: {lines:?}");
        }
    }
}
