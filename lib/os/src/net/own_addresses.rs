//! The IPv4 addresses of this host.

use super::links::addresses;
use std::net::Ipv4Addr;

/// The IPv4 addresses of all interfaces in this network namespace, at one moment.
///
/// A packet that was received on an interface, apart from the loopback interface, with one of them as its source address was sent by
/// this host: multicast that the kernel looped back. From the network the kernel accepts no such packet, on any interface
/// (`fib_validate_source` in net/ipv4/fib_frontend.c). A program in another network namespace, such as a container with an address of
/// its own, is another host.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct OwnAddresses(Vec<Ipv4Addr>);

impl OwnAddresses {
    /// Lists them.
    ///
    /// # Errors
    /// The kernel did not answer, so nothing is known: no descriptor or memory is free.
    pub fn now() -> nix::Result<Self> {
        Ok(Self(addresses()?.into_iter().map(|(_, one)| one.address).collect()))
    }

    /// Whether this is one of them.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        self.0.contains(&address)
    }
}
