//! The codec against Wireshark: every parsed field equals the one that tshark prints for a capture.
//!
//! `fixtures/NAME.tshark.tsv` is the output of tshark 4.0.17 for `fixtures/NAME.pcap`, made by
//! ```sh
//! tshark -n -r NAME.pcap -T fields -E header=y $(head -n 1 NAME.tshark.tsv | sed 's/[^\t]*/-e &/g')
//! ```
//! The first two captures are of other implementations: ptpd 1.1 as leader and follower, and a PTPv1 fork of ptp4l as leader.
//! The third has the management messages of [`management`] as this crate builds them, and is made by
//! ```sh
//! cargo run -p dante-core --example management-capture | text2pcap -F pcap -u 320,320 - management.pcap
//! ```
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by a panic")]

#[path = "captures/fields.rs"]
mod fields;
#[path = "captures/management.rs"]
mod management;
#[path = "captures/replay.rs"]
mod replay;

use dante_core::wire::{Message, Packet};
use fields::FIELDS;
use pcap_parser::{LegacyPcapSlice, PcapBlockOwned};
use std::fs;
use std::process::Command;

const CAPTURES: [&str; 3] = ["ptpd-1.1-leader-and-follower", "ptp4l-v1-leader-4hz", "management"];

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The UDP payloads of a capture of Ethernet frames with IPv4.
fn payloads(name: &str) -> Vec<Vec<u8>> {
    let file = fs::read(fixture(&format!("{name}.pcap"))).unwrap();
    let frames = LegacyPcapSlice::from_slice(&file).unwrap().filter_map(|block| match block.unwrap() {
        PcapBlockOwned::Legacy(block) => Some(block.data.to_vec()),
        _ => None,
    });
    let payloads = frames.map(|frame| {
        assert_eq!(frame[12..14], [8, 0], "not IPv4");
        let udp = &frame[14 + usize::from(frame[14] & 0x0f) * 4..];
        let length = usize::from(u16::from_be_bytes([udp[4], udp[5]]));
        udp[8..length].to_vec()
    });
    payloads.collect()
}

fn golden(name: &str) -> String {
    fs::read_to_string(fixture(&format!("{name}.tshark.tsv"))).unwrap()
}

#[test]
fn every_field_matches_tshark() {
    for name in CAPTURES {
        let golden = golden(name);
        let mut lines = golden.lines();
        assert!(
            lines.next().unwrap().split('\t').eq(FIELDS.iter().map(|field| field.0)),
            "{name}: the fields"
        );
        let payloads = payloads(name);
        assert_eq!(lines.clone().count(), payloads.len(), "{name}: the packets");
        for (number, (line, payload)) in lines.zip(&payloads).enumerate() {
            let packet = Packet::parse(payload).unwrap();
            let values: Vec<_> = line.split('\t').collect();
            assert_eq!(values.len(), FIELDS.len());
            for (&(field, value), expected) in FIELDS.iter().zip(values) {
                assert_eq!(
                    value(&packet).unwrap_or_default(),
                    expected,
                    "{name}, frame {}: {field}",
                    number + 1
                );
            }
        }
    }
}

/// Ensures that the golden files can be made again. Later versions of tshark print True and False for 1 and 0.
#[test]
fn tshark_reproduces_the_golden_files() {
    for name in CAPTURES {
        let mut tshark = Command::new("tshark");
        tshark.args(["-n", "-r", &fixture(&format!("{name}.pcap")), "-T", "fields", "-E", "header=y"]);
        tshark.args(FIELDS.iter().flat_map(|field| ["-e", field.0]));
        let output = match tshark.output() {
            Ok(output) => output,
            Err(absent) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => {
                panic!("tshark: {absent}")
            }
            Err(absent) => return eprintln!("skipped: tshark cannot be started: {absent}"),
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8(output.stdout).unwrap();
        let cells = |text: &str| -> Vec<String> {
            let cells = text.trim_end_matches('\n').split(['\t', '\n']);
            cells.map(|cell| cell.replace("True", "1").replace("False", "0")).collect()
        };
        assert_eq!(cells(&printed), cells(&golden(name)), "{name}");
    }
}

/// All reserved bytes in the captures are zero, so the rebuilt bytes are the same but for one: the fork of ptp4l leaves the byte
/// before a negative syncInterval zero, where Dante and this crate extend the sign.
#[test]
fn captured_packets_are_rebuilt_byte_for_byte() {
    for name in CAPTURES {
        for (number, payload) in payloads(name).iter().enumerate() {
            let packet = Packet::parse(payload).unwrap();
            let mut expected = payload.clone();
            if name.starts_with("ptp4l") && matches!(packet.message, Message::Sync(_)) {
                assert_eq!(expected[82..84], [0x00, 0xfe]);
                expected[82] = 0xff;
            }
            assert_eq!(packet.build().unwrap()[..], expected, "{name}, frame {}", number + 1);
        }
    }
}

#[test]
fn management_messages_are_built_as_captured() {
    let payloads = payloads("management");
    assert_eq!(payloads.len(), management::packets().len());
    for (payload, packet) in payloads.iter().zip(management::packets()) {
        assert_eq!(packet.build().unwrap()[..], *payload);
    }
}
