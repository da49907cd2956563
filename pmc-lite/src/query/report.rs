//! What the clocks answered: as `query --json` prints it (docs/pmc-lite.md describes each key), and in lines for people.

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
    Clock of (said: &management_client::Clock) {
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

/// A block for each clock, with colours, which the printer removes where they are of no use.
pub fn screen(clocks: &[Clock]) -> String {
    written(|out| clocks.iter().try_for_each(|each| clock(out, each)))
}

fn clock(out: &mut String, said: &Clock) -> fmt::Result {
    let address = said.address.as_deref().unwrap_or("no address");
    writeln!(out, "{HEADING}{}{HEADING:#} at {address}", said.port.name())?;
    answers(out, said, said.identity.as_slice())?;
    answers(out, said, said.default_data_set.as_slice())?;
    answers(out, said, said.current_data_set.as_slice())?;
    answers(out, said, said.parent_data_set.as_slice())?;
    answers(out, said, &said.port_data_sets)?;
    answers(out, said, said.global_time_data_set.as_slice())?;
    if let Some(other) = &said.second_address {
        let style = style(Level::Warning);
        writeln!(out, "{style}!{style:#} {other} answers in its name too: what it says is not shown")?;
    }
    Ok(())
}

/// The rows of one data set, or that it was not answered.
fn answers<D: DataSet>(out: &mut String, clock: &Clock, sets: &[D]) -> fmt::Result {
    if sets.is_empty() {
        return row(out, D::NAME, "no answer");
    }
    let mut rows = sets.iter().flat_map(|set| set.rows(clock));
    rows.try_for_each(|(name, value)| row(out, &name, &value))
}

/// What can be asked for, for people.
trait DataSet {
    /// What stands before it.
    const NAME: &'static str;

    /// The value of [`Self::NAME`].
    fn value(&self, clock: &Clock) -> String;

    /// All rows: name and value.
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
            format!("{manufacturer}, calls itself {}", self.port.name())
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
            (self.external_timing, "follows a source outside PTP"),
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
        let mut words = format!("{}, its last Sync {}", self.port.name(), self.last_sync_sequence);
        if let Some(Stats { observed_variance, observed_drift }) = &self.stats {
            words += &format!(", observed variance {observed_variance}, drift {observed_drift}");
        }
        listed(words, &[(self.utc_reasonable, "its time traceable to UTC")])
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
            [(self.leap_59, "a leap second is taken out today"), (self.leap_61, "a leap second comes today")];
        listed(words, &leap)
    }
}

fn quality(stratum: u8, identifier: &str, variance: i16) -> String {
    format!("stratum {stratum} {identifier}, variance {variance}")
}

/// The text, and those of `more` that hold.
fn listed(text: String, more: &[(bool, &str)]) -> String {
    more.iter().filter(|(holds, _)| *holds).fold(text, |text, (_, word)| text + ", " + word)
}
