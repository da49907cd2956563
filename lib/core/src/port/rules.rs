//! The operator's rules: which leaders may be followed, which may not, and which are preferred.

use super::foreign_leaders::Sender;
use crate::wire::{Uuid, UuidError};
use arrayvec::ArrayVec;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Names a leader, with all its ports (`00:1d:c1:a1:72:3c`) or one port (`00:1d:c1:a1:72:3c/1`), or by the source IPv4 address of
/// its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaderName {
    /// By the UUID in its packets, and by the port number if given.
    Uuid(Uuid, Option<u16>),
    /// By the source address of its packets, which an attacker has to forge as well.
    Address(Ipv4Addr),
}

/// The text is not the name of a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a leader: expected a UUID (00:1d:c1:a1:72:3c, or 00:1d:c1:a1:72:3c/1 for one port) or an IPv4 address"
)]
pub struct LeaderNameError;

impl From<UuidError> for LeaderNameError {
    fn from(_: UuidError) -> Self {
        Self
    }
}

impl LeaderName {
    pub(super) fn matches(&self, sender: Sender) -> bool {
        match *self {
            Self::Uuid(uuid, port) => {
                sender.identity.uuid == uuid && port.is_none_or(|port| port == sender.identity.port_id)
            }
            Self::Address(address) => sender.address == address,
        }
    }
}

impl FromStr for LeaderName {
    type Err = LeaderNameError;

    fn from_str(text: &str) -> Result<Self, LeaderNameError> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let (uuid, port) = match text.split_once('/') {
            Some((uuid, port)) => (uuid, Some(port.parse().map_err(|_| LeaderNameError)?)),
            None => (text, None),
        };
        Ok(Self::Uuid(uuid.parse()?, port))
    }
}

impl fmt::Display for LeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid, Some(port)) => write!(f, "{uuid}/{port}"),
            Self::Uuid(uuid, None) => write!(f, "{uuid}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// Maximum number of leaders in each list.
pub const MAX_NAMES: usize = 16;

/// The operator's rules. The best master clock algorithm selects among the leaders that they permit.
#[derive(Debug, Clone, Default)]
pub struct LeaderRules {
    /// Only these may be followed; if empty, all may.
    pub only: ArrayVec<LeaderName, MAX_NAMES>,
    /// These may not be followed.
    pub deny: ArrayVec<LeaderName, MAX_NAMES>,
    /// These are better than any other leader.
    pub prefer: ArrayVec<LeaderName, MAX_NAMES>,
}

impl LeaderRules {
    pub(super) fn permits(&self, sender: Sender) -> bool {
        let is_permitted = self.only.is_empty() || self.only.iter().any(|name| name.matches(sender));
        is_permitted && !self.deny.iter().any(|name| name.matches(sender))
    }

    pub(super) fn prefers(&self, sender: Sender) -> bool {
        self.prefer.iter().any(|name| name.matches(sender))
    }
}
