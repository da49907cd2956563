//! An NTP server: its configured name and its address.

use super::PORT;
use rsntp::ToServerAddrs;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, ToSocketAddrs};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    host: String,
    port: u16,
    address: Option<SocketAddr>,
    /// Number of addresses that failed; selects which of the name's addresses is used next.
    failures: usize,
}

impl Server {
    /// `host`, `host:port`, `v4`, `v4:port`, `v6`, `[v6]` or `[v6]:port`; a link-local `v6` has its interface after a `%`.
    pub(super) fn parse(text: &str) -> io::Result<Self> {
        let wrong = || {
            let what = format!("\"{text}\" is not a server name: write host, host:port or [v6]:port");
            io::Error::new(io::ErrorKind::InvalidInput, what)
        };
        // rsntp adds the port where there is none. It does not know an interface.
        let is_v6 = text.split_once('%').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
        let bare = if is_v6 { format!("[{text}]") } else { text.to_owned() };
        let full = bare.to_server_addrs(PORT);
        let (host, port) = full.rsplit_once(':').ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').map(|host| host.strip_suffix(']')) {
            Some(host) => host.ok_or_else(wrong)?,
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        let port = port.parse().map_err(|_| wrong())?;
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
