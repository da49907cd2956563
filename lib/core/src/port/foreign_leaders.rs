//! The table of foreign leaders (the foreign masters of IEEE 1588-2002, 7.5.2), of a fixed size.

use super::measurability::{Defect, Measurability};
use super::pairing::{Pair, Pairing};
use super::select;
use super::spacing::{SPACINGS, Spacings, SyncInterval};
use crate::announcement::Announcement;
use crate::time::{Duration, Raw, Timestamp};
use crate::wire::PortIdentity;
use arrayvec::ArrayVec;
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
    /// When the first Sync of this entry was processed. The entry of a lost leader is removed.
    pub since: Timestamp<Raw>,
    /// When its last Sync was processed.
    pub last_sync: Timestamp<Raw>,
    /// The sequence number of its last Sync.
    pub sequence_id: u16,
    /// Whether it has sent two Syncs within four intervals (IEEE 1588-2002, 7.6.2.5).
    pub qualified: bool,
    /// When its sequence numbers restarted, if they did: it was rebooted, or its old Syncs are replayed.
    pub restarted: Option<Timestamp<Raw>>,
    /// How much the operator prefers it; 0: not at all.
    pub preference: u8,
    /// When another address first and last used its identity.
    pub(super) contested: Option<(Timestamp<Raw>, Timestamp<Raw>)>,
    /// Number of its Syncs since the advertised interval changed; the largest number if it did not.
    pub(super) advertising: u8,
    /// The times between its Syncs.
    pub(super) spacings: Spacings,
    /// Whether its Syncs can be measured.
    pub(super) measurability: Measurability,
}

/// The sender of packets: the identity in the packets and their source address. Two addresses are two senders, even with the
/// same identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sender {
    pub identity: PortIdentity,
    pub address: Ipv4Addr,
}

/// One Sync, or another message with an announcement.
#[derive(Debug)]
pub(super) struct Announced<'a> {
    pub sender: Sender,
    pub sequence_id: u16,
    pub announcement: &'a Announcement,
    /// Its receive timestamp, or when it was processed.
    pub arrived: Timestamp<Raw>,
    /// How much the operator prefers the sender.
    pub preference: u8,
}

impl ForeignLeader {
    pub(super) fn sender(&self) -> Sender {
        Sender { identity: self.identity, address: self.address }
    }

    /// The Sync interval, from which all timeouts are derived: the power of two next to the median of the last times between its
    /// Syncs. Until two Syncs were received, the one that it advertises.
    pub fn interval(&self) -> SyncInterval {
        self.spacings.interval()
    }

    /// The Sync interval that it advertises, clamped to those that are used.
    pub fn advertised_interval(&self) -> SyncInterval {
        SyncInterval::from_log2(self.announced.interval_log2)
    }

    /// Whether it sends at another interval than it advertises.
    pub(super) fn misstates_interval(&self) -> bool {
        // After a change the measured interval follows the advertised one, at worst by two Syncs for each
        // spacing of which it is the median.
        let is_steady = usize::from(self.advertising) >= 2 * SPACINGS;
        is_steady && self.spacings.is_certain() && self.interval() != self.advertised_interval()
    }

    /// Why its Syncs cannot be measured, while those of another leader can: it is passed over.
    pub fn defect(&self) -> Option<Defect> {
        self.measurability.defect()
    }

    /// Time without a Sync after which it is lost.
    pub(super) fn receipt_timeout(&self) -> Duration {
        if self.spacings.is_measured() {
            self.interval().duration() * RECEIPT_TIMEOUT
        } else {
            SECOND_SYNC_TIMEOUT
        }
    }

