//! The sources of the epoch offset (K), and the messages about it.

use super::refclock::OUTPUT_PAUSE;
use crate::numbered;
use crate::page::{Dante2sys, Freshness, STEER_HAS_PIECE, STEER_UTC_SYNCHRONISED, View};
use crate::steer::SteeredClock;
use crate::time::{Dante, Duration, Epoch, Raw, Real, Timestamp};
use crate::track::{KernelSync, TimelineKey};
use std::fmt;

/// When K may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EpochRule {
    /// From dante2sys if UTC is synchronised there, else from the system clock once the kernel reports it as synchronised.
    #[default]
    Synchronised,
    /// At the first Sync: from dante2sys, else from the system clock as it is.
    Now,
}

impl EpochRule {
    /// Whether a K from this source may be resumed.
    pub(super) fn allows(self, source: EpochSource) -> bool {
        self == Self::Now || source != EpochSource::Unsynchronised
    }
}

numbered! {
    /// Source of K. The numbers are those on the clock page.
    pub enum EpochSource {
        /// The system clock, synchronised according to the kernel.
        Clock = 1 "clock",
        /// The system clock, not known to be synchronised.
        Unsynchronised = 2 "unsynchronised",
        /// The clock page of dante2sys.
        Dante2sys = 3 "dante2sys",
    }
}

impl EpochSource {
    const fn description(self) -> &'static str {
        match self {
            Self::Clock => "the synchronised system clock",
            Self::Unsynchronised => "the system clock (not known to be synchronised)",
            Self::Dante2sys => "dante2sys",
        }
    }
}

/// The clock page of a running dante2sys that steers a clock with UTC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Steered(Dante2sys);

impl Steered {
    /// Returns the page if dante2sys runs, has a K, and does not steer a PTP hardware clock, whose time need not be UTC.
    pub fn of(view: &View<Dante2sys>) -> Option<Self> {
        let body = &view.body;
        let shows_utc = view.freshness == Freshness::Fresh && body.clock != SteeredClock::Hardware as u8;
        (shows_utc && body.has(STEER_HAS_PIECE)).then_some(Self(*body))
    }

    /// The timeline that K belongs to.
    pub fn key(&self) -> TimelineKey {
        self.0.key()
    }

    /// UTC at Dante time `dante`.
    pub fn utc_at(&self, dante: Timestamp<Dante>) -> Option<Timestamp<Real>> {
        self.0.utc_at(dante)
    }

    /// Whether UTC is synchronised: the UTC bound is below `--max-utc-error` of dante2sys.
    fn is_synchronised(&self) -> bool {
        self.0.has(STEER_UTC_SYNCHRONISED)
    }
}

/// The sources that K may be set from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Evidence {
    /// dante2sys, if it runs and has a K.
    pub steered: Option<Steered>,
    /// Synchronisation of the system clock according to the kernel; `None` where dante4l could not ask the kernel.
    pub kernel: Option<KernelSync>,
}

impl Evidence {
    /// Returns the source that `rule` allows for a K of the timeline `key`, if any.
    pub(super) fn source(&self, rule: EpochRule, key: TimelineKey) -> Option<EpochSource> {
        let is_synchronised = matches!(self.kernel, Some(KernelSync::Synchronised(_)));
        match (self.steered, rule) {
            (Some(steered), _)
                if steered.key() == key && (steered.is_synchronised() || rule == EpochRule::Now) =>
            {
                Some(EpochSource::Dante2sys)
            }
            _ if is_synchronised => Some(EpochSource::Clock),
            (_, EpochRule::Now) => Some(EpochSource::Unsynchronised),
            (_, EpochRule::Synchronised) => None,
        }
    }
}

/// K of the last sample written, in this run or an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedEpoch {
    /// The timeline that K belongs to.
    pub key: TimelineKey,
    /// K.
    pub epoch: Epoch,
    /// Source of K.
    pub source: EpochSource,
    /// When the sample was written.
    pub last: Timestamp<Raw>,
}

/// K was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    /// K.
    pub epoch: Epoch,
    /// Source of K.
    pub source: EpochSource,
    /// K is that of the previous run, so that the reference does not jump.
    pub is_resumed: bool,
    /// UTC by the new K minus UTC by the K before; `None` where there was none.
    pub moved: Option<Duration>,
    /// Reference minus system clock.
    pub ahead: Duration,
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (epoch, source, ahead) = (self.epoch.ns(), self.source.description(), self.ahead.secs_f64());
        match (self.is_resumed, self.moved) {
            (true, _) => write!(
                f,
                "epoch offset (K) {epoch} ns resumed from the previous run, no jump; \
                 reference minus system clock {ahead:+.9} s"
            ),
            (_, Some(moved)) => write!(
                f,
                "epoch offset (K) {epoch} ns set from {source}, reference moves by {:+.9} s; \
                 reference minus system clock {ahead:+.9} s",
                moved.secs_f64()
            ),
            (_, None) => write!(
                f,
                "epoch offset (K) {epoch} ns set from {source}; reference minus system clock {ahead:+.9} s"
            ),
        }
    }
}

/// What follows the reason of an output pause in the log.
const PAUSED: &str = "no samples for 4 s, so that chrony restarts its filter, then a new epoch offset (K)";
const _: () = assert!(OUTPUT_PAUSE.ms() == 4000, "PAUSED states 4 s");

/// Why the reference cannot continue without a jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseReason {
    /// The system clock moved by this against CLOCK_MONOTONIC_RAW between two Syncs: it was stepped, or slewed faster than the
    /// kernel does by itself, or the host was suspended.
    Stepped(Duration),
    /// The reference moved by this against the system clock.
    Jump(Duration),
    /// Dante time does not continue, and this is the uncertainty of the old clock map (one standard deviation).
    Uncertain(Duration),
    /// K of the previous run cannot be resumed: it belongs to another leader, is too far from the system clock, or comes from a
    /// source that the rule does not allow.
    Forgotten,
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stepped(by) => write!(
                f,
                "system clock moved by {:+.6} s (stepped, slewed fast, or host suspended); {PAUSED}",
                by.secs_f64()
            ),
            Self::Jump(by) => {
                write!(f, "reference moved by {:+.6} s against the system clock; {PAUSED}", by.secs_f64())
            }
            Self::Uncertain(sigma) => write!(
                f,
                "another leader, or another time of the same one, after a long gap: UTC is uncertain by {:.6} s; {PAUSED}",
                sigma.secs_f64()
            ),
            Self::Forgotten => {
                write!(f, "epoch offset (K) of the previous run is not valid any more; {PAUSED}")
            }
        }
    }
}

numbered! {
    /// What danteshm waits for while it writes no samples. The numbers are those on the clock page.
    pub enum Waiting {
        /// Nothing: samples are written.
        Nothing = 0 "nothing",
        /// dante4l is not locked to a leader.
        Leader = 1 "leader",
        /// There is no source of UTC to set K from.
        Utc = 2 "utc",
        /// The end of an output pause, in which chrony restarts its filter.
        Pause = 3 "pause",
    }
}
