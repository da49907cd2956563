//! Reverse-path filtering: the kernel drops packets from addresses that it would not send to by the same interface
//! (`rp_filter`, Documentation/networking/ip-sysctl.rst).

use super::host::{InterfaceFacts, setting};
use crate::finding::Finding;
use dante_os::procfs::text_of;
use std::net::Ipv4Addr;
use std::path::Path;

/// How strictly a packet's source is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Filter {
    /// Not at all.
    #[default]
    Off,
    /// It has to be reached by this very interface.
    Strict,
    /// It has to be reached by any.
    Loose,
}

/// A route of the main table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// By this interface.
    pub interface: String,
    /// To this network.
    pub network: Ipv4Addr,
    /// With this mask.
    pub mask: Ipv4Addr,
    /// The lower one wins where two are as narrow.
    pub metric: u32,
}

/// What decides about packets that arrive on one interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReversePath {
    /// How strict the filter is there.
    pub filter: Filter,
    /// The main table's routes. Where policy routing adds others, they are not seen.
    pub routes: Vec<Route>,
}

impl ReversePath {
    /// That of this interface.
    pub fn of(interface: &str) -> Self {
        Self::in_tree(Path::new("/proc"), interface)
    }

    pub(super) fn in_tree(proc: &Path, interface: &str) -> Self {
        // The greater one of `all` and the interface's own is used.
        let number = ["all", interface].into_iter().filter_map(|of| setting(proc, of, "rp_filter")).max();
        let filter = match number {
            Some(1) => Filter::Strict,
            Some(2) => Filter::Loose,
            _ => Filter::Off,
        };
        Self { filter, routes: text_of(&proc.join("net/route")).map(|text| parse(&text)).unwrap_or_default() }
    }

    /// Whether a packet from `source` that arrives on `interface` is thrown away.
    pub fn drops(&self, interface: &str, source: Ipv4Addr) -> bool {
        let best = self
            .routes
            .iter()
            .filter(|route| route.has(source))
            .min_by_key(|route| (std::cmp::Reverse(route.mask), route.metric));
        match (self.filter, best) {
            (Filter::Off, _) | (Filter::Loose, Some(_)) => false,
            (Filter::Strict, Some(route)) => route.interface != interface,
            (_, None) => true,
        }
    }
}

impl Route {
    fn has(&self, address: Ipv4Addr) -> bool {
        self.network.to_bits() == address.to_bits() & self.mask.to_bits()
    }
}

/// Interface, destination, gateway, flags, two counts, metric, mask; numbers as they lie in memory.
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

/// Whether what arrives on an interface is dropped for where it comes from.
pub fn judge(network: &InterfaceFacts, gets_through: bool) -> Finding {
    let name = &network.name;
    let filter = match network.reverse_path.filter {
        Filter::Off => return Finding::ok(format!("rp_filter is off on {name}: no source is thrown away")),
        Filter::Strict => "strict",
        Filter::Loose => "loose",
    };
    let source = network.sender();
    if gets_through || !network.reverse_path.drops(name, source) {
        return Finding::ok(format!("rp_filter is {filter} on {name}, and lets what arrives there in"));
    }
    let block = if source.is_link_local() { "169.254.0.0/16".into() } else { format!("{source}/32") };
    let remedy = format!(
        "give {name} a way there: ip route add {block} dev {name} (and for good in its network configuration)"
    );
    if network.heard.as_ref().is_some_and(|heard| heard.shut_out.contains(&source)) {
        Finding::failure(format!(
            "rp_filter is {filter} on {name}, which has no route to {source}: all that comes from there is thrown away"
        ))
        .remedy(remedy)
    } else {
        Finding::warning(format!(
            "rp_filter is {filter} on {name}, which has no route to {block}: Dante devices without DHCP have such \
             addresses, and would not be heard"
        ))
        .remedy(remedy)
    }
}
