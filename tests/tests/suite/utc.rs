//! UTC of dante2sys on its virtual clock: an NTP server on a real network, the leader's time as UTC, and leaders that dante2sys
//! refuses. Tests that need a kernel clock are in the guest.

use dante_core::page::{Dante2sysStatus, STATUS_UTC_SYNCHRONISED};
use dante_core::steer::State;
use dante_tests::lab::Lab;
use dante_tests::ntp::{Answer, Behaviour, NtpServer};
use dante_tests::realtime::repeat_if_steered;
use dante_tests::{EVENT_TIMEOUT, judge, wait_until};
use serde_json::Value;
use std::time::{Duration, Instant};

fn utc(lab: &Lab) -> Value {
    lab.stage.status()["dante2sys"]["utc"].take()
}

/// Server time minus CLOCK_REALTIME of this machine, which all namespaces share.
const AHEAD_NS: i64 = 3_600_000_000_000;

/// The steered clock minus the server's time, ns.
fn utc_error_ns(body: &Dante2sysStatus) -> i64 {
    let line = body.line().expect("a virtual clock is a line");
    let reading = dante_os::clock::read_realtime();
    (line.at(reading.raw) - reading.real).ns() - AHEAD_NS
}

/// A server on the leader's host: dante2sys steps its clock to the server's time and publishes a true bound. Then the server
/// sends garbage, and denies access.
#[test]
fn clock_follows_ntp_server_and_ignores_its_faulty_responses() {
    repeat_if_steered(faulty_server);
}

fn faulty_server() {
    let Some(lab) = Lab::new() else { return };
    let server =
        NtpServer::start(&lab.far, Behaviour { offset_ns: AHEAD_NS, leap: 1, ..Behaviour::default() });
    let waits = lab.stage.run("pmc-lite", &["wait", "--timeout=1", "--instance", &lab.stage.instance()]);
    waits.expect(1, &["not met within 1 s", "does not exist"]);
    let _dante4l = lab.dante4l(&[]);
    let _leader = lab.leader(&["--ppm=12"]);
    let dante2sys = lab.start("dante2sys", &["--clock=virtual", "--ntp-server", &lab.far_address()]);
    dante2sys.wait_for_output("stepping clock by +", EVENT_TIMEOUT);
    lab.stage.run("pmc-lite", &["wait", "--timeout=50", "--instance", &lab.stage.instance()]).expect(0, &[]);
    let mut readers = lab.readers();
    let body: Dante2sysStatus = readers.wait_for_steerer(State::Locked, EVENT_TIMEOUT);
    assert_ne!(body.flags & STATUS_UTC_SYNCHRONISED, 0);
    judge_utc(&lab, &body);
    let published = utc(&lab);
    assert_eq!((&published["policy"], &published["leap"]), (&"step".into(), &"insert".into()), "{published}");

    server.change(|server| server.answer = Answer::Garbage);
    dante2sys.wait_for_output("does not match the request", EVENT_TIMEOUT);
    server.change(|server| server.answer = Answer::Kiss(*b"DENY"));
    dante2sys.wait_for_output("DENY", EVENT_TIMEOUT);
    let first = server.requests().len();
    std::thread::sleep(UNASKED);
    assert_eq!(server.requests().len(), first, "requests within 20 s of a denial");
    // The next request is sent 64 s after the first denial; after a second one there is none for a day.
    wait_until("another request", EVENT_TIMEOUT * 3, || server.requests().len() > first);
    std::thread::sleep(UNASKED);
    assert_eq!(server.requests().len(), first + 1, "requests after a second denial");
    let body = readers.wait_for_steerer(State::Locked, EVENT_TIMEOUT);
    judge_utc(&lab, &body);
}

/// Time in which a server that denied access receives no request: longer than between two rounds of requests (16 s).
const UNASKED: Duration = Duration::from_secs(20);

/// The clock shows the server's time, after one step at the start and within the published bound.
fn judge_utc(lab: &Lab, body: &Dante2sysStatus) {
    let error_ns = utc_error_ns(body) as f64;
    judge("UTC error", error_ns / 1e6, 1.0, "ms");
    let published = utc(lab);
    assert_eq!((&published["source"], &published["steps"]), (&"ntp".into(), &1.into()), "{published}");
    let bound = published["bound_ns"].as_f64().expect("a bound");
    assert!(bound > error_ns.abs(), "UTC error of {error_ns} ns exceeds the published bound: {published}");
}

#[test]
fn leader_time_is_used_as_utc_unless_it_is_an_uptime() {
    let Some(lab) = Lab::new() else { return };
    let _dante4l = lab.dante4l(&[]);
    let leader = lab.leader(&["--uptime=541867"]);
    let dante2sys = lab.start("dante2sys", &["--clock=virtual", "--utc=leader"]);
    dante2sys.wait_for_output("the leader's time is its uptime, not UTC", EVENT_TIMEOUT);
    assert_eq!(utc(&lab)["error_ns"], Value::Null);
    leader.program.kill();
    // The leader's time is 2030-01-01.
    let begun = Instant::now();
    let _leader = lab.leader(&["--uptime=1893456000"]);
    dante2sys.wait_for_output("to correct UTC error", EVENT_TIMEOUT);
    wait_until("UTC synchronised", EVENT_TIMEOUT * 4, || utc(&lab)["synchronised"] == true);
    let body = lab.readers().wait_for_steerer(State::Locked, EVENT_TIMEOUT);
    let shown = body.line().expect("a line").at(dante_os::clock::raw_now());
    let since = shown.ns() / 1_000_000_000 - 1_893_456_000;
    let at_most = i64::try_from(begun.elapsed().as_secs()).expect("some seconds") + 1;
    assert!(
        (0..=at_most).contains(&since),
        "the clock shows {since} s since the leader's start, at most {at_most} s passed"
    );
}

#[test]
fn refuses_leader_beyond_max_frequency_or_in_pull_up_subdomain() {
    let Some(lab) = Lab::new() else { return };
    let _dante4l = lab.dante4l(&["--subdomain=_ALT1"]);
    let _leader = lab.leader(&["--subdomain=_ALT1", "--ppm=40"]);
    let dante2sys = lab.start("dante2sys", &["--clock=virtual"]);
    dante2sys.wait_for_output("_ALT1, a pull-up domain", EVENT_TIMEOUT);
    dante2sys.stop().expect(0, &[]);
    let permitted = lab.start("dante2sys", &["--clock=virtual", "--allow-pull-up", "--max-frequency=20"]);
    permitted.wait_for_output("rate exceeds --max-frequency", EVENT_TIMEOUT);
    let body = lab.readers().dante2sys().expect("a page").body;
    assert!(body.frequency.abs() <= 20e-6 && body.state() != Some(State::Locked), "{body:?}");
    permitted.stop().expect(0, &[]);
    let permitted = lab.start("dante2sys", &["--clock=virtual", "--allow-pull-up"]);
    lab.readers().wait_for_steerer(State::Locked, EVENT_TIMEOUT);
    permitted.stop().expect(0, &["LOCKED"]);
}
