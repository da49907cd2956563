//! The clock in this program's hands: taken where nobody else steers it, watched for others, given back.

use crate::args::Clock;
use dante_core::date::Leap;
use dante_core::page::SteeredClock;
use dante_core::steer::{Correction, Input, Jump};
use dante_core::time::{Duration, Raw, Reading, Timestamp};
use dante_os::clock::{
    ClockError, Declared, KernelLeap, Phc, PhcError, Realtime, SystemClock, Virtual, raw_now, suspended,
};
use dante_os::daemon::{Exit, Failure};
use dante_os::log::Throttle;
use dante_os::rivals::Rivals;

/// Both readings that tell how long the host slept are taken one after the other.
const SLEPT: Duration = Duration::from_ms(100);
/// The kernel is told about the date so often: between, its maxerror grows by 500 us a second.
const DECLARED_EVERY: Duration = Duration::from_secs(4);

/// The clock, and what is known of others who might touch it.
pub struct Hands {
    clock: SystemClock,
    is_forced: bool,
    slept: Duration,
    leap_passes: bool,
    /// The kernel is not to be told of a leap second now: a step makes it forget the instant, but not that one is due, and
    /// then none comes (ntp_clear, kernel/time/ntp.c). Taken back for a while and told again, it is armed anew.
    is_disarmed: bool,
    declared_at: Option<Timestamp<Raw>>,
    is_good: Option<bool>,
    complaints: Throttle<String>,
    /// What went wrong last.
    trouble: Option<String>,
}

impl Hands {
    /// Takes a clock in hand; the system clock only where no other program steers it.
    pub fn open(clock: &Clock, is_forced: bool) -> Result<Self, Failure> {
        let mut clock = match clock {
            Clock::Virtual => SystemClock::Virtual(Virtual::start()),
            Clock::Hardware(path) => SystemClock::Hardware(Phc::open(path).map_err(phc_failure)?),
            Clock::Realtime => {
                let rivals = if is_forced { Vec::new() } else { Rivals::find() };
                if !rivals.is_empty() {
                    let named: Vec<String> = rivals.iter().map(ToString::to_string).collect();
                    let what = format!(
                        "{} (--force starts all the same; beside chrony, danteshm is what is wanted)",
                        named.join("; ")
                    );
                    return Err(Failure::new(Exit::Refused, anyhow::anyhow!(what)));
                }
                SystemClock::Realtime(Realtime::open().map_err(clock_failure)?)
            }
        };
        for leftover in clock.take().map_err(clock_failure)? {
            log::warn!("{leftover}");
        }
        Ok(Self {
            leap_passes: leap_passes(&clock),
            clock,
            is_forced,
            slept: suspended(),
            is_disarmed: true,
            declared_at: None,
            is_good: None,
            complaints: Throttle::default(),
            trouble: None,
        })
    }

    pub fn clock(&self) -> &SystemClock {
        &self.clock
    }

    pub fn clock_mut(&mut self) -> &mut SystemClock {
        &mut self.clock
    }

    pub fn read(&self) -> Reading {
        self.clock.read()
    }

    pub fn kind(&self) -> SteeredClock {
        match self.clock {
            SystemClock::Realtime(_) => SteeredClock::Realtime,
            SystemClock::Virtual(_) => SteeredClock::Virtual,
            SystemClock::Hardware(_) => SteeredClock::Hardware,
        }
    }

    /// What happened to the clock since the last look, by nothing that this program did; `is_ours`: it is in hand.
    pub fn look(&mut self, now: Timestamp<Raw>, is_ours: bool) -> Vec<Input> {
        let mut found = Vec::new();
        let slept = suspended();
        if slept - self.slept > SLEPT {
            log::info!("the host slept for {:.1} s: the date is found anew", (slept - self.slept).secs_f64());
            found.push(Input::Jumped(Jump::Slept));
        }
        self.slept = slept;
        let passes = leap_passes(&self.clock);
        if passes && !self.leap_passes {
            log::info!("the kernel passes a leap second");
            found.push(Input::Jumped(Jump::Leap));
        }
        self.leap_passes = passes;
        if !is_ours {
            return found;
        }
        match self.clock.disturbance() {
            Ok(Some(disturbance)) => {
                self.complain(now, disturbance.to_string());
                found.push(Input::Disturbed);
            }
            Ok(None) => {}
            Err(error) => self.complain(now, error.to_string()),
        }
        found
    }

