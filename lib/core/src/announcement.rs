//! What a leader states about its clock, in terms that IEEE 1588-2002 (the body of a Sync) and PTPv2 (an Announce) both
//! fill. Foreign leaders, best master choice, redundancy, Delay_Reqs and pages know a leader by this alone.

use crate::numbered;
use crate::wire::{ClockIdentifier, PortIdentity};

numbered! {
    /// The protocol that a leader speaks. The numbers are those on the pages.
    pub enum PtpVersion {
        /// IEEE 1588-2002, as Dante devices send it.
        V1 = 1 "ptpv1",
        /// IEEE 1588-2008 and later.
        V2 = 2 "ptpv2",
    }
}

/// The statement of one leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// The protocol that it speaks.
    pub protocol: PtpVersion,
    /// The clock at the root of the tree.
    pub grandmaster: PortIdentity,
    /// Sequence number of the grandmaster's last Sync; 0 where the protocol has none.
    pub grandmaster_sequence: u16,
    /// How good the grandmaster's clock is.
    pub quality: Quality,
    /// Clocks between the sender and the grandmaster.
    pub steps_removed: u16,
    /// Two ways to one grandmaster whose steps differ by no more than this are equally long: 1 in IEEE 1588-2002, 0 in
    /// PTPv2.
    pub steps_tolerance: u16,
    /// The leader's time minus UTC, s.
    pub utc_offset_s: i16,
    /// The leader's time is traceable to UTC and `utc_offset_s` is valid.
    pub utc_reasonable: bool,
    /// Announcements are 2^this s apart.
    pub interval_log2: i8,
}

/// The properties of a grandmaster's clock in the order in which they decide. A property that a protocol lacks has the
/// same value in all its announcements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quality {
    /// Preferred Leader: better than any other. IEEE 1588-2002 only.
    pub preferred: bool,
    /// priority1, lower is better. PTPv2 only.
    pub priority1: u8,
    /// Stratum or clockClass, lower is better.
    pub class: u8,
    /// clockAccuracy, or the rank of the clock identifier where IEEE 1588-2002 lets it decide; lower is better.
    pub accuracy: u8,
    /// Allan variance in s^2, as 256 times its logarithm to base 2; lower is better. PTPv2 adds 0x8000 to it on the wire.
    pub variance: i16,
    /// Variances that differ by no more than this are equal: 256 in IEEE 1588-2002, 0 in PTPv2.
    pub variance_tolerance: u16,
    /// A boundary clock is better than none. IEEE 1588-2002 only.
    pub boundary_clock: bool,
    /// priority2, lower is better. PTPv2 only.
    pub priority2: u8,
    /// What the clock takes its time from. Decides nothing by itself.
    pub identifier: ClockIdentifier,
}
