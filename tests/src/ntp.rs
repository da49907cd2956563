//! An NTP server whose time and faults a test sets, and an NTP client that sends one request.
//!
//! The server answers NTPv4 client packets (RFC 5905, 7.3) from a thread whose socket is in a namespace. Its time is this
//! machine's CLOCK_REALTIME plus an offset.

use crate::namespace::Namespace;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds from 1900, the zero of NTP's first era, to 1970.
const NTP_TO_UNIX: i128 = 2_208_988_800;
/// Size of a packet without extensions, bytes.
const PACKET: usize = 48;

/// Behaviour of a server. The default is a correct server of stratum 1 with this machine's time.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// Kind of answer.
    pub answer: Answer,
    /// The server's time minus this machine's, ns.
    pub offset_ns: i64,
    /// Error of each timestamp: uniform between minus and plus this, ns.
    pub jitter_ns: i64,
    /// Leap indicator: 0 none, 1 a second is inserted, 2 a second is deleted, 3 not synchronised.
    pub leap: u8,
    /// 0 unspecified, 1 to 15, 16 not synchronised.
    pub stratum: u8,
    /// Root delay, s.
    pub root_delay_s: f64,
    /// Root dispersion, s.
    pub root_dispersion_s: f64,
    /// Reference identifier.
    pub reference: [u8; 4],
    /// Age of the reference timestamp, s.
    pub reference_age_s: i64,
    /// Delay between the transmit timestamp and the answer: a delay of the return path only.
    pub delay_back: Duration,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            answer: Answer::Time,
            offset_ns: 0,
            jitter_ns: 0,
            leap: 0,
            stratum: 1,
            root_delay_s: 0.0,
            root_dispersion_s: 0.0005,
            reference: *b"TEST",
            reference_age_s: 10,
            delay_back: Duration::ZERO,
        }
    }
}

/// Kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A correct answer.
    Time,
    /// No answer.
    Nothing,
    /// 48 random bytes, with a server's version and mode.
    Garbage,
    /// The first bytes of a correct answer, this many.
    Truncated(usize),
    /// A correct answer with a random origin timestamp, as of an attacker who does not see the requests.
    WrongOrigin,
    /// A correct answer with transmit and receive timestamps of zero.
    ZeroTimestamps,
    /// A correct answer in mode 5 (broadcast).
    WrongMode,
    /// A kiss-o'-death packet with this code: `RATE`, `DENY`, `RSTR`.
    Kiss([u8; 4]),
    /// The same with a random origin timestamp, as of an attacker who does not see the requests.
    ForgedKiss([u8; 4]),
    /// A correct answer, twice.
    Twice,
}

/// A request that the server received.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// This machine's time, ns since 1970.
    pub at_ns: i64,
    /// Address of the client.
    pub from: SocketAddr,
    /// Protocol version.
    pub version: u8,
    /// Poll interval in the packet, log2 of seconds.
    pub poll: i8,
}

#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    requests: Mutex<Vec<Request>>,
    end: AtomicBool,
}

/// A server, ended on drop.
#[derive(Debug)]
pub struct NtpServer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl NtpServer {
    /// Starts a server on port 123 of `host`.
    ///
    /// # Panics
    /// If the port is in use.
    pub fn start(host: &Namespace, behaviour: Behaviour) -> Self {
        let socket = host.within(|| UdpSocket::bind("0.0.0.0:123").expect("port 123"));
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("the socket's time limit");
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            requests: Mutex::default(),
            end: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        Self { shared, thread: Some(std::thread::spawn(move || serve(&socket, &for_thread))) }
    }

    /// Changes its behaviour from now on.
    pub fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.shared.behaviour));
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }
}

impl Drop for NtpServer {
    fn drop(&mut self) {
        self.shared.end.store(true, Ordering::Relaxed);
        _ = self.thread.take().map(JoinHandle::join);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(socket: &UdpSocket, shared: &Shared) {
    let mut rng = Pcg32::seed_from_u64(1);
    let mut buffer = [0; 1024];
    while !shared.end.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let at_ns = now_ns();
        let Some(request) = buffer[..length].first_chunk::<PACKET>() else { continue };
        // Mode 3: client.
        if request[0] & 7 != 3 {
            continue;
        }
        let (version, poll) = ((request[0] >> 3) & 7, request[2].cast_signed());
        lock(&shared.requests).push(Request { at_ns, from, version, poll });
        let behaviour = lock(&shared.behaviour).clone();
        std::thread::sleep(behaviour.delay_back);
        let times = if behaviour.answer == Answer::Twice { 2 } else { 1 };
        let answer = behaviour.answer_to(request, at_ns, &mut rng);
        for _ in 0..times {
            // Fails if the client has closed its port.
            _ = answer.as_ref().map(|bytes| socket.send_to(bytes, from));
        }
    }
}

impl Behaviour {
    fn answer_to(&self, request: &[u8; PACKET], at_ns: i64, rng: &mut Pcg32) -> Option<Vec<u8>> {
        let mut packet = self.correct(request, at_ns, rng);
        match self.answer {
            Answer::Time | Answer::Twice => {}
            Answer::Nothing => return None,
            Answer::Garbage => rng.fill(&mut packet[1..]),
            Answer::Truncated(length) => return packet.get(..length).map(<[u8]>::to_vec),
            Answer::WrongOrigin => rng.fill(&mut packet[24..32]),
            Answer::ZeroTimestamps => packet[32..48].fill(0),
            Answer::WrongMode => packet[0] = packet[0] & !7 | 5,
            Answer::Kiss(code) | Answer::ForgedKiss(code) => {
                // RFC 5905, 7.4: stratum 0, the code as reference identifier, leap indicator 3.
                packet[0] |= 3 << 6;
                packet[1] = 0;
                packet[12..16].copy_from_slice(&code);
                if matches!(self.answer, Answer::ForgedKiss(_)) {
                    rng.fill(&mut packet[24..32]);
                }
            }
        }
        Some(packet.to_vec())
    }

