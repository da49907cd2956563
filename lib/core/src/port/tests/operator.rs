//! The operator's rules, and senders that violate them.

use super::*;
use crate::port::LeaderNameError;
use crate::wire::UuidError;

fn names(names: &[&str]) -> ArrayVec<LeaderName, MAX_NAMES> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn ruled(only: &[&str], deny: &[&str], prefer: &[&str]) -> Bench {
    let rules = LeaderRules { only: names(only), deny: names(deny), prefer: names(prefer) };
    Bench::with(PortConfig { rules, ..PortConfig::default() })
}

#[test]
fn leader_names_match_uuid_port_address_or_subnet() {
    for (text, displayed, named, other) in [
        ("00:1d:c1:00:00:05", "00:1d:c1:00:00:05", true, false),
        ("00:1d:c1:00:00:05/1", "00:1d:c1:00:00:05/1", true, false),
        ("00:1d:c1:00:00:05/2", "00:1d:c1:00:00:05/2", false, false),
        ("001dc1.fffe.000005", "00:1d:c1:00:00:05", true, false),
        ("001dc1.fffe.000005-1", "00:1d:c1:00:00:05/1", true, false),
        ("00-1d-c1-ff-fe-00-00-05/1", "00:1d:c1:00:00:05/1", true, false),
        ("169.254.1.2", "169.254.1.2", true, true),
        ("169.254.1.3", "169.254.1.3", false, false),
        ("169.254.0.0/16", "169.254.0.0/16", true, true),
        ("169.254.1.3/31", "169.254.1.2/31", true, true),
        ("169.254.1.0/31", "169.254.1.0/31", false, false),
        ("169.254.1.2/32", "169.254.1.2/32", true, true),
        ("10.0.0.1/0", "0.0.0.0/0", true, true),
    ] {
        let name: LeaderName = text.parse().unwrap();
        assert_eq!((name.to_string().as_str(), displayed.parse()), (displayed, Ok(name)), "{text}");
        let sender = |n| Sender { identity: leader(n), address: LEADER_ADDRESS };
        assert_eq!((name.matches(sender(5)), name.matches(sender(6))), (named, other), "{text}");
    }
    for text in
        ["", "leader", "00:1d:c1:00:00", "00:1d:c1:00:00:05/", "00:1d:c1:00:00:05/70000", "169.254.1", "::1"]
    {
        assert_eq!(text.parse::<LeaderName>(), Err(LeaderNameError::Form), "{text:?}");
    }
    for text in ["169.254.0.0/33", "169.254.0.0/", "169.254.0.0/-1", "169.254.0.0/16/1"] {
        assert_eq!(text.parse::<LeaderName>(), Err(LeaderNameError::Prefix), "{text:?}");
    }
    assert_eq!("0080f8fffe000001".parse::<LeaderName>(), "00:80:f8:00:00:01".parse());
    let foreign = "0080f80000000001".parse::<LeaderName>().unwrap_err();
    assert_eq!(foreign, LeaderNameError::Uuid(UuidError::NotDerived));
}

#[test]
fn follows_only_permitted_leaders_and_reports_others() {
    for (only, deny) in [(&["00:1d:c1:00:00:05"][..], &[][..]), (&[], &["00:1d:c1:00:00:01"])] {
        let mut bench = ruled(only, deny, &[]);
        bench.send_all(leader(1), 1..20);
        assert_eq!((bench.port.state(), bench.count(Counter::NotPermitted)), (State::Listening, 38));
        assert_eq!(
            bench.diagnostics(),
            [Diagnostic::NotPermitted(leader(1), LEADER_ADDRESS)],
            "reported once, though it is the best leader"
        );
        for sequence in 20..60 {
            bench.sync_with(leader(1), sequence, |_| {});
            bench.send(leader(5), sequence);
        }
        assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
        assert_eq!(bench.port.leader().unwrap().identity, leader(5));
    }
}

