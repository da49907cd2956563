//! The properties that a leader announces, in a form common to IEEE 1588-2002 (body of a Sync) and PTPv2 (Announce). Foreign
//! leaders, the best master clock algorithm, redundancy, Delay_Reqs and pages use only this form.

use crate::numbered;
use crate::wire::{ClockIdentifier, PortIdentity};

numbered! {
    /// Protocol of a leader. The numbers are those on the pages.
    pub enum PtpVersion {
        /// IEEE 1588-2002, as Dante devices send it.
        V1 = 1 "ptpv1",
        /// IEEE 1588-2008 and later.
        V2 = 2 "ptpv2",
    }
}

/// Properties announced by one leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// Protocol of the leader.
    pub protocol: PtpVersion,
    /// Grandmaster: the clock at the root of the tree.
    pub grandmaster: PortIdentity,
    /// Sequence number of the grandmaster's last Sync; 0 if the protocol has none.
    pub grandmaster_sequence: u16,
    /// Quality of the grandmaster's clock.
    pub quality: Quality,
    /// Number of clocks between the sender and the grandmaster.
    pub steps_removed: u16,
    /// Largest difference of steps at which two paths to one grandmaster count as equally long: 1 in IEEE 1588-2002, 0 in PTPv2.
    pub steps_tolerance: u16,
    /// The leader's time minus UTC, s.
    pub utc_offset_s: i16,
    /// Whether the leader's time is traceable to UTC and `utc_offset_s` is valid.
    pub utc_reasonable: bool,
    /// Interval of the announcements, as log2 of s.
    pub interval_log2: i8,
}

/// Quality of a grandmaster's clock, in the order of comparison. A property that a protocol does not have is equal in all its
/// announcements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quality {
    /// Preferred Leader (Dante): better than any other clock. IEEE 1588-2002 only.
    pub preferred: bool,
    /// priority1, lower is better. PTPv2 only.
    pub priority1: u8,
    /// Stratum or clockClass, lower is better.
    pub class: u8,
    /// clockAccuracy, or the rank of the clock identifier where IEEE 1588-2002 lets it decide; lower is better.
    pub accuracy: u8,
    /// Allan variance, as 256 times the log2 of its value in s^2; lower is better. PTPv2 adds 0x8000 on the wire.
    pub variance: i16,
    /// Largest difference of variances that count as equal: 256 in IEEE 1588-2002, 0 in PTPv2.
    pub variance_tolerance: u16,
    /// Boundary clock: better than a clock that is none. IEEE 1588-2002 only.
    pub boundary_clock: bool,
    /// priority2, lower is better. PTPv2 only.
    pub priority2: u8,
    /// Time source of the clock. Not compared.
    pub identifier: ClockIdentifier,
}
