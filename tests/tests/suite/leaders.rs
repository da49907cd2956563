//! Several leaders on one network or on two: which one dante4l follows, and the rates that it stores.

use dante_core::port::{Channel, State};
use dante_core::steer;
use dante_core::time::Timestamp;
use dante_core::wire::{FollowUp, PortIdentity, Uuid};
use dante_tests::clock_watch::ClockWatch;
use dante_tests::lab::{Lab, LeaderProcess, Readers, map_error};
use dante_tests::namespace::SECOND_CABLE;
use dante_tests::raw_sender::{RawSender, header, sync};
use dante_tests::{EVENT_TIMEOUT, judge, wait_for, wait_until};
use std::time::{Duration as Span, Instant};

fn uuid(lab: &Lab) -> String {
    lab.stage.status()["dante4l"]["leader"]["id"].as_str().unwrap_or_default().to_owned()
}

fn map_error_us(readers: &mut Readers, leader: &LeaderProcess) -> f64 {
    map_error(&readers.map().expect("a map"), &leader.truth()).secs_f64() * 1e6
}

#[test]
fn leader_rules_override_best_master_selection() {
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
        let mut readers = lab.readers();
        readers.wait_for_port(State::Slave, EVENT_TIMEOUT);
        std::thread::sleep(Span::from_secs(3));
        readers.wait_for_port(State::Slave, EVENT_TIMEOUT);
        assert_eq!(uuid(&lab), "00:1d:c1:00:00:09", "{words:?}");
        judge("map - truth", map_error_us(&mut readers, &wanted), 100.0, "us");
        dante4l.stop().expect(0, &[]);
    }
    let dante4l = lab.dante4l(&["--leader=10.99.99.99"]);
    dante4l.wait_for_output("leader 00:1d:c1:00:00:0", EVENT_TIMEOUT);
    assert!(dante4l.output().contains(&format!("at {address} is not permitted by the configuration")));
    wait_for("refused packets in the counter", EVENT_TIMEOUT, || {
        let status = lab.stage.status();
        (status["dante4l"]["ports"][0]["counters"]["not_permitted"].as_u64() > Some(20)).then_some(())
    });
}

/// The leader of the primary network stops, then the secondary interface is deleted: the steered clock does not jump.
#[test]
fn loss_of_one_network_keeps_lock_and_timeline() {
    let Some(lab) = Lab::new() else { return };
    lab.second_cable();
    let primary = lab.leader(&["--ppm=12"]);
    primary.truth();
    let clock = format!("--same-clock={}", primary.file().display());
    let dante4l = lab.dante4l(&["-i", SECOND_CABLE]);
    let _dante2sys = lab.dante2sys();
    let mut readers = lab.readers();
    readers.wait_for_port(State::Slave, EVENT_TIMEOUT);
    let secondary = LeaderProcess::start_on(&lab.stage, &lab.far, SECOND_CABLE, &[&clock]);
    readers.wait_for_steerer(steer::State::Locked, EVENT_TIMEOUT);
    dante4l.wait_for_output("are the same clock", EVENT_TIMEOUT);
    let status = lab.stage.status();
    let ports = status["dante4l"]["ports"].as_array().expect("ports");
    assert_eq!(
        ports.iter().map(|port| port["state"].as_str().expect("a state")).collect::<Vec<_>>(),
        ["SLAVE"; 2]
    );
    println!("{}", lab.stage.screen());
    assert!(lab.stage.screen().contains("veth0 SLAVE, in use"), "{}", lab.stage.screen());
    let watch = ClockWatch::start(&lab.stage);
    let epoch = readers.dante2sys().expect("dante2sys' page").body.epoch();

    primary.program.stop().expect(0, &[]);
    wait_for("the secondary network in use", EVENT_TIMEOUT, || {
        (readers.dante4l()?.body.selected == 1).then_some(())
    });
    std::thread::sleep(Span::from_secs(6));
    let port = readers.selected().expect("a port");
    assert_eq!((port.state(), port.timeline), (Some(State::Slave), 1), "the timeline changed");
    judge("map - truth", map_error_us(&mut readers, &secondary), 100.0, "us");
    let steerer = readers.dante2sys().expect("dante2sys' page").body;
    assert_eq!(
        (steerer.state(), steerer.epoch()),
        (Some(steer::State::Locked), epoch),
        "the epoch offset (K) changed"
    );

    // The primary is used again when the secondary interface is deleted.
    let clock = format!("--same-clock={}", secondary.file().display());
    let _primary = lab.leader(&[&clock]);
    wait_for("the primary leader sends again", EVENT_TIMEOUT, || {
        (readers.dante4l()?.body.ports()[0].state() == Some(State::Slave)).then_some(())
    });
    lab.near.ip(&["link", "delete", SECOND_CABLE]);
    wait_for("the primary network in use", EVENT_TIMEOUT, || {
        (readers.dante4l()?.body.selected == 0).then_some(())
    });
    std::thread::sleep(Span::from_secs(3));
    let port = readers.selected().expect("a port");
    assert_eq!((port.state(), port.timeline), (Some(State::Slave), 1));
    watch.finish().judge(&[12.0]);
}

