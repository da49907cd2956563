//! Clocks: CLOCK_MONOTONIC_RAW, on which everything is measured; CLOCK_REALTIME or a PTP hardware clock, which a daemon
//! steers; and a virtual clock for use where no real clock may be changed.

mod phc;
mod realtime;

pub use phc::{Phc, PhcError, PhcReader};
pub use realtime::{Realtime, Timex, timex};

use crate::denial::{Denial, Denied, display_explained};
use dante_core::explain::Explain;
use dante_core::steer::{Clock, ClockState, Fault, Kernel, Setting};
use dante_core::time::{Affine, Duration, Ratio, Raw, Reading, Real, Timestamp, VirtualClock};
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};
use std::convert::Infallible;

/// Why a clock could not be read or steered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum ClockError {
    Refused {
        tried: &'static str,
    },
    /// ENODEV: its card was removed, or its driver registered it again, as some do whenever the interface is set up. The open file stays
    /// unusable; the file of the same name may be another clock.
    Removed {
        tried: &'static str,
    },
    Failed {
        tried: &'static str,
        cause: Errno,
    },
    NotFinite,
}

impl Explain for ClockError {
    fn what(&self) -> String {
        match self {
            Self::Refused { tried } => format!("{tried}: not permitted"),
            Self::Removed { tried } => {
                format!("{tried}: the clock was removed, or its driver registered it again")
            }
            Self::Failed { tried, cause } => format!("{tried}: {cause}"),
            Self::NotFinite => "clock unchanged: the requested frequency is not a finite number".into(),
        }
    }

    fn remedy(&self) -> Option<String> {
        let refused = matches!(self, Self::Refused { .. });
        refused.then(|| {
            "run this as root, by its service unit, or with CAP_SYS_TIME\nin a container, run this on the host instead"
                .into()
        })
    }
}

impl Denied for ClockError {
    fn denial(&self) -> Option<Denial> {
        let refused =
            matches!(self, Self::Refused { .. } | Self::Failed { cause: Errno::EPERM | Errno::EACCES, .. });
        refused.then_some(Denial::NotPermitted)
    }
}

display_explained!(ClockError);

/// Reads CLOCK_MONOTONIC_RAW.
pub fn raw_now() -> Timestamp<Raw> {
    now(ClockId::CLOCK_MONOTONIC_RAW)
}

/// Reads CLOCK_REALTIME and CLOCK_MONOTONIC_RAW at one instant: the narrowest of five brackets RAW-REALTIME-RAW.
///
/// A bracket takes some tens of ns; one that an interrupt widened is not used. The result comes from a single bracket, so a
/// step of CLOCK_REALTIME between two brackets does no harm.
pub fn read_realtime() -> Reading {
    let Ok(reading) = narrowest(|| Ok::<_, Infallible>(now(ClockId::CLOCK_REALTIME)));
    reading
}

/// The narrowest of five brackets of a clock between two reads of CLOCK_MONOTONIC_RAW, or the first error.
fn narrowest<E>(clock: impl Fn() -> Result<Timestamp<Real>, E>) -> Result<Reading, E> {
    const BRACKETS: usize = 5;
    let mut best = bracket(&clock)?;
    for _ in 1..BRACKETS {
        let next = bracket(&clock)?;
        if next.width < best.width {
            best = next;
        }
    }
    Ok(best)
}

fn bracket<E>(clock: impl Fn() -> Result<Timestamp<Real>, E>) -> Result<Reading, E> {
    let before = raw_now();
    let real = clock()?;
    let width = raw_now() - before;
    Ok(Reading { raw: before + width / 2, real, width })
}

/// CLOCK_MONOTONIC and CLOCK_BOOTTIME, which differ only by the time that the host was suspended.
enum Uptime {}

/// Time that the host was suspended since boot: CLOCK_BOOTTIME - CLOCK_MONOTONIC. CLOCK_MONOTONIC_RAW stops meanwhile, so a clock
/// map over it is invalid after each increase of this.
///
/// The two clocks cannot be read at once: the smallest of five differences is up to some hundred ns too large.
pub fn suspended() -> Duration {
    let difference = || {
        let awake: Timestamp<Uptime> = now(ClockId::CLOCK_MONOTONIC);
        now(ClockId::CLOCK_BOOTTIME) - awake
    };
    // An interrupt between the two reads only increases the difference.
    (1..5).fold(difference(), |least, _| least.min(difference()))
}

