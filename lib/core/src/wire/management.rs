//! Management messages: the questions about a clock and their answers.
//!
//! The keys that change a device (reset, subdomain, preferred master, time, bursts, ports) are recognised as
//! [`Payload::Other`] and never built.

use super::identity::escaped;
use super::layout::{Layout, management as layout};
use super::{ClockIdentifier, Grandmaster, HEADER, PARAMETERS, PortIdentity, Subdomain, WireError, append};
use crate::time::{Dante, Duration, Offset, Timestamp};
use arrayvec::ArrayVec;
use std::fmt;
use std::net::Ipv4Addr;

// managementMessageKey (IEEE 1588-2002, 8.6), as far as it is decoded.
const NULL: u8 = 0;
const OBTAIN_IDENTITY: u8 = 1;
const CLOCK_IDENTITY: u8 = 2;
const GET_DEFAULT_DATA_SET: u8 = 7;
const DEFAULT_DATA_SET: u8 = 8;
const GET_CURRENT_DATA_SET: u8 = 10;
const CURRENT_DATA_SET: u8 = 11;
const GET_PARENT_DATA_SET: u8 = 12;
const PARENT_DATA_SET: u8 = 13;
const GET_PORT_DATA_SET: u8 = 14;
const PORT_DATA_SET: u8 = 15;
const GET_GLOBAL_TIME_DATA_SET: u8 = 16;
const GLOBAL_TIME_DATA_SET: u8 = 17;
const GET_FOREIGN_DATA_SET: u8 = 20;
const FOREIGN_DATA_SET: u8 = 21;

/// Bytes of parameters of the longest message: a parent data set, as its parameterLength is coded.
pub(super) const MAX_PARAMETERS: usize = 90;
/// The bytes of a parent data set that mean something. Some say so in parameterLength, some send no more but say 90.
const PARENT_FIELDS: usize = size_of::<layout::ParentDataSet>();

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

/// What a Management message asks or answers, by its managementMessageKey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// Nothing.
    Null,
    /// Asks for [`Payload::ClockIdentity`].
    ObtainIdentity,
    /// Which clock it is.
    ClockIdentity(ClockIdentity),
    /// Asks for [`Payload::DefaultDataSet`].
    GetDefaultDataSet,
    /// How a clock is made and set up.
    DefaultDataSet(DefaultDataSet),
    /// Asks for [`Payload::CurrentDataSet`].
    GetCurrentDataSet,
    /// How well a clock follows.
    CurrentDataSet(CurrentDataSet),
    /// Asks for [`Payload::ParentDataSet`].
    GetParentDataSet,
    /// Whom a clock follows.
    ParentDataSet(ParentDataSet),
    /// Asks for [`Payload::PortDataSet`].
    GetPortDataSet,
    /// What a port does.
    PortDataSet(PortDataSet),
    /// Asks for [`Payload::GlobalTimeDataSet`].
    GetGlobalTimeDataSet,
    /// A clock's time and what it knows of UTC.
    GlobalTimeDataSet(GlobalTimeDataSet),
    /// Asks for [`Payload::ForeignDataSet`].
    GetForeignDataSet {
        /// Which record, from 1; 0 asks for all.
        record_key: u16,
    },
    /// A leader that a port hears but does not follow.
    ForeignDataSet(ForeignDataSet),
    /// A key that is not decoded. Never built: most of these change a device.
    Other {
        /// managementMessageKey.
        key: u8,
        /// parameterLength.
        length: u16,
    },
}

/// CLOCK_IDENTITY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockIdentity {
    /// The clock's port that answers.
    pub port: PortIdentity,
    /// manufacturerIdentity: text, padded with NUL.
    pub manufacturer: [u8; 48],
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

/// DEFAULT_DATA_SET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultDataSet {
    /// The clock.
    pub port: PortIdentity,
    /// As [`Grandmaster::stratum`].
    pub stratum: u8,
    /// What the clock takes its time from.
    pub identifier: ClockIdentifier,
    /// PTP variance, as [`LocalClock::variance`](super::LocalClock::variance).
    pub variance: i16,
    /// The clock sends Follow_Ups.
    pub followup_capable: bool,
    /// The clock is to be preferred as the leader.
    pub preferred: bool,
    /// The clock can be reset by a message.
    pub initializable: bool,
    /// The clock follows a source outside PTP.
    pub external_timing: bool,
    /// The clock is a boundary clock.
    pub is_boundary_clock: bool,
    /// As [`SyncBody::sync_interval`](super::SyncBody::sync_interval).
    pub sync_interval: i8,
    /// The subdomain that the clock is in.
    pub subdomain: Subdomain,
    /// Ports of the clock.
    pub number_ports: u16,
    /// Records of foreign masters that the clock has room for.
    pub number_foreign_records: u16,
}