    /// Whether it has been silent for so long that it is not chosen any more.
    pub(super) fn is_silent(&self, now: Timestamp<Raw>) -> bool {
        now - self.last_sync >= self.interval().duration() * SILENT_INTERVALS
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

/// Timeout after which a leader without Syncs is lost, in Sync intervals (PTP_SYNC_RECEIPT_TIMEOUT, 7.12 of IEEE 1588-2002).
const RECEIPT_TIMEOUT: i64 = 10;
/// The same for a leader of which a single Sync was received, so that its interval is not known: the longest interval, twice,
/// as one Sync may be lost.
const SECOND_SYNC_TIMEOUT: Duration = Duration::from_secs(32);
/// Time between two Syncs within which they qualify a leader, in Sync intervals.
const QUALIFICATION_INTERVALS: i64 = 4;
/// Time without a Sync, in Sync intervals, after which a leader is not chosen any more. If its identity is in use at another
/// address, it has moved there.
const SILENT_INTERVALS: i64 = 4;
/// Time after which another address that uses a leader's identity again counts as the first one.
const CONTEST_MEMORY: Duration = Duration::from_secs(10);
/// A sequence number at most this far behind the last one belongs to a reordered packet; further behind, the leader was restarted.
const MAX_REORDERING: u16 = 3;
/// A sequence number that is further ahead than this, sooner than so many Syncs can have been sent, is that of a restart, too: half of
/// the numbers precede any number. Fewer Syncs may have been held back, with one lost.
const MAX_HELD_BACK: u16 = 64;

/// Size of the table of foreign leaders.
pub const MAX_LEADERS: usize = 8;

/// The table of foreign leaders.
#[derive(Debug, Default)]
pub(super) struct ForeignLeaders {
    entries: ArrayVec<Entry, MAX_LEADERS>,
}

/// A foreign leader with its Syncs and Follow_Ups that wait for each other.
#[derive(Debug)]
struct Entry {
    leader: ForeignLeader,
    pairing: Pairing,
}

impl ForeignLeaders {
    pub(super) fn all(&self) -> impl Iterator<Item = &ForeignLeader> {
        self.entries.iter().map(|entry| &entry.leader)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn sync_received(
        &mut self,
        now: Timestamp<Raw>,
        sync: &Announced<'_>,
        followed: Option<Sender>,
    ) -> SyncOutcome {
        let &Announced { sender, sequence_id, announcement, arrived, preference } = sync;
        let another_was =
            self.get(sender).is_some_and(|known| self.is_another_measured(sender, known.last_sync));
        if let Some(known) = self.known(sender) {
            let behind = known.sequence_id.wrapping_sub(sequence_id);
            if behind <= MAX_REORDERING {
                return SyncOutcome::Repeated;
            }
            let ahead = sequence_id.wrapping_sub(known.sequence_id);
            let is_lower = behind < u16::MAX / 2;
            if is_lower || (ahead > MAX_HELD_BACK && known.spacings.is_gap(arrived, sequence_id)) {
                known.restarted = Some(now);
                known.spacings.restart(arrived, sequence_id);
            } else {
                known.spacings.add(arrived, sequence_id);
            }
            let span = known.interval().duration() * QUALIFICATION_INTERVALS;
            known.qualified |= known.spacings.is_measured() && now - known.last_sync <= span;
            known.measurability.next_sync(known.last_sync, another_was);
            let is_same = known.announced.interval_log2 == announcement.interval_log2;
            known.advertising = if is_same { known.advertising.saturating_add(1) } else { 0 };
            known.sequence_id = sequence_id;
            known.last_sync = now;
            known.announced = *announcement;
            return SyncOutcome::Accepted;
        }
        let leader = ForeignLeader {
            identity: sender.identity,
            address: sender.address,
            announced: *announcement,
            since: now,
            last_sync: now,
            sequence_id,
            qualified: false,
            restarted: None,
            preference,
            contested: None,
            advertising: u8::MAX,
            spacings: Spacings::new(
                arrived,
                sequence_id,
                SyncInterval::from_log2(announcement.interval_log2),
            ),
            measurability: Measurability::default(),
        };
        let was_full = self.entries.is_full();
        if was_full && !self.make_room(preference, followed) {
            return SyncOutcome::NoRoom;
        }
        self.entries.push(Entry { leader, pairing: Pairing::default() });
        if was_full { SyncOutcome::Displacing } else { SyncOutcome::Accepted }
    }

    /// Removes one leader to make room: the one that has been silent longest of those that are not qualified, so that a few forged
    /// packets cannot keep others out. For a leader that the operator prefers, a qualified one that is preferred less may also be
    /// removed. The leader that is followed is never removed.
    fn make_room(&mut self, preference: u8, followed: Option<Sender>) -> bool {
        let oldest = self
            .all()
            .enumerate()
            .filter(|(_, leader)| Some(leader.sender()) != followed)
            .filter(|(_, leader)| !leader.qualified || leader.preference < preference)
            .min_by_key(|(_, leader)| (leader.qualified, leader.preference, leader.last_sync))
            .map(|(place, _)| place);
        oldest.map(|place| self.entries.remove(place)).is_some()
    }

    pub(super) fn get(&self, sender: Sender) -> Option<&ForeignLeader> {
        self.all().find(|leader| leader.sender() == sender)
    }

    fn known(&mut self, sender: Sender) -> Option<&mut ForeignLeader> {
        self.entries.iter_mut().map(|entry| &mut entry.leader).find(|leader| leader.sender() == sender)
    }

    /// The Syncs and Follow_Ups of a sender that wait for each other; `None` before its first Sync.
    pub(super) fn pairing(&mut self, sender: Sender) -> Option<&mut Pairing> {
        self.entries.iter_mut().find(|entry| entry.leader.sender() == sender).map(|entry| &mut entry.pairing)
    }

    /// A Sync of this sender is complete.
    pub(super) fn paired(&mut self, now: Timestamp<Raw>, sender: Sender, pair: &Pair) {
        if let Some(leader) = self.known(sender) {
            leader.measurability.pair(now, pair);
        }
    }

    /// The last Sync of this sender has no receive timestamp.
    pub(super) fn without_timestamp(&mut self, sender: Sender) {
        if let Some(leader) = self.known(sender) {
            leader.measurability.without_timestamp();
        }
    }

    /// Whether another leader than this one was measured since then.
    pub(super) fn is_another_measured(&self, sender: Sender, since: Timestamp<Raw>) -> bool {
        let mut others = self.all().filter(|leader| leader.sender() != sender);
        others.any(|leader| leader.measurability.was_measured_since(since))
    }

    /// A qualified leader of this identity at any address.
    pub(super) fn qualified(&self, identity: PortIdentity) -> Option<&ForeignLeader> {
        self.all().find(|leader| leader.qualified && leader.identity == identity)
    }

    /// A packet of this sender arrived. Returns whether a leader of its identity at another address has sent a Sync since the first such
    /// packet; `None` if there is no leader of its identity at another address.
    pub(super) fn contest(&mut self, now: Timestamp<Raw>, sender: Sender) -> Option<bool> {
        let mut leaders = self.entries.iter_mut().map(|entry| &mut entry.leader);
        let other = leaders.find(|one| one.identity == sender.identity && one.address != sender.address)?;
        let since = other.contested.filter(|(_, last)| now - *last <= CONTEST_MEMORY);
        let since = since.map_or(now, |(since, _)| since);
        other.contested = Some((since, now));
        Some(other.last_sync > since)
    }

    /// The best of the qualified leaders that still send, and of the one that is followed. Those that can be measured precede the
    /// others.
    ///
    /// One device at two addresses: only the address that is followed, otherwise the older entry, until it is silent there. The other
    /// sender may have forged the identity.
    pub(super) fn best(&self, now: Timestamp<Raw>, followed: Option<Sender>) -> Option<&ForeignLeader> {
        let is_followed = |leader: &ForeignLeader| Some(leader.sender()) == followed;
        let is_second_address = |leader: &ForeignLeader| {
            !is_followed(leader)
                && self.all().any(|other| {
                    other.identity == leader.identity
                        && other.address != leader.address
                        && (is_followed(other) || (other.qualified && other.since < leader.since))
                        && !other.is_silent(now)
                })
        };
        let is_measurable = |leader: &ForeignLeader| {
            if is_followed(leader) { leader.measurability.keeps() } else { leader.measurability.suffices() }
        };
        let beats = |other: &ForeignLeader, best: &ForeignLeader| {
            if is_measurable(other) != is_measurable(best) {
                return is_measurable(other);
            }
            if other.identity == best.identity {
                // It is silent at the address that is followed.
                return is_followed(best);
            }
            select::is_better(other, best)
        };
        let qualified = self
            .all()
            .filter(|leader| leader.qualified && !is_second_address(leader))
            .filter(|leader| is_followed(leader) || !leader.is_silent(now));
        qualified.reduce(|best, other| if beats(other, best) { other } else { best })
    }

    pub(super) fn expire(&mut self, now: Timestamp<Raw>) {
        self.entries.retain(|Entry { leader, .. }| now - leader.last_sync < leader.receipt_timeout());
    }

    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}
