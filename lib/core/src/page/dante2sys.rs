//! The clock page of dante2sys: the steered clock, and the epoch offset (K) as pieces.

use super::record::{body, record};
use crate::steer::{EarlierEpoch, State, SteeredClock, Steerer};
use crate::time::{Dante, Duration, Ratio, Reading, Real, Timestamp};
use crate::timescale::Piece;
use crate::track::TimelineKey;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

record! {
    /// dante2sys' clock page, version 1.
    pub struct Dante2sys {
        /// [`State`].
        pub state: u8,
        /// [`SteeredClock`].
        pub clock: u8,
        /// [`UtcSource`](crate::steer::UtcSource).
        pub utc_source: u8,
        /// [`Leap`](crate::utc::Leap): a leap second at the end of the UTC day, as the servers announce it.
        pub leap: u8,
        /// `STEER_*`.
        pub flags: u32,
        /// Frequency correction of the clock as last set, fraction.
        pub frequency: f64,
        /// `instance` of the dante4l whose Dante time the pieces refer to; with [`STEER_HAS_PIECE`].
        pub key_instance: u64,
        /// The timeline that the pieces refer to; with [`STEER_HAS_PIECE`].
        pub key_number: u64,
        /// K in force; with [`STEER_HAS_PIECE`]. Without it, and with a serial other than 0: K of an earlier run, which the next lock
        /// may resume.
        pub piece: PieceRecord,
        /// K from `next_from_dante_ns` on; its serial is 0 where there is none. This version never sets it.
        pub next: PieceRecord,
        /// Dante time from which `next` is in force.
        pub next_from_dante_ns: i64,
        /// Sum of the leap seconds since K was first set, in this run or in one that it continues, s, to be added to UTC by a piece: -1 after an inserted one.
        pub leap_seconds: i32,
        /// Zero.
        pub reserved: u32,
        /// UTC bound: the steered clock is off UTC by at most this, ns, if its sources are right; with [`STEER_HAS_UTC`].
        pub utc_bound_ns: i64,
    }

    /// [`Piece`]: UTC at Dante time D is `utc0 + (D - dante0) + floor((D - dante0) * slope / 2^48)`, in 128 bits.
    pub struct PieceRecord {
        /// Random number of the run of dante2sys that set K.
        pub origin: u64,
        /// Number of the piece within its origin, from 1.
        pub serial: u64,
        /// Dante time at which the piece begins, ns.
        pub dante0_ns: i64,
        /// UTC at the beginning, ns since 1970, without `leap_seconds`.
        pub utc0_ns: i64,
        /// Rate of UTC relative to Dante time, minus one, in units of 2^-48.
        pub slope: i64,
    }
}

body!(Dante2sys, "dante2sys", 2, Clock 1);

/// `piece`, `key_*` and `leap_seconds` are valid.
pub const STEER_HAS_PIECE: u32 = 1;
/// `utc_bound_ns` is valid.
pub const STEER_HAS_UTC: u32 = 2;
/// UTC is synchronised: dante2sys steers the clock, the UTC bound is below `--max-utc-error`, and the clock was not set by hand.
pub const STEER_UTC_SYNCHRONISED: u32 = 4;
/// The clock was set by hand, and dante2sys does not correct its UTC error.
pub const STEER_UTC_BY_HAND: u32 = 8;

impl From<Piece> for PieceRecord {
    fn from(piece: Piece) -> Self {
        let Piece { origin, serial, dante0, utc0, slope } = piece;
        Self { origin, serial, dante0_ns: dante0.ns(), utc0_ns: utc0.ns(), slope }
    }
}

impl From<PieceRecord> for Piece {
    fn from(record: PieceRecord) -> Self {
        let PieceRecord { origin, serial, dante0_ns, utc0_ns, slope } = record;
        let (dante0, utc0) = (Timestamp::from_ns(dante0_ns), Timestamp::from_ns(utc0_ns));
        Self { origin, serial, dante0, utc0, slope }
    }
}

impl Dante2sys {
    /// The page for the state of `steerer` and a clock of this kind at `now`. `origin` is the random number of this run.
    pub fn of(steerer: &Steerer, clock: SteeredClock, origin: u64, now: &Reading) -> Self {
        let utc = steerer.utc();
        let mut body = Self {
            state: steerer.state() as u8,
            clock: clock as u8,
            utc_source: utc.source() as u8,
            leap: utc.servo().leap() as u8,
            frequency: steerer.frequency().fraction(),
            ..Self::default()
        };
        if let Some(scale) = steerer.timescale() {
            body.flags |= STEER_HAS_PIECE;
            body.key_instance = scale.key().instance;
            body.key_number = scale.key().number;
            body.piece = Piece { origin, ..scale.piece() }.into();
            body.leap_seconds = scale.leap_seconds();
        } else if let Some(earlier) = steerer.earlier_epoch() {
            body.piece = Piece { origin, ..earlier.piece }.into();
            body.leap_seconds = earlier.leap_seconds;
        }
        if let Some(error) = steerer.utc_error(now) {
            body.flags |= STEER_HAS_UTC;
            body.utc_bound_ns = error.bound.ns();
        }
        if steerer.is_utc_synchronised() {
            body.flags |= STEER_UTC_SYNCHRONISED;
        }
        if utc.servo().is_set_by_hand() {
            body.flags |= STEER_UTC_BY_HAND;
        }
        body
    }

    /// The state; `None` where the number is unknown.
    pub fn state(&self) -> Option<State> {
        State::from_number(self.state)
    }

    /// Frequency correction of the clock as last set.
    pub fn frequency(&self) -> Ratio {
        Ratio::new(self.frequency)
    }

    /// UTC at Dante time `dante`, leap seconds included, by the piece in force at `dante`. `None` before K is set.
    pub fn utc_at(&self, dante: Timestamp<Dante>) -> Option<Timestamp<Real>> {
        let is_next = self.next.serial != 0 && dante.ns() >= self.next_from_dante_ns;
        let piece = Piece::from(if is_next { self.next } else { self.piece });
        let leap = Duration::from_secs(self.leap_seconds.into());
        self.has(STEER_HAS_PIECE).then(|| piece.utc_at(dante) + leap)
    }

    /// K at the end of a run that steered this clock, for the next run.
    pub fn earlier_epoch(&self, clock: SteeredClock) -> Option<EarlierEpoch> {
        let has_epoch = self.piece.serial != 0 && self.clock == clock as u8;
        has_epoch.then(|| EarlierEpoch { piece: self.piece.into(), leap_seconds: self.leap_seconds })
    }

    /// The timeline of dante4l that the pieces refer to; with [`STEER_HAS_PIECE`].
    pub fn key(&self) -> TimelineKey {
        TimelineKey { instance: self.key_instance, number: self.key_number }
    }

    /// Whether all of these flags are set.
    pub fn has(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }
}
