//! Check of reverse-path filtering: the kernel drops packets from addresses that it would not reach through the same interface
//! (`rp_filter`, Documentation/networking/ip-sysctl.rst).

use super::host::{InterfaceFacts, setting};
use crate::finding::Finding;
use dante_os::procfs::text_of;
use std::net::Ipv4Addr;
use std::path::Path;

/// Strictness of the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filter {
    /// No packet is dropped.
    #[default]
    Off,
    /// The best route to the source has to lead through this interface.
    Strict,
    /// Any route to the source is sufficient.
    Loose,
}

/// A route of the main table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Outgoing interface.
    pub interface: String,
    /// Destination network.
    pub network: Ipv4Addr,
    /// Mask of the destination network.
    pub mask: Ipv4Addr,
    /// Of two routes with the same mask the one with the lower metric is used.
    pub metric: u32,
}

/// The filter of one interface, and the routes that it uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReversePath {
    /// Strictness on this interface.
    pub filter: Filter,
    /// Routes of the main table. Other tables (policy routing) are not read.
    pub routes: Vec<Route>,
}

impl ReversePath {
    /// Reads the filter and the routes for this interface.
    pub fn of(interface: &str) -> Self {
        Self::in_tree(Path::new("/proc"), interface)
    }

    pub(super) fn in_tree(proc: &Path, interface: &str) -> Self {
        // The kernel uses the greater value of `all` and the interface's own.
        let number = ["all", interface].into_iter().filter_map(|of| setting(proc, of, "rp_filter")).max();
        let filter = match number {
            Some(1) => Filter::Strict,
            Some(2) => Filter::Loose,
            _ => Filter::Off,
        };
        Self { filter, routes: text_of(&proc.join("net/route")).map(|text| parse(&text)).unwrap_or_default() }
    }

    /// Whether the filter drops a packet from `source` that arrives on `interface`.
    pub fn drops(&self, interface: &str, source: Ipv4Addr) -> bool {
        let best = self
            .routes
            .iter()
            .filter(|route| route.contains(source))
            .min_by_key(|route| (std::cmp::Reverse(route.mask), route.metric));
        match (self.filter, best) {
            (Filter::Off, _) | (Filter::Loose, Some(_)) => false,
            (Filter::Strict, Some(route)) => route.interface != interface,
            (_, None) => true,
        }
    }
}

impl Route {
    fn contains(&self, address: Ipv4Addr) -> bool {
        self.network.to_bits() == address.to_bits() & self.mask.to_bits()
    }
}

/// Parses /proc/net/route: interface, destination, gateway, flags, two counts, metric, mask; addresses in host byte order.
fn parse(text: &str) -> Vec<Route> {
    let address = |word: &str| Some(Ipv4Addr::from(u32::from_str_radix(word, 16).ok()?.to_ne_bytes()));
    let route = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [interface, network, _, flags, _, _, metric, mask, ..] = words.as_slice() else { return None };
        let flags = u16::from_str_radix(flags, 16).ok()?;
        // RTF_UP, and not RTF_REJECT, of <linux/route.h>.
        (flags & 0x1 != 0 && flags & 0x200 == 0).then_some(())?;
        Some(Route {
            interface: (*interface).to_owned(),
            network: address(network)?,
            mask: address(mask)?,
            metric: metric.parse().ok()?,
        })
    };
    text.lines().skip(1).filter_map(route).collect()
}

/// Checks whether the filter drops PTP on this interface.
pub fn judge(network: &InterfaceFacts, gets_through: bool) -> Finding {
    let name = &network.name;
    let filter = match network.reverse_path.filter {
        Filter::Off => return Finding::ok(format!("rp_filter is off on {name}")),
        Filter::Strict => "strict",
        Filter::Loose => "loose",
    };
    let source = network.sender();
    if gets_through || !network.reverse_path.drops(name, source) {
        return Finding::ok(format!("rp_filter is {filter} on {name}, and lets PTP in"));
    }
    let block = if source.is_link_local() { "169.254.0.0/16".into() } else { format!("{source}/32") };
    let remedy = format!(
        "ip route add {block} dev {name}; to keep it after a reboot, add the route to the network configuration"
    );
    if network.received.as_ref().is_some_and(|received| received.blocked.contains(&source)) {
        Finding::failure(format!(
            "rp_filter is {filter} on {name}, which has no route to {source}: this host drops all packets from there"
        ))
        .remedy(remedy)
    } else {
        Finding::warning(format!(
            "rp_filter is {filter} on {name}, which has no route to {block}: this host would drop packets of Dante devices \
             without DHCP"
        ))
        .remedy(remedy)
    }
}
