//! What a port knows of the leader that it follows, and of the timeline of its map; how the one and the other begin and
//! end.
//!
//! A [`Session`] lasts from the choice of a leader to its loss. A [`Timeline`] lasts from one discontinuity of the
//! leader's time to the next and outlives the session: in holdover the map goes on, and a leader that returns goes on
//! with it.

use super::delay::{PathDelays, Requests};
use super::foreign_leaders::Sender;
use super::pairing::Pairing;
use super::select::{Challenger, Decision, select};
use super::{Discontinuity, Event, Output, Port, RECEIPT_TIMEOUT, Reason};
use crate::estimate::RateGuess;
use crate::time::{Raw, Timestamp};
use crate::wire::PortIdentity;

/// What exists only while a leader is followed.
#[derive(Debug)]
pub(super) struct Session {
    pub parent: Sender,
    pub pairing: Pairing,
    pub requests: Requests,
    /// Who is better and has to wait.
    pub challenger: Option<Challenger>,
    /// When a Sync was measured last.
    pub measured: Option<Timestamp<Raw>>,
    /// When the leader's rate was published last.
    pub rate_published: Option<Timestamp<Raw>>,
    /// Two-step Syncs since the last that was measured.
    pub unpaired: u32,
    /// Syncs without a timestamp since the last that had one.
    pub unstamped: u32,
    /// Packets that contradict the leader's others.
    pub contradictions: u32,
}

impl Session {
    pub(super) fn new(parent: Sender) -> Self {
        Self {
            parent,
            pairing: Pairing::default(),
            requests: Requests::default(),
            challenger: None,
            measured: None,
            rate_published: None,
            unpaired: 0,
            unstamped: 0,
            contradictions: 0,
        }
    }
}

/// A stretch of continuous time of one leader.
#[derive(Debug)]
pub(super) struct Timeline {
    /// Counts them from 1.
    pub number: u64,
    pub leader: PortIdentity,
    /// The port was SLAVE on it: others rely on it.
    pub was_slave: bool,
    /// Measurements of another time since the last that fitted.
    pub implausible: u32,
    pub delays: PathDelays,
}

impl Timeline {
    pub(super) fn of(leader: PortIdentity, number: u64) -> Self {
        Self { number, leader, was_slave: false, implausible: 0, delays: PathDelays::default() }
    }

    /// The next one of the same leader, at the end of the same path.
    pub(super) fn after_jump(self) -> Self {
        Self { delays: self.delays, ..Self::of(self.leader, self.number + 1) }
    }
}

impl Port {
    pub(super) fn parent(&self) -> Option<Sender> {
        self.session.as_ref().map(|session| session.parent)
    }

    /// Best master: the best of the leaders that qualify. One that was chosen stays until it is silent or beaten.
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
        // The map goes on if this is the leader that made it: after a silence its time is most likely continuous, and
        // if it is not, the estimator sees a jump.
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
            self.estimator.restart(self.rates.get(leader).map(RateGuess::same_leader));
            self.begin(Timeline::of(leader, self.timeline() + 1), reason);
        }
        self.step(Event::LeaderChosen, Reason::ForeignLeader(leader));
    }

    /// Dante time is not continuous with what it was.
    pub(super) fn begin(&mut self, timeline: Timeline, reason: Discontinuity) {
        self.outputs.push(Output::Timeline { number: timeline.number, reason });
        self.timeline = Some(timeline);
    }

    pub(super) fn lose_leader(&mut self, event: Event, reason: Reason) {
        self.session = None;
        self.step(event, reason);
    }

    pub(super) fn expire(&mut self, now: Timestamp<Raw>) {
        let leader = self.leader().map(|leader| (now - leader.last_sync, leader.interval * RECEIPT_TIMEOUT));
        self.foreign_leaders.expire(now, RECEIPT_TIMEOUT);
        let Some((silent, allowed)) = leader else { return };
        // Syncs that cannot be measured are as good as none, though it is known whose they are.
        let unmeasured = self.session.as_ref().and_then(|session| session.measured).map(|at| now - at);
        if let Some(unmeasured) = unmeasured.filter(|span| *span >= allowed) {
            self.step(Event::Diverged, Reason::Unmeasured(unmeasured));
        }
        if silent >= allowed {
            self.lose_leader(Event::Silence, Reason::Silence(silent));
            self.choose(now);
        }
    }
}
