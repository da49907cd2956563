//! Management messages: the questions about a clock and their answers.
//!
//! The keys that change a device (reset, subdomain, preferred master, time, bursts, ports) are recognised as
//! [`Payload::Other`] and never built.

use super::identity::escaped;
use super::layout::{Body, Bytes, Encoding, Group, Layout, Port, Time, body, layout};
use super::{ClockIdentifier, Grandmaster, HEADER, PARAMETERS, PortIdentity, Subdomain, WireError, append};
use crate::time::{Dante, Duration, Offset, Timestamp};
use arrayvec::ArrayVec;
use std::fmt;
use std::net::Ipv4Addr;
use zerocopy::big_endian::{I16, I32, U16};

/// Bytes of parameters of the longest message: a parent data set, as its parameterLength is coded.
pub(super) const MAX_PARAMETERS: usize = 90;
const PARENT_DATA_SET: u8 = 13;
/// The bytes of a parent data set that mean something. Some say so in parameterLength, some send no more but say 90.
const PARENT_FIELDS: usize = size_of::<Bytes<ParentDataSet>>();

pub(super) type Parameters = ArrayVec<u8, MAX_PARAMETERS>;

/// The body of a Management message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Management {
    /// The port that the message is for. A UUID of zeros is every clock, a port number of zero every port of it.
    pub target: PortIdentity,
    /// startingBoundaryHops: how many boundary clocks the message was to pass.
    pub starting_boundary_hops: i16,
    /// boundaryHops: how many of them are left.
    pub boundary_hops: i16,
    /// What is asked or answered.
    pub payload: Payload,
}

body! {
    /// The body of a Management message, but for its parameters.
    pub(super) struct Head {
        target: PortIdentity = 1 + Port<0>,
        starting_boundary_hops: i16 = 0 + I16,
        boundary_hops: i16 = 0 + I16,
        key: u8 = 1 + u8,
        parameter_length: u16 = 2 + U16,
    }
}

