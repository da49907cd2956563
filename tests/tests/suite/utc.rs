//! dante2sys' date in namespaces, on its virtual clock: servers on a real network, the leader's own date, and leaders that
//! are not to be followed. What needs a kernel clock is in the guest.

use dante_core::page::{Dante2sysStatus, STATUS_UTC_SYNCHRONISED};
use dante_core::steer::State;
use dante_tests::lab::Lab;
use dante_tests::ntp::{Answer, Behaviour, NtpServer};
use dante_tests::{judge, wait_until};
use serde_json::Value;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

fn utc(lab: &Lab) -> Value {
    lab.stage.status()["dante2sys"]["utc"].take()
}

/// One server on the leader's host: the clock is stepped to its date, and what the page says of it is so. Then the server
/// babbles, denies and falls silent.
#[test]
fn the_date_of_a_server_is_taken_and_its_faults_are_not() {
    let Some(lab) = Lab::new() else { return };
    const AHEAD_NS: i64 = 3_600_000_000_000;
    let server =
        NtpServer::start(&lab.far, Behaviour { offset_ns: AHEAD_NS, leap: 1, ..Behaviour::default() });
    let waits = lab.stage.run("pmc-lite", &["wait", "--timeout=1", "--instance", &lab.stage.instance()]);
    waits.expect(1, &["not within 1 s", "no page"]);
    let _dante4l = lab.dante4l(&[]);
    let _leader = lab.leader(&["--ppm=12"]);
    let dante2sys = lab.start("dante2sys", &["--clock=virtual", "--ntp-server", &lab.far_address()]);
    dante2sys.wait_for_output("the clock is stepped by +", PATIENCE);
    lab.stage.run("pmc-lite", &["wait", "--timeout=50", "--instance", &lab.stage.instance()]).expect(0, &[]);
    let mut eyes = lab.eyes();
    let body: Dante2sysStatus = eyes.wait_for_steerer(State::Locked, PATIENCE);
    assert_ne!(body.flags & STATUS_UTC_SYNCHRONISED, 0);
    // All namespaces share this machine's clock, which the server shows an hour ahead.
    let line = body.line().expect("a virtual clock is a line");
    let reading = dante_os::clock::read_realtime();
    let off = line.at(reading.raw) - reading.real;
    judge("date off", (off.ns() - AHEAD_NS) as f64 / 1e6, 1.0, "ms");
    let date_now = utc(&lab);
    assert_eq!((&date_now["source"], &date_now["steps"]), (&"ntp".into(), &1.into()), "{date_now}");
    assert_eq!((&date_now["policy"], &date_now["leap"]), (&"step".into(), &"insert".into()), "{date_now}");
    let bound = date_now["bound_ns"].as_f64().expect("a bound");
    assert!(bound > (off.ns() - AHEAD_NS).abs() as f64, "the error is within what is stated: {date_now}");

    server.change(|server| server.answer = Answer::Garbage);
    dante2sys.wait_for_output("NTP server", PATIENCE);
    server.change(|server| server.answer = Answer::Kiss(*b"DENY"));
    dante2sys.wait_for_output("DENY", PATIENCE);
    let asked = server.requests().len();
    std::thread::sleep(Duration::from_secs(3));
    assert!(server.requests().len() <= asked + 1, "one that denied is left alone");
    eyes.wait_for_steerer(State::Locked, PATIENCE);
}

#[test]
fn a_leaders_own_date_is_taken_and_its_uptime_is_not() {
    let Some(lab) = Lab::new() else { return };
    let _dante4l = lab.dante4l(&[]);
    let leader = lab.leader(&["--uptime=541867"]);
    let dante2sys = lab.start("dante2sys", &["--clock=virtual", "--utc=leader"]);
    dante2sys.wait_for_output("the leader's time is its uptime and no date", PATIENCE);
    assert_eq!(utc(&lab)["error_ns"], Value::Null);
    leader.program.kill();
    // 2030-01-01.
    let begun = Instant::now();
    let _leader = lab.leader(&["--uptime=1893456000"]);
    dante2sys.wait_for_output("for the date's sake", PATIENCE);
    wait_until("a good date", PATIENCE * 4, || utc(&lab)["synchronised"] == true);
    let body = lab.eyes().wait_for_steerer(State::Locked, PATIENCE);
    let shown = body.line().expect("a line").at(dante_os::clock::raw_now());
    let since = shown.ns() / 1_000_000_000 - 1_893_456_000;
    let at_most = i64::try_from(begun.elapsed().as_secs()).expect("some seconds") + 1;
    assert!((0..=at_most).contains(&since), "{since} s after the leader's start");
}

#[test]
fn a_leader_beyond_all_bounds_is_not_followed() {
    let Some(lab) = Lab::new() else { return };
    let _dante4l = lab.dante4l(&["--subdomain=_ALT1"]);
    let _leader = lab.leader(&["--subdomain=_ALT1", "--ppm=40"]);
    let dante2sys = lab.start("dante2sys", &["--clock=virtual"]);
    dante2sys.wait_for_output("_ALT1, a pull-up domain", PATIENCE);
    dante2sys.stop().expect(0, &[]);
    let told = lab.start("dante2sys", &["--clock=virtual", "--allow-pull-up", "--max-frequency=20"]);
    told.wait_for_output("beyond the largest frequency that may be set", PATIENCE);
    let body = lab.eyes().dante2sys().expect("a page").body;
    assert!(body.frequency.abs() <= 20e-6 && body.state() != Some(State::Locked), "{body:?}");
    told.stop().expect(0, &[]);
    let told = lab.start("dante2sys", &["--clock=virtual", "--allow-pull-up"]);
    lab.eyes().wait_for_steerer(State::Locked, PATIENCE);
    told.stop().expect(0, &["LOCKED"]);
}
