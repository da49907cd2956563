//! CLOCK_REALTIME through adjtimex(2): its frequency, steps, and what other programs left behind in it.

use super::{ClockError, Disturbance, Leftover};
use dante_core::date::Leap;
use dante_core::time::{Duration, Ratio};
use nix::errno::Errno;

/// One unit of `timex.freq`: 2^-16 ppm.
const UNITS_PER_PPM: f64 = 65_536.0;
/// The kernel's own limit, MAXFREQ (include/linux/timex.h).
pub(super) const LIMIT: Ratio = Ratio::from_ppm(500.0);
/// Microseconds per tick of USER_HZ, which is 100 on every architecture that Rust's std knows.
pub(super) const NOMINAL_TICK: i64 = 10_000;
/// NTP_PHASE_LIMIT (kernel/time/ntp.c), us: the kernel holds both errors below it, and sets STA_UNSYNC by itself when
/// the maximum error has grown beyond it.
const ERROR_LIMIT: i64 = 16_000_000;
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
    /// What the kernel's PLL has yet to work off; positive, the clock gains it.
    pub slew: Duration,
    /// The largest error that the kernel believes in; it grows by 500 ppm on its own.
    pub max_error: Duration,
    /// The estimated error.
    pub est_error: Duration,
    /// Where the kernel stands with a leap second.
    pub leap: KernelLeap,
}

impl Timex {
    /// Whether somebody tells the kernel that the clock is right: STA_UNSYNC is clear.
    pub fn is_synchronised(&self) -> bool {
        self.status & libc::STA_UNSYNC == 0
    }
}

/// What adjtimex says now, of a clock that is only looked at. It needs no right.
///
/// # Errors
/// When the kernel refuses to be asked, as by a seccomp filter.
pub fn timex() -> Result<Timex, ClockError> {
    read().map(|(state, read)| timex_of(state, &read))
}

/// Where the kernel stands with a leap second: what adjtimex(2) returns (TIME_* of include/uapi/linux/timex.h). While
/// the clock is declared bad, or a pulse-per-second signal fails, it is [`Self::Unsynchronised`] whatever is pending:
/// then only the bits STA_INS and STA_DEL of [`Timex::status`] tell.
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
    pub(super) fn of(state: i32) -> Self {
        match state {
            libc::TIME_OK => Self::None,
            libc::TIME_INS => Self::Insert,
            libc::TIME_DEL => Self::Delete,
            libc::TIME_OOP => Self::Passing,
            libc::TIME_WAIT => Self::Over,
            libc::TIME_ERROR => Self::Unsynchronised,
            other => Self::Unknown(other),
        }
    }
}

/// What the kernel is to tell others of the clock's date. Told as good, the kernel copies it to the RTC every 11
/// minutes, and timedatectl(1) and monitoring say that the clock is synchronised.
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

/// How the clock was left: whatever differs later, somebody else did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    /// `timex.freq`, as the kernel gave it back.
    pub units: i64,
    /// `timex.tick`.
    pub tick: i64,
    /// Those bits of [`SELF_STEERING`] that were on.
    pub self_steering: i32,
}

/// CLOCK_REALTIME, to be steered. Reading it needs no right; the first change shows whether CAP_SYS_TIME is there.
#[derive(Debug)]
pub struct Realtime {
    left: Option<Left>,
    declared: Option<Declared>,
}

impl Realtime {
    /// Asks the kernel for the clock's state once, which changes nothing.
    ///
    /// # Errors
    /// When even that is refused, as by a seccomp filter.
    pub fn open() -> Result<Self, ClockError> {
        read().map(|_| Self { left: None, declared: None })
    }

    /// What adjtimex says now.
    ///
    /// # Errors
    /// When the kernel refuses to be asked.
    pub fn timex(&self) -> Result<Timex, ClockError> {
        timex()
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
        let (_, took) =
            adjtimex(libc::ADJ_FREQUENCY, "setting the frequency of CLOCK_REALTIME", |t| t.freq = units)?;
        self.left = Some(left_after_frequency(self.left, &took));
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
        self.declared = None;
        Ok(())
    }

    /// Makes the frequency alone rule the clock, and returns what was found and put right. The tick goes back to its
    /// nominal length; what the kernel's PLL and adjtime(3) still had to work off ends; PLL, FLL and the
    /// pulse-per-second discipline are turned off. The frequency, STA_UNSYNC and a pending leap second stay as they
    /// are.
    ///
    /// # Errors
    /// [`ClockError::Refused`] without CAP_SYS_TIME, also where there is nothing to put right.
    pub fn take(&mut self) -> Result<Vec<Leftover>, ClockError> {
        let (state, found) = read()?;
        let leftovers = leftovers(&timex_of(state, &found), adjtime_left()?);
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
        let (_, now) = read()?;
        self.left = Some(Left { units: now.freq, tick: NOMINAL_TICK, self_steering: 0 });
        Ok(leftovers)
    }

