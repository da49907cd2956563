//! A two-step Sync and its Follow_Up, in whichever order they come (IEEE 1588-2002, 8.2 and 8.4). Of one leader, the one
//! that is followed: what others send, in whatever number, takes no room.

use super::PacketTimestamp;
use crate::time::{Dante, Duration, Raw, Timestamp};
use arrayvec::ArrayVec;

/// A Sync's arrival here and its departure from the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub arrived: PacketTimestamp,
    pub origin: Timestamp<Dante>,
}

#[derive(Debug, Clone, Copy)]
enum Half {
    Sync(PacketTimestamp),
    FollowUp(Timestamp<Dante>),
}

/// What a half has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paired {
    /// Both halves are there.
    Pair(Pair),
    /// It waits for the other one.
    Waiting,
    /// It was there already.
    Repeated,
    /// Another Follow_Up has named another time for the same Sync: one of them is forged.
    Contradicting,
}

/// The longest that one half waits for the other: real Follow_Ups come within 103 us. Sequence numbers return, after
/// 4.5 hours at 4 Hz, and must not meet a half from then.
const PATIENCE: Duration = Duration::from_secs(2);

/// The halves that wait for each other. The oldest makes room.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    waiting: ArrayVec<Waiting, 16>,
    /// The last pairs, so that a second Follow_Up of one Sync is known as such.
    done: ArrayVec<(Timestamp<Raw>, u16, Timestamp<Dante>), 8>,
    /// Syncs and Follow_Ups that have waited in vain and were not told of yet.
    in_vain: [u64; 2],
}

#[derive(Debug)]
struct Waiting {
    since: Timestamp<Raw>,
    sequence: u16,
    half: Half,
}

impl Pairing {
    pub(super) fn sync(&mut self, now: Timestamp<Raw>, sequence: u16, arrived: PacketTimestamp) -> Paired {
        match self.take(now, sequence) {
            Some(Half::FollowUp(origin)) => self.complete(now, sequence, Pair { arrived, origin }),
            Some(Half::Sync(_)) | None => {
                self.keep(Waiting { since: now, sequence, half: Half::Sync(arrived) })
            }
        }
    }

    pub(super) fn follow_up(
        &mut self,
        now: Timestamp<Raw>,
        sequence: u16,
        origin: Timestamp<Dante>,
    ) -> Paired {
        self.done.retain(|(at, ..)| now - *at <= PATIENCE);
        let named = self.done.iter().find(|(_, done, _)| *done == sequence).map(|(.., named)| *named);
        if let Some(named) = named {
            return if named == origin { Paired::Repeated } else { Paired::Contradicting };
        }
        match self.take(now, sequence) {
            Some(Half::Sync(arrived)) => self.complete(now, sequence, Pair { arrived, origin }),
            Some(Half::FollowUp(other)) if other != origin => Paired::Contradicting,
            Some(Half::FollowUp(_)) | None => {
                self.keep(Waiting { since: now, sequence, half: Half::FollowUp(origin) })
            }
        }
    }

    /// How many Syncs and Follow_Ups have waited in vain since the last time.
    pub(super) fn take_in_vain(&mut self) -> [u64; 2] {
        std::mem::take(&mut self.in_vain)
    }

    fn complete(&mut self, now: Timestamp<Raw>, sequence: u16, pair: Pair) -> Paired {
        if self.done.is_full() {
            self.done.remove(0);
        }
        self.done.push((now, sequence, pair.origin));
        Paired::Pair(pair)
    }

    fn take(&mut self, now: Timestamp<Raw>, sequence: u16) -> Option<Half> {
        let in_vain = &mut self.in_vain;
        self.waiting.retain(|waiting| {
            let stays = now - waiting.since <= PATIENCE;
            if !stays {
                waiting.half.count(in_vain);
            }
            stays
        });
        let place = self.waiting.iter().position(|waiting| waiting.sequence == sequence)?;
        self.waiting.pop_at(place).map(|waiting| waiting.half)
    }

    fn keep(&mut self, waiting: Waiting) -> Paired {
        if self.waiting.is_full() {
            self.waiting.remove(0).half.count(&mut self.in_vain);
        }
        self.waiting.push(waiting);
        Paired::Waiting
    }
}

impl Half {
    fn count(self, [syncs, follow_ups]: &mut [u64; 2]) {
        *match self {
            Self::Sync(_) => syncs,
            Self::FollowUp(_) => follow_ups,
        } += 1;
    }
}
