//! Tests of the NTP client against servers in this process, on loopback.

use super::*;
use crate::clock::{raw_now, read_realtime};
use crate::sandbox::in_network_namespace;
use dante_core::time::{Duration, Timestamp};
use dante_core::utc::servers::{Input, Output, Servers};
use dante_core::utc::{Exchange, Leap};
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
    root_delay: u32,
    root_dispersion: u32,
    reference: [u8; 4],
    originate: [u8; 8],
    receive: f64,
    transmit: f64,
}

impl Packet {
    /// A correct reply to a request.
    fn reply(query: &[u8]) -> Self {
        assert_eq!((query.len(), query[0] & 7), (48, 3), "not a client's query");
        Self {
            leap: 0,
            mode: 4,
            stratum: 2,
            root_delay: 0,
            root_dispersion: 0,
            reference: [192, 0, 2, 1],
            originate: query[40..48].try_into().unwrap(),
            receive: now(),
            transmit: now(),
        }
    }

    fn kiss(self, code: &[u8; 4]) -> Self {
        Self { leap: 3, stratum: 0, reference: *code, ..self }
    }

    fn bytes(self) -> Vec<u8> {
        let mut bytes = vec![0; 48];
        bytes[0] = self.leap << 6 | 4 << 3 | self.mode;
        bytes[1] = self.stratum;
        bytes[4..8].copy_from_slice(&self.root_delay.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.root_dispersion.to_be_bytes());
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

/// Starts a server that answers one query with the datagrams that `answer` makes of a correct reply. Returns its address.
fn server(answer: impl FnOnce(Packet) -> Vec<Vec<u8>> + Send + 'static) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut query = [0; 64];
        let (length, from) = socket.recv_from(&mut query).unwrap();
        for datagram in answer(Packet::reply(&query[..length])) {
            socket.send_to(&datagram, from).unwrap();
        }
        // The port stays open, so that the kernel does not report it as closed.
        std::thread::sleep(TIMEOUT * 5);
    });
    address
}

fn wait(client: &mut NtpClient) -> Vec<NtpReply> {
    let mut fds = [PollFd::new(client.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::from(20_000u16)), Ok(1), "no reply");
    client.take()
}

fn reply(answer: impl FnOnce(Packet) -> Vec<Vec<u8>> + Send + 'static) -> (Answer, String) {
    let mut client = NtpClient::with_timeout(vec![server(answer)], LONG).unwrap();
    client.query(0);
    let reply = wait(&mut client).remove(0);
    (reply.answer, reply.warning.map_or_else(String::new, |warning| warning.line))
}

#[track_caller]
fn refused_because(words: &str, answer: impl FnOnce(Packet) -> Packet + Send + 'static) {
    let (answer, failure) = reply(move |packet| vec![answer(packet).bytes()]);
    assert_eq!(answer, Answer::Nothing);
    assert!(failure.contains(words), "\"{failure}\" does not contain \"{words}\"");
}

/// UTC of an exchange with a server that has the time of this machine, minus that time.
fn error(exchange: &Exchange) -> Duration {
    let reading = read_realtime();
    exchange.utc - (reading.real - (reading.raw - exchange.raw))
}

/// The asymmetry is at most half the round trip; the clock is steered by 500 ppm at most.
fn bound(exchange: &Exchange) -> Duration {
    exchange.round_trip / 2 + Duration::from_us(200) + (raw_now() - exchange.raw) / 1_000
}

#[test]
fn relates_a_servers_time_to_the_raw_clock() {
    let ahead = |packet: Packet| {
        Packet { receive: packet.receive + 5.0, transmit: packet.transmit + 5.0, leap: 1, ..packet }.bytes()
    };
    let (answer, failure) = reply(move |packet| vec![ahead(packet)]);
    let Answer::Time(exchange) = answer else { panic!("{failure}") };
    assert_eq!((exchange.leap, failure.as_str()), (Leap::Insert, ""));
    let error = error(&exchange) - Duration::from_secs(5);
    assert!(error.abs() <= bound(&exchange), "{error:?} off, with a round trip of {:?}", exchange.round_trip);
    assert!(exchange.round_trip >= Duration::ZERO && exchange.round_trip < Duration::from_secs(10));
}

