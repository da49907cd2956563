//! When to send another IGMP report of this host's membership in the multicast group.
//!
//! A switch with IGMP snooping but without a querier drops the members of a group after some minutes, and a restarted switch has
//! none. The kernel reports a membership once, and then only in reply to a querier. Therefore another report is triggered while
//! the link is up and no leader is received.

use dante_core::time::{Duration, Raw, Timestamp};

/// Minimum time between two reports. After a start a leader is normally received within a second.
const MIN_INTERVAL: Duration = Duration::from_secs(10);
/// Maximum time between two reports on a network without a leader.
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// Schedule of the reports.
#[derive(Debug)]
pub struct Membership {
    due: Option<Timestamp<Raw>>,
    last: Option<Timestamp<Raw>>,
    interval: Duration,
}

impl Default for Membership {
    fn default() -> Self {
        Self { due: None, last: None, interval: MIN_INTERVAL }
    }
}

impl Membership {
    /// The sockets joined the group: the kernel sent a report.
    pub fn reported(&mut self, now: Timestamp<Raw>) {
        self.last = Some(now);
    }

    /// No leader is received: schedules reports, unless they are scheduled already.
    pub fn start(&mut self, now: Timestamp<Raw>) {
        if self.due.is_none() {
            self.interval = MIN_INTERVAL;
            self.due = Some(self.last.map_or(now, |last| now.max(last + MIN_INTERVAL)));
        }
    }

    /// A leader is received, or the link is down: no reports are due.
    pub fn stop(&mut self) {
        self.due = None;
    }

    /// When to call [`take_due`](Self::take_due).
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.due
    }

    /// Whether a report is due now. If so, schedules the next one, at increasing intervals.
    pub fn take_due(&mut self, now: Timestamp<Raw>) -> bool {
        let is_due = self.due.is_some_and(|due| now >= due);
        if is_due {
            self.last = Some(now);
            self.due = Some(now + self.interval);
            self.interval = (self.interval * 2).min(MAX_INTERVAL);
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

    /// The times of the reports up to `end`, s.
    fn reports(membership: &mut Membership, end: i64) -> Vec<i64> {
        let mut times = Vec::new();
        while let Some(due) = membership.deadline().filter(|due| *due <= at(end)) {
            assert!(!membership.take_due(due - Duration::from_ns(1)));
            assert!(membership.take_due(due));
            times.push((due - Timestamp::ZERO).ns() / 1_000_000_000);
        }
        times
    }

    #[test]
    fn reports_become_rarer_on_a_silent_network() {
        let mut membership = Membership::default();
        membership.reported(at(0));
        membership.start(at(0));
        assert_eq!(reports(&mut membership, 300), [10, 20, 40, 80, 140, 200, 260]);
    }

    #[test]
    fn reports_at_once_when_the_leader_stops_and_at_most_every_ten_seconds() {
        let mut membership = Membership::default();
        membership.reported(at(0));
        membership.start(at(0));
        membership.stop();
        assert_eq!(reports(&mut membership, 300), [0; 0]);
        membership.start(at(1000));
        // A second call changes nothing.
        membership.start(at(1003));
        assert_eq!(reports(&mut membership, 1031), [1000, 1010, 1030]);
        // A leader was received for a short time.
        membership.stop();
        membership.start(at(1034));
        assert_eq!(reports(&mut membership, 1065), [1040, 1050]);
    }
}
