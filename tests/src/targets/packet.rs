//! The bytes of a datagram.

use dante_core::wire::{Message, Packet, Payload};

/// Whatever is understood of a datagram can be said again, and is understood then as the same.
///
/// # Panics
/// When it is not.
pub fn packet(bytes: &[u8]) {
    let Ok(packet) = Packet::parse(bytes) else { return };
    round_trip(&packet);
    // Senders pad.
    let padded = [bytes, &[0xa5; 7]].concat();
    assert_eq!(Packet::parse(&padded), Ok(packet));
}

pub(super) fn round_trip(packet: &Packet) {
    let built = match packet.build() {
        Ok(built) => built,
        Err(_) => {
            // What might change a device is never built.
            assert!(matches!(
                packet.message,
                Message::Management(body) if matches!(body.payload, Payload::Other { .. })
            ));
            return;
        }
    };
    assert_eq!(Packet::parse(&built).as_ref(), Ok(packet), "{built:02x?}");
    for length in 0..built.len() {
        // The last bytes of a parent data set mean nothing, and some do not send them.
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
