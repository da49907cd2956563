//! Cost of parsing and building a message.

use dante_core::time::Timestamp;
use dante_core::wire::{Flags, FollowUp, Header, Message, Packet, PortIdentity, Subdomain, SyncBody, Uuid};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

const PORT: PortIdentity = PortIdentity {
    technology: PortIdentity::ETHERNET,
    uuid: Uuid([0x00, 0x1d, 0xc1, 0xa1, 0x72, 0x3c]),
    port_id: 1,
};

fn header() -> Header {
    Header {
        version_network: 1,
        subdomain: Subdomain::DFLT,
        source: PORT,
        sequence_id: 4711,
        flags: Flags::ASSIST | Flags::BOUNDARY_CLOCK,
    }
}

fn body() -> SyncBody {
    SyncBody { origin: Timestamp::from_ns(541_867_123_456_789), ..SyncBody::dante(PORT) }
}

#[divan::bench]
fn parse_sync(bencher: Bencher<'_, '_>) {
    let bytes = header().sync(&body());
    bencher.bench(|| Packet::parse(black_box(&bytes)));
}

#[divan::bench]
fn parse_follow_up(bencher: Bencher<'_, '_>) {
    let precise_origin = Timestamp::from_ns(541_867_123_456_789);
    let bytes = header().follow_up(&FollowUp { associated_sequence_id: 4711, precise_origin });
    bencher.bench(|| Packet::parse(black_box(&bytes)));
}

#[divan::bench]
fn build_delay_req(bencher: Bencher<'_, '_>) {
    let (header, body) = (header(), body());
    bencher.bench(|| black_box(&header).delay_req(black_box(&body)));
}

/// The same message built through [`Packet`], whose kind is known only at run time.
#[divan::bench]
fn build_packet(bencher: Bencher<'_, '_>) {
    let packet = Packet { header: header(), message: Message::DelayReq(body()) };
    bencher.bench(|| black_box(&packet).build());
}
