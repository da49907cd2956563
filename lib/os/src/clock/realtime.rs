//! CLOCK_REALTIME through adjtimex(2): its frequency, steps, and what other programs left behind in it.

use super::ClockError;
use dante_core::steer::{Declared, Kernel, KernelLeap, NOMINAL_TICK, SELF_STEERING};
use dante_core::time::{Duration, Ratio};
use dante_core::utc::Leap;
use nix::errno::Errno;

/// One unit of `timex.freq`: 2^-16 ppm.
const UNITS_PER_PPM: f64 = 65_536.0;
/// The kernel's own limit, MAXFREQ (include/linux/timex.h).
pub(super) const LIMIT: Ratio = Ratio::from_ppm(500.0);
/// NTP_PHASE_LIMIT (kernel/time/ntp.c), us: the kernel holds both errors below it, and sets STA_UNSYNC by itself when
/// the maximum error has grown beyond it.
const ERROR_LIMIT: i64 = 16_000_000;
/// Bits that the kernel alone sets (STA_RONLY).
const READ_ONLY: i32 = libc::STA_PPSSIGNAL
    | libc::STA_PPSJITTER
    | libc::STA_PPSWANDER
    | libc::STA_PPSERROR
    | libc::STA_CLOCKERR
    | libc::STA_NANO
    | libc::STA_MODE
    | libc::STA_CLK;

/// What adjtimex reports of CLOCK_REALTIME.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timex {
    /// How it runs; of what is slewed, the PLL's part alone.
    pub kernel: Kernel,
    /// The largest error that the kernel believes in; it grows by 500 ppm on its own.
    pub max_error: Duration,
}

impl Timex {
    /// Whether somebody tells the kernel that the clock is right: STA_UNSYNC is clear.
    pub fn is_synchronised(&self) -> bool {
        self.kernel.status & libc::STA_UNSYNC == 0
    }
}

/// What adjtimex says now, of a clock that is only looked at. It needs no right.
///
/// # Errors
/// When the kernel refuses to be asked, as by a seccomp filter.
pub fn timex() -> Result<Timex, ClockError> {
    read().map(|(state, read)| timex_of(state, &read))
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
        read().map(|_| Self(()))
    }

    /// How it runs, with what an adjtime(3) has yet to work off.
    ///
    /// # Errors
    /// When the kernel refuses to be asked.
    pub fn kernel(&self) -> Result<Kernel, ClockError> {
        let kernel = timex()?.kernel;
        Ok(Kernel { slew: kernel.slew + adjtime_left()?, ..kernel })
    }

    /// Sets the frequency, held within +-500 ppm, and returns the one that the kernel took.
    ///
    /// # Errors
    /// [`ClockError::Refused`] without CAP_SYS_TIME; [`ClockError::NotFinite`].
    pub fn set_frequency(&mut self, rate: Ratio) -> Result<Ratio, ClockError> {
        let units = to_timex(rate).ok_or(ClockError::NotFinite)?;
        let (_, took) =
            adjtimex(libc::ADJ_FREQUENCY, "setting the frequency of CLOCK_REALTIME", |t| t.freq = units)?;
        Ok(from_timex(took.freq))
    }

    /// Moves the clock by `by` at once, forwards if positive. The kernel then declares the clock bad by itself
    /// (ntp_clear in kernel/time/ntp.c) and ends what it was working off; frequency and tick stay.
    ///
    /// # Errors
    /// [`ClockError::Refused`] without CAP_SYS_TIME; [`ClockError::Failed`] for a date that the kernel does not take.
    pub fn step(&mut self, by: Duration) -> Result<(), ClockError> {
        let time = setoffset(by);
        adjtimex(libc::ADJ_SETOFFSET | libc::ADJ_NANO, "stepping CLOCK_REALTIME", |t| t.time = time)?;
        Ok(())
    }

    /// Makes the frequency alone rule the clock, and returns it. The tick goes back to its nominal length; what the
    /// kernel's PLL and adjtime(3) still had to work off ends; PLL, FLL and the pulse-per-second discipline are turned
    /// off. The frequency, STA_UNSYNC and a pending leap second stay as they are.
    ///
    /// # Errors
    /// [`ClockError::Refused`] without CAP_SYS_TIME, also where there is nothing to put right.
    pub fn take(&mut self) -> Result<Ratio, ClockError> {
        let (_, found) = read()?;
        if found.tick != NOMINAL_TICK {
            let tick = |t: &mut libc::timex| t.tick = NOMINAL_TICK;
            adjtimex(libc::ADJ_TICK, "resetting the tick of CLOCK_REALTIME", tick)?;
        }
        let off = frequency_alone(found.status);
        // An offset is taken only while the PLL is on, and works on after it was turned off: zero it first.
        adjtimex(libc::ADJ_STATUS | libc::ADJ_OFFSET, "clearing the PLL of CLOCK_REALTIME", |t| {
            t.status = off | libc::STA_PLL;
            t.offset = 0;
        })?;
        adjtimex(libc::ADJ_STATUS, "turning off the PLL of CLOCK_REALTIME", |t| t.status = off)?;
        adjtimex(libc::ADJ_OFFSET_SINGLESHOT, "ending an adjtime() of CLOCK_REALTIME", |t| t.offset = 0)?;
        // Read once more: the PLL may have changed the frequency until it was off.
        Ok(from_timex(read()?.1.freq))
    }

    /// Has the kernel tell others that the date is good, or that it is not, in one call of adjtimex. Of what can be
    /// written to the status, only STA_UNSYNC, STA_INS, STA_DEL are touched, and what [`Self::take`] turns off is
    /// turned off. Errors are rounded up to whole us.
    ///
    /// # Errors
    /// [`ClockError::Refused`] without CAP_SYS_TIME.
    pub fn declare(&mut self, quality: Declared) -> Result<Ratio, ClockError> {
        let status = declared_status(read()?.1.status, quality);
        let (tried, max_error, est_error) = match quality {
            Declared::Good { max_error, est_error, .. } => {
                ("declaring CLOCK_REALTIME good", max_error, est_error)
            }
            Declared::Bad { max_error } => ("declaring CLOCK_REALTIME bad", max_error, max_error),
        };
        let (_, took) = adjtimex(libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR, tried, |t| {
            t.status = status;
            t.maxerror = whole_us(max_error);
            t.esterror = whole_us(est_error);
        })?;
        Ok(from_timex(took.freq))
    }
}

