//! The time servers that the steerer asks.

use dante_core::time::{Duration, Real, Timestamp};
use dante_os::ntp::{NtpClient, NtpReply};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// When the program was built: no UTC before it is believed.
pub fn built() -> Timestamp<Real> {
    let seconds = env!("BUILT_AT").parse().unwrap_or(0);
    Timestamp::from_ns(0) + Duration::from_secs(seconds)
}

/// The client, and what the servers are called.
pub struct Ntp {
    client: NtpClient,
    names: Vec<String>,
}

impl Ntp {
    pub fn start(names: &[String]) -> io::Result<Self> {
        Ok(Self { client: NtpClient::start(names.to_vec())?, names: names.to_vec() })
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }

    pub fn ask(&self, server: usize) {
        self.client.ask(server);
    }

    /// The replies that have come.
    pub fn take(&mut self) -> Vec<NtpReply> {
        self.client.take()
    }

    pub fn name(&self, server: usize) -> &str {
        self.names.get(server).map_or("?", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::built;

    #[test]
    fn a_build_knows_its_date() {
        assert!(built().ns() > 1_700_000_000_000_000_000, "{}", built().ns());
    }
}
