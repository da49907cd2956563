//! CLOCK_REALTIME through adjtimex(2): its frequency, steps, and what other programs left behind in it.

use super::ClockError;
use dante_core::time::{Duration, Ratio};
use nix::errno::Errno;

/// One unit of `timex.freq`: 2^-16 ppm.
const UNITS_PER_PPM: f64 = 65_536.0;
/// The kernel's own limit, MAXFREQ (include/linux/timex.h).
const LIMIT: Ratio = Ratio::from_ppm(500.0);
/// Microseconds per tick of USER_HZ, which is 100 on every architecture that Rust's std knows.
const NOMINAL_TICK: i64 = 10_000;
/// The kernel's PLL and FLL, and the pulse-per-second discipline, change the frequency by themselves; FREQHOLD makes
/// the first two keep what was set.
const SELF_STEERING: i32 =
    libc::STA_PLL | libc::STA_FLL | libc::STA_FREQHOLD | libc::STA_PPSFREQ | libc::STA_PPSTIME;
/// Bits that the kernel alone sets (STA_RONLY).
const READ_ONLY: i32 = libc::STA_PPSSIGNAL
    | libc::STA_PPSJITTER
    | libc::STA_PPSWANDER
    | libc::STA_PPSERROR
    | libc::STA_CLOCKERR
    | libc::STA_NANO
    | libc::STA_MODE
    | libc::STA_CLK;

/// What adjtimex says of CLOCK_REALTIME. What differs from what was left there is another program's doing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timex {
    /// +10 ppb: the clock gains 10 ns a second on its uncorrected rate.
    pub frequency: Ratio,
    /// Microseconds per tick, nominally 10000. One more is 100 ppm.
    pub tick: i64,
    /// `STA_*` bits of `<sys/timex.h>`; 0x40 is STA_UNSYNC.
    pub status: i32,
    /// The largest error that the kernel believes in; it grows by 500 ppm on its own.
    pub max_error: Duration,
    /// The estimated error.
    pub est_error: Duration,
}

/// CLOCK_REALTIME, to be steered. Reading it needs no right; the first change shows whether CAP_SYS_TIME is there.
#[derive(Debug)]
pub struct Realtime(());

impl Realtime {
    /// Asks the kernel for the clock's state once, which changes nothing.
    ///
    /// # Errors
    /// When even that is refused, as by a seccomp filter.
    pub fn open() -> Result<Self, ClockError> {
        adjtimex(0, "reading the state of CLOCK_REALTIME", |_| ()).map(|_| Self(()))
    }

    /// What adjtimex says now.
    ///
    /// # Errors
    /// When the kernel refuses to be asked.
    pub fn timex(&self) -> Result<Timex, ClockError> {
        let read = adjtimex(0, "reading the state of CLOCK_REALTIME", |_| ())?;
        Ok(Timex {
            frequency: from_timex(read.freq),
            tick: read.tick,
            status: read.status,
            max_error: Duration::from_us(read.maxerror),
            est_error: Duration::from_us(read.esterror),
        })
    }

    /// The frequency in force.
    ///
    /// # Errors
    /// When the kernel refuses to be asked.
    pub fn frequency(&self) -> Result<Ratio, ClockError> {
        self.timex().map(|timex| timex.frequency)
    }

    /// Sets the frequency, held within +-500 ppm, and returns the one that the kernel took.
    ///
    /// # Errors
    /// [`ClockError::Refused`] without CAP_SYS_TIME; [`ClockError::NotFinite`].
    pub fn set_frequency(&mut self, rate: Ratio) -> Result<Ratio, ClockError> {
        let units = to_timex(rate).ok_or(ClockError::NotFinite)?;
        let took =
            adjtimex(libc::ADJ_FREQUENCY, "setting the frequency of CLOCK_REALTIME", |t| t.freq = units)?;
        Ok(from_timex(took.freq))
    }

