use super::report::Clock;
use super::*;
use anstream::adapter::strip_str;
use clap::Parser;
use dante_core::port::NoTimestamp;
use dante_core::time::{Offset, Ratio, Timestamp};
use dante_core::wire::{Message, Packet, Payload, PortDataSet, PortState, Subdomain};
use dante_sim::leader::{self, Leader, LeaderConfig};
use dante_sim::oscillator::Oscillator;
use std::net::Ipv4Addr;

const OURS: PortIdentity = PortIdentity { technology: 1, uuid: Uuid([2, 0, 0, 0, 0, 9]), port_id: 4711 };
const LEADER: PortIdentity =
    PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0xa1, 0x72, 0x3c]), port_id: 1 };
const FOLLOWER: PortIdentity =
    PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0x0b, 0xad, 0x01]), port_id: 2 };
const HOME: Ipv4Addr = Ipv4Addr::new(169, 254, 12, 7);
const FOLLOWERS_HOME: Ipv4Addr = Ipv4Addr::new(169, 254, 99, 1);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(169, 254, 6, 66);

/// Asks a network whose leader is dantesim's; `more` says what else is answered where the leader answers this.
fn asked(more: impl Fn(&Packet) -> Vec<(Packet, Ipv4Addr)>) -> ManagementClient {
    let config = ManagementClientConfig {
        subdomain: Subdomain::DFLT,
        identity: OURS,
        whom: None,
        boundary_hops: 0,
        patience: Duration::from_secs(1),
        max_clocks: 64,
    };
    let uptime = Timestamp::ZERO + Duration::from_secs(541_867);
    let oscillator = Oscillator::new(Timestamp::ZERO, uptime, Ratio::ZERO, Ratio::ZERO);
    let mut leader = Leader::new(LeaderConfig::dante(LEADER), oscillator, Timestamp::ZERO);
    leader.handle(Timestamp::ZERO, leader::Input::Deadline);
    assert!(leader.poll().is_some(), "a Sync, with which it leads");
    let mut client = ManagementClient::new(config, Timestamp::ZERO);
    while let Some(now) = client.deadline() {
        client.handle(now, Input::Deadline);
        let Some(question) = client.poll() else { continue };
        let mut question = Packet::parse(&question).unwrap();
        let Message::Management(body) = &mut question.message else { panic!("{question:?}") };
        // The follower's answers are made from the leader's.
        let whom = std::mem::replace(&mut body.target.uuid, LEADER.uuid);
        let bytes = &question.build().unwrap();
        leader.handle(now, leader::Input::Packet { bytes, arrived: Err(NoTimestamp::Missing) });
        let Some(leader::Output::General { packet: answer }) = leader.poll() else { panic!("{question:?}") };
        if whom != FOLLOWER.uuid {
            client.handle(now, Input::Packet { bytes: &answer, address: HOME });
        }
        for (packet, address) in more(&Packet::parse(&answer).unwrap()) {
            if whom == Uuid([0; 6]) || whom == packet.header.source.uuid {
                client.handle(now, Input::Packet { bytes: &packet.build().unwrap(), address });
            }
        }
    }
    client
}

/// What a follower with two ports answers, which shows off all that can be said, and a little more.
fn follower(answer: &Packet) -> Vec<(Packet, Ipv4Addr)> {
    let mut said = *answer;
    said.header.source = FOLLOWER;
    let Message::Management(body) = &mut said.message else { panic!("{said:?}") };
    let mut second = None;
    match &mut body.payload {
        Payload::ClockIdentity(data) => {
            data.port = PortIdentity { port_id: 0, ..FOLLOWER };
            data.manufacturer[..12].copy_from_slice(b"Evil\x1b[31m\x07;1");
            data.manufacturer[12..].fill(0);
        }
        Payload::DefaultDataSet(data) => {
            (data.port, data.stratum, data.preferred, data.is_boundary_clock) = (FOLLOWER, 255, true, false);
            (data.external_timing, data.initializable, data.number_ports) = (true, true, 2);
            data.subdomain = Subdomain(*b"_ALT1\0\0\0\0\0\0\0\0\0\0\x01");
        }
        Payload::CurrentDataSet(data) => {
            data.steps_removed = 1;
            data.offset_from_master = Offset::from_ns(-1_234);
            data.one_way_delay = Duration::from_ns(5_678);
        }
        Payload::ParentDataSet(data) => {
            (data.stats, data.observed_variance, data.observed_drift) = (true, -4000, 12);
            (data.utc_reasonable, data.grandmaster.preferred) = (true, true);
        }
        Payload::PortDataSet(data) => {
            *data = PortDataSet { state: PortState(8), port: FOLLOWER, ..*data };
            second = Some(PortDataSet { returned_port_number: 2, state: PortState(77), ..*data });
        }
        Payload::GlobalTimeDataSet(data) => {
            (data.current_utc_offset, data.epoch_number) = (37, 1);
            (data.leap_59, data.leap_61) = (true, true);
        }
        _ => {}
    }
    let mut all = vec![(said, FOLLOWERS_HOME), (*answer, ELSEWHERE)];
    if let Some(second) = second {
        let Message::Management(body) = &mut said.message else { panic!("{said:?}") };
        body.payload = Payload::PortDataSet(second);
        all.push((said, FOLLOWERS_HOME));
    }
    all
}

