//! NTP client. A separate thread resolves names and waits for replies, so the program's poll loop never blocks.
//!
//! The crate rsntp does the exchange (SNTPv4, RFC 5905) and measures on CLOCK_REALTIME. This module relates the measured offset
//! to CLOCK_MONOTONIC_RAW by readings of both clocks before and after the exchange. The result is UTC over
//! CLOCK_MONOTONIC_RAW, whatever CLOCK_REALTIME shows and whichever clock the program steers.

mod server;

use crate::clock::read_realtime;
use dante_core::time::{Duration, Reading, Real, Timestamp};
use dante_core::utc::{Answer, Exchange, Leap};
use nix::sys::eventfd::{EfdFlags, EventFd};
use rsntp::{KissCode, LeapIndicator, ProtocolError, SynchronizationError, SynchronizationResult};
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
/// Lower bound of a server's time, 2020-01-01: an earlier time is wrong.
const EARLIEST: Timestamp<Real> = Timestamp::from_ns(1_577_836_800 * 1_000_000_000);
/// Upper bound of the system clock, 2100-01-01: rsntp cannot represent much later times in a request.
const LATEST: Timestamp<Real> = Timestamp::from_ns(4_102_444_800 * 1_000_000_000);
/// Maximum rate of CLOCK_REALTIME against CLOCK_MONOTONIC_RAW during an exchange, ppm: the 500 ppm of ADJ_FREQUENCY and the
/// oscillator's own error. A larger change is a step.
const MAX_SLEW_PPM: i64 = 600;
/// Maximum error of an interrupted reading of both clocks.
const READING_ERROR: Duration = Duration::from_us(100);
/// Granularity of a server's clock: its two timestamps may differ by this much more than the true interval.
const GRANULARITY: Duration = Duration::from_ms(1);

/// Result of one query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NtpReply {
    /// Index of the server in the list given to [`NtpClient::start`].
    pub server: usize,
    /// The server's answer.
    pub answer: Answer,
    /// Why the query gave no time; `None` if it did.
    pub failure: Option<String>,
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
            let (answer, failure) = match query(server, self.timeout) {
                Ok(exchange) => (Answer::Time(exchange), None),
                Err((answer, failure)) => (answer, Some(failure)),
            };
            // The name's address may have changed, or another of its addresses may work.
            if answer == Answer::Nothing {
                server.forget();
            }
            if let Some(pending) = self.pending.get(number) {
                pending.store(false, Ordering::Release);
            }
            if self.answered.send(NtpReply { server: number, answer, failure }).is_err() {
                return;
            }
            _ = self.event.write(1);
        }
    }
}

/// Queries the server once. Errors: the answer without a time, and why it has none.
fn query(server: &mut Server, timeout: std::time::Duration) -> Result<Exchange, (Answer, String)> {
    let nothing = |failure| (Answer::Nothing, failure);
    let address = server.address().map_err(nothing)?;
    let client = server::client(address, timeout);
    let before = read_realtime();
    if before.real >= LATEST {
        return Err(nothing("the system clock is later than 2099: set it by hand first".into()));
    }
    let result = client.synchronize(address);
    let after = read_realtime();
    let measured = result.map_err(|error| refusal(&error, &address.to_string(), timeout))?;
    judge(before, after, Measured::of(&measured)).map_err(nothing)
}

/// Measurement of an exchange on CLOCK_REALTIME, s.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// Server minus this host.
    offset: f64,
    /// Without the processing time in the server.
    round_trip: f64,
    leap: Leap,
}

impl Measured {
    fn of(result: &SynchronizationResult) -> Self {
        Self {
            offset: result.clock_offset().as_secs_f64(),
            round_trip: result.round_trip_delay().as_secs_f64(),
            leap: match result.leap_indicator() {
                LeapIndicator::LastMinuteHas61Seconds => Leap::Insert,
                LeapIndicator::LastMinuteHas59Seconds => Leap::Delete,
                // rsntp reports an alarm as an error of the exchange.
                LeapIndicator::NoWarning | LeapIndicator::AlarmCondition => Leap::None,
            },
        }
    }
}

/// Relates the measurement to CLOCK_MONOTONIC_RAW. Errors: why the measurement cannot be right.
fn judge(before: Reading, after: Reading, measured: Measured) -> Result<Exchange, String> {
    let (elapsed, elapsed_real) = (after.raw - before.raw, after.real - before.real);
    let tolerance = elapsed / 1_000_000 * MAX_SLEW_PPM + READING_ERROR;
    if (elapsed_real - elapsed).abs() > tolerance {
        return Err(format!(
            "the system clock was stepped by {:+.6} s during the exchange",
            (elapsed_real - elapsed).secs_f64()
        ));
    }
    let round_trip = Duration::from_secs_f64(measured.round_trip);
    if round_trip > elapsed + tolerance || round_trip < -GRANULARITY {
        return Err(format!(
            "implausible reply: round trip of {:.6} s in an exchange that took {:.6} s",
            round_trip.secs_f64(),
            elapsed.secs_f64()
        ));
    }
    // Checked, not saturating: a saturated time would look like a valid one.
    let real = before.real + elapsed_real / 2;
    let offset = Duration::from_secs_f64(measured.offset);
    let utc = real.ns().checked_add(offset.ns()).filter(|_| offset.abs() < Duration::MAX);
    match utc.map(Timestamp::from_ns) {
        None => Err("implausible reply: time out of range".into()),
        Some(utc) if utc < EARLIEST => Err("implausible reply: time before 2020".into()),
        Some(utc) => Ok(Exchange {
            raw: before.raw + elapsed / 2,
            utc,
            round_trip: round_trip.max(Duration::ZERO),
            leap: measured.leap,
        }),
    }
}

/// Classifies a failed exchange, and describes the failure.
fn refusal(error: &SynchronizationError, address: &str, timeout: std::time::Duration) -> (Answer, String) {
    let answer = match error {
        SynchronizationError::ProtocolError(ProtocolError::KissODeath(KissCode::RateExceeded)) => {
            Answer::SlowDown
        }
        SynchronizationError::ProtocolError(ProtocolError::KissODeath(KissCode::AccessDenied)) => {
            Answer::Denied
        }
        _ => Answer::Nothing,
    };
    let failure = match error {
        SynchronizationError::IOError(cause) => match cause.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("no reply from {address} within {} s", timeout.as_secs())
            }
            io::ErrorKind::ConnectionRefused => format!("no NTP server listens at {address}"),
            _ => format!("cannot query {address}: {cause}"),
        },
        SynchronizationError::ProtocolError(ProtocolError::KissODeath(code)) => match code {
            KissCode::RateExceeded => format!("{address} demands fewer queries (kiss code RATE)"),
            KissCode::AccessDenied => format!("{address} denies access (kiss code DENY or RSTR)"),
            KissCode::AssociationNotYetSynchronized => {
                format!("{address} is not synchronised yet (kiss code INIT)")
            }
            KissCode::StepChange => format!("{address} is stepping its clock (kiss code STEP)"),
            other => format!("{address} sends no time: kiss code {other:?} (RFC 5905, section 7.4)"),
        },
        SynchronizationError::ProtocolError(ProtocolError::ServerNotSynchronized) => {
            format!("{address} is not synchronised itself")
        }
        SynchronizationError::ProtocolError(ProtocolError::InvalidOriginateTimestamp) => {
            format!("reply from {address} does not match the request (originate timestamp)")
        }
        SynchronizationError::ProtocolError(other) => format!("invalid reply from {address}: {other}"),
    };
    (answer, failure)
}

#[cfg(test)]
mod tests;
