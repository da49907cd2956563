use super::*;

const PORTS: [u16; 2] = [319, 320];

/// A packet: an IPv4 header of 24 bytes (with an option), UDP to `port`, and a payload.
fn packet(protocol: u8, port: u16) -> Vec<u8> {
    let mut bytes =
        vec![0x46, 0, 0, 0, 0, 0, 0, 0, 1, protocol, 0, 0, 169, 254, 7, 1, 224, 0, 1, 129, 1, 1, 1, 1];
    bytes.extend([0x10, 0x00]);
    bytes.extend(port.to_be_bytes());
    bytes.extend([0, 0, 0, 0]);
    bytes.extend(b"payload");
    bytes
}

#[test]
fn finds_the_datagram_in_its_packet() {
    let bytes = packet(17, 320);
    let (source, port, payload) = datagram(&bytes, &PORTS).expect("a datagram");
    assert_eq!((source, port), (Ipv4Addr::new(169, 254, 7, 1), 320));
    assert_eq!(bytes.get(payload), Some(&b"payload"[..]));
}

#[test]
fn ignores_other_protocols_other_ports_and_truncated_packets() {
    for bytes in [packet(6, 320), packet(17, 321), packet(17, 320)[..30].to_vec(), Vec::new()] {
        assert!(datagram(&bytes, &PORTS).is_none(), "{bytes:?}");
    }
}

#[test]
fn vlan_id_is_read_without_its_priority() {
    let auxdata = |status: u32, tag: u16| {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&status.to_ne_bytes());
        bytes[16..18].copy_from_slice(&tag.to_ne_bytes());
        bytes
    };
    let valid = libc::TP_STATUS_VLAN_VALID;
    assert_eq!(vlan_of(&auxdata(valid, 0xe00a)), Some(10));
    assert_eq!(vlan_of(&auxdata(valid, 0xe000)), None, "a priority alone");
    assert_eq!(vlan_of(&auxdata(0, 10)), None, "no tag");
    assert_eq!(vlan_of(&[0xff; 16]), None);
}
