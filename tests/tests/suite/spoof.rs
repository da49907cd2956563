//! Another host that wants to be the leader, or to be taken for it.

use dante_core::page::Dante4lStatus;
use dante_core::port::{Channel, State};
use dante_core::time::{Duration, Timestamp};
use dante_core::wire::{FollowUp, Message, Packet, PortIdentity};
use dante_tests::capture::Capture;
use dante_tests::lab::{Eyes, Lab, LeaderProcess, map_error};
use dante_tests::namespace::{CABLE, Namespace};
use dante_tests::program::Program;
use dante_tests::stranger::{Stranger, header, sync};
use dante_tests::{judge, wait_for};
use nix::sys::signal::Signal;
use std::time::{Duration as Span, Instant};

const PATIENCE: Span = Span::from_secs(30);
/// What one attack lasts, longer than the hold of a better leader (2 s).
const ATTACK: Span = Span::from_secs(3);
const PRETENDER: &str = "00:1d:c1:00:00:01";
const PREFERRED: [&str; 5] =
    ["--ppm=-3", "--uptime=90000", "--force", "--preferred", "--uuid=00:1d:c1:00:00:01"];

/// The suite, its leader, and somebody else. What runs ends before what it runs in.
struct Scene {
    leader: LeaderProcess,
    dante4l: Program,
    eyes: Eyes,
    stranger: Stranger,
    host: Namespace,
    lab: Lab,
}

