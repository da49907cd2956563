//! Several leaders, on one network or on two: who is followed, and what is remembered of them.

use dante_core::port::State;
use dante_core::steer;
use dante_tests::clock_watch::ClockWatch;
use dante_tests::lab::{Eyes, Lab, LeaderProcess, map_error};
use dante_tests::namespace::SECOND_CABLE;
use dante_tests::{judge, wait_for, wait_until};
use std::time::Duration as Span;

const PATIENCE: Span = Span::from_secs(30);

fn uuid(lab: &Lab) -> String {
    lab.stage.status()["dante4l"]["leader"]["id"].as_str().unwrap_or_default().to_owned()
}

fn map_error_us(eyes: &mut Eyes, leader: &LeaderProcess) -> f64 {
    map_error(&eyes.map().expect("a map"), &leader.truth()).secs_f64() * 1e6
}

/// A worse leader may be the one that is wanted, and a better one the one that is not.
#[test]
fn the_operators_word_stands_above_the_best_master() {
    let Some(lab) = Lab::new() else { return };
    let wanted = lab.leader(&["--ppm=12", "--force", "--uuid=00:1d:c1:00:00:09"]);
    let best = ["--ppm=-3", "--uptime=90000", "--force", "--preferred", "--uuid=00:1d:c1:00:00:01"];
    let _best = lab.leader(&best);
    let address = lab.far_address();
    for words in [
        &["--leader=00:1d:c1:00:00:09"][..],
        &["--deny=00:1d:c1:00:00:01"],
        &["--prefer=00:1d:c1:00:00:09/1"],
        &["--leader", &address, "--deny=00:1d:c1:00:00:01/1"],
    ] {
        let dante4l = lab.dante4l(words);
        let mut eyes = lab.eyes();
        eyes.wait_for_port(State::Slave, PATIENCE);
        std::thread::sleep(Span::from_secs(3));
        eyes.wait_for_port(State::Slave, PATIENCE);
        assert_eq!(uuid(&lab), "00:1d:c1:00:00:09", "{words:?}");
        judge("map - truth", map_error_us(&mut eyes, &wanted), 100.0, "us");
        dante4l.stop().expect(0, &[]);
    }
    let dante4l = lab.dante4l(&["--leader=10.99.99.99"]);
    let why = "hearing leader 00:1d:c1:00:00:0";
    dante4l.wait_for_output(why, PATIENCE);
    assert!(dante4l.output().contains(&format!("at {address}, which the rules for leaders do not permit")));
    wait_for("it is counted", PATIENCE, || {
        let status = lab.stage.status();
        (status["dante4l"]["ports"][0]["counters"]["not_permitted"].as_u64() > Some(20)).then_some(())
    });
}

/// Both networks of one clock; the primary's dies, and the steered clock does not notice.
#[test]
fn a_network_that_dies_costs_neither_lock_nor_timeline() {
    let Some(lab) = Lab::new() else { return };
    lab.second_cable();
    let primary = lab.leader(&["--ppm=12"]);
    primary.truth();
    let clock = format!("--same-clock={}", primary.file().display());
    let dante4l = lab.dante4l(&["-i", SECOND_CABLE]);
    let _dante2sys = lab.dante2sys();
    let mut eyes = lab.eyes();
    eyes.wait_for_port(State::Slave, PATIENCE);
    let secondary = LeaderProcess::start_on(&lab.stage, &lab.far, SECOND_CABLE, &[&clock]);
    eyes.wait_for_steerer(steer::State::Locked, PATIENCE);
    dante4l.wait_for_output("are one clock", PATIENCE);
    let status = lab.stage.status();
    let ports = status["dante4l"]["ports"].as_array().expect("ports");
    assert_eq!(
        ports.iter().map(|port| port["state"].as_str().expect("a state")).collect::<Vec<_>>(),
        ["SLAVE"; 2]
    );
    println!("{}", lab.stage.screen());
    assert!(lab.stage.screen().contains("veth0 SLAVE, in use"), "{}", lab.stage.screen());
    let watch = ClockWatch::start(&lab.stage);
    let epoch = eyes.dante2sys().expect("dante2sys' page").body.epoch();

    primary.program.stop().expect(0, &[]);
    wait_for("the secondary is used", PATIENCE, || (eyes.dante4l()?.body.selected == 1).then_some(()));
    std::thread::sleep(Span::from_secs(6));
    let port = eyes.selected().expect("a port");
    assert_eq!((port.state(), port.timeline), (Some(State::Slave), 1), "the same timeline");
    judge("map - truth", map_error_us(&mut eyes, &secondary), 100.0, "us");
    let steerer = eyes.dante2sys().expect("dante2sys' page").body;
    assert_eq!((steerer.state(), steerer.epoch()), (Some(steer::State::Locked), epoch), "and so K stands");

    // And back, when the other one dies: the interface itself is gone this time.
    let clock = format!("--same-clock={}", secondary.file().display());
    let _primary = lab.leader(&[&clock]);
    wait_for("the primary serves again", PATIENCE, || {
        (eyes.dante4l()?.body.ports()[0].state() == Some(State::Slave)).then_some(())
    });
    lab.near.ip(&["link", "delete", SECOND_CABLE]);
    wait_for("the primary is used", PATIENCE, || (eyes.dante4l()?.body.selected == 0).then_some(()));
    std::thread::sleep(Span::from_secs(3));
    let port = eyes.selected().expect("a port");
    assert_eq!((port.state(), port.timeline), (Some(State::Slave), 1));
    watch.finish().judge(&[12.0]);
}

