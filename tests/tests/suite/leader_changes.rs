//! Leaders that pause, are rebooted or replaced: the steered clock does not jump.

use dante_core::port::State;
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::{relay, steer};
use dante_os::clock::raw_now;
use dante_os::ntpshm::NtpShmReader;
use dante_tests::clock_watch::ClockWatch;
use dante_tests::lab::{Lab, LeaderProcess, Readers};
use dante_tests::segment::Fields;
use dante_tests::{EVENT_TIMEOUT, judge, wait_for, wait_until};
use nix::sys::signal::Signal;
use std::time::Duration as Span;

/// All daemons detect within seconds that the leader is lost, and danteshm withdraws its last sample.
fn expect_loss_detected(lab: &Lab, readers: &mut Readers, danteshm: u32) {
    let listening = readers.wait_for_port(State::Listening, EVENT_TIMEOUT);
    let last_sync = readers.selected().and_then(|port| port.last_sample()).expect("a sample").arrived.raw;
    let silence = (listening - last_sync).secs_f64();
    println!("LISTENING {silence:.3} s after the last Sync (10 intervals: 2.5 s)");
    // The upper limit allows for a test that is delayed by other work of the machine.
    assert!((2.5..10.0).contains(&silence), "{silence} s");
    readers.wait_for_steerer(steer::State::Holdover, EVENT_TIMEOUT);
    readers.wait_for_relay(relay::State::Waiting, EVENT_TIMEOUT);
    let reader = NtpShmReader::attach(lab.stage.unit()).expect("the segment");
    assert_eq!(reader.read(), None, "the segment has a valid sample");
    assert_eq!(Fields::of_process(danteshm, lab.stage.unit()).valid, 0);
}

/// In holdover the clock keeps the leader's last rate, without a phase term and without a correction.
fn expect_rate_held(readers: &mut Readers, rate_ppm: f64) {
    let before = readers.dante2sys().expect("dante2sys' page").body;
    let samples = readers.danteshm().expect("danteshm's page").body.outputs()[0].samples;
    std::thread::sleep(Span::from_secs(3));
    let after = readers.dante2sys().expect("dante2sys' page").body;
    assert_eq!(after.state(), Some(steer::State::Holdover));
    assert_eq!(
        (before.line, before.corrections),
        (after.line, after.corrections),
        "no correction in holdover"
    );
    let line = after.line().expect("a line");
    assert_eq!(line.rate.fraction(), after.frequency);
    let map = readers.map().expect("a map");
    let term = (line.rate - map.line.rate).ppb();
    assert!(term.abs() < 1.0, "rate held minus leader's rate: {term} ppb");
    judge("rate held - truth", line.rate.ppb() - rate_ppm * 1e3, 100.0, "ppb");
    let page = readers.danteshm().expect("danteshm's page").body;
    assert_eq!(page.outputs()[0].samples, samples, "danteshm writes samples without a leader");
}

/// Waits until dante2sys is LOCKED and the rate's uncertainty is below 150 ppb.
fn wait_for_certain_rate(readers: &mut Readers) {
    readers.wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    wait_until("a rate uncertainty below 150 ppb", EVENT_TIMEOUT * 4, || {
        readers.map().is_some_and(|map| map.sigma.rate.ppb() < 150.0)
    });
}

/// dante2sys is LOCKED on this timeline within seconds of its first Sync.
fn expect_lock(readers: &mut Readers, number: u64, first_sync: Timestamp<Raw>) {
    wait_for(&format!("LOCKED on timeline {number}"), EVENT_TIMEOUT, || {
        let page = readers.dante2sys()?.body;
        (page.state() == Some(steer::State::Locked) && page.key_number == number).then_some(())
    });
    judge("LOCKED after the first Sync", (raw_now() - first_sync).secs_f64(), 5.0, "s");
    readers.wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    assert_eq!(readers.selected().expect("a port").timeline, number);
}

/// Returns the leader's true time plus the epoch offset (K), ns. The measured time lags by the path delay, which is constant.
fn true_utc_ns(readers: &mut Readers, leader: &LeaderProcess, raw: Timestamp<Raw>) -> i64 {
    let epoch = readers.dante2sys().and_then(|view| view.body.epoch()).expect("K");
    epoch.utc_of(leader.truth().at(raw)).ns()
}

