//! What the clocks answered, for people: a block for each.

use super::report::{
    Clock, CurrentSet, DefaultSet, GlobalTime, Grandmaster, Identity, ParentSet, Port, PortSet,
};
use crate::finding::Level;
use crate::text::{HEADING, row, style, written};
use std::fmt::{self, Write};

/// All blocks, with colours, which whoever prints it takes out where they are of no use.
pub fn screen(clocks: &[Clock]) -> String {
    written(|out| clocks.iter().try_for_each(|each| clock(out, each)))
}

fn clock(out: &mut String, said: &Clock) -> fmt::Result {
    let address = said.address.as_deref().unwrap_or("no address");
    writeln!(out, "{HEADING}{}{HEADING:#} at {address}", name(&said.port))?;
    answer(out, "identity", said.identity.as_ref().map(|data| identity(data, &said.port)))?;
    answer(out, "default", said.default_data_set.as_ref().map(default))?;
    if let Some(data) = &said.default_data_set {
        row(out, "set up", &set_up(data))?;
    }
    answer(out, "current", said.current_data_set.as_ref().map(current))?;
    answer(out, "parent", said.parent_data_set.as_ref().map(parent))?;
    if let Some(data) = &said.parent_data_set {
        row(out, "grandmaster", &grandmaster(&data.grandmaster))?;
    }
    if said.port_data_sets.is_empty() {
        answer(out, "port", None)?;
    }
    for data in &said.port_data_sets {
        row(out, &format!("port {}", data.returned_port_number), &port(data))?;
    }
    answer(out, "time", said.global_time_data_set.as_ref().map(global_time))?;
    if let Some(other) = &said.second_address {
        let style = style(Level::Warning);
        writeln!(out, "{style}!{style:#} {other} answers in its name too: what it says is not shown")?;
    }
    Ok(())
}

fn answer(out: &mut String, of: &str, said: Option<String>) -> fmt::Result {
    row(out, of, said.as_deref().unwrap_or("no answer"))
}

fn name(port: &Port) -> String {
    format!("{}/{}", port.uuid, port.port_id)
}

fn identity(data: &Identity, answers_as: &Port) -> String {
    let manufacturer = if data.manufacturer.is_empty() { "no manufacturer" } else { &data.manufacturer };
    if data.port == *answers_as {
        manufacturer.into()
    } else {
        format!("{manufacturer}, calls itself {}", name(&data.port))
    }
}

fn default(data: &DefaultSet) -> String {
    let mut words = vec![worth(data.stratum, &data.identifier, data.variance)];
    let has = [
        (data.preferred, "Preferred Leader"),
        (data.is_boundary_clock, "boundary clock"),
        (data.followup_capable, "two-step"),
        (data.external_timing, "follows a source outside PTP"),
        (data.initializable, "can be reset"),
    ];
    words.extend(has.into_iter().filter(|(is, _)| *is).map(|(_, word)| word.into()));
    words.join(", ")
}

fn set_up(data: &DefaultSet) -> String {
    let DefaultSet { sync_interval_log2_s, subdomain, number_ports, .. } = data;
    let ports = if *number_ports == 1 { "port" } else { "ports" };
    format!("a Sync every 2^{sync_interval_log2_s} s, subdomain {subdomain}, {number_ports} {ports}")
}

fn current(data: &CurrentSet) -> String {
    let steps = match data.steps_removed {
        1 => "1 step from the grandmaster".into(),
        steps => format!("{steps} steps from the grandmaster"),
    };
    let (offset, delay) = (data.offset_from_master_ns, data.one_way_delay_ns);
    format!("{steps}, offset {offset:+} ns, one-way delay {delay} ns")
}

fn parent(data: &ParentSet) -> String {
    let mut words = vec![name(&data.port), format!("its last Sync {}", data.last_sync_sequence)];
    if let Some(stats) = &data.stats {
        words.push(format!("observed variance {}, drift {}", stats.observed_variance, stats.observed_drift));
    }
    words.extend(data.utc_reasonable.then(|| "its time traceable to UTC".into()));
    words.join(", ")
}

fn grandmaster(data: &Grandmaster) -> String {
    let mut words = vec![name(&data.port), worth(data.stratum, &data.identifier, data.variance)];
    words.extend(data.preferred.then(|| "Preferred Leader".into()));
    words.join(", ")
}

fn worth(stratum: u8, identifier: &str, variance: i16) -> String {
    format!("stratum {stratum} {identifier}, variance {variance}")
}

fn port(data: &PortSet) -> String {
    let PortSet { state, group, event_port, general_port, .. } = data;
    format!("{state}, {group}, UDP ports {event_port} and {general_port}")
}

fn global_time(data: &GlobalTime) -> String {
    let mut words = vec![format!("{}.{:09} s", data.local_time.s, data.local_time.ns)];
    words.extend((data.epoch_number != 0).then(|| format!("epoch {}", data.epoch_number)));
    words.push(match data.current_utc_offset_s {
        0 => "no UTC offset".into(),
        offset => format!("{offset:+} s from UTC"),
    });
    let leap =
        [(data.leap_59, "a leap second is taken out today"), (data.leap_61, "a leap second comes today")];
    words.extend(leap.into_iter().filter(|(is, _)| *is).map(|(_, word)| word.into()));
    words.join(", ")
}