/// Declares the payloads that are decoded, by managementMessageKey (IEEE 1588-2002, 8.6), and what they carry.
macro_rules! payloads {
    ($($(#[$doc:meta])* $key:literal $name:ident $(($data:ident: $type:ty))?,)*) => {
        /// What a Management message asks or answers, by its managementMessageKey.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Payload {
            $($(#[$doc])* $name $(($type))?,)*
            /// A key that is not decoded. Never built: most of these change a device.
            Other {
                /// managementMessageKey.
                key: u8,
                /// parameterLength.
                length: u16,
            },
        }

        impl Payload {
            /// All keys that are decoded.
            pub const KEYS: [u8; [$($key),*].len()] = [$($key),*];

            /// managementMessageKey.
            pub const fn key(&self) -> u8 {
                match self {
                    $(Self::$name { .. } => $key,)*
                    Self::Other { key, .. } => *key,
                }
            }

            fn decode(parameters: &Claimed<'_>) -> Result<Self, WireError> {
                Ok(match parameters.key {
                    $($key => Self::$name $((parameters.at::<$type>()?))?,)*
                    key => Self::Other { key, length: parameters.length },
                })
            }

            fn encode(&self) -> Result<Parameters, NotBuilt> {
                #[allow(unused_mut, reason = "not every payload has parameters")]
                let mut parameters = Parameters::new();
                match self {
                    $(Self::$name $(($data))? => {
                        $(append(&mut parameters, &Bytes::<$type>::encode($data));)?
                    })*
                    Self::Other { key, .. } => return Err(NotBuilt { key: *key }),
                }
                Ok(parameters)
            }
        }
    };
}

payloads! {
    /// Nothing.
    0 Null,
    /// Asks for [`Payload::ClockIdentity`].
    1 ObtainIdentity,
    /// Which clock it is.
    2 ClockIdentity(data: ClockIdentity),
    /// Asks for [`Payload::DefaultDataSet`].
    7 GetDefaultDataSet,
    /// How a clock is made and set up.
    8 DefaultDataSet(data: DefaultDataSet),
    /// Asks for [`Payload::CurrentDataSet`].
    10 GetCurrentDataSet,
    /// How well a clock follows.
    11 CurrentDataSet(data: CurrentDataSet),
    /// Asks for [`Payload::ParentDataSet`].
    12 GetParentDataSet,
    /// Whom a clock follows.
    13 ParentDataSet(data: ParentDataSet),
    /// Asks for [`Payload::PortDataSet`].
    14 GetPortDataSet,
    /// What a port does.
    15 PortDataSet(data: PortDataSet),
    /// Asks for [`Payload::GlobalTimeDataSet`].
    16 GetGlobalTimeDataSet,
    /// A clock's time and what it knows of UTC.
    17 GlobalTimeDataSet(data: GlobalTimeDataSet),
    /// Asks for [`Payload::ForeignDataSet`].
    20 GetForeignDataSet(data: GetForeignDataSet),
    /// A leader that a port hears but does not follow.
    21 ForeignDataSet(data: ForeignDataSet),
}

body! {
    /// CLOCK_IDENTITY.
    pub struct ClockIdentity {
        /// The clock's port that answers.
        pub port: PortIdentity = 3 + Port<4>,
        /// manufacturerIdentity: text, padded with NUL.
        pub manufacturer: [u8; 48] = 0 + [u8; 48],
    }
}

impl ClockIdentity {
    /// manufacturerIdentity without its padding. What is not printable ASCII is displayed as `\xNN`.
    pub fn manufacturer(&self) -> impl fmt::Display + '_ {
        Text(&self.manufacturer)
    }
}

/// Text of a peer's, padded with NUL or spaces.
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
        /// What the clock takes its time from.
        pub identifier: ClockIdentifier = 0 + [u8; 4],
        /// PTP variance, as [`LocalClock::variance`](super::LocalClock::variance).
        pub variance: i16 = 2 + I16,
        /// The clock sends Follow_Ups.
        pub followup_capable: bool = 3 + u8,
        /// The clock is to be preferred as the leader.
        pub preferred: bool = 3 + u8,
        /// The clock can be reset by a message.
        pub initializable: bool = 3 + u8,
        /// The clock follows a source outside PTP.
        pub external_timing: bool = 3 + u8,
        /// The clock is a boundary clock.
        pub is_boundary_clock: bool = 3 + u8,
        /// As [`SyncBody::sync_interval`](super::SyncBody::sync_interval).
        pub sync_interval: i8 = 3 + i8,
        /// The subdomain that the clock is in.
        pub subdomain: Subdomain = 0 + [u8; 16],
        /// Ports of the clock.
        pub number_ports: u16 = 2 + U16,
        /// Records of foreign masters that the clock has room for.
        pub number_foreign_records: u16 = 2 + U16,
    }

    /// CURRENT_DATA_SET.
    pub struct CurrentDataSet {
        /// Clocks between this one and the grandmaster.
        pub steps_removed: u16 = 2 + U16,
        /// The clock minus its leader, as the clock itself sees it.
        pub offset_from_master: Offset = 0 + Time,
        /// The delay to its leader, as the clock itself sees it.
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
        /// The parent's PTP variance, as [`LocalClock::variance`](super::LocalClock::variance).
        pub variance: i16 = 2 + I16,
        /// parentStats: the next two are real ones.
        pub stats: bool = 3 + u8,
        /// observedVariance: the parent's PTP variance as the clock sees it.
        pub observed_variance: i16 = 2 + I16,
        /// observedDrift: the parent's rate as the clock sees it, as
        /// [`SyncBody::estimated_master_drift`](super::SyncBody::estimated_master_drift).
        pub observed_drift: i32 = 0 + I32,
        /// The time was set from one that can be traced to UTC.
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
        /// Which port this is about.
        pub returned_port_number: u16 = 2 + U16,
        /// What the port does.
        pub state: PortState = 3 + u8,
        /// Sequence number of its last event message.
        pub last_sync_sequence: u16 = 2 + U16,
        /// Sequence number of its last general message.
        pub last_general_sequence: u16 = 2 + U16,
        /// The port.
        pub port: PortIdentity = 3 + Port<4>,
        /// The port answers the wish for a burst.
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
        /// The clock's time as it answered.
        pub local_time: Timestamp<Dante> = 0 + Time,
        /// TAI minus UTC, s.
        pub current_utc_offset: i16 = 2 + I16,
        /// The last minute of the day has 59 seconds.
        pub leap_59: bool = 3 + u8,
        /// The last minute of the day has 61 seconds.
        pub leap_61: bool = 3 + u8,
        /// How often the 32 bits of seconds have run over.
        pub epoch_number: u16 = 2 + U16,
    }

    /// GET_FOREIGN_DATA_SET.
    pub struct GetForeignDataSet {
        /// Which record, from 1; 0 asks for all.
        pub record_key: u16 = 2 + U16,
    }

    /// FOREIGN_DATA_SET.
    pub struct ForeignDataSet {
        /// The port that hears the leader.
        pub returned_port_number: u16 = 2 + U16,
        /// Which record this is; 0 when there is none.
        pub returned_record_number: u16 = 2 + U16,
        /// The leader that is heard.
        pub foreign_master: PortIdentity = 3 + Port<4>,
        /// Syncs that came from it of late.
        pub foreign_master_syncs: u16 = 2 + U16,
    }
}

