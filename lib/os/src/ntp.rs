//! Questions to NTP servers, asked by a thread of their own: names are looked up and answers waited for there, while
//! the program's poll loop goes on.
//!
//! The exchange itself (SNTPv4, RFC 5905) is the crate rsntp's, which measures on CLOCK_REALTIME. Its offset is tied to
//! CLOCK_MONOTONIC_RAW here, by readings of both clocks before and after: what is given on is UTC, whatever
//! CLOCK_REALTIME shows and whichever clock the program steers.

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

/// The port of a server whose name tells none.
const PORT: u16 = 123;
/// How long an answer is waited for. One that took longer would be too uncertain to use.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);
/// 2020-01-01: no server that shows an earlier date is right.
const EARLIEST: Timestamp<Real> = Timestamp::from_ns(1_577_836_800 * 1_000_000_000);
/// 2100-01-01. rsntp cannot write a date much later than that, and a system clock that shows one is not worth asking by.
const LATEST: Timestamp<Real> = Timestamp::from_ns(4_102_444_800 * 1_000_000_000);
/// By what CLOCK_REALTIME may move against CLOCK_MONOTONIC_RAW during an exchange without having been stepped: the
/// 500 ppm of ADJ_FREQUENCY with the oscillator's own error, and what a reading may err when interrupted.
const SLEW_PPM: i64 = 600;
const READING: Duration = Duration::from_us(100);
/// A server's two stamps may be further apart than they were, by the grain of its clock.
const GRAIN: Duration = Duration::from_ms(1);

/// What came of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NtpReply {
    /// Which server was asked, counted from 0 as given to [`NtpClient::start`].
    pub server: usize,
    /// What it answered.
    pub answer: Answer,
    /// Why there is no time in it, in words.
    pub said: Option<String>,
}

/// The asker. Its descriptor ([`AsFd`]) is readable while replies wait to be taken.
///
/// Dropping it waits for nothing: the thread ends by itself when its present exchange is over, after one more at most.
#[derive(Debug)]
pub struct NtpClient {
    names: Vec<String>,
    questions: Sender<usize>,
    replies: Receiver<NtpReply>,
    bell: Arc<EventFd>,
    pending: Arc<[AtomicBool]>,
}

impl NtpClient {
    /// A server's name as it was given, if [`Self::start`] would take it.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn server_name(text: &str) -> Result<String, String> {
        Server::parse(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
    }

    /// Starts the thread, which asks nobody yet and looks no name up. A server is `host`, `host:port`, an IPv4 or IPv6
    /// address, or `[v6]:port`; the port is 123 where none is named. Start it after [`crate::poll::Poll::new`], so that
    /// signals do not go to this thread.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a server that is none of these; whatever the kernel refuses a thread or an
    /// eventfd for.
    pub fn start(names: Vec<String>) -> io::Result<Self> {
        let servers: Vec<Server> = names.iter().map(|name| Server::parse(name)).collect::<io::Result<_>>()?;
        let pending: Arc<[AtomicBool]> = servers.iter().map(|_| AtomicBool::new(false)).collect();
        let bell =
            Arc::new(EventFd::from_value_and_flags(0, EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?);
        let (questions, asked) = channel();
        let (answered, replies) = channel();
        let worker = Worker { servers, asked, answered, bell: bell.clone(), pending: pending.clone() };
        std::thread::Builder::new().name("ntp".into()).spawn(move || worker.run())?;
        Ok(Self { names, questions, replies, bell, pending })
    }

    /// What server number `server` is called.
    pub fn name(&self, server: usize) -> &str {
        self.names.get(server).map_or("?", String::as_str)
    }

    /// Has one question asked to server number `server`, and never waits. One that has not replied to the last question
    /// yet is not asked twice, and a number beyond the servers is nobody's: nothing is asked then.
    ///
    /// Servers are asked one after the other: one that is silent holds the others up for 1 s, a name that cannot be
    /// looked up for as long as the resolver takes.
    pub fn ask(&self, server: usize) {
        if self.pending.get(server).is_some_and(|pending| !pending.swap(true, Ordering::AcqRel)) {
            // The thread lives as long as this does.
            _ = self.questions.send(server);
        }
    }

    /// The replies that have come, oldest first; never waits.
    pub fn take(&mut self) -> Vec<NtpReply> {
        // The bell first: rung in between, it rings once too often, but never once too seldom.
        _ = self.bell.read();
        self.replies.try_iter().collect()
    }
}

impl AsFd for NtpClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

struct Worker {
    servers: Vec<Server>,
    asked: Receiver<usize>,
    answered: Sender<NtpReply>,
    bell: Arc<EventFd>,
    pending: Arc<[AtomicBool]>,
}

impl Worker {
    fn run(mut self) {
        while let Ok(number) = self.asked.recv() {
            let Some(server) = self.servers.get_mut(number) else { continue };
            let (answer, said) = match ask(server) {
                Ok(exchange) => (Answer::Time(exchange), None),
                Err((answer, said)) => (answer, Some(said)),
            };
            // A name may have moved, or have another address that works.
            if answer == Answer::Nothing {
                server.forget();
            }
            if let Some(pending) = self.pending.get(number) {
                pending.store(false, Ordering::Release);
            }
            if self.answered.send(NtpReply { server: number, answer, said }).is_err() {
                return;
            }
            _ = self.bell.write(1);
        }
    }
}

/// One exchange; what came instead of a time, and why.
fn ask(server: &mut Server) -> Result<Exchange, (Answer, String)> {
    let nothing = |said| (Answer::Nothing, said);
    let address = server.address().map_err(nothing)?;
    let client = server::client(address);
    let before = read_realtime();
    if before.real >= LATEST {
        return Err(nothing("the system clock shows a year beyond 2099: set it by hand first".into()));
    }
    let result = client.synchronize(address);
    let after = read_realtime();
    let measured = result.map_err(|error| refusal(&error, &address.to_string()))?;
    judge(before, after, Measured::of(&measured)).map_err(nothing)
}

/// What the exchange measured on CLOCK_REALTIME, s.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// Server minus us.
    offset: f64,
    /// Without the server's own time.
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
                // The alarm is an error of the exchange.
                LeapIndicator::NoWarning | LeapIndicator::AlarmCondition => Leap::None,
            },
        }
    }
}

