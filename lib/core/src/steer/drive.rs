//! The driver that connects the steerer to a clock.

use super::kernel::{Declared, Kernel, Leftover};
use super::{Correction, Done, Input, Output, Steerer};
use crate::time::{Duration, Ratio, Raw, Reading, Timestamp, VirtualClock};
use std::convert::Infallible;
use std::fmt;

/// A clock that can be steered: the system clock, a PTP hardware clock, a virtual or a simulated one.
pub trait Clock {
    /// The text of a failed call.
    type Error: fmt::Display;

    /// Reads the clock and what the kernel reports of it. This cannot fail: a clock that has gone away appears to run on, and the
    /// next [`Self::set`] or [`Self::step`] fails.
    fn read(&mut self) -> ClockState;

    /// Sets what `setting` names, and returns the frequency in force after it.
    ///
    /// # Errors
    /// [`Fault`].
    fn set(&mut self, setting: Setting) -> Result<Ratio, Fault<Self::Error>>;

    /// Moves the clock by `by` at once, forwards if positive.
    ///
    /// # Errors
    /// [`Fault`].
    fn step(&mut self, by: Duration) -> Result<(), Fault<Self::Error>>;
}

/// The state of a clock at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockState {
    /// The clock and CLOCK_MONOTONIC_RAW at the same instant.
    pub reading: Reading,
    /// CLOCK_BOOTTIME - CLOCK_MONOTONIC: how long the host was suspended since boot.
    pub suspended: Duration,
    /// What the kernel reports; `None` where it could not be queried.
    pub kernel: Option<Kernel>,
}

/// A property of the clock to be set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Setting {
    /// The frequency: +10 ppb, the clock gains 10 ns a second on its uncorrected rate.
    Frequency(Ratio),
    /// Only the frequency steers the clock: nominal tick, PLL, FLL and pulse-per-second discipline off, no pending slew.
    /// Refused while another program steers the clock.
    Control,
    /// The UTC status that the kernel publishes.
    Declared(Declared),
}

/// Why a clock could not be set or stepped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault<E> {
    /// Another program steers it.
    InUse(E),
    /// The call failed, or a privilege is missing.
    Failed(E),
}

impl<E> Fault<E> {
    /// Converts the error.
    pub fn map<F>(self, of: impl FnOnce(E) -> F) -> Fault<F> {
        match self {
            Self::InUse(error) => Fault::InUse(of(error)),
            Self::Failed(error) => Fault::Failed(of(error)),
        }
    }
}

impl<E: fmt::Display> fmt::Display for Fault<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(error) | Self::Failed(error) => error.fmt(f),
        }
    }
}

/// A virtual clock in virtual time: it is read without error at an instant set by the caller, and only its frequency steers it.
#[derive(Debug, Clone, Copy)]
pub struct ExactClock {
    /// The clock.
    pub clock: VirtualClock,
    /// When it is read, set and stepped.
    pub now: Timestamp<Raw>,
}

impl Clock for ExactClock {
    type Error = Infallible;

    fn read(&mut self) -> ClockState {
        let reading = Reading { raw: self.now, real: self.clock.at(self.now), width: Duration::ZERO };
        let kernel = Some(Kernel::plain(self.clock.line().rate));
        ClockState { reading, suspended: Duration::ZERO, kernel }
    }

    fn set(&mut self, setting: Setting) -> Result<Ratio, Fault<Infallible>> {
        if let Setting::Frequency(rate) = setting {
            self.clock.set_frequency(self.now, rate);
        }
        Ok(self.clock.line().rate)
    }

    fn step(&mut self, by: Duration) -> Result<(), Fault<Infallible>> {
        self.clock.step(by);
        Ok(())
    }
}

/// What [`drive`] reports: outputs of the steerer, and what was done to the clock.
#[derive(Debug, Clone, PartialEq)]
pub enum Report<E> {
    /// An output that is not for the clock.
    Output(Output),
    /// The clock accepted this frequency.
    Frequency(Ratio),
    /// The clock was stepped by this much.
    Step(Duration),
    /// A leftover of another program, found and removed when control of the clock was taken.
    Leftover(Leftover),
    /// A call failed.
    Failed(Fault<E>),
}

/// Reads `clock` once, passes `input` to the steerer, and carries out its corrections. Returns the clock as the steerer knows it
/// afterwards: as read, moved by the steps made since.
pub fn drive<C: Clock>(
    steerer: &mut Steerer,
    clock: &mut C,
    input: Input<'_>,
    mut report: impl FnMut(Report<C::Error>),
) -> ClockState {
    let mut now = clock.read();
    steerer.handle(&now, input);
    carry_out(steerer, clock, &mut now, &mut report);
    steerer.conclude(&now.reading);
    carry_out(steerer, clock, &mut now, &mut report);
    now
}

fn carry_out<C: Clock>(
    steerer: &mut Steerer,
    clock: &mut C,
    now: &mut ClockState,
    report: &mut impl FnMut(Report<C::Error>),
) {
    while let Some(output) = steerer.poll() {
        let result = match output {
            Output::Correct(Correction::Slew(frequency)) => {
                clock.set(Setting::Frequency(frequency)).map(|taken| {
                    report(Report::Frequency(taken));
                    Done::Applied(taken)
                })
            }
            Output::Correct(Correction::Step(off)) => clock.step(-off.span()).map(|()| {
                now.reading.real = now.reading.real - off.span();
                report(Report::Step(-off.span()));
                Done::Stepped(off)
            }),
            Output::Declare(quality) => {
                clock.set(Setting::Declared(quality)).map(|_| Done::Declared(quality))
            }
            Output::Take => clock.set(Setting::Control).map(|frequency| {
                let leftovers = now.kernel.iter().flat_map(Kernel::leftovers);
                leftovers.for_each(|found| report(Report::Leftover(found)));
                Done::Taken(frequency)
            }),
            other => {
                report(Report::Output(other));
                continue;
            }
        };
        let done = match &result {
            Ok(done) => Some(*done),
            Err(Fault::InUse(_)) => Some(Done::InUse),
            // A status that the kernel did not accept does not change how the clock runs.
            Err(Fault::Failed(_)) if matches!(output, Output::Declare(_)) => None,
            Err(Fault::Failed(_)) => Some(Done::Refused),
        };
        if let Err(fault) = result {
            report(Report::Failed(fault));
        }
        if let Some(done) = done {
            steerer.done(&now.reading, done);
        }
    }
}
