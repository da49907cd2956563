//! The operator's word on leaders: who may be followed, who may not, and who is to be.

use super::foreign_leaders::Sender;
use crate::wire::{Uuid, UuidError};
use arrayvec::ArrayVec;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Names one leader, or all ports of it: `00:1d:c1:a1:72:3c`, `00:1d:c1:a1:72:3c/1`, or the IPv4 address that its packets
/// come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaderName {
    /// By what its packets say; of one port alone where that is given.
    Uuid(Uuid, Option<u16>),
    /// By where they come from. A forger has to forge that, too.
    Address(Ipv4Addr),
}

/// The text names no leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a leader is named by its UUID (00:1d:c1:a1:72:3c, or 00:1d:c1:a1:72:3c/1 for one port) or its IPv4 address"
)]
pub struct LeaderNameError;

impl From<UuidError> for LeaderNameError {
    fn from(_: UuidError) -> Self {
        Self
    }
}

impl LeaderName {
    pub(super) fn is(&self, sender: Sender) -> bool {
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

/// So many leaders can be named in each list.
pub const MAX_NAMES: usize = 16;

/// What the operator said. The best master clock algorithm chooses among what is left.
#[derive(Debug, Clone, Default)]
pub struct LeaderRules {
    /// Only these are followed; all, where none is named.
    pub only: ArrayVec<LeaderName, MAX_NAMES>,
    /// These never are.
    pub deny: ArrayVec<LeaderName, MAX_NAMES>,
    /// These are better than any other.
    pub prefer: ArrayVec<LeaderName, MAX_NAMES>,
}

impl LeaderRules {
    pub(super) fn permits(&self, sender: Sender) -> bool {
        let is_named = self.only.is_empty() || self.only.iter().any(|name| name.is(sender));
        is_named && !self.deny.iter().any(|name| name.is(sender))
    }

    pub(super) fn prefers(&self, sender: Sender) -> bool {
        self.prefer.iter().any(|name| name.is(sender))
    }
}
