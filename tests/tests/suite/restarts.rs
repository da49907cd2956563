//! Programs that are killed, restarted or doubled: the others notice, and carry on; nothing is cleaned by hand.

use dante_core::page::{Dante2sys, Dante4l, Danteshm};
use dante_core::port::State;
use dante_core::{relay, steer};
use dante_tests::clock_watch::ClockWatch;
use dante_tests::lab::Lab;
use dante_tests::segment::Fields;
use dante_tests::stage::Stage;
use dante_tests::{judge, wait_for};
use std::time::{Duration, Instant};

/// A heartbeat holds for 2 s.
const STALE: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(20);

/// `kill -9`, and the page is stale in time.
fn kill(lab: &Lab, name: &str, program: dante_tests::program::Program) {
    program.kill();
    let killed = Instant::now();
    let part = lab.stage.wait_for(name, "page", "stale", STALE);
    println!("{name} was seen stale {:.2} s after it was killed", killed.elapsed().as_secs_f64());
    assert_eq!(part["running"], false);
    let screen = lab.stage.screen();
    assert!(screen.contains(&format!("! {name} died or hangs")), "{screen}");
}

#[test]
fn each_program_may_be_killed_and_started_again() {
    let Some(lab) = Lab::new() else { return };
    let [danteshm, dante2sys, dante4l] = lab.daemons();
    let _leader = lab.leader(&["--ppm=12"]);
    let mut eyes = lab.eyes();
    eyes.wait_for_steerer(steer::State::Locked, PATIENCE);
    std::thread::sleep(Duration::from_secs(4));

    // The observer: the clock is held at its rate until there is another one, and does not jump.
    let watch = ClockWatch::start(&lab.stage);
    kill(&lab, "dante4l", dante4l);
    eyes.wait_for_steerer(steer::State::Holdover, STALE);
    eyes.wait_for_relay(relay::State::Waiting, STALE);
    assert_eq!(Fields::of_process(danteshm.pid(), lab.stage.unit()).valid, 0);
    assert!(dante2sys.output().contains("dante4l's page is stale"), "{}", dante2sys.output());
    let _dante4l = lab.dante4l(&[]);
    eyes.wait_for_port(State::Slave, PATIENCE);
    eyes.wait_for_steerer(steer::State::Locked, PATIENCE);
    eyes.wait_for_relay(relay::State::Feeding, PATIENCE);
    std::thread::sleep(Duration::from_secs(3));
    watch.finish().judge(&[12.0]);

    // The steerer.
    kill(&lab, "dante2sys", dante2sys);
    let dante2sys = lab.dante2sys();
    eyes.wait_for_steerer(steer::State::Locked, PATIENCE);
    lab.stage.wait_for("dante2sys", "page", "fresh", STALE);

    // The relay: what it left in the segment is withdrawn, and the count goes on.
    let before = Fields::of_process(danteshm.pid(), lab.stage.unit());
    kill(&lab, "danteshm", danteshm);
    let danteshm = lab.danteshm();
    eyes.wait_for_relay(relay::State::Feeding, PATIENCE);
    let after = Fields::of_process(danteshm.pid(), lab.stage.unit());
    assert!(after.count > before.count, "{before:?} {after:?}");
    assert!(after.receive > before.receive, "an old sample was given again: {before:?} {after:?}");

    // In good order: nothing is left for chrony, and every page says so.
    danteshm.stop().expect(0, &[]);
    dante2sys.stop().expect(0, &[]);
    _dante4l.stop().expect(0, &[]);
    let status = lab.stage.status();
    for program in ["dante4l", "dante2sys", "danteshm"] {
        assert_eq!(status[program]["page"], "stopped", "{status:#}");
        assert_eq!(status[program]["running"], false, "{status:#}");
        assert!(lab.stage.screen().contains(&format!("! {program} does not run")), "{}", lab.stage.screen());
    }
    let reader = dante_os::ntpshm::NtpShmReader::attach(lab.stage.unit()).expect("the segment");
    assert_eq!(reader.read(), None);
}

/// A leader that dies without a word is another silence; one that comes again with a shorter uptime, a reboot.
#[test]
fn a_leader_that_is_killed_may_come_again() {
    let Some(lab) = Lab::new() else { return };
    let _daemons = lab.daemons();
    let leader = lab.leader(&["--ppm=12", "--uptime=1000"]);
    let mut eyes = lab.eyes();
    eyes.wait_for_steerer(steer::State::Locked, PATIENCE);
    leader.program.kill();
    eyes.wait_for_port(State::Listening, PATIENCE);
    eyes.wait_for_steerer(steer::State::Holdover, Duration::from_secs(2));
    let leader = lab.leader(&["--ppm=12", "--uptime=0"]);
    eyes.wait_for_steerer(steer::State::Locked, PATIENCE);
    let locked = dante_os::clock::raw_now() - leader.truth().line.raw0;
    judge("LOCKED after the first Sync", locked.secs_f64(), 5.0, "s");
    assert_eq!(eyes.selected().expect("a port").timeline, 2);
}

/// One writer to a page, as long as it lives. The daemons need no network to show that.
#[test]
fn a_second_of_the_same_instance_is_refused_while_the_first_lives() {
    let stage = Stage::new();
    let unit = format!("--shm={}", stage.unit());
    let programs: [(&str, &[&str]); 3] =
        [("dante4l", &["-i", "nosuch0"]), ("dante2sys", &["--clock=virtual"]), ("danteshm", &[&unit])];
    for (name, words) in programs {
        let first = stage.start(name, stage.command(name, words));
        stage.wait_for(name, "page", "fresh", PATIENCE);
        let says = [name, "already running", &format!("process {}", first.pid()), "--instance"];
        stage.run(name, words).expect(3, &says);
        stage.wait_for(name, "page", "fresh", Duration::from_secs(1));
        first.kill();
        let next = stage.start(name, stage.command(name, words));
        let seen = wait_for("the next writer", PATIENCE, || {
            let pid = match name {
                "dante4l" => stage.reader::<Dante4l>().read(dante_os::clock::raw_now()).ok()?.pid,
                "dante2sys" => stage.reader::<Dante2sys>().read(dante_os::clock::raw_now()).ok()?.pid,
                _ => stage.reader::<Danteshm>().read(dante_os::clock::raw_now()).ok()?.pid,
            };
            (pid == next.pid()).then_some(pid)
        });
        assert_eq!(seen, next.pid());
        next.stop().expect(0, &["ended by a signal"]);
        assert_eq!(stage.status()[name]["page"], "stopped");
    }
}
