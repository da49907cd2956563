//! The messages that a port takes in, whatever protocol they came by.

use super::Channel;
use crate::announcement::Announcement;
use crate::time::{Dante, Timestamp};
use crate::wire::{Buffer, PortIdentity, Subdomain, WireError};

/// A protocol of leaders: the only part of the port that knows its bytes. [`Protocol::V1`] is the default.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// Reads a UDP payload from either channel.
    ///
    /// # Errors
    /// When the bytes are not a message of this protocol.
    pub decode: fn(&[u8]) -> Result<Decoded, WireError>,
    /// The UDP payload of a Delay_Req with this head, for the leader of this identity and announcement.
    pub delay_req: fn(&Head, PortIdentity, &Announcement) -> Buffer,
}

/// Where a message belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The subdomain.
    pub domain: Subdomain,
    /// The port that sent it.
    pub source: PortIdentity,
    /// Counts the messages of one kind from one port.
    pub sequence_id: u16,
}

/// A message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Where it belongs.
    pub head: Head,
    /// The channel that messages of its kind use.
    pub channel: Channel,
    /// What it states.
    pub content: Content,
}

/// What a message states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A leader's clock, without an event.
    Announce(Announcement),
    /// An event whose arrival is measured.
    Sync {
        /// The leader's clock, where the protocol states it with each Sync.
        announcement: Option<Announcement>,
        /// One-step: when it left the leader. Two-step (`None`): a Follow_Up states that.
        origin: Option<Timestamp<Dante>>,
    },
    /// When a two-step Sync left.
    FollowUp {
        /// Sequence number of that Sync.
        sync: u16,
        /// When it left, with all corrections.
        origin: Timestamp<Dante>,
    },
    /// Another follower's request.
    DelayReq,
    /// When a Delay_Req reached the leader.
    DelayResp {
        /// Who sent the request.
        requesting: PortIdentity,
        /// Sequence number of the request.
        request: u16,
        /// When it arrived, with all corrections.
        received: Timestamp<Dante>,
    },
    /// Management; a port does not answer it.
    Management,
}
