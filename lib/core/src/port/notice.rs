//! What is said about what is heard: why there is no lock, or what is not as it should be.

use super::{Counter, Output, Port, State};
use crate::time::{Duration, Raw, Timestamp};
use crate::wire::{PortIdentity, Subdomain, WireError};
use std::fmt;
use std::net::Ipv4Addr;

/// So long a leader may keep itself waiting before others who are heard are told of.
const PUZZLED: Duration = Duration::from_secs(4);
/// What is of one kind is said once in so long, whatever it says: names in it come from the network, and are many if
/// somebody wants them to be.
const SILENCE: Duration = Duration::from_secs(60);

/// Something heard that explains why there is no lock, or that somebody should look after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// PTPv2 on the same groups and ports, but no PTPv1.
    OnlyPtpV2,
    /// PTPv1 in another subdomain.
    OtherSubdomain(Subdomain),
    /// Two-step Syncs whose Follow_Up does not come.
    NoFollowUp,
    /// Follow_Ups without any Sync.
    NoSync,
    /// Syncs come without a kernel time stamp.
    NoStamps,
    /// Syncs come while CLOCK_REALTIME is being stepped, or slewed in haste.
    ClockDisturbed,
    /// Packets that bear this host's own UUID, and no others.
    OnlyOwn,
    /// Packets too short for what they claim to be, and no others.
    WrongLength,
    /// A versionPTP of neither 1 nor 2.
    UnknownVersion(u16),
    /// A leader that `--leader` or `--deny` forbids, and no other.
    NotPermitted(PortIdentity, Ipv4Addr),
    /// Requests leave without a transmit stamp: no more are sent.
    NoTransmitStamps,
    /// The leader does not answer requests.
    NoDelayResp,
    /// The kernel dropped packets.
    Dropped,
    /// A second sender claims to be this leader, from there.
    SecondAddress(PortIdentity, Ipv4Addr),
    /// The leader's packets contradict one another.
    Contradicting(PortIdentity),
    /// More leaders than are remembered.
    TooManyLeaders,
}

impl Notice {
    /// How many kinds there are.
    pub const KINDS: usize = 16;

    /// Which kind it is, from 0: its place on the page.
    pub const fn kind(self) -> usize {
        match self {
            Self::OnlyPtpV2 => 0,
            Self::OtherSubdomain(_) => 1,
            Self::NoFollowUp => 2,
            Self::NoSync => 3,
            Self::NoStamps => 4,
            Self::ClockDisturbed => 5,
            Self::OnlyOwn => 6,
            Self::WrongLength => 7,
            Self::UnknownVersion(_) => 8,
            Self::NotPermitted(..) => 9,
            Self::NoTransmitStamps => 10,
            Self::NoDelayResp => 11,
            Self::Dropped => 12,
            Self::SecondAddress(..) => 13,
            Self::Contradicting(_) => 14,
            Self::TooManyLeaders => 15,
        }
    }

    /// It explains why no leader is heard, and is of interest only then.
    pub const fn explains(self) -> bool {
        matches!(
            self,
            Self::OnlyPtpV2
                | Self::OtherSubdomain(_)
                | Self::NoSync
                | Self::OnlyOwn
                | Self::WrongLength
                | Self::UnknownVersion(_)
                | Self::NotPermitted(..)
        )
    }
}

/// What was last noticed of each kind.
#[derive(Debug, Default)]
pub(super) struct Noticed([Option<Seen>; Notice::KINDS]);

/// A notice, when it was last true, and when it was last said.
#[derive(Debug, Clone, Copy)]
struct Seen {
    notice: Notice,
    at: Timestamp<Raw>,
    said: Timestamp<Raw>,
}

impl Port {
    /// Says it, unless it was said lately, or explains what needs no explanation.
    pub(super) fn notice(&mut self, now: Timestamp<Raw>, notice: Notice) {
        if notice.explains() && !self.misses_a_leader(now) {
            return;
        }
        let Some(place) = self.noticed.0.get_mut(notice.kind()) else { return };
        let said = place.map(|seen| seen.said).filter(|said| now - *said < SILENCE);
        *place = Some(Seen { notice, at: now, said: said.unwrap_or(now) });
        if said.is_none() {
            self.tell(Output::Notice(notice));
        }
    }

    /// What was noticed so far, the last of each kind, and when it was last true.
    pub fn notices(&self) -> impl Iterator<Item = (Notice, Timestamp<Raw>)> {
        self.noticed.0.iter().flatten().map(|seen| (seen.notice, seen.at))
    }

    pub(super) fn malformed(&mut self, now: Timestamp<Raw>, error: WireError) {
        let counter = Counter::of_error(error);
        self.counters.add(counter);
        match error {
            WireError::Version2 => self.notice(now, Notice::OnlyPtpV2),
            WireError::Version(version) => self.notice(now, Notice::UnknownVersion(version)),
            _ if counter == Counter::WrongLength => self.notice(now, Notice::WrongLength),
            _ => {}
        }
    }

    /// Long enough without a leader that there is something to explain.
    fn misses_a_leader(&self, now: Timestamp<Raw>) -> bool {
        self.state == State::Listening && self.listening_since.is_some_and(|since| now - since >= PUZZLED)
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyPtpV2 => write!(
                f,
                "hearing PTPv2 only: the devices speak AES67 or PTPv2; enable PTPv1 (Dante) on one of them"
            ),
            Self::OtherSubdomain(name) => {
                write!(f, "hearing PTPv1 in subdomain {name}, which is not the one followed (--subdomain)")
            }
            Self::NoFollowUp => write!(
                f,
                "Syncs arrive without their Follow_Up: UDP port 320 may be blocked by a firewall, or taken"
            ),
            Self::NoSync => write!(
                f,
                "Follow_Ups arrive without their Sync: UDP port 319 may be blocked by a firewall, or taken"
            ),
            Self::NoStamps => write!(f, "Syncs arrive without kernel time stamps: nothing can be measured"),
            Self::ClockDisturbed => write!(
                f,
                "another program keeps stepping the system clock, or slews it by more than 500 ppm: nothing can be measured meanwhile"
            ),
            Self::OnlyOwn => write!(
                f,
                "hearing only packets with this host's own UUID: a leader on this very interface, or a loop in the network"
            ),
            Self::WrongLength => {
                write!(f, "hearing packets that are shorter than PTPv1 messages are: they cannot be used")
            }
            Self::UnknownVersion(version) => {
                write!(f, "hearing packets whose versionPTP is {version}: neither PTPv1 nor PTPv2")
            }
            Self::NotPermitted(leader, address) => {
                write!(f, "hearing leader {leader} at {address}, which --leader or --deny does not permit")
            }
            Self::NoTransmitStamps => write!(
                f,
                "Delay_Reqs leave without a transmit time stamp: the path delay cannot be measured, and no more are sent"
            ),
            Self::NoDelayResp => {
                write!(f, "the leader does not answer Delay_Reqs: the path delay cannot be measured")
            }
            Self::Dropped => {
                write!(
                    f,
                    "the kernel drops packets: more arrive than this host can take (a flood, or no CPU left)"
                )
            }
            Self::SecondAddress(leader, address) => write!(
                f,
                "another sender, at {address}, claims to be leader {leader}: its packets are not used; \
                 --leader ADDRESS holds the port to the right one from the start"
            ),
            Self::Contradicting(leader) => write!(
                f,
                "packets of leader {leader} contradict one another: some are forged or replayed, or two devices have its UUID"
            ),
            Self::TooManyLeaders => write!(
                f,
                "more leaders are heard than are remembered: most are forged; --leader names those that may be followed"
            ),
        }
    }
}
