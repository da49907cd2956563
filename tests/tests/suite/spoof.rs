//! Attacks of another host on the network: a preferred leader, and packets in the name of the leader.

use dante_core::page::Dante4lStatus;
use dante_core::port::{Channel, State};
use dante_core::time::{Duration, Timestamp};
use dante_core::wire::{FollowUp, Message, Packet, PortIdentity};
use dante_tests::capture::Capture;
use dante_tests::lab::{Lab, LeaderProcess, Readers, map_error};
use dante_tests::namespace::{CABLE, Namespace};
use dante_tests::program::Program;
use dante_tests::raw_sender::{RawSender, header, sync};
use dante_tests::{EVENT_TIMEOUT, judge, wait_for};
use nix::sys::signal::Signal;
use std::time::{Duration as Span, Instant};

/// Duration of one attack: longer than the 2 s after which dante4l follows a better leader.
const ATTACK: Span = Span::from_secs(4);
/// Forged packets that each attack has to send at least.
const FORGED: u64 = 10;
/// UUID of the preferred leader on the attacking host.
const PRETENDER: &str = "00:1d:c1:00:00:01";
const PREFERRED: [&str; 5] =
    ["--ppm=-3", "--uptime=90000", "--force", "--preferred", "--uuid=00:1d:c1:00:00:01"];

/// A leader, dante4l and an attacking host. Fields are dropped in this order: programs end before their namespaces are removed.
struct Scene {
    leader: LeaderProcess,
    dante4l: Program,
    readers: Readers,
    sender: RawSender,
    host: Namespace,
    lab: Lab,
}

