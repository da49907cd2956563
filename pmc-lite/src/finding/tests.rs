use super::*;
use crate::scenes::{fresh, no_daemon};
use conditions::{Stage, after, alone, beside, incidents, traffic};
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
    let pages = Pages { now, dante4l: fresh(status.clone()), ..no_daemon() };
    observer(&pages).iter().map(|finding| finding.kind.name()).collect()
}

fn first(kinds: &[&'static str]) -> &'static str {
    kinds.first().copied().unwrap_or("ok")
}

/// A missing leader has one finding, which explains it.
#[test]
fn first_finding_is_what_explains_the_rest() {
    for one in traffic() {
        let found = kinds(&mut alone(&one));
        assert_eq!(first(&found), one.finding, "{}, alone: {found:?}", one.name);
        let count = found.iter().filter(|kind| **kind == "no_leader").count();
        assert!(count <= 1, "{}: {found:?}", one.name);
        let found = kinds(&mut beside(&one));
        assert_eq!(first(&found), one.finding_beside, "{}, beside a leader: {found:?}", one.name);
    }
    for one in incidents() {
        let found = kinds(&mut after(&one));
        assert_eq!(first(&found), one.finding, "{}: {found:?}", one.name);
    }
}
