//! Keeps the RTC, which tells the date at the next boot.

use dante_core::steer::Clock;
use dante_core::steer::RtcMode;
use dante_core::time::{Duration, Raw, Reading, Real, Timestamp};
use dante_os::rtc::Rtc;
use std::path::PathBuf;

/// From one write to the next, and after one that failed.
const APART: Duration = Duration::from_secs(3600);
const RETRY: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
/// Woken later than this after the right moment, the next one is waited for.
const LATE: Duration = Duration::from_ms(50);

pub struct RtcKeeper {
    pub mode: RtcMode,
    rtc: Rtc,
    /// Not before then.
    due: Option<Timestamp<Raw>>,
    /// The date that was last written.
    pub written: Option<Timestamp<Real>>,
    /// Why it could not be, as it was said last.
    pub trouble: Option<String>,
}

impl RtcKeeper {
    pub fn new(mode: RtcMode, path: PathBuf) -> Self {
        Self { mode, rtc: Rtc::new(path), due: None, written: None, trouble: None }
    }

    /// Writes if it is due and the right moment of a second is now; `may` says whether the clock is worth it. Returns when it
    /// wants to look again.
    pub fn keep(&mut self, now: Reading, may: bool) -> Option<Timestamp<Raw>> {
        if self.mode != RtcMode::Device || !may {
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

    /// Writes at the end: at the right moment, which is waited for.
    pub fn end(&mut self, clock: &mut impl Clock, may: bool) {
        if self.mode != RtcMode::Device || !may || self.due.is_none() {
            return;
        }
        std::thread::sleep(self.wait(clock.read().reading.real).to_std());
        self.write(clock.read().reading);
    }

    /// Set to the current second so long before the next one, the RTC's edges fall on the clock's.
    fn wait(&self, date: Timestamp<Real>) -> Duration {
        to_moment(date, self.rtc.set_offset())
    }

    fn write(&mut self, now: Reading) {
        match self.rtc.set(now.real) {
            Ok(()) => {
                if self.written.replace(now.real).is_none() {
                    log::info!("the RTC is set, and will be every hour");
                }
                self.trouble = None;
                self.due = Some(now.raw + APART);
            }
            Err(error) => {
                let text = error.to_string();
                if self.trouble.as_ref() != Some(&text) {
                    log::warn!("{text}; tried again each minute");
                }
                self.trouble = Some(text);
                self.due = Some(now.raw + RETRY);
            }
        }
    }
}

/// How long to wait for the moment in a second that lies `before` its end; zero then and shortly after.
fn to_moment(date: Timestamp<Real>, before: Duration) -> Duration {
    let within = Duration::from_ns(date.ns().rem_euclid(SECOND.ns()));
    let past = within - (SECOND - before);
    if past < Duration::ZERO {
        -past
    } else if past <= LATE {
        Duration::ZERO
    } else {
        SECOND - past
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_moment_of_a_second_is_waited_for() {
        let at = |ms: i64| Timestamp::from_ns(0) + Duration::from_ms(1_795_000_000_000 + ms);
        let wait = |ms, before| to_moment(at(ms), Duration::from_ms(before)).ms();
        // A PC's.
        assert_eq!([0, 499, 500, 550, 551, 999].map(|ms| wait(ms, 500)), [500, 1, 0, 0, 949, 501]);
        // One that begins at once.
        assert_eq!([0, 50, 51, 999].map(|ms| wait(ms, 1000)), [0, 0, 949, 1]);
        assert_eq!(to_moment(Timestamp::from_ns(-1), Duration::from_ms(500)), Duration::from_ns(500_000_001));
    }
}