/// rsntp measures the same server against CLOCK_REALTIME.
#[test]
fn agrees_with_rsntp() {
    let ahead = |packet: Packet| {
        let [receive, transmit] = [packet.receive, packet.transmit].map(|time| time + 2.5);
        vec![Packet { receive, transmit, ..packet }.bytes()]
    };
    let (Answer::Time(exchange), _) = reply(ahead) else { panic!("no time") };
    let theirs = rsntp::SntpClient::with_config(rsntp::Config::default().timeout(LONG));
    let theirs = theirs.synchronize(server(ahead).as_str()).unwrap();
    let seconds = Duration::from_secs_f64;
    let differ = error(&exchange) - seconds(theirs.clock_offset().as_secs_f64());
    let bound = bound(&exchange) + seconds(theirs.round_trip_delay().as_secs_f64()) / 2;
    assert!(differ.abs() <= bound, "{differ:?} apart, {bound:?} allowed");
    assert_eq!(theirs.stratum(), exchange.server.stratum);
}

#[test]
fn request_does_not_contain_the_clock_and_differs_each_time() {
    let requests: Vec<u64> = (0..8)
        .map(|_| {
            let (sender, receiver) = channel();
            let (answer, _) = reply(move |packet| {
                sender.send(u64::from_be_bytes(packet.originate)).unwrap();
                vec![packet.bytes()]
            });
            assert!(matches!(answer, Answer::Time(_)));
            receiver.recv().unwrap()
        })
        .collect();
    let clock = u64::from_be_bytes(ntp_timestamp(now()));
    let near = requests.iter().filter(|sent| clock.abs_diff(**sent) < 3600 << 32).count();
    // Of 2^32 s, an hour before or after now is one in 600,000.
    assert!(near < 2, "the clock is in the request: {requests:x?}");
    let mut different = requests.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 8, "{requests:x?}");
}

#[test]
fn distinguishes_kiss_codes() {
    let kiss = |code: &'static [u8; 4]| reply(move |packet| vec![packet.kiss(code).bytes()]);
    assert_eq!(kiss(b"RATE").0, Answer::SlowDown);
    assert_eq!(kiss(b"DENY").0, Answer::Denied);
    assert_eq!(kiss(b"RSTR").0, Answer::Denied);
    let (answer, failure) = kiss(b"INIT");
    assert_eq!(answer, Answer::Nothing);
    assert!(failure.contains("sends no time: kiss code INIT"), "{failure}");
    assert_eq!(kiss(b"XYZW").0, Answer::Nothing);
}

/// Datagrams that are no reply to the request `correct` belongs to; `late` is the reply to an earlier request.
fn foreign(correct: Packet, late: Option<Packet>) -> Vec<Vec<u8>> {
    let hour = 3600.0;
    let forged = Packet {
        originate: [9; 8],
        receive: correct.receive + hour,
        transmit: correct.transmit + hour,
        ..correct
    };
    let mut nearly = correct.originate;
    nearly[7] ^= 1;
    let mut other_version = forged.bytes();
    other_version[24..32].copy_from_slice(&correct.originate);
    let mut other_mode = other_version.clone();
    other_version[0] = 5 << 3 | 4;
    other_mode[0] = 4 << 3 | 5;
    vec![
        vec![],
        vec![0],
        b"hello".to_vec(),
        correct.kiss(b"DENY").bytes()[..47].to_vec(),
        vec![0xff; 48],
        other_version,
        other_mode,
        forged.bytes(),
        forged.kiss(b"DENY").bytes(),
        forged.kiss(b"RATE").bytes(),
        Packet { originate: [0; 8], ..forged }.kiss(b"RSTR").bytes(),
        Packet { originate: nearly, ..forged }.bytes(),
        Packet { originate: nearly, ..correct }.kiss(b"DENY").bytes(),
        late.unwrap_or(forged).bytes(),
    ]
}

#[test]
fn datagrams_before_the_reply_do_not_end_the_exchange() {
    let count = foreign(Packet::reply(&[3; 48]), None).len();
    for number in 0..count {
        let (answer, failure) =
            reply(move |packet| vec![foreign(packet, None).swap_remove(number), packet.bytes()]);
        let Answer::Time(exchange) = answer else { panic!("datagram {number}: {answer:?}, {failure}") };
        assert!(error(&exchange).abs() <= bound(&exchange), "datagram {number}");
    }
}

#[test]
fn ignored_datagrams_are_counted_in_the_warning() {
    let no_reply = |count: usize, words: &str| {
        let server = server(move |packet| foreign(packet, None).split_off(14 - count));
        let mut client = NtpClient::with_timeout(vec![server], TIMEOUT * 3).unwrap();
        client.query(0);
        let NtpReply { answer, warning, .. } = wait(&mut client).remove(0);
        let Warning { line, cause } = warning.unwrap();
        assert_eq!(answer, Answer::Nothing, "{line}");
        assert!(line.starts_with(&cause) && cause.ends_with("within 3 s"), "{line} because of {cause}");
        assert_eq!(line.strip_prefix(cause.as_str()).unwrap(), words);
    };
    no_reply(0, "");
    no_reply(1, " (ignored 1 datagram that does not match the request)");
    no_reply(9, " (ignored 9 datagrams: 7 do not match the request, 2 are no NTP reply)");
}

