//! The network interface that a program was told to use: what it is, what becomes of it, how its card stamps packets.

mod card;
mod request;
mod watch;

pub use card::{Abilities, Card, CardError, Filter, Setting};
pub use watch::{News, Watch};

use crate::denial::display_explained;
use dante_core::explain::Explain;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use request::driver;
use std::net::Ipv4Addr;

/// Why an interface cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence of each says what it is")]
pub enum NetError {
    NotFound { name: String, present: Vec<String> },
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
            Self::Down { name } => format!("network interface {name} is down"),
            Self::NoAddress { name } => format!("network interface {name} has no IPv4 address"),
            Self::Failed { name, cause } => format!("listing the network interfaces to find {name}: {cause}"),
        }
    }

    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { .. } => "name one of these".into(),
            Self::Down { name } => format!("bring it up with `ip link set {name} up`"),
            Self::NoAddress { .. } => {
                "wait for DHCP, or give it a link-local one as Dante devices do (169.254.0.0/16)".into()
            }
            Self::Failed { .. } => return None,
        })
    }
}

display_explained!(NetError);

/// What drives an interface, as far as time stamps and loops back are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `lo`.
    Loopback,
    /// One end of a virtual cable, between containers or network namespaces.
    Veth,
    /// A tun or tap device, behind which a guest or a VPN stands.
    Tap,
    /// Anything else: a network card, a bridge, a VLAN.
    Other,
}

/// An interface, as found at one moment. [`current_index`] tells later whether it is still that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index; another one under the same name is another interface.
    pub index: u32,
    /// Its first IPv4 address.
    pub address: Ipv4Addr,
    /// Its hardware address, zeros where it has none.
    pub mac: [u8; 6],
    /// Whether it has carrier (IFF_RUNNING): a cable is plugged in, the other end of a veth is up.
    pub up: bool,
    /// What it is.
    pub kind: Kind,
}

impl Interface {
    /// Finds the interface of that name.
    ///
    /// # Errors
    /// [`NetError`] says which of name, state and address is missing.
    pub fn find(name: &str) -> Result<Self, NetError> {
        let failed = |cause| NetError::Failed { name: name.to_owned(), cause };
        let (mut flags, mut address, mut mac) = (None, None, [0; 6]);
        for entry in getifaddrs().map_err(failed)? {
            if entry.interface_name == name {
                flags = Some(entry.flags);
                let found = entry.address.as_ref();
                address = address.or(found.and_then(|a| a.as_sockaddr_in()).map(|a| a.ip()));
                mac = found.and_then(|a| a.as_link_addr()).and_then(|a| a.addr()).unwrap_or(mac);
            }
        }
        let name = name.to_owned();
        let (Some(flags), Some(index)) = (flags, current_index(&name)) else {
            let present = names()?;
            return Err(NetError::NotFound { name, present });
        };
        if !flags.contains(InterfaceFlags::IFF_UP) {
            return Err(NetError::Down { name });
        }
        let Some(address) = address else {
            return Err(NetError::NoAddress { name });
        };
        let kind = if flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            Kind::Loopback
        } else {
            match driver(&name).as_deref() {
                Some("veth") => Kind::Veth,
                Some("tun") => Kind::Tap,
                _ => Kind::Other,
            }
        };
        let up = flags.contains(InterfaceFlags::IFF_RUNNING);
        Ok(Self { name, index, address, mac, up, kind })
    }
}

/// What the driver of this interface can stamp; `None` where it does not say. Needs no right.
pub fn abilities(name: &str) -> Option<Abilities> {
    request::abilities(name).ok()
}

/// The names of all interfaces, in the kernel's order.
pub fn names() -> Result<Vec<String>, NetError> {
    let failed = |cause| NetError::Failed { name: "any".into(), cause };
    let mut names = Vec::new();
    for entry in getifaddrs().map_err(failed)? {
        if !names.contains(&entry.interface_name) {
            names.push(entry.interface_name);
        }
    }
    Ok(names)
}

/// The index of the interface that has this name now: one system call.
pub fn current_index(name: &str) -> Option<u32> {
    if_nametoindex(name).ok()
}

#[cfg(test)]
mod tests;
