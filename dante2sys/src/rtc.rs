//! Keeps the RTC, which tells the date at the next boot.

use dante_core::page::RtcMode;
use dante_core::time::{Duration, Raw, Reading, Real, Timestamp};
use dante_os::log::Throttle;
use dante_os::rtc::Rtc;
use std::path::PathBuf;

/// From one write to the next, and after one that failed.
const APART: Duration = Duration::from_secs(3600);
const RETRY: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
/// A PC's RTC begins its next second half a second after it was set (the divider chain of the MC146818, which
/// drivers/rtc/rtc-mc146818-lib.c resets): set to the current second in the middle of it, its edges fall on UTC's.
const MIDDLE: Duration = Duration::from_ms(500);
/// Woken later than this after the middle, the next one is waited for.
const LATE: Duration = Duration::from_ms(50);

/// The keeper.
pub struct RtcKeeper {
    mode: RtcMode,
    rtc: Rtc,
    /// Not before then.
    due: Option<Timestamp<Raw>>,
    written: Option<Timestamp<Real>>,
    complaints: Throttle<String>,
}

impl RtcKeeper {
    pub fn new(mode: RtcMode, path: PathBuf) -> Self {
        Self { mode, rtc: Rtc::new(path), due: None, written: None, complaints: Throttle::default() }
    }

    pub fn mode(&self) -> RtcMode {
        self.mode
    }

    /// The date that was last written.
    pub fn written(&self) -> Option<Timestamp<Real>> {
        self.written
    }

    /// Writes if it is due and the middle of a second is now; `may` says whether the clock is worth it. Returns when it
    /// wants to look again.
    pub fn keep(&mut self, now: Reading, may: bool) -> Option<Timestamp<Raw>> {
        if self.mode != RtcMode::Device || !may {
            return None;
        }
        let due = *self.due.get_or_insert(now.raw);
        if now.raw < due {
            return Some(due);
        }
        let wait = to_middle(now.real);
        if wait > Duration::ZERO {
            return Some(now.raw + wait);
        }
        self.write(now);
        self.due
    }

    /// Writes at the end: in the middle of the second, which is waited for.
    pub fn end(&mut self, read: impl Fn() -> Reading, may: bool) {
        if self.mode != RtcMode::Device || !may || self.due.is_none() {
            return;
        }
        std::thread::sleep(to_middle(read().real).to_std());
        self.write(read());
    }

    fn write(&mut self, now: Reading) {
        match self.rtc.set(now.real) {
            Ok(()) => {
                if self.written.replace(now.real).is_none() {
                    log::info!("the RTC is set, and will be every hour");
                }
                self.due = Some(now.raw + APART);
            }
            Err(error) => {
                let text = error.to_string();
                if self.complaints.allows(text.clone(), now.raw) {
                    log::warn!("{text}; tried again each minute");
                }
                self.due = Some(now.raw + RETRY);
            }
        }
    }
}

/// How long to wait for the middle of a second; zero in it and shortly after.
fn to_middle(date: Timestamp<Real>) -> Duration {
    let within = Duration::from_ns(date.ns().rem_euclid(SECOND.ns()));
    let past = within - MIDDLE;
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
    fn the_middle_of_a_second_is_waited_for() {
        let wait =
            |ms: i64| to_middle(Timestamp::from_ns(0) + Duration::from_ms(1_795_000_000_000 + ms)).ms();
        assert_eq!(
            [wait(0), wait(499), wait(500), wait(550), wait(551), wait(999)],
            [500, 1, 0, 0, 949, 501]
        );
        assert_eq!(to_middle(Timestamp::from_ns(-1)), Duration::from_ns(500_000_001));
    }
}
