//! Keeps the RTC, from which the time of day is read at the next boot.

use dante_core::steer::Clock;
use dante_core::steer::RtcMode;
use dante_core::time::{Duration, Raw, Reading, Real, Timestamp};
use dante_os::rtc::Rtc;
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
        match self.rtc.set(now.real) {
            Ok(()) => {
                if self.written.replace(now.real).is_none() {
                    log::info!("RTC set; it will be set again every hour");
                }
                self.trouble = None;
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
}
