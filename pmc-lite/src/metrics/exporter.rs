//! `pmc-lite metrics --listen`: serves the metrics and the state by HTTP, with one thread and up to [`MAX_CLIENTS`] connections.
//!
//! A client has [`CLIENT_TIME`] to send its request. The response is passed to the kernel as a whole, so a slow reader delays no
//! other client. With all connections in use, further clients wait in the kernel's queue, and connections older than
//! [`BUSY_CLIENT_TIME`] are closed.

use super::of;
use super::request::{Answer, Content, MAX_REQUEST, Refusal, answer};
use crate::notify::Ready;
use crate::pages::Readers;
use crate::status::Status;
use anyhow::{Context, Result};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_os::clock::raw_now;
use dante_os::page::Instance;
use dante_os::poll::{MAX_FDS, Poll};
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

/// Maximum number of connections; the listener uses one of the descriptors that are polled.
const MAX_CLIENTS: usize = MAX_FDS - 1;
/// Time for a client to send its request, and after the response again to close its end.
const CLIENT_TIME: Duration = Duration::from_secs(2);
/// The same while all connections are in use.
const BUSY_CLIENT_TIME: Duration = Duration::from_ms(200);
/// Maximum number of bytes that are read after a request, before the connection is closed.
const MAX_SURPLUS: usize = 64 * 1024;
/// Interval at which readiness is reported again to a service manager that does not read.
const READY_RETRY: Duration = Duration::from_ms(500);
/// Send buffer of a connection, bytes: larger than any response.
const SEND_BUFFER: usize = 256 * 1024;

/// Serves the metrics and the state until a signal ends the program.
pub fn serve(address: SocketAddr, instance: Option<&Instance>) -> Result<()> {
    let mut poll = Poll::new()?;
    let listener = TcpListener::bind(address).with_context(|| format!("listening at {address}"))?;
    let at = listener.local_addr()?;
    crate::report(&format!("serving metrics at http://{at}/metrics, the state at http://{at}/status.json"));
    let mut ready = Ready::new();
    let mut readers = Readers::new(instance);
    listener.set_nonblocking(true)?;
    let text = move |content| match content {
        Content::Metrics(format) => of(&readers.read(), format),
        Content::Status => crate::json(&Status::of(&readers.read())) + "\n",
    };
    let mut exporter = Exporter { listener, clients: Vec::with_capacity(MAX_CLIENTS), text };
    loop {
        ready.send();
        let retry = ready.is_due().then(|| raw_now() + READY_RETRY);
        let wake = poll.wait(&exporter.fds(), exporter.deadline().into_iter().chain(retry).min())?;
        if wake.signal.is_some() {
            return Ok(());
        }
        exporter.serve(raw_now());
    }
}

/// Listener, connections and source of what is served.
struct Exporter<T> {
    listener: TcpListener,
    clients: Vec<Client>,
    text: T,
}

/// One connection.
struct Client {
    stream: TcpStream,
    /// The request, as far as it arrived.
    request: Vec<u8>,
    /// The response was sent; the client has to close its end.
    answered: bool,
    /// Number of bytes received after that.
    surplus: usize,
    /// Time of the connection, or of the response.
    since: Timestamp<Raw>,
}

impl<T: FnMut(Content) -> String> Exporter<T> {
    /// Returns the descriptors to poll: the listener too unless all connections are in use.
    fn fds(&self) -> Vec<std::os::fd::BorrowedFd<'_>> {
        let clients = self.clients.iter().map(|client| client.stream.as_fd());
        let listener = (self.clients.len() < MAX_CLIENTS).then(|| self.listener.as_fd());
        clients.chain(listener).collect()
    }

    fn deadline(&self) -> Option<Timestamp<Raw>> {
        let time = self.client_time();
        self.clients.iter().map(|client| client.since + time).min()
    }

    fn client_time(&self) -> Duration {
        if self.clients.len() < MAX_CLIENTS { CLIENT_TIME } else { BUSY_CLIENT_TIME }
    }

    /// Processes everything that is possible without waiting.
    fn serve(&mut self, now: Timestamp<Raw>) {
        self.clients.retain_mut(|client| client.proceed(now, &mut self.text));
        let time = self.client_time();
        self.clients.retain_mut(|client| client.is_in_time(now, time));
        while self.clients.len() < MAX_CLIENTS
            && let Some(mut client) = self.accept(now)
        {
            if client.proceed(now, &mut self.text) {
                self.clients.push(client);
            }
        }
    }

    fn accept(&self, now: Timestamp<Raw>) -> Option<Client> {
        match self.listener.accept() {
            Ok((stream, _)) => Client::new(stream, now),
            Err(error) => {
                let common = [ErrorKind::WouldBlock, ErrorKind::Interrupted, ErrorKind::ConnectionAborted];
                if !common.contains(&error.kind()) {
                    // Out of descriptors or memory. The connection stays in the queue, so the pause limits retries and messages.
                    crate::report(&format!("accepting a connection: {error}"));
                    std::thread::sleep(BUSY_CLIENT_TIME.to_std());
                }
                None
            }
        }
    }
}

impl Client {
    fn new(stream: TcpStream, now: Timestamp<Raw>) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        // If the kernel grants less and it is too small, the response is truncated, which the client detects by Content-Length.
        _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
        Some(Self { stream, request: Vec::new(), answered: false, surplus: 0, since: now })
    }

    /// Reads what has arrived, and responds to a complete request. Returns false if the connection has ended.
    fn proceed(&mut self, now: Timestamp<Raw>, text: &mut impl FnMut(Content) -> String) -> bool {
        let mut buffer = [0; MAX_REQUEST];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    if !self.answered && !self.request.is_empty() {
                        self.respond(now, &Refusal::Malformed.response());
                    }
                    return false;
                }
                Ok(length) if !self.answered => {
                    self.request.extend(buffer.iter().take(length));
                    match answer(&self.request) {
                        Answer::Wait => {}
                        Answer::Send { content, head_only } => {
                            self.respond(now, &content.response(head_only, &text(content)));
                        }
                        Answer::Refused(refusal) => self.respond(now, &refusal.response()),
                    }
                }
                // Further bytes are read and dropped: closing a socket with unread data would send a reset, and the client could
                // lose the response.
                Ok(length) => {
                    self.surplus += length;
                    if self.surplus > MAX_SURPLUS {
                        return false;
                    }
                }
                Err(error) => {
                    return error.kind() == ErrorKind::WouldBlock || error.kind() == ErrorKind::Interrupted;
                }
            }
        }
    }

    /// Sends the response and closes the sending side. The client closes its side after reading.
    fn respond(&mut self, now: Timestamp<Raw>, response: &str) {
        self.answered = true;
        self.since = now;
        self.request = Vec::new();
        _ = self.stream.write_all(response.as_bytes());
        _ = self.stream.shutdown(Shutdown::Write);
    }

    fn is_in_time(&mut self, now: Timestamp<Raw>, time: Duration) -> bool {
        if now - self.since < time {
            return true;
        }
        if !self.answered {
            self.respond(now, &Refusal::TooSlow.response());
        }
        false
    }
}
