//! What can go wrong with a PTP socket, and what to do about it.

use super::Channel;
use crate::daemon::{Exit, Failure};
use crate::net::Interface;
use nix::errno::Errno;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Why a PTP socket could not be opened or used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence of each says what it is")]
pub enum SocketError {
    #[error(
        "UDP port {port} is taken by another program on this host (a PTP daemon without SO_REUSEADDR?): find it with \
         `ss -ulnp sport = :{port}` and stop it, or choose --{channel}-port"
    )]
    PortInUse { port: u16, channel: Channel },
    #[error(
        "binding UDP port {port} on {interface} needs root or CAP_NET_BIND_SERVICE: run this as a service, or choose \
         an --{channel}-port of 1024 or above for a trial"
    )]
    PortRefused { port: u16, channel: Channel, interface: String },
    #[error("joining {group} on {interface}: {cause}: without it no leader is heard")]
    Join { group: Ipv4Addr, interface: String, cause: io::Error },
    #[error("asking for time stamps on {interface}: {cause}: without them no time can be measured")]
    NoStamps { interface: String, cause: io::Error },
    #[error("preparing a PTP socket on {interface} ({tried}): {cause}")]
    Setup { tried: &'static str, interface: String, cause: io::Error },
    #[error("receiving on {interface}: {cause}")]
    Receive { interface: String, cause: Errno },
    #[error(
        "sending to {to} on {interface}: {cause}{}",
        if cause.kind() == io::ErrorKind::PermissionDenied { " (a firewall on this host?)" } else { "" }
    )]
    Send { to: SocketAddrV4, interface: String, cause: io::Error },
}

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

    /// Whether the socket could not be made for want of a right.
    pub fn is_permission(&self) -> bool {
        match self {
            Self::PortRefused { .. } => true,
            Self::Setup { cause, .. } | Self::Join { cause, .. } | Self::NoStamps { cause, .. } => {
                cause.kind() == io::ErrorKind::PermissionDenied
            }
            _ => false,
        }
    }

    /// What it is for a program that cannot go on without the socket.
    pub fn into_failure(self) -> Failure {
        let exit = match &self {
            error if error.is_permission() => Exit::NotPermitted,
            error if error.is_in_use() => Exit::Refused,
            _ => Exit::Failed,
        };
        Failure::new(exit, self)
    }

    /// Whether the port is another program's.
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::PortInUse { .. })
    }
}
