//! Foreign leaders: qualification, best master clock algorithm, changes.

use super::*;
use crate::port::select::{is_better, takes_over};
use crate::port::{Defect, SyncInterval};
use crate::wire::ClockIdentifier;

#[test]
fn two_syncs_qualify_a_leader() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.send(leader(1), 1);
    assert_eq!((bench.port.state(), bench.port.leader()), (State::Listening, None));
    bench.send(leader(1), 2);
    assert_eq!(bench.port.state(), State::Uncalibrated);
    assert_eq!(bench.port.leader().unwrap().identity, leader(1));
    assert_eq!(bench.port.timeline(), 1);
}

#[test]
fn two_syncs_more_than_four_intervals_apart_do_not_qualify() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.sync_with(leader(1), 1, |_| {});
    bench.advance(INTERVAL * 5);
    bench.sync_with(leader(1), 6, |_| {});
    assert_eq!(bench.port.state(), State::Listening, "four Syncs between them were lost");
    bench.advance(INTERVAL * 4);
    bench.sync_with(leader(1), 10, |_| {});
    assert_eq!(bench.port.state(), State::Uncalibrated);
}

/// A leader that advertises 250 ms and sends every 2 s, like ptpd 1.1, and one that advertises 16 s and sends every 250 ms.
#[test]
fn measured_interval_decides_qualification_and_loss() {
    for (advertised, ms, log2) in [(-2, 2_000, 1), (4, 250, -2), (-4, 16_000, 4)] {
        let interval = Duration::from_ms(ms);
        let mut bench = Bench::new(DelayMechanism::None);
        for sequence in 1..=12 {
            bench.sync_with(leader(1), sequence, |body| body.sync_interval = advertised);
            bench.follow_up(leader(1), sequence);
            assert_eq!(bench.port.leader().is_some(), sequence >= 2, "{ms} ms: qualified by the second Sync");
            bench.advance(interval);
        }
        assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
        let [a, m] = [advertised, log2].map(SyncInterval::from_log2);
        assert_eq!(bench.diagnostics().first(), Some(&Diagnostic::Interval(leader(1), LEADER_ADDRESS, a, m)));
        bench.advance(interval * 9 - Duration::from_ns(1));
        assert_eq!(bench.port.state(), State::Slave);
        bench.advance(Duration::from_ns(1));
        assert_eq!(bench.port.state(), State::Listening, "{ms} ms: lost after ten intervals");
    }
}

#[test]
fn changed_interval_of_the_leader_is_followed_without_losing_it() {
    let mut bench = Bench::after(leader(1), 1..30);
    for (ms, sequences) in [(1_000, 30..60), (62, 60..200), (250, 200..220)] {
        for sequence in sequences {
            bench.sync_with(leader(1), sequence, |_| {});
            bench.follow_up(leader(1), sequence);
            bench.advance(Duration::from_ms(ms));
            assert_eq!(bench.state_and_timeline(), (State::Slave, 1), "{ms} ms, Sync {sequence}");
        }
    }
    assert_eq!(bench.port.leader().unwrap().interval().duration(), INTERVAL);
}

/// Leader 5 sends complete pairs. `sequences` of the better leader 1 are sent with Follow_Ups where `has_follow_up`.
fn better_leader(bench: &mut Bench, sequences: std::ops::Range<u16>, has_follow_up: impl Fn(u16) -> bool) {
    for sequence in sequences {
        bench.address = OTHER_ADDRESS;
        bench.sync_with(leader(1), sequence, |_| {});
        if has_follow_up(sequence) {
            bench.follow_up(leader(1), sequence);
        }
        bench.address = LEADER_ADDRESS;
        bench.send(leader(5), sequence);
    }
}

fn passed_over(defect: Defect) -> Diagnostic {
    Diagnostic::PassedOver(leader(1), OTHER_ADDRESS, defect)
}

#[test]
fn better_leader_that_cannot_be_measured_is_passed_over_until_it_mends() {
    let mut bench = Bench::after(leader(5), 1..30);
    better_leader(&mut bench, 30..130, |_| false);
    assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
    assert_eq!(bench.diagnostics(), [passed_over(Defect::NoFollowUp)]);
    let defects: Vec<_> = bench.port.foreign_leaders().map(ForeignLeader::defect).collect();
    assert_eq!(defects, [None, Some(Defect::NoFollowUp)]);
    better_leader(&mut bench, 130..141, |_| true);
    assert_eq!(bench.port.timeline(), 1, "it has to be better for eight intervals");
    better_leader(&mut bench, 141..155, |_| true);
    assert_eq!(bench.state_and_timeline(), (State::Slave, 2));
    assert_eq!(bench.port.leader().unwrap().identity, leader(1));
}