    /// What another program did since this one last took the clock or set its frequency: the first that is found, of
    /// self-steering, tick, slew and frequency. STA_UNSYNC, leap bits and errors are none. None before the first
    /// [`Self::take`] or [`Self::set_frequency`]. It goes on being told until the one or the other is called anew:
    /// `take` for all but the frequency.
    ///
    /// # Errors
    /// When the kernel refuses to be asked.
    pub fn disturbance(&self) -> Result<Option<Disturbance>, ClockError> {
        let Some(left) = self.left else { return Ok(None) };
        let (state, found) = read()?;
        Ok(disturbance_of(left, found.freq, &timex_of(state, &found), adjtime_left()?))
    }

    /// Has [`Self::disturbance`] tell what differs from a clock that another process took and last gave this frequency.
    ///
    /// # Errors
    /// [`ClockError::NotFinite`].
    pub fn assume_left_at(&mut self, frequency: Ratio) -> Result<(), ClockError> {
        let units = to_timex(frequency).ok_or(ClockError::NotFinite)?;
        self.left = Some(Left { units, tick: NOMINAL_TICK, self_steering: 0 });
        Ok(())
    }

    /// Has the kernel tell others that the date is good, or that it is not, in one call of adjtimex. Of what can be
    /// written to the status, only STA_UNSYNC, STA_INS, STA_DEL are touched, and what [`Self::take`] turns off is
    /// turned off. Errors are rounded up to whole us.
    ///
    /// # Errors
    /// [`ClockError::Refused`] without CAP_SYS_TIME.
    pub fn declare(&mut self, quality: Declared) -> Result<(), ClockError> {
        let status = declared_status(read()?.1.status, quality);
        let (tried, max_error, est_error) = match quality {
            Declared::Good { max_error, est_error, .. } => {
                ("declaring CLOCK_REALTIME good", max_error, est_error)
            }
            Declared::Bad { max_error } => ("declaring CLOCK_REALTIME bad", max_error, max_error),
        };
        adjtimex(libc::ADJ_STATUS | libc::ADJ_MAXERROR | libc::ADJ_ESTERROR, tried, |t| {
            t.status = status;
            t.maxerror = whole_us(max_error);
            t.esterror = whole_us(est_error);
        })?;
        self.declared = Some(quality);
        Ok(())
    }

    /// What was declared last. None before that, and after a step, by which the kernel declares the clock bad.
    pub fn declared(&self) -> Option<Declared> {
        self.declared
    }
}

/// What adjtimex wrote, in our units. Offsets are in ns if STA_NANO is on, in us if not.
pub(super) fn timex_of(state: i32, read: &libc::timex) -> Timex {
    let nano = read.status & libc::STA_NANO != 0;
    Timex {
        frequency: from_timex(read.freq),
        tick: read.tick,
        status: read.status,
        slew: if nano { Duration::from_ns(read.offset) } else { Duration::from_us(read.offset) },
        max_error: Duration::from_us(read.maxerror),
        est_error: Duration::from_us(read.esterror),
        leap: KernelLeap::of(state),
    }
}

/// What has to be put right before the frequency alone rules. `adjtime`: what an adjtime(3) has yet to work off.
pub(super) fn leftovers(found: &Timex, adjtime: Duration) -> Vec<Leftover> {
    let bits = found.status & SELF_STEERING;
    let slew = found.slew + adjtime;
    let tick = (found.tick != NOMINAL_TICK).then_some(Leftover::Tick(found.tick));
    let steering = (bits != 0).then_some(Leftover::SelfSteering(bits));
    let slew = (slew != Duration::ZERO).then_some(Leftover::Slew(slew));
    [tick, steering, slew].into_iter().flatten().collect()
}

/// How the clock is left by a new frequency. Tick and status are those of the first call: taken from each one, they
/// would hide what another program did to them between two calls.
pub(super) fn left_after_frequency(before: Option<Left>, took: &libc::timex) -> Left {
    let first = Left { units: took.freq, tick: took.tick, self_steering: took.status & SELF_STEERING };
    Left { units: took.freq, ..before.unwrap_or(first) }
}

pub(super) fn disturbance_of(
    left: Left,
    units: i64,
    found: &Timex,
    adjtime: Duration,
) -> Option<Disturbance> {
    let bits = found.status & SELF_STEERING & !left.self_steering;
    let slew = found.slew + adjtime;
    if bits != 0 {
        Some(Disturbance::SelfSteering(bits))
    } else if found.tick != left.tick {
        Some(Disturbance::Tick(found.tick))
    } else if slew != Duration::ZERO {
        Some(Disturbance::Slew(slew))
    } else if units != left.units {
        Some(Disturbance::Frequency { left: from_timex(left.units), found: found.frequency })
    } else {
        None
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
