//! Tests of the NTP client against servers in this process, on loopback.

use super::*;
use dante_core::time::Raw;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Timeout of queries that the servers of these tests answer, also on a busy machine.
const LONG: std::time::Duration = std::time::Duration::from_secs(10);

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
        bytes[32..40].copy_from_slice(&ntp_timestamp(self.receive));
        bytes[40..48].copy_from_slice(&ntp_timestamp(self.transmit));
        bytes
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "s since 1900, era 0 or 1")]
fn ntp_timestamp(since_1970: f64) -> [u8; 8] {
    let since_1900 = since_1970 + 2_208_988_800.0;
    let seconds = (since_1900.floor() as u64 & 0xffff_ffff) << 32;
    (seconds | (since_1900.fract() * 4_294_967_296.0) as u64).to_be_bytes()
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// Starts a server that answers one query with what `answer` makes of a correct reply; `None`: no reply. Returns its address.
fn server(answer: impl FnOnce(Packet) -> Option<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut query = [0; 64];
        let (length, from) = socket.recv_from(&mut query).unwrap();
        assert_eq!((length, query[0] & 7), (48, 3), "not a client's query");
        let correct = Packet {
            leap: 0,
            mode: 4,
            stratum: 2,
            reference: [192, 0, 2, 1],
            originate: query[40..48].try_into().unwrap(),
            receive: now(),
            transmit: now(),
        };
        if let Some(bytes) = answer(correct) {
            socket.send_to(&bytes, from).unwrap();
        } else {
            // The port stays open, so that the kernel does not report it as closed.
            std::thread::sleep(TIMEOUT * 2);
        }
    });
    address
}

fn wait(client: &mut NtpClient) -> Vec<NtpReply> {
    let mut fds = [PollFd::new(client.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::from(20_000u16)), Ok(1), "no reply");
    client.take()
}

fn reply(answer: impl FnOnce(Packet) -> Option<Vec<u8>> + Send + 'static) -> (Answer, String) {
    let mut client = NtpClient::with_timeout(vec![server(answer)], LONG).unwrap();
    client.query(0);
    let reply = wait(&mut client).remove(0);
    (reply.answer, reply.failure.unwrap_or_default())
}

fn nothing_because(words: &str, answer: impl FnOnce(Packet) -> Option<Vec<u8>> + Send + 'static) {
    let (answer, failure) = reply(answer);
    assert_eq!(answer, Answer::Nothing);
    assert!(failure.contains(words), "\"{failure}\" does not contain \"{words}\"");
}

#[test]
fn relates_a_servers_time_to_the_raw_clock() {
    let ahead = |packet: Packet| {
        Packet { receive: packet.receive + 5.0, transmit: packet.transmit + 5.0, leap: 1, ..packet }.bytes()
    };
    let (answer, failure) = reply(move |packet| Some(ahead(packet)));
    let Answer::Time(exchange) = answer else { panic!("{failure}") };
    assert_eq!((exchange.leap, failure.as_str()), (Leap::Insert, ""));
    let reading = read_realtime();
    let ours = reading.real - (reading.raw - exchange.raw);
    let error = (exchange.utc - ours) - Duration::from_secs(5);
    // The asymmetry is at most the round trip; the clock is steered by 500 ppm at most.
    let bound = exchange.round_trip / 2 + Duration::from_us(200) + (reading.raw - exchange.raw) / 1_000;
    assert!(error.abs() <= bound, "{error:?} off, with a round trip of {:?}", exchange.round_trip);
    assert!(exchange.round_trip >= Duration::ZERO && exchange.round_trip < Duration::from_secs(10));
}

#[test]
fn distinguishes_kiss_codes() {
    let kiss = |code: &'static [u8; 4]| {
        reply(move |packet| Some(Packet { leap: 3, stratum: 0, reference: *code, ..packet }.bytes()))
    };
    assert_eq!(kiss(b"RATE").0, Answer::SlowDown);
    assert_eq!(kiss(b"DENY").0, Answer::Denied);
    assert_eq!(kiss(b"RSTR").0, Answer::Denied);
    let (answer, failure) = kiss(b"INIT");
    assert_eq!(answer, Answer::Nothing);
    assert!(failure.ends_with("is not synchronised yet (kiss code INIT)"), "{failure}");
    assert_eq!(kiss(b"XYZW").0, Answer::Nothing);
}

#[test]
fn rejects_unusable_replies_with_a_reason() {
    nothing_because("invalid reply from 127.0.0.1", |_| Some(b"hello".to_vec()));
    nothing_because("invalid reply from 127.0.0.1", |_| Some(vec![0xff; 48]));
    nothing_because("not synchronised itself", |packet| Some(Packet { leap: 3, ..packet }.bytes()));
    nothing_because("not synchronised itself", |packet| Some(Packet { stratum: 16, ..packet }.bytes()));
    nothing_because("does not match the request", |packet| {
        Some(Packet { originate: [9; 8], ..packet }.bytes())
    });
    nothing_because("before 2020", |packet| {
        let back = now() - 1_000_000_000.0;
        Some(Packet { receive: packet.receive - back, transmit: packet.transmit - back, ..packet }.bytes())
    });
    nothing_because("round trip of", |packet| Some(Packet { receive: 0.0, ..packet }.bytes()));
    nothing_because("round trip of", |packet| {
        Some(Packet { transmit: packet.transmit + 0.5, ..packet }.bytes())
    });
}