    /// Moves the clock by `by` at once, forwards if positive.
    ///
    /// # Errors
    /// [`ClockError::Refused`] without CAP_SYS_TIME; [`ClockError::Failed`] for a date that the kernel does not take.
    pub fn step(&mut self, by: Duration) -> Result<(), ClockError> {
        let time = setoffset(by);
        adjtimex(libc::ADJ_SETOFFSET | libc::ADJ_NANO, "stepping CLOCK_REALTIME", |t| t.time = time).map(drop)
    }

    /// Puts the length of a tick back to its nominal value, and returns what it was if that was another: a leftover of
    /// adjtimex(8) or of an older chronyd, worth 100 ppm a unit.
    ///
    /// # Errors
    /// [`ClockError::Refused`] without CAP_SYS_TIME.
    pub fn reset_tick(&mut self) -> Result<Option<i64>, ClockError> {
        let found = self.timex()?.tick;
        if found == NOMINAL_TICK {
            return Ok(None);
        }
        adjtimex(libc::ADJ_TICK, "resetting the tick of CLOCK_REALTIME", |t| t.tick = NOMINAL_TICK)?;
        Ok(Some(found))
    }

    /// Makes the frequency alone rule the clock: ends what the kernel's PLL, FLL or pulse-per-second discipline and
    /// adjtime(3) still had to work off, and turns them off. STA_UNSYNC and a pending leap second stay as they are.
    ///
    /// # Errors
    /// [`ClockError::Refused`] without CAP_SYS_TIME.
    pub fn release_pll(&mut self) -> Result<(), ClockError> {
        let off = frequency_alone(self.timex()?.status);
        // An offset is taken only while the PLL is on, and works on after it was turned off: zero it first.
        adjtimex(libc::ADJ_STATUS | libc::ADJ_OFFSET, "clearing the PLL of CLOCK_REALTIME", |t| {
            t.status = off | libc::STA_PLL;
            t.offset = 0;
        })?;
        adjtimex(libc::ADJ_STATUS, "turning off the PLL of CLOCK_REALTIME", |t| t.status = off)?;
        adjtimex(libc::ADJ_OFFSET_SINGLESHOT, "ending an adjtime() of CLOCK_REALTIME", |t| t.offset = 0)
            .map(drop)
    }
}

/// The status to write so that nothing but the frequency steers.
pub(super) fn frequency_alone(status: i32) -> i32 {
    status & !SELF_STEERING & !READ_ONLY
}

/// `timex.freq` for a rate: the nearest, held within the kernel's limit. None for what is no number.
#[expect(clippy::cast_possible_truncation, reason = "at most 500 * 2^16 after the clamp")]
pub(super) fn to_timex(rate: Ratio) -> Option<i64> {
    rate.is_finite().then(|| (rate.clamp(LIMIT).ppm() * UNITS_PER_PPM).round() as i64)
}

/// The rate that a `timex.freq` stands for.
#[expect(clippy::cast_precision_loss, reason = "the kernel holds it below 2^25")]
pub(super) fn from_timex(units: i64) -> Ratio {
    Ratio::from_ppm(units as f64 / UNITS_PER_PPM)
}

/// A step as ADJ_SETOFFSET|ADJ_NANO wants it: whole seconds rounded towards the past, and 0..10^9 ns in `tv_usec`.
pub(super) fn setoffset(by: Duration) -> libc::timeval {
    libc::timeval { tv_sec: by.ns().div_euclid(1_000_000_000), tv_usec: by.ns().rem_euclid(1_000_000_000) }
}

/// The one call of adjtimex: `fill` sets what `modes` names; returns what the kernel wrote back.
fn adjtimex(
    modes: u32,
    tried: &'static str,
    fill: impl FnOnce(&mut libc::timex),
) -> Result<libc::timex, ClockError> {
    // SAFETY: timex is made of integers alone, for which zero is a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    fill(&mut timex);
    timex.modes = modes;
    // SAFETY: the pointer is to a timex that lives through the call; the kernel reads and writes that struct only.
    match Errno::result(unsafe { libc::adjtimex(&raw mut timex) }) {
        Ok(_) => Ok(timex),
        Err(Errno::EPERM | Errno::EACCES) => Err(ClockError::Refused { tried }),
        Err(cause) => Err(ClockError::Failed { tried, cause }),
    }
}
