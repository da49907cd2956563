//! What dante4l publishes, for people: leaders, networks, samples.

use super::{GOOD, HEADING, row, rows, written};
use crate::status::{Following, Heard, Leader, Port, Sample};
use dante_core::port::Counter;
use std::fmt::{self, Write};

pub fn leader(out: &mut String, said: &Following) -> fmt::Result {
    let Some(leader) = &said.leader else { return writeln!(out, "{HEADING}leader{HEADING:#}     none") };
    let Leader { id, port_id, address, .. } = leader;
    writeln!(out, "{HEADING}leader{HEADING:#}     {id}/{port_id} at {address}")?;
    let mut clock = quality(leader);
    clock.extend(preferred(leader));
    row(out, "clock", &clock.join(", "))
}

/// What a leader states about its grandmaster's clock, by its protocol.
pub fn quality(leader: &Leader) -> Vec<String> {
    let mut words = Vec::new();
    let stratum = leader.stratum.zip(leader.identifier.as_ref());
    words.extend(stratum.map(|(stratum, identifier)| format!("stratum {stratum} {identifier}")));
    words.extend(leader.priority1.map(|priority| format!("priority1 {priority}")));
    words.extend(leader.clock_class.map(|class| format!("class {class}")));
    words.extend(leader.clock_accuracy.map(|accuracy| format!("accuracy {accuracy:#04x}")));
    words.extend(leader.priority2.map(|priority| format!("priority2 {priority}")));
    words
}

fn preferred(leader: &Leader) -> Option<String> {
    (leader.preferred == Some(true)).then(|| "Preferred Leader".into())
}

pub fn following(out: &mut String, said: &Following) -> fmt::Result {
    let timeline = if said.timeline == 0 { String::new() } else { format!(" (timeline {})", said.timeline) };
    let rate = said.rate_ppb.zip(said.rate_uncertainty_ppb);
    let residual = said.residual_ns.zip(said.offset_uncertainty_ns);
    let every =
        said.sync_interval_ms.map_or(String::new(), |interval| format!(", a Sync every {interval} ms"));
    let delay = said.path_delay_ns.map_or("not measured".into(), |delay| format!("{delay} ns"));
    let leads = |(rate, sigma)| format!("{rate:+.1} ppb +/- {sigma:.1}, leader against CLOCK_MONOTONIC_RAW");
    let late = |(residual, sigma)| format!("{residual:+} ns against the map, which is good to {sigma} ns");
    rows! { out,
        "state" => format!("{}{timeline}", said.state),
        "rate" => rate.map(leads),
        "last Sync" => residual.map(late),
        "age" => said.last_sync_age_s.map(|age| format!("{age:.2} s{every}")),
        "path delay" => delay,
    }
    let redundant = said.ports.len() > 1;
    said.ports.iter().zip(0..).try_for_each(|(each, place)| {
        let used = if redundant && place == said.selected { ", in use" } else { "" };
        port(out, each, used)
    })
}

fn port(out: &mut String, port: &Port, used: &str) -> fmt::Result {
    let Port { interface, subdomain, state, timestamping, leaders, counters, .. } = port;
    let heard: Vec<String> = counters
        .by_name()
        .filter(|(name, count)| *count > 0 && *name != Counter::Rejoined.name())
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let names: Vec<String> = leaders.iter().map(leader_heard).collect();
    rows! { out,
        "port" => format!("{interface} {state}{used}, subdomain {subdomain}, {timestamping} time stamps"),
        "heard" => if heard.is_empty() { "no packets yet".into() } else { heard.join(", ") },
        "leaders" => (names.len() > 1).then(|| names.join(", ")),
    }
    Ok(())
}

fn leader_heard(heard: &Heard) -> String {
    format!("{} at {}, {:.1} s ago", heard.leader.id, heard.leader.address, heard.last_sync_age_s)
}

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