#[test]
fn followed_leader_that_cannot_be_measured_any_more_is_passed_over_before_the_lock_is_lost() {
    let mut bench = Bench::new(DelayMechanism::None);
    better_leader(&mut bench, 1..40, |_| true);
    assert_eq!(bench.port.leader().unwrap().identity, leader(1));
    let (timeline, changes) = (bench.port.timeline(), bench.outputs.len());
    better_leader(&mut bench, 40..60, |_| false);
    assert_eq!(bench.port.leader().unwrap().identity, leader(5));
    assert_eq!(bench.state_and_timeline(), (State::Slave, timeline + 1));
    assert!(
        bench.outputs[changes..]
            .iter()
            .all(|output| { !matches!(output, Output::Changed { reason: Reason::Unmeasured(_), .. }) }),
        "the next leader is followed before"
    );
    assert_eq!(bench.diagnostics(), [passed_over(Defect::NoFollowUp)]);
    better_leader(&mut bench, 60..100, |_| true);
    assert_eq!(bench.port.leader().unwrap().identity, leader(1), "it mended");
}

/// Wrong sequence numbers, times that contradict each other, missing receive timestamps.
#[test]
fn every_defect_of_a_better_leader_is_named() {
    type Send = fn(&mut Bench, u16);
    let cases: [(Defect, Send); 3] = [
        (Defect::NoFollowUp, |bench, sequence| {
            bench.sync_with(leader(1), sequence, |_| {});
            bench.follow_up(leader(1), sequence ^ 0x4000);
        }),
        (Defect::Absurd, |bench, sequence| {
            let line = bench.line;
            bench.sync_with(leader(1), sequence, |_| {});
            bench.line.at0 = Timestamp::from_ns(1_000_000_000_000_000 - 7_000_000_000 * i64::from(sequence));
            bench.follow_up(leader(1), sequence);
            bench.line = line;
        }),
        (Defect::NoTimestamp, |bench, sequence| {
            let sync = Message::Sync(SyncBody::dante(leader(1)));
            let packet = bench.packet(leader(1), sequence, Flags::ASSIST, sync);
            bench.receive(Channel::Event, &packet, Err(NoTimestamp::Missing));
            bench.follow_up(leader(1), sequence);
        }),
    ];
    for (defect, send) in cases {
        let mut bench = Bench::after(leader(5), 1..30);
        for sequence in 30..200 {
            bench.address = OTHER_ADDRESS;
            send(&mut bench, sequence);
            bench.address = LEADER_ADDRESS;
            bench.send(leader(5), sequence);
        }
        assert_eq!(bench.state_and_timeline(), (State::Slave, 1), "{defect}");
        assert_eq!(bench.diagnostics(), [passed_over(defect)]);
    }
}

#[test]
fn few_or_changing_follow_ups_of_a_better_leader_do_not_make_the_port_alternate() {
    for (on, off) in [(1, 2), (1, 7), (1, 9), (3, 5)] {
        let mut bench = Bench::after(leader(5), 1..30);
        better_leader(&mut bench, 30..1_230, |n| n % (on + off) < on);
        assert_eq!(bench.state_and_timeline(), (State::Slave, 1), "{on} of {}", on + off);
    }
    for (on, off) in [(8, 8), (12, 12), (20, 20), (40, 40)] {
        let mut bench = Bench::after(leader(5), 1..30);
        better_leader(&mut bench, 30..1_230, |n| n % (on + off) < on);
        let timelines = bench.port.timeline();
        assert!(timelines <= 6, "{on} of {}: {timelines} timelines in 5 min", on + off);
    }
}

