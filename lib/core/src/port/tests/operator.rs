//! The operator's word, and those who do not keep to it.

use super::*;

fn names(names: &[&str]) -> ArrayVec<LeaderName, MAX_NAMES> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn ruled(only: &[&str], deny: &[&str], prefer: &[&str]) -> Bench {
    let rules = LeaderRules { only: names(only), deny: names(deny), prefer: names(prefer) };
    Bench::with(PortConfig { rules, ..PortConfig::default() })
}

#[test]
fn a_leader_is_named_by_uuid_port_or_address() {
    for (text, named, other) in [
        ("00:1d:c1:00:00:05", true, false),
        ("00:1d:c1:00:00:05/1", true, false),
        ("00:1d:c1:00:00:05/2", false, false),
        ("169.254.1.2", true, true),
        ("169.254.1.3", false, false),
    ] {
        let name: LeaderName = text.parse().unwrap();
        assert_eq!(name.to_string(), text);
        let sender = |n| Sender { identity: leader(n), address: HERE };
        assert_eq!((name.is(sender(5)), name.is(sender(6))), (named, other), "{text}");
    }
    for text in
        ["", "leader", "00:1d:c1:00:00", "00:1d:c1:00:00:05/", "00:1d:c1:00:00:05/70000", "169.254.1", "::1"]
    {
        assert!(text.parse::<LeaderName>().is_err(), "{text:?}");
    }
}

#[test]
fn only_named_leaders_are_followed_and_others_are_said() {
    for (only, deny) in [(&["00:1d:c1:00:00:05"][..], &[][..]), (&[], &["00:1d:c1:00:00:01"])] {
        let mut bench = ruled(only, deny, &[]);
        bench.beats(leader(1), 1..20);
        assert_eq!((bench.port.state(), bench.count(Counter::NotPermitted)), (State::Listening, 38));
        assert_eq!(
            bench.diagnostics(),
            [Diagnostic::NotPermitted(leader(1), HERE)],
            "though it is the best, and once"
        );
        for sequence in 20..60 {
            bench.sync_with(leader(1), sequence, |_| {});
            bench.beat(leader(5), sequence);
        }
        assert_eq!(bench.seen(), (State::Slave, 1));
        assert_eq!(bench.port.leader().unwrap().identity, leader(5));
    }
}

#[test]
fn a_preferred_one_is_better_than_any_that_calls_itself_so() {
    let mut bench = ruled(&[], &[], &["00:1d:c1:00:00:05"]);
    for sequence in 1..60 {
        bench.sync_with(leader(1), sequence, |body| body.grandmaster.preferred = true);
        bench.beat(leader(5), sequence);
    }
    assert_eq!(bench.port.leader().unwrap().identity, leader(5));
}

#[test]
fn a_preferred_one_finds_room_among_any_number_of_others() {
    let mut bench = ruled(&[], &[], &["169.254.1.2"]);
    bench.address = ELSEWHERE;
    for sequence in 1..4 {
        for n in 10..30 {
            bench.sync_with(leader(n), sequence, |_| {});
        }
        bench.pass(INTERVAL);
    }
    bench.address = HERE;
    bench.beats(leader(200), 1..30);
    assert_eq!(bench.port.leader().unwrap().identity, leader(200));
}

/// What a second host sends under the leader's name is not used, from wherever else it comes.
#[test]
fn the_leaders_name_at_another_address_disturbs_nothing_and_is_said() {
    for only in [&[][..], &["169.254.1.2"]] {
        let mut bench = ruled(only, &[], &[]);
        bench.beats(leader(1), 1..40);
        for sequence in 40..200 {
            // A forged Follow_Up before the true one, and a forged pair with another time.
            bench.sync_with(leader(1), sequence, |_| {});
            let line = bench.line;
            bench.address = ELSEWHERE;
            bench.line.at0 = bench.line.at0 + Duration::from_secs(77);
            bench.follow_up(leader(1), sequence);
            bench.sync_with(leader(1), sequence + 1_000, |body| body.grandmaster.preferred = true);
            bench.follow_up(leader(1), sequence + 1_000);
            (bench.address, bench.line) = (HERE, line);
            bench.follow_up(leader(1), sequence);
            bench.pass(INTERVAL);
        }
        assert_eq!(bench.seen(), (State::Slave, 1));
        assert_eq!((bench.samples().len(), bench.count(Counter::Outlier)), (198, 0));
        let rate = bench.port.map().unwrap().line.rate.ppm();
        assert!((rate - 12.0).abs() < 0.01, "{rate}");
        match only {
            [] => {
                assert_eq!(
                    bench.diagnostics(),
                    [Diagnostic::SecondAddress(leader(1), ELSEWHERE)],
                    "once in a minute"
                )
            }
            _ => assert_eq!(bench.count(Counter::NotPermitted), 480),
        }
    }
}

