//! The leader by dante4l's clock page, or the reason why there is none to follow. dante2sys and danteshm check the page by these
//! rules.

use crate::page::{Dante4l, Freshness, View};
use crate::time::{ClockMap, Duration};
use crate::{named, numbered};

/// Identifies a timeline of one run of dante4l.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimelineKey {
    /// Random number that dante4l draws at its start.
    pub instance: u64,
    /// Number of the timeline: dante4l's count of discontinuities.
    pub number: u64,
}

/// The leader by dante4l's clock page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Track {
    /// The timeline.
    pub key: TimelineKey,
    /// The leader is followed now, and the clock map has converged.
    pub is_locked: bool,
    /// The clock map (Dante time over CLOCK_MONOTONIC_RAW), if there is one.
    pub map: Option<ClockMap>,
}

impl Track {
    /// Returns the leader of `page`, with its clock map. `None` stands for a page that is missing or rejected.
    ///
    /// # Errors
    /// The [`Loss`], if there is no leader to follow.
    pub fn of(page: Option<&View<Dante4l>>) -> Result<Self, Loss> {
        let view = page.ok_or(Loss::NoPage)?;
        match view.freshness {
            Freshness::Fresh => {
                let track = view.body.track(view.instance);
                if track.live_map().is_some() { Ok(track) } else { Err(Loss::NoLeader) }
            }
            Freshness::Stopped => Err(Loss::Stopped),
            _ => Err(Loss::Stale),
        }
    }

    /// Returns the clock map if its leader is followed now.
    pub fn live_map(&self) -> Option<&ClockMap> {
        self.map.as_ref().filter(|_| self.is_locked)
    }
}

named! {
    /// Reason why there is no leader to follow.
    pub enum Loss {
        /// dante4l has no leader, or its clock map has not converged yet.
        NoLeader "dante4l is not locked to a leader",
        /// dante4l has not written its clock page for 2 s.
        Stale "dante4l's clock page is stale (dante4l hangs or was killed)",
        /// dante4l was stopped.
        Stopped "dante4l was stopped",
        /// dante4l's clock page does not exist, or it is rejected.
        NoPage "dante4l's clock page is missing or rejected",
        /// dante4l follows a leader in a pull-up domain, whose nominal rate is off by 0.1 % or about 4 %.
        PullUp "the leader is in a pull-up domain",
        /// The leader's rate exceeds the largest frequency correction of the clock.
        TooFast "the leader's rate exceeds --max-frequency",
        /// The program is stopping.
        Ending "the program is stopping",
    }
}

numbered! {
    /// State of CLOCK_REALTIME by adjtimex with modes 0. The numbers are those on the pages.
    pub enum KernelClock {
        /// adjtimex failed.
        Unknown = 0 "unknown",
        /// STA_UNSYNC is set.
        Unsynchronised = 1 "unsynchronised",
        /// STA_UNSYNC is clear: a program keeps the clock synchronised.
        Synchronised = 2 "synchronised",
    }
}

/// State of CLOCK_REALTIME by adjtimex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelSync {
    /// STA_UNSYNC is clear. The largest error of the clock is maxerror.
    Synchronised(Duration),
    /// STA_UNSYNC is set.
    Unsynchronised,
}

impl KernelSync {
    /// Decodes the numbers on a page: [`KernelClock`] and maxerror, ns.
    pub(crate) fn of_numbers(clock: u8, max_error_ns: i64) -> Option<Self> {
        match KernelClock::from_number(clock)? {
            KernelClock::Unknown => None,
            KernelClock::Unsynchronised => Some(Self::Unsynchronised),
            KernelClock::Synchronised => Some(Self::Synchronised(Duration::from_ns(max_error_ns))),
        }
    }

    /// Returns these numbers.
    pub(crate) fn numbers(kernel: Option<Self>) -> (u8, i64) {
        match kernel {
            None => (KernelClock::Unknown as u8, 0),
            Some(Self::Unsynchronised) => (KernelClock::Unsynchronised as u8, 0),
            Some(Self::Synchronised(max_error)) => (KernelClock::Synchronised as u8, max_error.ns()),
        }
    }
}
