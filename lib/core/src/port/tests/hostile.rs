//! Packets that are unusable, malformed or malicious.

use super::*;
use proptest::prelude::*;

#[test]
fn subdomain_is_compared_over_all_16_bytes() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.subdomain = Subdomain(*b"_DFLT\0\0\0\0\0\0\0\0\0\0x");
    bench.send_all(leader(1), 1..16);
    assert!(
        !bench.outputs.contains(&Output::Diagnostic(Diagnostic::OtherSubdomain(bench.subdomain))),
        "reported too early"
    );
    bench.send_all(leader(1), 16..19);
    assert_eq!(bench.port.state(), State::Listening);
    assert_eq!(bench.count(Counter::OtherSubdomain), 36);
    assert_eq!(bench.count(Counter::Sync), 0);
    assert!(bench.outputs.contains(&Output::Diagnostic(Diagnostic::OtherSubdomain(bench.subdomain))));
}

#[test]
fn forged_sync_interval_is_clamped() {
    for (forged, advertised) in [(-128, -4), (127, 4)] {
        let mut bench = Bench::new(DelayMechanism::None);
        bench.sync_with(leader(1), 1, |body| body.sync_interval = forged);
        bench.advance(INTERVAL);
        bench.sync_with(leader(1), 2, |body| body.sync_interval = forged);
        let leader = bench.port.leader().unwrap();
        assert_eq!(leader.advertised_interval(), SyncInterval::from_log2(advertised));
        assert_eq!(leader.interval().duration(), INTERVAL, "the measured one is used");
        assert_eq!(bench.port.deadline(), Some(bench.now + INTERVAL * 10));
    }
}

/// From the leader's identity and address: the interval advertised in one Sync has no effect, and neither has a burst of Syncs.
#[test]
fn forged_interval_or_burst_changes_no_timeout() {
    let every = Duration::from_secs(1);
    let send = |bench: &mut Bench, sequences: std::ops::Range<u16>| {
        for sequence in sequences {
            bench.sync_with(leader(1), sequence, |body| body.sync_interval = 0);
            bench.follow_up(leader(1), sequence);
            bench.advance(every);
            assert!(bench.port.leader().is_some(), "Sync {sequence}");
        }
    };
    let mut bench = Bench::new(DelayMechanism::None);
    bench.sync_with(leader(1), 1, |body| body.sync_interval = 0);
    bench.advance(every);
    send(&mut bench, 2..30);
    for sequence in 30..130 {
        bench.sync_with(leader(1), sequence, |body| body.sync_interval = -4);
        bench.advance(Duration::from_ms(1));
    }
    send(&mut bench, 30..60);
    assert_eq!(bench.port.leader().unwrap().interval().duration(), every);
    bench.sync_with(leader(1), 60, |body| body.sync_interval = 127);
    bench.advance(every * 10 - Duration::from_ns(1));
    assert!(bench.port.leader().is_some());
    bench.advance(Duration::from_ns(1));
    assert_eq!(bench.port.leader(), None, "a dead leader is not kept alive");
}

/// Follow_Ups in the name of a leader without any, from another address.
#[test]
fn forged_follow_ups_do_not_mend_a_leader() {
    let mut bench = Bench::after(leader(5), 1..30);
    for sequence in 30..100 {
        bench.address = OTHER_ADDRESS;
        bench.sync_with(leader(1), sequence, |_| {});
        bench.address = Ipv4Addr::new(169, 254, 1, 99);
        bench.follow_up(leader(1), sequence);
        bench.address = LEADER_ADDRESS;
        bench.send(leader(5), sequence);
    }
    assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
    assert_eq!(bench.port.leader().unwrap().identity, leader(5));
}

/// The followed leader loses its Follow_Ups while another host uses its identity and sends complete pairs: neither is followed.
#[test]
fn second_address_of_an_unmeasurable_leader_is_not_followed() {
    let mut bench = Bench::after(leader(1), 1..30);
    for sequence in 30..100 {
        bench.sync_with(leader(1), sequence, |_| {});
        bench.address = OTHER_ADDRESS;
        bench.sync_with(leader(1), sequence, |_| {});
        bench.follow_up(leader(1), sequence);
        bench.address = LEADER_ADDRESS;
        if sequence > 60 {
            bench.sync_with(leader(5), sequence, |_| {});
            bench.follow_up(leader(5), sequence);
        }
        bench.advance(INTERVAL);
        if sequence == 60 {
            let leader = bench.port.leader().unwrap();
            assert_eq!((leader.identity, leader.address), (self::leader(1), LEADER_ADDRESS));
        }
    }
    assert_eq!(bench.port.leader().unwrap().identity, leader(5));
}

