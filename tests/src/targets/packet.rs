//! PTPv1 packets.

use dante_core::wire::{Message, Packet, Payload};

/// Parses any bytes as a packet. What is parsed can be built again, and parses as the same.
///
/// # Panics
/// If not.
pub fn packet(bytes: &[u8]) {
    let Ok(packet) = Packet::parse(bytes) else { return };
    round_trip(&packet);
    // Some senders pad their packets.
    let padded = [bytes, &[0xa5; 7]].concat();
    assert_eq!(Packet::parse(&padded), Ok(packet));
}

pub(super) fn round_trip(packet: &Packet) {
    let built = match packet.build() {
        Ok(built) => built,
        Err(_) => {
            // Messages that could change a device are never built.
            assert!(matches!(
                packet.message,
                Message::Management(body) if matches!(body.payload, Payload::Other { .. })
            ));
            return;
        }
    };
    assert_eq!(Packet::parse(&built).as_ref(), Ok(packet), "{built:02x?}");
    for length in 0..built.len() {
        // The last bytes of a parent data set are padding, and some clocks do not send them.
        match Packet::parse(&built[..length]) {
            Ok(cut) => assert_eq!(
                (&cut, matches!(cut.message, Message::Management(_))),
                (packet, true),
                "{length} bytes"
            ),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