/// Two devices that are not one clock: the one that is followed stays, and that is said.
#[test]
fn two_clocks_on_two_networks_are_told_apart() {
    let Some(lab) = Lab::new() else { return };
    lab.second_cable();
    let primary = lab.leader(&["--ppm=12"]);
    let _other = LeaderProcess::start_on(&lab.stage, &lab.far, SECOND_CABLE, &["--ppm=-3", "--uptime=90000"]);
    let dante4l = lab.dante4l(&["-i", SECOND_CABLE]);
    let mut eyes = lab.eyes();
    dante4l.wait_for_output("they are not one clock", PATIENCE);
    let body = eyes.dante4l().expect("dante4l's page").body;
    let first = body.selected;
    assert_eq!(body.ports().iter().filter(|port| port.timeline == 1).count(), 1, "one timeline is told");
    if first == 0 {
        judge("map - truth", map_error_us(&mut eyes, &primary), 100.0, "us");
    }
    std::thread::sleep(Span::from_secs(3));
    assert_eq!(eyes.dante4l().expect("dante4l's page").body.selected, first);
}

/// What a leader's rate was is known at the next start, before a second Sync can tell.
#[test]
fn rates_are_remembered_over_a_restart() {
    let Some(lab) = Lab::new() else { return };
    let _leader = lab.leader(&["--ppm=123", "--uuid=00:1d:c1:00:00:09"]);
    let file = lab.stage.folder().join("rates");
    let flag = format!("--sample-rates-file={}", file.display());
    std::fs::write(&file, "garbage\n00:1d:c1:00:00:07/1 -7.5\n").expect("a file");
    let dante4l = lab.dante4l(&[&flag]);
    let mut eyes = lab.eyes();
    eyes.wait_for_port(State::Slave, PATIENCE);
    wait_until("a rate worth remembering", PATIENCE * 4, || {
        eyes.map().is_some_and(|map| map.sigma.rate.ppb() < 90.0)
    });
    std::thread::sleep(Span::from_secs(1));
    dante4l.stop().expect(0, &["1 lines mean nothing, and are ignored"]);
    let text = std::fs::read_to_string(&file).expect("the file");
    println!("{text}");
    let lines: Vec<_> = text.lines().collect();
    let [latest, "00:1d:c1:00:00:07/1 -7.500000"] = lines[..] else { panic!("{lines:?}") };
    let ppm: f64 =
        latest.strip_prefix("00:1d:c1:00:00:09/1 ").and_then(|it| it.parse().ok()).expect("a rate");
    judge("rate remembered - truth", (ppm - 123.0) * 1e3, 300.0, "ppb");

    let dante4l = lab.dante4l(&[&flag]);
    let first = wait_for("a first map", PATIENCE, || eyes.map());
    judge("first guess - truth", (first.line.rate.ppm() - 123.0) * 1e3, 3_000.0, "ppb");
    eyes.wait_for_port(State::Slave, PATIENCE);
    dante4l.stop().expect(0, &["rates of 2 leaders known from before"]);
}