impl Scene {
    /// dante4l follows the leader.
    fn new(words: impl FnOnce(&Lab) -> Vec<String>) -> Option<Self> {
        let (lab, host) = Lab::with_stranger()?;
        let leader = lab.leader(&["--ppm=12", "--force"]);
        let stranger = Stranger::on(&host);
        let words = words(&lab);
        let dante4l = lab.dante4l(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let mut eyes = lab.eyes();
        eyes.wait_for_port(State::Slave, PATIENCE);
        std::thread::sleep(Span::from_secs(5));
        Some(Self { leader, dante4l, eyes, stranger, host, lab })
    }

    fn page(&mut self) -> Box<Dante4lStatus> {
        Box::new(self.eyes.dante4l().expect("dante4l's page").body)
    }

    fn count(&mut self, name: &str) -> u64 {
        let counters = self.page().selected().expect("a port").counters();
        counters.by_name().find(|(of, _)| *of == name).expect("a counter").1
    }

    /// The lock is as it was: the leader, its timeline, its rate and its time.
    fn undisturbed(&mut self, by: &str) {
        let truth = self.leader.truth();
        let page = self.page();
        let port = page.selected().expect("a port");
        assert_eq!((port.state(), port.timeline), (Some(State::Slave), 1), "{by}: {}", self.dante4l.output());
        let map = port.map().expect("a map");
        // Forged times are 30 ms and more off, which is thousands of ppm; the rest is the machine's noise.
        judge(&format!("{by}: rate - truth"), (map.line.rate - truth.line.rate).ppm(), 2.0, "ppm");
        let error = map_error(&map, &truth);
        judge(&format!("{by}: map - truth"), error.secs_f64() * 1e6, 50.0, "us");
    }

    /// Does it over and over, with what was heard since the last time, and looks on.
    fn attack(&mut self, by: &str, mut act: impl FnMut(&mut Stranger, Vec<Packet>)) {
        self.stranger.heard();
        let begun = Instant::now();
        while begun.elapsed() < ATTACK {
            let heard = self.stranger.heard();
            let heard = heard.iter().filter_map(|(_, bytes)| Packet::parse(bytes).ok()).collect();
            act(&mut self.stranger, heard);
            let page = self.page();
            let port = page.selected().expect("a port");
            assert_eq!((port.state(), port.timeline), (Some(State::Slave), 1), "{by}");
            std::thread::sleep(Span::from_millis(5));
        }
        self.undisturbed(by);
    }

    /// What only pretends to come from the leader.
    fn forgeries(&mut self) {
        let (mut old, mut next) = (Vec::new(), Vec::new());
        self.attack("old packets replayed", |stranger, heard| {
            next.extend(heard);
            // Those of a second ago.
            if next.len() >= 8 {
                for packet in old.drain(..) {
                    say(stranger, &packet);
                }
                std::mem::swap(&mut old, &mut next);
            }
        });
        let mut sequence = 0;
        self.attack("another time in the leader's name", |stranger, heard| {
            for source in heard.iter().filter_map(sync_from) {
                sequence += 7;
                stranger.say(Channel::Event, &sync(source, sequence, true));
                follow_up(stranger, source, sequence, Timestamp::from_ns(90_000_000_000_000));
            }
        });
        self.attack("forged Follow_Ups", |stranger, heard| {
            for packet in heard {
                if let (Some(source), Message::Sync(body)) = (sync_from(&packet), packet.message) {
                    let late = body.origin + Duration::from_ms(30);
                    follow_up(stranger, source, packet.header.sequence_id, late);
                }
            }
        });
    }
}

fn sync_from(packet: &Packet) -> Option<PortIdentity> {
    matches!(packet.message, Message::Sync(_)).then_some(packet.header.source)
}

fn say(stranger: &mut Stranger, packet: &Packet) {
    let channel = if matches!(packet.message, Message::Sync(_)) { Channel::Event } else { Channel::General };
    stranger.say(channel, &packet.build().expect("no management message"));
}

fn follow_up(
    stranger: &mut Stranger,
    source: PortIdentity,
    sequence: u16,
    precise_origin: Timestamp<dante_core::time::Dante>,
) {
    let said = FollowUp { associated_sequence_id: sequence, precise_origin };
    stranger.say(Channel::General, &header(source, sequence).follow_up(&said));
}

/// Nothing that another host sends under its own address does anything.
#[test]
fn where_the_leader_is_named_nobody_else_is_followed() {
    let words = |lab: &Lab| vec![format!("--leader={}", lab.far_address()), "--delay=e2e".into()];
    let Some(mut scene) = Scene::new(words) else { return };
    let capture = Capture::start(&scene.lab.stage, &scene.lab.near);
    let pretender = LeaderProcess::start(&scene.lab.stage, &scene.host, &PREFERRED);
    pretender.truth();
    scene.attack("a preferred leader", |_, _| {});
    pretender.program.stop().expect(0, &[]);
    scene.forgeries();
    // Also while there is no other: a leader that is missing is not replaced by who has taken its name.
    scene.leader.program.signal(Signal::SIGSTOP);
    scene.eyes.wait_for_port(State::Listening, PATIENCE);
    let _impostor = LeaderProcess::start(&scene.lab.stage, &scene.host, &PREFERRED);
    scene.dante4l.wait_for_output("which the rules for leaders do not permit", PATIENCE);
    assert_eq!(scene.eyes.port(), Some(State::Listening));
    let refused = scene.count("not_permitted");
    assert!(refused > 50, "{refused} refused");
    let requests = capture.stop().requests_of(&scene.lab.near);
    println!("{} requests, and nothing else, were sent", requests.len());
    for request in requests {
        assert_ne!(request.text("ptp.sdr.grandmasterclockuuid"), PRETENDER);
    }
    println!("{}", scene.dante4l.output());
}

/// Without that word the protocol knows no better: who is preferred is followed, and it is told. Who has the leader's
/// name but not its address is not, as long as the leader speaks.
#[test]
fn where_no_leader_is_named_what_happens_is_told() {
    let Some(mut scene) = Scene::new(|_| Vec::new()) else { return };
    let capture = Capture::start(&scene.lab.stage, &scene.lab.near);
    scene.forgeries();
    let refused = scene.count("second_address");
    assert!(refused > 20, "{refused} refused");
    let said = scene.dante4l.output();
    assert!(said.contains("claims to be leader"), "{said}");

    let _pretender = LeaderProcess::start(&scene.lab.stage, &scene.host, &PREFERRED);
    wait_for("the preferred one is followed", PATIENCE, || {
        let page = scene.eyes.dante4l()?.body;
        let port = page.selected()?;
        (port.state() == Some(State::Slave) && port.timeline == 2).then_some(())
    });
    assert_eq!(scene.lab.stage.status()["dante4l"]["leader"]["id"], PRETENDER);
    let said = scene.dante4l.output();
    println!("{said}");
    let sent = capture.stop().requests_of(&scene.lab.near);
    assert!(sent.is_empty(), "sent: {sent:?}");
    assert!(said.contains(&format!("timeline 2: another leader, {PRETENDER}/1")), "{said}");
}

/// An address is no proof either: who forges that, too, can disturb, and it is told.
#[test]
fn who_forges_the_address_too_is_seen_at_least() {
    let words = |lab: &Lab| vec![format!("--leader={}", lab.far_address())];
    let Some(mut scene) = Scene::new(words) else { return };
    scene.host.ip(&["address", "flush", "dev", CABLE]);
    scene.host.ip(&["address", "add", &format!("{}/24", scene.lab.far_address()), "dev", CABLE]);
    // Else its kernel would hide what comes from there.
    let listen = ["all", CABLE].map(|of| format!("net.ipv4.conf.{of}.accept_local=1"));
    let done = scene.host.command("sysctl").arg("-qw").args(listen).status();
    assert!(done.is_ok_and(|status| status.success()), "sysctl");
    let mut forger = Stranger::on(&scene.host);
    let mut forged = 0;
    let begun = Instant::now();
    while begun.elapsed() < ATTACK || (forged <= 8 && begun.elapsed() < PATIENCE) {
        for (_, bytes) in forger.heard() {
            let Ok(packet) = Packet::parse(&bytes) else { continue };
            if let (Some(source), Message::Sync(body)) = (sync_from(&packet), packet.message) {
                follow_up(
                    &mut forger,
                    source,
                    packet.header.sequence_id,
                    body.origin + Duration::from_ms(30),
                );
                forged += 1;
            }
        }
        std::thread::sleep(Span::from_millis(1));
    }
    assert!(forged > 4, "{forged} forged");
    scene.dante4l.wait_for_output("contradict one another: some are forged or replayed", PATIENCE);
    assert!(scene.count("contradicting") >= 3);
    println!("{}", scene.dante4l.output());
}