/// A fault of this host: no leader is passed over, even if their intervals differ.
#[test]
fn leader_stays_if_no_leader_can_be_measured() {
    for has_timestamps in [false, true] {
        let mut bench = Bench::new(DelayMechanism::None);
        for sequence in 1..400 {
            let fault = (60..300).contains(&sequence);
            for who in [1, 5].into_iter().filter(|who| *who == 1 || sequence % 8 == 0) {
                let sync = Message::Sync(SyncBody::dante(leader(who)));
                let packet = bench.packet(leader(who), sequence, Flags::ASSIST, sync);
                let arrived =
                    if fault && !has_timestamps { Err(NoTimestamp::Missing) } else { bench.timestamp() };
                bench.receive(Channel::Event, &packet, arrived);
                if !fault || !has_timestamps {
                    bench.follow_up(leader(who), sequence);
                }
            }
            bench.advance(INTERVAL);
            if sequence == 299 {
                let expected = if has_timestamps { Diagnostic::NoFollowUp } else { Diagnostic::NoTimestamps };
                assert_eq!(bench.diagnostics(), [expected]);
                assert_eq!(bench.port.state(), State::Uncalibrated);
            }
        }
        assert_eq!(bench.port.leader().unwrap().identity, leader(1));
        assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
    }
}

#[test]
fn only_leader_is_followed_even_if_it_cannot_be_measured() {
    let mut bench = Bench::new(DelayMechanism::None);
    for sequence in 1..40 {
        bench.sync_with(leader(1), sequence, |_| {});
        bench.advance(INTERVAL);
    }
    assert_eq!(bench.port.leader().unwrap().identity, leader(1));
    assert_eq!(bench.diagnostics(), [Diagnostic::NoFollowUp]);
    for sequence in 40..60 {
        bench.sync_with(leader(1), sequence, |_| {});
        bench.send(leader(5), sequence);
    }
    assert_eq!(bench.port.leader().unwrap().identity, leader(5), "a leader that is measured replaces it");
    assert_eq!(bench.port.state(), State::Slave);
}

#[test]
fn returning_leader_keeps_the_timeline() {
    let mut bench = Bench::after(leader(1), 1..60);
    bench.advance(Duration::from_secs(30));
    assert_eq!(bench.port.state(), State::Listening);
    bench.send_all(leader(1), 180..184);
    assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
}

#[test]
fn reboot_starts_a_timeline_and_locks_within_five_seconds() {
    let mut bench = Bench::after(leader(1), 1..60);
    bench.line.at0 = Timestamp::from_ns(3_000_000_000);
    bench.line.raw0 = bench.now;
    bench.send_all(leader(1), 1..21);
    assert_eq!(bench.state_and_timeline(), (State::Slave, 2));
    let jump = bench.outputs.iter().find_map(|output| match output {
        Output::Timeline { number: 2, reason: Discontinuity::Reboot(size) } => Some(*size),
        _ => None,
    });
    assert!(jump.unwrap() < Duration::from_secs(-690), "{jump:?}");
    assert!(bench.samples().iter().all(|sample| sample.timeline == 1 || sample.origin.ns() < 20_000_000_000));
}

#[test]
fn leader_change_starts_a_timeline_and_locks_within_two_seconds() {
    let mut bench = Bench::after(leader(5), 1..60);
    bench.line = Affine { raw0: bench.now, at0: Timestamp::from_ns(7), rate: Ratio::from_ppm(-13.0) };
    bench.send_all(leader(1), 1..9);
    assert_eq!(bench.port.leader().unwrap().identity, leader(1), "the lower UUID wins");
    assert_eq!(bench.state_and_timeline(), (State::Slave, 2));
    assert!((bench.port.map().unwrap().line.rate.ppm() + 13.0).abs() < 1.0);
}

#[test]
fn worse_leader_does_not_disturb() {
    let mut bench = Bench::after(leader(1), 1..30);
    for sequence in 30..60 {
        bench.sync_with(leader(7), sequence, |_| {});
        bench.send(leader(1), sequence);
    }
    assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
    assert_eq!(bench.port.leader().unwrap().identity, leader(1));
}

/// Leaders 5 and 7 both send. `change` alters the Syncs of leader 7.
fn both(bench: &mut Bench, sequences: std::ops::Range<u16>, change: impl Fn(u16, &mut SyncBody)) {
    for sequence in sequences {
        bench.sync_with(leader(7), sequence, |body| change(sequence, body));
        bench.follow_up(leader(7), sequence);
        bench.send(leader(5), sequence);
    }
}

