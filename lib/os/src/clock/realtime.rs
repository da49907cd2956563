//! CLOCK_REALTIME by adjtimex(2): frequency, steps, and settings that other programs left.

use super::ClockError;
use dante_core::steer::{Declared, Kernel, KernelLeap, NOMINAL_TICK, SELF_STEERING};
use dante_core::time::{Duration, Ratio};
use dante_core::utc::Leap;
use nix::errno::Errno;

/// Units of `timex.freq` per ppm: one unit is 2^-16 ppm.
const UNITS_PER_PPM: f64 = 65_536.0;
/// Maximum frequency offset of the kernel, MAXFREQ (include/linux/timex.h).
pub(super) const LIMIT: Ratio = Ratio::from_ppm(500.0);
/// Maximum of `maxerror` and `esterror`, NTP_PHASE_LIMIT (kernel/time/ntp.c), us. The kernel sets STA_UNSYNC itself when the
/// maximum error has grown beyond it.
const ERROR_LIMIT: i64 = 16_000_000;
/// Bits that only the kernel sets (STA_RONLY).
const READ_ONLY: i32 = libc::STA_PPSSIGNAL
    | libc::STA_PPSJITTER
    | libc::STA_PPSWANDER
    | libc::STA_PPSERROR
    | libc::STA_CLOCKERR
    | libc::STA_NANO
    | libc::STA_MODE
    | libc::STA_CLK;

/// State of CLOCK_REALTIME according to adjtimex.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timex {
    /// State of the clock; `slew` is that of the PLL only, without adjtime(3).
    pub kernel: Kernel,
    /// Maximum error in the kernel; it grows by 500 ppm until it is set again.
    pub max_error: Duration,
}

impl Timex {
    /// Whether the clock is marked as synchronised: STA_UNSYNC is clear.
    pub fn is_synchronised(&self) -> bool {
        self.kernel.status & libc::STA_UNSYNC == 0
    }
}

/// Reads the state of CLOCK_REALTIME. Needs no privilege.
///
/// # Errors
/// If the call is denied, for example by a seccomp filter.
pub fn timex() -> Result<Timex, ClockError> {
    read().map(|(state, read)| timex_of(state, &read))
}

/// CLOCK_REALTIME as a clock to steer. Reading needs no privilege; the first change fails without CAP_SYS_TIME.
#[derive(Debug)]
pub struct Realtime(());

impl Realtime {
    /// Reads the clock's state once, and changes nothing.
    ///
    /// # Errors
    /// If the call is denied, for example by a seccomp filter.
    pub fn open() -> Result<Self, ClockError> {
        read().map(|_| Self(()))
    }

    /// State of the clock; `slew` includes the remaining offset of adjtime(3).
    ///
    /// # Errors
    /// If the call is denied.
    pub fn kernel(&self) -> Result<Kernel, ClockError> {
        let kernel = timex()?.kernel;
        Ok(Kernel { slew: kernel.slew + adjtime_left()?, ..kernel })
    }

    /// Sets the frequency offset, limited to +-500 ppm, and returns the one that the kernel applied.
    ///
    /// # Errors
    /// [`ClockError::Refused`] without CAP_SYS_TIME; [`ClockError::NotFinite`].
    pub fn set_frequency(&mut self, rate: Ratio) -> Result<Ratio, ClockError> {
        let units = to_timex(rate).ok_or(ClockError::NotFinite)?;
        let (_, applied) =
            adjtimex(libc::ADJ_FREQUENCY, "setting the frequency of CLOCK_REALTIME", |t| t.freq = units)?;
        Ok(from_timex(applied.freq))
    }

