//! NTP of the tests' own: a server that shows any date and misbehaves as it is told, and one question to any server.
//!
//! The server answers NTPv4 client packets (RFC 5905, 7.3) from a thread whose socket is in a namespace. It measures
//! nothing: the date that it serves is this machine's CLOCK_REALTIME and an offset.

use crate::namespace::Namespace;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds from the zero of NTP's first era, 1900, to 1970.
const NTP_TO_UNIX: i128 = 2_208_988_800;
const PACKET: usize = 48;

/// What a server answers. The defaults are those of an honest server of stratum 1 with this machine's date.
#[derive(Debug, Clone)]
pub struct Behaviour {
    /// What is answered at all.
    pub answer: Answer,
    /// How far the date served is ahead of this machine's, ns.
    pub offset_ns: i64,
    /// By how much at most each stamp is off, either way, evenly spread, ns.
    pub jitter_ns: i64,
    /// Leap indicator: 0 none, 1 a second is inserted, 2 one is left out, 3 not synchronised.
    pub leap: u8,
    /// 0 unspecified, 1 to 15, 16 not synchronised.
    pub stratum: u8,
    /// Root delay, s.
    pub root_delay_s: f64,
    /// Root dispersion, s.
    pub root_dispersion_s: f64,
    /// Reference identifier.
    pub reference: [u8; 4],
    /// Reference date: how old it is, s.
    pub reference_age_s: i64,
    /// Waits this long between receiving a request and answering it, beside the stamps: a delay of the way back only.
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

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The date.
    Time,
    /// Nothing.
    Nothing,
    /// 48 bytes of chance, with version and mode of a server.
    Garbage,
    /// The first bytes of an honest answer, this many.
    Truncated(usize),
    /// An honest answer to some other request: its origin stamp is not the request's, as one who cannot see the requests
    /// must guess.
    WrongOrigin,
    /// An honest answer with transmit and receive stamps zero.
    ZeroTimestamps,
    /// An honest answer in mode 5 (broadcast).
    WrongMode,
    /// A kiss of death with this code: `RATE`, `DENY`, `RSTR`.
    Kiss([u8; 4]),
    /// An honest answer, twice.
    Twice,
}

/// A request that came.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// This machine's date, ns since 1970.
    pub at_ns: i64,
    /// Who asked.
    pub from: SocketAddr,
    /// Version.
    pub version: u8,
    /// Poll interval that the client states, log2 of seconds.
    pub poll: i8,
}

#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    requests: Mutex<Vec<Request>>,
    enough: AtomicBool,
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct NtpServer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl NtpServer {
    /// A server on port 123 of `host`.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn start(host: &Namespace, behaviour: Behaviour) -> Self {
        let socket = host.within(|| UdpSocket::bind("0.0.0.0:123").expect("port 123"));
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("the socket's time limit");
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            requests: Mutex::default(),
            enough: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        Self { shared, thread: Some(std::thread::spawn(move || serve(&socket, &for_thread))) }
    }

    /// Changes what it answers from now on.
    pub fn change(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut lock(&self.shared.behaviour));
    }

    /// All requests until now.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }
}

impl Drop for NtpServer {
    fn drop(&mut self) {
        self.shared.enough.store(true, Ordering::Relaxed);
        _ = self.thread.take().map(JoinHandle::join);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(socket: &UdpSocket, shared: &Shared) {
    let mut chance = Pcg32::seed_from_u64(1);
    let mut buffer = [0; 1024];
    while !shared.enough.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let at_ns = now_ns();
        let Some(request) = buffer[..length].first_chunk::<PACKET>() else { continue };
        // Mode 3 is a client's.
        if request[0] & 7 != 3 {
            continue;
        }
        let (version, poll) = ((request[0] >> 3) & 7, request[2].cast_signed());
        lock(&shared.requests).push(Request { at_ns, from, version, poll });
        let behaviour = lock(&shared.behaviour).clone();
        std::thread::sleep(behaviour.delay_back);
        let times = if behaviour.answer == Answer::Twice { 2 } else { 1 };
        let answer = behaviour.answer_to(request, at_ns, &mut chance);
        for _ in 0..times {
            // Whoever is gone does not hear it.
            _ = answer.as_ref().map(|bytes| socket.send_to(bytes, from));
        }
    }
}

impl Behaviour {
    fn answer_to(&self, request: &[u8; PACKET], at_ns: i64, chance: &mut Pcg32) -> Option<Vec<u8>> {
        let mut packet = self.honest(request, at_ns, chance);
        match self.answer {
            Answer::Time | Answer::Twice => {}
            Answer::Nothing => return None,
            Answer::Garbage => chance.fill(&mut packet[1..]),
            Answer::Truncated(length) => return packet.get(..length).map(<[u8]>::to_vec),
            Answer::WrongOrigin => chance.fill(&mut packet[24..32]),
            Answer::ZeroTimestamps => packet[32..48].fill(0),
            Answer::WrongMode => packet[0] = packet[0] & !7 | 5,
            Answer::Kiss(code) => {
                // RFC 5905, 7.4: stratum 0, the code in place of the reference; LI is 3.
                packet[0] |= 3 << 6;
                packet[1] = 0;
                packet[12..16].copy_from_slice(&code);
            }
        }
        Some(packet.to_vec())
    }