/// Ties what was measured to CLOCK_MONOTONIC_RAW, or says why it cannot be right.
fn judge(before: Reading, after: Reading, measured: Measured) -> Result<Exchange, String> {
    let (elapsed, shown) = (after.raw - before.raw, after.real - before.real);
    let tolerance = elapsed / 1_000_000 * SLEW_PPM + READING;
    if (shown - elapsed).abs() > tolerance {
        return Err(format!(
            "the system clock was stepped by {:+.6} s meanwhile",
            (shown - elapsed).secs_f64()
        ));
    }
    let round_trip = Duration::from_secs_f64(measured.round_trip);
    if round_trip > elapsed + tolerance || round_trip < -GRAIN {
        return Err(format!(
            "garbage: a round trip of {:.6} s that took {:.6} s",
            round_trip.secs_f64(),
            elapsed.secs_f64()
        ));
    }
    // Without saturation: a date at the end of the range would look like one.
    let real = before.real + shown / 2;
    let offset = Duration::from_secs_f64(measured.offset);
    let utc = real.ns().checked_add(offset.ns()).filter(|_| offset.abs() < Duration::MAX);
    match utc.map(Timestamp::from_ns) {
        None => Err("garbage: a date beyond all times".into()),
        Some(utc) if utc < EARLIEST => Err("garbage: a date before 2020".into()),
        Some(utc) => Ok(Exchange {
            raw: before.raw + elapsed / 2,
            utc,
            round_trip: round_trip.max(Duration::ZERO),
            leap: measured.leap,
        }),
    }
}

/// What an exchange that failed means, and why it did.
fn refusal(error: &SynchronizationError, address: &str) -> (Answer, String) {
    let answer = match error {
        SynchronizationError::ProtocolError(ProtocolError::KissODeath(KissCode::RateExceeded)) => {
            Answer::SlowDown
        }
        SynchronizationError::ProtocolError(ProtocolError::KissODeath(KissCode::AccessDenied)) => {
            Answer::Denied
        }
        _ => Answer::Nothing,
    };
    let said = match error {
        SynchronizationError::IOError(cause) => match cause.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("no answer from {address} within {} s", TIMEOUT.as_secs())
            }
            io::ErrorKind::ConnectionRefused => format!("no NTP server listens at {address}"),
            _ => format!("no exchange with {address}: {cause}"),
        },
        SynchronizationError::ProtocolError(ProtocolError::KissODeath(code)) => match code {
            KissCode::RateExceeded => format!("{address} wants to be asked less often (kiss code RATE)"),
            KissCode::AccessDenied => format!("{address} refuses to be asked (kiss code DENY or RSTR)"),
            KissCode::AssociationNotYetSynchronized => {
                format!("{address} is not synchronised yet (kiss code INIT)")
            }
            KissCode::StepChange => format!("{address} is stepping its clock (kiss code STEP)"),
            other => format!("{address} gives no time: {other:?} (RFC 5905, section 7.4)"),
        },
        SynchronizationError::ProtocolError(ProtocolError::ServerNotSynchronized) => {
            format!("{address} says that it is not synchronised itself")
        }
        SynchronizationError::ProtocolError(ProtocolError::InvalidOriginateTimestamp) => {
            format!("the answer from {address} is to another question")
        }
        SynchronizationError::ProtocolError(other) => format!("garbage from {address}: {other}"),
    };
    (answer, said)
}

#[cfg(test)]
mod tests;