#[test]
fn better_leader_replaces_an_active_one_after_two_seconds() {
    let mut bench = Bench::after(leader(5), 1..30);
    both(&mut bench, 30..39, |_, body| body.grandmaster.preferred = true);
    assert_eq!(bench.port.leader().unwrap().identity, leader(5));
    assert_eq!(bench.port.state(), State::Slave, "no disturbance meanwhile");
    both(&mut bench, 39..48, |_, body| body.grandmaster.preferred = true);
    assert_eq!(bench.port.leader().unwrap().identity, leader(7));
    assert_eq!(bench.state_and_timeline(), (State::Slave, 2));
}

/// Pending Syncs and counts belong to the previous leader, even if no leader was lost.
#[test]
fn leader_change_drops_pending_syncs_and_counts() {
    let mut bench = Bench::after(leader(5), 1..30);
    for _ in 0..2 {
        bench.line.at0 = bench.line.at0 + Duration::from_us(1);
        bench.follow_up(leader(5), 29);
    }
    bench.send_all(leader(5), 30..34);
    bench.sync_with(leader(5), 1_000, |_| {});
    let samples = |bench: &Bench| bench.samples().len();
    let mut sequence = 990;
    while bench.port.leader().unwrap().identity == leader(5) {
        bench.sync_with(leader(7), sequence, |body| body.grandmaster.preferred = true);
        bench.follow_up(leader(7), sequence);
        bench.sync_with(leader(5), sequence + 11, |_| {});
        bench.advance(INTERVAL);
        sequence += 1;
    }
    let before = samples(&bench);
    bench.follow_up(leader(7), sequence + 10);
    assert_eq!(samples(&bench), before, "the pending Sync was of leader 5");
    bench.sync_with(leader(7), sequence, |body| body.grandmaster.preferred = true);
    bench.follow_up(leader(7), sequence);
    bench.line.at0 = bench.line.at0 + Duration::from_us(1);
    bench.follow_up(leader(7), sequence);
    assert_eq!(bench.count(Counter::Contradicting), 3);
    assert!(
        !bench.diagnostics().contains(&Diagnostic::Contradicting(leader(7))),
        "two of them were of leader 5"
    );
}

#[test]
fn jump_before_slave_starts_no_timeline() {
    for was_slave in [false, true] {
        let mut bench = Bench::new(DelayMechanism::None);
        bench.send_all(leader(1), 1..if was_slave { 30 } else { 4 });
        assert_eq!(bench.port.state() == State::Slave, was_slave);
        bench.line.at0 = bench.line.at0 + Duration::from_secs(10);
        while !bench.samples().iter().any(|sample| sample.accepted && sample.origin.ns() > 709_000_000_000) {
            bench.send(leader(1), bench.port.leader().unwrap().sequence_id + 1);
        }
        assert_eq!(bench.port.timeline(), if was_slave { 2 } else { 1 });
        assert_eq!(bench.port.state(), State::Uncalibrated);
        bench.line.at0 = bench.line.at0 + Duration::from_secs(10);
        bench.send_all(leader(1), 100..120);
        assert_eq!(bench.state_and_timeline(), (State::Slave, if was_slave { 2 } else { 1 }));
    }
}

#[test]
fn leaders_with_alternating_rank_do_not_flap() {
    for every in [4, 12, 20, 40] {
        let mut bench = Bench::after(leader(5), 1..30);
        both(&mut bench, 30..1_230, |n, body| body.grandmaster.preferred = (n / every) % 2 == 0);
        assert!(
            bench.port.timeline() <= 5,
            "every {every} Syncs: {} timelines in 5 min",
            bench.port.timeline()
        );
        assert_eq!(bench.port.state(), State::Slave);
    }
}

#[test]
fn leaders_with_alternating_silence_do_not_flap() {
    // From well below to well above the ten intervals after which a leader is lost.
    for turn in [4, 8, 12, 20] {
        let mut bench = Bench::after(leader(5), 1..30);
        let mut locked = 0;
        for n in 0..1_200 {
            bench.send(leader(if (n / turn) % 2 == 0 { 7 } else { 5 }), 30 + n);
            locked += u32::from(bench.port.state() == State::Slave);
        }
        assert!(locked > 600, "{turn} Syncs each: SLAVE after {locked} of 1200 Syncs");
        assert!(
            bench.port.timeline() <= 4,
            "{turn} Syncs each: {} timelines in 5 min",
            bench.port.timeline()
        );
    }
}

