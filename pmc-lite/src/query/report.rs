//! The responses of the clocks: as `query --json` prints them (docs/pmc-lite.md describes each key), and as text.

use crate::finding::Level;
use crate::shown::shown;
use crate::status::SplitOffset;
use crate::text::{HEADING, row, style, written};
use dante_core::management_client;
use dante_core::wire::{
    self, ClockIdentity, CurrentDataSet, DefaultDataSet, GlobalTimeDataSet, ParentDataSet, PortDataSet,
    PortIdentity,
};
use std::fmt::{self, Write};

shown! {
    Clock of (clock: &management_client::Clock) {
        #[serde(flatten)]
        port: Port = Port {
            uuid: clock.uuid.to_string(),
            port_id: clock.source.map_or(0, |(port, _)| port.port_id),
        },
        address: Option<String> = clock.source.map(|(_, address)| address.to_string()),
        second_address: Option<String> = clock.second_address.map(|address| address.to_string()),
        identity: Option<Identity> = clock.identity.as_ref().map(Identity::of),
        default_data_set: Option<DefaultSet> = clock.default.as_ref().map(DefaultSet::of),
        current_data_set: Option<CurrentSet> = clock.current.as_ref().map(CurrentSet::of),
        parent_data_set: Option<ParentSet> = clock.parent.as_ref().map(ParentSet::of),
        port_data_sets: Vec<PortSet> = clock.ports.iter().map(PortSet::of).collect(),
        global_time_data_set: Option<GlobalTime> = clock.global_time.as_ref().map(GlobalTime::of),
    }

    Port of (port: PortIdentity) {
        uuid: String = port.uuid.to_string(),
        port_id: u16 = port.port_id,
    }

    Identity of (data: &ClockIdentity) {
        #[serde(flatten)]
        port: Port = Port::of(data.port),
        manufacturer: String = data.manufacturer().to_string(),
    }

    DefaultSet of (data: &DefaultDataSet) {
        #[serde(flatten)]
        port: Port = Port::of(data.port),
        stratum: u8 = data.stratum,
        identifier: String = data.identifier.to_string(),
        variance: i16 = data.variance,
        followup_capable: bool = data.followup_capable,
        preferred: bool = data.preferred,
        initializable: bool = data.initializable,
        external_timing: bool = data.external_timing,
        is_boundary_clock: bool = data.is_boundary_clock,
        sync_interval_log2_s: i8 = data.sync_interval,
        subdomain: String = data.subdomain.to_string(),
        number_ports: u16 = data.number_ports,
        number_foreign_records: u16 = data.number_foreign_records,
    }

    CurrentSet of (data: &CurrentDataSet) {
        steps_removed: u16 = data.steps_removed,
        offset_from_master_ns: i64 = data.offset_from_master.ns(),
        one_way_delay_ns: i64 = data.one_way_delay.ns(),
    }

    ParentSet of (data: &ParentDataSet) {
        #[serde(flatten)]
        port: Port = Port::of(data.parent),
        last_sync_sequence: u16 = data.last_sync_sequence,
        followup_capable: bool = data.followup_capable,
        external_timing: bool = data.external_timing,
        variance: i16 = data.variance,
        stats: Option<Stats> = data.stats.then(|| Stats::of(data)),
        utc_reasonable: bool = data.utc_reasonable,
        grandmaster: Grandmaster = Grandmaster::of(&data.grandmaster),
    }

    /// Only if the clock states that the values are computed.
    Stats of (data: &ParentDataSet) {
        observed_variance: i16 = data.observed_variance,
        observed_drift: i32 = data.observed_drift,
    }

    Grandmaster of (data: &wire::Grandmaster) {
        #[serde(flatten)]
        port: Port = Port::of(data.port),
        sequence_id: u16 = data.sequence_id,
        stratum: u8 = data.stratum,
        identifier: String = data.identifier.to_string(),
        variance: i16 = data.variance,
        preferred: bool = data.preferred,
        is_boundary_clock: bool = data.is_boundary_clock,
    }

    PortSet of (data: &PortDataSet) {
        returned_port_number: u16 = data.returned_port_number,
        state: String = data.state.to_string(),
        last_sync_sequence: u16 = data.last_sync_sequence,
        last_general_sequence: u16 = data.last_general_sequence,
        #[serde(flatten)]
        port: Port = Port::of(data.port),
        burst_enabled: bool = data.burst_enabled,
        group: String = data.group.to_string(),
        event_port: u16 = data.event_port,
        general_port: u16 = data.general_port,
    }

    GlobalTime of (data: &GlobalTimeDataSet) let (split = data.local_time.split()) {
        local_time: SplitOffset = SplitOffset { s: split.0, ns: split.1 },
        current_utc_offset_s: i16 = data.current_utc_offset,
        leap_59: bool = data.leap_59,
        leap_61: bool = data.leap_61,
        epoch_number: u16 = data.epoch_number,
    }
}

/// Returns a block of text per clock, with colours, which the printer removes if the output has none.
pub fn screen(clocks: &[Clock]) -> String {
    written(|out| clocks.iter().try_for_each(|each| clock(out, each)))
}

fn clock(out: &mut String, clock: &Clock) -> fmt::Result {
    let address = clock.address.as_deref().unwrap_or("no address");
    writeln!(out, "{HEADING}{}{HEADING:#} at {address}", clock.port.name())?;
    data_set(out, clock, clock.identity.as_slice())?;
    data_set(out, clock, clock.default_data_set.as_slice())?;
    data_set(out, clock, clock.current_data_set.as_slice())?;
    data_set(out, clock, clock.parent_data_set.as_slice())?;
    data_set(out, clock, &clock.port_data_sets)?;
    data_set(out, clock, clock.global_time_data_set.as_slice())?;
    if let Some(other) = &clock.second_address {
        let style = style(Level::Warning);
        writeln!(
            out,
            "{style}!{style:#} {other} also responds with its UUID; those responses are not shown"
        )?;
    }
    Ok(())
}