#[test]
fn leader_on_this_host_or_by_unicast_is_followed_only_if_it_is_named() {
    for (route, expected) in [
        (Route::OwnHost, Diagnostic::OwnHost(leader(1), LEADER_ADDRESS)),
        (Route::Unicast, Diagnostic::Unicast(leader(1), LEADER_ADDRESS)),
    ] {
        let mut bench = Bench { route, ..Bench::new(DelayMechanism::None) };
        bench.send_all(leader(1), 1..60);
        assert_eq!(bench.port.state(), State::Listening, "{route:?}");
        assert_eq!(bench.diagnostics(), [expected], "and no other");
        for preferred in [&[][..], &["00:1d:c1:00:00:01"]] {
            let mut bench = Bench { route, ..ruled(&["00:1d:c1:00:00:01"], &[], preferred) };
            bench.send_all(leader(1), 1..60);
            assert_eq!((bench.port.state(), bench.diagnostics()), (State::Slave, vec![]), "{route:?}");
        }
        let mut bench = Bench { route, ..ruled(&[], &[], &["00:1d:c1:00:00:01"]) };
        bench.send_all(leader(1), 1..60);
        assert_eq!(bench.port.state(), State::Listening, "preferred is not permitted");
        for (listed, state) in [
            (&["169.254.0.0/16"][..], State::Listening),
            (&["169.254.1.2/32", "00:1d:c1:00:00:05"], State::Listening),
            (&["169.254.0.0/16", "169.254.1.2"], State::Slave),
        ] {
            let mut bench = Bench { route, ..ruled(listed, &[], &[]) };
            bench.send_all(leader(1), 1..60);
            assert_eq!(bench.port.state(), state, "{route:?}, {listed:?}: a subnet names no leader");
        }

        // Beside a leader that is followed it is not reported.
        let mut bench = Bench::new(DelayMechanism::None);
        for sequence in 1..60 {
            bench.route = Route::Multicast;
            bench.send(leader(5), sequence);
            bench.route = route;
            bench.sync_with(leader(1), sequence, |_| {});
        }
        assert_eq!((bench.port.state(), bench.diagnostics()), (State::Slave, vec![]));
    }
}

/// A program on this host may have the UUID of the interface, as dante4l has.
#[test]
fn leader_on_this_host_with_its_uuid_is_no_loop() {
    let mut bench = Bench { route: Route::OwnHost, ..Bench::new(DelayMechanism::None) };
    bench.send_all(OURS, 1..40);
    assert_eq!(bench.diagnostics(), [Diagnostic::OwnHost(OURS, LEADER_ADDRESS)]);
    // What that sentence advises.
    for name in [OURS.uuid.to_string(), LEADER_ADDRESS.to_string()] {
        let mut bench = Bench { route: Route::OwnHost, ..ruled(&[&name], &[], &[]) };
        bench.send_all(OURS, 1..60);
        assert_eq!((bench.port.state(), bench.diagnostics()), (State::Slave, vec![]), "{name}");
        // From the network such packets are a loop.
        let mut bench = ruled(&[&name], &[], &[]);
        bench.send_all(OURS, 1..60);
        assert_eq!((bench.port.state(), bench.diagnostics()), (State::Listening, vec![Diagnostic::OnlyOwn]));
    }
}

