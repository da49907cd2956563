//! What a clock answered, as `query --json` prints it; docs/pmc-lite.md says what each key means.

use dante_core::inquiry;
use dante_core::wire::{
    ClockIdentity, CurrentDataSet, DefaultDataSet, GlobalTimeDataSet, ParentDataSet, PortDataSet,
    PortIdentity,
};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct Clock {
    #[serde(flatten)]
    pub port: Port,
    pub address: Option<String>,
    pub second_address: Option<String>,
    pub identity: Option<Identity>,
    pub default_data_set: Option<DefaultSet>,
    pub current_data_set: Option<CurrentSet>,
    pub parent_data_set: Option<ParentSet>,
    pub port_data_sets: Vec<PortSet>,
    pub global_time_data_set: Option<GlobalTime>,
}

#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Port {
    pub uuid: String,
    pub port_id: u16,
}

#[derive(Debug, Serialize)]
pub struct Identity {
    #[serde(flatten)]
    pub port: Port,
    pub manufacturer: String,
}

#[derive(Debug, Serialize)]
pub struct DefaultSet {
    #[serde(flatten)]
    pub port: Port,
    pub stratum: u8,
    pub identifier: String,
    pub variance: i16,
    pub followup_capable: bool,
    pub preferred: bool,
    pub initializable: bool,
    pub external_timing: bool,
    pub is_boundary_clock: bool,
    pub sync_interval_log2_s: i8,
    pub subdomain: String,
    pub number_ports: u16,
    pub number_foreign_records: u16,
}

#[derive(Debug, Serialize)]
pub struct CurrentSet {
    pub steps_removed: u16,
    pub offset_from_master_ns: i64,
    pub one_way_delay_ns: i64,
}

#[derive(Debug, Serialize)]
pub struct ParentSet {
    #[serde(flatten)]
    pub port: Port,
    pub last_sync_sequence: u16,
    pub followup_capable: bool,
    pub external_timing: bool,
    pub variance: i16,
    pub stats: Option<Stats>,
    pub utc_reasonable: bool,
    pub grandmaster: Grandmaster,
}

/// Only where the clock says that they mean something.
#[derive(Debug, Serialize)]
pub struct Stats {
    pub observed_variance: i16,
    pub observed_drift: i32,
}

#[derive(Debug, Serialize)]
pub struct Grandmaster {
    #[serde(flatten)]
    pub port: Port,
    pub sequence_id: u16,
    pub stratum: u8,
    pub identifier: String,
    pub variance: i16,
    pub preferred: bool,
    pub is_boundary_clock: bool,
}

#[derive(Debug, Serialize)]
pub struct PortSet {
    pub returned_port_number: u16,
    pub state: String,
    pub last_sync_sequence: u16,
    pub last_general_sequence: u16,
    #[serde(flatten)]
    pub port: Port,
    pub burst_enabled: bool,
    pub group: String,
    pub event_port: u16,
    pub general_port: u16,
}

#[derive(Debug, Serialize)]
pub struct GlobalTime {
    pub local_time: Split,
    pub current_utc_offset_s: i16,
    pub leap_59: bool,
    pub leap_61: bool,
    pub epoch_number: u16,
}

#[derive(Debug, Serialize)]
pub struct Split {
    pub s: i64,
    pub ns: i64,
}

impl Clock {
    pub fn of(said: &inquiry::Clock) -> Self {
        Self {
            port: Port {
                uuid: said.uuid.to_string(),
                port_id: said.source.map_or(0, |(port, _)| port.port_id),
            },
            address: said.source.map(|(_, address)| address.to_string()),
            second_address: said.second_address.map(|address| address.to_string()),
            identity: said.identity.as_ref().map(Identity::of),
            default_data_set: said.default.as_ref().map(DefaultSet::of),
            current_data_set: said.current.as_ref().map(CurrentSet::of),
            parent_data_set: said.parent.as_ref().map(ParentSet::of),
            port_data_sets: said.ports.iter().map(PortSet::of).collect(),
            global_time_data_set: said.global_time.as_ref().map(GlobalTime::of),
        }
    }
}

impl Port {
    fn of(port: PortIdentity) -> Self {
        Self { uuid: port.uuid.to_string(), port_id: port.port_id }
    }
}

impl Identity {
    fn of(said: &ClockIdentity) -> Self {
        Self { port: Port::of(said.port), manufacturer: said.manufacturer().to_string() }
    }
}

impl DefaultSet {
    fn of(said: &DefaultDataSet) -> Self {
        Self {
            port: Port::of(said.port),
            stratum: said.stratum,
            identifier: said.identifier.to_string(),
            variance: said.variance,
            followup_capable: said.followup_capable,
            preferred: said.preferred,
            initializable: said.initializable,
            external_timing: said.external_timing,
            is_boundary_clock: said.is_boundary_clock,
            sync_interval_log2_s: said.sync_interval,
            subdomain: said.subdomain.to_string(),
            number_ports: said.number_ports,
            number_foreign_records: said.number_foreign_records,
        }
    }
}

impl CurrentSet {
    fn of(said: &CurrentDataSet) -> Self {
        Self {
            steps_removed: said.steps_removed,
            offset_from_master_ns: said.offset_from_master.ns(),
            one_way_delay_ns: said.one_way_delay.ns(),
        }
    }
}

impl ParentSet {
    fn of(said: &ParentDataSet) -> Self {
        let grandmaster = &said.grandmaster;
        Self {
            port: Port::of(said.parent),
            last_sync_sequence: said.last_sync_sequence,
            followup_capable: said.followup_capable,
            external_timing: said.external_timing,
            variance: said.variance,
            stats: said.stats.then_some(Stats {
                observed_variance: said.observed_variance,
                observed_drift: said.observed_drift,
            }),
            utc_reasonable: said.utc_reasonable,
            grandmaster: Grandmaster {
                port: Port::of(grandmaster.port),
                sequence_id: grandmaster.sequence_id,
                stratum: grandmaster.stratum,
                identifier: grandmaster.identifier.to_string(),
                variance: grandmaster.variance,
                preferred: grandmaster.preferred,
                is_boundary_clock: grandmaster.is_boundary_clock,
            },
        }
    }
}

impl PortSet {
    fn of(said: &PortDataSet) -> Self {
        Self {
            returned_port_number: said.returned_port_number,
            state: said.state.to_string(),
            last_sync_sequence: said.last_sync_sequence,
            last_general_sequence: said.last_general_sequence,
            port: Port::of(said.port),
            burst_enabled: said.burst_enabled,
            group: said.group.to_string(),
            event_port: said.event_port,
            general_port: said.general_port,
        }
    }
}

impl GlobalTime {
    fn of(said: &GlobalTimeDataSet) -> Self {
        let (s, ns) = said.local_time.split();
        Self {
            local_time: Split { s, ns },
            current_utc_offset_s: said.current_utc_offset,
            leap_59: said.leap_59,
            leap_61: said.leap_61,
            epoch_number: said.epoch_number,
        }
    }
}
