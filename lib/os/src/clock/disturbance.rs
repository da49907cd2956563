//! What other programs left in a clock before this one took it, and what they did to it since.

use dante_core::time::{Duration, Ratio};
use std::fmt;

/// What was found in CLOCK_REALTIME when it was taken, and put right: what makes a clock run at another rate than its
/// frequency says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// Microseconds per tick, where 10000 is nominal: adjtimex(8) or an older chronyd. One more is 100 ppm.
    Tick(i64),
    /// The `STA_*` bits of <sys/timex.h> that let the kernel change the frequency by itself: ntpd, or systemd-timesyncd.
    SelfSteering(i32),
    /// What an adjtime(3), or the kernel's PLL, still had to work off; positive, the clock would have gained it.
    Slew(Duration),
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick(tick) => {
                write!(f, "the kernel's tick was {tick} us, left by another program; set to nominal")
            }
            Self::SelfSteering(bits) => write!(
                f,
                "the kernel's {} was on (status 0x{bits:04x}), left by another program; turned off",
                discipline(*bits)
            ),
            Self::Slew(by) => write!(
                f,
                "the kernel was still slewing the clock by {:+} us, begun by another program; ended",
                by.ns() / 1_000
            ),
        }
    }
}

/// What another program did to a clock that this one steers. A step shows in the readings, not here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Disturbance {
    /// The frequency is another than the one that the kernel took from us; +10 ppb, the clock gains 10 ns a second.
    Frequency {
        /// What we left.
        left: Ratio,
        /// What is there now.
        found: Ratio,
    },
    /// Microseconds per tick, now.
    Tick(i64),
    /// The `STA_*` bits that let the kernel change the frequency by itself, as far as they were not there before.
    SelfSteering(i32),
    /// What an adjtime(3), or the kernel's PLL, has yet to work off; positive, the clock gains it.
    Slew(Duration),
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frequency { left, found } => write!(
                f,
                "another program set the clock's frequency to {:+.3} ppb; it was left at {:+.3} ppb",
                found.ppb(),
                left.ppb()
            ),
            Self::Tick(tick) => write!(f, "another program set the kernel's tick to {tick} us"),
            Self::SelfSteering(bits) => {
                write!(
                    f,
                    "another program turned on the kernel's {} (status 0x{bits:04x})",
                    discipline(*bits)
                )
            }
            Self::Slew(by) => {
                write!(f, "another program slews the clock; {:+} us of it are still to come", by.ns() / 1_000)
            }
        }
    }
}

/// What the bits turn on, in a word.
fn discipline(bits: i32) -> &'static str {
    if bits & libc::STA_PLL != 0 {
        "PLL"
    } else if bits & (libc::STA_PPSFREQ | libc::STA_PPSTIME) != 0 {
        "pulse-per-second discipline"
    } else {
        "FLL"
    }
}
