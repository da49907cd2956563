//! An NTP server: its configured name and its address.

use super::PORT;
use rsntp::{Config, SntpClient};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    host: String,
    port: u16,
    address: Option<SocketAddr>,
    /// Number of addresses that failed; selects which of the name's addresses is used next.
    failures: usize,
}

impl Server {
    /// `host`, `host:port`, `v4`, `v4:port`, `v6`, `[v6]` or `[v6]:port`.
    pub(super) fn parse(text: &str) -> io::Result<Self> {
        let wrong = || {
            let what = format!("\"{text}\" is not a server name: write host, host:port or [v6]:port");
            io::Error::new(io::ErrorKind::InvalidInput, what)
        };
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(wrong)?) };
            (host, port)
        } else {
            match text.split_once(':') {
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                // No colon, or the two or more of an IPv6 address.
                _ => (text, None),
            }
        };
        let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| wrong()))?;
        if host.is_empty() || port == 0 || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port, address: None, failures: 0 })
    }

    /// The server's address, resolved at the first use and after [`Self::forget`].
    pub(super) fn address(&mut self) -> Result<SocketAddr, String> {
        if let Some(address) = self.address {
            return Ok(address);
        }
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let found: Vec<SocketAddr> =
            found.map_err(|cause| format!("cannot resolve {}: {cause}", self.host))?.collect();
        self.choose(&found)
    }

    /// Chooses one of the name's addresses: after a failure the next one.
    pub(super) fn choose(&mut self, found: &[SocketAddr]) -> Result<SocketAddr, String> {
        let turn = self.failures.checked_rem(found.len());
        let address =
            turn.and_then(|turn| found.get(turn)).ok_or_else(|| format!("{} has no address", self.host))?;
        self.address = Some(*address);
        Ok(*address)
    }

    /// Discards an address that failed.
    pub(super) fn forget(&mut self) {
        if self.address.take().is_some() {
            self.failures = self.failures.wrapping_add(1);
        }
    }
}

/// Returns a client whose socket has the address family of `server`; rsntp connects it, so it receives from this address only.
pub(super) fn client(server: SocketAddr, timeout: Duration) -> SntpClient {
    let from: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    SntpClient::with_config(Config::default().bind_address(from).timeout(timeout))
}
