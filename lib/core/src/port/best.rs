//! Which of two leaders is the better one: the best master clock algorithm of IEEE 1588-2002, 7.6.

use super::Leader;
use crate::wire::{ClockIdentifier, Grandmaster};
use std::cmp::Ordering;

/// Differences of variance within this are none (PTP_LOG_VARIANCE_THRESHOLD).
const VARIANCE_THRESHOLD: i32 = 256;
/// One that is followed is left only for a difference of so much more (PTP_LOG_VARIANCE_HYSTERESIS).
const VARIANCE_HYSTERESIS: i32 = 128;
/// Up to this stratum the clock identifier decides before the variance is looked at.
const IDENTIFIED_STRATUM: u8 = 2;

/// Whether `a` beats `b`. A leader never beats itself.
pub(super) fn is_better(a: &Leader, b: &Leader) -> bool {
    compare(a, b, VARIANCE_THRESHOLD) == Ordering::Greater
}

/// Whether `a` is so much better than `b` that it is followed in its place: variances that move to and fro across the
/// threshold decide nothing.
pub(super) fn takes_over(a: &Leader, b: &Leader) -> bool {
    let threshold = VARIANCE_THRESHOLD + VARIANCE_HYSTERESIS;
    is_better(a, b) && compare(a, b, threshold) == Ordering::Greater
}

/// Whether `a` is the better one for what it says of its clock, its name aside: two ports of one Dante clock differ in
/// nothing but their names.
pub(crate) fn is_of_better_quality(a: &Grandmaster, b: &Grandmaster) -> bool {
    compare_quality(a, b, VARIANCE_THRESHOLD + VARIANCE_HYSTERESIS) == Ordering::Greater
}

/// `Greater`: `a` is the better one. The operator's word stands above the standard's rules.
fn compare(a: &Leader, b: &Leader, threshold: i32) -> Ordering {
    if a.preferred != b.preferred {
        return a.preferred.cmp(&b.preferred);
    }
    let (ga, gb) = (&a.announced.grandmaster, &b.announced.grandmaster);
    if ga.port.uuid != gb.port.uuid {
        return compare_quality(ga, gb, threshold).then(gb.port.uuid.cmp(&ga.port.uuid));
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

fn compare_quality(a: &Grandmaster, b: &Grandmaster, threshold: i32) -> Ordering {
    let by_variance = |a: &Grandmaster, b: &Grandmaster| {
        let (a, b) = (i32::from(a.variance), i32::from(b.variance));
        if (a - b).abs() > threshold { b.cmp(&a) } else { Ordering::Equal }
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
