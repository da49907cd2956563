//! Against servers in this process, on loopback.

use super::*;
use dante_core::time::Raw;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::net::UdpSocket;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A packet of RFC 5905, figure 8; times in s since 1970.
#[derive(Clone, Copy)]
struct Packet {
    leap: u8,
    mode: u8,
    stratum: u8,
    reference: [u8; 4],
    originate: [u8; 8],
    receive: f64,
    transmit: f64,
}

impl Packet {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; 48];
        bytes[0] = self.leap << 6 | 4 << 3 | self.mode;
        bytes[1] = self.stratum;
        bytes[12..16].copy_from_slice(&self.reference);
        bytes[24..32].copy_from_slice(&self.originate);
        bytes[32..40].copy_from_slice(&stamp(self.receive));
        bytes[40..48].copy_from_slice(&stamp(self.transmit));
        bytes
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "s since 1900, era 0 or 1")]
fn stamp(since_1970: f64) -> [u8; 8] {
    let since_1900 = since_1970 + 2_208_988_800.0;
    let seconds = (since_1900.floor() as u64 & 0xffff_ffff) << 32;
    (seconds | (since_1900.fract() * 4_294_967_296.0) as u64).to_be_bytes()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Answers one question as `answer` makes of a right answer, or not at all; returns where.
fn server(answer: impl FnOnce(Packet) -> Option<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut question = [0; 64];
        let (length, from) = socket.recv_from(&mut question).unwrap();
        assert_eq!((length, question[0] & 7), (48, 3), "a client's question");
        let right = Packet {
            leap: 0,
            mode: 4,
            stratum: 2,
            reference: [192, 0, 2, 1],
            originate: question[40..48].try_into().unwrap(),
            receive: now(),
            transmit: now(),
        };
        if let Some(bytes) = answer(right) {
            socket.send_to(&bytes, from).unwrap();
        } else {
            // The port stays open, so that nobody says that it is closed.
            std::thread::sleep(TIMEOUT * 2);
        }
    });
    address
}

fn wait(client: &mut NtpClient) -> Vec<NtpReply> {
    let mut fds = [PollFd::new(client.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::from(10_000u16)), Ok(1), "no reply");
    client.take()
}

fn reply(answer: impl FnOnce(Packet) -> Option<Vec<u8>> + Send + 'static) -> (Answer, String) {
    let mut client = NtpClient::start(vec![server(answer)]).unwrap();
    client.ask(0);
    let reply = wait(&mut client).remove(0);
    (reply.answer, reply.said.unwrap_or_default())
}

fn nothing_because(words: &str, answer: impl FnOnce(Packet) -> Option<Vec<u8>> + Send + 'static) {
    let (answer, said) = reply(answer);
    assert_eq!(answer, Answer::Nothing);
    assert!(said.contains(words), "\"{said}\" does not say \"{words}\"");
}

#[test]
fn a_servers_time_is_tied_to_the_raw_clock() {
    let ahead = |packet: Packet| {
        Packet { receive: packet.receive + 5.0, transmit: packet.transmit + 5.0, leap: 1, ..packet }.bytes()
    };
    let (answer, said) = reply(move |packet| Some(ahead(packet)));
    let Answer::Time(exchange) = answer else { panic!("{said}") };
    assert_eq!((exchange.leap, said.as_str()), (Leap::Insert, ""));
    let reading = read_realtime();
    let ours = reading.real - (reading.raw - exchange.raw);
    let error = (exchange.utc - ours) - Duration::from_secs(5);
    // The way there and back may differ by all that it takes; and the clock is steered by 500 ppm at most.
    let bound = exchange.round_trip / 2 + Duration::from_us(200) + (reading.raw - exchange.raw) / 1_000;
    assert!(error.abs() <= bound, "{error:?} off, with a round trip of {:?}", exchange.round_trip);
    assert!(exchange.round_trip >= Duration::ZERO && exchange.round_trip < Duration::from_secs(1));
}

#[test]
fn kiss_codes_are_told_apart() {
    let kiss = |code: &'static [u8; 4]| {
        reply(move |packet| Some(Packet { leap: 3, stratum: 0, reference: *code, ..packet }.bytes()))
    };
    assert_eq!(kiss(b"RATE").0, Answer::SlowDown);
    assert_eq!(kiss(b"DENY").0, Answer::Denied);
    assert_eq!(kiss(b"RSTR").0, Answer::Denied);
    let (answer, said) = kiss(b"INIT");
    assert_eq!(answer, Answer::Nothing);
    assert!(said.ends_with("is not synchronised yet (kiss code INIT)"), "{said}");
    assert_eq!(kiss(b"XYZW").0, Answer::Nothing);
}

#[test]
fn what_cannot_be_used_is_nothing_with_a_reason() {
    nothing_because("garbage from 127.0.0.1", |_| Some(b"hello".to_vec()));
    nothing_because("garbage from 127.0.0.1", |_| Some(vec![0xff; 48]));
    nothing_because("not synchronised itself", |packet| Some(Packet { leap: 3, ..packet }.bytes()));
    nothing_because("not synchronised itself", |packet| Some(Packet { stratum: 16, ..packet }.bytes()));
    nothing_because("to another question", |packet| Some(Packet { originate: [9; 8], ..packet }.bytes()));
    nothing_because("before 2020", |packet| {
        let back = now() - 1_000_000_000.0;
        Some(Packet { receive: packet.receive - back, transmit: packet.transmit - back, ..packet }.bytes())
    });
    nothing_because("a round trip of", |packet| Some(Packet { receive: 0.0, ..packet }.bytes()));
    nothing_because("a round trip of", |packet| {
        Some(Packet { transmit: packet.transmit + 0.5, ..packet }.bytes())
    });
}

