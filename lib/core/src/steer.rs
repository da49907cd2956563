//! The engine of dante2sys: dante4l's clock page and the replies of NTP servers go in, corrections of a clock come out.
//!
//! ```text
//! page -> Track ---------------> law ------> frequency -\
//!           \                     ^                      drive -> Clock
//!            UTC keeper -> rate --+---> step, declared -/
//! ```
//!
//! [`Steerer::handle`] takes an input together with a reading of the clock, [`Steerer::poll`] returns corrections and events,
//! [`Steerer::deadline`] is when the next input is due at the latest. [`drive()`] connects the steerer to any [`Clock`].

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
pub use hold::EarlierEpoch;
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
use crate::utc::{Answer, SavedUtcUse, UtcEvent, UtcMeasurement, UtcRules};
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

    /// Which program writes the RTC. The numbers are those on the status page.
    pub enum RtcMode {
        /// None.
        Off = 0 "off",
        /// dante2sys.
        Device = 1 "device",
        /// The kernel, every 11 minutes while the clock is synchronised to UTC.
        Kernel = 2 "kernel",
    }
}

/// The user's configuration.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Bounds of every law.
    pub limits: Limits,
    /// Computes the frequency.
    pub law: Law,
    /// The UTC policy and its bounds.
    pub rules: UtcRules,
    /// The source of UTC.
    pub utc: UtcConfig,
    /// Follow a leader of a pull-up domain, whose nominal rate is off by 0.1 % or about 4 %.
    pub allows_pull_up: bool,
}

impl Config {
    /// Returns the leader on dante4l's clock page, if it may be followed.
    ///
    /// # Errors
    /// The reason why there is no leader to follow.
    pub fn track(&self, page: Option<&View<Dante4l>>) -> Result<Track, Loss> {
        let fresh = page.filter(|view| view.freshness == Freshness::Fresh);
        // Checked in every state of dante4l: the rate of a pull-up leader may never converge.
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

/// What the steerer reacts to.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// dante4l's clock page was read: after each ring of its doorbell, at the deadline, and once a second. `None` if it is
    /// absent or not trusted.
    Page(Option<&'a View<Dante4l>>),
    /// A request to an NTP server has ended, with or without a reply.
    Answer {
        /// Index of the server in the list.
        server: usize,
        /// The result of the request.
        answer: Answer,
    },
    /// This program was asked to end: leave the clock at a frequency without the phase term.
    End,
}

/// The result of an output that [`drive()`] carried out.
#[derive(Debug, Clone, Copy)]
enum Done {
    /// The clock accepted this frequency.
    Applied(Ratio),
    /// The clock was stepped as requested.
    Stepped(Offset),
    /// This program has control of the clock again; the clock runs at this frequency.
    Taken(Ratio),
    /// The kernel publishes this status.
    Declared(Declared),
    /// The clock could not be corrected.
    Refused,
    /// Another program steers the clock.
    InUse,
}

/// A correction of the clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Correction {
    /// Run at this frequency: +10 ppb, the clock gains 10 ns a second on CLOCK_MONOTONIC_RAW.
    Slew(Ratio),
    /// Step the clock by minus this offset (clock minus its right value).
    Step(Offset),
}

/// An action or a report. [`drive()`] carries out the first three.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Output {
    /// Correct the clock.
    Correct(Correction),
    /// Take control of the clock again, unless another program steers it.
    Take,
    /// Set the UTC status and the error that the kernel publishes.
    Declare(Declared),
    /// Send a request to this NTP server, and report its result with [`Input::Answer`], also where there is no reply.
    Ask(usize),
    /// A round of requests to the NTP servers has ended.
    Round(Result<UtcMeasurement, NoMeasurement>),
    /// UTC was to come from the leader that is followed, but its time is its uptime, this long. Once for each timeline.
    LeaderIsUptime(Duration),
    /// The state changed.
    Changed {
        /// The previous state.
        from: State,
        /// The new state.
        to: State,
        /// The reason for the change.
        reason: Reason,
    },
    /// The epoch offset (K, UTC minus Dante time) was carried over to another timeline.
    Epoch(EpochChange),
    /// The host was suspended for this long.
    Slept(Duration),
    /// The kernel applies a leap second.
    LeapSecond,
    /// Another program changed how the clock runs.
    Disturbed(Disturbance),
    /// The clock jumped by this much without a request of the steerer: K is set so that the clock stays where it is.
    Adopted(Offset, Jump),
    /// An event of the UTC estimate or the UTC policy.
    Utc(UtcEvent),
    /// What became of UTC of an earlier run.
    SavedUtc(SavedUtcUse),
    /// The kernel now publishes the clock as synchronised, with at most this error; before it did not.
    Synchronised(Duration),
    /// The kernel now publishes the clock as not synchronised; its error may be this large.
    Unsynchronised(Duration),
}

/// The reason for a change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// dante4l follows a leader.
    Leader,
    /// The leader's rate is known well enough to lock the clock to it.
    RateKnown,
    /// There is no leader to follow.
    Lost(Loss),
    /// The leader's rate has become too uncertain.
    Uncertain,
    /// Dante time is not continuous: another leader, a reboot, or dante4l itself was restarted.
    OtherTimeline,
    /// The clock cannot be corrected.
    Refused,
    /// The clock accepts corrections again.
    Accepted,
    /// Another program steers the clock.
    Disturbed,
    /// This program has control of the clock again.
    Taken,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str("dante4l follows a leader"),
            Self::RateKnown => f.write_str("the leader's rate is known"),
            Self::Lost(loss) => write!(f, "{loss}"),
            Self::Uncertain => f.write_str("the leader's rate has become too uncertain"),
            Self::OtherTimeline => f.write_str(
                "Dante time is not continuous (other leader, leader rebooted or dante4l restarted)",
            ),
            Self::Refused => f.write_str("the clock cannot be corrected"),
            Self::Accepted => f.write_str("the clock accepts corrections again"),
            Self::Disturbed => {
                f.write_str("another program steers the clock: paused for 16 s or more, then retrying")
            }
            Self::Taken => f.write_str("steering the clock again after the pause"),
        }
    }
}

#[cfg(test)]
mod tests;