/// # Panics
/// If the kernel does not have this clock: every supported Linux has it.
#[expect(clippy::expect_used, reason = "reading one of the kernel's basic clocks cannot fail")]
fn now<C>(clock: ClockId) -> Timestamp<C> {
    let time = clock_gettime(clock).expect("clock_gettime of a clock that every Linux has");
    timestamp(time.tv_sec(), time.tv_nsec())
}

pub(crate) fn timestamp<C>(seconds: i64, nanoseconds: i64) -> Timestamp<C> {
    Timestamp::from_ns(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

/// The clock that a program steers. All kinds have the same interface and the same frequency resolution, 2^-16 ppm.
#[derive(Debug)]
pub enum SystemClock {
    /// The kernel's CLOCK_REALTIME.
    Realtime(Realtime),
    /// A clock inside this process, over CLOCK_MONOTONIC_RAW.
    Virtual(VirtualClock),
    /// A PTP hardware clock.
    Hardware(Phc),
}

impl SystemClock {
    /// A virtual clock that starts at the present CLOCK_REALTIME and runs at the oscillator's rate.
    pub fn stand_in() -> Self {
        Self::Virtual(VirtualClock::new(read_realtime()))
    }

    /// Maximum frequency offset, of either sign: 500 ppm, or the limit of the hardware clock's driver.
    pub fn limit(&self) -> Ratio {
        match self {
            Self::Realtime(_) | Self::Virtual(_) => realtime::LIMIT,
            Self::Hardware(clock) => clock.limit(),
        }
    }

    /// The clock's state as the kernel reports it.
    ///
    /// # Errors
    /// If the kernel denies the request; [`ClockError::Removed`] for a hardware clock that no longer exists.
    pub fn kernel(&self) -> Result<Kernel, ClockError> {
        match self {
            Self::Realtime(clock) => clock.kernel(),
            Self::Virtual(clock) => Ok(Kernel::plain(clock.line().rate)),
            Self::Hardware(clock) => clock.frequency().map(Kernel::plain),
        }
    }

    /// The clock as a line over CLOCK_MONOTONIC_RAW, which is known exactly for the virtual clock only.
    pub fn line(&self) -> Option<Affine<Real>> {
        match self {
            Self::Realtime(_) | Self::Hardware(_) => None,
            Self::Virtual(clock) => Some(clock.line()),
        }
    }

    fn try_set(&mut self, setting: Setting) -> Result<Ratio, ClockError> {
        match (self, setting) {
            (Self::Realtime(clock), Setting::Frequency(rate)) => clock.set_frequency(rate),
            // With the kernel's range and resolution.
            (Self::Virtual(clock), Setting::Frequency(rate)) => {
                let applied = realtime::from_timex(realtime::to_timex(rate).ok_or(ClockError::NotFinite)?);
                clock.set_frequency(raw_now(), applied);
                Ok(applied)
            }
            (Self::Hardware(clock), Setting::Frequency(rate)) => clock.set_frequency(rate),
            (Self::Realtime(clock), Setting::Control) => clock.take(),
            (Self::Realtime(clock), Setting::Declared(quality)) => clock.declare(quality),
            // The kernel keeps no error bounds of a hardware clock, and does not know the virtual one.
            (Self::Virtual(clock), _) => Ok(clock.line().rate),
            (Self::Hardware(clock), _) => clock.frequency(),
        }
    }
}

/// Does not check whether another program steers the clock.
impl Clock for SystemClock {
    type Error = ClockError;

    fn read(&mut self) -> ClockState {
        let reading = match self {
            Self::Realtime(_) => read_realtime(),
            Self::Virtual(clock) => {
                let raw = raw_now();
                Reading { raw, real: clock.at(raw), width: Duration::ZERO }
            }
            Self::Hardware(clock) => clock.read_or_continue(),
        };
        ClockState { reading, suspended: suspended(), kernel: self.kernel().ok() }
    }

    /// Limits frequencies to [`Self::limit`]; the resolution of the returned one is 0.015 ppb.
    fn set(&mut self, setting: Setting) -> Result<Ratio, Fault<ClockError>> {
        self.try_set(setting).map_err(Fault::Failed)
    }

    fn step(&mut self, by: Duration) -> Result<(), Fault<ClockError>> {
        match self {
            Self::Realtime(clock) => clock.step(by),
            Self::Virtual(clock) => {
                clock.step(by);
                Ok(())
            }
            Self::Hardware(clock) => clock.step(by),
        }
        .map_err(Fault::Failed)
    }
}

#[cfg(test)]
mod tests;
