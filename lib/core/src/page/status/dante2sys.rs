//! The status page of dante2sys: the steered clock, its corrections and its UTC error.

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
        /// Number of time servers that agreed at the last measurement.
        pub agreeing: u8,
        /// Frequency correction of the clock as last set, fraction.
        pub frequency: f64,
        /// The clock's rate minus the leader's, fraction; with `STATUS_HAS_SCALE`.
        pub rate_error: f64,
        /// Phase error: steered clock minus (Dante time + K), ns; with `STATUS_HAS_PHASE`.
        pub phase_error_ns: i64,
        /// Epoch offset (K), ns; with `STATUS_HAS_SCALE`.
        pub epoch_ns: i64,
        /// `instance` of the dante4l whose Dante time K refers to; with `STATUS_HAS_SCALE`.
        pub key_instance: u64,
        /// The timeline that K refers to; with `STATUS_HAS_SCALE`.
        pub key_number: u64,
        /// The steered clock as a line; with `STATUS_HAS_LINE` (`--clock virtual`).
        pub line: LineRecord,
        /// Count of successful corrections of the clock.
        pub corrections: u64,
        /// One standard deviation of Dante time + K, now, ns: it grows in holdover; with `STATUS_HAS_SCALE`.
        pub phase_sigma_ns: i64,
        /// One standard deviation of the leader's rate, now, fraction; with `STATUS_HAS_SCALE`.
        pub rate_sigma: f64,
        /// Rate that the UTC policy adds to the leader's rate, fraction.
        pub slew: f64,
        /// UTC error; with `STATUS_HAS_UTC`.
        pub utc: UtcRecord,
        /// Interval between two requests to the time servers, ns.
        pub interval_ns: i64,
        /// Count of steps of the clock that corrected the UTC error.
        pub utc_steps: u64,
        /// Count of detected interventions of other programs that steer the clock.
        pub disturbances: u64,
        /// UTC when the RTC was last written, ns; 0: never.
        pub rtc_written_ns: i64,
    }

    /// UTC error of the clock.
    pub struct UtcRecord {
        /// Estimate of the steered clock minus UTC, ns.
        pub error_ns: i64,
        /// One standard deviation of the estimate, ns.
        pub sigma_ns: i64,
        /// UTC bound: the error is smaller than this, ns, if the servers are right.
        pub bound_ns: i64,
        /// When UTC was last measured, CLOCK_MONOTONIC_RAW.
        pub measured_raw_ns: i64,
        /// The leader's rate against UTC, fraction.
        pub leader_rate: f64,
        /// One standard deviation of `leader_rate`.
        pub leader_rate_sigma: f64,
    }
}

/// `rate_error`, `epoch_ns`, `key_*`, `phase_sigma_ns` and `rate_sigma` are valid.
pub const STATUS_HAS_SCALE: u8 = 1;
/// `phase_error_ns` is valid.
pub const STATUS_HAS_PHASE: u8 = 2;
/// `line` is valid.
pub const STATUS_HAS_LINE: u8 = 4;
/// `utc` is valid.
pub const STATUS_HAS_UTC: u8 = 8;
/// UTC is synchronised: dante2sys steers the clock, the UTC bound is below `--max-utc-error`, and the clock was not set by hand.
pub const STATUS_UTC_SYNCHRONISED: u8 = 16;
/// The clock was set by hand, and dante2sys does not correct its UTC error.
pub const STATUS_UTC_BY_HAND: u8 = 32;

record! {
    /// A clock as a line over CLOCK_MONOTONIC_RAW.
    pub struct LineRecord {
        /// Anchor, CLOCK_MONOTONIC_RAW.
        pub raw0_ns: i64,
        /// The clock at the anchor, ns since 1970.
        pub real0_ns: i64,
        /// Rate of the clock against CLOCK_MONOTONIC_RAW, minus one.
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
    fn from(utc: UtcError) -> Self {
        Self {
            error_ns: utc.error.ns(),
            sigma_ns: utc.sigma.ns(),
            bound_ns: utc.bound.ns(),
            measured_raw_ns: utc.measured_at.ns(),
            leader_rate: utc.leader_rate.fraction(),
            leader_rate_sigma: utc.leader_rate_sigma.fraction(),
        }
    }
}

impl Dante2sysStatus {
    /// The page for the state of `steerer` and a clock of this kind at `now`. The program adds the clock's line and the RTC.
    pub fn of(steerer: &Steerer, clock: SteeredClock, now: &Reading) -> Self {
        let (utc, servo, state) = (steerer.utc(), steerer.utc().servo(), steerer.state());
        let (corrections, disturbances) = steerer.counts();
        let mut body = Self {
            state: state as u8,
            clock: clock as u8,
            utc_source: utc.source() as u8,
            policy: servo.rules().policy as u8,
            leap: servo.leap() as u8,
            agreeing: utc.agreeing(),
            frequency: steerer.frequency().fraction(),
            corrections,
            slew: utc.slew().fraction(),
            interval_ns: utc.interval().ns(),
            utc_steps: utc.steps(),
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
        if steerer.is_utc_synchronised() {
            body.flags |= STATUS_UTC_SYNCHRONISED;
        }
        if servo.is_set_by_hand() {
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

    /// The state; `None` where the number is unknown.
    pub fn state(&self) -> Option<State> {
        State::from_number(self.state)
    }

    /// The UTC policy; `None` where the number is unknown.
    pub fn policy(&self) -> Option<Policy> {
        Policy::from_number(self.policy)
    }

    /// UTC error, once UTC was measured.
    pub fn utc(&self) -> Option<&UtcRecord> {
        (self.flags & STATUS_HAS_UTC != 0).then_some(&self.utc)
    }

    /// K; `None` before it is set.
    pub fn epoch(&self) -> Option<Epoch> {
        (self.flags & STATUS_HAS_SCALE != 0).then_some(Epoch::from_ns(self.epoch_ns))
    }

    /// The clock's rate minus the leader's; `None` before K is set.
    pub fn rate_error(&self) -> Option<Ratio> {
        (self.flags & STATUS_HAS_SCALE != 0).then_some(Ratio::new(self.rate_error))
    }

    /// Phase error: steered clock minus (Dante time + K).
    pub fn phase_error(&self) -> Option<Offset> {
        (self.flags & STATUS_HAS_PHASE != 0).then_some(Offset::from_ns(self.phase_error_ns))
    }

    /// The steered clock as a line (`--clock virtual`).
    pub fn line(&self) -> Option<Affine<Real>> {
        (self.flags & STATUS_HAS_LINE != 0).then_some(Affine {
            raw0: Timestamp::from_ns(self.line.raw0_ns),
            at0: Timestamp::from_ns(self.line.real0_ns),
            rate: Ratio::new(self.line.rate),
        })
    }
}
