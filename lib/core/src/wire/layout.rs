//! The bytes of a message as they lie in the UDP payload: everything is big-endian, nothing is aligned.
//!
//! Fields named `_n` are reserved: written as zero, not read. Most fields of one byte stand at the end of a word of
//! four, which is where the gaps come from. Structures stand in the order of their bytes; the sizes are checked below.

pub(super) mod management;

use super::{LocalClock, PortIdentity, Subdomain, Uuid, WireError};
use crate::time::{Dante, Timestamp};
use zerocopy::big_endian::{I16, I32, U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A structure of the wire, read where it lies.
pub(super) trait Layout: Sized + FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned {
    /// The structure that begins `offset` bytes into the message of which `rest` is left, and what follows it.
    fn at(offset: usize, rest: &[u8]) -> Result<(&Self, &[u8]), WireError> {
        Self::ref_from_prefix(rest).map_err(|_| WireError::TooShort {
            expected: offset + size_of::<Self>(),
            actual: offset + rest.len(),
        })
    }
}
impl<T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned> Layout for T {}

/// IEEE 1588-2002, 5.2.2 TimeRepresentation: the top bit of the nanoseconds is the sign of the whole, the 31 bits
/// below it and the seconds are its size. So -2 s are 2 s and 0x8000_0000 ns.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Time {
    seconds: U32,
    nanoseconds: U32,
}

impl Time {
    const SIGN: u32 = 1 << 31;

    /// The time in ns.
    ///
    /// Nanoseconds in two's complement, -999 999 999..=-1, are accepted too: a writer that takes the standard's
    /// Integer32 for C's sends them, and no time of the standard's has these bits.
    pub(super) fn ns(&self) -> Result<i64, WireError> {
        let raw = self.nanoseconds.get();
        let negative = raw & Self::SIGN != 0;
        let size = match raw & !Self::SIGN {
            size if size < 1_000_000_000 => size,
            _ if negative && raw.wrapping_neg() < 1_000_000_000 => raw.wrapping_neg(),
            _ => return Err(WireError::Time { nanoseconds: raw.cast_signed() }),
        };
        // 2^32 s are less than half of an i64's ns.
        let ns = i64::from(self.seconds.get()) * 1_000_000_000 + i64::from(size);
        Ok(if negative { -ns } else { ns })
    }

    pub(super) fn timestamp(&self) -> Result<Timestamp<Dante>, WireError> {
        self.ns().map(Timestamp::from_ns)
    }
}

impl From<i64> for Time {
    /// From ns. What 32 bits of seconds, 136 years, cannot hold becomes the last time that they can.
    fn from(ns: i64) -> Self {
        let split = |ns: u64| {
            Some((u32::try_from(ns / 1_000_000_000).ok()?, u32::try_from(ns % 1_000_000_000).ok()?))
        };
        let (seconds, nanoseconds) = split(ns.unsigned_abs()).unwrap_or((u32::MAX, 999_999_999));
        let sign = if ns < 0 { Self::SIGN } else { 0 };
        Self { seconds: seconds.into(), nanoseconds: (nanoseconds | sign).into() }
    }
}

impl From<Timestamp<Dante>> for Time {
    fn from(time: Timestamp<Dante>) -> Self {
        time.ns().into()
    }
}

/// A port, its parts one after the other.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Port {
    technology: u8,
    uuid: [u8; 6],
    port_id: U16,
}

impl From<&Port> for PortIdentity {
    fn from(port: &Port) -> Self {
        Self { technology: port.technology, uuid: Uuid(port.uuid), port_id: port.port_id.get() }
    }
}

impl From<PortIdentity> for Port {
    fn from(port: PortIdentity) -> Self {
        Self { technology: port.technology, uuid: port.uuid.0, port_id: port.port_id.into() }
    }
}

/// A port with `GAP` reserved bytes before its number.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct PortWithGap<const GAP: usize> {
    technology: u8,
    uuid: [u8; 6],
    gap: [u8; GAP],
    port_id: U16,
}

impl<const GAP: usize> From<&PortWithGap<GAP>> for PortIdentity {
    fn from(port: &PortWithGap<GAP>) -> Self {
        Self { technology: port.technology, uuid: Uuid(port.uuid), port_id: port.port_id.get() }
    }
}

impl<const GAP: usize> From<PortIdentity> for PortWithGap<GAP> {
    fn from(port: PortIdentity) -> Self {
        let PortIdentity { technology, uuid, port_id } = port;
        Self { technology, uuid: uuid.0, gap: [0; GAP], port_id: port_id.into() }
    }
}

/// What every message begins with.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub version: U16,
    pub version_network: U16,
    pub subdomain: [u8; 16],
    pub message_type: u8,
    pub source: Port,
    pub sequence_id: U16,
    pub control: u8,
    _1: u8,
    pub flags: U16,
    _2: [u8; 4],
}

impl Header {
    pub(super) fn new(header: &super::Header, message_type: u8, control: u8) -> Self {
        Self {
            version: super::VERSION.into(),
            version_network: header.version_network.into(),
            subdomain: header.subdomain.0,
            message_type,
            source: header.source.into(),
            sequence_id: header.sequence_id.into(),
            control,
            flags: header.flags.0.into(),
            ..Self::new_zeroed()
        }
    }

    pub(super) fn read(&self) -> super::Header {
        super::Header {
            version_network: self.version_network.get(),
            subdomain: Subdomain(self.subdomain),
            source: (&self.source).into(),
            sequence_id: self.sequence_id.get(),
            flags: super::Flags(self.flags.get()),
        }
    }
}

