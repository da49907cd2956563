//! Each diagnostic and each change against its neighbours: what happens, and all sentences that follow.

#[path = "conditions.rs"]
mod conditions;

use crate::port::Diagnostic;
use conditions::{
    LOCK, OPENED, Traffic, after, after_lock, alone, beside, every_change, incidents::incidents, then,
    traffic::traffic, variant,
};

/// The sentences of a run that begins with the opening of the interface.
fn opened(log: &str) -> &str {
    log.strip_prefix(OPENED).unwrap().trim_start()
}

#[test]
fn traffic_of_others_is_reported_only_where_it_explains_a_missing_leader() {
    for one in traffic() {
        let Traffic { name, .. } = one;
        for first in 0..3 {
            let mut stage = alone(&one);
            assert_eq!(opened(&stage.take_log()), one.alone, "{name}, alone");
            then(&one, &mut stage, first);
            assert_eq!(stage.take_log(), one.then, "{name}, and then a leader");
        }
        assert_eq!(opened(&beside(&one).take_log()), one.beside, "{name}, beside a leader");
        let [after, without, later] = after_lock(&one);
        assert_eq!(
            (after.as_str(), without.as_str()),
            (one.after_lock, one.without),
            "{name}, after the lock"
        );
        if one.without == "Silence" && one.after_lock.is_empty() {
            assert_eq!(later, one.alone, "{name}, a minute after the end of the leader");
        }
    }
}

#[test]
fn each_incident_is_reported_by_its_cause_and_by_nothing_else() {
    for one in incidents() {
        assert_eq!(after(&one).take_log(), one.log, "{}", one.name);
    }
}

/// A new kind needs a row.
#[test]
fn every_sentence_has_a_row() {
    let rows: Vec<&str> = traffic()
        .iter()
        .flat_map(|one| [one.alone, one.then, one.beside, one.after_lock, one.without])
        .chain(incidents().iter().map(|one| one.log))
        .chain([OPENED, LOCK])
        .flat_map(str::split_whitespace)
        .collect();
    let kinds = (0..Diagnostic::KINDS).filter_map(|kind| Diagnostic::of(kind, Default::default()));
    // That needs two ports: the tests of `observe` have it.
    let kinds = kinds.filter(|diagnostic| !matches!(diagnostic, Diagnostic::OneNetwork(..)));
    for name in kinds.map(|diagnostic| variant(&diagnostic)).chain(every_change()) {
        assert!(rows.contains(&name.as_str()), "{name} has no row");
    }
}
