//! The clock that this program steers.

use crate::args;
use dante_core::steer::SteeredClock;
use dante_core::steer::{Clock, ClockState, Fault, Setting};
use dante_core::time::{Affine, Duration, Ratio, Real};
use dante_os::clock::{ClockError, Phc, Realtime, SystemClock};
use dante_os::competing_daemons::{self, Found};
use dante_os::daemon::{Exit, Failure};
use dante_os::log::Complaints;

/// The clock, and whether it may be controlled although another program seems to steer it.
pub struct ControlledClock {
    clock: SystemClock,
    is_forced: bool,
    /// It was logged that the processes of other users cannot be seen.
    is_blindness_logged: bool,
    complaints: Complaints,
}

impl ControlledClock {
    /// Opens a clock and takes control of it; of the system clock only if no other program steers it.
    pub fn open(clock: &args::Clock, is_forced: bool) -> Result<Self, Failure> {
        let clock = match clock {
            args::Clock::Virtual => SystemClock::stand_in(),
            args::Clock::Hardware(path) => SystemClock::Hardware(Phc::open(path).map_err(Failure::of)?),
            args::Clock::Realtime => SystemClock::Realtime(Realtime::open().map_err(Failure::of)?),
        };
        let complaints = Complaints::about("clock");
        let mut controlled = Self { clock, is_forced, is_blindness_logged: false, complaints };
        let kernel = controlled.clock.kernel().map_err(Failure::of)?;
        controlled.set(Setting::Control).map_err(control_failure)?;
        kernel.leftovers().for_each(|leftover| log::warn!("{leftover}"));
        Ok(controlled)
    }

    /// Sets `frequency`, or keeps the present one. Returns the frequency then in force.
    pub fn start(&mut self, frequency: Option<Ratio>) -> Result<Ratio, Failure> {
        match frequency {
            Some(frequency) => self.set(Setting::Frequency(frequency)).map_err(control_failure),
            None => self.clock.kernel().map(|kernel| kernel.frequency).map_err(Failure::of),
        }
    }

    /// The largest frequency that the clock accepts, of either sign.
    pub fn limit(&self) -> Ratio {
        self.clock.limit()
    }

    /// Ends the program if its hardware clock was removed: the file of the same name may be another clock, with its own time and
    /// frequency.
    ///
    /// # Errors
    /// The clock was removed, or its driver registered it again.
    pub fn check(&self) -> Result<(), Failure> {
        match self.clock {
            SystemClock::Hardware(_) => match self.clock.kernel() {
                Err(error @ ClockError::Removed { .. }) => Err(Failure::of(error)),
                _ => Ok(()),
            },
            SystemClock::Realtime(_) | SystemClock::Virtual(_) => Ok(()),
        }
    }

    /// A virtual clock as a line over CLOCK_MONOTONIC_RAW.
    pub fn line(&self) -> Option<Affine<Real>> {
        self.clock.line()
    }

    pub fn kind(&self) -> SteeredClock {
        match self.clock {
            SystemClock::Realtime(_) => SteeredClock::Realtime,
            SystemClock::Virtual(_) => SteeredClock::Virtual,
            SystemClock::Hardware(_) => SteeredClock::Hardware,
        }
    }
}

impl Clock for ControlledClock {
    type Error = Failure;

    fn read(&mut self) -> ClockState {
        let state = self.clock.read();
        self.complaints.tick(state.reading.raw);
        if let (None, Err(error)) = (state.kernel, self.clock.kernel()) {
            self.complaints.warn(state.reading.raw, error);
        }
        state
    }

    fn set(&mut self, setting: Setting) -> Result<Ratio, Fault<Failure>> {
        if let (SystemClock::Realtime(_), Setting::Control, false) = (&self.clock, setting, self.is_forced) {
            let Found { daemons, is_complete } = competing_daemons::find();
            if !is_complete && !std::mem::replace(&mut self.is_blindness_logged, true) {
                log::warn!(
                    "cannot see the processes of other users (/proc is not mounted, or hidepid=): whether another program \
                     steers the clock is not known; mount /proc, or add the group of its option gid= to SupplementaryGroups="
                );
            }
            let competitors: Vec<String> = daemons.iter().map(ToString::to_string).collect();
            if !competitors.is_empty() {
                return Err(Fault::InUse(Failure::new(
                    Exit::Refused,
                    anyhow::anyhow!(competitors.join("; ")),
                )));
            }
        }
        self.clock.set(setting).map_err(|fault| fault.map(Failure::of))
    }

    fn step(&mut self, by: Duration) -> Result<(), Fault<Failure>> {
        self.clock.step(by).map_err(|fault| fault.map(Failure::of))
    }
}

fn control_failure(fault: Fault<Failure>) -> Failure {
    match fault {
        Fault::InUse(named) => {
            let what =
                format!("{named} (--force starts anyway; to use chrony, run danteshm instead of dante2sys)");
            Failure::new(Exit::Refused, anyhow::anyhow!(what))
        }
        Fault::Failed(failure) => failure,
    }
}
