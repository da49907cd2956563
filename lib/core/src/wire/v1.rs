//! PTPv1 as a [`Protocol`] of the port.

use super::{
    Buffer, ClockIdentifier, Flags, Grandmaster, Header, LocalClock, Message, Packet, PortIdentity, SyncBody,
    WireError,
};
use crate::announcement::{Announcement, PtpVersion, Quality};
use crate::port::{Channel, Content, Decoded, Head, Protocol};
use crate::time::Timestamp;

impl Protocol {
    /// IEEE 1588-2002, as Dante devices use it.
    pub const V1: Self = Self { decode, delay_req };
}

/// Largest difference of variances that the best master clock algorithm ignores (PTP_LOG_VARIANCE_THRESHOLD).
const VARIANCE_THRESHOLD: u16 = 256;
/// Highest stratum at which the clock identifier is compared before the variance (7.6).
const IDENTIFIED_STRATUM: u8 = 2;
/// The default of priority1 and priority2 in PTPv2.
const NO_PRIORITY: u8 = 128;

fn decode(bytes: &[u8]) -> Result<Decoded, WireError> {
    let Packet { header, message } = Packet::parse(bytes)?;
    let Header { subdomain: domain, source, sequence_id, flags, .. } = header;
    let (channel, content) = match message {
        Message::Sync(body) => {
            let origin = (!flags.assist()).then_some(body.origin);
            (Channel::Event, Content::Sync { announcement: Some((&body).into()), origin })
        }
        Message::DelayReq(_) => (Channel::Event, Content::DelayReq),
        Message::FollowUp(body) => (
            Channel::General,
            Content::FollowUp { sync: body.associated_sequence_id, origin: body.precise_origin },
        ),
        Message::DelayResp(body) => (
            Channel::General,
            Content::DelayResp {
                requesting: body.requesting,
                request: body.requesting_sequence_id,
                received: body.received,
            },
        ),
        Message::Management(_) => (Channel::General, Content::Management),
    };
    Ok(Decoded { head: Head { domain, source, sequence_id }, channel, content })
}

/// Builds the Delay_Req of a slave-only clock, with the grandmaster that it follows, as Dante devices do.
fn delay_req(head: &Head, leader: PortIdentity, announced: &Announcement) -> Buffer {
    /// Slave-only (IEEE 1588-2002, table 3).
    const SLAVE_ONLY: u8 = 255;
    /// The default of Dante devices and ptpd.
    const VARIANCE: i16 = -4000;
    let Head { domain: subdomain, source, sequence_id } = *head;
    let header = Header { version_network: 1, subdomain, source, sequence_id, flags: Flags::NONE };
    let quality = &announced.quality;
    header.delay_req(&SyncBody {
        origin: Timestamp::ZERO,
        epoch_number: 0,
        current_utc_offset: announced.utc_offset_s,
        grandmaster: Grandmaster {
            port: announced.grandmaster,
            sequence_id: announced.grandmaster_sequence,
            stratum: quality.class,
            identifier: quality.identifier,
            variance: quality.variance,
            preferred: quality.preferred,
            is_boundary_clock: quality.boundary_clock,
        },
        sync_interval: announced.interval_log2,
        local: LocalClock {
            variance: VARIANCE,
            steps_removed: announced.steps_removed.saturating_add(1),
            stratum: SLAVE_ONLY,
            identifier: ClockIdentifier::DFLT,
        },
        parent: leader,
        estimated_master_variance: 0,
        estimated_master_drift: 0,
        utc_reasonable: false,
    })
}

impl From<&SyncBody> for Announcement {
    fn from(body: &SyncBody) -> Self {
        Self {
            protocol: PtpVersion::V1,
            grandmaster: body.grandmaster.port,
            grandmaster_sequence: body.grandmaster.sequence_id,
            quality: (&body.grandmaster).into(),
            steps_removed: body.local.steps_removed,
            steps_tolerance: 1,
            utc_offset_s: body.current_utc_offset,
            utc_reasonable: body.utc_reasonable,
            interval_log2: body.sync_interval,
        }
    }
}

impl From<&Grandmaster> for Quality {
    fn from(clock: &Grandmaster) -> Self {
        let decides = clock.stratum <= IDENTIFIED_STRATUM;
        Self {
            preferred: clock.preferred,
            priority1: NO_PRIORITY,
            class: clock.stratum,
            accuracy: if decides { rank(clock.identifier) } else { 0 },
            variance: clock.variance,
            variance_tolerance: VARIANCE_THRESHOLD,
            boundary_clock: clock.is_boundary_clock,
            priority2: NO_PRIORITY,
            identifier: clock.identifier,
        }
    }
}

/// Rank of a clock identifier: ATOM and GPS are the best (0), then NTP, HAND, INIT, DFLT, and any other.
fn rank(identifier: ClockIdentifier) -> u8 {
    match identifier {
        ClockIdentifier::ATOM | ClockIdentifier::GPS => 0,
        ClockIdentifier::NTP => 1,
        ClockIdentifier::HAND => 2,
        ClockIdentifier::INIT => 3,
        ClockIdentifier::DFLT => 4,
        _ => 5,
    }
}