fn clock_error_ns(readers: &mut Readers, leader: &LeaderProcess) -> f64 {
    let now = raw_now();
    let line = readers.dante2sys().and_then(|view| view.body.line()).expect("a line");
    (line.at(now).ns() - true_utc_ns(readers, leader, now)) as f64
}

#[test]
fn paused_leader_resumes_on_same_timeline() {
    let Some(lab) = Lab::new() else { return };
    let [danteshm, _dante2sys, _dante4l] = lab.daemons();
    let leader = lab.leader(&["--ppm=12"]);
    let mut readers = lab.readers();
    wait_for_certain_rate(&mut readers);
    let watch = ClockWatch::start(&lab.stage);
    let epoch = readers.dante2sys().expect("dante2sys' page").body.epoch();

    leader.program.signal(Signal::SIGSTOP);
    expect_loss_detected(&lab, &mut readers, danteshm.pid());
    expect_rate_held(&mut readers, 12.0);
    leader.program.signal(Signal::SIGCONT);
    expect_lock(&mut readers, 1, raw_now());
    std::thread::sleep(Span::from_secs(4));

    let testimony = watch.finish();
    assert_eq!(
        readers.dante2sys().expect("dante2sys' page").body.epoch(),
        epoch,
        "the epoch offset (K) changed"
    );
    testimony.judge(&[12.0]);
    judge("clock - (truth + K)", clock_error_ns(&mut readers, &leader) / 1e3, 20.0, "us");
}

#[test]
fn rebooted_leader_starts_new_timeline_without_clock_jump() {
    let Some(lab) = Lab::new() else { return };
    let [danteshm, _dante2sys, _dante4l] = lab.daemons();
    let leader = lab.leader(&["--ppm=12", "--uptime=541867"]);
    let mut readers = lab.readers();
    wait_for_certain_rate(&mut readers);
    let watch = ClockWatch::start(&lab.stage);
    // Epoch offset (K) and time of the old leader: UTC by the new leader has to continue UTC by the old one.
    let before = (readers.dante2sys().and_then(|view| view.body.epoch()).expect("K"), leader.truth());

    leader.program.stop().expect(0, &[]);
    expect_loss_detected(&lab, &mut readers, danteshm.pid());
    let leader = lab.leader(&["--ppm=5", "--uptime=3"]);
    expect_lock(&mut readers, 2, leader.truth().line.raw0);

    let now = raw_now();
    let jump = true_utc_ns(&mut readers, &leader, now) - before.0.utc_of(before.1.at(now)).ns();
    let elapsed = (now - leader.truth().line.raw0).secs_f64();
    println!(
        "{elapsed:.1} s after the new leader's first Sync: new (Dante time + K) - old (Dante time + K): {jump:+} ns"
    );
    // The leaders' rates differ by 7 ppm since the new leader is followed; the old rate's error adds up over the silence.
    judge("UTC by the new leader - UTC by the old one", jump as f64 / 1e3, 50.0, "us");
    std::thread::sleep(Span::from_secs(8));
    watch.finish().judge(&[12.0, 5.0]);
    judge("clock - (truth + K)", clock_error_ns(&mut readers, &leader) / 1e3, 20.0, "us");
    let reader = NtpShmReader::attach(lab.stage.unit()).expect("the segment");
    let (sample, _) = wait_for("a sample", EVENT_TIMEOUT, || reader.read());
    assert!(
        (sample.reference - sample.received).abs() < Duration::from_ms(100),
        "danteshm lost its epoch offset (K): {sample:?}"
    );
}

#[test]
fn preferred_leader_takes_over_without_clock_jump() {
    let Some(lab) = Lab::new() else { return };
    let _daemons = lab.daemons();
    let _first = lab.leader(&["--ppm=12", "--force"]);
    let mut readers = lab.readers();
    wait_for_certain_rate(&mut readers);
    let watch = ClockWatch::start(&lab.stage);
    let preferred = ["--ppm=-3", "--uptime=90000", "--force", "--preferred", "--uuid=00:1d:c1:00:00:01"];
    let second = lab.leader(&preferred);
    expect_lock(&mut readers, 2, second.truth().line.raw0);
    assert_eq!(lab.stage.status()["dante4l"]["leader"]["id"], "00:1d:c1:00:00:01");
    std::thread::sleep(Span::from_secs(8));
    watch.finish().judge(&[12.0, -3.0]);
    judge("clock - (truth + K)", clock_error_ns(&mut readers, &second) / 1e3, 20.0, "us");
}
