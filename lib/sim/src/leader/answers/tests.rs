use super::*;
use crate::leader::{Input, LeaderConfig};
use crate::oscillator::Oscillator;
use dante_core::port::NoTimestamp;
use dante_core::time::Ratio;
use dante_core::wire::{Header, Message, Packet, Subdomain};
use std::collections::BTreeSet;

const OURS: PortIdentity = PortIdentity { technology: 1, uuid: Uuid([2, 0, 0, 0, 0, 9]), port_id: 7 };
const LEADER: PortIdentity = PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0, 0, 1]), port_id: 1 };
const ALL: PortIdentity = PortIdentity { technology: 1, uuid: Uuid([0; 6]), port_id: 0 };
const UPTIME_S: i64 = 699;

fn leader() -> Leader {
    let at = Timestamp::ZERO + Duration::from_secs(UPTIME_S);
    let oscillator = Oscillator::new(Timestamp::ZERO, at, Ratio::ZERO, Ratio::ZERO);
    Leader::new(LeaderConfig::dante(LEADER), oscillator, Timestamp::ZERO)
}

/// Sends these bytes to it 10 s after its start, and returns its answer.
fn answer_to_bytes(leader: &mut Leader, bytes: &[u8]) -> Option<Packet> {
    let now = Timestamp::ZERO + Duration::from_secs(10);
    leader.handle(now, Input::Packet { bytes, arrived: Err(NoTimestamp::Missing) });
    let Some(Output::General { packet }) = leader.poll() else { return None };
    Some(Packet::parse(&packet).unwrap())
}

fn query(target: PortIdentity, payload: Payload) -> Vec<u8> {
    let header = Header {
        version_network: 1,
        subdomain: Subdomain::DFLT,
        source: OURS,
        sequence_id: 5,
        flags: Flags::NONE,
    };
    let body = Management { target, starting_boundary_hops: 3, boundary_hops: 1, payload };
    header.management(&body).unwrap().to_vec()
}

fn answer_to(leader: &mut Leader, target: PortIdentity, payload: Payload) -> Option<Management> {
    let packet = answer_to_bytes(leader, &query(target, payload))?;
    assert_eq!(packet.header.source, LEADER);
    let Message::Management(body) = packet.message else { panic!("{packet:?}") };
    Some(body)
}

#[test]
fn answers_every_query_to_its_requester() {
    let mut leader = leader();
    leader.handle(Timestamp::ZERO, Input::Deadline);
    assert!(matches!(leader.poll(), Some(Output::Sync { .. })));
    let mut answer = |payload| {
        let body = answer_to(&mut leader, LEADER, payload).expect("an answer");
        assert_eq!(body.target, OURS);
        assert_eq!(
            (body.starting_boundary_hops, body.boundary_hops),
            (3, 3),
            "the query passed two hops; one more"
        );
        body.payload
    };
    let Payload::ClockIdentity(data) = answer(Payload::ObtainIdentity) else { panic!() };
    assert_eq!((data.port, data.manufacturer().to_string()), (LEADER, "dantesim;leader;rehearsal".into()));
    let Payload::DefaultDataSet(data) = answer(Payload::GetDefaultDataSet) else { panic!() };
    assert_eq!((data.stratum, data.variance, data.sync_interval), (0x99, 0x7060, -2));
    assert_eq!((data.subdomain, data.number_ports), (Subdomain::DFLT, 1));
    let Payload::CurrentDataSet(data) = answer(Payload::GetCurrentDataSet) else { panic!() };
    assert_eq!((data.steps_removed, data.offset_from_master.ns()), (0, 0));
    let Payload::ParentDataSet(data) = answer(Payload::GetParentDataSet) else { panic!() };
    assert_eq!((data.grandmaster.port.uuid, data.last_sync_sequence), (LEADER.uuid, 1));
    let Payload::PortDataSet(data) = answer(Payload::GetPortDataSet) else { panic!() };
    assert_eq!((data.state, data.event_port, data.general_port), (PortState::MASTER, 319, 320));
    assert_eq!((data.group, data.last_general_sequence), (Subdomain::DFLT.group(), 4), "the answers so far");
    let Payload::GlobalTimeDataSet(data) = answer(Payload::GetGlobalTimeDataSet) else { panic!() };
    assert_eq!(data.local_time, Timestamp::ZERO + Duration::from_secs(UPTIME_S + 10));
}

#[test]
fn answers_only_queries_that_address_it() {
    let mut leader = leader();
    let mut answers = |target| answer_to(&mut leader, target, Payload::ObtainIdentity).is_some();
    assert!(answers(LEADER) && answers(ALL));
    assert!(answers(PortIdentity { technology: ANY_TECHNOLOGY, ..ALL }));
    assert!(answers(PortIdentity { port_id: 0, ..LEADER }));
    assert!(!answers(PortIdentity { port_id: 2, ..LEADER }), "it has no such port");
    assert!(!answers(PortIdentity { uuid: Uuid([0, 0x1d, 0xc1, 0, 0, 2]), ..LEADER }));
    assert!(!answers(PortIdentity { technology: 4, ..ALL }), "another communication technology");
}

#[test]
fn is_listening_until_its_first_sync() {
    let Some(Payload::PortDataSet(data)) =
        answer_to(&mut leader(), LEADER, Payload::GetPortDataSet).map(|body| body.payload)
    else {
        panic!()
    };
    assert_eq!(data.state, PortState::LISTENING);
}

/// Tries every key: only queries are answered.
#[test]
fn messages_that_change_a_device_have_no_effect() {
    let mut leader = leader();
    let before = answer_to(&mut leader, LEADER, Payload::GetDefaultDataSet).unwrap();
    let mut answered = BTreeSet::new();
    for key in 0..=255 {
        let mut bytes = query(LEADER, Payload::Null);
        bytes[KEY] = key;
        bytes[LENGTH] = 90;
        bytes.resize(150, 0xff);
        answered.extend(answer_to_bytes(&mut leader, &bytes).map(|_| key));
    }
    assert_eq!(answered, BTreeSet::from([1, 7, 10, 12, 14, 16]));
    assert_eq!(answer_to(&mut leader, LEADER, Payload::GetDefaultDataSet), Some(before));
}

#[test]
fn ignores_answers_and_other_subdomains() {
    let mut leader = leader();
    let identity = ClockIdentity { port: OURS, manufacturer: [0; 48] };
    assert_eq!(answer_to_bytes(&mut leader, &query(LEADER, Payload::ClockIdentity(identity))), None);
    let mut bytes = query(ALL, Payload::ObtainIdentity);
    bytes[SUBDOMAIN] = b'X';
    assert_eq!(answer_to_bytes(&mut leader, &bytes), None);
}

/// Offsets of fields in a message (IEEE 1588-2002, 8.2 and 8.6).
const SUBDOMAIN: usize = 4;
const KEY: usize = 55;
const LENGTH: usize = 59;
