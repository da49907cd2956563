//! Tests of the codec: round trips, and field offsets against the standard. `tests/captures.rs` compares it with Wireshark.

mod fields;

use super::*;
use crate::announcement::Announcement;
use crate::port::{Head, Protocol};
use crate::time::{Duration, Offset, Timestamp};
use proptest::prelude::*;

/// A packet of each kind, every field zero.
fn zeroed(control: u8, key: u8) -> Packet {
    let mut bytes = [0; 150];
    frame(&mut bytes, control, key);
    Packet::parse(&bytes).unwrap()
}

/// Makes any bytes a valid message by setting the fields that are checked.
fn frame(bytes: &mut [u8; 150], control: u8, key: u8) {
    bytes[..2].copy_from_slice(&[0, 1]);
    bytes[20] = if control < 2 { 1 } else { 2 };
    bytes[32] = control;
    let times: &[usize] = match (control, key) {
        (SYNC | DELAY_REQ | DELAY_RESP, _) => &[44],
        (FOLLOW_UP, _) => &[48],
        (_, 11) => &[68, 76],
        (_, 17) => &[64],
        _ => &[],
    };
    for &at in times {
        let nanoseconds = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        let valid = (nanoseconds & (1 << 31)) | ((nanoseconds & !(1 << 31)) % 1_000_000_000);
        bytes[at..at + 4].copy_from_slice(&valid.to_be_bytes());
    }
    if control == MANAGEMENT {
        bytes[55] = key;
        bytes[58..60].copy_from_slice(&parameter_length(key).to_be_bytes());
    }
}

const DECODED: [u8; 13] = [0, 1, 2, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17];
/// Keys of the messages that change a device (IEEE 1588-2002, 8.6).
const CHANGING: [u8; 13] = [3, 4, 5, 6, 9, 18, 19, 22, 23, 24, 25, 26, 27];

fn parameter_length(key: u8) -> u16 {
    match key {
        2 => 64,
        8 => 76,
        11 => 20,
        13 => 90,
        15 => 52,
        17 => 24,
        _ => 0,
    }
}

/// Every message that can be built, by control field and managementMessageKey.
fn kinds() -> impl Iterator<Item = (u8, u8)> {
    [SYNC, DELAY_REQ, FOLLOW_UP, DELAY_RESP]
        .map(|control| (control, 0))
        .into_iter()
        .chain(DECODED.map(|key| (MANAGEMENT, key)))
}

fn any_kind() -> impl Strategy<Value = (u8, u8)> {
    prop::sample::select(kinds().collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_bytes_parse_or_give_a_typed_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Packet::parse(&bytes);
    }

    /// With a valid version, since most random bytes are rejected there.
    #[test]
    fn any_version_1_bytes_parse_or_give_a_typed_error(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        (control, key) in (0..6_u8, 0..30_u8),
        length in prop_oneof![Just(None), any::<u16>().prop_map(Some), (0..92_u16).prop_map(Some)],
    ) {
        let mut put = |at: usize, value: u8| if let Some(byte) = bytes.get_mut(at) { *byte = value };
        put(0, 0);
        put(1, 1);
        put(20, if control < 2 { 1 } else { 2 });
        put(32, control);
        put(55, key);
        if let Some(length) = length {
            let [high, low] = length.to_be_bytes();
            put(58, high);
            put(59, low);
        }
        if let Ok(packet) = Packet::parse(&bytes) {
            let other = match packet.message {
                Message::Management(Management { payload: Payload::Other { key, .. }, .. }) => Some(key),
                _ => None,
            };
            match packet.build() {
                Ok(built) => prop_assert_eq!(Packet::parse(&built), Ok(packet)),
                Err(error) => prop_assert_eq!(Some(error.key), other),
            }
        }
    }

    #[test]
    fn built_messages_parse_back(kind in any_kind(), mut bytes in prop::array::uniform(any::<u8>())) {
        frame(&mut bytes, kind.0, kind.1);
        let packet = Packet::parse(&bytes).unwrap();
        let built = packet.build().unwrap();
        prop_assert_eq!(Packet::parse(&built), Ok(packet));
    }

    /// All fields of a leader's Sync are kept in its announcement.
    #[test]
    fn delay_req_repeats_the_leaders_announcement(mut bytes in prop::array::uniform(any::<u8>())) {
        frame(&mut bytes, SYNC, 0);
        let sync = Packet::parse(&bytes).unwrap();
        let Message::Sync(body) = sync.message else { panic!("{sync:?}") };
        let Header { subdomain: domain, source, .. } = sync.header;
        let head = Head { domain, source: PortIdentity { port_id: 0x0a0b, ..source }, sequence_id: 0x0c0d };
        let request = (Protocol::V1.delay_req)(&head, source, &Announcement::from(&body));
        let header = Header { version_network: 1, flags: Flags::NONE, sequence_id: 0x0c0d, source: head.source, ..sync.header };
        let steps_removed = body.local.steps_removed.saturating_add(1);
        let expected = SyncBody {
            origin: Timestamp::ZERO,
            epoch_number: 0,
            local: LocalClock { variance: -4000, steps_removed, stratum: 255, identifier: ClockIdentifier::DFLT },
            parent: source,
            estimated_master_variance: 0,
            estimated_master_drift: 0,
            utc_reasonable: false,
            ..body
        };
        prop_assert_eq!(Packet::parse(&request), Ok(Packet { header, message: Message::DelayReq(expected) }));
    }

    #[test]
    fn times_within_32_bit_seconds_read_back(ns in -(1_i64 << 32) * 1_000_000_000 + 1..(1_i64 << 32) * 1_000_000_000) {
        prop_assert_eq!(layout::Time::from(ns).ns(), Ok(ns));
    }

    #[test]
    fn displayed_subdomain_parses_back(name in prop::array::uniform16(any::<u8>())) {
        prop_assume!(name != [0; 16]);
        let text = Subdomain(name).to_string();
        prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        prop_assert_eq!(text.parse(), Ok(Subdomain(name)));
    }
}

