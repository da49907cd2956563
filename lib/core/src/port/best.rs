//! Which of two leaders is the better one: the best master clock algorithm of IEEE 1588-2002, 7.6.

use super::Leader;
use crate::wire::{ClockIdentifier, Grandmaster};
use std::cmp::Ordering;

/// Differences of variance within this are none (PTP_LOG_VARIANCE_THRESHOLD).
const VARIANCE_THRESHOLD: i32 = 256;
/// Up to this stratum the clock identifier decides before the variance is looked at.
const IDENTIFIED_STRATUM: u8 = 2;

/// Whether `a` beats `b`. A leader never beats itself.
pub(super) fn is_better(a: &Leader, b: &Leader) -> bool {
    compare(a, b) == Ordering::Greater
}

/// `Greater`: `a` is the better one.
fn compare(a: &Leader, b: &Leader) -> Ordering {
    let (ga, gb) = (&a.announced.grandmaster, &b.announced.grandmaster);
    if ga.port.uuid != gb.port.uuid {
        return compare_grandmasters(ga, gb);
    }
    // The same grandmaster over two ways: the shorter one, unless they differ by one step only.
    let steps = |leader: &Leader| i32::from(leader.announced.local.steps_removed);
    if (steps(a) - steps(b)).abs() > 1 {
        return steps(b).cmp(&steps(a));
    }
    b.identity
        .cmp(&a.identity)
        .then(ga.sequence_id.cmp(&gb.sequence_id))
        .then(a.sequence_id.cmp(&b.sequence_id))
}

fn compare_grandmasters(a: &Grandmaster, b: &Grandmaster) -> Ordering {
    let by_variance = |a: &Grandmaster, b: &Grandmaster| {
        let (a, b) = (i32::from(a.variance), i32::from(b.variance));
        if (a - b).abs() > VARIANCE_THRESHOLD { b.cmp(&a) } else { Ordering::Equal }
    };
    a.preferred
        .cmp(&b.preferred)
        .then(b.stratum.cmp(&a.stratum))
        .then_with(|| match a.stratum {
            // Equal strata from here on.
            ..=IDENTIFIED_STRATUM => rank(b.identifier).cmp(&rank(a.identifier)),
            _ => Ordering::Equal,
        })
        .then_with(|| by_variance(a, b))
        .then(a.is_boundary_clock.cmp(&b.is_boundary_clock))
        .then(b.port.uuid.cmp(&a.port.uuid))
}

/// ATOM and GPS are the best (0), then NTP, HAND, INIT, DFLT, and anything else.
fn rank(identifier: ClockIdentifier) -> u8 {
    const ORDER: [(ClockIdentifier, u8); 6] = [
        (ClockIdentifier::ATOM, 0),
        (ClockIdentifier::GPS, 0),
        (ClockIdentifier::NTP, 1),
        (ClockIdentifier::HAND, 2),
        (ClockIdentifier::INIT, 3),
        (ClockIdentifier::DFLT, 4),
    ];
    ORDER.iter().find(|(known, _)| *known == identifier).map_or(5, |(_, rank)| *rank)
}