/// portState, by the standard's number. Displayed by the standard's name, or `PortState(n)`.
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

/// A management message that this suite does not send, since it would change a device or is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("management message key {key} is never sent: only keys that this suite decodes are")]
pub struct NotBuilt {
    /// managementMessageKey.
    pub key: u8,
}

impl Management {
    /// `bytes` is what follows the header.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let (head, parameters) = Bytes::<Head>::at(HEADER, bytes)?;
        let Head { target, starting_boundary_hops, boundary_hops, key, parameter_length } = head.decode()?;
        let payload = Payload::parse(key, parameter_length, parameters)?;
        Ok(Self { target, starting_boundary_hops, boundary_hops, payload })
    }

    pub(super) fn head(&self, parameters: &Parameters) -> Head {
        let Self { target, starting_boundary_hops, boundary_hops, payload } = *self;
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_PARAMETERS")]
        let parameter_length = parameters.len() as u16;
        Head { target, starting_boundary_hops, boundary_hops, key: payload.key(), parameter_length }
    }
}

impl Payload {
    fn parse(key: u8, length: u16, parameters: &[u8]) -> Result<Self, WireError> {
        let claimed = match key {
            PARENT_DATA_SET => usize::from(length).min(PARENT_FIELDS),
            _ => usize::from(length),
        };
        if parameters.len() < claimed {
            return Err(WireError::TooShort {
                expected: PARAMETERS + claimed,
                actual: PARAMETERS + parameters.len(),
            });
        }
        Self::decode(&Claimed { key, length, parameters })
    }

    pub(super) fn parameters(&self) -> Result<Parameters, NotBuilt> {
        let mut parameters = self.encode()?;
        if let Self::ParentDataSet(_) = self {
            append(&mut parameters, &[0_u8; MAX_PARAMETERS - PARENT_FIELDS]);
        }
        Ok(parameters)
    }
}

/// The parameters of a message that claims `length` bytes of them.
struct Claimed<'a> {
    key: u8,
    length: u16,
    parameters: &'a [u8],
}

impl Claimed<'_> {
    fn at<T: Body>(&self) -> Result<T, WireError> {
        let expected = size_of::<Bytes<T>>();
        if usize::from(self.length) < expected {
            return Err(WireError::ParameterLength { key: self.key, expected, actual: self.length });
        }
        Bytes::<T>::at(PARAMETERS, self.parameters)?.0.decode()
    }
}
