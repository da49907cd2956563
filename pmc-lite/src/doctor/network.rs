//! Checks of what arrives at the interfaces, and of what keeps it from the programs.

use super::firewall::{self, FIND_RULE};
use super::host::{HostFacts, InterfaceFacts, LISTEN_TIME};
use super::interface::{elsewhere, judged, naming};
use super::listen::{Received, ReceivedLeader, TaggedLeader};
use super::{membership, routes};
use crate::finding::{Finding, Level, joined};
use crate::pages::Pages;
use dante_core::candidates::PassedOver;
use dante_core::page::PortRecord;
use dante_core::port::{Counter, State};
use dante_core::printable::printable;
use dante_core::time::{Raw, Timestamp};
use dante_core::wire::{EVENT_PORT, GENERAL_PORT};
use dante_os::net::Interface;

/// Checks each interface that is up.
pub fn judge(host: &HostFacts, pages: &Pages) -> Vec<Finding> {
    let mut found = Vec::new();
    for network in judged(host) {
        let Ok(Interface { up: true, .. }) = &network.link else { continue };
        let port = network.port(pages);
        let gets_through =
            network.is_followed(pages) || network.leader().is_some_and(|leader| leader.reaches_socket);
        let ports = [|received: &Received| received.event, |received: &Received| received.general];
        let is_blocked = ports.iter().any(|port| network.is_blocked(port));
        found.push(routes::judge(network, gets_through && !is_blocked));
        found.push(firewall::judge(host, network, gets_through && !is_blocked, is_blocked));
        found.extend(membership::judge(host, network, port));
        found.extend(received(host, network, pages));
    }
    let has_leader = host.networks.iter().any(|network| network.leader().is_some());
    let is_explained = found.iter().any(|found| found.level == Level::Failure);
    // An interface on which doctor could not listen has a finding of its own.
    let lacks_sockets = |network: &InterfaceFacts| {
        network
            .received
            .as_ref()
            .is_some_and(|received| received.failure.is_some() && !received.event.is_any())
    };
    let is_known = !host.networks.iter().any(lacks_sockets);
    if host.is_searching() && !has_leader && !is_explained && is_known {
        found.push(no_candidate(host));
    }
    found
}

/// The finding that none of the interfaces among which dante4l chooses receives a leader.
fn no_candidate(host: &HostFacts) -> Finding {
    let names: Vec<String> = host.networks.iter().map(InterfaceFacts::described).collect();
    let names = joined(&names);
    if let Some((other, leader)) = elsewhere(host) {
        return passed_over(host, &format!("no leader is received on {names}"), other, leader);
    }
    let seconds = LISTEN_TIME.as_secs_f64();
    Finding::failure(format!("no leader on {names}: no Sync received in {seconds} s")).remedy(
        "check that the cable of the Dante network is connected, and that a Dante device is on and in the VLAN of that interface \
         (Dante Controller shows which device leads). A switch with IGMP snooping needs a querier",
    )
}

/// The finding that `without`, but a leader was received on an interface that dante4l does not use by itself.
fn passed_over(host: &HostFacts, without: &str, other: &str, leader: &ReceivedLeader) -> Finding {
    let (identity, address) = (leader.identity, leader.address);
    let why = host.passed_over(other);
    let reason =
        why.map(|why| format!(", which interface = \"auto\" passes over ({why})")).unwrap_or_default();
    let named = naming(host, other);
    Finding::failure(format!("{without}, but the leader {identity} at {address} is on {other}{reason}"))
        .remedy(match why {
            Some(PassedOver::Wireless) => format!(
                "connect this host to the Dante network by a cable\n\
                 or, although an access point delays Syncs by milliseconds: {named}"
            ),
            _ => named,
        })
}

/// The finding that the leader's packets have a VLAN tag with which the interface does not receive them.
fn tagged(host: &HostFacts, network: &InterfaceFacts, tagged: &TaggedLeader) -> Finding {
    let name = &network.name;
    let TaggedLeader { vlan, identity, address } = tagged;
    let what = format!(
        "PTP of the leader {identity} at {address} arrives at {name} with VLAN tag {vlan}, which {name} does not receive"
    );
    let parent = network.info.as_ref().map(|link| link.index);
    let existing = host.links.iter().find(|link| link.parent == parent && link.vlan == Some(*vlan));
    let (set_up, vlan_name) = match existing {
        Some(link) if link.is_up && !link.addresses.is_empty() => (String::new(), link.name.clone()),
        Some(link) => {
            let name = printable(&link.name).into_owned();
            (format!("ip link set {name} up, and give it an IPv4 address; "), link.name.clone())
        }
        None => {
            // The kernel's limit on a name is 15 bytes.
            let of_parent = format!("{name}.{vlan}");
            let new = if of_parent.len() <= 15 { of_parent } else { format!("vlan{vlan}") };
            let set_up = format!(
                "ip link add link {name} name {new} type vlan id {vlan}; ip link set {new} up; give it an IPv4 address; ",
            );
            (set_up, new)
        }
    };
    let use_it = if host.is_auto() { "dante4l then uses it".to_owned() } else { naming(host, &vlan_name) };
    Finding::failure(what).remedy(format!(
        "receive that VLAN on this host: {set_up}{use_it}\n\
         or set the switch's port of this host to VLAN {vlan} untagged"
    ))
}

