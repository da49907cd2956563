//! Checks of what arrives at the interfaces, and of what keeps it from the programs.

use super::firewall::{self, FIND_RULE};
use super::host::{HostFacts, InterfaceFacts, LISTEN_TIME, port_of};
use super::interface::{elsewhere, judged, naming};
use super::listen::Received;
use super::{membership, routes};
use crate::finding::Finding;
use crate::pages::Pages;
use dante_core::page::PortRecord;
use dante_core::port::Counter;
use dante_core::wire::{EVENT_PORT, GENERAL_PORT};
use dante_os::net::Interface;

/// Checks each interface that is up.
pub fn judge(host: &HostFacts, pages: &Pages) -> Vec<Finding> {
    let mut found = Vec::new();
    for network in judged(host) {
        let Ok(Interface { up: true, .. }) = &network.link else { continue };
        let port = port_of(pages, &network.name);
        let gets_through =
            network.is_followed(pages) || network.leader().is_some_and(|leader| leader.reaches_socket);
        let ports = [|received: &Received| received.event, |received: &Received| received.general];
        let is_blocked = ports.iter().any(|port| network.is_blocked(port));
        found.push(routes::judge(network, gets_through && !is_blocked));
        found.push(firewall::judge(host, network, gets_through && !is_blocked, is_blocked));
        found.extend(membership::judge(host, network, port));
        found.extend(received(host, network, pages));
    }
    found
}

/// Checks whether a leader is received.
fn received(host: &HostFacts, network: &InterfaceFacts, pages: &Pages) -> Vec<Finding> {
    let InterfaceFacts { name, subdomain, .. } = network;
    let port = port_of(pages, name);
    if network.is_followed(pages) {
        let leader = port.and_then(PortRecord::leader);
        let leader = leader
            .map(|leader| format!(" {} at {}", leader.identity(), leader.address()))
            .unwrap_or_default();
        return vec![Finding::ok(format!("{name} receives the leader{leader}, subdomain {subdomain}"))];
    }
    let Some(received) = &network.received else { return Vec::new() };
    let ports = [
        ("Syncs", EVENT_PORT, network.is_blocked(|received| received.event)),
        ("Follow_Ups", GENERAL_PORT, network.is_blocked(|received| received.general)),
    ];
    if let Some(leader) = network.leader() {
        let sender = format!("the leader {} at {}", leader.identity, leader.address);
        if let Some((what, port, _)) = ports.iter().find(|(_, _, is_blocked)| *is_blocked) {
            return vec![Finding::failure(format!(
                "{what} of {sender} arrive at {name}, but this host drops them before they reach a socket (UDP {port})"
            ))
            .remedy(format!("apply the remedy of rp_filter or firewall above; without one: {FIND_RULE}"))];
        }
        let mut found = vec![Finding::ok(format!("{name} receives {sender}, subdomain {subdomain}"))];
        if leader.reaches_socket && received.general.sockets == 0 {
            found.push(
                Finding::failure(format!(
                    "{name} receives Syncs of {sender}, but no Follow_Ups: UDP 320 is blocked"
                ))
                .remedy(FIND_RULE),
            );
        }
        return found;
    }
    vec![missing(host, network, received, port)]
}

/// Returns why no leader is received.
fn missing(
    host: &HostFacts,
    network: &InterfaceFacts,
    received: &Received,
    port: Option<&PortRecord>,
) -> Finding {
    let InterfaceFacts { name, subdomain, .. } = network;
    let (configuration, unit) = (host.configuration(), host.unit());
    let configuration = configuration.display();
    if let Some(leader) = received.leaders.first() {
        let (theirs, sender) = (leader.subdomain, leader.identity);
        let follow = format!(
            "set subdomain = \"{theirs}\" in section [dante4l] of {configuration} (or --subdomain {theirs}), then systemctl \
             restart {unit}"
        );
        return Finding::failure(format!(
            "the leader {sender} at {} on {name} is in subdomain {theirs}, but {subdomain} is configured",
            leader.address
        ))
        .remedy(if theirs.is_pull_up() {
            format!(
                "in Dante Controller, set the pull-up of the devices to none\n\
                 or, only if the leader runs within --max-frequency (500 ppm at most, so at no real pull-up of 0.1 % or \
                 4 %): {follow}; set allow-pull-up = true in section [dante2sys], then systemctl restart dante2sys"
            )
        } else {
            follow
        });
    }
    if let Some((other, leader)) = elsewhere(host) {
        return Finding::failure(format!(
            "no leader is received on {name}, but the leader {} at {} is on {other}: {name} is the wrong interface",
            leader.identity, leader.address
        ))
        .remedy(naming(host, other));
    }
    if received.ptp_v2.is_any() {
        return Finding::failure(format!(
            "{name} receives only PTPv2 (AES67): no Dante device leads with PTPv1"
        ))
        .remedy(
            "enable PTPv1 on one of the devices (in Dante Controller, for a device in AES67 mode), or connect a Dante device \
             that can lead",
        );
    }
    if let Some(failure) = &received.failure
        && !received.event.is_any()
    {
        let remedy = if network.is_port_taken() {
            "stop the program that uses the port: see `ports` below"
        } else {
            "sudo pmc-lite doctor"
        };
        return Finding::warning(format!("cannot receive PTP on {name}: {}", failure.what)).remedy(remedy);
    }
    let seconds = LISTEN_TIME.as_secs_f64();
    let syncs = port.map_or(0, |port| port.counters().get(Counter::Sync));
    if syncs > 0 {
        let rejoined = match port.map_or(0, |port| port.counters().get(Counter::Rejoined)) {
            0 => String::new(),
            count => format!("; dante4l joined {} again {count} times", subdomain.group()),
        };
        return Finding::failure(format!(
            "the leader on {name} is no longer received: {syncs} Syncs earlier, none in the last {seconds} s{rejoined}"
        ))
        .remedy(
                "check that the leader is on. If Syncs stop some minutes after each start of dante4l, a switch does IGMP \
                 snooping without a querier: enable a querier in the switch, or disable snooping",
            );
    }
    let other = if received.event.is_any() || received.general.is_any() {
        "packets on UDP 319 or 320 received, but no Sync"
    } else {
        "no PTP packet received"
    };
    let nor: String = host.elsewhere.iter().map(|(name, _)| format!(", nor on {name}")).collect();
    Finding::failure(format!("no leader on {name}{nor}: {other} in {seconds} s")).remedy(
        "check that a Dante device is on and in the VLAN of this interface (Dante Controller shows which device leads). A \
         switch with IGMP snooping needs a querier",
    )
}
