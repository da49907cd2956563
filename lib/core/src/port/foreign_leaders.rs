//! The leaders that are heard (the foreign masters of IEEE 1588-2002, 7.5.2), a fixed number of them.

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
    /// Who sends them.
    pub identity: PortIdentity,
    /// From where.
    pub address: Ipv4Addr,
    /// What its last Sync says of it and of its grandmaster.
    pub announced: Announcement,
    /// The interval that it advertises, within reason.
    pub interval: Duration,
    /// When its first Sync was handled, of those without a gap that would make it count as gone.
    pub since: Timestamp<Raw>,
    /// When its last Sync was handled.
    pub last_sync: Timestamp<Raw>,
    /// The sequence number of its last Sync.
    pub sequence_id: u16,
    /// It has sent two Syncs within four intervals.
    pub qualified: bool,
    /// When its sequence numbers began anew, if they did: it was rebooted, or its old Syncs are replayed.
    pub restarted: Option<Timestamp<Raw>>,
    /// The operator prefers it.
    pub preferred: bool,
}

/// Who packets come from: a device by its own word, at an address. Two addresses are two senders, even where the device
/// claims to be the same.
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

/// What became of a Sync.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SyncOutcome {
    Taken,
    /// Another one made room for it.
    Displacing,
    Repeated,
    NoRoom,
}

/// Sync intervals from 1/16 s to 16 s: Dante's is 1/4 s, the standard's 1 to 16 s. A forged one is held within.
const INTERVAL_LOG2: std::ops::RangeInclusive<i8> = -4..=4;
/// Two Syncs within so many intervals qualify a leader.
const QUALIFICATION: i64 = 4;
/// One that has said nothing for so many intervals is none to go over to, and has moved if another has its identity.
const SPEAKING: i64 = 4;
/// A sequence number this little behind the last one is a packet overtaken on its way; further behind, the leader
/// was restarted.
const REORDERED: u16 = 3;

/// So many leaders are remembered.
pub const MAX_LEADERS: usize = 8;

/// The table of leaders.
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
            if behind <= REORDERED {
                return SyncOutcome::Repeated;
            }
            if behind < u16::MAX / 2 {
                known.restarted = Some(now);
            }
            known.qualified |= now - known.last_sync <= interval * QUALIFICATION;
            known.sequence_id = head.sequence_id;
            known.last_sync = now;
            known.announced = *announced;
            known.interval = interval;
            return SyncOutcome::Taken;
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
        let crowded = self.entries.is_full();
        if crowded && !self.make_room(preferred, followed) {
            return SyncOutcome::NoRoom;
        }
        self.entries.push(new);
        if crowded { SyncOutcome::Displacing } else { SyncOutcome::Taken }
    }

    /// Whoever has sent but one Sync so far makes room, the oldest first, so that nobody can keep others out with a few
    /// packets; never the one that is followed. For one that the operator prefers anybody else does.
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

    /// One of this identity that qualifies, wherever its packets come from.
    pub(super) fn qualified(&self, identity: PortIdentity) -> Option<&ForeignLeader> {
        self.entries.iter().find(|leader| leader.qualified && leader.identity == identity)
    }

    /// Whether another sender claims this identity.
    pub(super) fn is_claimed_elsewhere(&self, sender: Sender) -> bool {
        self.entries
            .iter()
            .any(|leader| leader.identity == sender.identity && leader.address != sender.address)
    }

    /// The best of those that qualify and have not fallen silent.
    pub(super) fn best(&self, now: Timestamp<Raw>, followed: Option<Sender>) -> Option<&ForeignLeader> {
        let beats = |other: &ForeignLeader, best: &ForeignLeader| {
            if other.identity != best.identity {
                return select::is_better(other, best);
            }
            // One device at two addresses: the one that is followed, unless it has moved; then who was there first.
            let stays = |leader: &ForeignLeader| {
                Some(leader.sender()) == followed && now - leader.last_sync < leader.interval * SPEAKING
            };
            (stays(other), Reverse(other.since)) > (stays(best), Reverse(best.since))
        };
        let speaks = |leader: &&ForeignLeader| now - leader.last_sync < leader.interval * SPEAKING;
        let qualified = self
            .entries
            .iter()
            .filter(|leader| leader.qualified)
            .filter(|leader| speaks(leader) || Some(leader.sender()) == followed);
        qualified.reduce(|best, other| if beats(other, best) { other } else { best })
    }

    pub(super) fn expire(&mut self, now: Timestamp<Raw>, intervals: i64) {
        self.entries.retain(|leader| now - leader.last_sync < leader.interval * intervals);
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}
