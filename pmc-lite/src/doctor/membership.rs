//! Check of the multicast groups that this host has joined, and of the IGMP version in use.

use super::host::{HostFacts, InterfaceFacts, setting};
use crate::finding::Finding;
use dante_core::page::PortRecord;
use dante_os::procfs::text_of;
use std::net::Ipv4Addr;
use std::path::Path;

/// Memberships of one interface according to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memberships {
    /// Groups joined on the interface.
    pub groups: Vec<Ipv4Addr>,
    /// IGMP version in use: that of the network's querier, else the kernel's default 3.
    pub version: Option<u8>,
    /// IGMP version forced by a setting of this host (`force_igmp_version`).
    pub forced: Option<u8>,
}

impl Memberships {
    /// Reads the memberships of this interface; empty if there is no such interface.
    pub fn of(interface: &str) -> Self {
        Self::in_tree(Path::new("/proc"), interface)
    }

    pub(super) fn in_tree(proc: &Path, interface: &str) -> Self {
        let mut found =
            text_of(&proc.join("net/igmp")).map(|text| parse(&text, interface)).unwrap_or_default();
        // The setting of `all` wins (IGMP_V1_SEEN and IGMP_V2_SEEN of net/ipv4/igmp.c).
        found.forced = ["all", interface]
            .into_iter()
            .filter_map(|of| setting(proc, of, "force_igmp_version"))
            .find(|version| *version != 0)
            .and_then(|version| u8::try_from(version).ok());
        found
    }
}

/// Parses /proc/net/igmp: one line per interface, which ends with the version, followed by one indented line per group.
fn parse(text: &str, interface: &str) -> Memberships {
    let mut found = Memberships::default();
    let mut is_ours = false;
    for line in text.lines().skip(1) {
        let mut words = line.split_whitespace();
        if line.starts_with(char::is_whitespace) {
            let group = words.next().filter(|_| is_ours).and_then(|word| u32::from_str_radix(word, 16).ok());
            // The kernel prints the address as a number in host byte order.
            found.groups.extend(group.map(|number| Ipv4Addr::from(number.to_ne_bytes())));
        } else {
            is_ours = words.nth(1).is_some_and(|name| name.trim_end_matches(':') == interface);
            if is_ours {
                let last = words.last().and_then(|word| word.strip_prefix('V'));
                found.version = last.and_then(|number| number.parse().ok());
            }
        }
    }
    found
}

/// Checks the membership in the PTP group: a switch with IGMP snooping forwards the packets of a group only to its members.
pub fn judge(host: &HostFacts, network: &InterfaceFacts, port: Option<&PortRecord>) -> Vec<Finding> {
    let (name, group) = (&network.name, network.subdomain.group());
    let mut found = Vec::new();
    let memberships = &network.memberships;
    let version =
        memberships.version.map(|version| format!(" by IGMP version {version}")).unwrap_or_default();
    if port.is_some_and(|port| port.identity().is_some()) {
        found.push(if memberships.groups.contains(&group) {
            Finding::ok(format!("{name} is a member of {group}{version}"))
        } else {
            Finding::failure(format!(
                "{name} is not a member of {group}: a switch with IGMP snooping does not forward PTP to it"
            ))
            .remedy(format!("systemctl restart {}", host.unit()))
        });
    }
    if let Some(version @ 1) = memberships.forced {
        found.push(
            Finding::warning(format!(
                "{name} is forced to IGMP version {version}: switches with IGMP snooping may ignore it"
            ))
            .remedy(format!(
                "sysctl -w net.ipv4.conf.all.force_igmp_version=0 net.ipv4.conf.{name}.force_igmp_version=0"
            )),
        );
    }
    found
}
