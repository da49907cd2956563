//! Which interfaces cannot be on a Dante network: `interface = "auto"` passes them over.

use super::LinkInfo;
use dante_core::candidates::PassedOver;
use std::path::Path;

/// Kinds of virtual interfaces with a cable at their end, or which a container has in place of one.
const WITH_CABLE: [&str; 6] = ["vlan", "bond", "team", "macvlan", "ipvlan", "veth"];

/// Returns why this one of `links` is passed over; `None`: it may be on a Dante network.
pub fn passed_over(link: &LinkInfo, links: &[LinkInfo]) -> Option<PassedOver> {
    judge(link, links, is_wireless)
}

fn judge(link: &LinkInfo, links: &[LinkInfo], is_wireless: impl Fn(&str) -> bool) -> Option<PassedOver> {
    let kind = link.kind.as_deref();
    if link.is_loopback {
        return Some(PassedOver::Loopback);
    }
    if link.is_taken() {
        return Some(PassedOver::Port);
    }
    if is_wireless(&link.name) {
        return Some(PassedOver::Wireless);
    }
    match kind {
        // A WireGuard interface, for example, has no hardware addresses.
        _ if !link.is_ethernet => Some(PassedOver::Tunnel),
        None => None,
        Some("tun") => Some(PassedOver::Tunnel),
        Some("bridge" | "openvswitch") => {
            let mut ports = links.iter().filter(|port| port.master == Some(link.index));
            let has_card = ports.any(|port| {
                matches!(port.kind.as_deref(), None | Some("bond" | "vlan" | "team"))
                    && port.is_ethernet
                    && !is_wireless(&port.name)
            });
            (!has_card).then_some(PassedOver::ContainerBridge)
        }
        Some(kind) => (!WITH_CABLE.contains(&kind)).then_some(PassedOver::Virtual),
    }
}

/// Whether the kernel has a Wi-Fi device behind this interface.
fn is_wireless(name: &str) -> bool {
    let folder = Path::new("/sys/class/net").join(name);
    ["phy80211", "wireless"].iter().any(|entry| folder.join(entry).exists())
}

#[cfg(test)]
mod tests;
