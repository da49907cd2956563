//! When to tell the network anew that this host is in the multicast group.
//!
//! A switch that listens to IGMP and hears no querier forgets the members of a group after some minutes, and one that
//! was restarted has forgotten them all. The kernel tells its membership once and then when a querier asks. So it is made
//! to tell it again where nothing is heard though the link is up.

use dante_core::time::{Duration, Raw, Timestamp};

/// At a start a leader is heard within a second.
const PATIENCE: Duration = Duration::from_secs(10);
/// A network without a leader is left alone but for one report a minute.
const LONGEST: Duration = Duration::from_secs(60);

/// The times at which to tell it.
#[derive(Debug)]
pub struct Membership {
    due: Option<Timestamp<Raw>>,
    last: Option<Timestamp<Raw>>,
    pause: Duration,
}

impl Default for Membership {
    fn default() -> Self {
        Self { due: None, last: None, pause: PATIENCE }
    }
}

impl Membership {
    /// The sockets have joined, or joined again: the network was told just now.
    pub fn told(&mut self, now: Timestamp<Raw>) {
        self.last = Some(now);
    }

    /// Nothing is heard from now on.
    pub fn silent(&mut self, now: Timestamp<Raw>) {
        if self.due.is_none() {
            self.pause = PATIENCE;
            self.due = Some(self.last.map_or(now, |last| now.max(last + PATIENCE)));
        }
    }

    /// A leader is heard, or the link is down: there is nothing to tell.
    pub fn rest(&mut self) {
        self.due = None;
    }

    /// When to call [`take`](Self::take).
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.due
    }

    /// Whether it is to be told now. The next time comes later and later.
    pub fn take(&mut self, now: Timestamp<Raw>) -> bool {
        let is_due = self.due.is_some_and(|due| now >= due);
        if is_due {
            self.last = Some(now);
            self.due = Some(now + self.pause);
            self.pause = (self.pause * 2).min(LONGEST);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp<Raw> {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    /// The seconds up to `end` at which it is told.
    fn told(membership: &mut Membership, end: i64) -> Vec<i64> {
        let mut times = Vec::new();
        while let Some(due) = membership.deadline().filter(|due| *due <= at(end)) {
            assert!(!membership.take(due - Duration::from_ns(1)));
            assert!(membership.take(due));
            times.push((due - Timestamp::ZERO).ns() / 1_000_000_000);
        }
        times
    }

    #[test]
    fn a_network_that_stays_silent_is_told_less_and_less_often() {
        let mut membership = Membership::default();
        membership.told(at(0));
        membership.silent(at(0));
        assert_eq!(told(&mut membership, 300), [10, 20, 40, 80, 140, 200, 260]);
    }

    #[test]
    fn a_leader_that_falls_silent_is_asked_for_at_once_and_at_most_every_ten_seconds() {
        let mut membership = Membership::default();
        membership.told(at(0));
        membership.silent(at(0));
        membership.rest();
        assert_eq!(told(&mut membership, 300), [0; 0]);
        membership.silent(at(1000));
        // Said again, as when one state of silence follows another: nothing begins anew.
        membership.silent(at(1003));
        assert_eq!(told(&mut membership, 1031), [1000, 1010, 1030]);
        // Heard, and silent again soon after.
        membership.rest();
        membership.silent(at(1034));
        assert_eq!(told(&mut membership, 1065), [1040, 1050]);
    }
}
