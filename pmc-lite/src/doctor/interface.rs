//! Checks of the network interfaces and their timestamps.

use super::host::{Choice, HostFacts, InterfaceFacts};
use super::listen::ReceivedLeader;
use crate::finding::{Finding, Level};
use dante_core::printable::printable;
use dante_os::net::NetError;

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
    if host.choice == Choice::All && host.unreadable.is_none() {
        found.push(unnamed(host));
    }
    found.extend(judged(host).into_iter().map(|network| interface(host, network)));
    found.extend(judged(host).into_iter().filter_map(timestamps));
    found
}

/// The finding that neither dante4l, nor a flag, nor the configuration names an interface.
fn unnamed(host: &HostFacts) -> Finding {
    let with_leader: Vec<&str> = host
        .networks
        .iter()
        .filter(|network| network.leader().is_some())
        .map(|network| network.name.as_str())
        .collect();
    let finding = Finding::failure(
        "dante4l is not running, and no configuration names the interface of the Dante network: all interfaces were checked",
    );
    match with_leader.as_slice() {
        [one] => finding.remedy(format!("a leader was received on {one}: {}", naming(host, one))),
        _ => finding.remedy(naming(host, "IFACE")),
    }
}

/// Returns the interfaces to report on. If none was named and a leader was received on one, those without a leader are left out.
pub fn judged(host: &HostFacts) -> Vec<&InterfaceFacts> {
    let is_relevant = |network: &&InterfaceFacts| network.leader().is_some();
    let has_leader = host.choice == Choice::All && host.networks.iter().any(|network| is_relevant(&network));
    host.networks.iter().filter(|network| !has_leader || is_relevant(network)).collect()
}

fn interface(host: &HostFacts, network: &InterfaceFacts) -> Finding {
    let name = &network.name;
    let finding = match &network.link {
        Err(error) => {
            let finding = Finding::explained(Level::Failure, error);
            match error {
                NetError::NotFound { present, .. } => {
                    let others: Vec<&String> = present.iter().filter(|name| *name != "lo").collect();
                    finding.remedy(match others.as_slice() {
                        [only] => naming(host, only),
                        _ => format!("with one of these interfaces: {}", naming(host, "IFACE")),
                    })
                }
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
    let (interface, file) = (printable(interface), host.configuration().display().to_string());
    format!(
        "set interface = \"{interface}\" in section [dante4l] of {} (or -i {interface}), then systemctl restart {}",
        printable(&file),
        host.unit()
    )
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
