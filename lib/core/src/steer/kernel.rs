//! What the kernel reports of a clock, and what of it another program did.

use crate::time::{Duration, Ratio};
use crate::utc::Leap;
use std::fmt;

/// Microseconds per tick of USER_HZ, which is 100 on every architecture that Rust's std knows.
pub const NOMINAL_TICK: i64 = 10_000;

/// The `STA_*` bits of `<linux/timex.h>` by which the kernel changes the frequency by itself; FREQHOLD makes the PLL and
/// the FLL keep what was set.
const STA_PLL: i32 = 0x0001;
const STA_PPSFREQ: i32 = 0x0002;
const STA_PPSTIME: i32 = 0x0004;
const STA_FLL: i32 = 0x0008;
const STA_FREQHOLD: i32 = 0x0080;
/// All of them.
pub const SELF_STEERING: i32 = STA_PLL | STA_PPSFREQ | STA_PPSTIME | STA_FLL | STA_FREQHOLD;

/// What the kernel reports of a clock, as far as another program may have changed it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kernel {
    /// +10 ppb: the clock gains 10 ns a second on its uncorrected rate.
    pub frequency: Ratio,
    /// Microseconds per tick, nominally [`NOMINAL_TICK`]. One more is 100 ppm.
    pub tick: i64,
    /// `STA_*` bits of `<linux/timex.h>`.
    pub status: i32,
    /// What the kernel's PLL and adjtime(3) have yet to work off; positive, the clock gains it.
    pub slew: Duration,
    /// Where the kernel stands with a leap second.
    pub leap: KernelLeap,
}

impl Kernel {
    /// A clock that its frequency alone rules, and that knows no leap seconds: a virtual one, or a PTP hardware clock.
    pub const fn plain(frequency: Ratio) -> Self {
        Self { frequency, tick: NOMINAL_TICK, status: 0, slew: Duration::ZERO, leap: KernelLeap::None }
    }

    /// What other programs left in the clock that makes it run at another rate than its frequency.
    pub fn leftovers(&self) -> impl Iterator<Item = Leftover> {
        let bits = self.status & SELF_STEERING;
        let tick = (self.tick != NOMINAL_TICK).then_some(Leftover::Tick(self.tick));
        let steering = (bits != 0).then_some(Leftover::SelfSteering(bits));
        let slew = (self.slew != Duration::ZERO).then_some(Leftover::Slew(self.slew));
        [tick, steering, slew].into_iter().flatten()
    }

    /// What another program did since this one took the clock and left it at `frequency`: the first that is found, of
    /// self-steering, tick, slew and frequency. STA_UNSYNC, leap bits and errors are none.
    pub fn disturbance(&self, frequency: Ratio) -> Option<Disturbance> {
        self.leftovers()
            .map(|found| match found {
                Leftover::Tick(tick) => Disturbance::Tick(tick),
                Leftover::SelfSteering(bits) => Disturbance::SelfSteering(bits),
                Leftover::Slew(by) => Disturbance::Slew(by),
            })
            .min_by_key(|found| !matches!(found, Disturbance::SelfSteering(_)))
            .or_else(|| {
                let found = self.frequency;
                (found != frequency).then_some(Disturbance::Frequency { left: frequency, found })
            })
    }
}

/// Where the kernel stands with a leap second: what adjtimex(2) returns (TIME_* of include/uapi/linux/timex.h). While
/// the clock is declared bad, or a pulse-per-second signal fails, it is [`Self::Unsynchronised`] whatever is pending:
/// then only the bits STA_INS and STA_DEL of [`Kernel::status`] show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelLeap {
    /// TIME_OK: none, or none yet known to the kernel, which looks at its bits once a second.
    None,
    /// TIME_INS: the last minute of this UTC day will have 61 seconds.
    Insert,
    /// TIME_DEL: the last minute of this UTC day will have 59 seconds.
    Delete,
    /// TIME_OOP: the second inserted is passing, that is, 23:59:59 for the second time.
    Passing,
    /// TIME_WAIT: it is over, and the bit that asked for it is not cleared yet.
    Over,
    /// TIME_ERROR: the clock is not synchronised.
    Unsynchronised,
    /// A state that these headers do not know.
    Unknown(i32),
}

impl KernelLeap {
    /// A leap second passes, or has just passed.
    pub const fn passes(self) -> bool {
        matches!(self, Self::Passing | Self::Over)
    }
}

/// What the kernel publishes of the clock's UTC. While it is good, the kernel copies it to the RTC every 11 minutes,
/// and timedatectl(1) and monitoring say that the clock is synchronised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// It is right.
    Good {
        /// By at most this it is wrong. The kernel lets it grow by 500 ppm, and declares the clock bad by itself at
        /// 16 s: after 8.8 hours without another declaration, if it was small.
        max_error: Duration,
        /// By about this it is wrong.
        est_error: Duration,
        /// What the kernel does at the end of the present UTC day: a leap second further off must not be declared yet.
        leap: Leap,
    },
    /// It is not known to be right.
    Bad {
        /// By at most this it is wrong, as far as is known; the kernel holds it at 16 s.
        max_error: Duration,
    },
}

impl Declared {
    /// Whether it is right.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Good { .. })
    }

    /// By at most this it is wrong.
    pub const fn max_error(self) -> Duration {
        match self {
            Self::Good { max_error, .. } | Self::Bad { max_error } => max_error,
        }
    }
}

/// What was found in a clock when it was taken, and put right.
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
                self_steering_name(*bits)
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
    /// The `STA_*` bits that let the kernel change the frequency by itself.
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
                let name = self_steering_name(*bits);
                write!(f, "another program turned on the kernel's {name} (status 0x{bits:04x})")
            }
            Self::Slew(by) => {
                write!(f, "another program slews the clock; {:+} us of it are still to come", by.ns() / 1_000)
            }
        }
    }
}

/// What the bits turn on, in a word.
fn self_steering_name(bits: i32) -> &'static str {
    if bits & STA_PLL != 0 {
        "PLL"
    } else if bits & (STA_PPSFREQ | STA_PPSTIME) != 0 {
        "pulse-per-second discipline"
    } else {
        "FLL"
    }
}
