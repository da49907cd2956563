//! The table of foreign leaders (the foreign masters of IEEE 1588-2002, 7.5.2), of a fixed size.

use super::{Head, select};
use crate::announcement::Announcement;
use crate::time::{Duration, Raw, Timestamp};
use crate::wire::PortIdentity;
use arrayvec::ArrayVec;
use std::cmp::Reverse;
use std::net::Ipv4Addr;

/// A device that sends Syncs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ForeignLeader {
    /// The source port of its Syncs.
    pub identity: PortIdentity,
    /// The source address of its Syncs.
    pub address: Ipv4Addr,
    /// Its clock and its grandmaster according to its last Sync.
    pub announced: Announcement,
    /// The Sync interval that it advertises, clamped to plausible values.
    pub interval: Duration,
    /// When the first Sync of this entry was processed. The entry of a lost leader is removed.
    pub since: Timestamp<Raw>,
    /// When its last Sync was processed.
    pub last_sync: Timestamp<Raw>,
    /// The sequence number of its last Sync.
    pub sequence_id: u16,
    /// Whether it has sent two Syncs within four intervals.
    pub qualified: bool,
    /// When its sequence numbers restarted, if they did: it was rebooted, or its old Syncs are replayed.
    pub restarted: Option<Timestamp<Raw>>,
    /// Whether the operator prefers it.
    pub preferred: bool,
}

/// The sender of packets: the identity in the packets and their source address. Two addresses are two senders, even with the
/// same identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sender {
    pub identity: PortIdentity,
    pub address: Ipv4Addr,
}

impl ForeignLeader {
    pub(super) fn sender(&self) -> Sender {
        Sender { identity: self.identity, address: self.address }
    }
}

/// How the table handled a Sync.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SyncOutcome {
    Accepted,
    /// Accepted in place of another leader, as the table was full.
    Displacing,
    Repeated,
    NoRoom,
}

/// Range of accepted Sync intervals, as the logarithm to base 2 of seconds: 1/16 s to 16 s. Dante uses 1/4 s, the standard has 1
/// to 16 s. Other values are clamped, as they may be forged.
const INTERVAL_LOG2: std::ops::RangeInclusive<i8> = -4..=4;
/// Time between two Syncs within which they qualify a leader, in Sync intervals.
const QUALIFICATION_INTERVALS: i64 = 4;
/// Time without a Sync, in Sync intervals, after which a leader is not chosen any more. If its identity is in use at another
/// address, it has moved there.
const SILENT_INTERVALS: i64 = 4;
/// A sequence number at most this far behind the last one belongs to a reordered packet; further behind, the leader was restarted.
const MAX_REORDERING: u16 = 3;

/// Size of the table of foreign leaders.
pub const MAX_LEADERS: usize = 8;

/// The table of foreign leaders.
#[derive(Debug, Default)]
pub(super) struct ForeignLeaders {
    entries: ArrayVec<ForeignLeader, MAX_LEADERS>,
}

impl ForeignLeaders {
    pub(super) fn all(&self) -> &[ForeignLeader] {
        &self.entries
    }

    pub(super) fn sync_received(
        &mut self,
        now: Timestamp<Raw>,
        head: &Head,
        announced: &Announcement,
        sender: Sender,
        preferred: bool,
        followed: Option<Sender>,
    ) -> SyncOutcome {
        let log2 = announced.interval_log2.clamp(*INTERVAL_LOG2.start(), *INTERVAL_LOG2.end());
        let interval = Duration::from_log2_secs(log2);
        if let Some(known) = self.entries.iter_mut().find(|leader| leader.sender() == sender) {
            let behind = known.sequence_id.wrapping_sub(head.sequence_id);
            if behind <= MAX_REORDERING {
                return SyncOutcome::Repeated;
            }
            if behind < u16::MAX / 2 {
                known.restarted = Some(now);
            }
            known.qualified |= now - known.last_sync <= interval * QUALIFICATION_INTERVALS;
            known.sequence_id = head.sequence_id;
            known.last_sync = now;
            known.announced = *announced;
            known.interval = interval;
            return SyncOutcome::Accepted;
        }
        let new = ForeignLeader {
            identity: sender.identity,
            address: sender.address,
            announced: *announced,
            interval,
            since: now,
            last_sync: now,
            sequence_id: head.sequence_id,
            qualified: false,
            restarted: None,
            preferred,
        };
        let was_full = self.entries.is_full();
        if was_full && !self.make_room(preferred, followed) {
            return SyncOutcome::NoRoom;
        }
        self.entries.push(new);
        if was_full { SyncOutcome::Displacing } else { SyncOutcome::Accepted }
    }

    /// Removes one leader to make room: the one that has been silent longest of those that are not qualified, so that a few forged
    /// packets cannot keep others out. For a leader that the operator prefers, a qualified one that is not preferred may also be
    /// removed. The leader that is followed is never removed.
    fn make_room(&mut self, for_preferred: bool, followed: Option<Sender>) -> bool {
        let candidates = self.entries.iter().enumerate();
        let oldest = candidates
            .filter(|(_, leader)| Some(leader.sender()) != followed)
            .filter(|(_, leader)| !leader.qualified || (for_preferred && !leader.preferred))
            .min_by_key(|(_, leader)| (leader.qualified, leader.last_sync))
            .map(|(place, _)| place);
        oldest.map(|place| self.entries.remove(place)).is_some()
    }

    pub(super) fn get(&self, sender: Sender) -> Option<&ForeignLeader> {
        self.entries.iter().find(|leader| leader.sender() == sender)
    }

    /// A qualified leader of this identity at any address.
    pub(super) fn qualified(&self, identity: PortIdentity) -> Option<&ForeignLeader> {
        self.entries.iter().find(|leader| leader.qualified && leader.identity == identity)
    }

    /// Whether a leader at another address has this identity.
    pub(super) fn is_claimed_elsewhere(&self, sender: Sender) -> bool {
        self.entries
            .iter()
            .any(|leader| leader.identity == sender.identity && leader.address != sender.address)
    }

    /// The best of the qualified leaders that still send, and of the one that is followed.
    pub(super) fn best(&self, now: Timestamp<Raw>, followed: Option<Sender>) -> Option<&ForeignLeader> {
        let beats = |other: &ForeignLeader, best: &ForeignLeader| {
            if other.identity != best.identity {
                return select::is_better(other, best);
            }
            // One device at two addresses: the one that is followed, unless it is silent there; then the older entry.
            let stays = |leader: &ForeignLeader| {
                Some(leader.sender()) == followed
                    && now - leader.last_sync < leader.interval * SILENT_INTERVALS
            };
            (stays(other), Reverse(other.since)) > (stays(best), Reverse(best.since))
        };
        let still_sends =
            |leader: &&ForeignLeader| now - leader.last_sync < leader.interval * SILENT_INTERVALS;
        let qualified = self
            .entries
            .iter()
            .filter(|leader| leader.qualified)
            .filter(|leader| still_sends(leader) || Some(leader.sender()) == followed);
        qualified.reduce(|best, other| if beats(other, best) { other } else { best })
    }

    pub(super) fn expire(&mut self, now: Timestamp<Raw>, intervals: i64) {
        self.entries.retain(|leader| now - leader.last_sync < leader.interval * intervals);
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}
