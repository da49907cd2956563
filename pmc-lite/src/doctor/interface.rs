//! What there is to listen on: the interfaces, and their time stamps.

use super::host::{Choice, HostFacts, InterfaceFacts};
use super::listen::ReceivedLeader;
use crate::finding::{Finding, Level};
use dante_os::net::NetError;

/// What there is to listen on.
pub fn judge(host: &HostFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(why) = &host.unreadable {
        found.push(
            Finding::failure(format!("the configuration tells no interface: {why}")).remedy(
                "dante4l -f FILE --check-config says what is wrong with it; without a file: -i IFACE",
            ),
        );
    }
    if host.choice == Choice::All && host.unreadable.is_none() {
        found.push(unnamed(host));
    }
    found.extend(judged(host).into_iter().map(|network| interface(host, network)));
    found.extend(judged(host).into_iter().filter_map(stamps));
    found
}

/// Nobody said which one it is.
fn unnamed(host: &HostFacts) -> Finding {
    let with_leader: Vec<&str> = host
        .networks
        .iter()
        .filter(|network| network.leader().is_some())
        .map(|network| network.name.as_str())
        .collect();
    let finding = Finding::failure(
        "dante4l does not run, and no configuration says which interface is on the Dante network: all are looked at",
    );
    match with_leader.as_slice() {
        [one] => finding.remedy(format!("a leader is heard on {one}: {}", naming(host, one))),
        _ => finding.remedy(naming(host, "IFACE")),
    }
}

/// Where nobody said which one it is, those without a leader are of no interest once another has one.
pub fn judged(host: &HostFacts) -> Vec<&InterfaceFacts> {
    let is_told = |network: &&InterfaceFacts| network.leader().is_some();
    let has_leader = host.choice == Choice::All && host.networks.iter().any(|network| is_told(&network));
    host.networks.iter().filter(|network| !has_leader || is_told(network)).collect()
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
                        _ => format!("for one of these: {}", naming(host, "IFACE")),
                    })
                }
                _ => finding,
            }
        }
        Ok(link) if !link.up => Finding::failure(format!("{name} ({}) has no carrier", link.address))
            .remedy("plug the cable in, and look at the other end of it"),
        Ok(link) => return Finding::ok(format!("{name} is up, {}", link.address)),
    };
    match elsewhere(host) {
        Some((other, leader)) => {
            let what = format!(
                "{}; a leader, {} at {}, is heard on {other}",
                finding.what, leader.identity, leader.address
            );
            Finding { what, ..finding }.remedy(naming(host, other))
        }
        None => finding,
    }
}

/// How dante4l is told its interface.
pub fn naming(host: &HostFacts, interface: &str) -> String {
    format!(
        "interface = \"{interface}\" in section [dante4l] of {} (or -i {interface}), and systemctl restart {}",
        host.configuration().display(),
        host.unit()
    )
}

/// A leader on an interface that nobody named.
pub fn elsewhere(host: &HostFacts) -> Option<(&String, &ReceivedLeader)> {
    host.elsewhere.iter().find_map(|(name, heard)| Some((name, heard.leaders.first()?)))
}

fn stamps(network: &InterfaceFacts) -> Option<Finding> {
    let (name, able) = (&network.name, network.stamps?);
    network.link.as_ref().ok()?;
    Some(match (able.stamps_arrivals(), able.clock, able.stamps_arrivals_by_software()) {
        (true, Some(clock), _) => {
            Finding::ok(format!("{name} has hardware time stamps, of /dev/ptp{clock}, and the kernel's"))
        }
        (_, _, true) => Finding::ok(format!("{name} has the kernel's time stamps, and none in hardware")),
        _ => Finding::failure(format!("{name} has no time stamps of what arrives: nothing can be measured"))
            .remedy(format!(
                "another network card, or another driver; ethtool -T {name} shows what it offers"
            )),
    })
}
