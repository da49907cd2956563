//! Leaders of other implementations as the port follows them: their captured packets, also at another Sync interval than they advertise.

use super::fixture;
use dante_core::port::{
    Channel, Diagnostic, Input, NoTimestamp, Output, PacketTimestamp, Port, PortConfig, Route, State,
};
use dante_core::time::{Duration, Timestamp};
use dante_core::wire::{EVENT_PORT, Message, Packet, PortIdentity, Uuid};
use pcap_parser::{LegacyPcapSlice, PcapBlockOwned};
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A captured UDP packet.
struct Captured {
    since_first: Duration,
    source: SocketAddrV4,
    channel: Channel,
    payload: Vec<u8>,
}

fn captured(name: &str) -> Vec<Captured> {
    let file = fs::read(fixture(&format!("{name}.pcap"))).unwrap();
    let mut first = None;
    let packets = LegacyPcapSlice::from_slice(&file).unwrap().filter_map(|block| match block.unwrap() {
        PcapBlockOwned::Legacy(block) => {
            let at = Duration::from_us(i64::from(block.ts_sec) * 1_000_000 + i64::from(block.ts_usec));
            let ip = &block.data[14..];
            let udp = &ip[usize::from(ip[0] & 0x0f) * 4..];
            let number = |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]);
            let [a, b, c, d] = [ip[12], ip[13], ip[14], ip[15]];
            Some(Captured {
                since_first: at - *first.get_or_insert(at),
                source: SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), number(0)),
                channel: if number(2) == EVENT_PORT { Channel::Event } else { Channel::General },
                payload: udp[8..usize::from(number(4))].to_vec(),
            })
        }
        _ => None,
    });
    packets.collect()
}

/// Stretches a capture in time, as if the leader sent `factor` times more slowly, and lets it advertise this Sync interval.
fn stretched(capture: &mut [Captured], factor: i64, advertised_log2: i8) {
    let mut first = None;
    for captured in capture {
        captured.since_first = captured.since_first * factor;
        let mut packet = Packet::parse(&captured.payload).unwrap();
        match &mut packet.message {
            Message::Sync(body) => body.sync_interval = advertised_log2,
            Message::FollowUp(body) => {
                let first = *first.get_or_insert(body.precise_origin);
                body.precise_origin = first + (body.precise_origin - first) * factor;
            }
            _ => {}
        }
        captured.payload = packet.build().unwrap().to_vec();
    }
}

/// The port after a capture, and the diagnostics that it reported.
fn replay(capture: &[Captured]) -> (Port, Vec<Diagnostic>) {
    let begin = Timestamp::from_ns(5_000_000_000);
    let mut port = Port::new(PortConfig::default());
    let own = PortIdentity { technology: 1, uuid: Uuid([2, 0, 0, 0, 0, 9]), port_id: 1 };
    port.handle(begin, Input::Opened(own));
    let mut diagnostics = Vec::new();
    for captured in capture {
        let now = begin + captured.since_first;
        while let Some(due) = port.deadline().filter(|due| *due <= now) {
            port.handle(due, Input::Deadline);
        }
        let arrived = match captured.channel {
            Channel::Event => Ok(PacketTimestamp {
                raw: now,
                real: Timestamp::from_ns(now.ns() + 1_795_000_000_000_000_000),
            }),
            Channel::General => Err(NoTimestamp::Missing),
        };
        let Captured { channel, source, payload: bytes, .. } = captured;
        port.handle(
            now,
            Input::Packet { channel: *channel, bytes, source: *source, route: Route::Multicast, arrived },
        );
        while let Some(output) = port.poll() {
            diagnostics.extend(match output {
                Output::Diagnostic(diagnostic) => Some(diagnostic),
                _ => None,
            });
        }
    }
    (port, diagnostics)
}

#[test]
fn captured_leaders_are_followed() {
    for name in ["ptpd-1.1-leader-and-follower", "ptp4l-v1-leader-4hz"] {
        let (port, diagnostics) = replay(&captured(name));
        assert_eq!((port.state(), port.timeline()), (State::Slave, 1), "{name}");
        assert_eq!(diagnostics, [], "{name}");
    }
}

/// ptpd 1.1 can advertise an interval of 250 ms and send every 2 s.
#[test]
fn ptpd_that_sends_more_slowly_than_it_advertises_is_followed() {
    let mut capture = captured("ptpd-1.1-leader-and-follower");
    stretched(&mut capture, 2, -2);
    let (port, diagnostics) = replay(&capture);
    assert_eq!((port.state(), port.timeline()), (State::Slave, 1), "{diagnostics:?}");
    let texts: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    assert!(
        texts
            .iter()
            .all(|text| text.contains("advertises a Sync interval of 0.25 s and sends a Sync every 2 s")),
        "{texts:?}"
    );
    assert!(!texts.is_empty());
}

/// Every fourth Sync arrives: the interval is the leader's, and not that of the Syncs that arrive.
#[test]
fn lost_syncs_of_ptpd_are_no_longer_interval() {
    let mut capture = captured("ptpd-1.1-leader-and-follower");
    capture.retain(|captured| {
        let packet = Packet::parse(&captured.payload).unwrap();
        !matches!(packet.message, Message::Sync(_)) || packet.header.sequence_id.is_multiple_of(4)
    });
    let (port, diagnostics) = replay(&capture);
    assert_eq!((port.state(), port.timeline()), (State::Slave, 1), "{diagnostics:?}");
    assert_eq!(diagnostics, []);
}