#[test]
fn slow_leader_is_not_explained_by_other_traffic_before_its_second_sync() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.advance(Duration::from_secs(5));
    for _ in 0..4 {
        bench.sync_with(leader(1), 1, |_| {});
        bench.follow_up(leader(1), 1);
        bench.receive(Channel::General, &[0x0b, 0x02, 0, 0], Err(NoTimestamp::Missing));
        bench.advance(Duration::from_secs(2));
    }
    assert_eq!((bench.port.state(), bench.diagnostics()), (State::Listening, vec![]));
    bench.advance(Duration::from_secs(40));
    bench.handle(Input::Deadline);
    // The first Follow_Up of a leader that appears may be received without its Sync.
    for sequence in 2..=7 {
        bench.follow_up(leader(1), sequence);
    }
    bench.sync_with(leader(1), 8, |_| {});
    bench.advance(Duration::from_secs(40));
    bench.handle(Input::Deadline);
    for sequence in 9..=15 {
        bench.follow_up(leader(1), sequence);
    }
    assert_eq!(bench.diagnostics(), []);
    bench.follow_up(leader(1), 16);
    assert_eq!(bench.diagnostics(), [Diagnostic::NoSync]);
}

#[test]
fn sequence_numbers_wrap_and_repeated_or_reordered_syncs_are_ignored() {
    let mut bench = Bench::after(leader(1), 65_530..65_535);
    bench.send(leader(1), 65_535);
    bench.send(leader(1), 0);
    bench.send(leader(1), 1);
    assert_eq!((bench.samples().len(), bench.count(Counter::Repeated)), (7, 0));
    bench.send(leader(1), 1);
    bench.send(leader(1), 65_535);
    bench.send(leader(1), 65_534);
    assert_eq!((bench.samples().len(), bench.count(Counter::Repeated)), (7, 3), "three behind: reordered");
    bench.advance(Duration::from_ms(500));
    bench.send(leader(1), 65_533);
    assert_eq!((bench.samples().len(), bench.count(Counter::Repeated)), (8, 3), "four behind: restarted");
}

#[test]
fn syncs_without_timestamp_are_counted_by_reason_and_reported() {
    let mut bench = Bench::new(DelayMechanism::None);
    for sequence in 1..=10 {
        let why = if sequence == 3 { NoTimestamp::ClockStepped } else { NoTimestamp::Missing };
        let packet =
            bench.packet(leader(1), sequence, Flags::ASSIST, Message::Sync(SyncBody::dante(leader(1))));
        bench.receive(Channel::Event, &packet, Err(why));
        bench.advance(INTERVAL);
    }
    assert_eq!((bench.count(Counter::RxTimestampMissing), bench.count(Counter::ClockStepped)), (9, 1));
    assert!(bench.outputs.contains(&Output::Diagnostic(Diagnostic::NoTimestamps)));
    assert_eq!(bench.port.state(), State::Uncalibrated, "leader present, nothing measured");
}

#[test]
fn reports_syncs_without_follow_up() {
    let mut bench = Bench::new(DelayMechanism::None);
    for sequence in 1..=10 {
        bench.sync_with(leader(1), sequence, |_| {});
        bench.advance(INTERVAL);
    }
    assert!(bench.outputs.contains(&Output::Diagnostic(Diagnostic::NoFollowUp)));
}

#[test]
fn unpaired_follow_up_expires() {
    let mut bench = Bench::after(leader(1), 1..10);
    bench.follow_up(leader(1), 20);
    bench.advance(Duration::from_ms(2_001));
    let before = bench.samples().len();
    bench.sync_with(leader(1), 20, |_| {});
    assert_eq!(bench.samples().len(), before);
}

#[test]
fn reports_ptpv2_after_four_seconds_without_leader() {
    let mut bench = Bench::new(DelayMechanism::None);
    let mut announce = [0; 64];
    (announce[0], announce[1]) = (0x0b, 0x02);
    bench.receive(Channel::General, &announce, Err(NoTimestamp::Missing));
    assert!(!bench.outputs.contains(&Output::Diagnostic(Diagnostic::OnlyPtpV2)), "PTPv1 may still arrive");
    bench.advance(Duration::from_secs(4));
    bench.receive(Channel::General, &announce, Err(NoTimestamp::Missing));
    assert_eq!(bench.count(Counter::PtpV2), 2);
    assert!(bench.outputs.contains(&Output::Diagnostic(Diagnostic::OnlyPtpV2)));
}

/// Each kind of traffic for six seconds, and the diagnostics.
#[test]
fn missing_lock_is_explained_once() {
    let diagnosed = |change: fn(&mut Buffer), channel, message: fn() -> Message| {
        let mut bench = Bench::new(DelayMechanism::None);
        for sequence in 1..25 {
            let mut packet = bench.packet(leader(1), sequence, Flags::ASSIST, message());
            change(&mut packet);
            bench.receive(channel, &packet, bench.timestamp());
            bench.advance(INTERVAL);
        }
        assert_eq!(bench.port.state(), State::Listening);
        bench.diagnostics()
    };
    let sync = || Message::Sync(SyncBody::dante(leader(1)));
    let follow_up =
        || Message::FollowUp(FollowUp { associated_sequence_id: 1, precise_origin: Timestamp::ZERO });
    assert_eq!(diagnosed(|packet| packet.truncate(60), Channel::Event, sync), [Diagnostic::WrongLength]);
    assert_eq!(diagnosed(|packet| packet[1] = 3, Channel::Event, sync), [Diagnostic::UnknownVersion(3)]);
    assert_eq!(diagnosed(|packet| packet[1] = 2, Channel::Event, sync), [Diagnostic::OnlyPtpV2]);
    assert_eq!(
        diagnosed(|packet| packet[22..28].copy_from_slice(&OURS.uuid.0), Channel::Event, sync),
        [Diagnostic::OnlyOwn]
    );
    assert_eq!(diagnosed(|_| {}, Channel::General, follow_up), [Diagnostic::NoSync]);
}

