//! The guest's clocks, read from outside: the kernel's, and the real-time clock.

use super::{Guest, SCRIPT};
use crate::ntp::now_ns;
use dante_core::time::Duration as Span;
use std::fmt;
use std::time::Duration;

/// How far the guest's CLOCK_REALTIME was ahead of this machine's.
#[derive(Debug, Clone, Copy)]
pub struct UtcError {
    /// Guest minus machine; true to within half the width.
    pub error: Span,
    /// How long question and answer took together.
    pub width: Span,
}

impl fmt::Display for UtcError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let half = self.width.secs_f64() * 500.0;
        write!(formatter, "{:+.6} s +- {half:.3} ms", self.error.secs_f64())
    }
}

/// What `adjtimex --print` says in the guest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timex {
    /// ppb; +10, the clock gains 10 ns a second on its uncorrected rate.
    pub frequency_ppb: f64,
    /// Microseconds per tick, nominally 10000.
    pub tick: i64,
    /// `STA_*` bits of `<sys/timex.h>`.
    pub status: i32,
}

impl Timex {
    /// What `adjtimex --print` has said.
    ///
    /// # Panics
    /// When that is something else.
    pub fn parse(said: &str) -> Self {
        let number = |key: &str| -> i64 {
            let line = said.lines().find_map(|line| line.trim().strip_prefix(key));
            let value = line.and_then(|rest| rest.trim().strip_prefix(':')).map(str::trim);
            value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {key}: {said}"))
        };
        Self {
            // In units of 2^-16 ppm.
            frequency_ppb: number("frequency") as f64 * 1e3 / 65_536.0,
            tick: number("tick"),
            status: i32::try_from(number("status")).expect("the status bits"),
        }
    }
}

impl Guest {
    /// The kernel's clock as it is now.
    pub fn timex(&mut self) -> Timex {
        Timex::parse(&self.check("adjtimex --print"))
    }

    /// How far the guest's clock is ahead of this machine's: the tightest of 20 brackets.
    ///
    /// # Panics
    /// When the guest does not answer.
    pub fn utc_error(&mut self) -> UtcError {
        let best = (0..20).map(|_| self.bracket()).min_by_key(|one| one.width);
        best.expect("20 brackets")
    }

    fn bracket(&mut self) -> UtcError {
        let before = now_ns();
        let guest = self.agent.time(SCRIPT).expect("the guest's date");
        let width = now_ns() - before;
        UtcError { error: Span::from_ns(guest - before - width / 2), width: Span::from_ns(width) }
    }

    /// By how much the guest's real-time clock is ahead of this machine's date, s: from one of its edges.
    ///
    /// # Panics
    /// When it cannot be read.
    pub fn rtc_error(&mut self) -> f64 {
        // hwclock waits for an edge, and from it says what the clock showed when hwclock was started; the guest's own date
        // at that moment ties it to ours.
        let said = self.check("echo $EPOCHREALTIME; hwclock --get --utc");
        let (started, shown) = said.trim().split_once('\n').expect("two lines of bash and hwclock");
        let shown = self.check(&format!("date -u -d '{shown}' +%s.%N"));
        let number = |text: &str| text.trim().parse::<f64>().expect("a date");
        number(&shown) - number(started) + self.utc_error().error.secs_f64()
    }

    /// Waits until dante2sys has written the real-time clock, and returns [`Self::rtc_error`].
    ///
    /// # Panics
    /// When it does not within a minute and a half.
    pub fn wait_for_rtc(&mut self) -> f64 {
        crate::wait_for("dante2sys: the RTC written", Duration::from_secs(300), || {
            self.status()["dante2sys"]["rtc"]["written_utc_s"].as_i64()
        });
        self.rtc_error()
    }
}
