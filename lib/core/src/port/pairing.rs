//! Pairing of a two-step Sync with its Follow_Up, in either order (IEEE 1588-2002, 8.2 and 8.4). Each foreign leader has its own, of a
//! fixed size, so that packets of one take no room of another.

use super::PacketTimestamp;
use crate::time::{Dante, Duration, Raw, Timestamp};
use arrayvec::ArrayVec;

/// Arrival of a Sync at this host and its departure from the leader.
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

/// The result for one Sync or Follow_Up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paired {
    /// Both were received.
    Pair(Pair),
    /// It waits for the other one.
    Waiting,
    /// It was received before.
    Repeated,
    /// Another Follow_Up has another time for the same Sync: one of them is forged.
    Contradicting,
}

/// Time for which a Sync waits for its Follow_Up, or a Follow_Up for its Sync: real Follow_Ups arrive within 103 us. Sequence
/// numbers repeat after 4.5 hours at 4 Hz and must not match one from then.
const PAIRING_TIMEOUT: Duration = Duration::from_secs(2);

/// Syncs and Follow_Ups that wait for each other. If there is no room the oldest is dropped.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    waiting: ArrayVec<Waiting, 16>,
    /// The last pairs, to detect a second Follow_Up of one Sync.
    done: ArrayVec<(Timestamp<Raw>, u16, Timestamp<Dante>), 8>,
    /// Syncs and Follow_Ups dropped without a counterpart that were not counted yet.
    unpaired: [u64; 2],
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
        self.done.retain(|(at, ..)| now - *at <= PAIRING_TIMEOUT);
        let known = self.done.iter().find(|(_, done, _)| *done == sequence).map(|(.., known)| *known);
        if let Some(known) = known {
            return if known == origin { Paired::Repeated } else { Paired::Contradicting };
        }
        match self.take(now, sequence) {
            Some(Half::Sync(arrived)) => self.complete(now, sequence, Pair { arrived, origin }),
            Some(Half::FollowUp(other)) if other != origin => Paired::Contradicting,
            Some(Half::FollowUp(_)) | None => {
                self.keep(Waiting { since: now, sequence, half: Half::FollowUp(origin) })
            }
        }
    }

    /// Returns and resets the numbers of Syncs and Follow_Ups that were dropped without a counterpart.
    pub(super) fn take_unpaired(&mut self) -> [u64; 2] {
        std::mem::take(&mut self.unpaired)
    }

    fn complete(&mut self, now: Timestamp<Raw>, sequence: u16, pair: Pair) -> Paired {
        if self.done.is_full() {
            self.done.remove(0);
        }
        self.done.push((now, sequence, pair.origin));
        Paired::Pair(pair)
    }

    fn take(&mut self, now: Timestamp<Raw>, sequence: u16) -> Option<Half> {
        let unpaired = &mut self.unpaired;
        self.waiting.retain(|waiting| {
            let stays = now - waiting.since <= PAIRING_TIMEOUT;
            if !stays {
                waiting.half.count(unpaired);
            }
            stays
        });
        let place = self.waiting.iter().position(|waiting| waiting.sequence == sequence)?;
        self.waiting.pop_at(place).map(|waiting| waiting.half)
    }

    fn keep(&mut self, waiting: Waiting) -> Paired {
        if self.waiting.is_full() {
            self.waiting.remove(0).half.count(&mut self.unpaired);
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