/// Sync and Delay_Req after the header.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SyncBody {
    origin: Time,
    epoch_number: U16,
    current_utc_offset: I16,
    _1: u8,
    grandmaster: Port,
    grandmaster_sequence_id: U16,
    _2: [u8; 3],
    grandmaster_stratum: u8,
    grandmaster_identifier: [u8; 4],
    _3: [u8; 2],
    grandmaster_variance: I16,
    _4: u8,
    grandmaster_preferred: u8,
    _5: u8,
    grandmaster_is_boundary_clock: u8,
    _6: [u8; 2],
    /// Dante extends the sign of the interval into this byte, others leave it zero: written as Dante does, not read.
    sync_interval_sign: i8,
    sync_interval: i8,
    _7: [u8; 2],
    local_variance: I16,
    _8: [u8; 2],
    local_steps_removed: U16,
    _9: [u8; 3],
    local_stratum: u8,
    local_identifier: [u8; 4],
    _10: u8,
    parent: PortWithGap<2>,
    _11: [u8; 2],
    estimated_master_variance: I16,
    estimated_master_drift: I32,
    _12: [u8; 3],
    utc_reasonable: u8,
}

impl From<&super::SyncBody> for SyncBody {
    fn from(body: &super::SyncBody) -> Self {
        let super::SyncBody { grandmaster, local, .. } = body;
        Self {
            origin: body.origin.into(),
            epoch_number: body.epoch_number.into(),
            current_utc_offset: body.current_utc_offset.into(),
            grandmaster: grandmaster.port.into(),
            grandmaster_sequence_id: grandmaster.sequence_id.into(),
            grandmaster_stratum: grandmaster.stratum,
            grandmaster_identifier: grandmaster.identifier.0,
            grandmaster_variance: grandmaster.variance.into(),
            grandmaster_preferred: grandmaster.preferred.into(),
            grandmaster_is_boundary_clock: grandmaster.is_boundary_clock.into(),
            sync_interval_sign: body.sync_interval >> 7,
            sync_interval: body.sync_interval,
            local_variance: local.variance.into(),
            local_steps_removed: local.steps_removed.into(),
            local_stratum: local.stratum,
            local_identifier: local.identifier.0,
            parent: body.parent.into(),
            estimated_master_variance: body.estimated_master_variance.into(),
            estimated_master_drift: body.estimated_master_drift.into(),
            utc_reasonable: body.utc_reasonable.into(),
            ..Self::new_zeroed()
        }
    }
}

impl SyncBody {
    pub(super) fn read(&self) -> Result<super::SyncBody, WireError> {
        Ok(super::SyncBody {
            origin: self.origin.timestamp()?,
            epoch_number: self.epoch_number.get(),
            current_utc_offset: self.current_utc_offset.get(),
            grandmaster: super::Grandmaster {
                port: (&self.grandmaster).into(),
                sequence_id: self.grandmaster_sequence_id.get(),
                stratum: self.grandmaster_stratum,
                identifier: super::ClockIdentifier(self.grandmaster_identifier),
                variance: self.grandmaster_variance.get(),
                preferred: self.grandmaster_preferred != 0,
                is_boundary_clock: self.grandmaster_is_boundary_clock != 0,
            },
            sync_interval: self.sync_interval,
            local: LocalClock {
                variance: self.local_variance.get(),
                steps_removed: self.local_steps_removed.get(),
                stratum: self.local_stratum,
                identifier: super::ClockIdentifier(self.local_identifier),
            },
            parent: (&self.parent).into(),
            estimated_master_variance: self.estimated_master_variance.get(),
            estimated_master_drift: self.estimated_master_drift.get(),
            utc_reasonable: self.utc_reasonable != 0,
        })
    }
}

/// Follow_Up after the header.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct FollowUp {
    _1: [u8; 2],
    associated_sequence_id: U16,
    precise_origin: Time,
}

impl From<&super::FollowUp> for FollowUp {
    fn from(body: &super::FollowUp) -> Self {
        Self {
            associated_sequence_id: body.associated_sequence_id.into(),
            precise_origin: body.precise_origin.into(),
            ..Self::new_zeroed()
        }
    }
}

impl FollowUp {
    pub(super) fn read(&self) -> Result<super::FollowUp, WireError> {
        let associated_sequence_id = self.associated_sequence_id.get();
        Ok(super::FollowUp { associated_sequence_id, precise_origin: self.precise_origin.timestamp()? })
    }
}

/// Delay_Resp after the header.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct DelayResp {
    received: Time,
    _1: u8,
    requesting: Port,
    requesting_sequence_id: U16,
}

impl From<&super::DelayResp> for DelayResp {
    fn from(body: &super::DelayResp) -> Self {
        Self {
            received: body.received.into(),
            requesting: body.requesting.into(),
            requesting_sequence_id: body.requesting_sequence_id.into(),
            ..Self::new_zeroed()
        }
    }
}

impl DelayResp {
    pub(super) fn read(&self) -> Result<super::DelayResp, WireError> {
        Ok(super::DelayResp {
            received: self.received.timestamp()?,
            requesting: (&self.requesting).into(),
            requesting_sequence_id: self.requesting_sequence_id.get(),
        })
    }
}

const _: () = {
    assert!(size_of::<Header>() == 40);
    assert!(size_of::<Header>() + size_of::<SyncBody>() == 124);
    assert!(size_of::<Header>() + size_of::<FollowUp>() == 52);
    assert!(size_of::<Header>() + size_of::<DelayResp>() == 60);
};