#[test]
fn dante_leader_is_its_own_grandmaster_at_port_0() {
    let source = PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 1, 2, 3]), port_id: 1 };
    let header = Header {
        version_network: 1,
        subdomain: Subdomain::DFLT,
        source,
        sequence_id: 1,
        flags: Flags::ASSIST,
    };
    let bytes = header.sync(&SyncBody::dante(source));
    assert_eq!(bytes[53..64], [1, 0, 0x1d, 0xc1, 1, 2, 3, 0, 0, 0, 0], "grandmaster");
    assert_eq!(bytes[64..80], *b"\0\0\0\x99DFLT\0\0\x70\x60\0\0\0\x01", "its clock");
    assert_eq!(bytes[82..84], [0xff, 0xfe], "sync interval");
}

#[test]
fn truncated_messages_are_too_short_at_every_length() {
    for (control, key) in kinds() {
        let built = zeroed(control, key).build().unwrap();
        let needed = if key == 13 { 148 } else { built.len() };
        for length in 0..needed {
            let Err(WireError::TooShort { expected, actual }) = Packet::parse(&built[..length]) else {
                panic!("control {control}, key {key}, {length} bytes");
            };
            assert!(actual == length && length < expected && expected <= needed);
        }
        for length in needed..built.len() {
            assert!(Packet::parse(&built[..length]).is_ok(), "the padding of a parent data set is optional");
        }
    }
}

#[test]
fn rejects_parameter_length_below_the_fields() {
    for key in DECODED {
        let mut bytes = [0; 150];
        frame(&mut bytes, MANAGEMENT, key);
        let needed = if key == 13 { 88 } else { parameter_length(key) };
        for actual in 0..needed {
            bytes[58..60].copy_from_slice(&actual.to_be_bytes());
            let expected = usize::from(needed);
            assert_eq!(Packet::parse(&bytes), Err(WireError::ParameterLength { key, expected, actual }));
        }
        bytes[58..60].copy_from_slice(&needed.to_be_bytes());
        assert!(Packet::parse(&bytes).is_ok());
    }
}

#[test]
fn ignores_bytes_after_the_message() {
    for (control, key) in kinds() {
        let packet = zeroed(control, key);
        let mut bytes = packet.build().unwrap().to_vec();
        bytes.extend([0xa5; 40]);
        assert_eq!(Packet::parse(&bytes), Ok(packet));
    }
}

#[test]
fn message_lengths_match_the_standard() {
    assert_eq!(Payload::KEYS, DECODED);
    let length = |control, key| zeroed(control, key).build().unwrap().len();
    assert_eq!([0, 1, 2, 3].map(|control| length(control, 0)), [124, 124, 52, 60]);
    for key in DECODED {
        assert_eq!(length(MANAGEMENT, key), 60 + usize::from(parameter_length(key)));
    }
}

