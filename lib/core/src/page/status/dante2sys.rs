//! The status page of dante2sys: what is done to the clock, and what its UTC is worth.

use crate::page::record::{body, record};
use crate::steer::{State, SteeredClock, Steerer};
use crate::time::{Affine, Epoch, Offset, Ratio, Reading, Real, Timestamp};
use crate::utc::{Policy, UtcError};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

record! {
    /// dante2sys' status page.
    pub struct Dante2sysStatus {
        /// [`State`].
        pub state: u8,
        /// [`SteeredClock`].
        pub clock: u8,
        /// [`UtcSource`](crate::steer::UtcSource).
        pub utc_source: u8,
        /// `STATUS_*`.
        pub flags: u8,
        /// [`Policy`].
        pub policy: u8,
        /// [`RtcMode`](crate::steer::RtcMode).
        pub rtc: u8,
        /// [`Leap`](crate::utc::Leap), as the servers announce it.
        pub leap: u8,
        /// How many time servers agreed the last time.
        pub agreeing: u8,
        /// The frequency that the clock was last given, fraction.
        pub frequency: f64,
        /// The clock's rate minus the leader's, fraction; with `STATUS_HAS_SCALE`.
        pub rate_error: f64,
        /// Clock minus (Dante + K); with `STATUS_HAS_PHASE`.
        pub phase_error_ns: i64,
        /// K; with `STATUS_HAS_SCALE`.
        pub epoch_ns: i64,
        /// dante4l's instance that K belongs to; with `STATUS_HAS_SCALE`.
        pub key_instance: u64,
        /// And its timeline.
        pub key_number: u64,
        /// The steered clock as a line; with `STATUS_HAS_LINE` (`--clock virtual`).
        pub line: LineRecord,
        /// Corrections that the clock took.
        pub corrections: u64,
        /// One standard deviation of Dante + K, now: it grows in holdover; with `STATUS_HAS_SCALE`.
        pub phase_sigma_ns: i64,
        /// One standard deviation of the leader's rate, now, fraction; with `STATUS_HAS_SCALE`.
        pub rate_sigma: f64,
        /// What the date policy adds to the leader's rate, fraction.
        pub slew: f64,
        /// The date; with `STATUS_HAS_UTC`.
        pub utc: UtcRecord,
        /// How far apart the time servers are asked.
        pub interval_ns: i64,
        /// Steps of the clock for the date's sake.
        pub date_steps: u64,
        /// How often another program was seen to steer the clock.
        pub disturbances: u64,
        /// UTC when the RTC was last written; 0: never.
        pub rtc_written_ns: i64,
    }

    /// What the clock's date is worth.
    pub struct UtcRecord {
        /// The clock minus UTC, as estimated.
        pub error_ns: i64,
        /// One standard deviation of that.
        pub sigma_ns: i64,
        /// The date is not further off than this, if the servers are right.
        pub bound_ns: i64,
        /// When it was last measured, CLOCK_MONOTONIC_RAW.
        pub measured_raw_ns: i64,
        /// The leader's rate against UTC, fraction.
        pub leader_rate: f64,
        /// One standard deviation of it.
        pub leader_rate_sigma: f64,
    }
}

/// `rate_error`, `epoch_ns` and `key_*` mean something.
pub const STATUS_HAS_SCALE: u8 = 1;
/// `phase_error_ns` means something.
pub const STATUS_HAS_PHASE: u8 = 2;
/// `line` means something.
pub const STATUS_HAS_LINE: u8 = 4;
/// `date` means something.
pub const STATUS_HAS_UTC: u8 = 8;
/// The date is good: the kernel is told so.
pub const STATUS_UTC_SYNCHRONISED: u8 = 16;
/// The date was set by hand, and is left as it is.
pub const STATUS_UTC_BY_HAND: u8 = 32;

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

body!(Dante2sysStatus, "dante2sys", 18, Status 3);

impl From<Affine<Real>> for LineRecord {
    fn from(line: Affine<Real>) -> Self {
        Self { raw0_ns: line.raw0.ns(), real0_ns: line.at0.ns(), rate: line.rate.fraction() }
    }
}

