//! The bytes of a Management message after the header, and of the parameters that follow it.

use super::{Port, PortWithGap, Time};
use crate::time::{Duration, Offset};
use crate::wire::management as data;
use crate::wire::{ClockIdentifier, Subdomain, WireError};
use zerocopy::big_endian::{I16, I32, U16};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Management after the header, before its parameters.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct Management {
    _1: u8,
    pub target: Port,
    pub starting_boundary_hops: I16,
    pub boundary_hops: I16,
    _2: u8,
    pub key: u8,
    _3: [u8; 2],
    pub parameter_length: U16,
}

impl Management {
    pub(in crate::wire) fn new(management: &data::Management, key: u8, parameter_length: u16) -> Self {
        Self {
            target: management.target.into(),
            starting_boundary_hops: management.starting_boundary_hops.into(),
            boundary_hops: management.boundary_hops.into(),
            key,
            parameter_length: parameter_length.into(),
            ..Self::new_zeroed()
        }
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct ClockIdentity {
    _1: [u8; 3],
    port: PortWithGap<4>,
    manufacturer: [u8; 48],
}

impl From<&data::ClockIdentity> for ClockIdentity {
    fn from(data: &data::ClockIdentity) -> Self {
        Self { port: data.port.into(), manufacturer: data.manufacturer, ..Self::new_zeroed() }
    }
}

impl ClockIdentity {
    pub(in crate::wire) fn read(&self) -> data::ClockIdentity {
        data::ClockIdentity { port: (&self.port).into(), manufacturer: self.manufacturer }
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct DefaultDataSet {
    _1: [u8; 3],
    port: PortWithGap<4>,
    _2: [u8; 3],
    stratum: u8,
    identifier: [u8; 4],
    _3: [u8; 2],
    variance: I16,
    _4: [u8; 3],
    followup_capable: u8,
    _5: [u8; 3],
    preferred: u8,
    _6: [u8; 3],
    initializable: u8,
    _7: [u8; 3],
    external_timing: u8,
    _8: [u8; 3],
    is_boundary_clock: u8,
    _9: [u8; 3],
    sync_interval: i8,
    subdomain: [u8; 16],
    _10: [u8; 2],
    number_ports: U16,
    _11: [u8; 2],
    number_foreign_records: U16,
}

impl From<&data::DefaultDataSet> for DefaultDataSet {
    fn from(data: &data::DefaultDataSet) -> Self {
        Self {
            port: data.port.into(),
            stratum: data.stratum,
            identifier: data.identifier.0,
            variance: data.variance.into(),
            followup_capable: data.followup_capable.into(),
            preferred: data.preferred.into(),
            initializable: data.initializable.into(),
            external_timing: data.external_timing.into(),
            is_boundary_clock: data.is_boundary_clock.into(),
            sync_interval: data.sync_interval,
            subdomain: data.subdomain.0,
            number_ports: data.number_ports.into(),
            number_foreign_records: data.number_foreign_records.into(),
            ..Self::new_zeroed()
        }
    }
}

impl DefaultDataSet {
    pub(in crate::wire) fn read(&self) -> data::DefaultDataSet {
        data::DefaultDataSet {
            port: (&self.port).into(),
            stratum: self.stratum,
            identifier: ClockIdentifier(self.identifier),
            variance: self.variance.get(),
            followup_capable: self.followup_capable != 0,
            preferred: self.preferred != 0,
            initializable: self.initializable != 0,
            external_timing: self.external_timing != 0,
            is_boundary_clock: self.is_boundary_clock != 0,
            sync_interval: self.sync_interval,
            subdomain: Subdomain(self.subdomain),
            number_ports: self.number_ports.get(),
            number_foreign_records: self.number_foreign_records.get(),
        }
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct CurrentDataSet {
    _1: [u8; 2],
    steps_removed: U16,
    offset_from_master: Time,
    one_way_delay: Time,
}

impl From<&data::CurrentDataSet> for CurrentDataSet {
    fn from(data: &data::CurrentDataSet) -> Self {
        Self {
            steps_removed: data.steps_removed.into(),
            offset_from_master: data.offset_from_master.ns().into(),
            one_way_delay: data.one_way_delay.ns().into(),
            ..Self::new_zeroed()
        }
    }
}

impl CurrentDataSet {
    pub(in crate::wire) fn read(&self) -> Result<data::CurrentDataSet, WireError> {
        Ok(data::CurrentDataSet {
            steps_removed: self.steps_removed.get(),
            offset_from_master: Offset::from_ns(self.offset_from_master.ns()?),
            one_way_delay: Duration::from_ns(self.one_way_delay.ns()?),
        })
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct ParentDataSet {
    _1: [u8; 3],
    parent: PortWithGap<4>,
    _2: [u8; 2],
    last_sync_sequence: U16,
    _3: [u8; 3],
    followup_capable: u8,
    _4: [u8; 3],
    external_timing: u8,
    _5: [u8; 2],
    variance: I16,
    _6: [u8; 3],
    stats: u8,
    _7: [u8; 2],
    observed_variance: I16,
    observed_drift: I32,
    _8: [u8; 3],
    utc_reasonable: u8,
    _9: [u8; 3],
    grandmaster: PortWithGap<4>,
    _10: [u8; 3],
    grandmaster_stratum: u8,
    grandmaster_identifier: [u8; 4],
    _11: [u8; 2],
    grandmaster_variance: I16,
    _12: [u8; 3],
    grandmaster_preferred: u8,
    _13: [u8; 3],
    grandmaster_is_boundary_clock: u8,
    _14: [u8; 2],
    grandmaster_sequence_id: U16,
}

impl From<&data::ParentDataSet> for ParentDataSet {
    fn from(data: &data::ParentDataSet) -> Self {
        let grandmaster = &data.grandmaster;
        Self {
            parent: data.parent.into(),
            last_sync_sequence: data.last_sync_sequence.into(),
            followup_capable: data.followup_capable.into(),
            external_timing: data.external_timing.into(),
            variance: data.variance.into(),
            stats: data.stats.into(),
            observed_variance: data.observed_variance.into(),
            observed_drift: data.observed_drift.into(),
            utc_reasonable: data.utc_reasonable.into(),
            grandmaster: grandmaster.port.into(),
            grandmaster_stratum: grandmaster.stratum,
            grandmaster_identifier: grandmaster.identifier.0,
            grandmaster_variance: grandmaster.variance.into(),
            grandmaster_preferred: grandmaster.preferred.into(),
            grandmaster_is_boundary_clock: grandmaster.is_boundary_clock.into(),
            grandmaster_sequence_id: grandmaster.sequence_id.into(),
            ..Self::new_zeroed()
        }
    }
}

impl ParentDataSet {
    pub(in crate::wire) fn read(&self) -> data::ParentDataSet {
        data::ParentDataSet {
            parent: (&self.parent).into(),
            last_sync_sequence: self.last_sync_sequence.get(),
            followup_capable: self.followup_capable != 0,
            external_timing: self.external_timing != 0,
            variance: self.variance.get(),
            stats: self.stats != 0,
            observed_variance: self.observed_variance.get(),
            observed_drift: self.observed_drift.get(),
            utc_reasonable: self.utc_reasonable != 0,
            grandmaster: crate::wire::Grandmaster {
                port: (&self.grandmaster).into(),
                sequence_id: self.grandmaster_sequence_id.get(),
                stratum: self.grandmaster_stratum,
                identifier: ClockIdentifier(self.grandmaster_identifier),
                variance: self.grandmaster_variance.get(),
                preferred: self.grandmaster_preferred != 0,
                is_boundary_clock: self.grandmaster_is_boundary_clock != 0,
            },
        }
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct PortDataSet {
    _1: [u8; 2],
    returned_port_number: U16,
    _2: [u8; 3],
    state: u8,
    _3: [u8; 2],
    last_sync_sequence: U16,
    _4: [u8; 2],
    last_general_sequence: U16,
    _5: [u8; 3],
    port: PortWithGap<4>,
    _6: [u8; 3],
    burst_enabled: u8,
    _7: u8,
    /// The lengths of the three addresses: on UDP over IPv4 they are 4, 2 and 2 (annex D). Not read.
    octets: [u8; 3],
    group: [u8; 4],
    _8: [u8; 2],
    event_port: U16,
    _9: [u8; 2],
    general_port: U16,
}

impl From<&data::PortDataSet> for PortDataSet {
    fn from(data: &data::PortDataSet) -> Self {
        Self {
            returned_port_number: data.returned_port_number.into(),
            state: data.state.0,
            last_sync_sequence: data.last_sync_sequence.into(),
            last_general_sequence: data.last_general_sequence.into(),
            port: data.port.into(),
            burst_enabled: data.burst_enabled.into(),
            octets: [4, 2, 2],
            group: data.group.octets(),
            event_port: data.event_port.into(),
            general_port: data.general_port.into(),
            ..Self::new_zeroed()
        }
    }
}

impl PortDataSet {
    pub(in crate::wire) fn read(&self) -> data::PortDataSet {
        data::PortDataSet {
            returned_port_number: self.returned_port_number.get(),
            state: data::PortState(self.state),
            last_sync_sequence: self.last_sync_sequence.get(),
            last_general_sequence: self.last_general_sequence.get(),
            port: (&self.port).into(),
            burst_enabled: self.burst_enabled != 0,
            group: self.group.into(),
            event_port: self.event_port.get(),
            general_port: self.general_port.get(),
        }
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct GlobalTimeDataSet {
    local_time: Time,
    _1: [u8; 2],
    current_utc_offset: I16,
    _2: [u8; 3],
    leap_59: u8,
    _3: [u8; 3],
    leap_61: u8,
    _4: [u8; 2],
    epoch_number: U16,
}

impl From<&data::GlobalTimeDataSet> for GlobalTimeDataSet {
    fn from(data: &data::GlobalTimeDataSet) -> Self {
        Self {
            local_time: data.local_time.into(),
            current_utc_offset: data.current_utc_offset.into(),
            leap_59: data.leap_59.into(),
            leap_61: data.leap_61.into(),
            epoch_number: data.epoch_number.into(),
            ..Self::new_zeroed()
        }
    }
}

impl GlobalTimeDataSet {
    pub(in crate::wire) fn read(&self) -> Result<data::GlobalTimeDataSet, WireError> {
        Ok(data::GlobalTimeDataSet {
            local_time: self.local_time.timestamp()?,
            current_utc_offset: self.current_utc_offset.get(),
            leap_59: self.leap_59 != 0,
            leap_61: self.leap_61 != 0,
            epoch_number: self.epoch_number.get(),
        })
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct GetForeignDataSet {
    _1: [u8; 2],
    record_key: U16,
}

impl GetForeignDataSet {
    pub(in crate::wire) fn new(record_key: u16) -> Self {
        Self { record_key: record_key.into(), ..Self::new_zeroed() }
    }

    pub(in crate::wire) fn record_key(&self) -> u16 {
        self.record_key.get()
    }
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(in crate::wire) struct ForeignDataSet {
    _1: [u8; 2],
    returned_port_number: U16,
    _2: [u8; 2],
    returned_record_number: U16,
    _3: [u8; 3],
    foreign_master: PortWithGap<4>,
    _4: [u8; 2],
    foreign_master_syncs: U16,
}

impl From<&data::ForeignDataSet> for ForeignDataSet {
    fn from(data: &data::ForeignDataSet) -> Self {
        Self {
            returned_port_number: data.returned_port_number.into(),
            returned_record_number: data.returned_record_number.into(),
            foreign_master: data.foreign_master.into(),
            foreign_master_syncs: data.foreign_master_syncs.into(),
            ..Self::new_zeroed()
        }
    }
}

impl ForeignDataSet {
    pub(in crate::wire) fn read(&self) -> data::ForeignDataSet {
        data::ForeignDataSet {
            returned_port_number: self.returned_port_number.get(),
            returned_record_number: self.returned_record_number.get(),
            foreign_master: (&self.foreign_master).into(),
            foreign_master_syncs: self.foreign_master_syncs.get(),
        }
    }
}

const _: () = {
    assert!(size_of::<Management>() == 20);
    assert!(size_of::<ClockIdentity>() == 64);
    assert!(size_of::<DefaultDataSet>() == 76);
    assert!(size_of::<CurrentDataSet>() == 20);
    assert!(size_of::<ParentDataSet>() == 88);
    assert!(size_of::<PortDataSet>() == 52);
    assert!(size_of::<GlobalTimeDataSet>() == 24);
    assert!(size_of::<GetForeignDataSet>() == 4);
    assert!(size_of::<ForeignDataSet>() == 28);
};