/// What adjtimex wrote, in our units. Offsets are in ns if STA_NANO is on, in us if not.
pub(super) fn timex_of(state: i32, read: &libc::timex) -> Timex {
    let nano = read.status & libc::STA_NANO != 0;
    let kernel = Kernel {
        frequency: from_timex(read.freq),
        tick: read.tick,
        status: read.status,
        slew: if nano { Duration::from_ns(read.offset) } else { Duration::from_us(read.offset) },
        leap: leap_of(state),
    };
    Timex { kernel, max_error: Duration::from_us(read.maxerror) }
}

/// What adjtimex(2) returns.
fn leap_of(state: i32) -> KernelLeap {
    match state {
        libc::TIME_OK => KernelLeap::None,
        libc::TIME_INS => KernelLeap::Insert,
        libc::TIME_DEL => KernelLeap::Delete,
        libc::TIME_OOP => KernelLeap::Passing,
        libc::TIME_WAIT => KernelLeap::Over,
        libc::TIME_ERROR => KernelLeap::Unsynchronised,
        other => KernelLeap::Unknown(other),
    }
}

/// The status to write so that the clock is declared as `quality`.
pub(super) fn declared_status(found: i32, quality: Declared) -> i32 {
    let rest = frequency_alone(found) & !(libc::STA_UNSYNC | libc::STA_INS | libc::STA_DEL);
    rest | match quality {
        Declared::Good { leap: Leap::None, .. } => 0,
        Declared::Good { leap: Leap::Insert, .. } => libc::STA_INS,
        Declared::Good { leap: Leap::Delete, .. } => libc::STA_DEL,
        Declared::Bad { .. } => libc::STA_UNSYNC,
    }
}

/// An error as the kernel takes it: rounded up, never negative, and within its limit.
pub(super) fn whole_us(error: Duration) -> i64 {
    (error.ns().max(0) / 1_000 + i64::from(error.ns().max(0) % 1_000 != 0)).min(ERROR_LIMIT)
}

/// The status to write so that nothing but the frequency steers.
pub(super) fn frequency_alone(status: i32) -> i32 {
    status & !SELF_STEERING & !READ_ONLY
}

/// `timex.freq` for a rate: the nearest, held within the kernel's limit. None for what is no number.
pub(super) fn to_timex(rate: Ratio) -> Option<i64> {
    to_timex_within(rate, LIMIT)
}

/// The same within the limit of another clock, which is never exceeded by rounding.
#[expect(clippy::cast_possible_truncation, reason = "limits are below 2^31 ppb, and a float cast saturates")]
pub(super) fn to_timex_within(rate: Ratio, limit: Ratio) -> Option<i64> {
    let units = |ratio: Ratio| ratio.ppm() * UNITS_PER_PPM;
    // A limit that is a whole number of ppb may come out a hair below it.
    let most = (units(limit.abs()) + 1e-3).floor() as i64;
    rate.is_finite().then(|| (units(rate).round() as i64).clamp(-most, most))
}

/// The rate that a `timex.freq` stands for.
#[expect(clippy::cast_precision_loss, reason = "the kernel holds it below 2^47")]
pub(super) fn from_timex(units: i64) -> Ratio {
    Ratio::from_ppm(units as f64 / UNITS_PER_PPM)
}

/// A step as ADJ_SETOFFSET|ADJ_NANO wants it: whole seconds rounded towards the past, and 0..10^9 ns in `tv_usec`.
pub(super) fn setoffset(by: Duration) -> libc::timeval {
    libc::timeval { tv_sec: by.ns().div_euclid(1_000_000_000), tv_usec: by.ns().rem_euclid(1_000_000_000) }
}

fn read() -> Result<(i32, libc::timex), ClockError> {
    adjtimex(0, "reading the state of CLOCK_REALTIME", |_| ())
}

/// What an adjtime(3) has yet to work off, which the other modes do not tell; always in us. Needs no right.
fn adjtime_left() -> Result<Duration, ClockError> {
    let (_, read) =
        adjtimex(libc::ADJ_OFFSET_SS_READ, "reading what adjtime() of CLOCK_REALTIME has left", |_| ())?;
    Ok(Duration::from_us(read.offset))
}

/// The one call of adjtimex: `fill` sets what `modes` names; returns the state (TIME_*) and what the kernel wrote back.
fn adjtimex(
    modes: u32,
    tried: &'static str,
    fill: impl FnOnce(&mut libc::timex),
) -> Result<(i32, libc::timex), ClockError> {
    // SAFETY: timex is made of integers alone, for which zero is a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    fill(&mut timex);
    timex.modes = modes;
    // SAFETY: the pointer is to a timex that lives through the call; the kernel reads and writes that struct only.
    match Errno::result(unsafe { libc::adjtimex(&raw mut timex) }) {
        Ok(state) => Ok((state, timex)),
        Err(Errno::EPERM | Errno::EACCES) => Err(ClockError::Refused { tried }),
        Err(cause) => Err(ClockError::Failed { tried, cause }),
    }
}