/// 10,000 datagrams that are no reply, kiss codes, doubled and late replies among them, around the right replies of one of three
/// servers.
#[test]
fn ten_thousand_foreign_datagrams_change_no_time_vote_or_interval() {
    let clean = measure_with(0);
    let disturbed = measure_with(100);
    assert_eq!(disturbed.0, 10_000, "datagrams beside the right replies");
    assert_eq!(disturbed.1, clean.1, "requests, votes and intervals");
}

/// Requests with their times, and the end of each round with the numbers of servers that agreed and answered, and the interval.
#[derive(Debug, PartialEq)]
enum Event {
    Request(Timestamp<dante_core::time::Raw>, usize),
    Round(Timestamp<dante_core::time::Raw>, u8, u8, Duration),
}

/// Runs 27 rounds with three servers in virtual time, through real sockets. Server 1 sends this many other datagrams with each reply.
/// Returns how many it sent, and what happened.
fn measure_with(others: usize) -> (usize, Vec<Event>) {
    let (counts, sent) = channel();
    let names = [0, others, 0].map(|others| endless_server(others, counts.clone())).to_vec();
    let mut client = NtpClient::with_timeout(names, LONG).unwrap();
    let mut now = Timestamp::ZERO;
    let mut servers = Servers::new(3, now);
    let (mut events, mut rounds) = (Vec::new(), 0);
    while rounds < 27 {
        now = servers.deadline().unwrap().max(now);
        servers.handle(now, Input::Deadline);
        while let Some(output) = servers.poll() {
            match output {
                Output::Ask(server) => {
                    events.push(Event::Request(now, server));
                    client.query(server);
                    let reply = wait(&mut client).remove(0);
                    let Answer::Time(exchange) = reply.answer else { panic!("{reply:?}") };
                    assert_eq!((reply.server, reply.warning), (server, None));
                    assert!(error(&exchange).abs() <= bound(&exchange), "server {server}");
                    now = now + Duration::from_ms(20);
                    servers.handle(now, Input::Answer { server, answer: reply.answer });
                }
                Output::Round(round) => {
                    let round = round.unwrap();
                    events.push(Event::Round(now, round.agreeing, round.answered, servers.interval()));
                    servers.set_interval(servers.interval() * 2);
                    rounds += 1;
                }
            }
        }
    }
    let requests = events.iter().filter(|event| matches!(event, Event::Request(..))).count();
    ((0..requests).map(|_| sent.recv_timeout(LONG).unwrap()).sum(), events)
}

/// Starts a server that answers every query, and sends `others` other datagrams, some before and some after the reply.
fn endless_server(others: usize, sent: Sender<usize>) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LONG * 3)).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut query, mut late) = ([0; 64], None);
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let correct = Packet::reply(&query[..length]);
            let kinds = foreign(correct, late);
            let mut foreign = kinds.iter().cycle().take(others * 2 / 3);
            // Few enough for the receive buffer of a client that does not read meanwhile.
            let before: Vec<_> = foreign.by_ref().take(others / 3).collect();
            let doubled = correct.bytes();
            let after = foreign.chain(std::iter::repeat_n(&doubled, others - others * 2 / 3));
            let mut count = 0;
            for datagram in before.into_iter().chain([&doubled]).chain(after) {
                socket.send_to(datagram, from).unwrap();
                count += 1;
            }
            late = Some(correct);
            if sent.send(count - 1).is_err() {
                return;
            }
        }
    });
    address
}

#[test]
fn rejects_unusable_replies_with_a_reason() {
    refused_because("not synchronised itself", |packet| Packet { leap: 3, ..packet });
    refused_because("not synchronised itself", |packet| Packet { stratum: 16, ..packet });
    refused_because("before 2020", |packet| {
        let back = now() - 1_000_000_000.0;
        Packet { receive: packet.receive - back, transmit: packet.transmit - back, ..packet }
    });
    refused_because("round trip of", |packet| Packet { receive: packet.receive + 60.0, ..packet });
    refused_because("round trip of", |packet| Packet { transmit: packet.transmit + 20.0, ..packet });
    // 10.7 s.
    refused_because("may be off by 10.7", |packet| Packet { root_dispersion: 0x000a_b333, ..packet });
    refused_because("may be off by 4.0", |packet| Packet { root_delay: 8 << 16, ..packet });
}

#[test]
fn smoothed_time_is_used_with_a_warning() {
    let (answer, warning) = reply(|packet| vec![Packet { reference: [127, 127, 1, 255], ..packet }.bytes()]);
    assert!(matches!(answer, Answer::Time(_)), "{warning}");
    assert!(warning.contains("smooths its time (reference ID 127.127.1.255)"), "{warning}");
}

