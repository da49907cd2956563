//! What a date may be taken from, and what is said about it.

use super::refclock::OUTPUT_PAUSE;
use crate::numbered;
use crate::page::{Dante2sys, Freshness, STEER_HAS_PIECE, STEER_UTC_SYNCHRONISED, View};
use crate::steer::SteeredClock;
use crate::time::{Dante, Duration, Epoch, Raw, Real, Timestamp};
use crate::track::{KernelSync, TimelineKey};
use std::fmt;

/// When K may be fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EpochRule {
    /// To dante2sys' K if its date is good, else to the system clock once the kernel calls that synchronised.
    #[default]
    Synchronised,
    /// At the first Sync: to dante2sys' K, else to wherever the system clock is.
    Now,
}

impl EpochRule {
    /// Whether a K from there is to be gone on with.
    pub(super) fn allows(self, source: EpochSource) -> bool {
        self == Self::Now || source != EpochSource::Unsynchronised
    }
}

numbered! {
    /// Where K is from. The numbers are those on the page.
    pub enum EpochSource {
        /// The system clock, which was synchronised.
        Clock = 1 "clock",
        /// The system clock, of which that was not known.
        Unsynchronised = 2 "unsynchronised",
        /// dante2sys.
        Dante2sys = 3 "dante2sys",
    }
}

impl EpochSource {
    const fn in_words(self) -> &'static str {
        match self {
            Self::Clock => "the system clock, which is synchronised",
            Self::Unsynchronised => "the system clock as it is",
            Self::Dante2sys => "dante2sys' K",
        }
    }
}

/// dante2sys, where it runs and steers a clock that shows UTC.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Steered(Dante2sys);

impl Steered {
    /// K on dante2sys' page, while it runs and steers a clock that shows a date.
    pub fn of(view: &View<Dante2sys>) -> Option<Self> {
        let body = &view.body;
        let shows_date = view.freshness == Freshness::Fresh && body.clock != SteeredClock::Hardware as u8;
        (shows_date && body.has(STEER_HAS_PIECE)).then_some(Self(*body))
    }

    /// The timeline that K is of.
    pub fn key(&self) -> TimelineKey {
        self.0.key()
    }

    /// UTC at Dante time `dante`.
    pub fn utc_at(&self, dante: Timestamp<Dante>) -> Option<Timestamp<Real>> {
        self.0.utc_at(dante)
    }

    /// Its UTC source says that UTC is good.
    fn is_good(&self) -> bool {
        self.0.has(STEER_UTC_SYNCHRONISED)
    }
}

/// What a date may be taken from.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Evidence {
    /// dante2sys runs, and has a K.
    pub steered: Option<Steered>,
    /// What the kernel says; None where dante4l could not ask it.
    pub kernel: Option<KernelSync>,
}

impl Evidence {
    /// What a K of this timeline may be taken from, by the rule.
    pub(super) fn source(&self, rule: EpochRule, key: TimelineKey) -> Option<EpochSource> {
        let is_synchronised = matches!(self.kernel, Some(KernelSync::Synchronised(_)));
        match (self.steered, rule) {
            (Some(steered), _) if steered.key() == key && (steered.is_good() || rule == EpochRule::Now) => {
                Some(EpochSource::Dante2sys)
            }
            _ if is_synchronised => Some(EpochSource::Clock),
            (_, EpochRule::Now) => Some(EpochSource::Unsynchronised),
            (_, EpochRule::Synchronised) => None,
        }
    }
}

/// K as it was published to chrony in an earlier run of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedEpoch {
    /// Under this timeline.
    pub key: TimelineKey,
    /// K.
    pub epoch: Epoch,
    /// Where it was from.
    pub source: EpochSource,
    /// When the last sample was published.
    pub last: Timestamp<Raw>,
}

/// K was fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    /// K.
    pub epoch: Epoch,
    /// Where it is from.
    pub source: EpochSource,
    /// It is that of the run before, so that nothing jumps.
    pub is_resumed: bool,
    /// By how much the date published differs from what it would have been by the K before; None where there was none.
    pub moved: Option<Duration>,
    /// The date published minus the system clock.
    pub ahead: Duration,
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "K {} ns, ", self.epoch.ns())?;
        match (self.is_resumed, self.moved) {
            (true, _) => f.write_str("as the run before published it: no jump")?,
            (_, Some(moved)) => {
                write!(
                    f,
                    "from {}: the date published moves by {:+.9} s",
                    self.source.in_words(),
                    moved.secs_f64()
                )?;
            }
            (_, None) => write!(f, "from {}: the first", self.source.in_words())?,
        }
        write!(f, "; the reference is {:+.9} s ahead of the system clock", self.ahead.secs_f64())
    }
}

/// Why the reference cannot go on without a jump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// The system clock was stepped, or slewed faster than the kernel does by itself, or the host slept: it moved by this
    /// against CLOCK_MONOTONIC_RAW between two Syncs.
    Stepped(Duration),
    /// The reference itself moved by this against the system clock.
    Jump(Duration),
    /// Another timeline begins, and the old map has become this uncertain meanwhile (one standard deviation).
    Uncertain(Duration),
    /// K of the last run belongs to another timeline, or is far from the system clock.
    Forgotten,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stepped(by) => {
                write!(
                    f,
                    "the system clock moved by {:+.6} s (a step, a hasty slew, or sleep)",
                    by.secs_f64()
                )
            }
            Self::Jump(by) => write!(f, "the reference would jump by {:+.6} s", by.secs_f64()),
            Self::Uncertain(sigma) => {
                write!(f, "another leader after too long: the date is not known to {:.6} s", sigma.secs_f64())
            }
            Self::Forgotten => f.write_str("K of the last run does not hold any more"),
        }?;
        write!(
            f,
            "; silent for {} s, so that chrony begins anew, then K is fixed anew",
            OUTPUT_PAUSE.ms() / 1000
        )
    }
}

numbered! {
    /// What is missing while no samples are written. The numbers are those on the page.
    pub enum Waiting {
        /// They are written.
        Nothing = 0 "nothing",
        /// dante4l has no leader that it knows well.
        Leader = 1 "leader",
        /// There is no date to fix K to.
        Utc = 2 "utc",
        /// chrony is to notice the silence.
        Pause = 3 "pause",
    }
}
