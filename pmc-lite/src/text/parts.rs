//! `get leader`, `port`, `counters` and `samples` for people.

use super::{GOOD, HEADING, port, preferred, quality, row, written};
use crate::get::Sample;
use crate::status::{Heard, Leader, Port};
use std::fmt::{self, Write};

/// All that are heard, with the one that is followed marked.
pub fn leaders(ports: &[Port], followed: Option<&Leader>) -> String {
    written(|out| {
        if ports.iter().all(|port| port.leaders.is_empty()) {
            return writeln!(out, "no leader is heard: pmc-lite doctor looks for the cause");
        }
        for port in ports {
            for heard in &port.leaders {
                let is_followed = followed.is_some_and(|leader| {
                    (&leader.id, leader.port_id, &leader.address)
                        == (&heard.leader.id, heard.leader.port_id, &heard.leader.address)
                });
                foreign_leader(out, &port.interface, heard, is_followed)?;
            }
        }
        Ok(())
    })
}

fn foreign_leader(out: &mut String, interface: &str, heard: &Heard, is_followed: bool) -> fmt::Result {
    let Heard { leader, qualified, last_sync_age_s } = heard;
    let (mark, style) = if is_followed { (", followed", GOOD) } else { ("", HEADING) };
    let Leader { id, port_id, address, variance, steps_removed, .. } = leader;
    writeln!(out, "{style}{id}/{port_id}{style:#} at {address} on {interface}{mark}")?;
    let mut clock = quality(leader);
    clock.push(format!("variance {variance}"));
    clock.extend(preferred(leader));
    clock.push(format!("{steps_removed} steps removed"));
    row(out, "clock", &clock.join(", "))?;
    let word = if *qualified { "" } else { ", not yet to be followed: its second Sync is missing" };
    row(out, "last Sync", &format!("{last_sync_age_s:.2} s ago{word}"))
}

pub fn ports(ports: &[Port]) -> String {
    written(|out| {
        for each in ports {
            let uuid = each.uuid.as_deref().unwrap_or("has no sockets");
            writeln!(out, "{HEADING}{}{HEADING:#} {uuid}", each.interface)?;
            port(out, each, "")?;
        }
        Ok(())
    })
}

/// All of them, those of no interest (zero) too.
pub fn counters(ports: &[Port]) -> String {
    written(|out| {
        for port in ports {
            writeln!(out, "{HEADING}{}{HEADING:#}", port.interface)?;
            for (name, count) in port.counters.by_name() {
                writeln!(out, "  {name:<20} {count:>12}")?;
            }
        }
        Ok(())
    })
}

pub fn samples(samples: &[Sample]) -> String {
    written(|out| {
        if samples.is_empty() {
            return writeln!(out, "no Sync was measured yet");
        }
        writeln!(out, "  {HEADING}sample        age    residual{HEADING:#}")?;
        for Sample { number, age_s, residual_ns, accepted, .. } in samples {
            let word = if *accepted { "" } else { "  not believed" };
            writeln!(out, "{number:>8} {age_s:>8.2} s {residual_ns:>+8} ns{word}")?;
        }
        Ok(())
    })
}