/// One that says who it is and nothing else.
fn taciturn(answer: &Packet) -> Vec<(Packet, Ipv4Addr)> {
    let mut said = *answer;
    said.header.source = FOLLOWER;
    let Message::Management(body) = &mut said.message else { panic!("{said:?}") };
    let Payload::ClockIdentity(data) = &mut body.payload else { return Vec::new() };
    (data.port, data.manufacturer) = (FOLLOWER, [0; 48]);
    vec![(said, FOLLOWERS_HOME)]
}

fn scenes() -> [(&'static str, ManagementClient); 3] {
    [
        ("a_leader", asked(|_| Vec::new())),
        ("a_follower_and_a_forger", asked(follower)),
        ("no_data_sets", asked(taciturn)),
    ]
}

fn args(words: &[&str]) -> QueryArgs {
    let words = [&["pmc-lite", "query", "-i", "eth2"], words].concat();
    let Some(crate::args::Action::Query(args)) = crate::args::Args::parse_from(words).action else {
        panic!()
    };
    args
}

#[test]
fn text_and_json_of_every_scene() {
    for (name, client) in scenes() {
        let clocks: Vec<Clock> = client.clocks().map(Clock::of).collect();
        insta::assert_snapshot!(format!("{name}.json"), json(&clocks));
        let said = remarks(client.tally(), 0, false, &args(&[])).join("\n");
        let screen = strip_str(&report::screen(&clocks)).to_string();
        insta::assert_snapshot!(format!("{name}.text"), format!("{screen}---\n{said}"));
    }
}

#[test]
fn what_is_said_where_nobody_answers() {
    let silence = Tally { asked: 2, ..Tally::default() };
    let others = Tally { other: 8, other_subdomain: 4, ptp_v2: 9, unreadable: 1, ..silence };
    let flood = Tally { unasked: 10_000, ..silence };
    let all = [
        remarks(&silence, 0, true, &args(&[])),
        remarks(&others, 0, true, &args(&["--subdomain=_ALT1"])),
        remarks(&flood, 7, true, &args(&["00:1d:c1:a1:72:3c"])),
    ];
    insta::assert_snapshot!(all.map(|lines| lines.join("\n")).join("\n---\n"));
}

/// Text of a peer's reaches no terminal as it is.
#[test]
fn no_answer_brings_control_characters_to_the_terminal() {
    let client = asked(follower);
    let clocks: Vec<Clock> = client.clocks().map(Clock::of).collect();
    let screen = strip_str(&report::screen(&clocks)).to_string();
    assert!(screen.contains(r"Evil\x1b[31m\x07;1"), "{screen}");
    assert!(!screen.replace('\n', "").contains(char::is_control));
}

#[test]
fn json_of_nobody_is_an_array_too() {
    assert_eq!(json::<[Clock]>(&[]), "[]");
}

#[test]
fn two_questioners_on_one_host_are_not_each_other_nor_dante4l() {
    let mac = [0, 0x1d, 0xc1, 0, 0, 1];
    let (one, other) = (identity(mac, 0x1234 << 48), identity(mac, 0x1235 << 48));
    assert_eq!((one.uuid, one.port_id, other.port_id), (Uuid(mac), 0x1234, 0x1235));
    assert_eq!(identity(mac, 0).port_id, 2, "dante4l is port 1");
}

#[test]
fn the_flags_have_bounds() {
    let parse = |words: &[&str]| {
        crate::args::Args::try_parse_from([&["pmc-lite", "query"], words].concat()).map(|_| ())
    };
    assert!(parse(&["-i", "eth2", "00:1d:c1:a1:72:3c", "--timeout", "0.5", "-b", "1"]).is_ok());
    for wrong in [
        &["00:1d:c1:a1:72:3c"][..],
        &["-i", "eth2", "leader"],
        &["-i", "eth2", "--timeout", "0"],
        &["-i", "eth2", "--timeout", "NaN"],
        &["-i", "eth2", "--boundary-hops=-1"],
        &["-i", "eth2", "--max-clocks", "0"],
        &["-i", "eth2", "--general-port", "0"],
        &["-i", "eth2", "--set", "1"],
    ] {
        assert_eq!(parse(wrong).unwrap_err().exit_code(), 2, "{wrong:?}");
    }
}