#[test]
fn address_change_of_the_leader_keeps_the_timeline() {
    let mut bench = Bench::after(leader(1), 1..30);
    bench.address = OTHER_ADDRESS;
    bench.send_all(leader(1), 30..50);
    assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
    assert_eq!(bench.port.leader().unwrap().address, OTHER_ADDRESS);
}

#[test]
fn best_master_order_matches_the_standard() {
    let other = |n: u8, change: fn(&mut SyncBody)| {
        let mut body = SyncBody::dante(leader(n));
        change(&mut body);
        foreign_leader(n, (&body).into())
    };
    let base = other(5, |_| {});
    let cases: [(&str, ForeignLeader, bool); 12] = [
        ("lower UUID", other(4, |_| {}), true),
        ("higher UUID", other(6, |_| {}), false),
        ("preferred beats UUID", other(6, |b| b.grandmaster.preferred = true), true),
        ("lower stratum", other(6, |b| b.grandmaster.stratum = 0x79), true),
        ("higher stratum", other(4, |b| b.grandmaster.stratum = 0x9a), false),
        (
            "preferred beats stratum",
            other(6, |b| (b.grandmaster.preferred, b.grandmaster.stratum) = (true, 255)),
            true,
        ),
        (
            "identifier is ignored above stratum 2",
            other(6, |b| b.grandmaster.identifier = ClockIdentifier::GPS),
            false,
        ),
        ("smaller variance", other(6, |b| b.grandmaster.variance = 0x7060 - 257), true),
        ("variance within the threshold", other(6, |b| b.grandmaster.variance = 0x7060 - 256), false),
        ("not a boundary clock", other(4, |b| b.grandmaster.is_boundary_clock = false), false),
        ("itself", base, false),
        (
            "same grandmaster, one step further",
            other(6, |b| {
                b.grandmaster.port.uuid = leader(5).uuid;
                b.local.steps_removed = 1;
            }),
            false,
        ),
    ];
    for (name, candidate, wins) in cases {
        assert_eq!(is_better(&candidate, &base), wins, "{name}");
        if candidate != base {
            assert_eq!(is_better(&base, &candidate), !wins, "{name}, reversed");
        }
    }
    let by_variance = |variance| {
        let mut leader = other(6, |_| {});
        leader.announced.quality.variance = variance;
        leader
    };
    assert!(!takes_over(&by_variance(0x7060 - 384), &base), "within the hysteresis: no change");
    assert!(takes_over(&by_variance(0x7060 - 385), &base));
    assert!(!takes_over(&ForeignLeader { identity: leader(4), ..by_variance(0x7060 + 300) }, &base));
    let at_stratum_1 = |n: u8, identifier| {
        let mut body = SyncBody::dante(leader(n));
        (body.grandmaster.stratum, body.grandmaster.identifier) = (1, identifier);
        foreign_leader(n, (&body).into())
    };
    let ranks = [ClockIdentifier::NTP, ClockIdentifier::HAND, ClockIdentifier::INIT, ClockIdentifier::DFLT];
    for pair in ranks.windows(2) {
        assert!(is_better(&at_stratum_1(6, pair[0]), &at_stratum_1(4, pair[1])), "{pair:?}");
    }
    assert!(is_better(&at_stratum_1(4, ClockIdentifier::GPS), &at_stratum_1(6, ClockIdentifier::ATOM)));
    let two_steps = other(4, |b| {
        b.grandmaster.port.uuid = leader(5).uuid;
        b.local.steps_removed = 2;
    });
    assert!(is_better(&base, &two_steps), "the shorter path to the same grandmaster");
}

#[test]
fn full_table_keeps_the_followed_leader_and_admits_a_real_one() {
    let mut bench = Bench::after(leader(1), 1..20);
    for n in 10..250 {
        bench.sync_with(leader(n), 1, |body| body.grandmaster.preferred = true);
    }
    assert_eq!(bench.count(Counter::TooManyLeaders), 240 - 7);
    bench.send_all(leader(1), 20..30);
    assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
    let mut bench = Bench::new(DelayMechanism::None);
    (10..20).for_each(|n| bench.sync_with(leader(n), 1, |body| body.sync_interval = 4));
    bench.send_all(leader(1), 1..10);
    assert_eq!(bench.port.state(), State::Slave, "a full table must not exclude a leader");
}