impl Scene {
    /// dante4l follows the leader.
    fn new(words: impl FnOnce(&Lab) -> Vec<String>) -> Option<Self> {
        let (lab, host) = Lab::with_third_host()?;
        let leader = lab.leader(&["--ppm=12", "--force"]);
        let sender = RawSender::on(&host);
        let words = words(&lab);
        let dante4l = lab.dante4l(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let mut readers = lab.readers();
        readers.wait_for_port(State::Slave, EVENT_TIMEOUT);
        std::thread::sleep(Span::from_secs(5));
        Some(Self { leader, dante4l, readers, sender, host, lab })
    }

    fn page(&mut self) -> Box<Dante4lStatus> {
        Box::new(self.readers.dante4l().expect("dante4l's page").body)
    }

    fn count(&mut self, name: &str) -> u64 {
        let counters = self.page().selected().expect("a port").counters();
        counters.by_name().find(|(of, _)| *of == name).expect("a counter").1
    }

    /// dante4l follows the leader on timeline 1, with a true rate and time.
    fn expect_undisturbed(&mut self, attack: &str) {
        self.readers.wait_for_port(State::Slave, EVENT_TIMEOUT);
        let truth = self.leader.truth();
        let page = self.page();
        let port = page.selected().expect("a port");
        assert_eq!(port.timeline, 1, "{attack}: {}", self.dante4l.output());
        let map = port.map().expect("a map");
        // Forged times are wrong by 30 ms and more, forged rates by thousands of ppm; the rest is noise of the machine.
        judge(&format!("{attack}: rate - truth"), (map.line.rate - truth.line.rate).ppm(), 2.0, "ppm");
        let error = map_error(&map, &truth);
        judge(&format!("{attack}: map - truth"), error.secs_f64() * 1e6, 50.0, "us");
    }

    /// Calls `act` repeatedly with the packets received since the last call. `act` returns how many packets it sent, and has to send
    /// `wanted` in all. dante4l refuses the packets, which `counter` counts, and stays undisturbed.
    fn attack(
        &mut self,
        attack: &str,
        counter: &str,
        wanted: u64,
        mut act: impl FnMut(&mut RawSender, Vec<Packet>) -> u64,
    ) {
        self.sender.received();
        let refused = self.count(counter);
        let (mut sent, mut looks, mut slave) = (0, 0, 0);
        let begun = Instant::now();
        while begun.elapsed() < ATTACK || (sent < wanted && begun.elapsed() < EVENT_TIMEOUT) {
            let received = self.sender.received();
            let received = received.iter().filter_map(|(_, bytes)| Packet::parse(bytes).ok()).collect();
            sent += act(&mut self.sender, received);
            let page = self.page();
            let port = page.selected().expect("a port");
            assert_eq!(port.timeline, 1, "{attack}: {}", self.dante4l.output());
            looks += 1;
            slave += u32::from(port.state() == Some(State::Slave));
            std::thread::sleep(Span::from_millis(5));
        }
        let refused = self.count(counter) - refused;
        println!("{attack}: {sent} packets sent, {counter} + {refused}, SLAVE at {slave} of {looks} looks");
        assert!(sent >= wanted, "{attack}: only {sent} packets sent");
        assert!(
            refused > 0 && refused * 2 >= sent,
            "{attack}: {counter} rose by {refused}, {sent} packets sent"
        );
        // A busy machine may delay dante4l so that it loses the leader for a moment.
        assert!(slave * 100 >= looks * 95, "{attack}: SLAVE at {slave} of {looks} looks");
        self.expect_undisturbed(attack);
    }

    /// Attacks with packets in the name of the leader from another address.
    fn forgeries(&mut self, counter: &str) {
        let (mut old, mut next) = (Vec::new(), Vec::new());
        self.attack("old packets replayed", counter, FORGED, |sender, received| {
            next.extend(received);
            // The packets of about 1 s ago.
            if next.len() < 8 {
                return 0;
            }
            let sent = old.len() as u64;
            old.drain(..).for_each(|packet| send(sender, &packet));
            std::mem::swap(&mut old, &mut next);
            sent
        });
        let mut sequence = 0;
        self.attack("another time in the leader's name", counter, FORGED, |sender, received| {
            let sources: Vec<_> = received.iter().filter_map(sync_from).collect();
            for source in &sources {
                sequence += 7;
                sender.send(Channel::Event, &sync(*source, sequence, true));
                follow_up(sender, *source, sequence, Timestamp::from_ns(90_000_000_000_000));
            }
            2 * sources.len() as u64
        });
        self.attack("forged Follow_Ups", counter, FORGED, |sender, received| {
            received.iter().filter(|packet| forge_follow_up(sender, packet)).count() as u64
        });
    }
}

fn sync_from(packet: &Packet) -> Option<PortIdentity> {
    matches!(packet.message, Message::Sync(_)).then_some(packet.header.source)
}

fn send(sender: &mut RawSender, packet: &Packet) {
    let channel = if matches!(packet.message, Message::Sync(_)) { Channel::Event } else { Channel::General };
    sender.send(channel, &packet.build().expect("no management message"));
}

fn follow_up(
    sender: &mut RawSender,
    source: PortIdentity,
    sequence: u16,
    precise_origin: Timestamp<dante_core::time::Dante>,
) {
    let body = FollowUp { associated_sequence_id: sequence, precise_origin };
    sender.send(Channel::General, &header(source, sequence).follow_up(&body));
}

/// Sends a Follow_Up with a time that is 30 ms late, if the packet is a Sync. Returns whether it is one.
fn forge_follow_up(sender: &mut RawSender, packet: &Packet) -> bool {
    let (Some(source), Message::Sync(body)) = (sync_from(packet), &packet.message) else { return false };
    follow_up(sender, source, packet.header.sequence_id, body.origin + Duration::from_ms(30));
    true
}

/// With `--leader ADDRESS`, packets from another address have no effect.
#[test]
fn named_leader_is_followed_under_attack_from_other_addresses() {
    let words = |lab: &Lab| vec![format!("--leader={}", lab.far_address()), "--delay=e2e".into()];
    let Some(mut scene) = Scene::new(words) else { return };
    let capture = Capture::start(&scene.lab.stage, &scene.lab.near);
    let pretender = LeaderProcess::start(&scene.lab.stage, &scene.host, &PREFERRED);
    pretender.truth();
    scene.attack("a preferred leader", "not_permitted", 0, |_, _| 0);
    pretender.program.stop().expect(0, &[]);
    scene.forgeries("not_permitted");
    // A lost leader is not replaced by a leader at another address.
    scene.leader.program.signal(Signal::SIGSTOP);
    scene.readers.wait_for_port(State::Listening, EVENT_TIMEOUT);
    let _impostor = LeaderProcess::start(&scene.lab.stage, &scene.host, &PREFERRED);
    scene.dante4l.wait_for_output("is not permitted by the configuration", EVENT_TIMEOUT);
    assert_eq!(scene.readers.port(), Some(State::Listening));
    let refused = scene.count("not_permitted");
    assert!(refused > 50, "{refused} refused");
    let requests = capture.stop().requests_of(&scene.lab.near);
    println!("{} Delay_Reqs and no other packet were sent", requests.len());
    assert!(!requests.is_empty(), "no Delay_Req was sent");
    for request in requests {
        assert_ne!(request.text("ptp.sdr.grandmasterclockuuid"), PRETENDER);
    }
    println!("{}", scene.dante4l.output());
}

/// Without `--leader` dante4l follows a preferred leader, as PTPv1 demands, and reports it. Packets with the leader's identity from
/// another address are refused and reported while the leader sends.
#[test]
fn reports_forged_packets_and_follows_preferred_leader() {
    let Some(mut scene) = Scene::new(|_| Vec::new()) else { return };
    let capture = Capture::start(&scene.lab.stage, &scene.lab.near);
    scene.forgeries("second_address");
    let output = scene.dante4l.output();
    assert!(output.contains("uses the identity of leader"), "{output}");

    let _pretender = LeaderProcess::start(&scene.lab.stage, &scene.host, &PREFERRED);
    wait_for("SLAVE of the preferred leader", EVENT_TIMEOUT, || {
        let page = scene.readers.dante4l()?.body;
        let port = page.selected()?;
        (port.state() == Some(State::Slave) && port.timeline == 2).then_some(())
    });
    assert_eq!(scene.lab.stage.status()["dante4l"]["leader"]["id"], PRETENDER);
    let output = scene.dante4l.output();
    println!("{output}");
    let sent = capture.stop().requests_of(&scene.lab.near);
    assert!(sent.is_empty(), "sent: {sent:?}");
    assert!(
        output.contains(&format!("timeline 2 of Dante time starts: new leader {PRETENDER}/1")),
        "{output}"
    );
}

/// A host with the leader's address can disturb dante4l; dante4l reports the contradictory packets.
#[test]
fn reports_contradictions_of_forged_leader_address() {
    let words = |lab: &Lab| vec![format!("--leader={}", lab.far_address())];
    let Some(mut scene) = Scene::new(words) else { return };
    scene.host.ip(&["address", "flush", "dev", CABLE]);
    scene.host.ip(&["address", "add", &format!("{}/24", scene.lab.far_address()), "dev", CABLE]);
    // Else the kernel of the attacking host drops packets from the address that it has itself.
    let listen = ["all", CABLE].map(|of| format!("net.ipv4.conf.{of}.accept_local=1"));
    let done = scene.host.command("sysctl").arg("-qw").args(listen).status();
    assert!(done.is_ok_and(|status| status.success()), "sysctl");
    let mut forger = RawSender::on(&scene.host);
    let mut forged = 0;
    let begun = Instant::now();
    while begun.elapsed() < ATTACK || (forged <= 8 && begun.elapsed() < EVENT_TIMEOUT) {
        let received = forger.received();
        let packets: Vec<_> = received.iter().filter_map(|(_, bytes)| Packet::parse(bytes).ok()).collect();
        forged += packets.iter().filter(|packet| forge_follow_up(&mut forger, packet)).count();
        std::thread::sleep(Span::from_millis(1));
    }
    assert!(forged > 8, "only {forged} packets forged");
    scene.dante4l.wait_for_output("contradict each other: some are forged or replayed", EVENT_TIMEOUT);
    assert!(scene.count("contradicting") >= 3);
    println!("{}", scene.dante4l.output());
}
