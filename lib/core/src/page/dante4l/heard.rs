//! What a port hears: leaders, and what is to be noticed.

use crate::page::record::record;
use crate::port::{Leader, Notice};
use crate::time::{Raw, Timestamp};
use crate::wire::{PortIdentity, Subdomain, Uuid};
use std::net::Ipv4Addr;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

record! {
    /// A leader and what it says of its grandmaster.
    pub struct LeaderRecord {
        /// Who sends the Syncs.
        pub uuid: [u8; 6],
        /// Its port.
        pub port_id: u16,
        /// IPv4 address.
        pub address: [u8; 4],
        /// The grandmaster's clock identifier.
        pub identifier: [u8; 4],
        /// The grandmaster's variance.
        pub variance: i16,
        /// Steps from the grandmaster to the leader.
        pub steps_removed: u16,
        /// The grandmaster's stratum.
        pub stratum: u8,
        /// 1: the grandmaster is Preferred Leader.
        pub preferred: u8,
        /// currentUTCOffset: the leader's time minus UTC, s.
        pub utc_offset_s: i16,
        /// The grandmaster.
        pub grandmaster: [u8; 6],
        /// And its port.
        pub grandmaster_port: u16,
        /// 1: the grandmaster is a boundary clock.
        pub boundary_clock: u8,
        /// Zero.
        pub reserved: [u8; 7],
        /// The interval that it advertises, ns.
        pub sync_interval_ns: i64,
    }

    /// A leader that is heard, followed or not.
    pub struct HeardRecord {
        /// Who it is.
        pub leader: LeaderRecord,
        /// When its first Sync was handled, CLOCK_MONOTONIC_RAW.
        pub since_raw_ns: i64,
        /// And its last.
        pub last_sync_raw_ns: i64,
        /// 1: it has sent two Syncs within four intervals, and may be followed.
        pub qualified: u32,
        /// Zero.
        pub reserved: u32,
    }

    /// A [`Notice`]; its kind is told by its place.
    pub struct NoticeRecord {
        /// When it was last true, CLOCK_MONOTONIC_RAW; 0: never.
        pub seen_raw_ns: i64,
        /// What it names: a subdomain (16 bytes), a leader (UUID 6, port 2, IPv4 address 4) or a version (2), in the machine's
        /// byte order.
        pub what: [u8; 16],
    }
}

impl From<&Leader> for LeaderRecord {
    fn from(leader: &Leader) -> Self {
        let grandmaster = &leader.announced.grandmaster;
        Self {
            uuid: leader.identity.uuid.0,
            port_id: leader.identity.port_id,
            address: leader.address.octets(),
            identifier: grandmaster.identifier.0,
            variance: grandmaster.variance,
            steps_removed: leader.announced.local.steps_removed,
            stratum: grandmaster.stratum,
            preferred: u8::from(grandmaster.preferred),
            utc_offset_s: leader.announced.current_utc_offset,
            grandmaster: grandmaster.port.uuid.0,
            grandmaster_port: grandmaster.port.port_id,
            boundary_clock: u8::from(grandmaster.is_boundary_clock),
            reserved: [0; 7],
            sync_interval_ns: leader.interval.ns(),
        }
    }
}

impl LeaderRecord {
    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.address.into()
    }

    /// Who sends the Syncs.
    pub fn identity(&self) -> PortIdentity {
        ethernet(self.uuid, self.port_id)
    }

    /// The clock at the root of the tree.
    pub fn grandmaster(&self) -> PortIdentity {
        ethernet(self.grandmaster, self.grandmaster_port)
    }
}

impl From<&Leader> for HeardRecord {
    fn from(leader: &Leader) -> Self {
        Self {
            leader: leader.into(),
            since_raw_ns: leader.since.ns(),
            last_sync_raw_ns: leader.last_sync.ns(),
            qualified: u32::from(leader.qualified),
            reserved: 0,
        }
    }
}

impl NoticeRecord {
    /// `notice`, that was true at `seen`.
    pub fn of(notice: Notice, seen: Timestamp<Raw>) -> Self {
        let mut record = Self { seen_raw_ns: seen.ns(), ..Self::new_zeroed() };
        match notice {
            Notice::OtherSubdomain(Subdomain(name)) => record.what = name,
            Notice::UnknownVersion(version) => record.put(&version.to_ne_bytes()),
            Notice::NotPermitted(leader, address) | Notice::SecondAddress(leader, address) => {
                record.put(Named::of(leader, address).as_bytes());
            }
            Notice::Contradicting(leader) => {
                record.put(Named::of(leader, Ipv4Addr::UNSPECIFIED).as_bytes());
            }
            _ => {}
        }
        record
    }

    /// The notice of this kind, and when it was last true; `None` where it never was.
    pub(super) fn read(&self, kind: usize) -> Option<(Notice, Timestamp<Raw>)> {
        let (named, _) = Named::read_from_prefix(&self.what).ok()?;
        let leader = ethernet(named.uuid, named.port_id);
        let address = named.address.into();
        let [low, high, ..] = self.what;
        let notice = match kind {
            0 => Notice::OnlyPtpV2,
            1 => Notice::OtherSubdomain(Subdomain(self.what)),
            2 => Notice::NoFollowUp,
            3 => Notice::NoSync,
            4 => Notice::NoStamps,
            5 => Notice::ClockDisturbed,
            6 => Notice::OnlyOwn,
            7 => Notice::WrongLength,
            8 => Notice::UnknownVersion(u16::from_ne_bytes([low, high])),
            9 => Notice::NotPermitted(leader, address),
            10 => Notice::NoTransmitStamps,
            11 => Notice::NoDelayResp,
            12 => Notice::Dropped,
            13 => Notice::SecondAddress(leader, address),
            14 => Notice::Contradicting(leader),
            15 => Notice::TooManyLeaders,
            _ => return None,
        };
        (self.seen_raw_ns != 0).then_some((notice, Timestamp::from_ns(self.seen_raw_ns)))
    }

    fn put(&mut self, bytes: &[u8]) {
        for (to, from) in self.what.iter_mut().zip(bytes) {
            *to = *from;
        }
    }
}

/// A sender, as a [`NoticeRecord`] names it.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Named {
    uuid: [u8; 6],
    port_id: u16,
    address: [u8; 4],
}

impl Named {
    fn of(leader: PortIdentity, address: Ipv4Addr) -> Self {
        Self { uuid: leader.uuid.0, port_id: leader.port_id, address: address.octets() }
    }
}

fn ethernet(uuid: [u8; 6], port_id: u16) -> PortIdentity {
    PortIdentity { technology: PortIdentity::ETHERNET, uuid: Uuid(uuid), port_id }
}
