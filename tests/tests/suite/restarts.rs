//! Programs that are killed, restarted or started twice: the others detect it and continue, and no file has to be removed by hand.

use dante_core::page::{Dante2sys, Dante4l, Danteshm};
use dante_core::port::State;
use dante_core::{relay, steer};
use dante_tests::clock_watch::ClockWatch;
use dante_tests::lab::Lab;
use dante_tests::realtime::repeat_if_steered;
use dante_tests::segment::Fields;
use dante_tests::stage::Stage;
use dante_tests::{EVENT_TIMEOUT, judge, wait_for};
use std::time::{Duration, Instant};

/// Longest time until a page without a writer is stale: a heartbeat is valid for 2 s.
const STALE_LIMIT: Duration = Duration::from_secs(3);

/// Kills the program by SIGKILL and waits until its page is stale.
fn kill(lab: &Lab, name: &str, program: dante_tests::program::Program) {
    program.kill();
    let killed = Instant::now();
    let part = lab.stage.wait_for(name, "page", "stale", STALE_LIMIT);
    println!("page of {name} stale {:.2} s after it was killed", killed.elapsed().as_secs_f64());
    assert_eq!(part["running"], false);
    let screen = lab.stage.screen();
    assert!(screen.contains(&format!("! {name} crashed, was killed or hangs")), "{screen}");
}

#[test]
fn each_daemon_recovers_from_kill_and_restart() {
    repeat_if_steered(kill_and_restart);
}

fn kill_and_restart() {
    let Some(lab) = Lab::new() else { return };
    let [danteshm, dante2sys, dante4l] = lab.daemons();
    let _leader = lab.leader(&["--ppm=12"]);
    let mut readers = lab.readers();
    readers.wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    std::thread::sleep(Duration::from_secs(4));

    // dante4l: the clock keeps its rate until dante4l runs again, and does not jump.
    let watch = ClockWatch::start(&lab.stage);
    kill(&lab, "dante4l", dante4l);
    readers.wait_for_steerer(steer::State::Holdover, STALE_LIMIT);
    readers.wait_for_relay(relay::State::Waiting, STALE_LIMIT);
    assert_eq!(Fields::of_process(danteshm.pid(), lab.stage.unit()).valid, 0);
    assert!(dante2sys.output().contains("dante4l's clock page is stale"), "{}", dante2sys.output());
    let _dante4l = lab.dante4l(&[]);
    readers.wait_for_port(State::Slave, EVENT_TIMEOUT);
    readers.wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    readers.wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    std::thread::sleep(Duration::from_secs(3));
    watch.finish().judge(&[12.0]);

    // dante2sys.
    kill(&lab, "dante2sys", dante2sys);
    let dante2sys = lab.dante2sys();
    readers.wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    lab.stage.wait_for("dante2sys", "page", "fresh", STALE_LIMIT);

    // danteshm: after the restart the old sample is invalid, and the count continues.
    let before = Fields::of_process(danteshm.pid(), lab.stage.unit());
    kill(&lab, "danteshm", danteshm);
    // A start that fails after the pages were opened loses nothing.
    let shm = format!("--shm={}", lab.stage.unit());
    lab.stage.run("danteshm", &["--epoch=now", &shm, "--shm=4000000000"]).expect(2, &["4000000000"]);
    let danteshm = lab.danteshm();
    readers.wait_for_relay(relay::State::Feeding, EVENT_TIMEOUT);
    danteshm.wait_for_output("resumed from the previous run", EVENT_TIMEOUT);
    let after = Fields::of_process(danteshm.pid(), lab.stage.unit());
    assert!(after.count > before.count, "{before:?} {after:?}");
    assert!(after.receive > before.receive, "an old sample was written again: {before:?} {after:?}");

    // After a regular end the segment has no valid sample, and the pages are stopped.
    danteshm.stop().expect(0, &[]);
    dante2sys.stop().expect(0, &[]);
    _dante4l.stop().expect(0, &[]);
    let status = lab.stage.status();
    for program in ["dante4l", "dante2sys", "danteshm"] {
        assert_eq!(status[program]["page"], "stopped", "{status:#}");
        assert_eq!(status[program]["running"], false, "{status:#}");
        assert!(
            lab.stage.screen().contains(&format!("! {program} is not running")),
            "{}",
            lab.stage.screen()
        );
    }
    let reader = dante_os::ntpshm::NtpShmReader::attach(lab.stage.unit()).expect("the segment");
    assert_eq!(reader.read(), None);
}

/// A leader that is killed and comes back with a shorter uptime counts as rebooted.
#[test]
fn killed_leader_returns_on_new_timeline() {
    let Some(lab) = Lab::new() else { return };
    let _daemons = lab.daemons();
    let leader = lab.leader(&["--ppm=12", "--uptime=1000"]);
    let mut readers = lab.readers();
    readers.wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    leader.program.kill();
    readers.wait_for_port(State::Listening, EVENT_TIMEOUT);
    readers.wait_for_steerer(steer::State::Holdover, EVENT_TIMEOUT);
    let leader = lab.leader(&["--ppm=12", "--uptime=0"]);
    readers.wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    let locked = dante_os::clock::raw_now() - leader.truth().line.raw0;
    judge("LOCKED after the first Sync", locked.secs_f64(), 5.0, "s");
    assert_eq!(readers.selected().expect("a port").timeline, 2);
}

/// The daemons need no network to refuse.
#[test]
fn refuses_second_daemon_of_same_instance() {
    let stage = Stage::new();
    let unit = format!("--shm={}", stage.unit());
    let programs: [(&str, &[&str]); 3] =
        [("dante4l", &["-i", "nosuch0"]), ("dante2sys", &["--clock=virtual"]), ("danteshm", &[&unit])];
    for (name, words) in programs {
        let first = stage.start(name, stage.command(name, words));
        stage.wait_for(name, "page", "fresh", EVENT_TIMEOUT);
        let expected = [name, "already running", &format!("process {}", first.pid()), "--instance"];
        stage.run(name, words).expect(3, &expected);
        stage.wait_for(name, "page", "fresh", Duration::from_secs(1));
        first.kill();
        let next = stage.start(name, stage.command(name, words));
        let seen = wait_for("the next writer", EVENT_TIMEOUT, || {
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
