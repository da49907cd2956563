//! The leaders, and the network between them and the hosts.

use super::events::Event;
use super::{Host, True, World};
use crate::leader::{self, Leader, LeaderConfig};
use crate::link::Link;
use crate::oscillator::Path;
use dante_core::port::{Channel, PacketTimestamp};
use dante_core::time::Duration;
use dante_core::wire::{Buffer, PortIdentity, Uuid};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Identifies a leader of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderId(pub(super) usize);

impl LeaderId {
    /// Returns the leader that was started as number `nth`, counted from 0.
    pub const fn nth(nth: usize) -> Self {
        Self(nth)
    }
}

/// Faults of a leader's Follow_Ups, as fractions of them, 0 to 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Sent 0 to 0.5 s late.
    pub late: f64,
    /// Never sent.
    pub lost: f64,
    /// Sent with the preciseOriginTimestamp of the previous one.
    pub mispaired: f64,
    /// Sent with the sequence number of another Sync, which was never sent.
    pub misnumbered: f64,
    /// Sent with a random preciseOriginTimestamp.
    pub absurd: f64,
}

/// Configuration of a leader.
#[derive(Debug, Clone)]
pub struct Role {
    /// What it announces.
    pub config: LeaderConfig,
    /// Its clock.
    pub path: Path,
    /// Its network path to the hosts.
    pub link: Link,
    /// Its network, counted from 0.
    pub network: usize,
    /// Its faults.
    pub faults: Faults,
    /// The sequenceId before that of its first Sync.
    pub sequence: u16,
}

impl Role {
    /// Makes the configuration of a Dante device on the first network. Of two devices the one with the lower number is the better
    /// leader.
    pub fn dante(number: u8, path: impl Into<Path>, link: impl Into<Link>) -> Self {
        let uuid = Uuid([0, 0x1d, 0xc1, 0xa1, 0x72, 0x3c_u8.wrapping_add(number)]);
        let config = LeaderConfig::dante(PortIdentity { technology: 1, uuid, port_id: 1 });
        Self {
            config,
            path: path.into(),
            link: link.into(),
            network: 0,
            faults: Faults::default(),
            sequence: 0,
        }
    }
}

/// A leader and its path to the hosts.
#[derive(Debug)]
pub(super) struct Led {
    pub leader: Leader,
    pub link: Link,
    pub network: usize,
    pub faults: Faults,
    pub config: LeaderConfig,
    /// It is stopped.
    pub is_off: bool,
    /// It is disconnected until this time.
    pub silent_until: True,
    /// Number of jumps of its time.
    pub jumps: u64,
    /// Its last Follow_Up, for [`Faults::mispaired`].
    pub last_follow_up: Option<Buffer>,
}

impl Led {
    pub fn new(role: Role, now: True) -> Self {
        Self {
            leader: Leader::new(role.config, role.path, now).after_sequence(role.sequence),
            link: role.link,
            network: role.network,
            faults: role.faults,
            config: role.config,
            is_off: false,
            silent_until: now,
            jumps: 0,
            last_follow_up: None,
        }
    }

    pub fn is_there(&self, now: True) -> bool {
        !self.is_off && self.silent_until <= now
    }

    /// Applies the faults to a general packet. Returns it with its additional delay, or `None` if it is not sent.
    fn apply_faults(
        &mut self,
        rng: &mut Pcg64Mcg,
        mut packet: Buffer,
        is_follow_up: bool,
    ) -> Option<(Buffer, Duration)> {
        if !is_follow_up {
            return Some((packet, Duration::ZERO));
        }
        let before = self.last_follow_up.replace(packet.clone());
        if rng.random_bool(self.faults.lost) {
            return None;
        }
        if let Some(before) = before
            && rng.random_bool(self.faults.mispaired)
            && let (Some(to), Some(from)) = (packet.get_mut(44..52), before.get(44..52))
        {
            to.copy_from_slice(from);
        }
        let mut occurs = |fraction| fraction > 0.0 && rng.random_bool(fraction);
        if occurs(self.faults.misnumbered)
            && let Some(high) = packet.get_mut(42)
        {
            *high ^= 0x40;
        }
        if occurs(self.faults.absurd)
            && let Some(seconds) = packet.get_mut(44..48)
        {
            seconds.copy_from_slice(&rng.random_range(0..u32::MAX).to_be_bytes());
        }
        let is_late = rng.random_bool(self.faults.late);
        let late = if is_late { rng.random_range(0..500_000_000) } else { 0 };
        Some((packet, Duration::from_ns(late)))
    }
}