    fn honest(&self, request: &[u8; PACKET], at_ns: i64, chance: &mut Pcg32) -> [u8; PACKET] {
        let mut stamp = |at_ns: i64| {
            let off =
                if self.jitter_ns == 0 { 0 } else { chance.random_range(-self.jitter_ns..=self.jitter_ns) };
            ntp_stamp(at_ns + self.offset_ns + off)
        };
        let mut packet = [0; PACKET];
        // The client's version, mode 4.
        packet[0] = self.leap << 6 | request[0] & 0x38 | 4;
        packet[1] = self.stratum;
        packet[2] = request[2];
        // 2^-20 s.
        packet[3] = 0xec;
        packet[4..8].copy_from_slice(&ntp_short(self.root_delay_s));
        packet[8..12].copy_from_slice(&ntp_short(self.root_dispersion_s));
        packet[12..16].copy_from_slice(&self.reference);
        packet[16..24].copy_from_slice(&stamp(at_ns - self.reference_age_s * 1_000_000_000));
        packet[24..32].copy_from_slice(&request[40..48]);
        packet[32..40].copy_from_slice(&stamp(at_ns));
        // The time that the answer was held back is not owned up to.
        let held_ns = i64::try_from(self.delay_back.as_nanos()).expect("a short delay");
        packet[40..48].copy_from_slice(&stamp(now_ns() - held_ns));
        packet
    }
}

/// A server that is there answers at once, one in an emulated guest within some ms.
const REPLY_LIMIT: Duration = Duration::from_millis(500);

/// What a server said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reply {
    /// Leap indicator: 0 none, 3 not synchronised.
    pub leap: u8,
    /// 1 to 15; 16 or 0: not synchronised.
    pub stratum: u8,
    /// Root dispersion, s.
    pub root_dispersion_s: f64,
    /// Reference identifier.
    pub reference: [u8; 4],
    /// Transmit date, ns since 1970.
    pub transmit_ns: i64,
}

/// Asks `server` from the address `from` of `host`; `None` where no answer comes within half a second.
///
/// # Panics
/// When `from` is no address of the host.
pub fn ask(host: &Namespace, from: &str, server: &str) -> Option<Reply> {
    let socket = host.within(|| UdpSocket::bind((from, 0)).expect("an address of the host"));
    socket.set_read_timeout(Some(REPLY_LIMIT)).expect("the socket's time limit");
    // Version 4, mode 3.
    let mut packet = [0; PACKET];
    packet[0] = (4 << 3) | 3;
    // Where nobody listens the kernel says so, to the next call.
    socket.send_to(&packet, (server, 123)).ok()?;
    let (length, _) = socket.recv_from(&mut packet).ok()?;
    // Mode 4 is a server's.
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
            transmit_ns: i64::try_from(ns).expect("a date before 2036"),
        }
    }
}

/// This machine's date.
pub(crate) fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a date after 1970");
    i64::try_from(now.as_nanos()).expect("a date before 2262")
}

/// 32 bits of seconds, 32 of their fraction; eras are not told apart.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the era is cut off: RFC 5905, 6"
)]
fn ntp_stamp(unix_ns: i64) -> [u8; 8] {
    let ns = i128::from(unix_ns) + NTP_TO_UNIX * 1_000_000_000;
    (((ns << 32) / 1_000_000_000) as u64).to_be_bytes()
}

/// 16 bits of seconds, 16 of their fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float is held within the range"
)]
fn ntp_short(seconds: f64) -> [u8; 4] {
    ((seconds * 65_536.0) as u32).to_be_bytes()
}
