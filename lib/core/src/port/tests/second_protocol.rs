//! Leaders of another protocol, here a subset of PTPv2: a protocol needs only a decoder and a builder of Delay_Req.

use super::*;
use crate::announcement::{PtpVersion, Quality};
use crate::page::PortRecord;
use crate::port::TimestampSource;
use crate::port::select::{is_better, takes_over};
use crate::wire::{ClockIdentifier, WireError};

const V2: Protocol = Protocol { decode, delay_req };
const SYNC: u8 = 0;
const DELAY_REQ: u8 = 1;
const FOLLOW_UP: u8 = 8;
const DELAY_RESP: u8 = 9;
const ANNOUNCE: u8 = 11;

fn part<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], WireError> {
    let part = bytes.get(at..at + N).and_then(|part| part.try_into().ok());
    part.ok_or(WireError::TooShort { expected: at + N, actual: bytes.len() })
}

fn number(bytes: &[u8], at: usize) -> Result<u16, WireError> {
    part(bytes, at).map(u16::from_be_bytes)
}

/// An EUI-64 derived from a MAC address, and the port number at `port`.
fn identity(bytes: &[u8], at: usize, port: usize) -> Result<PortIdentity, WireError> {
    let [a, b, c, _, _, d, e, f] = part(bytes, at)?;
    Ok(PortIdentity { technology: 1, uuid: Uuid([a, b, c, d, e, f]), port_id: number(bytes, port)? })
}

fn time(bytes: &[u8]) -> Result<Timestamp<Dante>, WireError> {
    let seconds = u32::from_be_bytes(part(bytes, 36)?);
    let ns = u32::from_be_bytes(part(bytes, 40)?);
    Ok(Timestamp::from_ns(i64::from(seconds) * 1_000_000_000 + i64::from(ns)))
}

fn decode(bytes: &[u8]) -> Result<Decoded, WireError> {
    let [kind, version, _, _, domain, _, flags, ..] = part::<34>(bytes, 0)?;
    if version & 15 != 2 {
        return Err(WireError::Version(version.into()));
    }
    let mut name = [0; 16];
    name[0] = domain;
    let head =
        Head { domain: Subdomain(name), source: identity(bytes, 20, 28)?, sequence_id: number(bytes, 30)? };
    let (channel, content) = match kind & 15 {
        SYNC => {
            let origin = if flags & 2 == 0 { Some(time(bytes)?) } else { None };
            (Channel::Event, Content::Sync { announcement: None, origin })
        }
        DELAY_REQ => (Channel::Event, Content::DelayReq),
        FOLLOW_UP => (Channel::General, Content::FollowUp { sync: head.sequence_id, origin: time(bytes)? }),
        DELAY_RESP => {
            let (requesting, received) = (identity(bytes, 44, 52)?, time(bytes)?);
            (Channel::General, Content::DelayResp { requesting, request: head.sequence_id, received })
        }
        ANNOUNCE => (Channel::General, Content::Announce(announcement(bytes)?)),
        _ => (Channel::General, Content::Management),
    };
    Ok(Decoded { head, channel, content })
}

fn announcement(bytes: &[u8]) -> Result<Announcement, WireError> {
    let [priority1, class, accuracy] = part(bytes, 47)?;
    let [priority2, .., source] = part::<12>(bytes, 52)?;
    Ok(Announcement {
        protocol: PtpVersion::V2,
        grandmaster: PortIdentity { port_id: 0, ..identity(bytes, 53, 61)? },
        grandmaster_sequence: 0,
        quality: Quality {
            preferred: false,
            priority1,
            class,
            accuracy,
            variance: (number(bytes, 50)? ^ 0x8000).cast_signed(),
            variance_tolerance: 0,
            boundary_clock: false,
            priority2,
            identifier: if source == 0x20 { ClockIdentifier::GPS } else { ClockIdentifier::DFLT },
        },
        steps_removed: number(bytes, 61)?,
        steps_tolerance: 0,
        utc_offset_s: number(bytes, 44)?.cast_signed(),
        utc_reasonable: part::<1>(bytes, 7)?[0] & 0x0c == 0x0c,
        interval_log2: part::<1>(bytes, 33)?[0].cast_signed(),
    })
}

fn build(kind: u8, source: PortIdentity, sequence_id: u16, time: Timestamp<Dante>, rest: &[u8]) -> Buffer {
    let [a, b, c, d, e, f] = source.uuid.0;
    let mut bytes = Buffer::new();
    bytes.extend([kind, 2, 0, 0, 0, 0, 2, 0x0c]);
    bytes.extend([0; 12]);
    bytes.extend([a, b, c, 0xff, 0xfe, d, e, f]);
    bytes.extend(source.port_id.to_be_bytes().into_iter().chain(sequence_id.to_be_bytes()));
    bytes.extend([0, (-2i8).cast_unsigned(), 0, 0]);
    let (seconds, ns) = (time.ns() / 1_000_000_000, time.ns() % 1_000_000_000);
    bytes.extend(u32::try_from(seconds).unwrap().to_be_bytes());
    bytes.extend(u32::try_from(ns).unwrap().to_be_bytes());
    bytes.extend(rest.iter().copied());
    bytes
}

fn delay_req(head: &Head, _: PortIdentity, _: &Announcement) -> Buffer {
    build(DELAY_REQ, head.source, head.sequence_id, Timestamp::ZERO, &[])
}

/// Changes the bytes of an Announce from offset 44 on.
type Change = fn(&mut [u8; 20]);

