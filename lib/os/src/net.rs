//! Network interfaces: properties, changes, hardware timestamps.

mod card;
mod request;
mod watch;

pub use card::{Capabilities, Card, CardError, Filter, Setting};
pub use watch::{InterfaceEvent, Watch};

use crate::denial::display_explained;
use dante_core::explain::Explain;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_indextoname, if_nametoindex};
use request::driver;
use std::net::Ipv4Addr;

/// Why an interface cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
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
            Self::Failed { name, cause } => {
                format!("cannot list the network interfaces to find {name}: {cause}")
            }
        }
    }

    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { .. } => "name one of these".into(),
            Self::Down { name } => format!("bring it up with `ip link set {name} up`"),
            Self::NoAddress { .. } => {
                "wait for DHCP, or set a link-local address as Dante devices do (169.254.0.0/16)".into()
            }
            Self::Failed { .. } => return None,
        })
    }
}

display_explained!(NetError);

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

/// An interface at one moment. Compare the index with [`current_index`] to see whether it is still the same one.
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
    /// Finds the interface with this name, or with this alternative name (`ip link property add altname`) of at most 15 bytes. The
    /// name of an address (`eth1:0`) stands for its interface, as in ifconfig(8).
    ///
    /// # Errors
    /// [`NetError`]: the interface does not exist, is down or has no IPv4 address; or the kernel did not answer
    /// ([`NetError::Failed`]).
    pub fn find(name: &str) -> Result<Self, NetError> {
        let failed = |cause| NetError::Failed { name: name.to_owned(), cause };
        let not_found = || match names() {
            Ok(present) => NetError::NotFound { name: name.to_owned(), present },
            Err(error) => error,
        };
        let entries = getifaddrs().map_err(failed)?;
        let index = current_index(name).map_err(failed)?.ok_or_else(not_found)?;
        let name = match if_indextoname(index) {
            Ok(name) => name.to_string_lossy().into_owned(),
            // The interface was removed meanwhile.
            Err(Errno::ENXIO | Errno::ENODEV) => return Err(not_found()),
            Err(cause) => return Err(failed(cause)),
        };
        let (mut flags, mut address, mut mac) = (None, None, [0; 6]);
        for entry in entries {
            if device(&entry.interface_name) == name {
                flags = Some(entry.flags);
                let found = entry.address.as_ref();
                address = address.or(found.and_then(|a| a.as_sockaddr_in()).map(|a| a.ip()));
                mac = found.and_then(|a| a.as_link_addr()).and_then(|a| a.addr()).unwrap_or(mac);
            }
        }
        let flags = flags.ok_or_else(not_found)?;
        if !flags.contains(InterfaceFlags::IFF_UP) {
            return Err(NetError::Down { name });
        }
        let Some(address) = address else {
            return Err(NetError::NoAddress { name });
        };
        let kind = if flags.contains(InterfaceFlags::IFF_LOOPBACK) {
            Kind::Loopback
        } else {
            match driver(&name).as_deref().map_err(|cause| *cause) {
                Ok("veth") => Kind::Veth,
                Ok("tun") => Kind::Tap,
                Err(cause) if is_shortage(cause) => return Err(NetError::Failed { name, cause }),
                _ => Kind::Other,
            }
        };
        let up = flags.contains(InterfaceFlags::IFF_RUNNING);
        Ok(Self { name, index, address, mac, up, kind })
    }
}

/// Timestamping capabilities of this interface; `None` if the driver does not report them. Needs no privilege.
pub fn capabilities(name: &str) -> Option<Capabilities> {
    request::capabilities(name).ok()
}

/// Names of all interfaces, in the kernel's order.
pub fn names() -> Result<Vec<String>, NetError> {
    let failed = |cause| NetError::Failed { name: "any".into(), cause };
    let mut names: Vec<String> = Vec::new();
    for entry in getifaddrs().map_err(failed)? {
        let name = device(&entry.interface_name);
        if names.iter().all(|other| other != name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Index of the interface that has this name, or this alternative name, now; `None` if there is none.
///
/// # Errors
/// The kernel did not answer, so nothing is known: no descriptor or memory is free. The C library may replace the cause.
pub fn current_index(name: &str) -> nix::Result<Option<u32>> {
    match if_nametoindex(name) {
        Ok(index) => Ok(Some(index)),
        // EINVAL: a name with a zero byte.
        Err(Errno::ENODEV | Errno::ENXIO | Errno::EINVAL) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// The interface of a name from getifaddrs(3), which is the label of an IPv4 address if that has one: `eth1:0` for `eth1`. The
/// name of an interface contains no colon.
fn device(label: &str) -> &str {
    label.split(':').next().unwrap_or(label)
}

/// Whether a request failed because this process or the host lacks descriptors or memory, so that it may succeed later.
fn is_shortage(cause: Errno) -> bool {
    matches!(cause, Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
}

#[cfg(test)]
mod tests;