/// From the leader's own address nothing can be refused, but nothing is believed either that does not last.
#[test]
fn replayed_syncs_are_not_believed_and_are_said() {
    let mut bench = Bench::after(leader(1), 1..100);
    for sequence in 100..300 {
        bench.sync_with(leader(1), sequence, |_| {});
        bench.follow_up(leader(1), sequence);
        let (now, line) = (bench.now, bench.line);
        bench.pass(Duration::from_ms(100));
        // Ten seconds old, both halves of it.
        bench.line.at0 = bench.line.at0 - Duration::from_secs(10);
        bench.sync_with(leader(1), sequence - 40, |_| {});
        bench.follow_up(leader(1), sequence - 40);
        bench.line = line;
        bench.pass(INTERVAL - (bench.now - now));
    }
    assert_eq!(bench.seen(), (State::Slave, 1));
    assert!(bench.count(Counter::Contradicting) >= 198, "{}", bench.count(Counter::Contradicting));
    assert_eq!(bench.diagnostics(), [Diagnostic::Contradicting(leader(1))]);
    let rate = bench.port.map().unwrap().line.rate.ppm();
    assert!((rate - 12.0).abs() < 0.01, "{rate}");
}

#[test]
fn a_second_follow_up_with_another_time_is_noticed() {
    let mut bench = Bench::after(leader(1), 1..30);
    for sequence in 30..60 {
        bench.sync_with(leader(1), sequence, |_| {});
        bench.follow_up(leader(1), sequence);
        bench.follow_up(leader(1), sequence);
        let line = bench.line;
        bench.line.at0 = bench.line.at0 + Duration::from_us(1);
        bench.follow_up(leader(1), sequence);
        bench.line = line;
        bench.pass(INTERVAL);
    }
    assert_eq!((bench.count(Counter::Repeated), bench.count(Counter::Contradicting)), (30, 30));
    assert_eq!(bench.diagnostics(), [Diagnostic::Contradicting(leader(1))]);
}

/// What is counted of one leader is not held against the next.
#[test]
fn another_leader_begins_without_the_faults_of_the_one_before() {
    let mut bench = Bench::after(leader(5), 1..30);
    let sync = |bench: &mut Bench, source, sequence| {
        let packet = bench.packet(source, sequence, Flags::ASSIST, Message::Sync(SyncBody::dante(source)));
        bench.hear(Channel::Event, &packet, Err(NoTimestamp::Missing));
        bench.pass(INTERVAL);
    };
    (30..37).for_each(|sequence| sync(&mut bench, leader(5), sequence));
    let line = bench.line;
    bench.line.at0 = line.at0 + Duration::from_secs(10);
    bench.beats(leader(5), 37..39);
    bench.line = line;
    (39..46).for_each(|sequence| sync(&mut bench, leader(5), sequence));
    bench.pass(Duration::from_secs(3));
    bench.sync_with(leader(1), 1, |_| {});
    bench.pass(INTERVAL);
    (2..9).for_each(|sequence| sync(&mut bench, leader(1), sequence));
    assert_eq!(bench.diagnostics(), [], "seven Syncs in a row without a timestamp, three times");
    bench.beats(leader(1), 9..30);
    assert_eq!(bench.seen(), (State::Slave, 2));
    assert_eq!(bench.count(Counter::Contradicting), 0);
    assert_eq!(bench.count(Counter::Outlier), 2, "of the leader before");
}

#[test]
fn a_flood_of_names_makes_few_lines_and_loses_no_pair() {
    let mut bench = Bench::after(leader(1), 1..30);
    for sequence in 30..70 {
        bench.sync_with(leader(1), sequence, |_| {});
        for n in 0..250 {
            bench.sync_with(leader(n | 2), sequence, |body| body.grandmaster.preferred = true);
            bench.follow_up(leader(n | 2), sequence);
        }
        bench.follow_up(leader(1), sequence);
        bench.pass(INTERVAL);
    }
    assert_eq!(bench.count(Counter::SyncUnpaired), 0);
    assert!(bench.diagnostics().len() <= 2, "{:?}", bench.diagnostics());
}