/// A GPS receiver with TAI minus UTC = 37 s, its own grandmaster.
fn announce(source: PortIdentity, sequence: u16, change: Change) -> Buffer {
    let [a, b, c, d, e, f] = source.uuid.0;
    let mut rest = [0, 37, 0, 128, 6, 0x21, 0x4e, 0x5d, 128, a, b, c, 0xff, 0xfe, d, e, f, 0, 0, 0x20];
    change(&mut rest);
    build(ANNOUNCE, source, sequence, Timestamp::ZERO, &rest)
}

impl Bench {
    fn v2() -> Self {
        let (subdomain, delay) = (Subdomain([0; 16]), DelayMechanism::E2e);
        Self::with(PortConfig { protocol: V2, subdomain, delay, ..PortConfig::default() })
    }

    /// Sends Announce, Sync and Follow_Up of one leader; the leader that is followed answers Delay_Reqs.
    fn send_v2(&mut self, source: PortIdentity, sequence: u16, change: Change) {
        let no_timestamp = Err(NoTimestamp::Missing);
        self.receive(Channel::General, &announce(source, sequence, change), no_timestamp);
        let sync = build(SYNC, source, sequence, Timestamp::ZERO, &[]);
        self.receive(Channel::Event, &sync, self.timestamp());
        let origin = self.line.at(self.now - PATH);
        self.receive(Channel::General, &build(FOLLOW_UP, source, sequence, origin, &[]), no_timestamp);
        for output in std::mem::take(&mut self.outputs) {
            let Output::Send { packet, token } = output else { continue };
            let requesting = [&packet[20..28], &packet[28..30]].concat();
            let request = decode(&packet).unwrap().head;
            self.handle(Input::Departed { token, timestamp: self.timestamp() });
            let received = self.line.at(self.now + PATH);
            let followed = self.port.leader().unwrap().identity;
            let answer = build(DELAY_RESP, followed, request.sequence_id, received, &requesting);
            self.receive(Channel::General, &answer, no_timestamp);
        }
    }
}

#[test]
fn best_leader_of_a_second_protocol_is_followed_and_published() {
    let mut bench = Bench::v2();
    for sequence in 1..400 {
        bench.send_v2(leader(1), sequence, |_| {});
        bench.send_v2(leader(7), sequence, |rest| rest[3] = 127);
        bench.advance(INTERVAL);
    }
    let port = &bench.port;
    assert_eq!(bench.state_and_timeline(), (State::Slave, 2), "timeline 1 was of leader 1, alone at first");
    assert_eq!(port.leader().unwrap().identity, leader(7), "priority1 decides before the identity");
    let (map, delay) = (port.map().unwrap(), port.path_delay().unwrap());
    assert!((map.line.rate.ppm() - 12.0).abs() < 0.01, "{map:?}");
    assert!((delay - PATH).abs() < Duration::from_ns(100), "{delay:?}");
    let record = PortRecord::of(port, "v2", TimestampSource::Software, port.timeline(), None);
    let published = record.leader().unwrap();
    assert_eq!((published.identity(), published.class, published.utc_offset_s), (leader(7), 6, 37));
    assert_eq!((record.foreign_leaders().len(), &published.identifier), (2, b"GPS\0"));
    bench.advance(Duration::from_secs(10));
    assert_eq!((bench.port.state(), bench.port.leader()), (State::Listening, None));
    (400..408).for_each(|sequence| {
        bench.send_v2(leader(7), sequence, |_| {});
        bench.advance(INTERVAL);
    });
    assert_eq!(bench.state_and_timeline(), (State::Slave, 2), "the clock map outlives the session");
}

/// A leader that announces itself and sends no Sync is no better than one that sends no Follow_Ups.
#[test]
fn leader_of_a_second_protocol_without_syncs_is_passed_over() {
    let mut bench = Bench::v2();
    for sequence in 1..100 {
        bench.send_v2(leader(1), sequence, |_| {});
        if sequence > 30 {
            let packet = announce(leader(7), sequence, |rest| rest[3] = 127);
            bench.address = OTHER_ADDRESS;
            bench.receive(Channel::General, &packet, Err(NoTimestamp::Missing));
            bench.address = LEADER_ADDRESS;
        }
        bench.advance(INTERVAL);
    }
    assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
    let defects: Vec<_> = bench.port.foreign_leaders().map(ForeignLeader::defect).collect();
    assert_eq!(defects, [None, Some(Defect::NoFollowUp)]);
}

/// Fields in the order of PTPv2's comparison; each one outweighs the lower identity of the other leader.
#[test]
fn second_protocol_has_its_own_order_of_leaders() {
    let better: [(&str, Change); 6] = [
        ("priority1", |rest| rest[3] -= 1),
        ("clockClass", |rest| rest[4] -= 1),
        ("clockAccuracy", |rest| rest[5] -= 1),
        ("offsetScaledLogVariance, by one", |rest| rest[7] -= 1),
        ("priority2", |rest| rest[8] -= 1),
        ("clockClass before all later fields", |rest| {
            rest[4] -= 1;
            (rest[5], rest[6], rest[8]) = (0xfe, 0xff, 255);
        }),
    ];
    let of = |n, change| foreign_leader(n, announcement(&announce(leader(n), 1, change)).unwrap());
    let base = of(1, |_| {});
    for (name, change) in better {
        assert!(is_better(&of(7, change), &base) && takes_over(&of(7, change), &base), "{name}");
    }
    assert!(is_better(&base, &of(7, |_| {})), "the lower identity, all else being equal");
    let one_step = |n: u8| of(n, |rest| (rest[16], rest[18]) = (1, 1));
    assert!(is_better(&base, &one_step(0)), "the same grandmaster: fewer steps, by one");
}
