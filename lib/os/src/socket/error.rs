//! Errors of PTP sockets, and their remedies.

use super::Channel;
use crate::denial::{Denial, Denied, display_explained};
use crate::net::Interface;
use dante_core::explain::Explain;
use nix::errno::Errno;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Why a PTP socket could not be opened or used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the error texts describe the variants")]
pub enum SocketError {
    PortInUse { port: u16, channel: Channel },
    PortRefused { port: u16, channel: Channel, interface: String },
    Join { group: Ipv4Addr, interface: String, cause: io::Error },
    NoTimestamps { interface: String, cause: io::Error },
    Setup { tried: &'static str, interface: String, cause: io::Error },
    Receive { interface: String, cause: Errno },
    Send { to: SocketAddrV4, interface: String, cause: io::Error },
}

impl Explain for SocketError {
    fn what(&self) -> String {
        match self {
            Self::PortInUse { port, .. } => {
                format!("UDP port {port} is in use by another program on this host")
            }
            Self::PortRefused { port, interface, .. } => {
                format!("binding UDP port {port} on {interface} needs root or CAP_NET_BIND_SERVICE")
            }
            Self::Join { group, interface, cause } => {
                format!(
                    "cannot join multicast group {group} on {interface}: {cause}: no leader can be received"
                )
            }
            Self::NoTimestamps { interface, cause } => {
                format!("cannot enable timestamps on {interface}: {cause}: nothing can be measured")
            }
            Self::Setup { tried, interface, cause } => {
                format!("cannot set up a PTP socket on {interface} ({tried}): {cause}")
            }
            Self::Receive { interface, cause } => format!("cannot receive on {interface}: {cause}"),
            Self::Send { to, interface, cause } => format!("cannot send to {to} on {interface}: {cause}"),
        }
    }

    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::PortInUse { port, channel } => format!(
                "find it with `ss -ulnp sport = :{port}` and stop it, or choose another UDP port for {channel} messages"
            ),
            Self::PortRefused { channel, .. } => format!(
                "run this as a service, or, for a test, choose a UDP port of 1024 or above for {channel} messages"
            ),
            Self::Send { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => {
                "look for a rule of this host's firewall that drops outgoing packets".into()
            }
            _ => return None,
        })
    }
}

impl Denied for SocketError {
    fn denial(&self) -> Option<Denial> {
        match self {
            Self::PortInUse { .. } => Some(Denial::InUse),
            Self::PortRefused { .. } => Some(Denial::NotPermitted),
            Self::Setup { cause, .. } | Self::Join { cause, .. } | Self::NoTimestamps { cause, .. } => {
                (cause.kind() == io::ErrorKind::PermissionDenied).then_some(Denial::NotPermitted)
            }
            Self::Receive { .. } | Self::Send { .. } => None,
        }
    }
}

display_explained!(SocketError);

impl SocketError {
    pub(super) fn setup(tried: &'static str, interface: &Interface, cause: io::Error) -> Self {
        Self::Setup { tried, interface: interface.name.clone(), cause }
    }

    pub(super) fn bind(port: u16, channel: Channel, interface: &Interface, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { port, channel },
            io::ErrorKind::PermissionDenied => {
                Self::PortRefused { port, channel, interface: interface.name.clone() }
            }
            _ => Self::setup("binding its port", interface, cause),
        }
    }
}
