//! What is not used, not understood or not meant well.

use super::*;
use proptest::prelude::*;

#[test]
fn all_sixteen_bytes_of_the_subdomain_count() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.subdomain = Subdomain(*b"_DFLT\0\0\0\0\0\0\0\0\0\0x");
    bench.beats(leader(1), 1..16);
    assert!(
        !bench.said.contains(&Output::Diagnostic(Diagnostic::OtherSubdomain(bench.subdomain))),
        "too soon to be told"
    );
    bench.beats(leader(1), 16..19);
    assert_eq!(bench.port.state(), State::Listening);
    assert_eq!(bench.count(Counter::OtherSubdomain), 36);
    assert_eq!(bench.count(Counter::Sync), 0);
    assert!(bench.said.contains(&Output::Diagnostic(Diagnostic::OtherSubdomain(bench.subdomain))));
}

#[test]
fn a_forged_interval_is_held_within_reason() {
    for (forged, interval) in [(-128, Duration::from_ns(62_500_000)), (127, Duration::from_secs(16))] {
        let mut bench = Bench::new(DelayMechanism::None);
        bench.sync_with(leader(1), 1, |said| said.sync_interval = forged);
        bench.pass(Duration::from_ms(50));
        bench.sync_with(leader(1), 2, |said| said.sync_interval = forged);
        assert_eq!(bench.port.leader().unwrap().interval, interval);
    }
}

#[test]
fn sequence_numbers_wrap_and_repeated_or_overtaken_syncs_are_passed_over() {
    let mut bench = Bench::after(leader(1), 65_530..65_535);
    bench.beat(leader(1), 65_535);
    bench.beat(leader(1), 0);
    bench.beat(leader(1), 1);
    assert_eq!((bench.samples().len(), bench.count(Counter::Repeated)), (7, 0));
    bench.beat(leader(1), 1);
    bench.beat(leader(1), 65_535);
    bench.beat(leader(1), 65_534);
    assert_eq!((bench.samples().len(), bench.count(Counter::Repeated)), (7, 3), "three behind: overtaken");
    bench.pass(Duration::from_ms(500));
    bench.beat(leader(1), 65_533);
    assert_eq!((bench.samples().len(), bench.count(Counter::Repeated)), (8, 3), "four behind: restarted");
}

#[test]
fn syncs_without_a_stamp_are_counted_by_reason_and_told() {
    let mut bench = Bench::new(DelayMechanism::None);
    for sequence in 1..=10 {
        let why = if sequence == 3 { NoTimestamp::ClockStepped } else { NoTimestamp::Missing };
        let packet =
            bench.packet(leader(1), sequence, Flags::ASSIST, Message::Sync(SyncBody::dante(leader(1))));
        bench.hear(Channel::Event, &packet, Err(why));
        bench.pass(INTERVAL);
    }
    assert_eq!((bench.count(Counter::RxTimestampMissing), bench.count(Counter::ClockStepped)), (9, 1));
    assert!(bench.said.contains(&Output::Diagnostic(Diagnostic::NoTimestamps)));
    assert_eq!(bench.port.state(), State::Uncalibrated, "a leader is there, but nothing is measured");
}

#[test]
fn syncs_without_follow_up_are_told() {
    let mut bench = Bench::new(DelayMechanism::None);
    for sequence in 1..=10 {
        bench.sync_with(leader(1), sequence, |_| {});
        bench.pass(INTERVAL);
    }
    assert!(bench.said.contains(&Output::Diagnostic(Diagnostic::NoFollowUp)));
}

#[test]
fn a_follow_up_without_its_sync_does_not_wait_for_the_next_sync_of_that_number() {
    let mut bench = Bench::after(leader(1), 1..10);
    bench.follow_up(leader(1), 20);
    bench.pass(Duration::from_ms(2_001));
    let before = bench.samples().len();
    bench.sync_with(leader(1), 20, |_| {});
    assert_eq!(bench.samples().len(), before);
}

#[test]
fn hearing_only_ptpv2_is_told_as_such() {
    let mut bench = Bench::new(DelayMechanism::None);
    let mut announce = [0; 64];
    (announce[0], announce[1]) = (0x0b, 0x02);
    bench.hear(Channel::General, &announce, Err(NoTimestamp::Missing));
    assert!(!bench.said.contains(&Output::Diagnostic(Diagnostic::OnlyPtpV2)), "PTPv1 may follow in a moment");
    bench.pass(Duration::from_secs(4));
    bench.hear(Channel::General, &announce, Err(NoTimestamp::Missing));
    assert_eq!(bench.count(Counter::PtpV2), 2);
    assert!(bench.said.contains(&Output::Diagnostic(Diagnostic::OnlyPtpV2)));
}

