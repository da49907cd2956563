//! `pmc-lite metrics --listen`: the metrics by HTTP, to as many at once as one thread and a fixed number of descriptors serve.
//!
//! A client has [`PATIENCE`] for its request. The answer is handed to the kernel as a whole, so nobody is waited for who reads
//! slowly. When all places are taken, others wait in the kernel's queue, and who has been asked to hurry for [`GRACE`] makes room.

use super::request::{Answer, LONGEST, Refusal, answer, metrics};
use super::{Format, of};
use crate::pages::Readers;
use crate::wait::tell;
use anyhow::{Context, Result};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_os::clock::raw_now;
use dante_os::page::Instance;
use dante_os::poll::{MAX_FDS, Poll};
use sd_notify::NotifyState;
use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

/// So many clients at once; one descriptor is the listener's.
const PLACES: usize = MAX_FDS - 1;
/// So long a client has for its request, and then once more to close its end.
const PATIENCE: Duration = Duration::from_secs(2);
/// When others wait, it has only so long.
const GRACE: Duration = Duration::from_ms(200);
/// Who sends more than this after its request is not waited for.
const SURPLUS: usize = 64 * 1024;
/// More than any answer: what the kernel takes at once.
const SEND_BUFFER: usize = 256 * 1024;

/// Serves until a signal asks it to end.
pub fn serve(address: SocketAddr, instance: Option<&Instance>) -> Result<()> {
    let mut poll = Poll::new()?;
    let listener = TcpListener::bind(address).with_context(|| format!("listening at {address}"))?;
    let at = listener.local_addr()?;
    crate::report(&format!("the metrics are at http://{at}/metrics"));
    tell(&[NotifyState::Ready]);
    let mut readers = Readers::new(instance);
    listener.set_nonblocking(true)?;
    let text = move |format| of(&readers.read(), format);
    let mut exporter = Exporter { listener, clients: Vec::with_capacity(PLACES), text };
    loop {
        let wake = poll.wait(&exporter.fds(), exporter.deadline())?;
        if wake.signal.is_some() {
            return Ok(());
        }
        exporter.serve(raw_now());
    }
}

/// The connections, and what is told to them.
struct Exporter<T> {
    listener: TcpListener,
    clients: Vec<Client>,
    text: T,
}

/// One connection.
struct Client {
    stream: TcpStream,
    heard: Vec<u8>,
    /// Its answer was sent: only its end is waited for.
    answered: bool,
    /// Bytes that came after that.
    surplus: usize,
    since: Timestamp<Raw>,
}

impl<T: FnMut(Format) -> String> Exporter<T> {
    /// What it waits for: the listener too, while there are places.
    fn fds(&self) -> Vec<std::os::fd::BorrowedFd<'_>> {
        let clients = self.clients.iter().map(|client| client.stream.as_fd());
        let listener = (self.clients.len() < PLACES).then(|| self.listener.as_fd());
        clients.chain(listener).collect()
    }

    fn deadline(&self) -> Option<Timestamp<Raw>> {
        let patience = self.patience();
        self.clients.iter().map(|client| client.since + patience).min()
    }

    fn patience(&self) -> Duration {
        if self.clients.len() < PLACES { PATIENCE } else { GRACE }
    }

    /// Does everything that can be done without waiting.
    fn serve(&mut self, now: Timestamp<Raw>) {
        self.clients.retain_mut(|client| client.go_on(now, &mut self.text));
        let patience = self.patience();
        self.clients.retain_mut(|client| client.is_in_time(now, patience));
        while self.clients.len() < PLACES
            && let Some(mut client) = self.accept(now)
        {
            if client.go_on(now, &mut self.text) {
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
                    // Out of descriptors or memory, and the connection still waits: not to be tried, and told, without a rest.
                    crate::report(&format!("taking a connection: {error}"));
                    std::thread::sleep(GRACE.to_std());
                }
                None
            }
        }
    }
}

impl Client {
    fn new(stream: TcpStream, now: Timestamp<Raw>) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        // What the kernel allows of it is enough, or the answer is cut off, which its length tells.
        _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
        Some(Self { stream, heard: Vec::new(), answered: false, surplus: 0, since: now })
    }

    /// Reads what is there and answers when it is enough; false where the connection is over.
    fn go_on(&mut self, now: Timestamp<Raw>, text: &mut impl FnMut(Format) -> String) -> bool {
        let mut buffer = [0; LONGEST];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => {
                    if !self.answered && !self.heard.is_empty() {
                        self.say(now, &Refusal::Malformed.response());
                    }
                    return false;
                }
                Ok(length) if !self.answered => {
                    self.heard.extend(buffer.iter().take(length));
                    match answer(&self.heard) {
                        Answer::Wait => {}
                        Answer::Metrics { format, head_only } => {
                            self.say(now, &metrics(format, head_only, &text(format)));
                        }
                        Answer::Refused(refusal) => self.say(now, &refusal.response()),
                    }
                }
                // What follows is of no interest, and read all the same: the kernel would take the answer back with what is unread.
                Ok(length) => {
                    self.surplus += length;
                    if self.surplus > SURPLUS {
                        return false;
                    }
                }
                Err(error) => {
                    return error.kind() == ErrorKind::WouldBlock || error.kind() == ErrorKind::Interrupted;
                }
            }
        }
    }

    /// Sends it, and then its end; who read all of it closes, too.
    fn say(&mut self, now: Timestamp<Raw>, response: &str) {
        self.answered = true;
        self.since = now;
        self.heard = Vec::new();
        _ = self.stream.write_all(response.as_bytes());
        _ = self.stream.shutdown(Shutdown::Write);
    }

    fn is_in_time(&mut self, now: Timestamp<Raw>, patience: Duration) -> bool {
        if now - self.since < patience {
            return true;
        }
        if !self.answered {
            self.say(now, &Refusal::TooSlow.response());
        }
        false
    }
}