#[test]
fn distinguishes_ptpv2_from_unknown_versions() {
    // A PTPv2 Announce, and a Sync of PTPv2.1 with transportSpecific 1, shorter and longer than a PTPv1 header.
    assert_eq!(Packet::parse(&[0x0b, 0x02]), Err(WireError::Version2));
    assert_eq!(Packet::parse(&[[0x10, 0x12], [0; 2]].concat().repeat(11)), Err(WireError::Version2));
    assert_eq!(Packet::parse(&[0, 2]), Err(WireError::Version2));
    assert_eq!(Packet::parse(&[0, 3]), Err(WireError::Version(3)));
    assert_eq!(Packet::parse(&[1, 1]), Err(WireError::Version(0x0101)));
    assert_eq!(Packet::parse(&[0, 1]), Err(WireError::TooShort { expected: 40, actual: 2 }));
    assert_eq!(Packet::parse(&[2]), Err(WireError::TooShort { expected: 40, actual: 1 }));
}

#[test]
fn message_type_must_match_the_control_field() {
    for control in 0..=255 {
        for message_type in 0..=255 {
            let mut bytes = [0; 150];
            frame(&mut bytes, control, 0);
            let right = bytes[20] == message_type;
            bytes[20] = message_type;
            let result = Packet::parse(&bytes);
            if control > 4 {
                assert_eq!(result, Err(WireError::Control(control)));
            } else if right {
                assert!(result.is_ok());
            } else {
                assert_eq!(result, Err(WireError::MessageType { message_type, control }));
            }
        }
    }
}

#[test]
fn sign_of_a_time_is_the_top_bit_of_the_nanoseconds() {
    let read = |seconds: u32, nanoseconds: u32| {
        let bytes = [seconds.to_be_bytes(), nanoseconds.to_be_bytes()].concat();
        layout::Time::at(0, &bytes).unwrap().0.ns()
    };
    // Sign and magnitude (5.2.2).
    assert_eq!(read(2, 0), Ok(2_000_000_000));
    assert_eq!(read(2, 0x8000_0000), Ok(-2_000_000_000));
    assert_eq!(read(2, 1), Ok(2_000_000_001));
    assert_eq!(read(2, 0x8000_0001), Ok(-2_000_000_001));
    // Two's complement.
    assert_eq!(read(2, (-1_i32).cast_unsigned()), Ok(-2_000_000_001));
    assert_eq!(read(0, (-999_999_999_i32).cast_unsigned()), Ok(-999_999_999));
    // A second or more.
    for nanoseconds in [1_000_000_000, i32::MAX, -1_000_000_000, i32::MIN + 1_000_000_000] {
        assert_eq!(read(0, nanoseconds.cast_unsigned()), Err(WireError::Time { nanoseconds }));
    }
    assert_eq!(read(u32::MAX, 999_999_999), Ok((1 << 32) * 1_000_000_000 - 1));
    // Out of range.
    assert_eq!(layout::Time::from(i64::MAX).ns(), Ok((1 << 32) * 1_000_000_000 - 1));
    assert_eq!(layout::Time::from(i64::MIN).ns(), Ok(1 - (1 << 32) * 1_000_000_000));
}

#[test]
fn unsupported_management_keys_are_parsed_but_never_built() {
    assert!(CHANGING.iter().all(|key| !DECODED.contains(key)));
    for key in (0..=255).filter(|key| !DECODED.contains(key)) {
        let mut bytes = [0; 150];
        frame(&mut bytes, MANAGEMENT, key);
        bytes[59] = 16;
        let packet = Packet::parse(&bytes).unwrap();
        let Message::Management(management) = packet.message else { panic!() };
        assert_eq!(management.payload, Payload::Other { key, length: 16 });
        assert_eq!(management.payload.key(), key);
        assert_eq!(packet.build(), Err(NotBuilt { key }));
        let short = Packet::parse(&bytes[..75]);
        assert_eq!(short, Err(WireError::TooShort { expected: 76, actual: 75 }));
    }
}

