//! The engine of dante2sys: from dante4l's page and the answers of time servers to corrections of a clock.
//!
//! ```text
//! page -> Track ---------------> law ------> frequency -\
//!           \                     ^                      drive -> Clock
//!            UTC keeper -> rate --+---> step, declared -/
//! ```
//!
//! [`Steerer::handle`] takes what happened together with a reading of the clock, [`Steerer::poll`] hands out corrections
//! and news, [`Steerer::deadline`] is when it wants to look again. [`drive()`] stands between it and every kind of
//! [`Clock`].

mod control;
mod drive;
mod hold;
mod jump;
mod kernel;
pub mod law;
mod state;
mod steerer;
mod utc;

pub use drive::{Clock, ClockState, ExactClock, Fault, Report, Setting, drive};
pub use jump::Jump;
pub use kernel::{Declared, Disturbance, Kernel, KernelLeap, Leftover, NOMINAL_TICK, SELF_STEERING};
pub use law::{Law, Limits};
pub use state::{Event, State};
pub use steerer::Steerer;
pub use utc::{Run, UtcConfig, UtcKeeper, UtcSource};

use crate::numbered;
use crate::page::{Dante4l, Freshness, View};
use crate::time::{Duration, Offset, Ratio};
use crate::timescale::EpochChange;
use crate::track::{Loss, Track};
use crate::utc::servers::NoMeasurement;
use crate::utc::{Answer, UtcEvent, UtcMeasurement, UtcRules};
use std::fmt;

numbered! {
    /// The clock that is steered. The numbers are those on the pages.
    pub enum SteeredClock {
        /// CLOCK_REALTIME.
        Realtime = 0 "realtime",
        /// A clock in the process.
        Virtual = 1 "virtual",
        /// A PTP hardware clock.
        Hardware = 2 "hardware",
    }

    /// Who writes the RTC. The numbers are those on the status page.
    pub enum RtcMode {
        /// Nobody.
        Off = 0 "off",
        /// dante2sys.
        Device = 1 "device",
        /// The kernel, every 11 minutes while the clock is synchronised to UTC.
        Kernel = 2 "kernel",
    }
}

/// What the user chose.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Bounds of the law.
    pub limits: Limits,
    /// The law itself.
    pub law: Law,
    /// What is done about UTC.
    pub rules: UtcRules,
    /// Where UTC comes from.
    pub utc: UtcConfig,
    /// Follow a leader of a pull-up domain, whose rate is per cents off.
    pub allows_pull_up: bool,
}

impl Config {
    /// The leader on dante4l's page, if it may be followed.
    ///
    /// # Errors
    /// Why there is none.
    pub fn track(&self, page: Option<&View<Dante4l>>) -> Result<Track, Loss> {
        let fresh = page.filter(|view| view.freshness == Freshness::Fresh);
        // Whatever its state: the rate of such a leader may never be known well.
        if !self.allows_pull_up && fresh.is_some_and(|view| view.body.subdomain().is_pull_up()) {
            return Err(Loss::PullUp);
        }
        Track::of(page)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            law: law::synthesis,
            rules: UtcRules::default(),
            utc: UtcConfig::None,
            allows_pull_up: false,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// dante4l's page was read, as it is at each ring of its doorbell, at the deadline, and once a second; `None` where
    /// it is absent or not believed.
    Page(Option<&'a View<Dante4l>>),
    /// A time server answered, or did not.
    Answer {
        /// By its place in the list.
        server: usize,
        /// What came of the question.
        answer: Answer,
    },
    /// This program was asked to end: the clock is left at a rate that it can keep.
    End,
}

/// What came of an output that [`drive()`] carried out.
#[derive(Debug, Clone, Copy)]
enum Done {
    /// The clock took this frequency.
    Applied(Ratio),
    /// The clock was stepped as it was asked for.
    Stepped(Offset),
    /// The clock was taken; it runs at this frequency.
    Taken(Ratio),
    /// The kernel publishes this.
    Declared(Declared),
    /// The clock could not be corrected.
    Refused,
    /// Another program steers the clock.
    InUse,
}

/// What is to be done to the clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Correction {
    /// Run at this frequency: +10 ppb, the clock gains 10 ns a second on CLOCK_MONOTONIC_RAW.
    Slew(Ratio),
    /// The clock is off by this much (clock minus what is right): move it back by that, at once.
    Step(Offset),
}

/// What is to be done or reported. [`drive()`] carries out the first three.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Output {
    /// Correct the clock.
    Correct(Correction),
    /// Take the clock again, unless another program steers it.
    Take,
    /// Have the kernel publish what the clock's UTC is worth.
    Declare(Declared),
    /// Ask this time server, and report with [`Input::Answer`], whatever comes of it.
    Ask(usize),
    /// A round of questions is over.
    Round(Result<UtcMeasurement, NoMeasurement>),
    /// The leader's time, which was to be UTC, is its uptime: so long.
    LeaderIsUptime(Duration),
    /// The state changed.
    Changed {
        /// From this.
        from: State,
        /// To this.
        to: State,
        /// Because of this.
        reason: Reason,
    },
    /// K was carried over to another timeline.
    Epoch(EpochChange),
    /// The host was suspended for this long.
    Slept(Duration),
    /// The kernel passes a leap second.
    LeapSecond,
    /// Another program changed how the clock runs.
    Disturbed(Disturbance),
    /// The clock jumped by this much, by nothing that was asked for: K is fixed to where the clock is now.
    Adopted(Offset, Jump),
    /// News of UTC.
    Date(UtcEvent),
    /// The kernel publishes the clock as synchronised, at most this wrong; it did not before.
    Synchronised(Duration),
    /// The kernel publishes the clock as not synchronised: it may be this wrong.
    Unsynchronised(Duration),
}

/// Why the state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// dante4l follows a leader.
    Leader,
    /// The leader's rate is known well enough to steer by.
    RateKnown,
    /// There is nothing to steer by.
    Lost(Loss),
    /// The leader's rate is not known well enough any more.
    Uncertain,
    /// Dante time is not continuous: another leader, a reboot, or dante4l itself was restarted.
    OtherTimeline,
    /// The clock cannot be corrected.
    Refused,
    /// It can again.
    Accepted,
    /// Another program steers the clock.
    Disturbed,
    /// It was left alone for long enough to be tried again.
    Taken,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str("dante4l follows a leader"),
            Self::RateKnown => f.write_str("the leader's rate is known"),
            Self::Lost(loss) => write!(f, "{loss}"),
            Self::Uncertain => f.write_str("the leader's rate is not known well enough any more"),
            Self::OtherTimeline => f.write_str("Dante time is not continuous"),
            Self::Refused => f.write_str("the clock cannot be corrected"),
            Self::Accepted => f.write_str("the clock takes corrections again"),
            Self::Disturbed => f.write_str("another program steers the clock: it is left to it for a while"),
            Self::Taken => f.write_str("the clock is taken in hand again"),
        }
    }
}

#[cfg(test)]
mod tests;
