//! The messages that a port processes, independent of the protocol.

use super::Channel;
use crate::announcement::Announcement;
use crate::time::{Dante, Timestamp};
use crate::wire::{Buffer, PortIdentity, Subdomain, WireError};

/// A protocol of leaders: the only part of the port that depends on packet formats. [`Protocol::V1`] is the default.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// Decodes a UDP payload of either channel.
    ///
    /// # Errors
    /// If the bytes are not a message of this protocol.
    pub decode: fn(&[u8]) -> Result<Decoded, WireError>,
    /// Builds the UDP payload of a Delay_Req with this head, for the leader of this identity and announcement.
    pub delay_req: fn(&Head, PortIdentity, &Announcement) -> Buffer,
}

/// Subdomain, source and number of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The subdomain.
    pub domain: Subdomain,
    /// The port that sent it.
    pub source: PortIdentity,
    /// Counts the messages of one type from one port.
    pub sequence_id: u16,
}

/// A decoded message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Subdomain, source and number.
    pub head: Head,
    /// The channel of its message type.
    pub channel: Channel,
    /// Message type and fields.
    pub content: Content,
}

/// The message types with the fields that the port uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Describes a leader's clock, without an event timestamp.
    Announce(Announcement),
    /// An event message whose arrival is measured.
    Sync {
        /// Description of the leader's clock, if the protocol has it in each Sync.
        announcement: Option<Announcement>,
        /// One-step: when it left the leader. Two-step (`None`): a Follow_Up has this time.
        origin: Option<Timestamp<Dante>>,
    },
    /// The time when a two-step Sync left.
    FollowUp {
        /// Sequence number of that Sync.
        sync: u16,
        /// When it left, with all corrections.
        origin: Timestamp<Dante>,
    },
    /// The request of another follower.
    DelayReq,
    /// The time when a Delay_Req reached the leader.
    DelayResp {
        /// The port that sent the request.
        requesting: PortIdentity,
        /// Sequence number of the request.
        request: u16,
        /// When it arrived, with all corrections.
        received: Timestamp<Dante>,
    },
    /// Management messages; a port does not answer them.
    Management,
}
