//! Selection of the leader: the best master clock algorithm of IEEE 1588-2002, 7.6, and the damping of changes. [`select`] is a
//! pure function of the foreign leaders and of the leader that the port follows.
//!
//! Normally a leader that receives a better leader's Syncs stops sending, and the better one is followed without a wait. If both
//! continue to send, or each is silent in turn, every change starts a new timeline for the followers. Therefore each change of
//! the last 300 s lengthens the wait before the next one, up to a bound. Changes before the port was SLAVE do not count.

use super::ForeignLeader;
use super::foreign_leaders::{ForeignLeaders, Sender};
use super::session::{Session, Timeline};
use crate::announcement::Quality;
use crate::time::{Duration, Raw, Timestamp};
use arrayvec::ArrayVec;
use std::cmp::Ordering;

/// How much two variances must differ to count as different, in units of 1/256 of log2(s^2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Margin {
    /// More than the tolerance.
    Tolerance,
    /// More than 1.5 times the tolerance: PTP_LOG_VARIANCE_HYSTERESIS is 128 where the threshold is 256.
    Hysteresis,
}

/// Whether `a` is better than `b`. A tie never causes a change.
pub(super) fn is_better(a: &ForeignLeader, b: &ForeignLeader) -> bool {
    compare(a, b, Margin::Tolerance) == Ordering::Greater
}

/// Whether `a` is better than `b` by enough to replace it: the hysteresis prevents changes where a variance fluctuates around the
/// threshold.
pub(super) fn takes_over(a: &ForeignLeader, b: &ForeignLeader) -> bool {
    is_better(a, b) && compare(a, b, Margin::Hysteresis) == Ordering::Greater
}

/// Whether `a` is the better clock by its quality alone, without its identity: two ports of one Dante clock differ only in their
/// identities.
pub(crate) fn is_of_better_quality(a: &Quality, b: &Quality) -> bool {
    compare_quality(a, b, Margin::Hysteresis) == Ordering::Greater
}

/// Returns `Greater` if `a` is the better one. The operator's preference precedes the standard's rules.
fn compare(a: &ForeignLeader, b: &ForeignLeader, margin: Margin) -> Ordering {
    if a.preference != b.preference {
        return a.preference.cmp(&b.preference);
    }
    let (one, other) = (&a.announced, &b.announced);
    if one.grandmaster.uuid != other.grandmaster.uuid {
        return compare_quality(&one.quality, &other.quality, margin)
            .then(other.grandmaster.uuid.cmp(&one.grandmaster.uuid));
    }
    // The same grandmaster over two paths: the shorter path, then the lower identity.
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

/// Time for which a leader has to be the better one before it replaces one that still sends, in Sync intervals: 2 s at 4 Hz.
const HOLD_INTERVALS: i64 = 8;
/// Upper bound of that time, after repeated changes and with slow Syncs.
const MAX_HOLD: Duration = Duration::from_secs(64);
/// Time for which another leader has to be present before it replaces one that is silent, after one change within
/// [`CHANGE_MEMORY`]. Longer than the receipt timeout at Dante's 4 Hz (2.5 s), after which a leader that pauses is lost.
const REPLACEMENT_WAIT: Duration = Duration::from_secs(4);
/// Upper bound of that time after repeated changes: any leader is better than none.
const MAX_REPLACEMENT_WAIT: Duration = Duration::from_secs(8);
/// Time for which a change of leaders counts for the damping.
const CHANGE_MEMORY: Duration = Duration::from_secs(300);

/// The recent changes to another leader.
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

    /// Time for which a leader has to be better than one that still sends Syncs at this interval.
    pub(super) fn hold(&self, now: Timestamp<Raw>, interval: Duration) -> Duration {
        (interval * HOLD_INTERVALS * (1 << self.recent_changes(now))).min(MAX_HOLD)
    }

    /// Time for which another leader has to be present before it replaces one that is silent.
    pub(super) fn replacement_wait(&self, now: Timestamp<Raw>) -> Duration {
        match self.recent_changes(now) {
            0 => Duration::ZERO,
            changes => (REPLACEMENT_WAIT * (1 << (changes - 1))).min(MAX_REPLACEMENT_WAIT),
        }
    }

    fn recent_changes(&self, now: Timestamp<Raw>) -> usize {
        self.changes.iter().filter(|at| now - **at < CHANGE_MEMORY).count()
    }
}

/// A leader that is better than the one followed, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Challenger {
    pub sender: Sender,
    pub since: Timestamp<Raw>,
}

/// The result of a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// No change: keep the followed leader, or none. The challenger waits.
    Stay(Option<Challenger>),
    /// Follow this leader.
    Follow(Sender),
}

/// Selects the leader for a port with this session and this timeline.
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
        if before.is_none_or(|before| before == best.identity)
            || now - best.since >= damping.replacement_wait(now)
        {
            return Decision::Follow(sender);
        }
        let returned = before.and_then(|before| leaders.qualified(before));
        return returned.map_or(Decision::Stay(None), |leader| Decision::Follow(leader.sender()));
    };
    if sender == present.sender() {
        return Decision::Stay(None);
    }
    if sender.identity == present.identity {
        // The same device at another address. It is silent at the old one.
        return Decision::Follow(sender);
    }
    let is_passed_over = !present.measurability.keeps() && best.measurability.suffices();
    if !is_passed_over && !takes_over(best, present) {
        return Decision::Stay(None);
    }
    let since = match session.challenger {
        Some(challenger) if challenger.sender == sender => challenger.since,
        _ => now,
    };
    let was_slave = timeline.is_some_and(|timeline| timeline.was_slave);
    let required = if is_passed_over {
        // Its return is damped instead.
        Duration::ZERO
    } else if present.is_silent(now) {
        damping.replacement_wait(now)
    } else if was_slave || best.measurability.had_defect() {
        damping.hold(now, present.interval().duration())
    } else {
        // Readers use a timeline only once the port was SLAVE on it, so this change disturbs none of them.
        Duration::ZERO
    };
    if now - since >= required {
        Decision::Follow(sender)
    } else {
        Decision::Stay(Some(Challenger { sender, since }))
    }
}
