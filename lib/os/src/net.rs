//! Network interfaces: properties, changes, hardware timestamps.

mod card;
mod links;
mod name;
mod netlink;
mod own_addresses;
mod passed_over;
mod request;
mod watch;

pub use card::{Capabilities, Card, CardError, Filter, Setting};
pub use links::{LinkAddress, LinkInfo, links};
pub use name::InterfaceName;
pub use own_addresses::OwnAddresses;
pub use passed_over::passed_over;
pub use watch::{InterfaceEvent, Watch};

use crate::denial::display_explained;
use dante_core::explain::Explain;
use dante_core::port::InterfaceFault;
use nix::errno::Errno;
use std::net::Ipv4Addr;

/// Why an interface cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum NetError {
    NotFound { name: String, present: Vec<String> },
    Port { name: String, kind: String, master: String },
    Down { name: String },
    NoAddress { name: String },
    Failed { name: String, cause: Errno },
}

impl Explain for NetError {
    fn what(&self) -> String {
        match self {
            Self::NotFound { name, present } => {
                format!("there is no network interface {name} (there are: {})", present.join(", "))
            }
            Self::Port { name, kind, master } => {
                format!("network interface {name} is a port of {kind} {master}, which receives its packets")
            }
            Self::Down { name } => format!("network interface {name} is down"),
            Self::NoAddress { name } => format!("network interface {name} has no IPv4 address"),
            Self::Failed { name, cause } => {
                format!("cannot list the network interfaces to find {name}: {cause}")
            }
        }
    }

    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { .. } => "name one of these".into(),
            Self::Port { master, .. } => format!("name {master} instead"),
            Self::Down { name } => format!("bring it up with `ip link set {name} up`"),
            Self::NoAddress { .. } => {
                "wait for DHCP, or set a link-local address as Dante devices do (169.254.0.0/16)".into()
            }
            Self::Failed { .. } => return None,
        })
    }
}

display_explained!(NetError);

impl NetError {
    /// The fault for pages and findings.
    pub const fn fault(&self) -> InterfaceFault {
        match self {
            Self::NotFound { .. } => InterfaceFault::Absent,
            Self::Down { .. } => InterfaceFault::Down,
            Self::Port { .. } => InterfaceFault::Port,
            Self::NoAddress { .. } => InterfaceFault::NoAddress,
            Self::Failed { .. } => InterfaceFault::System,
        }
    }
}

/// Type of an interface, as far as it matters for timestamps and multicast loopback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `lo`.
    Loopback,
    /// One end of a virtual cable, between containers or network namespaces.
    Veth,
    /// A tun or tap device, the link to a guest or a VPN.
    Tap,
    /// Anything else: a network card, a bridge, a VLAN.
    Other,
}

/// An interface at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Index; another index under the same name is another interface.
    pub index: u32,
    /// First IPv4 address.
    pub address: Ipv4Addr,
    /// Hardware address; zeros if there is none.
    pub mac: [u8; 6],
    /// Whether it has carrier (IFF_RUNNING): a cable is connected, or the other end of a veth is up.
    pub up: bool,
    /// Type.
    pub kind: Kind,
}

impl Interface {
    /// Finds the interface that is named so.
    ///
    /// # Errors
    /// [`NetError`]: the interface does not exist, is a port of a bridge, is down or has no IPv4 address; or the kernel did not
    /// answer ([`NetError::Failed`]).
    pub fn find(name: &InterfaceName) -> Result<Self, NetError> {
        Self::among(&links().map_err(|cause| NetError::Failed { name: name.to_string(), cause })?, name)
    }

    /// All interfaces that could be used, in the kernel's order.
    ///
    /// # Errors
    /// The kernel did not answer, so nothing is known.
    pub fn all() -> nix::Result<Vec<Self>> {
        let links = links()?;
        Ok(links.iter().filter_map(|link| Self::of(&links, link).ok()).collect())
    }

    /// Looks at the interface again; `None`: it was removed, has another hardware address, or is no longer named so.
    ///
    /// # Errors
    /// As for [`Self::find`].
    pub fn again(&self, name: &InterfaceName) -> Option<Result<Self, NetError>> {
        let links = match links() {
            Ok(links) => links,
            Err(cause) => return Some(Err(NetError::Failed { name: self.name.clone(), cause })),
        };
        let is_same = |link: &&LinkInfo| link.index == self.index && link.mac == self.mac;
        let link = links.iter().find(is_same).filter(|link| name.names(link))?;
        // A name may have passed to another interface, of which it was an alternative name.
        let is_name = matches!(name, InterfaceName::Name(_));
        let is_best = !is_name || name.among(&links).is_some_and(|best| best.index == self.index);
        is_best.then(|| Self::of(&links, link))
    }

    /// Finds it among these links.
    fn among(links: &[LinkInfo], name: &InterfaceName) -> Result<Self, NetError> {
        let link = name.among(links).ok_or_else(|| NetError::NotFound {
            name: name.to_string(),
            present: links.iter().map(|link| name.described(link)).collect(),
        })?;
        Self::of(links, link)
    }

    /// Checks a link, one of `links`.
    fn of(links: &[LinkInfo], link: &LinkInfo) -> Result<Self, NetError> {
        let LinkInfo { index, mac, is_running: up, .. } = *link;
        let name = link.name.clone();
        if let Some(master) = link.master.filter(|_| link.is_taken()) {
            let master = links.iter().find(|link| link.index == master).map(|link| link.name.clone());
            let kind = link.master_kind.clone().unwrap_or_default();
            return Err(NetError::Port { name, kind, master: master.unwrap_or_default() });
        }
        if !link.is_up {
            return Err(NetError::Down { name });
        }
        let Some(LinkAddress { address, .. }) = link.addresses.first() else {
            return Err(NetError::NoAddress { name });
        };
        let kind = match link.kind.as_deref() {
            _ if link.is_loopback => Kind::Loopback,
            Some("veth") => Kind::Veth,
            Some("tun") => Kind::Tap,
            _ => Kind::Other,
        };
        Ok(Self { name, index, address: *address, mac, up, kind })
    }
}

/// Timestamping capabilities of this interface; `None` if the driver does not report them. Needs no privilege.
pub fn capabilities(name: &str) -> Option<Capabilities> {
    request::capabilities(name).ok()
}

/// Whether a request failed because this process or the host lacks descriptors or memory, so that it may succeed later.
fn is_shortage(cause: Errno) -> bool {
    matches!(cause, Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
}

#[cfg(test)]
mod tests;
