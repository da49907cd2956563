//! Packets on the wire, decoded by tshark: a judge that shares no code with the suite.

use crate::namespace::{CABLE, Namespace};
use crate::program::Program;
use crate::stage::Stage;
use dante_os::net::Interface;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A capture that runs.
#[derive(Debug)]
pub struct Capture {
    tshark: Program,
    file: PathBuf,
}

/// What it caught.
#[derive(Debug)]
pub struct Caught(PathBuf);

impl Capture {
    /// Everything that this host sends and hears on the cable, from now on.
    pub fn start(stage: &Stage, host: &Namespace) -> Self {
        Self::of(stage, host, "")
    }

    /// Only what this capture filter (pcap-filter(7)) lets through.
    pub fn of(stage: &Stage, host: &Namespace, filter: &str) -> Self {
        let file = stage.folder().join("capture.pcap");
        let mut command = host.command("tshark");
        command.args(["-i", CABLE, "-f", filter, "-F", "pcap", "-q", "-w"]).arg(&file);
        let tshark = stage.start("tshark", command);
        // Ready is what writes the file's head.
        crate::wait_until("tshark capturing", Duration::from_secs(20), || {
            tshark.output().contains("Capturing on") && file.metadata().is_ok_and(|file| file.len() >= 24)
        });
        Self { tshark, file }
    }

    /// Ends it, once everything that was on the cable until now is in the file: packets reach it in batches, so what is
    /// in it must be newer than this call. Only for a cable on which something is sent still.
    ///
    /// # Panics
    /// When nothing comes any more, or tshark fails.
    pub fn stop(self) -> Caught {
        let asked = SystemTime::now().duration_since(UNIX_EPOCH).expect("a date after 1970").as_secs_f64();
        crate::wait_for("a packet after the end of the capture", Duration::from_secs(20), || {
            (newest_packet(&self.file)? > asked).then_some(())
        });
        self.tshark.signal(Signal::SIGINT);
        let ended = self.tshark.ended(Duration::from_secs(10));
        assert_eq!(ended.code, Some(0), "tshark: {}", ended.said);
        Caught(self.file)
    }
}

/// When the last whole packet in a pcap file was caught, s since 1970. The file has a head of 24 bytes, then packets with
/// a head of 16 each: seconds, microseconds, length, true length.
fn newest_packet(file: &Path) -> Option<f64> {
    let bytes = std::fs::read(file).ok()?;
    let mut rest = bytes.get(24..)?;
    let mut newest = None;
    while let Some((head, after)) = rest.split_first_chunk::<16>() {
        let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let Some(next) = after.get(word(8) as usize..) else { break };
        newest = Some(f64::from(word(0)) + f64::from(word(4)) / 1e6);
        rest = next;
    }
    newest
}

impl Caught {
    /// The packets that a display filter lets through.
    ///
    /// # Panics
    /// When tshark cannot read its own capture.
    pub fn packets(&self, filter: &str) -> Vec<Packet> {
        let mut command = Command::new("tshark");
        // No checksums: between namespaces nobody computes them.
        let output =
            command.arg("-r").arg(&self.0).args(["-Y", filter, "-T", "json"]).output().expect("tshark");
        assert!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
        let packets: Value = serde_json::from_slice(&output.stdout).expect("JSON of tshark");
        let packets = packets.as_array().cloned().unwrap_or_default();
        packets.into_iter().map(|mut packet| Packet(packet["_source"]["layers"].take())).collect()
    }

    /// What this host sent, whatever address it bore, is nothing but Delay_Reqs without a fault, besides what its kernel
    /// says of groups and addresses. Returns them.
    ///
    /// # Panics
    /// When it is anything else.
    pub fn requests_of(&self, host: &Namespace) -> Vec<Packet> {
        let mac = hardware_address(host);
        let sent = self.packets(&format!("eth.src == {mac} && !igmp && !arp"));
        let faulty = self.packets(&format!("eth.src == {mac} && (_ws.malformed || _ws.expert)"));
        assert!(faulty.is_empty(), "tshark complains of {faulty:?}");
        for packet in &sent {
            assert_eq!(packet.text("ptp.controlfield"), "1", "{packet:?}");
            assert_eq!(packet.number("ptp.versionptp"), 1);
            assert_eq!(packet.number("ptp.messagetype"), 1);
            assert_eq!(packet.text("ptp.subdomain"), "_DFLT");
            assert_eq!(packet.text("ptp.sourceuuid"), mac);
            assert_eq!(packet.number("ptp.flags"), 0);
            assert_eq!(packet.number("ptp.sdr.localclockstratum"), 255, "slave-only");
            assert_eq!((packet.text("ip.dst"), packet.number("ip.ttl")), ("224.0.1.129", 1));
            assert_eq!((packet.number("udp.dstport"), packet.number("udp.length")), (319, 124 + 8));
            assert_eq!(packet.number("ip.dsfield.dscp"), 56);
        }
        sent
    }
}

/// The hardware address of a host on the cable, as tshark writes it.
///
/// # Panics
/// When it has none.
pub fn hardware_address(host: &Namespace) -> String {
    let mac = host.within(|| Interface::find(CABLE)).expect("the cable").mac;
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// One decoded packet.
#[derive(Debug)]
pub struct Packet(Value);

impl Packet {
    /// A field by tshark's name, as text; empty where the packet has none.
    pub fn text(&self, field: &str) -> &str {
        find(&self.0, field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A field as a number, decimal or hexadecimal.
    ///
    /// # Panics
    /// When it is none.
    pub fn number(&self, field: &str) -> i64 {
        let text = self.text(field);
        let number = match text.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        number.unwrap_or_else(|_| panic!("{field} is {text:?} in {}", self.0))
    }

    /// When it was captured, s since 1970.
    ///
    /// # Panics
    /// When it does not say.
    pub fn time(&self) -> f64 {
        self.text("frame.time_epoch").parse().expect("a time")
    }
}

fn find<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object.get(field).or_else(|| object.values().find_map(|inner| find(inner, field)))
}