#[test]
fn silence_ends_after_a_second_and_the_poll_loop_never_waits() {
    let mut client = NtpClient::start(vec![server(|_| None)]).unwrap();
    let start = Instant::now();
    client.ask(0);
    client.ask(0);
    assert_eq!(client.take(), []);
    assert!(start.elapsed() < TIMEOUT, "asking waited");
    let replies = wait(&mut client);
    assert!(start.elapsed() >= TIMEOUT);
    assert_eq!(replies.len(), 1, "asked twice, but once at a time");
    assert_eq!(replies[0].answer, Answer::Nothing);
    assert!(replies[0].said.as_ref().unwrap().contains("within 1 s"), "{replies:?}");
    let mut fds = [PollFd::new(client.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::ZERO), Ok(0), "taken, and readable still");
}

#[test]
fn servers_are_told_by_their_number() {
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let good = server(|packet| Some(packet.bytes()));
    // An empty label: no resolver is asked for that.
    let mut client = NtpClient::start(vec![closed, good, "nowhere..invalid".into()]).unwrap();
    client.ask(7);
    for number in [1, 0, 2] {
        client.ask(number);
        let replies = wait(&mut client);
        assert_eq!(replies.len(), 1);
        assert_eq!(replies[0].server, number);
        let said = replies[0].said.clone().unwrap_or_default();
        match number {
            0 => assert!(said.starts_with("no NTP server listens at 127.0.0.1"), "{said}"),
            1 => assert!(matches!(replies[0].answer, Answer::Time(_)), "{said}"),
            _ => assert!(said.starts_with("cannot look up nowhere..invalid"), "{said}"),
        }
    }
}

#[test]
fn servers_are_named_with_and_without_a_port() {
    let address = |text: &str| Server::parse(text).unwrap().address().map(|address| address.to_string());
    assert_eq!(address("192.0.2.1").unwrap(), "192.0.2.1:123");
    assert_eq!(address("192.0.2.1:1123").unwrap(), "192.0.2.1:1123");
    assert_eq!(address("2001:db8::1").unwrap(), "[2001:db8::1]:123");
    assert_eq!(address("[2001:db8::1]").unwrap(), "[2001:db8::1]:123");
    assert_eq!(address("[2001:db8::1]:1123").unwrap(), "[2001:db8::1]:1123");
    for wrong in ["", ":123", "host:", "host:0", "host:70000", "host:x", "[::1", "[::1]x", "[]:1", "a b"] {
        let error = NtpClient::start(vec![wrong.into()]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{wrong}");
    }
}

#[test]
fn another_address_is_tried_after_a_failure() {
    let mut server = Server::parse("192.0.2.1").unwrap();
    server.forget();
    assert_eq!(server, Server::parse("192.0.2.1").unwrap(), "nothing was tried yet");
    let first = server.address().unwrap();
    server.forget();
    assert_ne!(server, Server::parse("192.0.2.1").unwrap());
    assert_eq!(server.address(), Ok(first), "the only one");
}

const REAL0: i64 = 1_790_000_000_000_000_000;

fn reading(raw_us: i64, real_us: i64) -> Reading {
    Reading {
        raw: Timestamp::<Raw>::from_ns(raw_us * 1000),
        real: Timestamp::from_ns(REAL0 + real_us * 1000),
        width: Duration::from_ns(60),
    }
}

fn measured(offset: f64, round_trip: f64) -> Measured {
    Measured { offset, round_trip, leap: Leap::None }
}

#[test]
fn utc_is_that_of_the_middle() {
    let exchange = judge(reading(0, 0), reading(30_000, 30_015), measured(-2.5, 0.0299)).unwrap();
    assert_eq!(exchange.raw.ns(), 15_000_000);
    assert_eq!(exchange.utc.ns(), REAL0 + 15_007_500 - 2_500_000_000);
    assert_eq!(exchange.round_trip, Duration::from_ns(29_900_000));
    let quick = judge(reading(0, 0), reading(100, 100), measured(0.0, -0.0005)).unwrap();
    assert_eq!(quick.round_trip, Duration::ZERO, "a coarse clock at the server");
}

#[test]
fn a_step_in_between_spoils_the_exchange() {
    let after =
        |moved_us: i64| judge(reading(0, 0), reading(1_000_000, 1_000_000 + moved_us), measured(0.0, 0.9));
    assert!(after(699).is_ok() && after(-699).is_ok(), "slewed");
    assert!(after(701).unwrap_err().contains("stepped by +0.000701 s"));
    assert!(after(-701).unwrap_err().contains("stepped by -0.000701 s"));
}

#[test]
fn dates_beyond_all_times_are_garbage() {
    for offset in [1e10, -1e10, 9e9, f64::INFINITY, f64::NEG_INFINITY] {
        let said = judge(reading(0, 0), reading(1, 1), measured(offset, 0.0)).unwrap_err();
        assert!(said.starts_with("garbage: a date"), "{offset}: {said}");
    }
}