/// CURRENT_DATA_SET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrentDataSet {
    /// Clocks between this one and the grandmaster.
    pub steps_removed: u16,
    /// The clock minus its leader, as the clock itself sees it.
    pub offset_from_master: Offset,
    /// The delay to its leader, as the clock itself sees it.
    pub one_way_delay: Duration,
}

/// PARENT_DATA_SET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentDataSet {
    /// The port that the clock follows.
    pub parent: PortIdentity,
    /// parentLastSyncSequenceNumber: sequenceId of the last Sync from it.
    pub last_sync_sequence: u16,
    /// The parent sends Follow_Ups.
    pub followup_capable: bool,
    /// The parent follows a source outside PTP.
    pub external_timing: bool,
    /// The parent's PTP variance, as [`LocalClock::variance`](super::LocalClock::variance).
    pub variance: i16,
    /// parentStats: the next two are real ones.
    pub stats: bool,
    /// observedVariance: the parent's PTP variance as the clock sees it.
    pub observed_variance: i16,
    /// observedDrift: the parent's rate as the clock sees it, as
    /// [`SyncBody::estimated_master_drift`](super::SyncBody::estimated_master_drift).
    pub observed_drift: i32,
    /// The time was set from one that can be traced to UTC.
    pub utc_reasonable: bool,
    /// The clock at the root of the tree.
    pub grandmaster: Grandmaster,
}

/// PORT_DATA_SET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortDataSet {
    /// Which port this is about.
    pub returned_port_number: u16,
    /// What the port does.
    pub state: PortState,
    /// Sequence number of its last event message.
    pub last_sync_sequence: u16,
    /// Sequence number of its last general message.
    pub last_general_sequence: u16,
    /// The port.
    pub port: PortIdentity,
    /// The port answers the wish for a burst.
    pub burst_enabled: bool,
    /// subdomainAddress: the multicast group.
    pub group: Ipv4Addr,
    /// eventPortAddress.
    pub event_port: u16,
    /// generalPortAddress.
    pub general_port: u16,
}

/// GLOBAL_TIME_DATA_SET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalTimeDataSet {
    /// The clock's time as it answered.
    pub local_time: Timestamp<Dante>,
    /// TAI minus UTC, s.
    pub current_utc_offset: i16,
    /// The last minute of the day has 59 seconds.
    pub leap_59: bool,
    /// The last minute of the day has 61 seconds.
    pub leap_61: bool,
    /// How often the 32 bits of seconds have run over.
    pub epoch_number: u16,
}

/// FOREIGN_DATA_SET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForeignDataSet {
    /// The port that hears the leader.
    pub returned_port_number: u16,
    /// Which record this is; 0 when there is none.
    pub returned_record_number: u16,
    /// The leader that is heard.
    pub foreign_master: PortIdentity,
    /// Syncs that came from it of late.
    pub foreign_master_syncs: u16,
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
        let (management, parameters) = layout::Management::at(HEADER, bytes)?;
        Ok(Self {
            target: (&management.target).into(),
            starting_boundary_hops: management.starting_boundary_hops.get(),
            boundary_hops: management.boundary_hops.get(),
            payload: Payload::parse(management.key, management.parameter_length.get(), parameters)?,
        })
    }

    pub(super) fn layout(&self, parameters: &Parameters) -> layout::Management {
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_PARAMETERS")]
        layout::Management::new(self, self.payload.key(), parameters.len() as u16)
    }
}

