//! The part of dante4l as text: leaders, networks, samples.

use super::{HEADING, OK, row, rows, written};
use crate::finding::cause;
use crate::scale::{fixed, plus};
use crate::shown::Key;
use crate::status::{Candidate, Following, ForeignLeader, Leader, Port, Sample};
use dante_core::candidates::PassedOver;
use dante_core::port::Counter;
use std::fmt::{self, Write};

pub fn leader(out: &mut String, dante4l: &Following) -> fmt::Result {
    let Some(leader) = &dante4l.leader else { return writeln!(out, "{HEADING}leader{HEADING:#}     none") };
    let Leader { id, port_id, address, .. } = leader;
    writeln!(out, "{HEADING}leader{HEADING:#}     {id}/{port_id} at {address}")?;
    let mut clock = quality(leader);
    clock.extend(preferred(leader));
    row(out, "clock", &clock.join(", "))
}

/// Formats the clock quality of a leader's grandmaster, as its protocol advertises it.
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

pub fn following(out: &mut String, dante4l: &Following) -> fmt::Result {
    let timeline =
        if dante4l.timeline == 0 { String::new() } else { format!(" (timeline {})", dante4l.timeline) };
    let rate = dante4l.rate_ppb.zip(dante4l.rate_uncertainty_ppb);
    let residual = dante4l.residual_ns.zip(dante4l.offset_uncertainty_ns);
    let every = match (dante4l.sync_interval_ms, dante4l.advertised_sync_interval_ms) {
        (Some(ms), Some(advertised)) if ms != advertised => {
            format!(", a Sync every {ms} ms (advertised: {advertised} ms)")
        }
        (Some(ms), _) => format!(", a Sync every {ms} ms"),
        (None, _) => String::new(),
    };
    let delay = dante4l.path_delay_ns.map_or("not measured".into(), |delay| format!("{delay} ns"));
    let rate_text = |(rate, sigma)| {
        format!("{} ppb +/- {}, leader against CLOCK_MONOTONIC_RAW", plus(rate, 1), fixed(sigma, 1))
    };
    let residual_text =
        |(residual, sigma)| format!("residual {residual:+} ns, uncertainty of the clock map {sigma} ns");
    rows! { out,
        "state" => format!("{}{timeline}", dante4l.state),
        "rate" => rate.map(rate_text),
        "last Sync" => residual.map(residual_text),
        "age" => dante4l.last_sync_age_s.map(|age| format!("{age:.2} s{every}")),
        "path delay" => delay,
        "interfaces" => dante4l.candidates.as_deref().map(interfaces),
    }
    let redundant = dante4l.ports.len() > 1;
    dante4l.ports.iter().zip(0..).try_for_each(|(each, place)| {
        let used = if redundant && place == dante4l.selected { ", in use" } else { "" };
        port(out, each, used)
    })
}

/// Formats the interfaces among which dante4l chooses: `eth0 no leader (no carrier), eth1 primary; passed over: wlan0 (Wi-Fi)`.
fn interfaces(candidates: &[Candidate]) -> String {
    let mut passed_over = Vec::new();
    let mut eligible = Vec::new();
    for Candidate { interface, role, passed_over: why, fault, .. } in candidates {
        match (why, role) {
            (Some(Key(PassedOver::Loopback)), _) => {}
            (Some(Key(why)), _) => passed_over.push(format!("{interface} ({why})")),
            (None, role) => {
                let role = role.map(|Key(role)| format!(" {role}")).unwrap_or_default();
                let fault = fault.and_then(|Key(fault)| cause(fault));
                let fault = fault.map(|fault| format!(" ({fault})")).unwrap_or_default();
                eligible.push(format!("{interface}{role}{fault}"));
            }
        }
    }
    let eligible = if eligible.is_empty() { "none on a cable".into() } else { eligible.join(", ") };
    let others = if passed_over.is_empty() {
        String::new()
    } else {
        format!("; passed over: {}", passed_over.join(", "))
    };
    eligible + &others
}

fn port(out: &mut String, port: &Port, used: &str) -> fmt::Result {
    let Port { interface, subdomain, state, timestamping, leaders, counters, .. } = port;
    let counts: Vec<String> = counters
        .by_name()
        .filter(|(name, count)| *count > 0 && *name != Counter::Rejoined.name())
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let names: Vec<String> = leaders.iter().map(leader_age).collect();
    rows! { out,
        "port" => format!("{interface} {state}{used}, subdomain {subdomain}, timestamps {timestamping}"),
        "counters" => if counts.is_empty() { "no packets yet".into() } else { counts.join(", ") },
        "leaders" => (names.len() > 1).then(|| names.join(", ")),
    }
    Ok(())
}

fn leader_age(foreign: &ForeignLeader) -> String {
    format!("{} at {}, {:.1} s ago", foreign.leader.id, foreign.leader.address, foreign.last_sync_age_s)
}

/// Formats all foreign leaders, with the followed one marked.
pub fn leaders(ports: &[Port], followed: Option<&Leader>) -> String {
    written(|out| {
        if ports.iter().all(|port| port.leaders.is_empty()) {
            return writeln!(out, "no leader is received: pmc-lite doctor looks for the cause");
        }
        for port in ports {
            for foreign in &port.leaders {
                let is_followed = followed.is_some_and(|leader| {
                    (&leader.id, leader.port_id, &leader.address)
                        == (&foreign.leader.id, foreign.leader.port_id, &foreign.leader.address)
                });
                foreign_leader(out, &port.interface, foreign, is_followed)?;
            }
        }
        Ok(())
    })
}

fn foreign_leader(
    out: &mut String,
    interface: &str,
    foreign: &ForeignLeader,
    is_followed: bool,
) -> fmt::Result {
    let ForeignLeader { leader, qualified, defect, last_sync_age_s } = foreign;
    let (mark, style) = if is_followed { (", followed", OK) } else { ("", HEADING) };
    let Leader { id, port_id, address, variance, steps_removed, .. } = leader;
    writeln!(out, "{style}{id}/{port_id}{style:#} at {address} on {interface}{mark}")?;
    let mut clock = quality(leader);
    clock.push(format!("variance {variance}"));
    clock.extend(preferred(leader));
    clock.push(format!("{steps_removed} steps removed"));
    row(out, "clock", &clock.join(", "))?;
    let note = if *qualified { "" } else { ", not qualified yet: its second Sync is missing" };
    row(out, "last Sync", &format!("{last_sync_age_s:.2} s ago{note}"))?;
    match defect.as_ref().filter(|_| !is_followed) {
        Some(defect) => row(out, "passed over", &format!("it sends {defect}")),
        None => Ok(()),
    }
}

pub fn ports(ports: &[Port]) -> String {
    written(|out| {
        for each in ports {
            let uuid = each.uuid.as_deref().unwrap_or("no open sockets");
            writeln!(out, "{HEADING}{}{HEADING:#} {uuid}", each.interface)?;
            port(out, each, "")?;
        }
        Ok(())
    })
}

/// Formats all counters, including those at zero.
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
            return writeln!(out, "no Sync has been measured yet");
        }
        writeln!(out, "  {HEADING}sample        age    residual{HEADING:#}")?;
        for Sample { number, age_s, residual_ns, accepted, .. } in samples {
            let note = if *accepted { "" } else { "  rejected" };
            writeln!(out, "{number:>8} {age_s:>8.2} s {residual_ns:>+8} ns{note}")?;
        }
        Ok(())
    })
}
