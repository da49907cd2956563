//! The guest's kernel clock and real-time clock, compared with this machine's clock.

use super::{Guest, SCRIPT_TIMEOUT};
use crate::ntp::now_ns;
use dante_core::time::Duration as Span;
use std::fmt;
use std::time::Duration;

/// Longest wait until dante2sys has written the RTC.
pub const RTC_TIMEOUT: Duration = Duration::from_secs(300);

/// The guest's CLOCK_REALTIME minus this machine's.
#[derive(Debug, Clone, Copy)]
pub struct UtcError {
    /// Guest minus machine, to within half the width.
    pub error: Span,
    /// Round-trip time of the measurement.
    pub width: Span,
}

impl fmt::Display for UtcError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let half = self.width.secs_f64() * 500.0;
        write!(formatter, "{:+.6} s +- {half:.3} ms", self.error.secs_f64())
    }
}

/// State of the guest's kernel clock, from `adjtimex --print`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timex {
    /// Frequency correction, ppb; +10: the clock gains 10 ns a second.
    pub frequency_ppb: f64,
    /// Microseconds per tick, nominally 10000.
    pub tick: i64,
    /// `STA_*` bits of `<sys/timex.h>`.
    pub status: i32,
}

impl Timex {
    /// Parses the output of `adjtimex --print`.
    ///
    /// # Panics
    /// If it has another format.
    pub fn parse(text: &str) -> Self {
        let number = |key: &str| -> i64 {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(key));
            let value = line.and_then(|rest| rest.trim().strip_prefix(':')).map(str::trim);
            value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {key}: {text}"))
        };
        Self {
            // In units of 2^-16 ppm.
            frequency_ppb: number("frequency") as f64 * 1e3 / 65_536.0,
            tick: number("tick"),
            status: i32::try_from(number("status")).expect("the status bits"),
        }
    }
}

impl Timex {
    /// Whether the kernel clock is synchronised: STA_UNSYNC (0x40) is clear.
    pub fn is_synchronised(&self) -> bool {
        self.status & nix::libc::STA_UNSYNC == 0
    }
}

impl Guest {
    /// Reads the state of the kernel clock.
    pub fn timex(&mut self) -> Timex {
        Timex::parse(&self.check("adjtimex --print"))
    }

    /// Measures the guest's clock minus this machine's 20 times, and returns the measurement with the shortest round trip.
    ///
    /// # Panics
    /// If the guest does not answer.
    pub fn utc_error(&mut self) -> UtcError {
        let best = (0..20).map(|_| self.measure()).min_by_key(|one| one.width);
        best.expect("20 measurements")
    }

    fn measure(&mut self) -> UtcError {
        let before = now_ns();
        let guest = self.agent.time(SCRIPT_TIMEOUT).expect("the guest's time");
        let width = now_ns() - before;
        UtcError { error: Span::from_ns(guest - before - width / 2), width: Span::from_ns(width) }
    }

    /// Returns the guest's real-time clock minus this machine's clock, s, measured at an edge of the former.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn rtc_error(&mut self) -> f64 {
        // hwclock waits for an edge, and prints the time of the RTC when hwclock was started. The guest's own clock at that
        // moment connects it to this machine's.
        let text = self.check("echo $EPOCHREALTIME; hwclock --get --utc");
        let (started, shown) = text.trim().split_once('\n').expect("two lines of bash and hwclock");
        let shown = self.check(&format!("date -u -d '{shown}' +%s.%N"));
        let number = |text: &str| text.trim().parse::<f64>().expect("a time");
        number(&shown) - number(started) + self.utc_error().error.secs_f64()
    }

    /// Waits until dante2sys has written the real-time clock, and returns [`Self::rtc_error`].
    ///
    /// # Panics
    /// If it does not within `RTC_TIMEOUT`.
    pub fn wait_for_rtc(&mut self) -> f64 {
        crate::wait_for("dante2sys: the RTC written", RTC_TIMEOUT, || {
            self.status()["dante2sys"]["rtc"]["written_utc_s"].as_i64()
        });
        self.rtc_error()
    }
}
