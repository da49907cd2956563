use super::report::Clock;
use super::*;
use crate::text::HEADING;
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
const LEADER_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 12, 7);
const FOLLOWER_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 99, 1);
const FORGER_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 6, 66);

/// Queries a network with a leader of dantesim. `more` returns the responses of other hosts, derived from the leader's.
fn queried(more: impl Fn(&Packet) -> Vec<(Packet, Ipv4Addr)>) -> ManagementClient {
    let config = ManagementClientConfig {
        subdomain: Subdomain::DFLT,
        identity: OURS,
        clock: None,
        boundary_hops: 0,
        timeout: Duration::from_secs(1),
        max_clocks: 64,
    };
    let uptime = Timestamp::ZERO + Duration::from_secs(541_867);
    let oscillator = Oscillator::new(Timestamp::ZERO, uptime, Ratio::ZERO, Ratio::ZERO);
    let mut leader = Leader::new(LeaderConfig::dante(LEADER), oscillator, Timestamp::ZERO);
    leader.handle(Timestamp::ZERO, leader::Input::Deadline);
    assert!(leader.poll().is_some(), "the leader sends a Sync");
    let mut client = ManagementClient::new(config, Timestamp::ZERO);
    while let Some(now) = client.deadline() {
        client.handle(now, Input::Deadline);
        let Some(query) = client.poll() else { continue };
        let mut query = Packet::parse(&query).unwrap();
        let Message::Management(body) = &mut query.message else { panic!("{query:?}") };
        // The follower's responses are derived from the leader's.
        let target = std::mem::replace(&mut body.target.uuid, LEADER.uuid);
        let bytes = &query.build().unwrap();
        leader.handle(now, leader::Input::Packet { bytes, arrived: Err(NoTimestamp::Missing) });
        let Some(leader::Output::General { packet: response }) = leader.poll() else { panic!("{query:?}") };
        if target != FOLLOWER.uuid {
            client.handle(now, Input::Packet { bytes: &response, address: LEADER_ADDRESS });
        }
        for (packet, address) in more(&Packet::parse(&response).unwrap()) {
            if target == Uuid([0; 6]) || target == packet.header.source.uuid {
                client.handle(now, Input::Packet { bytes: &packet.build().unwrap(), address });
            }
        }
    }
    client
}

/// Responses of a follower with two ports, with values for all optional texts, and of a forger with the leader's UUID.
fn follower(leader: &Packet) -> Vec<(Packet, Ipv4Addr)> {
    let mut response = *leader;
    response.header.source = FOLLOWER;
    let Message::Management(body) = &mut response.message else { panic!("{response:?}") };
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
    let mut all = vec![(response, FOLLOWER_ADDRESS), (*leader, FORGER_ADDRESS)];
    if let Some(second) = second {
        let Message::Management(body) = &mut response.message else { panic!("{response:?}") };
        body.payload = Payload::PortDataSet(second);
        all.push((response, FOLLOWER_ADDRESS));
    }
    all
}

/// The response of a clock that supports only OBTAIN_IDENTITY.
fn identity_only(leader: &Packet) -> Vec<(Packet, Ipv4Addr)> {
    let mut response = *leader;
    response.header.source = FOLLOWER;
    let Message::Management(body) = &mut response.message else { panic!("{response:?}") };
    let Payload::ClockIdentity(data) = &mut body.payload else { return Vec::new() };
    (data.port, data.manufacturer) = (FOLLOWER, [0; 48]);
    vec![(response, FOLLOWER_ADDRESS)]
}

