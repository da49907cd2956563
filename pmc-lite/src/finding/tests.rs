use super::*;
use crate::scenes::{fresh, no_daemon};
use conditions::{Stage, after, alone, beside, incidents::incidents, traffic::traffic};
use dante_core::port::InterfaceFault;

#[path = "../../../lib/core/src/port/tests/conditions.rs"]
mod conditions;

/// The kinds of the findings about dante4l, the first one first.
fn kinds(stage: &mut Stage) -> Vec<&'static str> {
    let now = stage.now;
    if !stage.port().state().is_open() {
        stage.engine.set_fault(0, InterfaceFault::NoCarrier);
    }
    let (_, status) = stage.engine.pages(now, None);
    let pages = Pages { now, dante4l: fresh(*status), ..no_daemon() };
    observer(&pages).iter().map(|finding| finding.kind.name()).collect()
}

/// A missing leader has one finding, or one for each diagnostic that explains it.
#[test]
fn first_finding_is_what_explains_the_rest() {
    let mut wrong = Vec::new();
    let mut check = |name: &str, when: &str, expected: &str, most: usize, found: &[&'static str]| {
        let first = found.first().copied().unwrap_or("ok");
        if first != expected || found.iter().filter(|kind| **kind == "no_leader").count() > most {
            wrong.push(format!("{name}, {when}: {found:?}, not {expected}"));
        }
    };
    for one in traffic() {
        let explanations = one.alone.split_whitespace().count().max(1);
        check(one.name, "alone", one.finding, explanations, &kinds(&mut alone(&one)));
        check(one.name, "beside a leader", one.finding_beside, 1, &kinds(&mut beside(&one)));
    }
    for one in incidents() {
        check(one.name, "in the end", one.finding, 1, &kinds(&mut after(&one)));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