impl World {
    /// Delivers the packets that a host has multicast to all leaders of the network.
    pub(super) fn deliver_requests(&mut self, host: usize) {
        let Some(packets) = self.hosts.get_mut(host).and_then(Host::packets) else { return };
        for (left, network, bytes) in std::mem::take(&mut packets.sent) {
            for (id, led) in self.leaders.iter_mut().enumerate() {
                if led.network == network && led.is_there(self.now) {
                    for _ in 0..led.link.copies(&mut self.rng) {
                        let at = left + led.link.transit_back(&mut self.rng, left);
                        self.agenda.add(at, Event::ToLeader { to: LeaderId(id), bytes: bytes.clone() });
                    }
                }
            }
        }
    }

    pub(super) fn handle_leader(&mut self, id: LeaderId, input: leader::Input<'_>) {
        let (now, timestamp) = (self.now, self.leader_timestamp());
        let Some(led) = self.leaders.get_mut(id.0) else { return };
        led.leader.handle(now, input);
        let mut packets = Vec::new();
        while let Some(output) = led.leader.poll() {
            match output {
                leader::Output::Sync { packet, token } => {
                    packets.push((Channel::Event, packet, Duration::ZERO));
                    led.leader.handle(now, leader::Input::Departed { token, timestamp: Ok(timestamp) });
                }
                // Real devices send the Follow_Up 53 to 103 us after the Sync.
                leader::Output::General { packet } => {
                    let later = Duration::from_ns(self.rng.random_range(53_000..103_000));
                    let is_follow_up = packet.len() == 52;
                    if let Some((packet, more)) = led.apply_faults(&mut self.rng, packet, is_follow_up) {
                        packets.push((Channel::General, packet, later + more));
                    }
                }
                leader::Output::ForeignLeader(_) => {}
            }
        }
        if led.silent_until > now {
            return;
        }
        let network = led.network;
        let on_network = self.hosts.iter().enumerate().filter(|(_, host)| host.listens(network));
        let listeners: Vec<_> = on_network.map(|(place, _)| place).collect();
        for (channel, bytes, later) in packets {
            for &host in &listeners {
                let Some(Led { link, .. }) = self.leaders.get_mut(id.0) else { return };
                let left = now + later;
                let arrivals: Vec<True> = (0..link.copies(&mut self.rng))
                    .map(|_| left + link.transit(&mut self.rng, left))
                    .collect();
                for arrival in arrivals {
                    let at = arrival + self.kernel_delay();
                    self.agenda.add(at, Event::ToHost { host, from: id, channel, bytes: bytes.clone() });
                }
            }
        }
    }

    fn kernel_delay(&mut self) -> Duration {
        match self.late {
            Some((until, [least, most])) if self.now < until => {
                Duration::from_ns(self.rng.random_range(least.ns()..=most.ns()))
            }
            _ => Duration::ZERO,
        }
    }

    /// Returns a leader's timestamp of now. The leader uses only its raw time.
    pub(super) fn leader_timestamp(&self) -> PacketTimestamp {
        PacketTimestamp { raw: self.now, real: self.utc() }
    }
}

/// Returns the address from which a leader sends.
pub(super) fn address(of: LeaderId) -> SocketAddrV4 {
    let last = u8::try_from(of.0 % 100).unwrap_or(0) + 114;
    SocketAddrV4::new(Ipv4Addr::new(169, 254, 61, last), 49_155)
}
