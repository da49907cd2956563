//! A two-step Sync and its Follow_Up, in whichever order they come (IEEE 1588-2002, 8.2 and 8.4).

use super::Stamp;
use crate::time::{Dante, Duration, Raw, Timestamp};
use crate::wire::PortIdentity;
use arrayvec::ArrayVec;

/// A Sync's arrival here and its departure from the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub source: PortIdentity,
    pub arrived: Stamp,
    pub origin: Timestamp<Dante>,
}

#[derive(Debug, Clone, Copy)]
enum Half {
    Sync(Stamp),
    FollowUp(Timestamp<Dante>),
}

/// The longest that one half waits for the other: real Follow_Ups come within 103 us. Sequence numbers return, after
/// 4.5 hours at 4 Hz, and must not meet a half from then.
const PATIENCE: Duration = Duration::from_secs(2);

/// The halves that wait for each other. The oldest makes room.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    waiting: ArrayVec<Waiting, 16>,
}

#[derive(Debug)]
struct Waiting {
    since: Timestamp<Raw>,
    source: PortIdentity,
    sequence: u16,
    half: Half,
}

impl Pairing {
    pub(super) fn sync(
        &mut self,
        now: Timestamp<Raw>,
        source: PortIdentity,
        sequence: u16,
        arrived: Stamp,
    ) -> Option<Pair> {
        match self.take(now, source, sequence) {
            Some(Half::FollowUp(origin)) => Some(Pair { source, arrived, origin }),
            Some(Half::Sync(_)) | None => {
                self.keep(Waiting { since: now, source, sequence, half: Half::Sync(arrived) })
            }
        }
    }

    pub(super) fn follow_up(
        &mut self,
        now: Timestamp<Raw>,
        source: PortIdentity,
        sequence: u16,
        origin: Timestamp<Dante>,
    ) -> Option<Pair> {
        match self.take(now, source, sequence) {
            Some(Half::Sync(arrived)) => Some(Pair { source, arrived, origin }),
            Some(Half::FollowUp(_)) | None => {
                self.keep(Waiting { since: now, source, sequence, half: Half::FollowUp(origin) })
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    fn take(&mut self, now: Timestamp<Raw>, source: PortIdentity, sequence: u16) -> Option<Half> {
        self.waiting.retain(|waiting| now - waiting.since <= PATIENCE);
        let is_other = |waiting: &Waiting| (waiting.source, waiting.sequence) == (source, sequence);
        let place = self.waiting.iter().position(is_other)?;
        self.waiting.pop_at(place).map(|waiting| waiting.half)
    }

    fn keep(&mut self, waiting: Waiting) -> Option<Pair> {
        if self.waiting.is_full() {
            self.waiting.remove(0);
        }
        self.waiting.push(waiting);
        None
    }
}
