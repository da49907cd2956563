//! Which leader to follow: the best master clock algorithm of IEEE 1588-2002, 7.6, how long a better leader waits, and the
//! choice, a pure function of the foreign leaders and of what the port follows now.
//!
//! On a network in order a leader that receives a better one's Syncs stops its own, and nothing is waited for. Where both
//! go on, or each is silent in turn, every change costs the followers a timeline; so each change doubles the wait before
//! the next one.

use super::ForeignLeader;
use super::foreign_leaders::{ForeignLeaders, Sender};
use super::session::{Session, Timeline};
use crate::announcement::Quality;
use crate::time::{Duration, Raw, Timestamp};
use arrayvec::ArrayVec;
use std::cmp::Ordering;

/// Whether a difference must exceed the tolerance alone, or the hysteresis too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Margin {
    Tolerance,
    /// Half as much again: PTP_LOG_VARIANCE_HYSTERESIS, 128 where the threshold is 256.
    Hysteresis,
}

/// Whether `a` beats `b`. A leader never beats itself.
pub(super) fn is_better(a: &ForeignLeader, b: &ForeignLeader) -> bool {
    compare(a, b, Margin::Tolerance) == Ordering::Greater
}

/// Whether `a` is so much better than `b` that it is followed in its place: variances that move to and fro across the
/// threshold decide nothing.
pub(super) fn takes_over(a: &ForeignLeader, b: &ForeignLeader) -> bool {
    is_better(a, b) && compare(a, b, Margin::Hysteresis) == Ordering::Greater
}

/// Whether `a` is the better one for what it says of its clock, its name aside: two ports of one Dante clock differ in
/// nothing but their names.
pub(crate) fn is_of_better_quality(a: &Quality, b: &Quality) -> bool {
    compare_quality(a, b, Margin::Hysteresis) == Ordering::Greater
}

/// `Greater`: `a` is the better one. The operator's word stands above the standard's rules.
fn compare(a: &ForeignLeader, b: &ForeignLeader, margin: Margin) -> Ordering {
    if a.preferred != b.preferred {
        return a.preferred.cmp(&b.preferred);
    }
    let (one, other) = (&a.announced, &b.announced);
    if one.grandmaster.uuid != other.grandmaster.uuid {
        return compare_quality(&one.quality, &other.quality, margin)
            .then(other.grandmaster.uuid.cmp(&one.grandmaster.uuid));
    }
    // The same grandmaster over two ways: the shorter one, then the lower identity.
    let tolerance = one.steps_tolerance.max(other.steps_tolerance);
    if one.steps_removed.abs_diff(other.steps_removed) > tolerance {
        return other.steps_removed.cmp(&one.steps_removed);
    }
    b.identity.cmp(&a.identity)
}

fn compare_quality(a: &Quality, b: &Quality, margin: Margin) -> Ordering {
    let tolerance = a.variance_tolerance.max(b.variance_tolerance);
    let tolerance = match margin {
        Margin::Tolerance => tolerance,
        Margin::Hysteresis => tolerance.saturating_add(tolerance / 2),
    };
    let by_variance = || {
        if a.variance.abs_diff(b.variance) > tolerance {
            b.variance.cmp(&a.variance)
        } else {
            Ordering::Equal
        }
    };
    a.preferred
        .cmp(&b.preferred)
        .then(b.priority1.cmp(&a.priority1))
        .then(b.class.cmp(&a.class))
        .then(b.accuracy.cmp(&a.accuracy))
        .then_with(by_variance)
        .then(a.boundary_clock.cmp(&b.boundary_clock))
        .then(b.priority2.cmp(&a.priority2))
}

/// A better leader has to be it for so many intervals while the present one goes on: 2 s at 4 Hz.
const HOLD: i64 = 8;
/// And at most this, however often they have changed.
const LONGEST_HOLD: Duration = Duration::from_secs(64);
/// What is there when the present one is silent has to be there for so long, after one change in the last minutes: longer
/// than it takes until one that is silent now and then counts as gone.
const WAIT: Duration = Duration::from_secs(4);
/// And at most this: a leader that waits for nobody is better than none.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// Changes are remembered for so long.
const MEMORY: Duration = Duration::from_secs(300);

/// The changes to another leader lately.
#[derive(Debug, Default)]
pub(super) struct Damping {
    changes: ArrayVec<Timestamp<Raw>, 6>,
}

impl Damping {
    pub(super) fn changed(&mut self, now: Timestamp<Raw>) {
        if self.changes.is_full() {
            self.changes.remove(0);
        }
        self.changes.push(now);
    }

    /// How long a better one has to wait beside one that goes on and advertises this interval.
    pub(super) fn hold(&self, now: Timestamp<Raw>, interval: Duration) -> Duration {
        (interval * HOLD * (1 << self.recent(now))).min(LONGEST_HOLD)
    }

    /// How long another one has to have been there before it is followed in place of one that is silent.
    pub(super) fn wait(&self, now: Timestamp<Raw>) -> Duration {
        match self.recent(now) {
            0 => Duration::ZERO,
            changes => (WAIT * (1 << (changes - 1))).min(LONGEST_WAIT),
        }
    }

    fn recent(&self, now: Timestamp<Raw>) -> usize {
        self.changes.iter().filter(|at| now - **at < MEMORY).count()
    }
}

/// One that has said nothing for so many intervals beside a better one has given way to it.
const GIVEN_WAY: i64 = 4;

/// A leader that is better than the one followed, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Challenger {
    pub sender: Sender,
    pub since: Timestamp<Raw>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Go on with the present leader, or without one. The challenger has to wait.
    Stay(Option<Challenger>),
    /// Follow this one from now on.
    Follow(Sender),
}

/// Chooses for a port with this session and this timeline.
pub(super) fn select(
    now: Timestamp<Raw>,
    leaders: &ForeignLeaders,
    session: Option<&Session>,
    timeline: Option<&Timeline>,
    damping: &Damping,
) -> Decision {
    let Some(best) = leaders.best(now, session.map(|session| session.parent)) else {
        return Decision::Stay(None);
    };
    let sender = best.sender();
    let followed = session.and_then(|session| Some((session, leaders.get(session.parent)?)));
    let Some((session, present)) = followed else {
        let before = timeline.map(|timeline| timeline.leader);
        if before.is_none_or(|before| before == best.identity) || now - best.since >= damping.wait(now) {
            return Decision::Follow(sender);
        }
        let returned = before.and_then(|before| leaders.qualified(before));
        return returned.map_or(Decision::Stay(None), |leader| Decision::Follow(leader.sender()));
    };
    if sender == present.sender() {
        return Decision::Stay(None);
    }
    let has_given_way = now - present.last_sync >= present.interval * GIVEN_WAY;
    if sender.identity == present.identity {
        // The same device, from where its packets come now.
        return if has_given_way { Decision::Follow(sender) } else { Decision::Stay(session.challenger) };
    }
    if !takes_over(best, present) {
        return Decision::Stay(None);
    }
    let since = match session.challenger {
        Some(challenger) if challenger.sender == sender => challenger.since,
        _ => now,
    };
    let patience = match (has_given_way, timeline.is_some_and(|timeline| timeline.was_slave)) {
        (true, _) => damping.wait(now),
        // Nobody rests on a leader that the port was never SLAVE of.
        (false, false) => Duration::ZERO,
        (false, true) => damping.hold(now, present.interval),
    };
    if now - since >= patience {
        Decision::Follow(sender)
    } else {
        Decision::Stay(Some(Challenger { sender, since }))
    }
}
