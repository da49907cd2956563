//! A server as the user names it, and its address.

use super::{PORT, TIMEOUT};
use rsntp::{Config, SntpClient};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    host: String,
    port: u16,
    address: Option<SocketAddr>,
    /// How often an address was given up: the next one of the name's addresses is tried then.
    given_up: usize,
}

impl Server {
    /// `host`, `host:port`, `v4`, `v4:port`, `v6`, `[v6]` or `[v6]:port`.
    pub(super) fn parse(text: &str) -> io::Result<Self> {
        let wrong = || {
            let what = format!("\"{text}\" is no server: write host, host:port or [v6]:port");
            io::Error::new(io::ErrorKind::InvalidInput, what)
        };
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(wrong)?) };
            (host, port)
        } else {
            match text.split_once(':') {
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                // None, or the two and more of an IPv6 address.
                _ => (text, None),
            }
        };
        let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| wrong()))?;
        if host.is_empty() || port == 0 || host.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port, address: None, given_up: 0 })
    }

    /// Where to ask: looked up at first and after [`Self::forget`].
    pub(super) fn address(&mut self) -> Result<SocketAddr, String> {
        if let Some(address) = self.address {
            return Ok(address);
        }
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        let found: Vec<SocketAddr> =
            found.map_err(|cause| format!("cannot look up {}: {cause}", self.host))?.collect();
        let turn = self.given_up.checked_rem(found.len());
        let address = turn.and_then(|turn| found.get(turn)).ok_or("a name without an address")?;
        self.address = Some(*address);
        Ok(*address)
    }

    /// The address did not work.
    pub(super) fn forget(&mut self) {
        if self.address.take().is_some() {
            self.given_up = self.given_up.wrapping_add(1);
        }
    }
}

/// A client whose socket is of the address's family, and hears that address only.
pub(super) fn client(server: SocketAddr) -> SntpClient {
    let from: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    SntpClient::with_config(Config::default().bind_address(from).timeout(TIMEOUT))
}
