//! A leader whose packets arrive as those of dantesim do not: from the same host, at the address of one host, or with the tag of a VLAN.

use crate::namespace::{CABLE, Namespace};
use crate::raw_sender::{self, TaggedSender};
use dante_core::port::{Channel, PacketTimestamp};
use dante_core::time::{Duration, Ratio, Timestamp};
use dante_core::wire::{PortIdentity, Subdomain};
use dante_os::clock::read_realtime;
use dante_sim::leader::{Input, Leader, LeaderConfig, Output};
use dante_sim::oscillator::Oscillator;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::BindToDevice;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Its time at the start.
const UPTIME: Duration = Duration::from_secs(699);
/// Longest pause: the program ends that much after it is stopped.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

/// How its packets are addressed.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// To this address of another host.
    To(Ipv4Addr),
    /// To the multicast group, from this address of its host, whose programs receive them, too.
    From(Ipv4Addr),
    /// To the multicast group, from this address, with this VLAN id in an IEEE 802.1Q tag.
    Tagged(u16, Ipv4Addr),
}

/// A leader in a thread of its own, ended on drop. Its timestamps are those of a program, late by some microseconds.
#[derive(Debug)]
pub struct RawLeader {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RawLeader {
    /// Starts a leader on the cable of this host.
    ///
    /// # Panics
    /// If its socket cannot be opened.
    pub fn start(host: &Namespace, identity: PortIdentity, way: Way) -> Self {
        let sender = Sender::open(host, way);
        let ends = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&ends);
        let thread = std::thread::spawn(move || lead(identity, &sender, &asked));
        Self { ends, thread: Some(thread) }
    }
}

impl Drop for RawLeader {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

fn lead(identity: PortIdentity, sender: &Sender, ends: &AtomicBool) {
    let start = read_realtime().raw;
    let oscillator =
        Oscillator::new(start, Timestamp::ZERO + UPTIME, Ratio::from_ppm(12.0), Ratio::from_ppb(0.0));
    let mut leader = Leader::new(LeaderConfig::dante(identity), oscillator, start);
    while !ends.load(Ordering::Relaxed) {
        leader.handle(read_realtime().raw, Input::Deadline);
        while let Some(output) = leader.poll() {
            match output {
                Output::Sync { packet, token } => {
                    let now = read_realtime();
                    sender.send(Channel::Event, &packet);
                    let timestamp = Ok(PacketTimestamp { raw: now.raw, real: now.real });
                    leader.handle(now.raw, Input::Departed { token, timestamp });
                }
                Output::General { packet } => sender.send(Channel::General, &packet),
                Output::ForeignLeader(_) => {}
            }
        }
        std::thread::sleep(PAUSE);
    }
}

#[derive(Debug)]
enum Sender {
    Datagrams(UdpSocket, Ipv4Addr),
    Tagged(TaggedSender, u16),
}

impl Sender {
    fn open(host: &Namespace, way: Way) -> Self {
        let bound = |from| {
            let socket = host.within(|| UdpSocket::bind((from, 0)).expect("a UDP socket"));
            setsockopt(&socket, BindToDevice, &CABLE.into()).expect("the cable");
            socket
        };
        match way {
            Way::To(to) => Self::Datagrams(bound(Ipv4Addr::UNSPECIFIED), to),
            Way::From(from) => Self::Datagrams(bound(from), Subdomain::DFLT.group()),
            Way::Tagged(vlan, from) => Self::Tagged(TaggedSender::on(host, from), vlan),
        }
    }

    fn send(&self, channel: Channel, bytes: &[u8]) {
        match self {
            Self::Datagrams(socket, to) => {
                let port = raw_sender::to(channel).port();
                socket.send_to(bytes, (*to, port)).expect("a datagram sent");
            }
            Self::Tagged(sender, vlan) => sender.send(*vlan, channel, bytes),
        }
    }
}