fn scenes() -> [(&'static str, ManagementClient); 3] {
    [
        ("a_leader", queried(|_| Vec::new())),
        ("a_follower_and_a_forger", queried(follower)),
        ("no_data_sets", queried(identity_only)),
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
        let remarks = remarks(client.tally(), 0, false, &args(&[])).join("\n");
        let screen = strip_str(&report::screen(&clocks)).to_string();
        insta::assert_snapshot!(format!("{name}.text"), format!("{screen}---\n{remarks}"));
    }
}

#[test]
fn remarks_without_a_response() {
    let none = Tally { queries: 2, ..Tally::default() };
    let others = Tally { other: 8, other_subdomain: 4, ptp_v2: 9, unreadable: 1, ..none };
    let flood = Tally { unsolicited: 10_000, ..none };
    let all = [
        remarks(&none, 0, true, &args(&[])),
        remarks(&others, 0, true, &args(&["--subdomain=_ALT1"])),
        remarks(&flood, 7, true, &args(&["00:1d:c1:a1:72:3c"])),
    ];
    insta::assert_snapshot!(all.map(|lines| lines.join("\n")).join("\n---\n"));
}

/// Responses with control characters (CSI, OSC, C1) in every text.
fn hostile(leader: &Packet) -> Vec<(Packet, Ipv4Addr)> {
    let mut response = *leader;
    response.header.source = FOLLOWER;
    let Message::Management(body) = &mut response.message else { panic!("{response:?}") };
    match &mut body.payload {
        Payload::ClockIdentity(data) => {
            data.port = FOLLOWER;
            data.manufacturer = *b"Evil\x1b[31m\x07;1\x1b]0;title\x07\x9b2J\r\x08\x7f;;;;;;;;;;;;;;;;;;;;";
        }
        Payload::DefaultDataSet(data) => {
            (data.port, data.identifier.0) = (FOLLOWER, *b"\x1b]0;");
            data.subdomain = Subdomain(*b"\x1b]0;title\x07\x1b[2J\x9b;");
        }
        Payload::ParentDataSet(data) => data.grandmaster.identifier.0 = *b"\x1b[7m",
        _ => {}
    }
    vec![(response, FOLLOWER_ADDRESS)]
}

#[test]
fn control_characters_in_responses_are_escaped() {
    let client = queried(hostile);
    let clocks: Vec<Clock> = client.clocks().map(Clock::of).collect();
    let screen = report::screen(&clocks);
    let [manufacturer, identifier, subdomain, grandmaster] = [
        r"Evil\x1b[31m\x07;1\x1b]0;",
        r"stratum 153 \x1b]0;",
        r"subdomain \x1b]0;title\x07",
        r"stratum 153 \x1b[7m",
    ];
    for text in [manufacturer, identifier, subdomain, grandmaster] {
        assert!(screen.contains(text), "{text} is not in {screen:?}");
    }
    let own = [format!("{HEADING}"), format!("{HEADING:#}")];
    let text = own.iter().fold(screen, |text, code| text.replace(code, ""));
    assert!(!text.replace('\n', "").contains(char::is_control), "{text:?}");

    let remarks = remarks(client.tally(), 0, true, &args(&["--subdomain=\x1b]0;title\x07"])).join("");
    assert!(remarks.contains(r"subdomain \x1b]0;title\x07"), "{remarks:?}");
    assert!(!remarks.contains(char::is_control), "{remarks:?}");

    // Escaped before JSON, so that `jq -r` prints no control characters either.
    let json = json(&clocks);
    assert!(json.contains(r"Evil\\x1b[31m\\x07;1"), "{json}");
    assert!(!json.contains(r"\u00") && !json.replace('\n', "").contains(char::is_control), "{json:?}");
}

#[test]
fn json_without_a_response_is_an_empty_array() {
    assert_eq!(json::<[Clock]>(&[]), "[]");
}

#[test]
fn clients_on_one_host_and_dante4l_have_different_identities() {
    let mac = [0, 0x1d, 0xc1, 0, 0, 1];
    let (one, other) = (identity(mac, 0x1234 << 48), identity(mac, 0x1235 << 48));
    assert_eq!((one.uuid, one.port_id, other.port_id), (Uuid(mac), 0x1234, 0x1235));
    assert_eq!(identity(mac, 0).port_id, 2, "dante4l is port 1");
}

#[test]
fn flags_out_of_range_are_rejected() {
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
