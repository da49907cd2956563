//! PTPv1 packets, and NTP replies.

use dante_core::time::{Duration, Timestamp};
use dante_core::utc::packet::Request;
use dante_core::wire::{Message, Packet, Payload};

/// Parses any bytes as a PTPv1 packet. What is parsed can be built again, and parses as the same. The same bytes as a reply to an NTP
/// request give a time only within the bounds of [`Exchange::accepted`](dante_core::utc::Exchange::accepted).
///
/// # Panics
/// If not.
pub fn packet(bytes: &[u8]) {
    ntp(bytes);
    let Ok(packet) = Packet::parse(bytes) else { return };
    round_trip(&packet);
    // Some senders pad their packets.
    let padded = [bytes, &[0xa5; 7]].concat();
    assert_eq!(Packet::parse(&padded), Ok(packet));
}

fn ntp(bytes: &[u8]) {
    let random = bytes.get(24..32).and_then(|bytes| bytes.try_into().ok()).map_or(1, u64::from_be_bytes);
    assert!(Request::new(!random).reply(bytes).is_err(), "accepted another originate timestamp");
    let Ok(reply) = Request::new(random).reply(bytes) else { return };
    match reply.exchange(Timestamp::ZERO, Timestamp::ZERO + Duration::from_secs(1)) {
        Ok(exchange) => {
            assert!(exchange.root_distance() <= Duration::from_secs(3), "{exchange:?}");
            assert!((Duration::ZERO..=Duration::from_secs(2)).contains(&exchange.round_trip), "{exchange:?}");
        }
        Err(refusal) => assert!(!refusal.to_string().contains(char::is_control), "{refusal}"),
    }
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
