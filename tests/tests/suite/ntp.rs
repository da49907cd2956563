//! dante2sys and its NTP client against servers whose declared errors are large, and against the decoding of a real chronyd.

use dante_core::time::Civil;
use dante_core::utc::{Answer as Result, Exchange};
use dante_os::ntp::NtpClient;
use dante_tests::chronyd::{Chronyd, chronyd_with};
use dante_tests::guest::chrony;
use dante_tests::lab::Lab;
use dante_tests::ntp::{Answer, Behaviour, NtpServer};
use dante_tests::{EVENT_TIMEOUT, wait_until};
use std::time::Duration;

/// Server time minus this machine's, ns: 3 s.
const AHEAD_NS: i64 = 3_000_000_000;

/// A server that declares a root dispersion of 10.7 s moves no clock. Once it declares 60 ms, the UTC bound contains them.
#[test]
fn server_that_declares_a_large_error_is_refused_and_a_smaller_one_is_in_the_bound() {
    let Some(lab) = Lab::new() else { return };
    let declared = Behaviour { offset_ns: AHEAD_NS, root_dispersion_s: 10.7, ..Behaviour::default() };
    let server = NtpServer::start(&lab.far, declared);
    let (_leader, _dante4l) = lab.following(&[], &[]);
    let dante2sys = lab.start("dante2sys", &["--clock=virtual", "--ntp-server", &lab.far_address()]);
    dante2sys.wait_for_output("declares that its time may be off by 10.7", EVENT_TIMEOUT);
    wait_until("four requests", EVENT_TIMEOUT, || server.requests().len() >= 4);
    let utc = || lab.stage.status()["dante2sys"]["utc"].take();
    let refused = utc();
    assert_eq!((&refused["steps"], &refused["synchronised"]), (&0.into(), &false.into()), "{refused}");
    let log = dante2sys.output();
    assert_eq!(log.matches("declares that").count(), 1, "more than once a minute:\n{log}");

    server.change(|server| server.root_dispersion_s = 0.06);
    // By 3 s within the error of the measurement.
    let is_stepped =
        |log: &str| ["+3.0", "+2.99"].iter().any(|by| log.contains(&format!("stepping clock by {by}")));
    wait_until("a step of 3 s", EVENT_TIMEOUT * 3, || is_stepped(&dante2sys.output()));
    wait_until("UTC", EVENT_TIMEOUT, || utc()["synchronised"] == true);
    let used = utc();
    let bound_ms = used["bound_ns"].as_f64().expect("a bound") / 1e6;
    assert!((60.0..100.0).contains(&bound_ms), "{used}");
}

/// Forged kiss codes and replies that echo another timestamp do not stop the requests, and do not move the clock.
#[test]
fn replies_that_echo_another_timestamp_are_counted_and_ignored() {
    let Some(lab) = Lab::new() else { return };
    let server =
        NtpServer::start(&lab.far, Behaviour { answer: Answer::WrongOrigin, ..Behaviour::default() });
    let dante2sys = lab.start("dante2sys", &["--clock=virtual", "--ntp-server", &lab.far_address()]);
    dante2sys.wait_for_output("ignored 1 datagram that does not match the request", EVENT_TIMEOUT);
    server.change(|server| server.answer = Answer::ForgedKiss(*b"DENY"));
    let before = server.requests().len();
    wait_until("six more requests", EVENT_TIMEOUT * 3, || server.requests().len() >= before + 6);
    let log = dante2sys.output();
    assert!(!log.contains("DENY") && !log.contains("denies"), "{log}");
}

/// On New Year's Eve one of three servers differs by 0.3 s from the others.
#[test]
fn possible_smear_is_logged_and_the_majority_used() {
    let Some((lab, third)) = Lab::with_third_host() else { return };
    let now = dante_os::clock::read_realtime().real.ns() / 1_000_000_000;
    let year = Civil::at(now).year;
    let eve = Civil { year, month: 12, day: 31, hour: 12, minute: 0, second: 0 }.seconds().expect("a time");
    let ahead_ns = (eve - now) * 1_000_000_000;
    let plain = Behaviour { offset_ns: ahead_ns, ..Behaviour::default() };
    let smearing = Behaviour { offset_ns: ahead_ns - 300_000_000, ..Behaviour::default() };
    let _servers = [(&lab.far, &plain), (&third, &smearing), (&lab.near, &plain)]
        .map(|(host, behaviour)| NtpServer::start(host, behaviour.clone()));
    let far = lab.far_address();
    let third = format!("{}.3", far.rsplit_once('.').expect("an address").0);
    let words = [far, third, lab.near_address()].map(|address| format!("--ntp-server={address}"));
    let words: Vec<&str> = ["--clock=virtual"].into_iter().chain(words.iter().map(String::as_str)).collect();
    let dante2sys = lab.start("dante2sys", &words);
    dante2sys.wait_for_output(
        "may smear a leap second, use servers of one kind: they differ by 0.3",
        EVENT_TIMEOUT,
    );
    wait_until("the status line or page", EVENT_TIMEOUT, || {
        lab.stage.status()["dante2sys"]["utc"]["servers_agreeing"] == 2
    });
    std::thread::sleep(Duration::from_secs(10));
    let log = dante2sys.output();
    assert_eq!(log.matches("may smear").count(), 1, "more than once a minute:\n{log}");
}

