//! Foreign leaders and diagnostics of a port, as records of the status page.

use crate::announcement::PtpVersion;
use crate::page::record::record;
use crate::port::{Defect, Diagnostic, ForeignLeader, SyncInterval};
use crate::time::{Raw, Timestamp};
use crate::wire::{PortIdentity, Uuid};
use std::net::Ipv4Addr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

record! {
    /// A leader and what it states about its grandmaster. A field that its protocol lacks is 0.
    pub struct LeaderRecord {
        /// [`PtpVersion`].
        pub protocol: u8,
        /// Stratum (PTPv1) or clockClass (PTPv2) of the grandmaster.
        pub class: u8,
        /// clockAccuracy of the grandmaster (PTPv2).
        pub accuracy: u8,
        /// priority1 of the grandmaster (PTPv2).
        pub priority1: u8,
        /// priority2 of the grandmaster (PTPv2).
        pub priority2: u8,
        /// domainNumber (PTPv2).
        pub domain: u8,
        /// 1: the grandmaster is a preferred master (PTPv1).
        pub preferred: u8,
        /// 1: the grandmaster is a boundary clock (PTPv1).
        pub boundary_clock: u8,
        /// clockIdentity of the sender of the Syncs; with PTPv1 its UUID of 6 bytes and two zeros.
        pub id: [u8; 8],
        /// clockIdentity of the grandmaster, in the same form.
        pub grandmaster: [u8; 8],
        /// IPv4 address of the sender of the Syncs.
        pub address: [u8; 4],
        /// Clock identifier of the grandmaster (PTPv1).
        pub identifier: [u8; 4],
        /// Port number of the sender of the Syncs.
        pub port_id: u16,
        /// Port number of the grandmaster (PTPv1).
        pub grandmaster_port: u16,
        /// Variance of the grandmaster.
        pub variance: i16,
        /// Number of steps from the grandmaster to the leader.
        pub steps_removed: u16,
        /// currentUTCOffset: the leader's time minus UTC, s.
        pub utc_offset_s: i16,
        /// Logarithm to base 2 of the Sync interval in s that the leader advertises, -4 to 4.
        pub advertised_interval_log2: i8,
        /// Zero.
        pub reserved: [u8; 5],
        /// Sync interval as measured, the nearest power of two of a second, ns; as advertised until two Syncs were received.
        pub sync_interval_ns: i64,
    }

    /// A foreign leader, followed or not.
    pub struct ForeignLeaderRecord {
        /// Its identity and dataset.
        pub leader: LeaderRecord,
        /// When its last Sync was processed, CLOCK_MONOTONIC_RAW.
        pub last_sync_raw_ns: i64,
        /// 1: it has sent two Syncs within four intervals, and may be followed.
        pub qualified: u32,
        /// [`Defect`]: why its Syncs cannot be measured, so that it is passed over; 0: they can, or it is not known yet.
        pub defect: u32,
    }

    /// A [`Diagnostic`]. Its index in the array of diagnostics is its kind.
    pub struct DiagnosticRecord {
        /// When the condition was last true, CLOCK_MONOTONIC_RAW; 0: never.
        pub seen_raw_ns: i64,
        /// Arguments of the diagnostic: a subdomain (16 bytes), a leader (UUID 6, port 2, IPv4 address 4) or a version (2), in the
        /// machine's byte order.
        pub what: [u8; 16],
    }
}

impl From<&ForeignLeader> for LeaderRecord {
    fn from(leader: &ForeignLeader) -> Self {
        let announced = &leader.announced;
        let quality = &announced.quality;
        let of_v2 = |value| if announced.protocol == PtpVersion::V2 { value } else { 0 };
        Self {
            protocol: announced.protocol as u8,
            class: quality.class,
            accuracy: of_v2(quality.accuracy),
            priority1: of_v2(quality.priority1),
            priority2: of_v2(quality.priority2),
            domain: 0,
            preferred: u8::from(quality.preferred),
            boundary_clock: u8::from(quality.boundary_clock),
            id: leader.identity.uuid.eight_bytes(),
            grandmaster: announced.grandmaster.uuid.eight_bytes(),
            address: leader.address.octets(),
            identifier: quality.identifier.0,
            port_id: leader.identity.port_id,
            grandmaster_port: announced.grandmaster.port_id,
            variance: quality.variance,
            steps_removed: announced.steps_removed,
            utc_offset_s: announced.utc_offset_s,
            advertised_interval_log2: leader.advertised_interval().log2(),
            reserved: [0; 5],
            sync_interval_ns: leader.interval().duration().ns(),
        }
    }
}

impl LeaderRecord {
    /// The protocol; `None` where the number is unknown.
    pub fn protocol(&self) -> Option<PtpVersion> {
        PtpVersion::from_number(self.protocol)
    }

    /// IPv4 address of the sender of the Syncs.
    pub fn address(&self) -> Ipv4Addr {
        self.address.into()
    }

    /// Identity of the sender of the Syncs.
    pub fn identity(&self) -> PortIdentity {
        ethernet(self.id, self.port_id)
    }

    /// Sync interval that the leader advertises.
    pub fn advertised_interval(&self) -> SyncInterval {
        SyncInterval::from_log2(self.advertised_interval_log2)
    }

    /// Identity of the grandmaster.
    pub fn grandmaster(&self) -> PortIdentity {
        ethernet(self.grandmaster, self.grandmaster_port)
    }
}

impl From<&ForeignLeader> for ForeignLeaderRecord {
    fn from(leader: &ForeignLeader) -> Self {
        Self {
            leader: leader.into(),
            last_sync_raw_ns: leader.last_sync.ns(),
            qualified: u32::from(leader.qualified),
            defect: leader.defect().map_or(0, |defect| defect as u32),
        }
    }
}

impl ForeignLeaderRecord {
    /// Why its Syncs cannot be measured, so that it is passed over.
    pub fn defect(&self) -> Option<Defect> {
        Defect::from_number(u8::try_from(self.defect).ok()?)
    }
}

impl DiagnosticRecord {
    /// Converts `diagnostic`, which was last true at `seen`.
    pub fn of(diagnostic: Diagnostic, seen: Timestamp<Raw>) -> Self {
        Self { seen_raw_ns: seen.ns(), what: diagnostic.arguments() }
    }

    /// The diagnostic of this kind, and when it was last true; `None` if it never was.
    pub(super) fn read(&self, kind: usize) -> Option<(Diagnostic, Timestamp<Raw>)> {
        let diagnostic = Diagnostic::of(kind, self.what)?;
        (self.seen_raw_ns != 0).then_some((diagnostic, Timestamp::from_ns(self.seen_raw_ns)))
    }
}

fn ethernet(id: [u8; 8], port_id: u16) -> PortIdentity {
    PortIdentity { technology: PortIdentity::ETHERNET, uuid: Uuid::of_eight_bytes(id), port_id }
}