    /// Steps the clock by `by`, forwards if positive. The kernel then marks the clock as unsynchronised (ntp_clear in
    /// kernel/time/ntp.c) and ends a slew in progress; frequency and tick stay.
    ///
    /// # Errors
    /// [`ClockError::Refused`] without CAP_SYS_TIME; [`ClockError::Failed`] for a time that the kernel does not accept.
    pub fn step(&mut self, by: Duration) -> Result<(), ClockError> {
        let time = setoffset(by);
        adjtimex(libc::ADJ_SETOFFSET | libc::ADJ_NANO, "stepping CLOCK_REALTIME", |t| t.time = time)?;
        Ok(())
    }

    /// Takes control of the clock, so that only the frequency determines it; returns the frequency. Resets the tick to its
    /// nominal length, ends slews of the kernel's PLL and adjtime(3), and turns off PLL, FLL and the pulse-per-second
    /// discipline. Keeps the frequency, STA_UNSYNC and a pending leap second.
    ///
    /// # Errors
    /// [`ClockError::Refused`] without CAP_SYS_TIME, even if there is nothing to change.
    pub fn take(&mut self) -> Result<Ratio, ClockError> {
        let (_, found) = read()?;
        if found.tick != NOMINAL_TICK {
            let tick = |t: &mut libc::timex| t.tick = NOMINAL_TICK;
            adjtimex(libc::ADJ_TICK, "resetting the tick of CLOCK_REALTIME", tick)?;
        }
        let off = frequency_alone(found.status);
        // The kernel accepts an offset only while the PLL is on, and goes on slewing after it was turned off: zero it first.
        adjtimex(libc::ADJ_STATUS | libc::ADJ_OFFSET, "clearing the PLL of CLOCK_REALTIME", |t| {
            t.status = off | libc::STA_PLL;
            t.offset = 0;
        })?;
        adjtimex(libc::ADJ_STATUS, "turning off the PLL of CLOCK_REALTIME", |t| t.status = off)?;
        adjtimex(libc::ADJ_OFFSET_SINGLESHOT, "ending an adjtime() of CLOCK_REALTIME", |t| t.offset = 0)?;
        // Read again: the PLL may have changed the frequency before it was turned off.
        Ok(from_timex(read()?.1.freq))
    }

    /// Marks the clock as synchronised to UTC or not, with its error bounds, in one call of adjtimex. Changes only STA_UNSYNC,
    /// STA_INS and STA_DEL of the writable status bits, and clears those that [`Self::take`] clears.
    ///
    /// # Errors
    /// [`ClockError::Refused`] without CAP_SYS_TIME.
    pub fn declare(&mut self, quality: Declared) -> Result<Ratio, ClockError> {
        let status = declared_status(read()?.1.status, quality);
        let (max_error, est_error) = declared_errors_us(quality);
        let tried = if quality.is_synchronised() {
            "marking CLOCK_REALTIME as synchronised"
        } else {
            "marking CLOCK_REALTIME as unsynchronised"
        };
        let (_, applied) =
            adjtimex(libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR, tried, |t| {
                t.status = status;
                t.maxerror = max_error;
                t.esterror = est_error;
            })?;
        Ok(from_timex(applied.freq))
    }
}

/// Converts the result of adjtimex. Offsets are in ns with STA_NANO, else in us.
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

/// Leap state according to the return value of adjtimex(2).
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

/// The status to write to mark the clock as `quality`.
pub(super) fn declared_status(found: i32, quality: Declared) -> i32 {
    let rest = frequency_alone(found) & !(libc::STA_UNSYNC | libc::STA_INS | libc::STA_DEL);
    rest | match quality {
        Declared::Synchronised { leap: Leap::None, .. } => 0,
        Declared::Synchronised { leap: Leap::Insert, .. } => libc::STA_INS,
        Declared::Synchronised { leap: Leap::Delete, .. } => libc::STA_DEL,
        Declared::Unsynchronised { .. } => libc::STA_UNSYNC,
    }
}