#[test]
fn query_times_out_after_a_second_without_blocking_the_poll_loop() {
    // If nothing is queued yet, query and take returned before the timeout. A busy machine may delay this thread: five tries.
    let mut tries = (0..5).map(|_| {
        let mut client = NtpClient::start(vec![server(|_| None)]).unwrap();
        let start = Instant::now();
        client.query(0);
        client.query(0);
        let early = client.take();
        (client, start, early)
    });
    let (mut client, start, _) = tries.find(|(.., early)| early.is_empty()).expect("query blocked");
    let replies = wait(&mut client);
    assert!(start.elapsed() >= TIMEOUT);
    assert_eq!(replies.len(), 1, "second query while the first was pending");
    assert_eq!(replies[0].answer, Answer::Nothing);
    assert!(replies[0].failure.as_ref().unwrap().contains("within 1 s"), "{replies:?}");
    let mut fds = [PollFd::new(client.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::ZERO), Ok(0), "readable after take");
}

#[test]
fn reply_has_the_index_of_its_server() {
    // A connected socket receives from its peer only: to others the port is closed, and no other program can get it.
    let reserved = UdpSocket::bind("127.0.0.1:0").unwrap();
    reserved.connect("127.0.0.1:1").unwrap();
    let closed = reserved.local_addr().unwrap().to_string();
    let good = server(|packet| Some(packet.bytes()));
    // An empty label fails without a query to a resolver.
    let mut client = NtpClient::with_timeout(vec![closed, good, "nowhere..invalid".into()], LONG).unwrap();
    client.query(7);
    for number in [1, 0, 2] {
        client.query(number);
        let replies = wait(&mut client);
        assert_eq!(replies.len(), 1);
        assert_eq!(replies[0].server, number);
        let failure = replies[0].failure.clone().unwrap_or_default();
        match number {
            0 => assert!(failure.starts_with("no NTP server listens at 127.0.0.1"), "{failure}"),
            1 => assert!(matches!(replies[0].answer, Answer::Time(_)), "{failure}"),
            _ => assert!(failure.starts_with("cannot resolve nowhere..invalid"), "{failure}"),
        }
    }
}

#[test]
fn parses_server_names_with_and_without_a_port() {
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
fn tries_another_address_after_a_failure() {
    let [first, second] =
        ["192.0.2.1:123", "[2001:db8::1]:123"].map(|text| text.parse::<SocketAddr>().unwrap());
    let mut server = Server::parse("time.example.net").unwrap();
    server.forget();
    assert_eq!(server.choose(&[first, second]), Ok(first), "counted a failure before the first query");
    assert_eq!(server.address(), Ok(first), "resolved again without a failure");
    server.forget();
    assert_eq!(server.choose(&[first, second]), Ok(second));
    server.forget();
    assert_eq!(server.choose(&[first, second]), Ok(first));
    server.forget();
    assert_eq!(server.choose(&[first]), Ok(first), "the only address");
    assert_eq!(server.choose(&[]).unwrap_err(), "time.example.net has no address");
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
fn utc_is_that_of_the_middle_of_the_exchange() {
    let exchange = judge(reading(0, 0), reading(30_000, 30_015), measured(-2.5, 0.0299)).unwrap();
    assert_eq!(exchange.raw.ns(), 15_000_000);
    assert_eq!(exchange.utc.ns(), REAL0 + 15_007_500 - 2_500_000_000);
    assert_eq!(exchange.round_trip, Duration::from_ns(29_900_000));
    let quick = judge(reading(0, 0), reading(100, 100), measured(0.0, -0.0005)).unwrap();
    assert_eq!(quick.round_trip, Duration::ZERO, "coarse clock of the server");
}

#[test]
fn rejects_exchange_during_a_step_of_the_system_clock() {
    let after =
        |moved_us: i64| judge(reading(0, 0), reading(1_000_000, 1_000_000 + moved_us), measured(0.0, 0.9));
    assert!(after(699).is_ok() && after(-699).is_ok(), "rejected a slewed clock");
    assert!(after(701).unwrap_err().contains("stepped by +0.000701 s"));
    assert!(after(-701).unwrap_err().contains("stepped by -0.000701 s"));
}

#[test]
fn rejects_times_out_of_range() {
    for offset in [1e10, -1e10, 9e9, f64::INFINITY, f64::NEG_INFINITY] {
        let failure = judge(reading(0, 0), reading(1, 1), measured(offset, 0.0)).unwrap_err();
        assert!(failure.starts_with("implausible reply: time"), "{offset}: {failure}");
    }
}
