//! Packets on the wire, decoded by tshark, which shares no code with the suite.

use crate::EVENT_TIMEOUT;
use crate::namespace::{self, CABLE, Namespace};
use crate::program::Program;
use crate::stage::Stage;
use dante_os::net::Interface;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Size of the header of a pcap file, bytes.
const FILE_HEADER: usize = 24;
/// Size of the header of a packet in it, bytes: seconds, microseconds, captured length, original length.
const PACKET_HEADER: usize = 16;
/// Longest time from SIGINT until tshark has ended.
const TSHARK_EXIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    /// Name of the host's namespace.
    host: String,
    tshark: Program,
    file: PathBuf,
}

/// The packets of a capture that has ended.
#[derive(Debug)]
pub struct CaptureFile(PathBuf);

impl Capture {
    /// Captures everything that this host sends and receives on the cable.
    pub fn start(stage: &Stage, host: &Namespace) -> Self {
        Self::of(stage, host, "")
    }

    /// Captures the packets that match this filter (pcap-filter(7)), and ARP, which marks the end.
    pub fn of(stage: &Stage, host: &Namespace, filter: &str) -> Self {
        let file = stage.folder().join("capture.pcap");
        let filter = if filter.is_empty() { String::new() } else { format!("({filter}) or arp") };
        let mut command = host.command("tshark");
        command.args(["-i", CABLE, "-f", &filter, "-F", "pcap", "-q", "-w"]).arg(&file);
        let tshark = stage.start("tshark", command);
        // tshark writes the header of the file when it is ready.
        crate::wait_until("tshark capturing", EVENT_TIMEOUT, || {
            let header = file.metadata().is_ok_and(|file| file.len() >= FILE_HEADER as u64);
            header && tshark.output().contains("Capturing on")
        });
        Self { host: host.name().to_owned(), tshark, file }
    }

    /// Ends the capture. The file has every packet that was on the cable before: the host sends an ARP request, and packets
    /// reach the file in order, so the capture is complete when that request is in the file.
    ///
    /// # Panics
    /// If the request does not arrive, or tshark fails.
    pub fn stop(self) -> CaptureFile {
        let unused = namespace::within(&self.host, send_arp_request);
        crate::wait_until("the end marker in the capture", EVENT_TIMEOUT, || has_arp(&self.file, unused));
        self.tshark.signal(Signal::SIGINT);
        let ended = self.tshark.ended(TSHARK_EXIT_TIMEOUT);
        assert_eq!(ended.code, Some(0), "tshark: {}", ended.output);
        CaptureFile(self.file)
    }
}

/// Sends an ARP request on the cable for an address of its network that no host has, a different one at each call. Returns the
/// address.
fn send_arp_request() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let [a, b, c, _] = Interface::find(&CABLE.into()).expect("the cable").address.octets();
    let unused = Ipv4Addr::new(a, b, c, 200 + NEXT.fetch_add(1, Ordering::Relaxed) % 50);
    // The kernel keeps the datagram until the address is resolved, which never happens.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
    socket.send_to(&[], (unused, 9)).expect("a datagram for an unresolved address");
    unused
}

/// Whether a pcap file has an ARP packet with this target address.
fn has_arp(file: &Path, target: Ipv4Addr) -> bool {
    /// In an Ethernet frame: the type, and the target address of ARP.
    const TYPE: std::ops::Range<usize> = 12..14;
    const TARGET: std::ops::Range<usize> = 38..42;
    let bytes = std::fs::read(file).unwrap_or_default();
    let mut rest = bytes.get(FILE_HEADER..).unwrap_or_default();
    while let Some((header, after)) = rest.split_first_chunk::<PACKET_HEADER>() {
        let length = u32::from_ne_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let Some((frame, next)) = after.split_at_checked(length) else { break };
        if frame.get(TYPE) == Some(&[0x08, 0x06]) && frame.get(TARGET) == Some(&target.octets()) {
            return true;
        }
        rest = next;
    }
    false
}

impl CaptureFile {
    /// Returns the packets that match a display filter.
    ///
    /// # Panics
    /// If tshark cannot read its own capture.
    pub fn packets(&self, filter: &str) -> Vec<Packet> {
        let mut command = Command::new("tshark");
        // tshark does not verify checksums by default; between namespaces the kernel does not compute them.
        let output =
            command.arg("-r").arg(&self.0).args(["-Y", filter, "-T", "json"]).output().expect("tshark");
        assert!(output.status.success(), "tshark: {}", String::from_utf8_lossy(&output.stderr));
        let packets: Value = serde_json::from_slice(&output.stdout).expect("JSON of tshark");
        let packets = packets.as_array().cloned().unwrap_or_default();
        packets.into_iter().map(|mut packet| Packet(packet["_source"]["layers"].take())).collect()
    }

    /// Returns what this host sent, from whatever address, apart from IGMP and ARP of its kernel: only Delay_Reqs without a
    /// fault. The capture must have been made on this host, whose ARP request at the end shows that the capture sees what the
    /// host sends.
    ///
    /// # Panics
    /// If the host sent anything else, or the capture has no ARP and IGMP of it.
    pub fn requests_of(&self, host: &Namespace) -> Vec<Packet> {
        let mac = hardware_address(host);
        let of_kernel = self.packets(&format!("eth.src == {mac} && (igmp || arp)"));
        assert!(!of_kernel.is_empty(), "the capture does not see what {mac} sends");
        let sent = self.packets(&format!("eth.src == {mac} && !igmp && !arp"));
        let faulty = self.packets(&format!("eth.src == {mac} && (_ws.malformed || _ws.expert)"));
        assert!(faulty.is_empty(), "tshark reports faults in {faulty:?}");
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

/// Hardware address of a host on the cable, as tshark writes it.
///
/// # Panics
/// If the host has no cable.
pub fn hardware_address(host: &Namespace) -> String {
    let mac = host.within(|| Interface::find(&CABLE.into())).expect("the cable").mac;
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// One decoded packet.
#[derive(Debug)]
pub struct Packet(Value);

impl Packet {
    /// Returns a field, by tshark's name for it; empty if the packet does not have it.
    pub fn text(&self, field: &str) -> &str {
        find(&self.0, field).and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns a field as a number, decimal or hexadecimal.
    ///
    /// # Panics
    /// If it is no number.
    pub fn number(&self, field: &str) -> i64 {
        let text = self.text(field);
        let number = match text.strip_prefix("0x") {
            Some(hex) => i64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        number.unwrap_or_else(|_| panic!("{field} is {text:?} in {}", self.0))
    }

    /// Time of the capture, s since 1970.
    ///
    /// # Panics
    /// If the packet has none.
    pub fn time(&self) -> f64 {
        self.text("frame.time_epoch").parse().expect("a time")
    }
}

fn find<'a>(value: &'a Value, field: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object.get(field).or_else(|| object.values().find_map(|inner| find(inner, field)))
}