/// The leaders of both networks are different clocks: dante4l stays with the one that it follows, and reports that.
#[test]
fn two_clocks_on_two_networks_are_not_taken_for_one() {
    let Some(lab) = Lab::new() else { return };
    lab.second_cable();
    let leaders = [
        lab.leader(&["--ppm=12"]),
        LeaderProcess::start_on(&lab.stage, &lab.far, SECOND_CABLE, &["--ppm=-3", "--uptime=90000"]),
    ];
    let dante4l = lab.dante4l(&["-i", SECOND_CABLE]);
    let mut readers = lab.readers();
    dante4l.wait_for_output("this network cannot replace the other", EVENT_TIMEOUT);
    let body = readers.dante4l().expect("dante4l's page").body;
    let first = body.selected;
    assert_eq!(body.ports().iter().filter(|port| port.timeline == 1).count(), 1, "ports with a timeline");
    let followed = &leaders[usize::try_from(first).expect("an index")];
    judge("map - truth of the followed leader", map_error_us(&mut readers, followed), 100.0, "us");
    std::thread::sleep(Span::from_secs(3));
    assert_eq!(readers.dante4l().expect("dante4l's page").body.selected, first);
    judge("map - truth, 3 s later", map_error_us(&mut readers, followed), 100.0, "us");
}

/// The time on the second network drifts away by 500 ns per second, as on a path whose delay changes: dante4l reports it and states a
/// larger uncertainty.
#[test]
fn drift_between_the_networks_is_reported_and_in_the_uncertainty() {
    const DRIFT_PPB: f64 = 500.0;
    let Some(lab) = Lab::new() else { return };
    lab.second_cable();
    let primary = lab.leader(&["--ppm=12"]);
    primary.truth();
    let mut truth: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(primary.file()).unwrap()).unwrap();
    truth["rate_ppb"] = (12_000.0 + DRIFT_PPB).into();
    let drifting = primary.file().with_extension("drifting");
    std::fs::write(&drifting, truth.to_string()).unwrap();
    let clock = format!("--same-clock={}", drifting.display());
    let _secondary = LeaderProcess::start_on(&lab.stage, &lab.far, SECOND_CABLE, &[&clock]);
    let dante4l = lab.dante4l(&["-i", SECOND_CABLE]);
    dante4l.wait_for_output("are the same clock", EVENT_TIMEOUT);
    let settled = wait_for("a small uncertainty", EVENT_TIMEOUT, || {
        lab.stage.status()["dante4l"]["rate_uncertainty_ppb"].as_f64().filter(|ppb| *ppb < 100.0)
    });
    // 16 means over 4 s each, once the map has settled.
    dante4l.wait_for_output("the path delay changes by", EVENT_TIMEOUT * 10);
    let uncertainty = wait_for("a larger uncertainty", EVENT_TIMEOUT, || {
        lab.stage.status()["dante4l"]["rate_uncertainty_ppb"].as_f64().filter(|ppb| *ppb > DRIFT_PPB / 2.0)
    });
    println!("rate uncertainty: {settled:.1} ppb, with the drift {uncertainty:.1} ppb");
    assert!(uncertainty < 2.0 * DRIFT_PPB, "{uncertainty} ppb");
    assert!(lab.stage.screen().contains("the path delay changes by"), "{}", lab.stage.screen());
}

/// After a restart dante4l starts with the stored rate of the leader: one Sync gives no rate.
#[test]
fn leader_rates_are_restored_after_restart() {
    let Some(lab) = Lab::new() else { return };
    let _leader = lab.leader(&["--ppm=123", "--uuid=00:1d:c1:00:00:09"]);
    let file = lab.stage.folder().join("rates");
    let flag = format!("--rates-file={}", file.display());
    std::fs::write(&file, "garbage\n00:1d:c1:00:00:07/1 -7.5\n").expect("a file");
    let dante4l = lab.dante4l(&[&flag]);
    let mut readers = lab.readers();
    readers.wait_for_port(State::Slave, EVENT_TIMEOUT);
    wait_until("a rate certain enough to store", EVENT_TIMEOUT * 4, || {
        readers.map().is_some_and(|map| map.sigma.rate.ppb() < 90.0)
    });
    std::thread::sleep(Span::from_secs(1));
    dante4l.stop().expect(0, &["1 invalid lines ignored"]);
    let text = std::fs::read_to_string(&file).expect("the file");
    println!("{text}");
    let lines: Vec<_> = text.lines().collect();
    let [latest, "00:1d:c1:00:00:07/1 -7.500000"] = lines[..] else { panic!("{lines:?}") };
    let ppm: f64 =
        latest.strip_prefix("00:1d:c1:00:00:09/1 ").and_then(|it| it.parse().ok()).expect("a rate");
    judge("stored rate - truth", (ppm - 123.0) * 1e3, 300.0, "ppb");

    let dante4l = lab.dante4l(&[&flag]);
    let first = wait_for("a first map", EVENT_TIMEOUT, || readers.map());
    judge("first rate - truth", (first.line.rate.ppm() - 123.0) * 1e3, 3_000.0, "ppb");
    readers.wait_for_port(State::Slave, EVENT_TIMEOUT);
    dante4l.stop().expect(0, &["rates of 2 leaders read from"]);
}

