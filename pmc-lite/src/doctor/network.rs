//! What arrives at the interfaces, and what keeps it from the programs.

use super::firewall::{self, LOOK};
use super::host::{HostFacts, InterfaceFacts, LISTENED, port_of};
use super::interface::{elsewhere, judged, naming};
use super::listen::Received;
use super::{membership, routes};
use crate::finding::Finding;
use crate::pages::Pages;
use dante_core::page::PortRecord;
use dante_core::port::Counter;
use dante_core::wire::{EVENT_PORT, GENERAL_PORT};
use dante_os::net::Interface;

/// What arrives, and what is in its way.
pub fn judge(host: &HostFacts, pages: &Pages) -> Vec<Finding> {
    let mut found = Vec::new();
    for network in judged(host) {
        let Ok(Interface { up: true, .. }) = &network.link else { continue };
        let port = port_of(pages, &network.name);
        let gets_through =
            network.is_followed(pages) || network.leader().is_some_and(|leader| leader.is_let_in);
        let halves = [|heard: &Received| heard.event, |heard: &Received| heard.general];
        let shut_out = halves.iter().any(|half| network.is_shut_out(half));
        found.push(routes::judge(network, gets_through && !shut_out));
        found.push(firewall::judge(host, network, gets_through && !shut_out, shut_out));
        found.extend(membership::judge(host, network, port));
        found.extend(heard(host, network, pages));
    }
    found
}

fn heard(host: &HostFacts, network: &InterfaceFacts, pages: &Pages) -> Vec<Finding> {
    let InterfaceFacts { name, subdomain, .. } = network;
    let port = port_of(pages, name);
    if network.is_followed(pages) {
        let who = port.and_then(PortRecord::leader);
        let who = who.map(|who| format!(" {} at {}", who.identity(), who.address())).unwrap_or_default();
        return vec![Finding::ok(format!("{name} hears the leader{who}, in subdomain {subdomain}"))];
    }
    let Some(heard) = &network.heard else { return Vec::new() };
    let halves = [
        ("Syncs", EVENT_PORT, network.is_shut_out(|heard| heard.event)),
        ("Follow_Ups", GENERAL_PORT, network.is_shut_out(|heard| heard.general)),
    ];
    if let Some(leader) = network.leader() {
        let who = format!("the leader {} at {}", leader.identity, leader.address);
        if let Some((what, port, _)) = halves.iter().find(|(_, _, shut_out)| *shut_out) {
            return vec![Finding::failure(format!(
                "{what} of {who} arrive at {name}, and are thrown away on this host before a program gets them (UDP {port})"
            ))
            .remedy(format!("where rp_filter or the firewall is named above, do what stands there; else {LOOK}"))];
        }
        let mut found = vec![Finding::ok(format!("{name} hears {who}, in subdomain {subdomain}"))];
        if leader.is_let_in && heard.general.sockets == 0 {
            found.push(
                Finding::failure(format!(
                    "no Follow_Up is heard on {name}, but Syncs are: UDP 320 does not get here"
                ))
                .remedy(LOOK),
            );
        }
        return found;
    }
    vec![missing(host, network, heard, port)]
}

/// Why there is no leader.
fn missing(
    host: &HostFacts,
    network: &InterfaceFacts,
    heard: &Received,
    port: Option<&PortRecord>,
) -> Finding {
    let InterfaceFacts { name, subdomain, .. } = network;
    let (configuration, unit) = (host.configuration(), host.unit());
    let configuration = configuration.display();
    if let Some(leader) = heard.leaders.first() {
        let (theirs, who) = (leader.subdomain, leader.identity);
        let follow = format!(
            "subdomain = \"{theirs}\" in section [dante4l] of {configuration} (or --subdomain {theirs}), systemctl restart {unit}"
        );
        return Finding::failure(format!(
            "{name} hears the leader {who} at {}, but in subdomain {theirs}, and {subdomain} is followed",
            leader.address
        ))
        .remedy(if theirs.is_pull_up() {
            format!(
                "set the devices' pull-up back to none in Dante Controller\n\
                 or, for a clock that is per cents off UTC: {follow}, allow-pull-up = true in section [dante2sys], and systemctl restart dante2sys"
            )
        } else {
            format!("follow it: {follow}")
        });
    }
    if let Some((other, leader)) = elsewhere(host) {
        return Finding::failure(format!(
            "no leader is heard on {name}, but {} at {} is on {other}: {name} is the wrong interface",
            leader.identity, leader.address
        ))
        .remedy(naming(host, other));
    }
    if heard.ptp_v2.is_any() {
        return Finding::failure(format!(
            "{name} hears PTPv2 only: these devices speak AES67, and no Dante device leads with PTPv1"
        ))
        .remedy("enable PTPv1 on one of them (in Dante Controller, for a device in AES67 mode), or bring in a Dante device that leads");
    }
    if let Some(failure) = &heard.failure
        && !heard.event.is_any()
    {
        let remedy =
            if network.is_port_taken() { "stop who has it: see ports below" } else { "sudo pmc-lite doctor" };
        return Finding::warning(format!("{name} could not be listened to: {}", failure.what)).remedy(remedy);
    }
    let seconds = LISTENED.as_secs();
    let once = port.map_or(0, |port| port.counters().get(Counter::Sync));
    if once > 0 {
        let anew = match port.map_or(0, |port| port.counters().get(Counter::Rejoined)) {
            0 => String::new(),
            count => {
                format!(", although the membership of {} was told anew {count} times", subdomain.group())
            }
        };
        return Finding::failure(format!(
            "the leader on {name} fell silent: {once} Syncs came, and none within {seconds} s{anew}"
        ))
        .remedy(
                "is it still there? If Syncs stop some minutes after each start of dante4l, a switch snoops IGMP and has no \
                 querier: turn a querier on in it, or snooping off",
            );
    }
    let other = if heard.event.is_any() || heard.general.is_any() {
        "PTP packets, but no leader's Sync"
    } else {
        "nothing that speaks PTP"
    };
    let nor: String = host.elsewhere.iter().map(|(name, _)| format!(", nor on {name}")).collect();
    Finding::failure(format!("no leader on {name}{nor}: {other} within {seconds} s")).remedy(
        "is a Dante device on, and in this network's VLAN? Dante Controller shows which one leads. A switch that snoops IGMP needs \
         a querier",
    )
}
