//! The leader as dante4l's page shows it, or the reason why there is none to follow. dante2sys and danteshm judge the
//! page by the same rules, which stand here once.

use crate::page::{Dante4l, Freshness, View};
use crate::time::{ClockMap, Duration};
use crate::{named, numbered};

/// What one timeline of one run of dante4l is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimelineKey {
    /// A random number that dante4l draws when it starts.
    pub instance: u64,
    /// Its count of discontinuities.
    pub number: u64,
}

/// The leader as dante4l's page shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Track {
    /// Where Dante time is continuous.
    pub key: TimelineKey,
    /// The leader is followed now, and its map has converged.
    pub is_locked: bool,
    /// The clock map (Dante over CLOCK_MONOTONIC_RAW), if anything is known.
    pub map: Option<ClockMap>,
}

impl Track {
    /// The leader that `page` shows, with its live map; `None` stands for a page that is absent or not believed.
    ///
    /// # Errors
    /// The [`Loss`], where the page gives nothing to follow.
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

    /// The map of a leader that is being followed now.
    pub fn live_map(&self) -> Option<&ClockMap> {
        self.map.as_ref().filter(|_| self.is_locked)
    }
}

named! {
    /// Why there is no leader to follow.
    pub enum Loss {
        /// dante4l has no leader, or does not know its rate yet.
        NoLeader "dante4l has no leader that it knows well",
        /// dante4l has not written its page for two seconds.
        Stale "dante4l's page is stale",
        /// dante4l was stopped.
        Stopped "dante4l was stopped",
        /// There is no page of dante4l, or none that may be believed.
        NoPage "no page of dante4l",
        /// dante4l follows a leader of a pull-up domain, which runs per cents off.
        PullUp "the leader is one of a pull-up domain",
        /// The leader runs further off than a frequency may be set.
        TooFast "the leader's rate is beyond the largest frequency that may be set",
        /// This program was asked to end.
        Ending "this program ends",
    }
}

numbered! {
    /// CLOCK_REALTIME as the kernel publishes it (adjtimex with modes 0). The numbers are those on the pages.
    pub enum KernelClock {
        /// The kernel could not be asked.
        Unknown = 0 "unknown",
        /// STA_UNSYNC is set.
        Unsynchronised = 1 "unsynchronised",
        /// Some program keeps it synchronised.
        Synchronised = 2 "synchronised",
    }
}

/// CLOCK_REALTIME as the kernel publishes it, where it could be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KernelSync {
    /// Some program keeps it synchronised: it is off by at most this (maxerror).
    Synchronised(Duration),
    /// STA_UNSYNC is set.
    Unsynchronised,
}

impl KernelSync {
    /// From the numbers on a page: [`KernelClock`] and maxerror, ns.
    pub(crate) fn of_numbers(clock: u8, max_error_ns: i64) -> Option<Self> {
        match KernelClock::from_number(clock)? {
            KernelClock::Unknown => None,
            KernelClock::Unsynchronised => Some(Self::Unsynchronised),
            KernelClock::Synchronised => Some(Self::Synchronised(Duration::from_ns(max_error_ns))),
        }
    }

    /// Those numbers.
    pub(crate) fn numbers(word: Option<Self>) -> (u8, i64) {
        match word {
            None => (KernelClock::Unknown as u8, 0),
            Some(Self::Unsynchronised) => (KernelClock::Unsynchronised as u8, 0),
            Some(Self::Synchronised(max_error)) => (KernelClock::Synchronised as u8, max_error.ns()),
        }
    }
}