/// What lasts is reported again after a minute, and then ever more rarely; what returns is reported at once.
#[test]
fn lasting_condition_is_reported_ever_more_rarely() {
    let mut bench = ruled(&[], &["00:1d:c1:00:00:01", "00:1d:c1:00:00:02"], &[]);
    let mut sequence = 0_u16;
    let mut reports = |bench: &mut Bench, who: u8, minutes: u32| {
        let mut reported = Vec::new();
        for minute in 0..minutes {
            for _ in 0..240 {
                sequence = sequence.wrapping_add(1);
                bench.sync_with(leader(who), sequence, |_| {});
                bench.advance(INTERVAL);
            }
            if !bench.diagnostics().is_empty() {
                reported.push(minute);
            }
            bench.outputs.clear();
        }
        reported
    };
    assert_eq!(reports(&mut bench, 1, 300), [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
    assert_eq!(reports(&mut bench, 2, 5), [0, 1, 3], "another leader is something else");
    bench.advance(Duration::from_secs(90));
    assert_eq!(reports(&mut bench, 2, 5), [0, 1, 3], "it had ended");
}

#[test]
fn first_of_the_preferred_leaders_is_followed() {
    for order in [["00:1d:c1:00:00:05", "00:1d:c1:00:00:07"], ["00:1d:c1:00:00:07", "00:1d:c1:00:00:05"]] {
        let mut bench = ruled(&[], &[], &order);
        for sequence in 1..60 {
            bench.sync_with(leader(1), sequence, |body| body.grandmaster.preferred = true);
            bench.send(leader(5), sequence);
            bench.send(leader(7), sequence);
        }
        let followed = bench.port.leader().unwrap().identity;
        assert_eq!(
            followed.uuid.to_string(),
            order[0],
            "the other one has the lower UUID in one of the orders"
        );
        // Without it, the second one is followed, not the better leader without the operator's preference.
        for sequence in 60..160 {
            bench.sync_with(leader(1), sequence, |body| body.grandmaster.preferred = true);
            bench.send(if followed == leader(5) { leader(7) } else { leader(5) }, sequence);
        }
        assert_eq!(bench.port.leader().unwrap().identity.uuid.to_string(), order[1]);
    }
}

#[test]
fn operator_preference_beats_the_preferred_flag_of_a_leader() {
    let mut bench = ruled(&[], &[], &["00:1d:c1:00:00:05"]);
    for sequence in 1..60 {
        bench.sync_with(leader(1), sequence, |body| body.grandmaster.preferred = true);
        bench.send(leader(5), sequence);
    }
    assert_eq!(bench.port.leader().unwrap().identity, leader(5));
}

#[test]
fn preferred_leader_is_admitted_to_a_full_table() {
    let mut bench = ruled(&[], &[], &["169.254.1.2"]);
    bench.address = OTHER_ADDRESS;
    for sequence in 1..4 {
        for n in 10..30 {
            bench.sync_with(leader(n), sequence, |_| {});
        }
        bench.advance(INTERVAL);
    }
    bench.address = LEADER_ADDRESS;
    bench.send_all(leader(200), 1..30);
    assert_eq!(bench.port.leader().unwrap().identity, leader(200));
}

/// Packets with the leader's identity from any other address are rejected.
#[test]
fn rejects_and_reports_the_leaders_identity_at_another_address() {
    for only in [&[][..], &["169.254.1.2"]] {
        let mut bench = ruled(only, &[], &[]);
        bench.send_all(leader(1), 1..40);
        for sequence in 40..200 {
            // A forged Follow_Up before the real one, and a forged pair with another time.
            bench.sync_with(leader(1), sequence, |_| {});
            let line = bench.line;
            bench.address = OTHER_ADDRESS;
            bench.line.at0 = bench.line.at0 + Duration::from_secs(77);
            bench.follow_up(leader(1), sequence);
            bench.sync_with(leader(1), sequence + 1_000, |body| body.grandmaster.preferred = true);
            bench.follow_up(leader(1), sequence + 1_000);
            (bench.address, bench.line) = (LEADER_ADDRESS, line);
            bench.follow_up(leader(1), sequence);
            bench.advance(INTERVAL);
        }
        assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
        assert_eq!((bench.samples().len(), bench.count(Counter::Outlier)), (198, 0));
        let rate = bench.port.map().unwrap().line.rate.ppm();
        assert!((rate - 12.0).abs() < 0.01, "{rate}");
        match only {
            [] => {
                assert_eq!(
                    bench.diagnostics(),
                    [Diagnostic::SecondAddress(leader(1), OTHER_ADDRESS)],
                    "once per minute"
                )
            }
            _ => assert_eq!(bench.count(Counter::NotPermitted), 480),
        }
    }
}

/// Packets from the leader's own address cannot be rejected by address, but the outlier test rejects a time that does not last.
#[test]
fn replayed_syncs_are_rejected_and_reported() {
    let mut bench = Bench::after(leader(1), 1..100);
    for sequence in 100..300 {
        bench.sync_with(leader(1), sequence, |_| {});
        bench.follow_up(leader(1), sequence);
        let (now, line) = (bench.now, bench.line);
        bench.advance(Duration::from_ms(100));
        // Both packets are ten seconds old.
        bench.line.at0 = bench.line.at0 - Duration::from_secs(10);
        bench.sync_with(leader(1), sequence - 40, |_| {});
        bench.follow_up(leader(1), sequence - 40);
        bench.line = line;
        bench.advance(INTERVAL - (bench.now - now));
    }
    assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
    assert!(bench.count(Counter::Contradicting) >= 198, "{}", bench.count(Counter::Contradicting));
    assert_eq!(bench.diagnostics(), [Diagnostic::Contradicting(leader(1))]);
    let rate = bench.port.map().unwrap().line.rate.ppm();
    assert!((rate - 12.0).abs() < 0.01, "{rate}");
}

#[test]
fn contradictory_second_follow_up_is_reported() {
    let mut bench = Bench::after(leader(1), 1..30);
    for sequence in 30..60 {
        bench.sync_with(leader(1), sequence, |_| {});
        bench.follow_up(leader(1), sequence);
        bench.follow_up(leader(1), sequence);
        let line = bench.line;
        bench.line.at0 = bench.line.at0 + Duration::from_us(1);
        bench.follow_up(leader(1), sequence);
        bench.line = line;
        bench.advance(INTERVAL);
    }
    assert_eq!((bench.count(Counter::Repeated), bench.count(Counter::Contradicting)), (30, 30));
    assert_eq!(bench.diagnostics(), [Diagnostic::Contradicting(leader(1))]);
}

/// Counts of one leader do not apply to the next one.
#[test]
fn leader_change_resets_fault_counts() {
    let mut bench = Bench::after(leader(5), 1..30);
    let sync = |bench: &mut Bench, source, sequence| {
        let packet = bench.packet(source, sequence, Flags::ASSIST, Message::Sync(SyncBody::dante(source)));
        bench.receive(Channel::Event, &packet, Err(NoTimestamp::Missing));
        bench.advance(INTERVAL);
    };
    (30..37).for_each(|sequence| sync(&mut bench, leader(5), sequence));
    let line = bench.line;
    bench.line.at0 = line.at0 + Duration::from_secs(10);
    bench.send_all(leader(5), 37..39);
    bench.line = line;
    (39..46).for_each(|sequence| sync(&mut bench, leader(5), sequence));
    bench.advance(Duration::from_secs(3));
    bench.sync_with(leader(1), 1, |_| {});
    bench.advance(INTERVAL);
    (2..9).for_each(|sequence| sync(&mut bench, leader(1), sequence));
    assert_eq!(bench.diagnostics(), [], "seven Syncs in a row without a timestamp, three times");
    bench.send_all(leader(1), 9..30);
    assert_eq!(bench.state_and_timeline(), (State::Slave, 2));
    assert_eq!(bench.count(Counter::Contradicting), 0);
    assert_eq!(bench.count(Counter::Outlier), 2, "both of the previous leader");
}

#[test]
fn identity_flood_causes_few_reports_and_loses_no_pair() {
    let mut bench = Bench::after(leader(1), 1..30);
    let before = bench.samples().len();
    for sequence in 30..70 {
        bench.sync_with(leader(1), sequence, |_| {});
        for n in 0..250 {
            bench.sync_with(leader(n | 2), sequence, |body| body.grandmaster.preferred = true);
            bench.follow_up(leader(n | 2), sequence);
        }
        bench.follow_up(leader(1), sequence);
        bench.advance(INTERVAL);
    }
    assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
    assert_eq!((bench.samples().len(), bench.count(Counter::SyncUnpaired)), (before + 40, 0));
    assert_eq!(bench.diagnostics(), [Diagnostic::TooManyLeaders], "one report in 10 s");
}
