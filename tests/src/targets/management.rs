//! Answers of devices to questions about them.

use dante_core::wire::{Flags, Header, Management, Message, Packet, Payload, PortIdentity, Subdomain, Uuid};

/// What stands in the head of a management message is right, and the bytes begin behind it.
///
/// # Panics
/// When what is understood of it cannot be said again.
pub fn management(bytes: &[u8]) {
    let source = PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0, 0, 1]), port_id: 1 };
    let header =
        Header { version_network: 1, subdomain: Subdomain::DFLT, source, sequence_id: 1, flags: Flags::NONE };
    let asks =
        Management { target: source, starting_boundary_hops: 1, boundary_hops: 1, payload: Payload::Null };
    let mut datagram = header.management(&asks).expect("a question can be built").to_vec();
    datagram.truncate(HEADER);
    datagram.extend_from_slice(bytes);
    let Ok(packet) = Packet::parse(&datagram) else { return };
    let Message::Management(body) = packet.message else { panic!("{packet:?}") };
    _ = format!("{body:?}");
    super::packet::round_trip(&packet);
}

/// Bytes of what every message begins with (IEEE 1588-2002, 8.2).
const HEADER: usize = 40;
