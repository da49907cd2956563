//! Session and timeline: what a port keeps per leader and per timeline of its clock map, and how both start and end.
//!
//! A [`Session`] lasts from the choice of a leader to its loss. A [`Timeline`] lasts from one discontinuity of the leader's time to
//! the next and outlives the session: the clock map remains valid in holdover, and continues when the same leader returns.

use super::delay::{PathDelays, Requests};
use super::foreign_leaders::Sender;
use super::path_drift::Comparisons;
use super::select::{Challenger, Decision, select};
use super::{Discontinuity, Event, Output, Port, Reason};
use crate::estimate::RateGuess;
use crate::time::{Raw, Timestamp};
use crate::wire::PortIdentity;

/// Syncs in a row without a measurement after which the lock may end.
const MIN_UNMEASURED: u32 = 4;

/// State that exists only while a leader is followed.
#[derive(Debug)]
pub(super) struct Session {
    pub parent: Sender,
    pub requests: Requests,
    /// The better leader that has to wait.
    pub challenger: Option<Challenger>,
    /// When a Sync was last measured.
    pub measured: Option<Timestamp<Raw>>,
    /// When the leader's rate was last published.
    pub rate_published: Option<Timestamp<Raw>>,
    /// Syncs since the last measured one.
    pub unmeasured: u32,
    /// Two-step Syncs with a timestamp since the last measured Sync.
    pub unpaired: u32,
    /// Follow_Ups since the last measured Sync.
    pub unmatched: u32,
    /// Syncs without a timestamp since the last Sync with one.
    pub without_timestamp: u32,
    /// Packets that contradict the leader's other packets.
    pub contradictions: u32,
    /// Since when most Syncs scatter by milliseconds.
    pub scattering_since: Option<Timestamp<Raw>>,
}

impl Session {
    pub(super) fn new(parent: Sender) -> Self {
        Self {
            parent,
            requests: Requests::default(),
            challenger: None,
            measured: None,
            rate_published: None,
            unmeasured: 0,
            unpaired: 0,
            unmatched: 0,
            without_timestamp: 0,
            contradictions: 0,
            scattering_since: None,
        }
    }
}

/// A stretch of continuous time of one leader.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Counts the timelines from 1.
    pub number: u64,
    pub leader: PortIdentity,
    /// Whether the port was SLAVE on it, so that readers depend on it.
    pub was_slave: bool,
    /// Implausible measurements since the last accepted one.
    pub implausible: u32,
    pub delays: PathDelays,
    pub comparisons: Comparisons,
}

impl Timeline {
    pub(super) fn of(leader: PortIdentity, number: u64) -> Self {
        Self {
            number,
            leader,
            was_slave: false,
            implausible: 0,
            delays: PathDelays::default(),
            comparisons: Comparisons::default(),
        }
    }

    /// The next timeline of the same leader over the same path.
    pub(super) fn after_jump(self) -> Self {
        Self { delays: self.delays, ..Self::of(self.leader, self.number + 1) }
    }
}

impl Port {
    pub(super) fn parent(&self) -> Option<Sender> {
        self.session.as_ref().map(|session| session.parent)
    }

    /// Runs the best master clock algorithm on the qualified leaders. The chosen leader stays until it is silent or a better one
    /// replaces it.
    pub(super) fn choose(&mut self, now: Timestamp<Raw>) {
        let (session, timeline) = (self.session.as_ref(), self.timeline.as_ref());
        match select(now, &self.foreign_leaders, session, timeline, &self.damping) {
            Decision::Follow(sender) => self.follow(now, sender),
            Decision::Stay(challenger) => {
                if let Some(session) = &mut self.session {
                    session.challenger = challenger;
                }
            }
        }
    }

    fn follow(&mut self, now: Timestamp<Raw>, sender: Sender) {
        let leader = sender.identity;
        if let Some(known) = self.well_known_rate() {
            self.learn(known);
        }
        self.session = Some(Session::new(sender));
        // The clock map continues if it is of the same leader: after a silence the leader's time is most likely continuous, and
        // if not, the estimator detects a jump.
        let reason = match &self.timeline {
            None => Some(Discontinuity::First(leader)),
            Some(timeline) if timeline.leader == leader => None,
            Some(timeline) => {
                if timeline.was_slave {
                    self.damping.changed(now);
                }
                Some(Discontinuity::AnotherLeader(leader))
            }
        };
        if let Some(reason) = reason {
            let known = self.rates.get(leader);
            self.estimator.restart(known.map(|known| RateGuess::same_leader(known.rate)));
            self.estimator.expect_wander(known.and_then(|known| known.wander));
            self.begin(Timeline::of(leader, self.timeline() + 1), reason);
        }
        self.step(Event::LeaderChosen, Reason::ForeignLeader(leader));
    }

    /// Starts a timeline: Dante time is not continuous with the previous one.
    pub(super) fn begin(&mut self, timeline: Timeline, reason: Discontinuity) {
        self.outputs.push(Output::Timeline { number: timeline.number, reason });
        self.timeline = Some(timeline);
    }

    /// `until`: the last Sync of a leader that is silent.
    pub(super) fn lose_leader(&mut self, event: Event, reason: Reason, until: Option<Timestamp<Raw>>) {
        self.session = None;
        self.diagnostics.leader_lost(until);
        self.step(event, reason);
    }

    /// When the lock ends because Syncs that arrive cannot be measured; the leader stays. `None` if they stop before that, or if only a
    /// few were received, as when this process was stopped meanwhile.
    pub(super) fn unmeasured_due(&self) -> Option<Timestamp<Raw>> {
        let (leader, session) = (self.leader()?, self.session.as_ref()?);
        let due = session.measured? + leader.receipt_timeout();
        (!leader.is_silent(due) && session.unmeasured >= MIN_UNMEASURED).then_some(due)
    }

    pub(super) fn expire(&mut self, now: Timestamp<Raw>) {
        let leader = self.leader().map(|leader| (leader.last_sync, leader.receipt_timeout()));
        let unmeasured_due = self.unmeasured_due();
        self.foreign_leaders.expire(now);
        let Some((last_sync, allowed)) = leader else { return };
        let measured = self.session.as_ref().and_then(|session| session.measured);
        if let Some(measured) = measured.filter(|_| unmeasured_due.is_some_and(|due| now >= due)) {
            self.step(Event::Diverged, Reason::Unmeasured(now - measured));
        }
        let silent = now - last_sync;
        if silent >= allowed {
            self.lose_leader(Event::Silence, Reason::Silence(silent), Some(last_sync));
            self.choose(now);
        }
    }
}