fn exchange(lab: &Lab, server: &str) -> Exchange {
    let mut client = lab.near.within(|| NtpClient::start(vec![server.to_owned()]).expect("a client"));
    let mut found = None;
    wait_until("an answer", EVENT_TIMEOUT, || {
        client.query(0);
        std::thread::sleep(Duration::from_millis(50));
        let replies = client.take();
        found = replies.first().map(|reply| match reply.answer {
            Result::Time(exchange) => exchange,
            _ => panic!("{reply:?}"),
        });
        found.is_some()
    });
    found.expect("an exchange")
}

/// chronyd logs what it reads in the replies of the same server: stratum, root delay and root dispersion.
#[test]
fn declared_values_are_those_that_chronyd_reads() {
    let Some(lab) = Lab::new() else { return };
    let Some(files) = chrony() else { return };
    let (root_delay_s, root_dispersion_s) = (0.0375, 0.012_34);
    let declared = Behaviour { stratum: 3, root_delay_s, root_dispersion_s, ..Behaviour::default() };
    let _server = NtpServer::start(&lab.far, declared);
    let address = lab.far_address();
    let lines = format!("server {address} iburst\nlog measurements");
    let chronyd = Chronyd::start(&files, &lab.stage, &lab.near, &lines, None);
    let log = lab.stage.folder().join(format!("chronyd-{}", lab.near.name())).join("measurements.log");
    let mut words = Vec::new();
    wait_until("a measurement of chronyd", EVENT_TIMEOUT, || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let line = text.lines().find(|line| line.contains(&format!(" {address} "))).unwrap_or_default();
        words = line.split_whitespace().map(str::to_owned).collect();
        words.len() > 14
    });
    chronyd.program.stop().expect(0, &[]);
    // Date, time, address, leap, stratum, three groups of tests, local and remote poll, score, offset, delay, dispersion, root delay,
    // root dispersion.
    let number = |at: usize| words[at].parse::<f64>().unwrap_or_else(|_| panic!("word {at} of {words:?}"));
    let server = exchange(&lab, &address).server;
    assert_eq!(f64::from(server.stratum), number(4), "{words:?}");
    let near = |what, ours: f64, at| {
        let theirs = number(at);
        // chronyd logs four digits.
        assert!(
            (ours - theirs).abs() < theirs * 1e-3 + 1e-6,
            "{what}: {ours} s, chronyd has {theirs} s: {words:?}"
        );
    };
    near("root delay", server.root_delay.secs_f64(), 14);
    near("root dispersion", server.root_dispersion.secs_f64(), 15);
}

/// chronyd as the server: of its own clock, and of a client of that server, which declares its distance from it.
#[test]
fn chronyd_is_measured_within_the_error_that_it_declares() {
    let Some(lab) = Lab::new() else { return };
    let Some(files) = chrony() else { return };
    let _local = chronyd_with(&files, &lab.stage, &lab.far, |_| "local stratum 4\nallow all\n".into());
    let local = exchange(&lab, &lab.far_address());
    assert_eq!((local.server.stratum, local.server.is_smoothed), (4, false));
    let first = format!("server {} iburst minpoll 0 maxpoll 0\nallow all\n", lab.far_address());
    let _second = chronyd_with(&files, &lab.stage, &lab.near, |_| first);
    let mut second = None;
    wait_until("a synchronised second chronyd", EVENT_TIMEOUT * 2, || {
        let mut client = lab.near.within(|| NtpClient::start(vec![lab.near_address()]).expect("a client"));
        client.query(0);
        std::thread::sleep(Duration::from_millis(500));
        second = client.take().into_iter().find_map(|reply| match reply.answer {
            Result::Time(exchange) => Some(exchange),
            _ => None,
        });
        second.is_some()
    });
    let second = second.expect("an exchange");
    assert_eq!(second.server.stratum, 5);
    assert!(second.server.root_dispersion > dante_core::time::Duration::ZERO, "{second:?}");
    for exchange in [local, second] {
        let reading = dante_os::clock::read_realtime();
        let error = (reading.real - (reading.raw - exchange.raw)) - exchange.utc;
        assert!(error.abs() <= exchange.root_distance(), "{error:?} off: {exchange:?}");
    }
}