impl From<UtcError> for UtcRecord {
    fn from(date: UtcError) -> Self {
        Self {
            error_ns: date.error.ns(),
            sigma_ns: date.sigma.ns(),
            bound_ns: date.bound.ns(),
            measured_raw_ns: date.measured_at.ns(),
            leader_rate: date.leader_rate.fraction(),
            leader_rate_sigma: date.leader_rate_sigma.fraction(),
        }
    }
}

impl Dante2sysStatus {
    /// What `steerer` knows at `now` of a clock of this kind. The clock's line and the RTC are for the program to add.
    pub fn of(steerer: &Steerer, clock: SteeredClock, now: &Reading) -> Self {
        let (utc, keeper, state) = (steerer.utc(), steerer.utc().keeper(), steerer.state());
        let (corrections, disturbances) = steerer.counts();
        let mut body = Self {
            state: state as u8,
            clock: clock as u8,
            utc_source: utc.source() as u8,
            policy: keeper.rules().policy as u8,
            leap: keeper.leap() as u8,
            agreeing: utc.agreeing(),
            frequency: steerer.frequency().fraction(),
            corrections,
            slew: utc.slew().fraction(),
            interval_ns: utc.interval().ns(),
            date_steps: utc.steps(),
            disturbances,
            ..Self::default()
        };
        if let Some(scale) = steerer.timescale() {
            let sigma = scale.map().uncertainty_at(now.raw);
            body.flags |= STATUS_HAS_SCALE;
            body.epoch_ns = scale.epoch_at(now.raw).ns();
            body.key_instance = scale.key().instance;
            body.key_number = scale.key().number;
            body.rate_error = (steerer.frequency() - scale.map().line.rate).fraction();
            body.phase_sigma_ns = sigma.offset.ns();
            body.rate_sigma = sigma.rate.fraction();
        }
        if let Some(error) = steerer.phase_error() {
            body.flags |= STATUS_HAS_PHASE;
            body.phase_error_ns = error.ns();
        }
        if let Some(error) = steerer.utc_error(now) {
            body.flags |= STATUS_HAS_UTC;
            body.utc = error.into();
        }
        if steerer.is_utc_good() {
            body.flags |= STATUS_UTC_SYNCHRONISED;
        }
        if keeper.is_left() {
            body.flags |= STATUS_UTC_BY_HAND;
        }
        body
    }

    /// Adds the steered clock as a line.
    pub fn with_line(mut self, line: Affine<Real>) -> Self {
        self.flags |= STATUS_HAS_LINE;
        self.line = line.into();
        self
    }

    /// The state; `None` where the number is not one.
    pub fn state(&self) -> Option<State> {
        State::from_number(self.state)
    }

    /// The date policy; `None` where the number is not one.
    pub fn policy(&self) -> Option<Policy> {
        Policy::from_number(self.policy)
    }

    /// What the date is worth, once somebody told it.
    pub fn utc(&self) -> Option<&UtcRecord> {
        (self.flags & STATUS_HAS_UTC != 0).then_some(&self.utc)
    }

    /// K, once it was fixed.
    pub fn epoch(&self) -> Option<Epoch> {
        (self.flags & STATUS_HAS_SCALE != 0).then_some(Epoch::from_ns(self.epoch_ns))
    }

    /// The clock's rate minus the leader's.
    pub fn rate_error(&self) -> Option<Ratio> {
        (self.flags & STATUS_HAS_SCALE != 0).then_some(Ratio::new(self.rate_error))
    }

    /// Clock minus (Dante + K).
    pub fn phase_error(&self) -> Option<Offset> {
        (self.flags & STATUS_HAS_PHASE != 0).then_some(Offset::from_ns(self.phase_error_ns))
    }

    /// The steered clock, where it is a line.
    pub fn line(&self) -> Option<Affine<Real>> {
        (self.flags & STATUS_HAS_LINE != 0).then_some(Affine {
            raw0: Timestamp::from_ns(self.line.raw0_ns),
            at0: Timestamp::from_ns(self.line.real0_ns),
            rate: Ratio::new(self.line.rate),
        })
    }
}