    fn correct(&self, request: &[u8; PACKET], at_ns: i64, rng: &mut Pcg32) -> [u8; PACKET] {
        let mut timestamp = |at_ns: i64| {
            let error =
                if self.jitter_ns == 0 { 0 } else { rng.random_range(-self.jitter_ns..=self.jitter_ns) };
            ntp_timestamp(at_ns + self.offset_ns + error)
        };
        let mut packet = [0; PACKET];
        // The client's version, mode 4.
        packet[0] = self.leap << 6 | request[0] & 0x38 | 4;
        packet[1] = self.stratum;
        packet[2] = request[2];
        // Precision: 2^-20 s.
        packet[3] = 0xec;
        packet[4..8].copy_from_slice(&ntp_short(self.root_delay_s));
        packet[8..12].copy_from_slice(&ntp_short(self.root_dispersion_s));
        packet[12..16].copy_from_slice(&self.reference);
        packet[16..24].copy_from_slice(&timestamp(at_ns - self.reference_age_s * 1_000_000_000));
        packet[24..32].copy_from_slice(&request[40..48]);
        packet[32..40].copy_from_slice(&timestamp(at_ns));
        // As of before the delay, which the client therefore takes for the return path.
        let delay_ns = i64::try_from(self.delay_back.as_nanos()).expect("a short delay");
        packet[40..48].copy_from_slice(&timestamp(now_ns() - delay_ns));
        packet
    }
}

/// Longest wait for an answer: a server in an emulated guest takes some ms.
const REPLY_LIMIT: Duration = Duration::from_millis(500);

/// An answer of a server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reply {
    /// Leap indicator: 0 none, 3 not synchronised.
    pub leap: u8,
    /// Stratum: 1 to 15; 16 or 0: not synchronised.
    pub stratum: u8,
    /// Root dispersion, s.
    pub root_dispersion_s: f64,
    /// Reference identifier.
    pub reference: [u8; 4],
    /// Transmit timestamp, ns since 1970.
    pub transmit_ns: i64,
}

/// Sends a request to `server` from the address `from` of `host`. Returns `None` if no answer arrives within half a second.
///
/// # Panics
/// If `from` is no address of the host.
pub fn query(host: &Namespace, from: &str, server: &str) -> Option<Reply> {
    let socket = host.within(|| UdpSocket::bind((from, 0)).expect("an address of the host"));
    socket.set_read_timeout(Some(REPLY_LIMIT)).expect("the socket's time limit");
    // Version 4, mode 3 (client).
    let mut packet = [0; PACKET];
    packet[0] = (4 << 3) | 3;
    // If no program listens, the next call returns ECONNREFUSED.
    socket.send_to(&packet, (server, 123)).ok()?;
    let (length, _) = socket.recv_from(&mut packet).ok()?;
    // Mode 4: server.
    (length == PACKET && packet[0] & 7 == 4).then(|| Reply::of(&packet))
}

impl Reply {
    fn of(packet: &[u8; PACKET]) -> Self {
        let word =
            |at: usize| u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]]);
        let (seconds, fraction) = (i128::from(word(40)), i128::from(word(44)));
        let ns = (seconds - NTP_TO_UNIX) * 1_000_000_000 + ((fraction * 1_000_000_000) >> 32);
        Self {
            leap: packet[0] >> 6,
            stratum: packet[1],
            root_dispersion_s: f64::from(word(8)) / 65_536.0,
            reference: word(12).to_be_bytes(),
            transmit_ns: i64::try_from(ns).expect("a time before 2036"),
        }
    }
}

/// CLOCK_REALTIME of this machine, ns since 1970.
pub(crate) fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    i64::try_from(now.as_nanos()).expect("a time before 2262")
}

/// NTP timestamp: 32 bits of seconds and 32 of their fraction, without the era.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the era is dropped (RFC 5905, 6)"
)]
fn ntp_timestamp(unix_ns: i64) -> [u8; 8] {
    let ns = i128::from(unix_ns) + NTP_TO_UNIX * 1_000_000_000;
    (((ns << 32) / 1_000_000_000) as u64).to_be_bytes()
}

/// NTP short format: 16 bits of seconds and 16 of their fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
fn ntp_short(seconds: f64) -> [u8; 4] {
    ((seconds * 65_536.0) as u32).to_be_bytes()
}
