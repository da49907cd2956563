//! What a clock answered, as `query --json` prints it; docs/pmc-lite.md says what each key means.

use crate::shown::shown;
use crate::status::SplitOffset;
use dante_core::inquiry;
use dante_core::wire::{
    self, ClockIdentity, CurrentDataSet, DefaultDataSet, GlobalTimeDataSet, ParentDataSet, PortDataSet,
    PortIdentity,
};

shown! {
    Clock of (said: &inquiry::Clock) {
        #[serde(flatten)]
        port: Port = Port {
            uuid: said.uuid.to_string(),
            port_id: said.source.map_or(0, |(port, _)| port.port_id),
        },
        address: Option<String> = said.source.map(|(_, address)| address.to_string()),
        second_address: Option<String> = said.second_address.map(|address| address.to_string()),
        identity: Option<Identity> = said.identity.as_ref().map(Identity::of),
        default_data_set: Option<DefaultSet> = said.default.as_ref().map(DefaultSet::of),
        current_data_set: Option<CurrentSet> = said.current.as_ref().map(CurrentSet::of),
        parent_data_set: Option<ParentSet> = said.parent.as_ref().map(ParentSet::of),
        port_data_sets: Vec<PortSet> = said.ports.iter().map(PortSet::of).collect(),
        global_time_data_set: Option<GlobalTime> = said.global_time.as_ref().map(GlobalTime::of),
    }

    Port of (port: PortIdentity) {
        uuid: String = port.uuid.to_string(),
        port_id: u16 = port.port_id,
    }

    Identity of (said: &ClockIdentity) {
        #[serde(flatten)]
        port: Port = Port::of(said.port),
        manufacturer: String = said.manufacturer().to_string(),
    }

    DefaultSet of (said: &DefaultDataSet) {
        #[serde(flatten)]
        port: Port = Port::of(said.port),
        stratum: u8 = said.stratum,
        identifier: String = said.identifier.to_string(),
        variance: i16 = said.variance,
        followup_capable: bool = said.followup_capable,
        preferred: bool = said.preferred,
        initializable: bool = said.initializable,
        external_timing: bool = said.external_timing,
        is_boundary_clock: bool = said.is_boundary_clock,
        sync_interval_log2_s: i8 = said.sync_interval,
        subdomain: String = said.subdomain.to_string(),
        number_ports: u16 = said.number_ports,
        number_foreign_records: u16 = said.number_foreign_records,
    }

    CurrentSet of (said: &CurrentDataSet) {
        steps_removed: u16 = said.steps_removed,
        offset_from_master_ns: i64 = said.offset_from_master.ns(),
        one_way_delay_ns: i64 = said.one_way_delay.ns(),
    }

    ParentSet of (said: &ParentDataSet) {
        #[serde(flatten)]
        port: Port = Port::of(said.parent),
        last_sync_sequence: u16 = said.last_sync_sequence,
        followup_capable: bool = said.followup_capable,
        external_timing: bool = said.external_timing,
        variance: i16 = said.variance,
        stats: Option<Stats> = said.stats.then(|| Stats::of(said)),
        utc_reasonable: bool = said.utc_reasonable,
        grandmaster: Grandmaster = Grandmaster::of(&said.grandmaster),
    }

    /// Only where the clock says that they mean something.
    Stats of (said: &ParentDataSet) {
        observed_variance: i16 = said.observed_variance,
        observed_drift: i32 = said.observed_drift,
    }

    Grandmaster of (said: &wire::Grandmaster) {
        #[serde(flatten)]
        port: Port = Port::of(said.port),
        sequence_id: u16 = said.sequence_id,
        stratum: u8 = said.stratum,
        identifier: String = said.identifier.to_string(),
        variance: i16 = said.variance,
        preferred: bool = said.preferred,
        is_boundary_clock: bool = said.is_boundary_clock,
    }

    PortSet of (said: &PortDataSet) {
        returned_port_number: u16 = said.returned_port_number,
        state: String = said.state.to_string(),
        last_sync_sequence: u16 = said.last_sync_sequence,
        last_general_sequence: u16 = said.last_general_sequence,
        #[serde(flatten)]
        port: Port = Port::of(said.port),
        burst_enabled: bool = said.burst_enabled,
        group: String = said.group.to_string(),
        event_port: u16 = said.event_port,
        general_port: u16 = said.general_port,
    }

    GlobalTime of (said: &GlobalTimeDataSet) let (split = said.local_time.split()) {
        local_time: SplitOffset = SplitOffset { s: split.0, ns: split.1 },
        current_utc_offset_s: i16 = said.current_utc_offset,
        leap_59: bool = said.leap_59,
        leap_61: bool = said.leap_61,
        epoch_number: u16 = said.epoch_number,
    }
}