#[test]
fn unpaired_syncs_and_follow_ups_are_counted() {
    let mut bench = Bench::after(leader(1), 1..30);
    for sequence in 30..40 {
        match sequence % 2 {
            0 => bench.sync_with(leader(1), sequence, |_| {}),
            _ => bench.follow_up(leader(1), sequence),
        }
        bench.advance(INTERVAL);
    }
    bench.send_all(leader(1), 40..50);
    assert_eq!(
        [Counter::SyncUnpaired, Counter::FollowUpUnpaired].map(|counter| bench.count(counter)),
        [5, 5]
    );
}

#[test]
fn kernel_drops_are_counted_and_reported() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.handle(Input::Dropped(0));
    assert!(bench.outputs.iter().all(|output| !matches!(output, Output::Diagnostic(_))));
    bench.handle(Input::Dropped(40));
    bench.handle(Input::Dropped(2));
    assert_eq!((bench.count(Counter::KernelDropped), bench.diagnostics()), (42, vec![Diagnostic::Dropped]));
}

#[test]
fn each_unused_packet_is_counted_by_reason() {
    let mut bench = Bench::new(DelayMechanism::None);
    let sync = bench.packet(leader(1), 1, Flags::ASSIST, Message::Sync(SyncBody::dante(leader(1))));
    let own = bench.packet(OURS, 1, Flags::NONE, Message::DelayReq(SyncBody::dante(OURS)));
    let request = bench.packet(leader(3), 1, Flags::NONE, Message::DelayReq(SyncBody::dante(leader(3))));
    let mut version_3 = sync.clone();
    version_3[1] = 3;
    let mut control_9 = sync.clone();
    control_9[32] = 9;
    bench.receive(Channel::Event, &sync[..100], bench.timestamp());
    bench.receive(Channel::Event, &version_3, bench.timestamp());
    bench.receive(Channel::Event, &control_9, bench.timestamp());
    bench.receive(Channel::General, &sync, bench.timestamp());
    bench.receive(Channel::Event, &own, bench.timestamp());
    bench.receive(Channel::Event, &request, bench.timestamp());
    let seen = [Counter::WrongLength, Counter::UnknownVersion, Counter::Malformed, Counter::WrongPort];
    assert_eq!(seen.map(|counter| bench.count(counter)), [1; 4]);
    assert_eq!(
        [Counter::Own, Counter::DelayReq, Counter::Sync].map(|counter| bench.count(counter)),
        [1, 1, 0]
    );
}

proptest! {
    /// Any packets in any order, with or without timestamps: no panic, no NaN, no growth, bounded outputs.
    #[test]
    fn port_survives_hostile_packets(packets in proptest::collection::vec(
        (any::<bool>(), 0u8..12, any::<u16>(), any::<i64>(), any::<i8>(), 0i64..3_000_000_000, 0usize..160, any::<u8>()), 0..200)
    ) {
        let mut bench = Bench::new(DelayMechanism::E2e);
        for (event, who, sequence, time, interval, wait, cut, noise) in packets {
            bench.advance(Duration::from_ns(wait));
            let mut body = SyncBody::dante(leader(who));
            body.sync_interval = interval;
            body.origin = Timestamp::from_ns(time % 4_000_000_000_000_000_000);
            let message = match noise % 4 {
                0 => Message::Sync(body),
                1 => Message::FollowUp(FollowUp { associated_sequence_id: sequence, precise_origin: body.origin }),
                2 => Message::DelayReq(body),
                _ => Message::DelayResp(DelayResp { received: body.origin, requesting: OURS, requesting_sequence_id: sequence }),
            };
            let mut packet = bench.packet(leader(who), sequence, Flags(u16::from(noise)), message);
            if noise > 200 {
                packet.truncate(cut);
            }
            let channel = if event { Channel::Event } else { Channel::General };
            let arrived = if noise % 7 == 0 { Err(NoTimestamp::Missing) } else { bench.timestamp() };
            bench.receive(channel, &packet, arrived);
            if let Some(map) = bench.port.map() {
                prop_assert!(map.line.rate.is_finite() && map.sigma.rate.is_finite());
            }
        }
        prop_assert_eq!(bench.count(Counter::OutputLost), 0);
    }
}

#[test]
fn kernel_drops_and_rejoins_are_counted() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.handle(Input::Dropped(40));
    bench.handle(Input::Dropped(2));
    bench.handle(Input::Rejoined);
    let counters = bench.port.counters();
    assert_eq!((counters.get(Counter::KernelDropped), counters.get(Counter::Rejoined)), (42, 1));
    assert_eq!(counters.by_name().filter(|(_, count)| *count > 0).count(), 2, "no other counter");
}
