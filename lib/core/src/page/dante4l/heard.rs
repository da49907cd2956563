//! What a port hears: leaders, and what is to be noticed.

use crate::page::record::record;
use crate::port::{Leader, Notice};
use crate::time::{Raw, Timestamp};
use crate::wire::{PortIdentity, Uuid};
use std::net::Ipv4Addr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

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
        let announced = &leader.announced;
        let quality = &announced.quality;
        Self {
            uuid: leader.identity.uuid.0,
            port_id: leader.identity.port_id,
            address: leader.address.octets(),
            identifier: quality.identifier.0,
            variance: quality.variance,
            steps_removed: announced.steps_removed,
            stratum: quality.class,
            preferred: u8::from(quality.preferred),
            utc_offset_s: announced.utc_offset_s,
            grandmaster: announced.grandmaster.uuid.0,
            grandmaster_port: announced.grandmaster.port_id,
            boundary_clock: u8::from(quality.boundary_clock),
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
        Self { seen_raw_ns: seen.ns(), what: notice.named() }
    }

    /// The notice of this kind, and when it was last true; `None` where it never was.
    pub(super) fn read(&self, kind: usize) -> Option<(Notice, Timestamp<Raw>)> {
        let notice = Notice::of(kind, self.what)?;
        (self.seen_raw_ns != 0).then_some((notice, Timestamp::from_ns(self.seen_raw_ns)))
    }
}

fn ethernet(uuid: [u8; 6], port_id: u16) -> PortIdentity {
    PortIdentity { technology: PortIdentity::ETHERNET, uuid: Uuid(uuid), port_id }
}
