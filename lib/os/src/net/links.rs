//! The links of this network namespace with their IPv4 addresses, as rtnetlink(7) lists them.

use super::netlink::{Attributes, list, text_of, u16_at, u32_at};
use super::watch::{ADDRESS, LINK};
use std::net::Ipv4Addr;

/// Attributes of `<linux/if_link.h>` that libc does not name.
const IFLA_PERM_ADDRESS: u16 = 54;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_VLAN_ID: u16 = 1;

/// A network interface as the kernel describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkInfo {
    /// Index.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Alternative names, of up to 127 bytes (`ip link property`).
    pub alternative_names: Vec<String>,
    /// Hardware address; zeros if there is none of six bytes.
    pub mac: [u8; 6],
    /// The hardware address that the card has by itself, if its driver reports it.
    pub permanent_mac: Option<[u8; 6]>,
    /// IFF_UP: an administrator has set it up.
    pub is_up: bool,
    /// IFF_RUNNING: it has carrier.
    pub is_running: bool,
    /// IFF_LOOPBACK.
    pub is_loopback: bool,
    /// Whether it is of type ARPHRD_ETHER; so is Wi-Fi.
    pub is_ethernet: bool,
    /// Kind of a virtual interface: `bridge`, `veth`, `vlan`, `tun`, `bond`, ...; `None` for a card.
    pub kind: Option<String>,
    /// Index of the bridge or bond of which it is a port.
    pub master: Option<u32>,
    /// Kind of that one: `bridge`, `bond`, ...
    pub master_kind: Option<String>,
    /// Index of the interface on which it is based, as a VLAN is. It may be in another network namespace.
    pub parent: Option<u32>,
    /// VLAN id of an interface of kind `vlan`.
    pub vlan: Option<u16>,
    /// IPv4 addresses, in the kernel's order.
    pub addresses: Vec<LinkAddress>,
}

impl LinkInfo {
    /// Kinds of interfaces that take the packets of their ports before any program gets them. Others, such as a VRF, do not.
    const TAKING: [&str; 4] = ["bridge", "bond", "team", "openvswitch"];

    /// Whether it is a port of a bridge or a bond, which takes its packets.
    pub fn is_taken(&self) -> bool {
        self.master.is_some() && self.master_kind.as_deref().is_some_and(|kind| Self::TAKING.contains(&kind))
    }
}

/// An IPv4 address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkAddress {
    /// Address of this host.
    pub address: Ipv4Addr,
    /// Its label: normally the name of the interface, `eth1:0` or `eth1:avahi` for an alias as of ifconfig(8).
    pub label: String,
}

/// Lists all links with their addresses.
///
/// # Errors
/// The kernel did not answer, so nothing is known: no descriptor or memory is free.
pub fn links() -> nix::Result<Vec<LinkInfo>> {
    let mut links: Vec<LinkInfo> =
        list(libc::RTM_GETLINK, &[0; LINK])?.iter().filter_map(|body| link(body)).collect();
    for (index, address) in addresses()? {
        if let Some(link) = links.iter_mut().find(|link| link.index == index) {
            link.addresses.push(address);
        }
    }
    Ok(links)
}

/// Lists the IPv4 addresses, each with the index of its link.
pub(super) fn addresses() -> nix::Result<Vec<(u32, LinkAddress)>> {
    let mut fixed = [0; ADDRESS];
    // Its first byte is the family, a small number.
    fixed[0] = u8::try_from(libc::AF_INET).unwrap_or_default();
    Ok(list(libc::RTM_GETADDR, &fixed)?.iter().filter_map(|body| address(body)).collect())
}

fn link(body: &[u8]) -> Option<LinkInfo> {
    let (hardware, index, flags) = (u16_at(body, 2)?, u32_at(body, 4)?, u32_at(body, 8)?);
    let attributes = Attributes(body.get(LINK..)?);
    let has = |flag: libc::c_int| flags & flag.unsigned_abs() != 0;
    let mac = |kind| attributes.value(kind).and_then(|value| <[u8; 6]>::try_from(value).ok());
    let info = attributes.nested(libc::IFLA_LINKINFO);
    let names = attributes.nested(IFLA_PROP_LIST);
    let names = names.filter(|(kind, _)| *kind == IFLA_ALT_IFNAME);
    let kind = info.text(IFLA_INFO_KIND);
    let data = info.nested(IFLA_INFO_DATA);
    Some(LinkInfo {
        index,
        name: attributes.text(libc::IFLA_IFNAME)?.to_owned(),
        alternative_names: names.filter_map(|(_, value)| Some(text_of(value)?.to_owned())).collect(),
        mac: mac(libc::IFLA_ADDRESS).unwrap_or_default(),
        permanent_mac: mac(IFLA_PERM_ADDRESS),
        is_up: has(libc::IFF_UP),
        is_running: has(libc::IFF_RUNNING),
        is_loopback: has(libc::IFF_LOOPBACK),
        is_ethernet: hardware == libc::ARPHRD_ETHER,
        kind: kind.map(str::to_owned),
        master: attributes.u32(libc::IFLA_MASTER),
        master_kind: info.text(IFLA_INFO_SLAVE_KIND).map(str::to_owned),
        parent: attributes.u32(libc::IFLA_LINK),
        vlan: data.value(IFLA_VLAN_ID).filter(|_| kind == Some("vlan")).and_then(|value| u16_at(value, 0)),
        addresses: Vec::new(),
    })
}

fn address(body: &[u8]) -> Option<(u32, LinkAddress)> {
    let attributes = Attributes(body.get(ADDRESS..)?);
    // IFA_LOCAL is this host's address; IFA_ADDRESS that of the other end, on point-to-point links.
    let value = attributes.value(libc::IFA_LOCAL).or_else(|| attributes.value(libc::IFA_ADDRESS))?;
    let address = Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?);
    let label = attributes.text(libc::IFA_LABEL).unwrap_or_default().to_owned();
    Some((u32_at(body, 4)?, LinkAddress { address, label }))
}

#[cfg(test)]
mod tests;
