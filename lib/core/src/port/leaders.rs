//! The leaders that are heard (the foreign masters of IEEE 1588-2002, 7.5.2), a fixed number of them.

use super::best;
use crate::time::{Duration, Raw, Timestamp};
use crate::wire::{Header, PortIdentity, Subdomain, SyncBody};
use arrayvec::ArrayVec;
use std::net::Ipv4Addr;

/// A device that sends Syncs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leader {
    /// Who sends them.
    pub identity: PortIdentity,
    /// Where it leads.
    pub subdomain: Subdomain,
    /// From where.
    pub address: Ipv4Addr,
    /// What its last Sync says of it and of its grandmaster.
    pub announced: SyncBody,
    /// The interval that it advertises, within reason.
    pub interval: Duration,
    /// When its last Sync was handled.
    pub last_sync: Timestamp<Raw>,
    /// The sequence number of its last Sync.
    pub sequence_id: u16,
    /// It has sent two Syncs within four intervals.
    pub qualified: bool,
}

/// What became of a Sync.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
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
/// A sequence number this little behind the last one is a packet overtaken on its way; further behind, the leader
/// was restarted.
const REORDERED: u16 = 3;

/// The table of leaders.
#[derive(Debug, Default)]
pub(super) struct Leaders {
    heard: ArrayVec<Leader, 8>,
}

impl Leaders {
    pub(super) fn heard(
        &mut self,
        now: Timestamp<Raw>,
        header: &Header,
        body: &SyncBody,
        address: Ipv4Addr,
        followed: Option<PortIdentity>,
    ) -> Heard {
        let log2 = body.sync_interval.clamp(*INTERVAL_LOG2.start(), *INTERVAL_LOG2.end());
        let interval = Duration::from_log2_secs(log2);
        if let Some(known) = self.heard.iter_mut().find(|leader| leader.identity == header.source) {
            if known.sequence_id.wrapping_sub(header.sequence_id) <= REORDERED {
                return Heard::Repeated;
            }
            known.qualified |= now - known.last_sync <= interval * QUALIFICATION;
            known.sequence_id = header.sequence_id;
            known.last_sync = now;
            known.announced = *body;
            known.address = address;
            known.interval = interval;
            return Heard::Taken;
        }
        let new = Leader {
            identity: header.source,
            subdomain: header.subdomain,
            address,
            announced: *body,
            interval,
            last_sync: now,
            sequence_id: header.sequence_id,
            qualified: false,
        };
        let crowded = self.heard.is_full();
        if crowded && !self.make_room(followed) {
            return Heard::NoRoom;
        }
        self.heard.push(new);
        if crowded { Heard::Displacing } else { Heard::Taken }
    }

    /// Whoever has sent but one Sync so far makes room, the oldest first, so that nobody can keep others out with a few
    /// packets; never the one that is followed.
    fn make_room(&mut self, followed: Option<PortIdentity>) -> bool {
        let candidates = self.heard.iter().enumerate();
        let oldest = candidates
            .filter(|(_, leader)| !leader.qualified && Some(leader.identity) != followed)
            .min_by_key(|(_, leader)| leader.last_sync)
            .map(|(place, _)| place);
        oldest.map(|place| self.heard.remove(place)).is_some()
    }

    pub(super) fn get(&self, identity: PortIdentity) -> Option<&Leader> {
        self.heard.iter().find(|leader| leader.identity == identity)
    }

    /// The best of those that qualify.
    pub(super) fn best(&self) -> Option<PortIdentity> {
        self.heard
            .iter()
            .filter(|leader| leader.qualified)
            .reduce(|best, other| if best::is_better(other, best) { other } else { best })
            .map(|leader| leader.identity)
    }

    pub(super) fn expire(&mut self, now: Timestamp<Raw>, intervals: i64) {
        self.heard.retain(|leader| now - leader.last_sync < leader.interval * intervals);
    }

    pub(super) fn clear(&mut self) {
        self.heard.clear();
    }
}