#[test]
fn server_without_an_address_is_reported_by_its_name() {
    let server = || Server::parse("ntp.invalid").unwrap();
    assert_eq!(server().choose(&[]).unwrap_err(), "ntp.invalid has no address");
    // Without a network to ask. The rest of the line is the resolver's.
    in_network_namespace(|| {
        let line = server().address().unwrap_err();
        assert!(line.starts_with("cannot resolve ntp.invalid: "), "{line}");
    });
}

#[test]
fn icmp_error_does_not_end_the_exchange() {
    // A connected socket receives from its peer only: to others the port is closed, and no other program can get it.
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.connect("127.0.0.1:1").unwrap();
    let address = server.local_addr().unwrap();
    let start = Instant::now();
    let mut client = NtpClient::with_timeout(vec![address.to_string()], TIMEOUT).unwrap();
    client.query(0);
    let reply = wait(&mut client).remove(0);
    assert!(start.elapsed() >= TIMEOUT, "anyone can forge an ICMP error: {reply:?}");
    let line = reply.warning.unwrap().line;
    assert!(line.contains("no NTP server listens there"), "{line}");
}

#[test]
fn query_times_out_after_a_second_without_blocking_the_poll_loop() {
    // If nothing is queued yet, query and take returned before the timeout. A busy machine may delay this thread: five tries.
    let mut tries = (0..5).map(|_| {
        let mut client = NtpClient::start(vec![server(|_| Vec::new())]).unwrap();
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
    let line = &replies[0].warning.as_ref().unwrap().line;
    assert!(line.starts_with("no valid reply from 127.0.0.1") && line.ends_with("within 1 s"), "{line}");
    let mut fds = [PollFd::new(client.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, PollTimeout::ZERO), Ok(0), "readable after take");
}

#[test]
fn server_whose_resolver_hangs_delays_no_other_server() {
    let (release, hang) = channel::<()>();
    let hang = Arc::new(std::sync::Mutex::new(hang));
    let query = move |server: &mut Server| {
        if *server == Server::parse("hangs").unwrap() {
            _ = hang.lock().unwrap().recv();
        }
        (Answer::Nothing, None)
    };
    let names = ["hangs", "a", "b"].map(str::to_owned);
    let mut client = NtpClient::with_query(names.into(), query).unwrap();
    client.query(0);
    for number in [1, 2, 2, 1] {
        client.query(0);
        client.query(number);
        assert_eq!(wait(&mut client).iter().map(|reply| reply.server).collect::<Vec<_>>(), [number]);
    }
    drop(release);
    assert_eq!(wait(&mut client)[0].server, 0, "one query, however often it was requested meanwhile");
}

#[test]
fn server_is_queried_again_after_a_panic() {
    let panics = AtomicBool::new(true);
    let panics = Arc::new(panics);
    let query = move |_: &mut Server| {
        assert!(!panics.swap(false, Ordering::AcqRel), "on purpose");
        (Answer::Nothing, None)
    };
    let mut client = NtpClient::with_query(vec!["a".into()], query).unwrap();
    client.query(0);
    let warning = wait(&mut client).remove(0).warning.unwrap();
    assert_eq!(warning.line, "the query panicked (a defect of this program)");
    client.query(0);
    assert_eq!(wait(&mut client).remove(0).warning, None);
}

#[test]
fn reply_has_the_index_of_its_server() {
    let [first, second] = [(); 2].map(|()| server(|packet| vec![packet.bytes()]));
    // An empty label fails without a query to a resolver.
    let mut client = NtpClient::with_timeout(vec![first, second, "nowhere..invalid".into()], LONG).unwrap();
    client.query(7);
    for number in [1, 0, 2] {
        client.query(number);
        let replies = wait(&mut client);
        assert_eq!(replies.len(), 1);
        assert_eq!(replies[0].server, number);
        let line = replies[0].warning.clone().map_or_else(String::new, |warning| warning.line);
        match number {
            2 => assert!(line.starts_with("cannot resolve nowhere..invalid"), "{line}"),
            _ => assert!(matches!(replies[0].answer, Answer::Time(_)), "{line}"),
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
    let scoped = Server::parse("fe80::1%lo").unwrap().address().unwrap();
    assert_eq!(scoped, Server::parse("[fe80::1%lo]:123").unwrap().address().unwrap());
    for wrong in [
        "",
        ":123",
        "host:",
        "1:2:3",
        "fe80::x%lo",
        "2001:db8::1:123:456:7:8:9:10",
        "host:0",
        "host:70000",
        "host:x",
        "[::1",
        "[::1]x",
        "[]:1",
        "a b",
    ] {
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
