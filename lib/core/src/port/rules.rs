//! The operator's rules: which leaders may be followed, which may not, and which are preferred.

use super::foreign_leaders::Sender;
use crate::wire::{Uuid, UuidError};
use arrayvec::ArrayVec;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Names leaders: by their UUID with all ports (`00:1d:c1:a1:72:3c`) or one port (`00:1d:c1:a1:72:3c/1`), or by the source IPv4
/// address of their packets, or a subnet of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaderName {
    /// By the UUID in its packets, and by the port number if given.
    Uuid(Uuid, Option<u16>),
    /// By the source address of its packets, which an attacker has to forge as well.
    Address(Ipv4Addr),
    /// By the first bits of that address, at most 32.
    Subnet(Ipv4Addr, u8),
}

/// The text is not the name of a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeaderNameError {
    /// It has no form of a name.
    #[error(
        "not a leader: expected a UUID (00:1d:c1:a1:72:3c, or 00:1d:c1:a1:72:3c/1 for one port), the EUI-64 of one \
         (001dc1.fffe.a1723c), an IPv4 address or a subnet (169.254.0.0/16)"
    )]
    Form,
    /// An EUI-64 of another kind of clock.
    #[error("not a leader: {0}")]
    Uuid(#[from] UuidError),
    /// More than 32 bits.
    #[error("not a subnet: its prefix has at most 32 bits")]
    Prefix,
}

impl LeaderName {
    fn is_subnet(&self) -> bool {
        matches!(self, Self::Subnet(..))
    }

    pub(super) fn matches(&self, sender: Sender) -> bool {
        match *self {
            Self::Uuid(uuid, port) => {
                sender.identity.uuid == uuid && port.is_none_or(|port| port == sender.identity.port_id)
            }
            Self::Address(address) => sender.address == address,
            Self::Subnet(address, prefix) => {
                network_of(sender.address, prefix) == network_of(address, prefix)
            }
        }
    }
}

/// The first `prefix` bits of an address.
fn network_of(address: Ipv4Addr, prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0) & address.to_bits()
}

/// The port of a UUID follows after a slash; or after a hyphen if the UUID is in the form of pmc(8), which displays ports so.
impl FromStr for LeaderName {
    type Err = LeaderNameError;

    fn from_str(text: &str) -> Result<Self, LeaderNameError> {
        let (name, number) = match text.split_once('/') {
            Some((name, number)) => (name, Some(number)),
            None => match text.split_once('-').filter(|(name, _)| name.contains('.')) {
                Some((name, number)) => (name, Some(number)),
                None => (text, None),
            },
        };
        match (name.parse::<Ipv4Addr>(), number) {
            (Ok(address), None) => Ok(Self::Address(address)),
            (Ok(address), Some(prefix)) => {
                let prefix = prefix.parse().ok().filter(|bits| *bits <= 32).ok_or(LeaderNameError::Prefix)?;
                Ok(Self::Subnet(network_of(address, prefix).into(), prefix))
            }
            (Err(_), number) => {
                let port = number.map(str::parse).transpose().map_err(|_| LeaderNameError::Form)?;
                match name.parse() {
                    Ok(uuid) => Ok(Self::Uuid(uuid, port)),
                    Err(UuidError::Form) => Err(LeaderNameError::Form),
                    Err(error @ UuidError::NotDerived) => Err(error.into()),
                }
            }
        }
    }
}

impl fmt::Display for LeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid, Some(port)) => write!(f, "{uuid}/{port}"),
            Self::Uuid(uuid, None) => write!(f, "{uuid}"),
            Self::Address(address) => write!(f, "{address}"),
            Self::Subnet(address, prefix) => write!(f, "{address}/{prefix}"),
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
    /// These are better than any other leader, each better than those after it.
    pub prefer: ArrayVec<LeaderName, MAX_NAMES>,
}

/// Which of the operator's rules decides about a leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is denied.
    Denied,
    /// Others are permitted.
    NotListed,
    /// All are permitted, or all of its subnet.
    Permitted,
    /// It is permitted by its own UUID or address, so that the operator means this one.
    Named,
}

impl LeaderRules {
    /// The rule for this sender.
    pub(super) fn standing(&self, sender: Sender) -> Standing {
        if self.deny.iter().any(|name| name.matches(sender)) {
            return Standing::Denied;
        }
        let mut listed = self.only.iter().filter(|name| name.matches(sender));
        match listed.next() {
            None if self.only.is_empty() => Standing::Permitted,
            None => Standing::NotListed,
            Some(first) if first.is_subnet() && listed.all(LeaderName::is_subnet) => Standing::Permitted,
            Some(_) => Standing::Named,
        }
    }

    /// How much the operator prefers this sender: 0, not at all, for a sender without a place in the list.
    pub(super) fn preference(&self, sender: Sender) -> u8 {
        let place = self.prefer.iter().position(|name| name.matches(sender));
        // The list is shorter than 256.
        place.and_then(|place| u8::try_from(self.prefer.len() - place).ok()).unwrap_or(0)
    }
}
