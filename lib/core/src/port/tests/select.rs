//! Selection of the leader as a pure function.

use super::*;

use crate::port::foreign_leaders::SyncOutcome;
use crate::port::pairing::Pair;
use crate::port::select::{Challenger, Damping, Decision, select};

const NOW: Timestamp<Raw> = Timestamp::from_ns(1_000_000_000_000);

fn sender(n: u8) -> Sender {
    Sender { identity: leader(n), address: LEADER_ADDRESS }
}

/// Qualified leaders, each with the number of intervals since its last Sync.
fn table(leaders: &[(u8, i64)]) -> ForeignLeaders {
    let mut table = ForeignLeaders::default();
    for &(n, silent) in leaders {
        for sequence_id in 1..=2 {
            let at = NOW - INTERVAL * (silent + 2 - i64::from(sequence_id));
            let announcement = &Announcement::from(&SyncBody::dante(leader(n)));
            let sync = Announced { sender: sender(n), sequence_id, announcement, arrived: at, preference: 0 };
            assert_eq!(table.sync_received(at, &sync, None), SyncOutcome::Accepted);
            let arrived = PacketTimestamp { raw: at, real: Timestamp::ZERO };
            table.paired(at, sender(n), &Pair { arrived, origin: Timestamp::from_ns(at.ns()) });
        }
    }
    table
}

fn timeline(n: u8, was_slave: bool) -> Timeline {
    Timeline { was_slave, ..Timeline::of(leader(n), 1) }
}

#[test]
fn without_session_follows_the_best_leader_unless_damped() {
    let choose = |leaders: &[(u8, i64)], before: Option<u8>, damping: &Damping| {
        let timeline = before.map(|n| timeline(n, true));
        select(NOW, &table(leaders), None, timeline.as_ref(), damping)
    };
    let (undamped, mut damped) = (Damping::default(), Damping::default());
    damped.changed(NOW);
    assert_eq!(choose(&[], None, &undamped), Decision::Stay(None));
    assert_eq!(choose(&[(5, 0), (3, 0)], None, &damped), Decision::Follow(sender(3)));
    assert_eq!(choose(&[(3, 0)], Some(5), &undamped), Decision::Follow(sender(3)));
    assert_eq!(choose(&[(3, 0)], Some(5), &damped), Decision::Stay(None), "not present for 4 s");
    assert_eq!(
        choose(&[(3, 0), (5, 0)], Some(5), &damped),
        Decision::Follow(sender(5)),
        "the previous leader is back"
    );
}

#[test]
fn better_leader_waits_while_readers_depend_on_the_present_one() {
    let choose = |present: (u8, i64), was_slave, since: Option<Duration>| {
        let mut session = Session::new(sender(present.0));
        session.challenger = since.map(|since| Challenger { sender: sender(3), since: NOW - since });
        let timeline = timeline(present.0, was_slave);
        let leaders = table(&[(3, 0), present]);
        select(NOW, &leaders, Some(&session), Some(&timeline), &Damping::default())
    };
    let waits = |since| Decision::Stay(Some(Challenger { sender: sender(3), since: NOW - since }));
    let (none, hold) = (Duration::ZERO, INTERVAL * 8);
    assert_eq!(
        choose((1, 0), true, Some(hold)),
        Decision::Stay(None),
        "the present leader is the best again"
    );
    assert_eq!(choose((5, 0), true, None), waits(none), "waits from now on");
    assert_eq!(choose((5, 0), true, Some(INTERVAL * 7)), waits(INTERVAL * 7));
    assert_eq!(choose((5, 0), true, Some(hold)), Decision::Follow(sender(3)));
    assert_eq!(choose((5, 0), false, None), Decision::Follow(sender(3)), "no reader depends on it");
    assert_eq!(choose((5, 4), true, None), Decision::Follow(sender(3)), "the present leader has yielded");
}
