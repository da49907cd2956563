//! The one driver between the steerer and a clock.

use super::kernel::{Declared, Kernel, Leftover};
use super::{Correction, Done, Input, Output, Steerer};
use crate::time::{Duration, Ratio, Raw, Reading, Timestamp, VirtualClock};
use std::convert::Infallible;
use std::fmt;

/// A clock that can be steered: the kernel's, a PTP hardware clock, a virtual or a simulated one.
pub trait Clock {
    /// Why a call failed, for people.
    type Error: fmt::Display;

    /// The clock, and what the kernel reports of it. It cannot fail: a clock that is gone seems to run on, and the next
    /// [`Self::set`] or [`Self::step`] fails.
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

/// A clock at one instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockState {
    /// The clock and CLOCK_MONOTONIC_RAW.
    pub reading: Reading,
    /// CLOCK_BOOTTIME - CLOCK_MONOTONIC: how long the host was suspended since boot.
    pub suspended: Duration,
    /// What the kernel reports; `None` where it could not be queried.
    pub kernel: Option<Kernel>,
}

/// What is to be set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Setting {
    /// The frequency: +10 ppb, the clock gains 10 ns a second on its uncorrected rate.
    Frequency(Ratio),
    /// That nothing but the frequency rules the clock: tick nominal, PLL, FLL and pulse-per-second discipline off, no
    /// slew pending. Refused while another program steers it.
    Control,
    /// What the kernel publishes of the clock's UTC.
    Declared(Declared),
}

/// Why a clock could not be set or stepped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault<E> {
    /// Another program steers it.
    InUse(E),
    /// The call failed, or a right is missing.
    Failed(E),
}

impl<E> Fault<E> {
    /// The same with another error.
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

/// A virtual clock in virtual time: read without an error at an instant that is set from outside, and ruled by its
/// frequency alone.
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

/// What [`drive`] reports: the steerer's news, and what was done to the clock.
#[derive(Debug, Clone, PartialEq)]
pub enum Report<E> {
    /// An output that is not for the clock.
    Output(Output),
    /// The clock took this frequency.
    Frequency(Ratio),
    /// The clock was stepped by this much.
    Step(Duration),
    /// What was found in the clock when it was taken, and put right.
    Leftover(Leftover),
    /// A call failed.
    Failed(Fault<E>),
}

/// Reads `clock` once, hands `input` to the steerer, and does to the clock what it wants. Returns the clock as the
/// steerer knows it then: as read, and moved by the steps made since.
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
            // What the kernel does not publish changes nothing about how the clock runs.
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