impl Payload {
    /// managementMessageKey.
    pub const fn key(&self) -> u8 {
        match self {
            Self::Null => NULL,
            Self::ObtainIdentity => OBTAIN_IDENTITY,
            Self::ClockIdentity(_) => CLOCK_IDENTITY,
            Self::GetDefaultDataSet => GET_DEFAULT_DATA_SET,
            Self::DefaultDataSet(_) => DEFAULT_DATA_SET,
            Self::GetCurrentDataSet => GET_CURRENT_DATA_SET,
            Self::CurrentDataSet(_) => CURRENT_DATA_SET,
            Self::GetParentDataSet => GET_PARENT_DATA_SET,
            Self::ParentDataSet(_) => PARENT_DATA_SET,
            Self::GetPortDataSet => GET_PORT_DATA_SET,
            Self::PortDataSet(_) => PORT_DATA_SET,
            Self::GetGlobalTimeDataSet => GET_GLOBAL_TIME_DATA_SET,
            Self::GlobalTimeDataSet(_) => GLOBAL_TIME_DATA_SET,
            Self::GetForeignDataSet { .. } => GET_FOREIGN_DATA_SET,
            Self::ForeignDataSet(_) => FOREIGN_DATA_SET,
            Self::Other { key, .. } => *key,
        }
    }

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
        let parameters = Claimed { key, length, parameters };
        Ok(match key {
            NULL => Self::Null,
            OBTAIN_IDENTITY => Self::ObtainIdentity,
            CLOCK_IDENTITY => Self::ClockIdentity(parameters.at::<layout::ClockIdentity>()?.read()),
            GET_DEFAULT_DATA_SET => Self::GetDefaultDataSet,
            DEFAULT_DATA_SET => Self::DefaultDataSet(parameters.at::<layout::DefaultDataSet>()?.read()),
            GET_CURRENT_DATA_SET => Self::GetCurrentDataSet,
            CURRENT_DATA_SET => Self::CurrentDataSet(parameters.at::<layout::CurrentDataSet>()?.read()?),
            GET_PARENT_DATA_SET => Self::GetParentDataSet,
            PARENT_DATA_SET => Self::ParentDataSet(parameters.at::<layout::ParentDataSet>()?.read()),
            GET_PORT_DATA_SET => Self::GetPortDataSet,
            PORT_DATA_SET => Self::PortDataSet(parameters.at::<layout::PortDataSet>()?.read()),
            GET_GLOBAL_TIME_DATA_SET => Self::GetGlobalTimeDataSet,
            GLOBAL_TIME_DATA_SET => {
                Self::GlobalTimeDataSet(parameters.at::<layout::GlobalTimeDataSet>()?.read()?)
            }
            GET_FOREIGN_DATA_SET => Self::GetForeignDataSet {
                record_key: parameters.at::<layout::GetForeignDataSet>()?.record_key(),
            },
            FOREIGN_DATA_SET => Self::ForeignDataSet(parameters.at::<layout::ForeignDataSet>()?.read()),
            _ => Self::Other { key, length },
        })
    }

    pub(super) fn parameters(&self) -> Result<Parameters, NotBuilt> {
        let mut parameters = Parameters::new();
        match self {
            Self::Null
            | Self::ObtainIdentity
            | Self::GetDefaultDataSet
            | Self::GetCurrentDataSet
            | Self::GetParentDataSet
            | Self::GetPortDataSet
            | Self::GetGlobalTimeDataSet => {}
            Self::ClockIdentity(data) => append(&mut parameters, &layout::ClockIdentity::from(data)),
            Self::DefaultDataSet(data) => append(&mut parameters, &layout::DefaultDataSet::from(data)),
            Self::CurrentDataSet(data) => append(&mut parameters, &layout::CurrentDataSet::from(data)),
            Self::ParentDataSet(data) => {
                append(&mut parameters, &layout::ParentDataSet::from(data));
                append(&mut parameters, &[0_u8; MAX_PARAMETERS - PARENT_FIELDS]);
            }
            Self::PortDataSet(data) => append(&mut parameters, &layout::PortDataSet::from(data)),
            Self::GlobalTimeDataSet(data) => append(&mut parameters, &layout::GlobalTimeDataSet::from(data)),
            Self::GetForeignDataSet { record_key } => {
                append(&mut parameters, &layout::GetForeignDataSet::new(*record_key));
            }
            Self::ForeignDataSet(data) => append(&mut parameters, &layout::ForeignDataSet::from(data)),
            Self::Other { key, .. } => return Err(NotBuilt { key: *key }),
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

impl<'a> Claimed<'a> {
    fn at<T: Layout + 'a>(&self) -> Result<&'a T, WireError> {
        let expected = size_of::<T>();
        if usize::from(self.length) < expected {
            return Err(WireError::ParameterLength { key: self.key, expected, actual: self.length });
        }
        Ok(T::at(PARAMETERS, self.parameters)?.0)
    }
}
