//! PTP management messages that devices send.

use dante_core::wire::{Flags, Header, Management, Message, Packet, Payload, PortIdentity, Subdomain, Uuid};

/// Parses any bytes as the body of a management message with a valid header.
///
/// # Panics
/// If what is parsed cannot be built again.
pub fn management(bytes: &[u8]) {
    let source = PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0, 0, 1]), port_id: 1 };
    let header =
        Header { version_network: 1, subdomain: Subdomain::DFLT, source, sequence_id: 1, flags: Flags::NONE };
    let request =
        Management { target: source, starting_boundary_hops: 1, boundary_hops: 1, payload: Payload::Null };
    let mut datagram = header.management(&request).expect("a request").to_vec();
    datagram.truncate(HEADER);
    datagram.extend_from_slice(bytes);
    let Ok(packet) = Packet::parse(&datagram) else { return };
    let Message::Management(body) = packet.message else { panic!("{packet:?}") };
    _ = format!("{body:?}");
    super::packet::round_trip(&packet);
}

/// Size of the header of every message, bytes (IEEE 1588-2002, 8.2).
const HEADER: usize = 40;
