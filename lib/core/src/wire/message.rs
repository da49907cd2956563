//! What Sync, Delay_Req, Follow_Up and Delay_Resp say.

use super::layout::{Bytes, Interval, Port, Time, body};
use super::{ClockIdentifier, PortIdentity};
use crate::time::{Dante, Timestamp};
use std::ops::BitOr;
use zerocopy::big_endian::{I16, I32, U16};

/// The flags of a header (IEEE 1588-2002, 8.2). Bits without a name are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flags(pub u16);

impl Flags {
    /// No flag at all.
    pub const NONE: Self = Self(0);
    /// PTP_LI_61: the last minute of the day has 61 seconds.
    pub const LI_61: Self = Self(0x01);
    /// PTP_LI_59: the last minute of the day has 59 seconds.
    pub const LI_59: Self = Self(0x02);
    /// PTP_BOUNDARY_CLOCK: the sender is a boundary clock. Dante leaders set it.
    pub const BOUNDARY_CLOCK: Self = Self(0x04);
    /// PTP_ASSIST: two-step, a Follow_Up comes after this Sync.
    pub const ASSIST: Self = Self(0x08);
    /// PTP_EXT_SYNC: the sender's clock follows a source outside PTP.
    pub const EXT_SYNC: Self = Self(0x10);
    /// PTP_PARENT_STATS: the estimates of the master's variance and drift are real ones.
    pub const PARENT_STATS: Self = Self(0x20);
    /// PTP_SYNC_BURST: in a Sync, part of a burst; in a Delay_Req, the wish for one.
    pub const SYNC_BURST: Self = Self(0x40);

    /// Whether `flag` is set.
    pub const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    /// Whether [`Flags::ASSIST`] is set.
    pub const fn assist(self) -> bool {
        self.has(Self::ASSIST)
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
        /// originTimestamp: when about the message left. Dante's leaders are 58 to 350 us early here: where the header
        /// has [`Flags::ASSIST`], use the Follow_Up's time instead.
        pub origin: Timestamp<Dante> = 0 + Time,
        /// epochNumber: how often the 32 bits of seconds have run over.
        pub epoch_number: u16 = 0 + U16,
        /// currentUTCOffset: TAI minus UTC, s. Zero on a Dante network, whose time is none of the two.
        pub current_utc_offset: i16 = 0 + I16,
        /// The clock at the root of the tree.
        pub grandmaster: Grandmaster = 1 + Bytes<Grandmaster>,
        /// syncInterval: Syncs come every 2^this s; Dante says -2.
        pub sync_interval: i8 = 2 + Interval,
        /// The clock that sends.
        pub local: LocalClock = 2 + Bytes<LocalClock>,
        /// The port that the sender follows.
        pub parent: PortIdentity = 1 + Port<2>,
        /// estimatedMasterVariance: the sender's estimate for its parent, a PTP variance as [`LocalClock::variance`].
        pub estimated_master_variance: i16 = 2 + I16,
        /// estimatedMasterDrift: the sender's estimate of its parent's rate.
        pub estimated_master_drift: i32 = 0 + I32,
        /// utcReasonable: the time was set from one that can be traced to UTC.
        pub utc_reasonable: bool = 3 + u8,
    }

    /// The clock at the root of the tree, as a Sync or a parent data set describes it.
    pub struct Grandmaster {
        /// Its port, which Dante numbers 0 here.
        pub port: PortIdentity = 0 + Port<0>,
        /// Sequence number of its last Sync.
        pub sequence_id: u16 = 0 + U16,
        /// The standard has 0 to 4, and 255 for a clock that never leads; Dante devices say 0x79 or 0x99.
        pub stratum: u8 = 3 + u8,
        /// What it takes its time from.
        pub identifier: ClockIdentifier = 0 + [u8; 4],
        /// Its PTP variance, as [`LocalClock::variance`].
        pub variance: i16 = 2 + I16,
        /// It is to be preferred as the leader, whatever its stratum.
        pub preferred: bool = 1 + u8,
        /// It is a boundary clock.
        pub is_boundary_clock: bool = 1 + u8,
    }

    /// The clock that sends.
    pub struct LocalClock {
        /// PTP variance: the Allan variance in s^2, as 256 times its logarithm to base 2. ptpd's default is -4000.
        pub variance: i16 = 0 + I16,
        /// localStepsRemoved: clocks between this one and the grandmaster.
        pub steps_removed: u16 = 2 + U16,
        /// As [`Grandmaster::stratum`].
        pub stratum: u8 = 3 + u8,
        /// What it takes its time from.
        pub identifier: ClockIdentifier = 0 + [u8; 4],
    }

    /// The body of a Follow_Up (8.4). It carries no epoch: the Sync's holds.
    pub struct FollowUp {
        /// sequenceId of the Sync that the time belongs to.
        pub associated_sequence_id: u16 = 2 + U16,
        /// preciseOriginTimestamp: when that Sync left the leader.
        pub precise_origin: Timestamp<Dante> = 0 + Time,
    }

    /// The body of a Delay_Resp (8.5).
    pub struct DelayResp {
        /// delayReceiptTimestamp: when the Delay_Req reached the leader.
        pub received: Timestamp<Dante> = 0 + Time,
        /// The port that sent the Delay_Req.
        pub requesting: PortIdentity = 1 + Port<0>,
        /// sequenceId of the Delay_Req.
        pub requesting_sequence_id: u16 = 0 + U16,
    }
}

impl SyncBody {
    /// The Sync of a Dante leader that is not Preferred Leader, at its time's zero.
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
