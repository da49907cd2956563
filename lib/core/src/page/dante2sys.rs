//! The page of dante2sys: what is done to the clock.

use super::record::{body, numbered, record};
use crate::steer::State;
use crate::time::{Affine, Epoch, Offset, Ratio, Real, Timestamp};
use crate::timescale::Timescale;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

record! {
    /// dante2sys: what is done to the clock.
    pub struct Dante2sys {
        /// [`State`].
        pub state: u8,
        /// [`SteeredClock`].
        pub clock: u8,
        /// [`UtcSource`].
        pub utc_source: u8,
        /// `STEER_HAS_*`.
        pub flags: u8,
        /// Zero.
        pub reserved: u32,
        /// The frequency that the clock was last given, fraction.
        pub frequency: f64,
        /// The clock's rate minus the leader's, fraction; with `STEER_HAS_SCALE`.
        pub rate_error: f64,
        /// Clock minus (Dante + K); with `STEER_HAS_PHASE`.
        pub phase_error_ns: i64,
        /// K; with `STEER_HAS_SCALE`.
        pub epoch_ns: i64,
        /// dante4l's instance that K belongs to; with `STEER_HAS_SCALE`.
        pub key_instance: u64,
        /// And its timeline.
        pub key_number: u64,
        /// The steered clock as a line; with `STEER_HAS_LINE` (`--clock virtual`).
        pub line: LineRecord,
        /// Corrections that the clock took.
        pub corrections: u64,
    }
}

/// `rate_error`, `epoch_ns` and `key_*` mean something.
pub const STEER_HAS_SCALE: u8 = 1;
/// `phase_error_ns` means something.
pub const STEER_HAS_PHASE: u8 = 2;
/// `line` means something.
pub const STEER_HAS_LINE: u8 = 4;

record! {
    /// A clock as a line over CLOCK_MONOTONIC_RAW.
    pub struct LineRecord {
        /// Anchor, CLOCK_MONOTONIC_RAW.
        pub raw0_ns: i64,
        /// The clock there, ns since 1970.
        pub real0_ns: i64,
        /// Rate minus one.
        pub rate: f64,
    }
}

body!(Dante2sys, "dante2sys", 2, 1);

numbered! {
    /// What dante2sys steers.
    pub enum SteeredClock {
        /// CLOCK_REALTIME.
        Realtime = 0 "realtime",
        /// A clock in the process.
        Virtual = 1 "virtual",
    }
}

numbered! {
    /// Where dante2sys takes the date from.
    pub enum UtcSource {
        /// Nowhere: rate alone.
        None = 0 "none",
    }
}

impl From<Affine<Real>> for LineRecord {
    fn from(line: Affine<Real>) -> Self {
        Self { raw0_ns: line.raw0.ns(), real0_ns: line.at0.ns(), rate: line.rate.fraction() }
    }
}

impl Dante2sys {
    /// The state; `None` where the number is not one.
    pub fn state(&self) -> Option<State> {
        State::from_number(self.state)
    }

    /// Sets what belongs to the time scale.
    pub fn set_timescale(&mut self, scale: &Timescale) {
        self.flags |= STEER_HAS_SCALE;
        self.epoch_ns = scale.epoch().ns();
        self.key_instance = scale.key().instance;
        self.key_number = scale.key().number;
    }

    /// K, once it was fixed.
    pub fn epoch(&self) -> Option<Epoch> {
        (self.flags & STEER_HAS_SCALE != 0).then_some(Epoch::from_ns(self.epoch_ns))
    }

    /// The clock's rate minus the leader's.
    pub fn rate_error(&self) -> Option<Ratio> {
        (self.flags & STEER_HAS_SCALE != 0).then_some(Ratio::new(self.rate_error))
    }

    /// Clock minus (Dante + K).
    pub fn phase_error(&self) -> Option<Offset> {
        (self.flags & STEER_HAS_PHASE != 0).then_some(Offset::from_ns(self.phase_error_ns))
    }

    /// The steered clock, where it is a line.
    pub fn line(&self) -> Option<Affine<Real>> {
        (self.flags & STEER_HAS_LINE != 0).then_some(Affine {
            raw0: Timestamp::from_ns(self.line.raw0_ns),
            at0: Timestamp::from_ns(self.line.real0_ns),
            rate: Ratio::new(self.line.rate),
        })
    }
}