/// `maxerror` and `esterror` to write to mark the clock as `quality`, rounded up to whole us. An unsynchronised clock has the kernel's
/// maximum, as after a step (ntp_clear, kernel/time/ntp.c): systemd-timedated, and so timedatectl(1), regards a clock with a smaller
/// `maxerror` as synchronised, whatever STA_UNSYNC is (ntp_synced, src/basic/time-util.c of systemd).
pub(super) fn declared_errors_us(quality: Declared) -> (i64, i64) {
    match quality {
        Declared::Synchronised { max_error, est_error, .. } => (whole_us(max_error), whole_us(est_error)),
        Declared::Unsynchronised { .. } => (ERROR_LIMIT, ERROR_LIMIT),
    }
}

/// An error bound for the kernel: rounded up to whole us, never negative, and at most [`ERROR_LIMIT`].
pub(super) fn whole_us(error: Duration) -> i64 {
    (error.ns().max(0) / 1_000 + i64::from(error.ns().max(0) % 1_000 != 0)).min(ERROR_LIMIT)
}

/// The status to write so that only the frequency steers the clock.
pub(super) fn frequency_alone(status: i32) -> i32 {
    status & !SELF_STEERING & !READ_ONLY
}

/// The nearest `timex.freq` for a rate, limited to the kernel's maximum. `None` if the rate is not finite.
pub(super) fn to_timex(rate: Ratio) -> Option<i64> {
    to_timex_within(rate, LIMIT)
}

/// Like [`to_timex`] with the limit of another clock, which rounding never exceeds.
#[expect(clippy::cast_possible_truncation, reason = "limits are below 2^31 ppb, and a float cast saturates")]
pub(super) fn to_timex_within(rate: Ratio, limit: Ratio) -> Option<i64> {
    let units = |ratio: Ratio| ratio.ppm() * UNITS_PER_PPM;
    // A limit in whole ppb may be computed slightly too small.
    let most = (units(limit.abs()) + 1e-3).floor() as i64;
    rate.is_finite().then(|| (units(rate).round() as i64).clamp(-most, most))
}

/// The rate of a `timex.freq`.
#[expect(clippy::cast_precision_loss, reason = "the kernel keeps it below 2^47")]
pub(super) fn from_timex(units: i64) -> Ratio {
    Ratio::from_ppm(units as f64 / UNITS_PER_PPM)
}

/// A step in the format of ADJ_SETOFFSET|ADJ_NANO: whole seconds rounded down, and 0..10^9 ns in `tv_usec`.
pub(super) fn setoffset(by: Duration) -> libc::timeval {
    libc::timeval { tv_sec: by.ns().div_euclid(1_000_000_000), tv_usec: by.ns().rem_euclid(1_000_000_000) }
}

fn read() -> Result<(i32, libc::timex), ClockError> {
    adjtimex(0, "reading the state of CLOCK_REALTIME", |_| ())
}

/// Remaining offset of adjtime(3), which other modes do not report; always in us. Needs no privilege.
fn adjtime_left() -> Result<Duration, ClockError> {
    let (_, read) =
        adjtimex(libc::ADJ_OFFSET_SS_READ, "reading the remaining adjtime() of CLOCK_REALTIME", |_| ())?;
    Ok(Duration::from_us(read.offset))
}

/// Calls adjtimex: `fill` sets the fields named by `modes`. Returns the state (TIME_*) and the fields that the kernel wrote.
fn adjtimex(
    modes: u32,
    tried: &'static str,
    fill: impl FnOnce(&mut libc::timex),
) -> Result<(i32, libc::timex), ClockError> {
    // SAFETY: timex consists of integers, for which zero is valid.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    fill(&mut timex);
    timex.modes = modes;
    // SAFETY: the pointer is to a timex that outlives the call; the kernel accesses that struct only.
    match Errno::result(unsafe { libc::adjtimex(&raw mut timex) }) {
        Ok(state) => Ok((state, timex)),
        Err(Errno::EPERM | Errno::EACCES) => Err(ClockError::Refused { tried }),
        Err(cause) => Err(ClockError::Failed { tried, cause }),
    }
}