    /// Does what the steerer asks for, and tells what came of it.
    pub fn correct(&mut self, correction: Correction) -> Input {
        let result = match correction {
            Correction::Slew(frequency) => self.clock.set_frequency(frequency).map(Input::Applied),
            Correction::Step(off) => self.clock.step(-off.span()).map(|()| {
                log::warn!("the clock is stepped by {:+.6} s for the date's sake", -off.span().secs_f64());
                self.was_stepped();
                Input::Stepped(off)
            }),
        };
        result.unwrap_or_else(|error| {
            self.complain(raw_now(), error.to_string());
            Input::Refused
        })
    }

    /// Takes the clock in hand again, unless somebody else has it.
    pub fn take(&mut self) -> Input {
        if let (SystemClock::Realtime(_), false) = (&self.clock, self.is_forced) {
            let rivals = Rivals::find();
            for rival in &rivals {
                self.complain(raw_now(), rival.to_string());
            }
            if !rivals.is_empty() {
                return Input::Disturbed;
            }
        }
        let taken = self.clock.take().and_then(|leftovers| {
            leftovers.iter().for_each(|leftover| log::warn!("{leftover}"));
            self.clock.frequency()
        });
        match taken {
            Ok(frequency) => Input::Taken(frequency),
            Err(error) => {
                self.complain(raw_now(), error.to_string());
                Input::Refused
            }
        }
    }

    /// The clock was stepped, by us or by somebody: the kernel declared it bad, and has lost a leap second.
    pub fn was_stepped(&mut self) {
        self.declared_at = None;
        self.is_disarmed = true;
    }

    /// Has the kernel tell what the date is worth: off by `max_error` at most and by about `est_error`.
    pub fn declare(
        &mut self,
        now: Timestamp<Raw>,
        is_good: bool,
        (max_error, est_error): (Duration, Duration),
        leap: Leap,
    ) {
        if self.is_good == Some(is_good) && self.declared_at.is_some_and(|at| now - at < DECLARED_EVERY) {
            return;
        }
        let leap = if self.is_disarmed { Leap::None } else { leap };
        let quality =
            if is_good { Declared::Good { max_error, est_error, leap } } else { Declared::Bad { max_error } };
        match self.clock.declare(quality) {
            Ok(()) => {
                let ms = max_error.secs_f64() * 1e3;
                match (is_good, self.is_good) {
                    (true, None | Some(false)) => {
                        log::info!("the date is good to {ms:.3} ms: the clock is declared synchronised")
                    }
                    (false, Some(true)) => {
                        log::warn!("the date may be off by {ms:.3} ms: the clock is declared unsynchronised")
                    }
                    _ => {}
                }
                self.is_disarmed = false;
                self.is_good = Some(is_good);
                self.declared_at = Some(now);
            }
            Err(error) => self.complain(now, error.to_string()),
        }
    }

    /// Whether the kernel was told that the date is good.
    pub fn is_good(&self) -> bool {
        self.is_good == Some(true)
    }

    /// What went wrong last, or what another program did to the clock.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn complain(&mut self, now: Timestamp<Raw>, text: String) {
        if self.complaints.allows(text.clone(), now) {
            log::warn!("{text}");
        }
        self.trouble = Some(text);
    }
}

fn leap_passes(clock: &SystemClock) -> bool {
    let SystemClock::Realtime(clock) = clock else { return false };
    clock.timex().is_ok_and(|timex| matches!(timex.leap, KernelLeap::Passing | KernelLeap::Over))
}

pub fn clock_failure(error: ClockError) -> Failure {
    let exit = if error.is_permission() { Exit::NotPermitted } else { Exit::Failed };
    Failure::new(exit, error)
}

fn phc_failure(error: PhcError) -> Failure {
    let exit = if error.is_permission() { Exit::NotPermitted } else { Exit::Failed };
    Failure::new(exit, error)
}
