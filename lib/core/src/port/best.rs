//! Which of two leaders is the better one: the best master clock algorithm of IEEE 1588-2002, 7.6.

use super::Leader;
use crate::announcement::Quality;
use std::cmp::Ordering;

/// Whether a difference must exceed the tolerance alone, or the hysteresis too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Margin {
    Tolerance,
    /// Half as much again: PTP_LOG_VARIANCE_HYSTERESIS, 128 where the threshold is 256.
    Hysteresis,
}

/// Whether `a` beats `b`. A leader never beats itself.
pub(super) fn is_better(a: &Leader, b: &Leader) -> bool {
    compare(a, b, Margin::Tolerance) == Ordering::Greater
}

/// Whether `a` is so much better than `b` that it is followed in its place: variances that move to and fro across the
/// threshold decide nothing.
pub(super) fn takes_over(a: &Leader, b: &Leader) -> bool {
    is_better(a, b) && compare(a, b, Margin::Hysteresis) == Ordering::Greater
}

/// Whether `a` is the better one for what it says of its clock, its name aside: two ports of one Dante clock differ in
/// nothing but their names.
pub(crate) fn is_of_better_quality(a: &Quality, b: &Quality) -> bool {
    compare_quality(a, b, Margin::Hysteresis) == Ordering::Greater
}

/// `Greater`: `a` is the better one. The operator's word stands above the standard's rules.
fn compare(a: &Leader, b: &Leader, margin: Margin) -> Ordering {
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