/// What is heard for six seconds, and what is said of it.
#[test]
fn what_explains_a_missing_lock_is_said_once() {
    let hear = |change: fn(&mut Buffer), channel, message: fn() -> Message| {
        let mut bench = Bench::new(DelayMechanism::None);
        for sequence in 1..25 {
            let mut packet = bench.packet(leader(1), sequence, Flags::ASSIST, message());
            change(&mut packet);
            bench.hear(channel, &packet, bench.stamp());
            bench.pass(INTERVAL);
        }
        assert_eq!(bench.port.state(), State::Listening);
        bench.diagnostics()
    };
    let sync = || Message::Sync(SyncBody::dante(leader(1)));
    let follow_up =
        || Message::FollowUp(FollowUp { associated_sequence_id: 1, precise_origin: Timestamp::ZERO });
    assert_eq!(hear(|packet| packet.truncate(60), Channel::Event, sync), [Diagnostic::WrongLength]);
    assert_eq!(hear(|packet| packet[1] = 3, Channel::Event, sync), [Diagnostic::UnknownVersion(3)]);
    assert_eq!(hear(|packet| packet[1] = 2, Channel::Event, sync), [Diagnostic::OnlyPtpV2]);
    assert_eq!(
        hear(|packet| packet[22..28].copy_from_slice(&OURS.uuid.0), Channel::Event, sync),
        [Diagnostic::OnlyOwn]
    );
    assert_eq!(hear(|_| {}, Channel::General, follow_up), [Diagnostic::NoSync]);
}

#[test]
fn halves_that_wait_in_vain_are_counted() {
    let mut bench = Bench::after(leader(1), 1..30);
    for sequence in 30..40 {
        match sequence % 2 {
            0 => bench.sync_with(leader(1), sequence, |_| {}),
            _ => bench.follow_up(leader(1), sequence),
        }
        bench.pass(INTERVAL);
    }
    bench.beats(leader(1), 40..50);
    assert_eq!(
        [Counter::SyncUnpaired, Counter::FollowUpUnpaired].map(|counter| bench.count(counter)),
        [5, 5]
    );
}

#[test]
fn what_the_kernel_drops_is_counted_and_said() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.handle(Input::Dropped(0));
    assert!(bench.said.iter().all(|said| !matches!(said, Output::Diagnostic(_))));
    bench.handle(Input::Dropped(40));
    bench.handle(Input::Dropped(2));
    assert_eq!((bench.count(Counter::KernelDropped), bench.diagnostics()), (42, vec![Diagnostic::Dropped]));
}

#[test]
fn every_packet_that_is_not_used_has_its_counter() {
    let mut bench = Bench::new(DelayMechanism::None);
    let sync = bench.packet(leader(1), 1, Flags::ASSIST, Message::Sync(SyncBody::dante(leader(1))));
    let own = bench.packet(OURS, 1, Flags::NONE, Message::DelayReq(SyncBody::dante(OURS)));
    let request = bench.packet(leader(3), 1, Flags::NONE, Message::DelayReq(SyncBody::dante(leader(3))));
    let mut version_3 = sync.clone();
    version_3[1] = 3;
    let mut control_9 = sync.clone();
    control_9[32] = 9;
    bench.hear(Channel::Event, &sync[..100], bench.stamp());
    bench.hear(Channel::Event, &version_3, bench.stamp());
    bench.hear(Channel::Event, &control_9, bench.stamp());
    bench.hear(Channel::General, &sync, bench.stamp());
    bench.hear(Channel::Event, &own, bench.stamp());
    bench.hear(Channel::Event, &request, bench.stamp());
    let seen = [Counter::WrongLength, Counter::UnknownVersion, Counter::Malformed, Counter::WrongPort];
    assert_eq!(seen.map(|counter| bench.count(counter)), [1; 4]);
    assert_eq!(
        [Counter::Own, Counter::DelayReq, Counter::Sync].map(|counter| bench.count(counter)),
        [1, 1, 0]
    );
}

proptest! {
    /// Whatever arrives, in whatever order and however stamped: no panic, no NaN, no growth, bounded outputs.
    #[test]
    fn hostile_packets_do_no_harm(packets in proptest::collection::vec(
        (any::<bool>(), 0u8..12, any::<u16>(), any::<i64>(), any::<i8>(), 0i64..3_000_000_000, 0usize..160, any::<u8>()), 0..200)
    ) {
        let mut bench = Bench::new(DelayMechanism::E2e);
        for (event, who, sequence, time, interval, wait, cut, noise) in packets {
            bench.pass(Duration::from_ns(wait));
            let mut said = SyncBody::dante(leader(who));
            said.sync_interval = interval;
            said.origin = Timestamp::from_ns(time % 4_000_000_000_000_000_000);
            let message = match noise % 4 {
                0 => Message::Sync(said),
                1 => Message::FollowUp(FollowUp { associated_sequence_id: sequence, precise_origin: said.origin }),
                2 => Message::DelayReq(said),
                _ => Message::DelayResp(DelayResp { received: said.origin, requesting: OURS, requesting_sequence_id: sequence }),
            };
            let mut packet = bench.packet(leader(who), sequence, Flags(u16::from(noise)), message);
            if noise > 200 {
                packet.truncate(cut);
            }
            let channel = if event { Channel::Event } else { Channel::General };
            let stamp = if noise % 7 == 0 { Err(NoTimestamp::Missing) } else { bench.stamp() };
            bench.hear(channel, &packet, stamp);
            if let Some(map) = bench.port.map() {
                prop_assert!(map.line.rate.is_finite() && map.sigma.rate.is_finite());
            }
        }
        prop_assert_eq!(bench.count(Counter::OutputLost), 0);
    }
}

#[test]
fn what_the_kernel_dropped_and_what_was_told_to_switches_is_counted() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.handle(Input::Dropped(40));
    bench.handle(Input::Dropped(2));
    bench.handle(Input::Rejoined);
    let counters = bench.port.counters();
    assert_eq!((counters.get(Counter::KernelDropped), counters.get(Counter::Rejoined)), (42, 1));
    assert_eq!(counters.by_name().filter(|(_, count)| *count > 0).count(), 2, "and nothing else");
}
