//! Leaders that fall silent, come back, are rebooted or replaced: the steered clock must not notice.

use dante_core::port::State;
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::{relay, steer};
use dante_os::clock::raw_now;
use dante_os::ntpshm::NtpShmReader;
use dante_tests::clock_watch::ClockWatch;
use dante_tests::lab::{Eyes, Lab, LeaderProcess};
use dante_tests::segment::Fields;
use dante_tests::{judge, wait_for, wait_until};
use nix::sys::signal::Signal;
use std::time::Duration as Span;

const PATIENCE: Span = Span::from_secs(30);

/// The silence is noticed by everybody, in time.
fn see_silence(lab: &Lab, eyes: &mut Eyes, danteshm: u32) {
    // Held up between two looks, this test sees it later by so much.
    let (mut before, mut held_up) = (raw_now(), Duration::ZERO);
    let listening = wait_for("dante4l LISTENING", PATIENCE, || {
        let now = raw_now();
        held_up = held_up.max(now - std::mem::replace(&mut before, now));
        (eyes.port() == Some(State::Listening)).then_some(now)
    });
    let last_sync = eyes.selected().and_then(|port| port.last_sample()).expect("a sample").arrived.raw;
    let silence = (listening - last_sync).secs_f64();
    println!("LISTENING {silence:.3} s after the last Sync (10 intervals: 2.5 s)");
    assert!((2.5..3.5 + held_up.secs_f64()).contains(&silence), "{silence} s");
    eyes.wait_for_steerer(steer::State::Holdover, PATIENCE);
    eyes.wait_for_relay(relay::State::Waiting, PATIENCE);
    let reader = NtpShmReader::attach(lab.stage.unit()).expect("the segment");
    assert_eq!(reader.read(), None, "a sample is left for chrony to take");
    assert_eq!(Fields::of_process(danteshm, lab.stage.unit()).valid, 0);
}

/// The last rate is held, without a phase term and without a correction.
fn see_rate_held(eyes: &mut Eyes, rate_ppm: f64) {
    let before = eyes.dante2sys().expect("dante2sys' page").body;
    let samples = eyes.danteshm().expect("danteshm's page").body.outputs()[0].samples;
    std::thread::sleep(Span::from_secs(3));
    let after = eyes.dante2sys().expect("dante2sys' page").body;
    assert_eq!(after.state(), Some(steer::State::Holdover));
    assert_eq!(
        (before.line, before.corrections),
        (after.line, after.corrections),
        "no correction in holdover"
    );
    let line = after.line().expect("a line");
    assert_eq!(line.rate.fraction(), after.frequency);
    let map = eyes.map().expect("a map");
    let term = (line.rate - map.line.rate).ppb();
    assert!(term.abs() < 1.0, "the leader's rate alone is held, not {term} ppb beside it");
    judge("rate held - truth", line.rate.ppb() - rate_ppm * 1e3, 100.0, "ppb");
    let page = eyes.danteshm().expect("danteshm's page").body;
    assert_eq!(page.outputs()[0].samples, samples, "danteshm feeds on");
}

/// Locked, on a rate that is known well.
fn wait_for_good_rate(eyes: &mut Eyes) {
    eyes.wait_for_steerer(steer::State::Locked, PATIENCE);
    wait_until("a rate that is known well", PATIENCE * 4, || {
        eyes.map().is_some_and(|map| map.sigma.rate.ppb() < 150.0)
    });
}

/// Locked on this timeline in time, judged from its first Sync.
fn see_lock(eyes: &mut Eyes, number: u64, first_sync: Timestamp<Raw>) {
    wait_for(&format!("LOCKED on timeline {number}"), PATIENCE, || {
        let page = eyes.dante2sys()?.body;
        (page.state() == Some(steer::State::Locked) && page.key_number == number).then_some(())
    });
    judge("LOCKED after the first Sync", (raw_now() - first_sync).secs_f64(), 5.0, "s");
    eyes.wait_for_relay(relay::State::Feeding, PATIENCE);
    assert_eq!(eyes.selected().expect("a port").timeline, number);
}

/// Dante + K, truly, at this moment; `delay` later than what is seen here, always by the same.
fn true_date(eyes: &mut Eyes, leader: &LeaderProcess, raw: Timestamp<Raw>) -> i64 {
    let epoch = eyes.dante2sys().and_then(|view| view.body.epoch()).expect("K");
    epoch.date_of(leader.truth().at(raw)).ns()
}

