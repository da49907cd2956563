//! Which leader to follow: a pure function of the foreign leaders and of what the port follows now.

use super::best;
use super::damping::Damping;
use super::leaders::{Leaders, Sender};
use super::session::{Session, Timeline};
use crate::time::{Duration, Raw, Timestamp};

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
    leaders: &Leaders,
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
    if !best::takes_over(best, present) {
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