/// Writes the rows of one data set, or that there was no response.
fn data_set<D: DataSet>(out: &mut String, clock: &Clock, sets: &[D]) -> fmt::Result {
    if sets.is_empty() {
        return row(out, D::NAME, "no response");
    }
    let mut rows = sets.iter().flat_map(|set| set.rows(clock));
    rows.try_for_each(|(name, value)| row(out, &name, &value))
}

/// A data set as text.
trait DataSet {
    /// Name of the first row.
    const NAME: &'static str;

    /// Returns the value of the row [`Self::NAME`].
    fn value(&self, clock: &Clock) -> String;

    /// Returns all rows: name and value.
    fn rows(&self, clock: &Clock) -> Vec<(String, String)> {
        vec![(Self::NAME.into(), self.value(clock))]
    }
}

impl Port {
    fn name(&self) -> String {
        format!("{}/{}", self.uuid, self.port_id)
    }
}

impl DataSet for Identity {
    const NAME: &'static str = "identity";

    fn value(&self, clock: &Clock) -> String {
        let manufacturer = if self.manufacturer.is_empty() { "no manufacturer" } else { &self.manufacturer };
        if self.port == clock.port {
            manufacturer.into()
        } else {
            format!("{manufacturer}, identifies itself as {}", self.port.name())
        }
    }
}

impl DataSet for DefaultSet {
    const NAME: &'static str = "default";

    fn value(&self, _: &Clock) -> String {
        let has = [
            (self.preferred, "Preferred Leader"),
            (self.is_boundary_clock, "boundary clock"),
            (self.followup_capable, "two-step"),
            (self.external_timing, "synchronised to a source outside PTP"),
            (self.initializable, "can be reset"),
        ];
        listed(quality(self.stratum, &self.identifier, self.variance), &has)
    }

    fn rows(&self, clock: &Clock) -> Vec<(String, String)> {
        let Self { sync_interval_log2_s, subdomain, number_ports, .. } = self;
        let ports = if *number_ports == 1 { "port" } else { "ports" };
        let set_up =
            format!("a Sync every 2^{sync_interval_log2_s} s, subdomain {subdomain}, {number_ports} {ports}");
        vec![(Self::NAME.into(), self.value(clock)), ("set up".into(), set_up)]
    }
}

impl DataSet for CurrentSet {
    const NAME: &'static str = "current";

    fn value(&self, _: &Clock) -> String {
        let steps = match self.steps_removed {
            1 => "1 step from the grandmaster".into(),
            steps => format!("{steps} steps from the grandmaster"),
        };
        let (offset, delay) = (self.offset_from_master_ns, self.one_way_delay_ns);
        format!("{steps}, offset {offset:+} ns, one-way delay {delay} ns")
    }
}

impl DataSet for ParentSet {
    const NAME: &'static str = "parent";

    fn value(&self, _: &Clock) -> String {
        let mut words = format!("{}, last Sync {}", self.port.name(), self.last_sync_sequence);
        if let Some(Stats { observed_variance, observed_drift }) = &self.stats {
            words += &format!(", observed variance {observed_variance}, drift {observed_drift}");
        }
        listed(words, &[(self.utc_reasonable, "time traceable to UTC")])
    }

    fn rows(&self, clock: &Clock) -> Vec<(String, String)> {
        let Grandmaster { port, stratum, identifier, variance, preferred, .. } = &self.grandmaster;
        let grandmaster = format!("{}, {}", port.name(), quality(*stratum, identifier, *variance));
        let grandmaster = listed(grandmaster, &[(*preferred, "Preferred Leader")]);
        vec![(Self::NAME.into(), self.value(clock)), ("grandmaster".into(), grandmaster)]
    }
}

impl DataSet for PortSet {
    const NAME: &'static str = "port";

    fn value(&self, _: &Clock) -> String {
        let Self { state, group, event_port, general_port, .. } = self;
        format!("{state}, {group}, UDP ports {event_port} and {general_port}")
    }

    fn rows(&self, clock: &Clock) -> Vec<(String, String)> {
        vec![(format!("{} {}", Self::NAME, self.returned_port_number), self.value(clock))]
    }
}

impl DataSet for GlobalTime {
    const NAME: &'static str = "time";

    fn value(&self, _: &Clock) -> String {
        let mut words = format!("{}.{:09} s", self.local_time.s, self.local_time.ns);
        if self.epoch_number != 0 {
            words += &format!(", epoch {}", self.epoch_number);
        }
        words += &match self.current_utc_offset_s {
            0 => ", no UTC offset".into(),
            offset => format!(", {offset:+} s from UTC"),
        };
        let leap =
            [(self.leap_59, "leap second deleted today"), (self.leap_61, "leap second inserted today")];
        listed(words, &leap)
    }
}

/// Returns the quality of a clock as text.
fn quality(stratum: u8, identifier: &str, variance: i16) -> String {
    format!("stratum {stratum} {identifier}, variance {variance}")
}

/// Appends the words of `more` that apply.
fn listed(text: String, more: &[(bool, &str)]) -> String {
    more.iter().filter(|(applies, _)| *applies).fold(text, |text, (_, word)| text + ", " + word)
}
