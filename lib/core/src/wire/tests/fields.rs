//! Setting a field changes its bytes according to the standard, and no others.

use super::*;

/// Offset in the message, and the bytes from that offset on.
type Bytes<'a> = (usize, &'a [u8]);

/// Sets a field in a message of zeros; checks the changed bytes, and that they parse as the same packet.
fn check(control: u8, key: u8, changes: &[Bytes<'_>], set: impl FnOnce(&mut Packet)) {
    let mut packet = zeroed(control, key);
    let mut expected = packet.build().unwrap();
    for &(at, bytes) in changes {
        expected[at..at + bytes.len()].copy_from_slice(bytes);
    }
    set(&mut packet);
    let built = packet.build().unwrap();
    let differs: Vec<_> = (0..150).filter(|&at| built.get(at) != expected.get(at)).collect();
    assert!(
        differs.is_empty(),
        "control {control}, key {key}: bytes {differs:?} are not those of {changes:02x?}"
    );
    assert_eq!(Packet::parse(&built), Ok(packet), "control {control}, key {key}, {changes:02x?}");
}

const UUID: [u8; 6] = [0x00, 0x1d, 0xc1, 0xa1, 0x72, 0x3c];

/// Three changes of a port, at the offsets of its technology, UUID and number.
macro_rules! port {
    ($check:ident, $technology:literal, $uuid:literal, $number:literal, |$b:ident| $port:expr) => {
        $check(&[($technology, &[0xa1])], |$b| $port.technology = 0xa1);
        $check(&[($uuid, &UUID)], |$b| $port.uuid = Uuid(UUID));
        $check(&[($number, &[0xa2, 0xa3])], |$b| $port.port_id = 0xa2a3);
    };
}

#[test]
fn header() {
    for (control, key) in kinds() {
        let check = |changes: &[Bytes<'_>], set: fn(&mut Header)| {
            check(control, key, changes, |packet| set(&mut packet.header));
        };
        check(&[(2, &[0xa1, 0xa2])], |h| h.version_network = 0xa1a2);
        check(&[(4, b"0123456789abcdef")], |h| h.subdomain = Subdomain(*b"0123456789abcdef"));
        port!(check, 21, 22, 28, |h| h.source);
        check(&[(30, &[0xa1, 0xa2])], |h| h.sequence_id = 0xa1a2);
        check(&[(34, &[0xa1, 0xa2])], |h| h.flags = Flags(0xa1a2));
    }
}

#[test]
fn constant_bytes_of_the_header() {
    for (control, key) in kinds() {
        let built = zeroed(control, key).build().unwrap();
        let mut expected = [0; 40];
        (expected[1], expected[20], expected[32]) = (1, if control < 2 { 1 } else { 2 }, control);
        assert_eq!(built[..40], expected);
    }
}

#[test]
fn sync_and_delay_req() {
    for control in [SYNC, DELAY_REQ] {
        let check = |changes: &[Bytes<'_>], set: fn(&mut SyncBody)| {
            check(control, 0, changes, |packet| match &mut packet.message {
                Message::Sync(body) | Message::DelayReq(body) => set(body),
                other => panic!("{other:?}"),
            });
        };
        check(&[(40, &[0x35, 0xa4, 0xe9, 0x01])], |b| {
            b.origin = Timestamp::from_ns(900_000_001 * 1_000_000_000)
        });
        check(&[(44, &[0x35, 0xa4, 0xe9, 0x01])], |b| b.origin = Timestamp::from_ns(900_000_001));
        check(&[(44, &[0xb5, 0xa4, 0xe9, 0x01])], |b| b.origin = Timestamp::from_ns(-900_000_001));
        check(&[(48, &[0xa1, 0xa2])], |b| b.epoch_number = 0xa1a2);
        check(&[(50, &[0xff, 0xfe])], |b| b.current_utc_offset = -2);
        port!(check, 53, 54, 60, |b| b.grandmaster.port);
        check(&[(62, &[0xa1, 0xa2])], |b| b.grandmaster.sequence_id = 0xa1a2);
        check(&[(67, &[0xa1])], |b| b.grandmaster.stratum = 0xa1);
        check(&[(68, b"HAND")], |b| b.grandmaster.identifier = ClockIdentifier::HAND);
        check(&[(74, &[0xf0, 0x60])], |b| b.grandmaster.variance = -4000);
        check(&[(77, &[1])], |b| b.grandmaster.preferred = true);
        check(&[(79, &[1])], |b| b.grandmaster.is_boundary_clock = true);
        check(&[(82, &[0, 3])], |b| b.sync_interval = 3);
        check(&[(82, &[0xff, 0xfe])], |b| b.sync_interval = -2);
        check(&[(86, &[0xf0, 0x60])], |b| b.local.variance = -4000);
        check(&[(90, &[0xa1, 0xa2])], |b| b.local.steps_removed = 0xa1a2);
        check(&[(95, &[0xa1])], |b| b.local.stratum = 0xa1);
        check(&[(96, b"ATOM")], |b| b.local.identifier = ClockIdentifier::ATOM);
        port!(check, 101, 102, 110, |b| b.parent);
        check(&[(114, &[0xff, 0xfe])], |b| b.estimated_master_variance = -2);
        check(&[(116, &[0xff, 0xff, 0xff, 0xfe])], |b| b.estimated_master_drift = -2);
        check(&[(123, &[1])], |b| b.utc_reasonable = true);
    }
}

#[test]
fn the_byte_before_the_sync_interval_is_not_read() {
    let mut bytes = zeroed(SYNC, 0).build().unwrap();
    for sign in [0, 0xff, 0x55] {
        (bytes[82], bytes[83]) = (sign, 0xfe);
        let Ok(Packet { message: Message::Sync(body), .. }) = Packet::parse(&bytes) else { panic!() };
        assert_eq!(body.sync_interval, -2);
    }
}

#[test]
fn follow_up() {
    let check = |changes: &[Bytes<'_>], set: fn(&mut FollowUp)| {
        check(FOLLOW_UP, 0, changes, |packet| match &mut packet.message {
            Message::FollowUp(body) => set(body),
            other => panic!("{other:?}"),
        });
    };
    check(&[(42, &[0xa1, 0xa2])], |b| b.associated_sequence_id = 0xa1a2);
    check(&[(44, &[0, 0, 0, 7]), (48, &[0, 0, 0, 9])], |b| {
        b.precise_origin = Timestamp::from_ns(7_000_000_009)
    });
    check(&[(44, &[0, 0, 0, 7]), (48, &[0x80, 0, 0, 9])], |b| {
        b.precise_origin = Timestamp::from_ns(-7_000_000_009)
    });
}

#[test]
fn delay_resp() {
    let check = |changes: &[Bytes<'_>], set: fn(&mut DelayResp)| {
        check(DELAY_RESP, 0, changes, |packet| match &mut packet.message {
            Message::DelayResp(body) => set(body),
            other => panic!("{other:?}"),
        });
    };
    check(&[(40, &[0, 0, 0, 7]), (44, &[0, 0, 0, 9])], |b| b.received = Timestamp::from_ns(7_000_000_009));
    port!(check, 49, 50, 56, |b| b.requesting);
    check(&[(58, &[0xa1, 0xa2])], |b| b.requesting_sequence_id = 0xa1a2);
}

#[test]
fn management() {
    for key in DECODED {
        let check = |changes: &[Bytes<'_>], set: fn(&mut Management)| {
            check(MANAGEMENT, key, changes, |packet| match &mut packet.message {
                Message::Management(body) => set(body),
                other => panic!("{other:?}"),
            });
        };
        check(&[(55, &[key]), (58, &parameter_length(key).to_be_bytes())], |_| {});
        port!(check, 41, 42, 48, |b| b.target);
        check(&[(50, &[0xff, 0xfe])], |b| b.starting_boundary_hops = -2);
        check(&[(52, &[0xff, 0xfe])], |b| b.boundary_hops = -2);
    }
}

/// Defines `check` for the payload of one key.
macro_rules! payload {
    ($check:ident, $key:literal, $variant:ident) => {
        #[rustfmt::skip]
        let $check = |changes: &[Bytes<'_>], set: fn(&mut $variant)| {
            check(MANAGEMENT, $key, changes, |packet| match &mut packet.message {
                Message::Management(Management { payload: Payload::$variant(data), .. }) => set(data),
                other => panic!("{other:?}"),
            });
        };
    };
}

#[test]
fn clock_identity() {
    payload!(check, 2, ClockIdentity);
    port!(check, 63, 64, 74, |b| b.port);
    check(&[(76, &[0xa5; 48])], |b| b.manufacturer = [0xa5; 48]);
}

#[test]
fn default_data_set() {
    payload!(check, 8, DefaultDataSet);
    port!(check, 63, 64, 74, |b| b.port);
    check(&[(79, &[0xa1])], |b| b.stratum = 0xa1);
    check(&[(80, b"INIT")], |b| b.identifier = ClockIdentifier::INIT);
    check(&[(86, &[0xf0, 0x60])], |b| b.variance = -4000);
    check(&[(91, &[1])], |b| b.followup_capable = true);
    check(&[(95, &[1])], |b| b.preferred = true);
    check(&[(99, &[1])], |b| b.initializable = true);
    check(&[(103, &[1])], |b| b.external_timing = true);
    check(&[(107, &[1])], |b| b.is_boundary_clock = true);
    check(&[(111, &[0xfe])], |b| b.sync_interval = -2);
    check(&[(112, b"_ALT3")], |b| b.subdomain = Subdomain::ALT3);
    check(&[(130, &[0xa1, 0xa2])], |b| b.number_ports = 0xa1a2);
    check(&[(134, &[0xa1, 0xa2])], |b| b.number_foreign_records = 0xa1a2);
}

#[test]
fn current_data_set() {
    payload!(check, 11, CurrentDataSet);
    check(&[(62, &[0xa1, 0xa2])], |b| b.steps_removed = 0xa1a2);
    check(&[(64, &[0, 0, 0, 2]), (68, &[0x80, 0, 0, 0])], |b| {
        b.offset_from_master = Offset::from_ns(-2_000_000_000)
    });
    check(&[(68, &[0x80, 0, 0, 9])], |b| b.offset_from_master = Offset::from_ns(-9));
    check(&[(72, &[0, 0, 0, 7]), (76, &[0, 0, 0, 9])], |b| {
        b.one_way_delay = Duration::from_ns(7_000_000_009)
    });
}

#[test]
fn parent_data_set() {
    payload!(check, 13, ParentDataSet);
    port!(check, 63, 64, 74, |b| b.parent);
    check(&[(78, &[0xa1, 0xa2])], |b| b.last_sync_sequence = 0xa1a2);
    check(&[(83, &[1])], |b| b.followup_capable = true);
    check(&[(87, &[1])], |b| b.external_timing = true);
    check(&[(90, &[0xf0, 0x60])], |b| b.variance = -4000);
    check(&[(95, &[1])], |b| b.stats = true);
    check(&[(98, &[0xff, 0xfe])], |b| b.observed_variance = -2);
    check(&[(100, &[0xff, 0xff, 0xff, 0xfe])], |b| b.observed_drift = -2);
    check(&[(107, &[1])], |b| b.utc_reasonable = true);
    port!(check, 111, 112, 122, |b| b.grandmaster.port);
    check(&[(127, &[0xa1])], |b| b.grandmaster.stratum = 0xa1);
    check(&[(128, b"NTP\0")], |b| b.grandmaster.identifier = ClockIdentifier::NTP);
    check(&[(134, &[0xf0, 0x60])], |b| b.grandmaster.variance = -4000);
    check(&[(139, &[1])], |b| b.grandmaster.preferred = true);
    check(&[(143, &[1])], |b| b.grandmaster.is_boundary_clock = true);
    check(&[(146, &[0xa1, 0xa2])], |b| b.grandmaster.sequence_id = 0xa1a2);
}

#[test]
fn port_data_set() {
    payload!(check, 15, PortDataSet);
    check(&[(97, &[4, 2, 2])], |_| {});
    check(&[(62, &[0xa1, 0xa2])], |b| b.returned_port_number = 0xa1a2);
    check(&[(67, &[8])], |b| b.state = PortState(8));
    check(&[(70, &[0xa1, 0xa2])], |b| b.last_sync_sequence = 0xa1a2);
    check(&[(74, &[0xa1, 0xa2])], |b| b.last_general_sequence = 0xa1a2);
    port!(check, 79, 80, 90, |b| b.port);
    check(&[(95, &[1])], |b| b.burst_enabled = true);
    check(&[(100, &[224, 0, 1, 129])], |b| b.group = Subdomain::DFLT.group());
    check(&[(106, &[1, 63])], |b| b.event_port = EVENT_PORT);
    check(&[(110, &[1, 64])], |b| b.general_port = GENERAL_PORT);
}

#[test]
fn global_time_data_set() {
    payload!(check, 17, GlobalTimeDataSet);
    check(&[(60, &[0, 0, 0, 7]), (64, &[0, 0, 0, 9])], |b| b.local_time = Timestamp::from_ns(7_000_000_009));
    check(&[(70, &[0xff, 0xfe])], |b| b.current_utc_offset = -2);
    check(&[(75, &[1])], |b| b.leap_59 = true);
    check(&[(79, &[1])], |b| b.leap_61 = true);
    check(&[(82, &[0xa1, 0xa2])], |b| b.epoch_number = 0xa1a2);
}
