//! Checks of the network interfaces and their timestamps.

use super::host::{Choice, HostFacts, InterfaceFacts};
use super::listen::ReceivedLeader;
use crate::finding::{Finding, Level, joined};
use dante_core::candidates::PassedOver;
use dante_os::net::{LinkInfo, NetError};

/// Checks the interfaces.
pub fn judge(host: &HostFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(why) = &host.unreadable {
        found.push(
            Finding::failure(format!("no interface could be read from the configuration: {why}")).remedy(
                "dante4l -f FILE --check-config shows what is wrong; without a configuration file use -i IFACE",
            ),
        );
    }
    found.extend(host.is_auto().then(|| candidates(host)));
    found.extend(judged(host).into_iter().map(|network| interface(host, network)));
    found.extend(judged(host).into_iter().filter_map(timestamps));
    found
}

/// What `interface = "auto"` means on this host.
fn candidates(host: &HostFacts) -> Finding {
    let others: Vec<String> = (host.passed_over.iter())
        .filter(|(_, why)| *why != PassedOver::Loopback)
        .map(|(name, why)| format!("{name} ({why})"))
        .collect();
    let passed_over =
        if others.is_empty() { String::new() } else { format!("; passed over: {}", others.join(", ")) };
    let names: Vec<String> = host.networks.iter().map(InterfaceFacts::described).collect();
    match (&host.choice, names.as_slice()) {
        (Choice::Chosen, _) => {
            Finding::ok(format!("interface = \"auto\": dante4l uses {}{passed_over}", joined(&names)))
        }
        (_, []) => Finding::failure(format!(
            "interface = \"auto\", but this host has no wired network interface{passed_over}"
        ))
        .remedy(format!("connect a network card, or name the interface to use: {}", naming(host, "IFACE"))),
        (_, [only]) => {
            Finding::ok(format!("interface = \"auto\": {only} is the only wired interface{passed_over}"))
        }
        _ => Finding::ok(format!(
            "interface = \"auto\": dante4l uses one of {} on which a leader is received{passed_over}",
            joined(&names)
        )),
    }
}

/// Returns the interfaces to report on one by one. While dante4l chooses among several: those with a leader, else those that can
/// receive one; the others are in the finding about all candidates.
pub fn judged(host: &HostFacts) -> Vec<&InterfaceFacts> {
    let is_searching = host.is_searching();
    let has_leader = host.networks.iter().any(|network| network.leader().is_some());
    let is_relevant = |network: &&InterfaceFacts| {
        !is_searching || if has_leader { network.leader().is_some() } else { network.fault().is_none() }
    };
    host.networks.iter().filter(is_relevant).collect()
}

fn interface(host: &HostFacts, network: &InterfaceFacts) -> Finding {
    let name = &network.name;
    let finding = match &network.link {
        Err(error) => {
            let finding = Finding::explained(Level::Failure, error);
            match error {
                NetError::NotFound { .. } => {
                    let is_usable = |link: &&LinkInfo| !link.is_loopback && !link.is_taken();
                    let others: Vec<&LinkInfo> = host.links.iter().filter(is_usable).collect();
                    finding.remedy(match others.as_slice() {
                        [only] => naming(host, &only.name),
                        _ => format!("with one of these interfaces: {}", naming(host, "IFACE")),
                    })
                }
                NetError::Port { master, .. } => finding.remedy(naming(host, master)),
                _ => finding,
            }
        }
        Ok(link) if !link.up => Finding::failure(format!("{name} ({}) has no carrier", link.address))
            .remedy(format!(
                "connect the cable, and check the port at its other end; ip -br link show {name} shows UP with carrier"
            )),
        Ok(link) => return Finding::ok(format!("{name} is up, {}", link.address)),
    };
    match elsewhere(host) {
        Some((other, leader)) => {
            let what = format!(
                "{}; the leader {} at {} was received on {other}",
                finding.what(),
                leader.identity,
                leader.address
            );
            finding.reworded(what).remedy(naming(host, other))
        }
        None => finding,
    }
}

/// Returns the remedy that configures the interface of dante4l.
pub fn naming(host: &HostFacts, interface: &str) -> String {
    crate::finding::naming(interface, &host.configuration.display().to_string(), &host.unit())
}

/// Returns a leader that was received on an interface that was not named.
pub fn elsewhere(host: &HostFacts) -> Option<(&String, &ReceivedLeader)> {
    host.elsewhere.iter().find_map(|(name, received)| Some((name, received.leaders.first()?)))
}

fn timestamps(network: &InterfaceFacts) -> Option<Finding> {
    let (name, able) = (&network.name, network.timestamping?);
    network.link.as_ref().ok()?;
    Some(match (able.has_hardware_rx(), able.clock, able.has_software_rx()) {
        (true, Some(clock), _) => Finding::ok(format!("{name} has hardware timestamps (/dev/ptp{clock})")),
        (_, _, true) => Finding::ok(format!("{name} has kernel timestamps, no hardware timestamps")),
        _ => Finding::failure(format!("{name} has no receive timestamps: dante4l cannot measure")).remedy(
            format!("use another network card or driver; ethtool -T {name} lists the timestamps of this one"),
        ),
    })
}