#[test]
fn subdomains_map_to_their_multicast_groups() {
    assert_eq!(identity::crc32(b"123456789"), 0xcbf4_3926);
    let last = |name: &str| name.parse::<Subdomain>().unwrap().group().octets()[3];
    assert_eq!(["_DFLT", "_ALT1", "_ALT2", "_ALT3", "_ALT4"].map(last), [129, 130, 131, 132, 131]);
    assert_eq!(Subdomain::DFLT.group().octets(), [224, 0, 1, 129]);
    let mut seen = [0; 3];
    for name in 0..300 {
        seen[usize::from(last(&name.to_string()) - 130)] += 1;
    }
    assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
}

#[test]
fn uuid_is_parsed_in_every_form_that_tools_display() {
    let uuid = Uuid([0x00, 0x1d, 0xc1, 0xa1, 0x72, 0x3c]);
    for text in [
        "00:1d:c1:a1:72:3c",
        "00-1D-C1-A1-72-3C",
        "001dc1a1723c",
        "001d.c1a1.723c",
        "00:1d:c1:ff:fe:a1:72:3c",
        "00-1d-c1-ff-fe-a1-72-3c",
        "001dc1fffea1723c",
        "001dc1.fffe.a1723c",
    ] {
        assert_eq!(text.parse(), Ok(uuid), "{text}");
    }
    for text in [
        "",
        ":",
        "00:1d:c1:a1:72",
        "00:1d:c1:a1:72:3c:00",
        "00:1d:c1:a1:72:3c:",
        "00:1d:c1:a1-72-3c",
        "00:1d:c1:a1:72:+c",
        "0:1d:c1:a1:72:3c",
        "001d:c1a1:723c",
        "001dc1a1723",
        "001dc1.a1723c",
        "001d-c1a1-723c",
        "é:::::",
        "00:1d:c1:a1:72:é",
    ] {
        assert_eq!(text.parse::<Uuid>(), Err(UuidError::Form), "{text}");
    }
    for text in ["00:1d:c1:00:00:a1:72:3c", "001dc1fffda1723c", "001dc1.feff.a1723c"] {
        assert_eq!(text.parse::<Uuid>(), Err(UuidError::NotDerived), "{text}");
    }
}

#[test]
fn names_are_displayed_and_parsed() {
    let uuid: Uuid = "00:1d:C1:a1:72:3c".parse().unwrap();
    assert_eq!(uuid, Uuid([0x00, 0x1d, 0xc1, 0xa1, 0x72, 0x3c]));
    assert_eq!(format!("{uuid} {uuid:?}"), "00:1d:c1:a1:72:3c 00:1d:c1:a1:72:3c");
    let port = PortIdentity { technology: PortIdentity::ETHERNET, uuid, port_id: 1 };
    assert_eq!(port.to_string(), "00:1d:c1:a1:72:3c/1");

    assert_eq!("_ALT4".parse(), Ok(Subdomain::ALT4));
    assert_eq!("".parse::<Subdomain>(), Err(SubdomainError::Length(0)));
    assert_eq!("12345678901234567".parse::<Subdomain>(), Err(SubdomainError::Length(17)));
    assert_eq!(r"a\x0".parse::<Subdomain>(), Err(SubdomainError::Escape));
    assert_eq!(r"a\n".parse::<Subdomain>(), Err(SubdomainError::Escape));
    assert_eq!(Subdomain(*b"\x1b[2J \\\0\xff\0\0\0\0\0\0\0\0").to_string(), r"\x1b[2J \x5c\x00\xff");

    assert_eq!(ClockIdentifier::GPS.to_string(), "GPS");
    assert_eq!(ClockIdentifier(*b"X  \0").to_string(), "X");
    assert_eq!(ClockIdentifier(*b"\nATO").to_string(), r"\x0aATO");
    assert_eq!(ClockIdentifier([0; 4]).to_string(), "");

    assert_eq!(PortState(8).to_string(), "SLAVE");
    assert_eq!(PortState(9).to_string(), "PortState(9)");
}

#[test]
fn flags_have_the_bits_of_the_standard() {
    assert_eq!([Flags::NONE, Flags::BOUNDARY_CLOCK, Flags::ASSIST].map(|flags| flags.0), [0, 0x04, 0x08]);
    assert_eq!((Flags::BOUNDARY_CLOCK | Flags::ASSIST).0, 0x0c);
    for bit in 0..16 {
        assert_eq!(Flags(1 << bit).assist(), bit == 3, "bit {bit}");
    }
}
