//! NTP client. A separate thread resolves names and waits for replies, so the program's poll loop never blocks.
//!
//! Each exchange has a socket with a port of its own and a random transmit timestamp. The thread reads datagrams until one echoes
//! that timestamp ([`Request::reply`](dante_core::utc::packet::Request::reply)), or until the deadline: everything else that arrives
//! is counted and ignored. An exchange is measured on CLOCK_MONOTONIC_RAW. The result is UTC over CLOCK_MONOTONIC_RAW, whatever
//! CLOCK_REALTIME shows and whichever clock the program steers.
//!
//! Of the crate rsntp, `ToServerAddrs` completes server names with the port, and `SntpClient` is the independent client with which the
//! tests compare this one. It does not do the exchange: it reads a single datagram, accepts kiss codes before it compares the originate
//! timestamp, sends this host's clock as its transmit timestamp, measures on CLOCK_REALTIME, and does not return root delay and root
//! dispersion.

mod exchange;
mod server;

use dante_core::utc::Answer;
use nix::sys::eventfd::{EfdFlags, EventFd};
use server::Server;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Default port of an NTP server.
const PORT: u16 = 123;
/// Maximum time to wait for a reply. A longer round trip would be too uncertain to use.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);
/// Result of one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NtpReply {
    /// Index of the server in the list given to [`NtpClient::start`].
    pub server: usize,
    /// The server's answer.
    pub answer: Answer,
    /// What the user should know: why the query gave no time, or that the server's time is smoothed.
    pub warning: Option<Warning>,
}

/// A text for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The text.
    pub line: String,
    /// The text without values that differ from reply to reply, to limit its repetition.
    pub cause: String,
}

impl Warning {
    fn same(line: String) -> Self {
        Self { cause: line.clone(), line }
    }
}

/// NTP client. Its descriptor ([`AsFd`]) is readable while replies are queued.
///
/// Dropping it does not block: the thread ends by itself after the present exchange, or after one more.
#[derive(Debug)]
pub struct NtpClient {
    names: Vec<String>,
    queries: Sender<usize>,
    replies: Receiver<NtpReply>,
    event: Arc<EventFd>,
    pending: Arc<[AtomicBool]>,
}

impl NtpClient {
    /// Returns the server name unchanged if [`Self::start`] accepts it.
    ///
    /// # Errors
    /// Why the name is not valid.
    pub fn server_name(text: &str) -> Result<String, String> {
        Server::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
    }

    /// Starts the thread, which sends no query and resolves no name yet. A server is `host`, `host:port`, an IPv4 or IPv6
    /// address, or `[v6]:port`; the default port is 123. Start it after [`crate::poll::Poll::new`], which blocks the signals in
    /// this thread too.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for an invalid server name; the kernel's error if the thread or the eventfd cannot be
    /// created.
    pub fn start(names: Vec<String>) -> io::Result<Self> {
        Self::with_timeout(names, TIMEOUT)
    }

    fn with_timeout(names: Vec<String>, timeout: std::time::Duration) -> io::Result<Self> {
        let servers: Vec<Server> = names.iter().map(|name| Server::parse(name)).collect::<io::Result<_>>()?;
        let pending: Arc<[AtomicBool]> = servers.iter().map(|_| AtomicBool::new(false)).collect();
        let event =
            Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let (queries, requested) = channel();
        let (answered, replies) = channel();
        let worker =
            Worker { servers, timeout, requested, answered, event: event.clone(), pending: pending.clone() };
        std::thread::Builder::new().name("ntp".into()).spawn(move || worker.run())?;
        Ok(Self { names, queries, replies, event, pending })
    }

    /// Name of the server with this index.
    pub fn name(&self, server: usize) -> &str {
        self.names.get(server).map_or("?", String::as_str)
    }

    /// Queues one query to the server with this index, without blocking. Does nothing if the last query to this server is
    /// still pending, or if there is no such server.
    ///
    /// The thread queries servers one after the other: a server that does not reply delays the others by 1 s, a name that cannot
    /// be resolved by the time that the resolver takes.
    pub fn query(&self, server: usize) {
        if self.pending.get(server).is_some_and(|pending| !pending.swap(true, Ordering::AcqRel)) {
            // The thread runs until this client is dropped.
            _ = self.queries.send(server);
        }
    }

    /// Returns the queued replies, oldest first, without blocking.
    pub fn take(&mut self) -> Vec<NtpReply> {
        // The event is cleared first: a reply that arrives in between causes one wake-up too many, never one too few.
        _ = self.event.read();
        self.replies.try_iter().collect()
    }
}

impl AsFd for NtpClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

struct Worker {
    servers: Vec<Server>,
    timeout: std::time::Duration,
    requested: Receiver<usize>,
    answered: Sender<NtpReply>,
    event: Arc<EventFd>,
    pending: Arc<[AtomicBool]>,
}

impl Worker {
    fn run(mut self) {
        while let Ok(number) = self.requested.recv() {
            let Some(server) = self.servers.get_mut(number) else { continue };
            let (answer, warning) = query(server, self.timeout);
            // The name's address may have changed, or another of its addresses may work.
            if answer == Answer::Nothing {
                server.forget();
            }
            if let Some(pending) = self.pending.get(number) {
                pending.store(false, Ordering::Release);
            }
            if self.answered.send(NtpReply { server: number, answer, warning }).is_err() {
                return;
            }
            _ = self.event.write(1);
        }
    }
}

/// Queries the server once. Returns the answer, and what the user should know about it.
fn query(server: &mut Server, timeout: std::time::Duration) -> (Answer, Option<Warning>) {
    let address = match server.address() {
        Ok(address) => address,
        Err(failure) => return (Answer::Nothing, Some(Warning::same(failure))),
    };
    match exchange::exchange(address, timeout) {
        Ok(exchange) => {
            let warning = exchange.server.is_smoothed.then(|| {
                Warning::same(format!(
                    "{address} smooths its time (reference ID 127.127.1.255), as chronyd does to smear a leap second: its time is off UTC meanwhile; use servers of one kind"
                ))
            });
            (Answer::Time(exchange), warning)
        }
        Err(failure) => (failure.answer(), Some(failure.warning(address, timeout))),
    }
}

#[cfg(test)]
mod tests;