/// Checks whether a leader is received.
fn received(host: &HostFacts, network: &InterfaceFacts, pages: &Pages) -> Vec<Finding> {
    let InterfaceFacts { name, subdomain, .. } = network;
    let port = network.port(pages);
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
            .remedy(format!("apply the remedy of rp_filter or firewall above, if there is one; else {FIND_RULE}"))];
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
    missing(host, network, received, port, pages.now).into_iter().collect()
}

/// Returns why no leader is received; `None` if nothing shows it while dante4l chooses among several interfaces.
fn missing(
    host: &HostFacts,
    network: &InterfaceFacts,
    received: &Received,
    port: Option<&PortRecord>,
    now: Timestamp<Raw>,
) -> Option<Finding> {
    let InterfaceFacts { name, subdomain, .. } = network;
    let (configuration, unit) = (host.configuration.display(), host.unit());
    if let Some(leader) = received.leaders.first() {
        let (theirs, sender) = (leader.subdomain, leader.identity);
        let follow = format!(
            "set subdomain = \"{theirs}\" in section [dante4l] of {configuration} (or --subdomain {theirs}), then systemctl \
             restart {unit}"
        );
        return Some(Finding::failure(format!(
            "the leader {sender} at {} on {name} is in subdomain {theirs}, but {subdomain} is configured",
            leader.address
        ))
        .remedy(if theirs.is_pull_up() {
            format!(
                "in Dante Controller, set the pull-up of the devices to none\n\
                 or, only if the leader's rate is within max-frequency (500 ppm at most; a real pull-up is 1000 ppm or more): {follow}; \
                 set allow-pull-up = true in section [dante2sys], then systemctl restart dante2sys"
            )
        } else {
            follow
        }));
    }
    if let Some(leader) = received.tagged.first() {
        return Some(tagged(host, network, leader));
    }
    if let Some((other, leader)) = elsewhere(host).filter(|_| !host.is_searching()) {
        return Some(other_interface(host, name, other, leader));
    }
    if received.ptp_v2.is_any() {
        return Some(
            Finding::failure(format!("{name} receives only PTPv2 (AES67): no Dante device leads with PTPv1"))
                .remedy(
                    "enable PTPv1 on one of the devices (in Dante Controller, for a device in AES67 mode), or connect a Dante \
                     device that can lead",
                ),
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
        let what = format!("cannot receive PTP on {name}: {}", failure.what);
        return Some(Finding::warning(what).remedy(remedy));
    }
    let seconds = LISTEN_TIME.as_secs_f64();
    let syncs = port.map_or(0, |port| port.counters().get(Counter::Sync));
    if syncs > 0 {
        let rejoined = match port.map_or(0, |port| port.counters().get(Counter::Rejoined)) {
            0 => String::new(),
            count => format!("; dante4l joined {} again {count} times", subdomain.group()),
        };
        return Some(Finding::failure(format!(
            "the leader on {name} is no longer received: {syncs} Syncs earlier, none in the last {seconds} s{rejoined}"
        ))
        .remedy(
                "check that the leader is on. If Syncs stop some minutes after each start of dante4l, a switch does IGMP \
                 snooping without a querier: enable a querier in the switch, or disable snooping",
            ));
    }
    // Doctor receives no packets of this host, for example: dante4l's finding explains them.
    let is_explained = port.is_some_and(|port| {
        let state = port.state().unwrap_or(State::Initializing);
        port.diagnostics().any(|(diagnostic, at)| diagnostic.explains_state(state, now - at))
    });
    if host.is_searching() || is_explained {
        return None;
    }
    let other = if received.event.is_any() || received.general.is_any() {
        "packets on UDP 319 or 320 received, but no Sync"
    } else {
        "no PTP packet received"
    };
    let nor: String = host.elsewhere.iter().map(|(name, _)| format!(", nor on {name}")).collect();
    Some(Finding::failure(format!("no leader on {name}{nor}: {other} in {seconds} s")).remedy(
        "check that a Dante device is on and in the VLAN of this interface (Dante Controller shows which device leads). A \
         switch with IGMP snooping needs a querier",
    ))
}

/// The finding that the leader is on an interface that was not named, or is not used.
fn other_interface(host: &HostFacts, name: &str, other: &str, leader: &ReceivedLeader) -> Finding {
    let (identity, address) = (leader.identity, leader.address);
    let without = format!("no leader is received on {name}");
    if host.is_auto() && host.passed_over(other).is_some() {
        return passed_over(host, &without, other, leader);
    }
    let what = format!("{without}, but the leader {identity} at {address} is on {other}");
    if host.is_auto() {
        return Finding::warning(format!(
            "{what}: dante4l uses {other} after 10 s without a leader on {name}"
        ))
        .remedy("check the cable and the switch of the network that was used");
    }
    Finding::failure(format!("{what}: {name} is the wrong interface")).remedy(naming(host, other))
}