fn clock_error_ns(eyes: &mut Eyes, leader: &LeaderProcess) -> f64 {
    let now = raw_now();
    let line = eyes.dante2sys().and_then(|view| view.body.line()).expect("a line");
    (line.at(now).ns() - true_date(eyes, leader, now)) as f64
}

#[test]
fn a_leader_that_pauses_is_taken_up_again_on_the_same_timeline() {
    let Some(lab) = Lab::new() else { return };
    let [danteshm, _dante2sys, _dante4l] = lab.daemons();
    let leader = lab.leader(&["--ppm=12"]);
    let mut eyes = lab.eyes();
    wait_for_good_rate(&mut eyes);
    let watch = ClockWatch::start(&lab.stage);
    let epoch = eyes.dante2sys().expect("dante2sys' page").body.epoch();

    leader.program.signal(Signal::SIGSTOP);
    see_silence(&lab, &mut eyes, danteshm.pid());
    see_rate_held(&mut eyes, 12.0);
    leader.program.signal(Signal::SIGCONT);
    see_lock(&mut eyes, 1, raw_now());
    std::thread::sleep(Span::from_secs(4));

    let testimony = watch.finish();
    assert_eq!(eyes.dante2sys().expect("dante2sys' page").body.epoch(), epoch, "and so K stands");
    testimony.judge(&[12.0]);
    judge("clock - (truth + K)", clock_error_ns(&mut eyes, &leader) / 1e3, 20.0, "us");
}

#[test]
fn a_rebooted_leader_begins_a_timeline_and_moves_no_clock() {
    let Some(lab) = Lab::new() else { return };
    let [danteshm, _dante2sys, _dante4l] = lab.daemons();
    let leader = lab.leader(&["--ppm=12", "--uptime=541867"]);
    let mut eyes = lab.eyes();
    wait_for_good_rate(&mut eyes);
    let watch = ClockWatch::start(&lab.stage);
    // Where the old leader's scale would be: it is what the new one has to go on from.
    let before = (eyes.dante2sys().and_then(|view| view.body.epoch()).expect("K"), leader.truth());

    leader.program.stop().expect(0, &[]);
    see_silence(&lab, &mut eyes, danteshm.pid());
    let leader = lab.leader(&["--ppm=5", "--uptime=3"]);
    see_lock(&mut eyes, 2, leader.truth().line.raw0);

    let now = raw_now();
    let carried = true_date(&mut eyes, &leader, now) - before.0.date_of(before.1.at(now)).ns();
    let gap = (now - leader.truth().line.raw0).secs_f64();
    println!("{gap:.1} s into the new timeline: new Dante + K - old Dante + K: {carried:+} ns");
    // Some 7 ppm apart since the new one was taken up, and the old rate's error over the silence.
    judge("K carried over", carried as f64 / 1e3, 50.0, "us");
    std::thread::sleep(Span::from_secs(8));
    watch.finish().judge(&[12.0, 5.0]);
    judge("clock - (truth + K)", clock_error_ns(&mut eyes, &leader) / 1e3, 20.0, "us");
    let reader = NtpShmReader::attach(lab.stage.unit()).expect("the segment");
    let (sample, _) = wait_for("a sample", PATIENCE, || reader.read());
    assert!(
        (sample.reference - sample.received).abs() < Duration::from_ms(5),
        "danteshm's K was lost: {sample:?}"
    );
}

#[test]
fn a_preferred_leader_takes_over_without_a_jump() {
    let Some(lab) = Lab::new() else { return };
    let _daemons = lab.daemons();
    let _first = lab.leader(&["--ppm=12", "--force"]);
    let mut eyes = lab.eyes();
    wait_for_good_rate(&mut eyes);
    let watch = ClockWatch::start(&lab.stage);
    let preferred = ["--ppm=-3", "--uptime=90000", "--force", "--preferred", "--uuid=00:1d:c1:00:00:01"];
    let second = lab.leader(&preferred);
    see_lock(&mut eyes, 2, second.truth().line.raw0);
    assert_eq!(lab.stage.status()["dante4l"]["leader"]["id"], "00:1d:c1:00:00:01");
    std::thread::sleep(Span::from_secs(8));
    watch.finish().judge(&[12.0, -3.0]);
    judge("clock - (truth + K)", clock_error_ns(&mut eyes, &second) / 1e3, 20.0, "us");
}
