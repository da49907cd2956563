//! NTP client. One thread for each server resolves its name and waits for its replies, so that neither the program's poll loop nor
//! the queries to other servers wait for a resolver that does not answer.
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

use crate::thread::spawn;
use dante_core::utc::Answer;
use nix::sys::eventfd::{EfdFlags, EventFd};
use server::Server;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Default port of an NTP server.
const PORT: u16 = 123;
/// Maximum time to wait for a reply. A longer round trip would be too uncertain to use.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);
/// Stack of a server's thread, bytes: little memory to lock (`--lock-memory`), and enough for the C library's resolver, which
/// loads modules of other projects (nsswitch.conf(5)).
const STACK: usize = 256 << 10;

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
/// Dropping it does not block: a thread ends by itself after its present exchange.
#[derive(Debug)]
pub struct NtpClient {
    servers: Vec<Handle>,
    replies: Receiver<NtpReply>,
    event: Arc<EventFd>,
}

/// A server and its thread.
#[derive(Debug)]
struct Handle {
    name: String,
    queries: Sender<()>,
    pending: Arc<AtomicBool>,
}

impl NtpClient {
    /// Returns the server name unchanged if [`Self::start`] accepts it.
    ///
    /// # Errors
    /// Why the name is not valid.
    pub fn server_name(text: &str) -> Result<String, String> {
        Server::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
    }

    /// Starts the threads, which send no query and resolve no name yet. A server is `host`, `host:port`, an IPv4 or IPv6 address, or
    /// `[v6]:port`; the default port is 123.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for an invalid server name; the kernel's error if a thread or the eventfd cannot be created.
    pub fn start(names: Vec<String>) -> io::Result<Self> {
        Self::with_timeout(names, TIMEOUT)
    }

    fn with_timeout(names: Vec<String>, timeout: std::time::Duration) -> io::Result<Self> {
        Self::with_query(names, move |server: &mut Server| query(server, timeout))
    }

    fn with_query(names: Vec<String>, query: impl Query) -> io::Result<Self> {
        let parsed: Vec<Server> = names.iter().map(|name| Server::parse(name)).collect::<io::Result<_>>()?;
        let event = EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)
            .map_err(|cause| {
                io::Error::other(format!("cannot open a descriptor for NTP replies: {}", cause.desc()))
            })?;
        let event = Arc::new(event);
        let (answered, replies) = channel();
        let mut servers = Vec::new();
        for (number, (name, server)) in names.into_iter().zip(parsed).enumerate() {
            let (queries, requested) = channel();
            let pending = Arc::new(AtomicBool::new(false));
            let worker = Worker {
                number,
                server,
                query: query.clone(),
                requested,
                answered: answered.clone(),
                event: event.clone(),
                pending: pending.clone(),
            };
            spawn("ntp", STACK, move || worker.run()).map_err(|cause| {
                let what = format!("cannot start a thread for NTP server {name}: {cause}");
                io::Error::new(cause.kind(), what)
            })?;
            servers.push(Handle { name, queries, pending });
        }
        Ok(Self { servers, replies, event })
    }

    /// Name of the server with this index.
    pub fn name(&self, server: usize) -> &str {
        self.servers.get(server).map_or("?", |server| &server.name)
    }

    /// Queues one query to the server with this index, without blocking. Does nothing if the last query to this server is
    /// still pending, or if there is no such server.
    pub fn query(&self, server: usize) {
        if let Some(server) = self.servers.get(server)
            && !server.pending.swap(true, Ordering::AcqRel)
        {
            // The thread runs until this client is dropped.
            _ = server.queries.send(());
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

/// What a thread does for one query.
trait Query: Fn(&mut Server) -> (Answer, Option<Warning>) + Clone + Send + 'static {}

impl<F: Fn(&mut Server) -> (Answer, Option<Warning>) + Clone + Send + 'static> Query for F {}

struct Worker<Q> {
    number: usize,
    server: Server,
    query: Q,
    requested: Receiver<()>,
    answered: Sender<NtpReply>,
    event: Arc<EventFd>,
    pending: Arc<AtomicBool>,
}

impl<Q: Query> Worker<Q> {
    fn run(mut self) {
        while self.requested.recv().is_ok() {
            // A panic costs one reply: the thread continues, and the server is queried again at its next turn. (With panic=abort, as
            // in release builds, it ends the program, which its unit starts again.)
            let server = &mut self.server;
            let (answer, warning) =
                catch_unwind(AssertUnwindSafe(|| (self.query)(server))).unwrap_or_else(|_| {
                    (
                        Answer::Nothing,
                        Some(Warning::same("the query panicked (a defect of this program)".into())),
                    )
                });
            // The name's address may have changed, or another of its addresses may work.
            if answer == Answer::Nothing {
                self.server.forget();
            }
            self.pending.store(false, Ordering::Release);
            if self.answered.send(NtpReply { server: self.number, answer, warning }).is_err() {
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
