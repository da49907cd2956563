//! A two-step Sync and its Follow_Up, in whichever order they come (IEEE 1588-2002, 8.2 and 8.4).

use super::Stamp;
use crate::time::{Dante, Timestamp};
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

/// The halves that wait for each other. The oldest makes room: at 4 Hz a Follow_Up may be more than a second late,
/// and a real one comes within 103 us.
#[derive(Debug, Default)]
pub(super) struct Pairing {
    waiting: ArrayVec<(PortIdentity, u16, Half), 8>,
}

impl Pairing {
    pub(super) fn sync(&mut self, source: PortIdentity, sequence: u16, arrived: Stamp) -> Option<Pair> {
        match self.take(source, sequence) {
            Some(Half::FollowUp(origin)) => Some(Pair { source, arrived, origin }),
            Some(Half::Sync(_)) | None => self.keep(source, sequence, Half::Sync(arrived)),
        }
    }

    pub(super) fn follow_up(
        &mut self,
        source: PortIdentity,
        sequence: u16,
        origin: Timestamp<Dante>,
    ) -> Option<Pair> {
        match self.take(source, sequence) {
            Some(Half::Sync(arrived)) => Some(Pair { source, arrived, origin }),
            Some(Half::FollowUp(_)) | None => self.keep(source, sequence, Half::FollowUp(origin)),
        }
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    fn take(&mut self, source: PortIdentity, sequence: u16) -> Option<Half> {
        let place =
            self.waiting.iter().position(|&(from, number, _)| (from, number) == (source, sequence))?;
        self.waiting.pop_at(place).map(|(_, _, half)| half)
    }

    fn keep(&mut self, source: PortIdentity, sequence: u16, half: Half) -> Option<Pair> {
        if self.waiting.is_full() {
            self.waiting.remove(0);
        }
        self.waiting.push((source, sequence, half));
        None
    }
}
