//! What the kernel reports of a clock, and which of it another program changed.

use crate::time::{Duration, Ratio};
use crate::utc::Leap;
use std::fmt;

/// Nominal length of a tick, microseconds: 1 s divided by USER_HZ (100) on every architecture that Rust's std supports.
pub const NOMINAL_TICK: i64 = 10_000;

/// The `STA_*` bits of `<linux/timex.h>` with which the kernel changes the frequency by itself; FREQHOLD keeps the frequency of
/// the PLL and the FLL.
const STA_PLL: i32 = 0x0001;
const STA_PPSFREQ: i32 = 0x0002;
const STA_PPSTIME: i32 = 0x0004;
const STA_FLL: i32 = 0x0008;
const STA_FREQHOLD: i32 = 0x0080;
/// The mask of all these bits.
pub const SELF_STEERING: i32 = STA_PLL | STA_PPSFREQ | STA_PPSTIME | STA_FLL | STA_FREQHOLD;

/// What the kernel reports of a clock, as far as another program may change it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kernel {
    /// +10 ppb: the clock gains 10 ns a second on its uncorrected rate.
    pub frequency: Ratio,
    /// Microseconds per tick, nominally [`NOMINAL_TICK`]. One more is 100 ppm.
    pub tick: i64,
    /// `STA_*` bits of `<linux/timex.h>`.
    pub status: i32,
    /// The remaining slew of the kernel's PLL and of adjtime(3); positive: the clock gains it.
    pub slew: Duration,
    /// The kernel's leap second state.
    pub leap: KernelLeap,
}

impl Kernel {
    /// A clock that only its frequency steers, without leap seconds: a virtual one, or a PTP hardware clock.
    pub const fn plain(frequency: Ratio) -> Self {
        Self { frequency, tick: NOMINAL_TICK, status: 0, slew: Duration::ZERO, leap: KernelLeap::None }
    }

    /// Returns the settings left by other programs that make the clock run at another rate than its frequency.
    pub fn leftovers(&self) -> impl Iterator<Item = Leftover> {
        let bits = self.status & SELF_STEERING;
        let tick = (self.tick != NOMINAL_TICK).then_some(Leftover::Tick(self.tick));
        let steering = (bits != 0).then_some(Leftover::SelfSteering(bits));
        let slew = (self.slew != Duration::ZERO).then_some(Leftover::Slew(self.slew));
        [tick, steering, slew].into_iter().flatten()
    }

    /// Returns what another program changed since this one set `frequency`: the first found of self-steering, tick, slew and
    /// frequency. STA_UNSYNC, the leap second bits and error bits do not count.
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

/// The kernel's leap second state, as adjtimex(2) returns it (TIME_* of include/uapi/linux/timex.h). While the clock is declared
/// unsynchronised, or a pulse-per-second signal fails, it is [`Self::Unsynchronised`] whatever is pending: then only the bits
/// STA_INS and STA_DEL of [`Kernel::status`] show a pending leap second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelLeap {
    /// TIME_OK: none, or the kernel, which checks the bits once a second, has not seen it yet.
    None,
    /// TIME_INS: the last minute of this UTC day will have 61 seconds.
    Insert,
    /// TIME_DEL: the last minute of this UTC day will have 59 seconds.
    Delete,
    /// TIME_OOP: the inserted second is in progress: 23:59:59 for the second time.
    Passing,
    /// TIME_WAIT: the leap second is over, and the bit that requested it is not cleared yet.
    Over,
    /// TIME_ERROR: the clock is not synchronised.
    Unsynchronised,
    /// A state that this program does not know.
    Unknown(i32),
}

impl KernelLeap {
    /// Whether a leap second is in progress or has just ended.
    pub const fn passes(self) -> bool {
        matches!(self, Self::Passing | Self::Over)
    }
}

/// The UTC status that the kernel publishes. While it is synchronised, the kernel copies the clock to the RTC every 11 minutes,
/// and timedatectl(1) and monitoring report the clock as synchronised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// The UTC error is at most `max_error` (STA_UNSYNC cleared).
    Synchronised {
        /// Bound of the UTC error. The kernel increases it by 500 us per second, and declares the clock unsynchronised by itself
        /// at 16 s: after 8.9 hours without another declaration, if it was small.
        max_error: Duration,
        /// Estimated UTC error.
        est_error: Duration,
        /// What the kernel does at the end of the current UTC day. A leap second on a later day must not be declared yet.
        leap: Leap,
    },
    /// The UTC error is unknown or too large (STA_UNSYNC set, and the kernel's maximum of 16 s as its error).
    Unsynchronised {
        /// Bound of the UTC error as far as it is known, for the log.
        max_error: Duration,
    },
}

impl Declared {
    /// Whether the clock is declared synchronised.
    pub const fn is_synchronised(self) -> bool {
        matches!(self, Self::Synchronised { .. })
    }

    /// The bound of the UTC error.
    pub const fn max_error(self) -> Duration {
        match self {
            Self::Synchronised { max_error, .. } | Self::Unsynchronised { max_error } => max_error,
        }
    }
}

/// A setting of another program, found and removed when control of the clock was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leftover {
    /// Microseconds per tick (nominally 10000), changed by adjtimex(8) or chronyd. One more is 100 ppm.
    Tick(i64),
    /// The `STA_*` bits of <sys/timex.h> that let the kernel change the frequency by itself, set by ntpd or systemd-timesyncd.
    SelfSteering(i32),
    /// The remaining slew of an adjtime(3) or of the kernel's PLL; positive: the clock would have gained it.
    Slew(Duration),
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick(tick) => {
                write!(f, "kernel tick was {tick} us, set by another program: reset to {NOMINAL_TICK} us")
            }
            Self::SelfSteering(bits) => write!(
                f,
                "kernel {} was on (status 0x{bits:04x}), set by another program: turned off",
                self_steering_name(*bits)
            ),
            Self::Slew(by) => write!(
                f,
                "kernel was still slewing the clock by {:+} us, started by another program: cancelled",
                by.ns() / 1_000
            ),
        }
    }
}

/// What another program did to the clock that this one steers. A step is detected from the readings, not here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Disturbance {
    /// The frequency differs from the one that the kernel accepted from this program; +10 ppb, the clock gains 10 ns a second.
    Frequency {
        /// The frequency that this program set.
        left: Ratio,
        /// The frequency now in force.
        found: Ratio,
    },
    /// The new tick, microseconds.
    Tick(i64),
    /// The `STA_*` bits that let the kernel change the frequency by itself.
    SelfSteering(i32),
    /// The remaining slew of an adjtime(3) or of the kernel's PLL; positive: the clock gains it.
    Slew(Duration),
}

impl fmt::Display for Disturbance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frequency { left, found } => write!(
                f,
                "another program set the clock frequency to {:+.3} ppb; this program had set {:+.3} ppb",
                found.ppb(),
                left.ppb()
            ),
            Self::Tick(tick) => write!(f, "another program set the kernel tick to {tick} us"),
            Self::SelfSteering(bits) => {
                let name = self_steering_name(*bits);
                write!(f, "another program turned on the kernel {name} (status 0x{bits:04x})")
            }
            Self::Slew(by) => {
                write!(f, "another program slews the clock: {:+} us remaining", by.ns() / 1_000)
            }
        }
    }
}

/// The name of what these bits turn on.
fn self_steering_name(bits: i32) -> &'static str {
    if bits & STA_PLL != 0 {
        "PLL"
    } else if bits & (STA_PPSFREQ | STA_PPSTIME) != 0 {
        "pulse-per-second discipline"
    } else {
        "FLL"
    }
}