/// A sender of Preferred Leader Syncs that advertise 250 ms.
struct Preferred {
    sender: RawSender,
    sequence: u16,
    begun: Instant,
}

const PREFERRED: PortIdentity =
    PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0, 0, 1]), port_id: 1 };

impl Preferred {
    fn new(sender: RawSender) -> Self {
        Self { sender, sequence: 0, begun: Instant::now() }
    }

    /// Sends one Sync every `interval` for this time, or until `done`.
    fn send(
        &mut self,
        interval: Span,
        span: Span,
        has_follow_up: bool,
        mut done: impl FnMut() -> bool,
    ) -> bool {
        let until = Instant::now() + span;
        while Instant::now() < until {
            self.sequence += 1;
            self.sender.send(Channel::Event, &sync(PREFERRED, self.sequence, true));
            if has_follow_up {
                let ns = i64::try_from(self.begun.elapsed().as_nanos()).expect("some minutes");
                let precise_origin = Timestamp::from_ns(90_000_000_000_000 + ns);
                let body = FollowUp { associated_sequence_id: self.sequence, precise_origin };
                self.sender.send(Channel::General, &header(PREFERRED, self.sequence).follow_up(&body));
            }
            std::thread::sleep(interval);
            if done() {
                return true;
            }
        }
        false
    }
}

/// A Preferred Leader without Follow_Ups does not take the lock away; with Follow_Ups it is followed.
#[test]
fn preferred_leader_without_follow_ups_is_passed_over_and_named() {
    let Some((lab, third)) = Lab::with_third_host() else { return };
    let mut preferred = Preferred::new(RawSender::on(&third));
    let (_leader, dante4l) = lab.following(&["--ppm=12", "--force", "--uuid=00:1d:c1:00:00:09"], &[]);
    let mut readers = lab.readers();
    let interval = Span::from_millis(250);
    let (mut slave, mut looks) = (0, 0);
    preferred.send(interval, Span::from_secs(12), false, || {
        looks += 1;
        slave += u32::from(readers.port() == Some(State::Slave));
        false
    });
    // A busy machine may delay dante4l so that it loses the leader for a moment.
    assert!(slave * 100 >= looks * 95, "SLAVE at {slave} of {looks} looks: {}", dante4l.output());
    assert_eq!(uuid(&lab), "00:1d:c1:00:00:09", "{}", dante4l.output());
    let named = "leader 00:1d:c1:00:00:01/1 at ";
    let output = dante4l.output();
    let reported = output.lines().find(|line| line.contains("sends Syncs without matching Follow_Ups"));
    assert!(
        reported.is_some_and(|line| line.contains(named) && line.contains("it is passed over")),
        "{output}"
    );
    let leaders = &lab.stage.status()["dante4l"]["ports"][0]["leaders"];
    assert!(leaders.to_string().contains(r#""defect":"Syncs without matching Follow_Ups""#), "{leaders}");
    let is_followed = || uuid(&lab) == "00:1d:c1:00:00:01" && readers.port() == Some(State::Slave);
    assert!(preferred.send(interval, EVENT_TIMEOUT, true, is_followed), "{}", dante4l.output());
}

/// As ptpd 1.1 can: every 2 s, advertising 250 ms.
#[test]
fn leader_slower_than_it_advertises_is_followed_and_named() {
    let Some((lab, third)) = Lab::with_third_host() else { return };
    let mut leader = Preferred::new(RawSender::on(&third));
    let dante4l = lab.dante4l(&[]);
    let mut readers = lab.readers();
    let is_slave = || readers.port() == Some(State::Slave);
    assert!(leader.send(Span::from_secs(2), EVENT_TIMEOUT, true, is_slave), "{}", dante4l.output());
    let output = dante4l.output();
    assert!(output.contains("advertises a Sync interval of 0.25 s and sends a Sync every 2 s"), "{output}");
    assert!(!output.contains("UDP port"), "{output}");
    assert_eq!(lab.stage.status()["dante4l"]["sync_interval_ms"], 2_000);
}
