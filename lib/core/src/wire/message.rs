//! The bodies of Sync, Delay_Req, Follow_Up and Delay_Resp.

use super::layout::{Bytes, Interval, Port, Time, body};
use super::{ClockIdentifier, PortIdentity};
use crate::time::{Dante, Timestamp};
use std::ops::BitOr;
use zerocopy::big_endian::{I16, I32, U16};

/// The flags of a header (IEEE 1588-2002, 8.2). Bits without a name are preserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flags(pub u16);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// PTP_BOUNDARY_CLOCK: the sender is a boundary clock. Dante leaders set it.
    pub const BOUNDARY_CLOCK: Self = Self(0x04);
    /// PTP_ASSIST: two-step, a Follow_Up follows this Sync.
    pub const ASSIST: Self = Self(0x08);

    /// Whether [`Flags::ASSIST`] is set.
    pub const fn assist(self) -> bool {
        self.0 & Self::ASSIST.0 != 0
    }
}

impl BitOr for Flags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

body! {
    /// The body of a Sync and of a Delay_Req (8.3).
    pub struct SyncBody {
        /// originTimestamp: approximate time at which the message left. With Dante leaders it is 58 to 350 us early: if the
        /// header has [`Flags::ASSIST`], use the time of the Follow_Up instead.
        pub origin: Timestamp<Dante> = 0 + Time,
        /// epochNumber: number of overflows of the 32 bits of seconds.
        pub epoch_number: u16 = 0 + U16,
        /// currentUTCOffset: TAI minus UTC, s. Zero on a Dante network, whose time is neither.
        pub current_utc_offset: i16 = 0 + I16,
        /// The clock at the root of the tree.
        pub grandmaster: Grandmaster = 1 + Bytes<Grandmaster>,
        /// syncInterval: logarithm to base 2 of the Sync interval in seconds; -2 with Dante.
        pub sync_interval: i8 = 2 + Interval,
        /// The sending clock.
        pub local: LocalClock = 2 + Bytes<LocalClock>,
        /// The port that the sender follows.
        pub parent: PortIdentity = 1 + Port<2>,
        /// estimatedMasterVariance: the sender's estimate for its parent, a PTP variance as [`LocalClock::variance`].
        pub estimated_master_variance: i16 = 2 + I16,
        /// estimatedMasterDrift: the sender's estimate of its parent's rate.
        pub estimated_master_drift: i32 = 0 + I32,
        /// utcReasonable: the time is traceable to UTC.
        pub utc_reasonable: bool = 3 + u8,
    }

    /// The clock at the root of the tree, as a Sync or a parent data set describes it.
    pub struct Grandmaster {
        /// Its port; Dante leaders have number 0 here.
        pub port: PortIdentity = 0 + Port<0>,
        /// Sequence number of its last Sync.
        pub sequence_id: u16 = 0 + U16,
        /// The standard has 0 to 4, and 255 for a slave-only clock; Dante devices have 0x79 or 0x99.
        pub stratum: u8 = 3 + u8,
        /// Its source of time.
        pub identifier: ClockIdentifier = 0 + [u8; 4],
        /// Its PTP variance, as [`LocalClock::variance`].
        pub variance: i16 = 2 + I16,
        /// Preferred as the leader, whatever its stratum.
        pub preferred: bool = 1 + u8,
        /// Whether it is a boundary clock.
        pub is_boundary_clock: bool = 1 + u8,
    }

    /// The sending clock.
    pub struct LocalClock {
        /// PTP variance: 256 times the logarithm to base 2 of the Allan variance in s^2. The default of ptpd is -4000.
        pub variance: i16 = 0 + I16,
        /// localStepsRemoved: number of steps to the grandmaster.
        pub steps_removed: u16 = 2 + U16,
        /// As [`Grandmaster::stratum`].
        pub stratum: u8 = 3 + u8,
        /// Its source of time.
        pub identifier: ClockIdentifier = 0 + [u8; 4],
    }

    /// The body of a Follow_Up (8.4). It has no epoch number: the Sync's applies.
    pub struct FollowUp {
        /// sequenceId of the Sync.
        pub associated_sequence_id: u16 = 2 + U16,
        /// preciseOriginTimestamp: the time at which that Sync left the leader.
        pub precise_origin: Timestamp<Dante> = 0 + Time,
    }

    /// The body of a Delay_Resp (8.5).
    pub struct DelayResp {
        /// delayReceiptTimestamp: the time at which the Delay_Req reached the leader.
        pub received: Timestamp<Dante> = 0 + Time,
        /// The port that sent the Delay_Req.
        pub requesting: PortIdentity = 1 + Port<0>,
        /// sequenceId of the Delay_Req.
        pub requesting_sequence_id: u16 = 0 + U16,
    }
}

impl SyncBody {
    /// The Sync of a Dante leader that is not Preferred Leader, with all times zero.
    pub const fn dante(leader: PortIdentity) -> Self {
        let grandmaster = Grandmaster::dante(leader);
        let Grandmaster { port: parent, variance, stratum, identifier, .. } = grandmaster;
        Self {
            origin: Timestamp::ZERO,
            epoch_number: 0,
            current_utc_offset: 0,
            grandmaster,
            sync_interval: -2,
            local: LocalClock { variance, steps_removed: 0, stratum, identifier },
            parent,
            estimated_master_variance: 0,
            estimated_master_drift: 0,
            utc_reasonable: false,
        }
    }
}

impl Grandmaster {
    /// A Dante leader as its own grandmaster: port 0, stratum 0x99 (0x79 on some), variance 0x7060 (0xf060 on some).
    pub const fn dante(leader: PortIdentity) -> Self {
        Self {
            port: PortIdentity { port_id: 0, ..leader },
            sequence_id: 0,
            stratum: 0x99,
            identifier: ClockIdentifier::DFLT,
            variance: 0x7060,
            preferred: false,
            is_boundary_clock: true,
        }
    }
}
