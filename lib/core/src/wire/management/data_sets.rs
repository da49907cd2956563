//! The parameters of responses: the identity of a clock and its data sets (IEEE 1588-2002, 8.6).

use crate::time::{Dante, Duration, Offset, Timestamp};
use crate::wire::identity::escaped;
use crate::wire::layout::{Group, Port, Time, body, layout};
use crate::wire::{ClockIdentifier, Grandmaster, PortIdentity, Subdomain};
use std::fmt;
use std::net::Ipv4Addr;
use zerocopy::big_endian::{I16, I32, U16};

body! {
    /// CLOCK_IDENTITY.
    pub struct ClockIdentity {
        /// The port that responds.
        pub port: PortIdentity = 3 + Port<4>,
        /// manufacturerIdentity: text, padded with NUL.
        pub manufacturer: [u8; 48] = 0 + [u8; 48],
    }
}

impl ClockIdentity {
    /// manufacturerIdentity without its padding. Bytes that are not printable ASCII are displayed as `\xNN`.
    pub fn manufacturer(&self) -> impl fmt::Display + '_ {
        Text(&self.manufacturer)
    }
}

/// Received text, padded with NUL or spaces.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escaped(f, self.0, b"\0 ")
    }
}

body! {
    /// DEFAULT_DATA_SET.
    pub struct DefaultDataSet {
        /// The clock.
        pub port: PortIdentity = 3 + Port<4>,
        /// As [`Grandmaster::stratum`].
        pub stratum: u8 = 3 + u8,
        /// The clock's source of time.
        pub identifier: ClockIdentifier = 0 + [u8; 4],
        /// PTP variance, as [`LocalClock::variance`](crate::wire::LocalClock::variance).
        pub variance: i16 = 2 + I16,
        /// The clock sends Follow_Ups.
        pub followup_capable: bool = 3 + u8,
        /// The clock is preferred as the leader.
        pub preferred: bool = 3 + u8,
        /// The clock can be initialised by a management message.
        pub initializable: bool = 3 + u8,
        /// The clock follows a source outside PTP.
        pub external_timing: bool = 3 + u8,
        /// The clock is a boundary clock.
        pub is_boundary_clock: bool = 3 + u8,
        /// As [`SyncBody::sync_interval`](crate::wire::SyncBody::sync_interval).
        pub sync_interval: i8 = 3 + i8,
        /// The subdomain of the clock.
        pub subdomain: Subdomain = 0 + [u8; 16],
        /// Number of ports of the clock.
        pub number_ports: u16 = 2 + U16,
        /// Number of records of foreign masters that the clock can hold.
        pub number_foreign_records: u16 = 2 + U16,
    }

    /// CURRENT_DATA_SET.
    pub struct CurrentDataSet {
        /// Number of steps to the grandmaster.
        pub steps_removed: u16 = 2 + U16,
        /// The clock minus its leader, by its own measurement.
        pub offset_from_master: Offset = 0 + Time,
        /// The delay to its leader, by its own measurement.
        pub one_way_delay: Duration = 0 + Time,
    }

    /// PARENT_DATA_SET.
    pub struct ParentDataSet {
        /// The port that the clock follows.
        pub parent: PortIdentity = 3 + Port<4>,
        /// parentLastSyncSequenceNumber: sequenceId of the last Sync from it.
        pub last_sync_sequence: u16 = 2 + U16,
        /// The parent sends Follow_Ups.
        pub followup_capable: bool = 3 + u8,
        /// The parent follows a source outside PTP.
        pub external_timing: bool = 3 + u8,
        /// The parent's PTP variance, as [`LocalClock::variance`](crate::wire::LocalClock::variance).
        pub variance: i16 = 2 + I16,
        /// parentStats: the next two fields are valid.
        pub stats: bool = 3 + u8,
        /// observedVariance: the parent's PTP variance as measured by the clock.
        pub observed_variance: i16 = 2 + I16,
        /// observedDrift: the parent's rate as measured by the clock, as
        /// [`SyncBody::estimated_master_drift`](crate::wire::SyncBody::estimated_master_drift).
        pub observed_drift: i32 = 0 + I32,
        /// The time is traceable to UTC.
        pub utc_reasonable: bool = 3 + u8,
        /// The clock at the root of the tree.
        pub grandmaster: Grandmaster = 3 + ParentGrandmaster,
    }
}

layout! {
    ParentGrandmaster holds Grandmaster {
        port = 0 + Port<4>,
        stratum = 3 + u8,
        identifier = 0 + [u8; 4],
        variance = 2 + I16,
        preferred = 3 + u8,
        is_boundary_clock = 3 + u8,
        sequence_id = 2 + U16,
    }
}

body! {
    /// PORT_DATA_SET.
    pub struct PortDataSet {
        /// The number of the port.
        pub returned_port_number: u16 = 2 + U16,
        /// The state of the port.
        pub state: PortState = 3 + u8,
        /// Sequence number of its last event message.
        pub last_sync_sequence: u16 = 2 + U16,
        /// Sequence number of its last general message.
        pub last_general_sequence: u16 = 2 + U16,
        /// The port.
        pub port: PortIdentity = 3 + Port<4>,
        /// The port sends bursts on request.
        pub burst_enabled: bool = 3 + u8,
        /// subdomainAddress: the multicast group.
        pub group: Ipv4Addr = 1 + Group,
        /// eventPortAddress.
        pub event_port: u16 = 2 + U16,
        /// generalPortAddress.
        pub general_port: u16 = 2 + U16,
    }

    /// GLOBAL_TIME_DATA_SET.
    pub struct GlobalTimeDataSet {
        /// The clock's time at its response.
        pub local_time: Timestamp<Dante> = 0 + Time,
        /// TAI minus UTC, s.
        pub current_utc_offset: i16 = 2 + I16,
        /// The last minute of the day has 59 seconds.
        pub leap_59: bool = 3 + u8,
        /// The last minute of the day has 61 seconds.
        pub leap_61: bool = 3 + u8,
        /// Number of overflows of the 32 bits of seconds.
        pub epoch_number: u16 = 2 + U16,
    }
}

/// portState, by the number in the standard. Displayed by the name in the standard, or as `PortState(n)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortState(pub u8);

impl PortState {
    /// PTP_LISTENING.
    pub const LISTENING: Self = Self(3);
    /// PTP_MASTER.
    pub const MASTER: Self = Self(5);

    const NAMES: [&str; 9] = [
        "INITIALIZING",
        "FAULTY",
        "DISABLED",
        "LISTENING",
        "PRE_MASTER",
        "MASTER",
        "PASSIVE",
        "UNCALIBRATED",
        "SLAVE",
    ];
}

impl fmt::Display for PortState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::NAMES.get(usize::from(self.0)) {
            Some(name) => f.pad(name),
            None => write!(f, "PortState({})", self.0),
        }
    }
}
