use super::*;
use crate::time::{Affine, Dante, Ratio};
use crate::wire::{Buffer, ClockIdentifier, Flags, Grandmaster, LocalClock};
use proptest::prelude::*;
use std::net::Ipv4Addr;

const OURS: PortIdentity = PortIdentity { technology: 1, uuid: Uuid([2, 0, 0, 0, 0, 9]), port_id: 1 };
const INTERVAL: Duration = Duration::from_ms(250);
const PATH: Duration = Duration::from_us(30);

fn leader(n: u8) -> PortIdentity {
    PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0, 0, n]), port_id: 1 }
}

fn body(source: PortIdentity) -> SyncBody {
    SyncBody {
        origin: Timestamp::from_ns(1),
        epoch_number: 0,
        current_utc_offset: 0,
        grandmaster: Grandmaster {
            port: PortIdentity { port_id: 0, ..source },
            sequence_id: 0,
            stratum: 0x99,
            identifier: ClockIdentifier::DFLT,
            variance: 0x7060,
            preferred: false,
            is_boundary_clock: true,
        },
        sync_interval: -2,
        local: LocalClock {
            variance: 0x7060,
            steps_removed: 0,
            stratum: 0x99,
            identifier: ClockIdentifier::DFLT,
        },
        parent: source,
        estimated_master_variance: 0,
        estimated_master_drift: 0,
        utc_reasonable: false,
    }
}

/// A port and a wire with leaders of known time.
struct Bench {
    port: Port,
    now: Timestamp<Raw>,
    line: Affine<Dante>,
    subdomain: Subdomain,
    said: Vec<Output>,
}

impl Bench {
    fn new(delay: DelayMechanism) -> Self {
        let config = PortConfig { subdomain: Subdomain::DFLT, delay, seed: 1 };
        let now = Timestamp::from_ns(5_000_000_000);
        let line =
            Affine { raw0: now, at0: Timestamp::from_ns(699_000_000_000), rate: Ratio::from_ppm(12.0) };
        let mut bench =
            Self { port: Port::new(config), now, line, subdomain: Subdomain::DFLT, said: Vec::new() };
        bench.handle(Input::Opened(OURS));
        bench
    }

    fn handle(&mut self, input: Input<'_>) {
        self.port.handle(self.now, input);
        while let Some(output) = self.port.poll() {
            self.said.push(output);
        }
    }

    fn packet(&self, source: PortIdentity, sequence_id: u16, flags: Flags, message: Message) -> Buffer {
        let header = Header { version_network: 1, subdomain: self.subdomain, source, sequence_id, flags };
        Packet { header, message }.build().unwrap()
    }

    fn stamp(&self) -> Result<Stamp, NoStamp> {
        Ok(Stamp { raw: self.now, real: Timestamp::from_ns(self.now.ns() + 1_795_000_000_000_000_000) })
    }

    fn hear(&mut self, channel: Channel, bytes: &[u8], arrived: Result<Stamp, NoStamp>) {
        let source = SocketAddrV4::new(Ipv4Addr::new(169, 254, 1, 2), 49_155);
        self.handle(Input::Packet { channel, bytes, source, arrived });
    }

    fn sync_with(&mut self, source: PortIdentity, sequence: u16, change: impl FnOnce(&mut SyncBody)) {
        let mut said = body(source);
        change(&mut said);
        let packet = self.packet(source, sequence, Flags::ASSIST, Message::Sync(said));
        self.hear(Channel::Event, &packet, self.stamp());
    }

    fn follow_up(&mut self, source: PortIdentity, sequence: u16) {
        // It left a path's delay before it arrived, which is now.
        let precise_origin = self.line.at(self.now - PATH);
        let message = Message::FollowUp(FollowUp { associated_sequence_id: sequence, precise_origin });
        let packet = self.packet(source, sequence, Flags::NONE, message);
        self.hear(Channel::General, &packet, Err(NoStamp::Missing));
    }

    /// One Sync with its Follow_Up, and an interval passes.
    fn beat(&mut self, source: PortIdentity, sequence: u16) {
        self.sync_with(source, sequence, |_| {});
        self.follow_up(source, sequence);
        self.pass(INTERVAL);
    }

    fn beats(&mut self, source: PortIdentity, sequences: std::ops::Range<u16>) {
        sequences.for_each(|sequence| self.beat(source, sequence));
    }

    /// Time passes, and the port is called when it wants to be.
    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(due) = self.port.deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.handle(Input::Deadline);
        }
        self.now = until;
    }

    fn samples(&self) -> Vec<Sample> {
        self.said
            .iter()
            .filter_map(|said| if let Output::Sample(s) = said { Some(*s) } else { None })
            .collect()
    }

    fn count(&self, counter: Counter) -> u64 {
        self.port.counters().get(counter)
    }
}

#[test]
fn every_state_and_event_has_its_arrow() {
    use Event::*;
    use State::*;
    const EVENTS: [Event; 6] = [Opened, Failed, LeaderChosen, Converged, Diverged, Silence];
    let table = [
        (Initializing, [Some(Listening), Some(Faulty), None, None, None, None]),
        (Faulty, [Some(Listening), Some(Faulty), None, None, None, None]),
        (Listening, [None, Some(Faulty), Some(Uncalibrated), None, None, None]),
        (Uncalibrated, [None, Some(Faulty), Some(Uncalibrated), Some(Slave), None, Some(Listening)]),
        (Slave, [None, Some(Faulty), Some(Uncalibrated), None, Some(Uncalibrated), Some(Listening)]),
    ];
    assert_eq!(table.map(|(from, _)| from), State::ALL);
    for (from, row) in table {
        for (event, to) in EVENTS.into_iter().zip(row) {
            assert_eq!(from.after(event), to, "{from} on {event:?}");
        }
        assert_eq!(State::from_number(from as u8), Some(from));
    }
    assert_eq!(State::from_number(5), None, "a slave-only port is never MASTER");
}

#[test]
fn one_sync_does_not_qualify_a_leader_and_two_do() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beat(leader(1), 1);
    assert_eq!((bench.port.state(), bench.port.leader()), (State::Listening, None));
    bench.beat(leader(1), 2);
    assert_eq!(bench.port.state(), State::Uncalibrated);
    assert_eq!(bench.port.leader().unwrap().identity, leader(1));
    assert_eq!(bench.port.timeline(), 1);
}

#[test]
fn two_syncs_too_far_apart_do_not_qualify() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.sync_with(leader(1), 1, |_| {});
    bench.pass(INTERVAL * 4 + Duration::from_ns(1));
    bench.sync_with(leader(1), 2, |_| {});
    assert_eq!(bench.port.state(), State::Listening);
    bench.pass(INTERVAL * 4);
    bench.sync_with(leader(1), 3, |_| {});
    assert_eq!(bench.port.state(), State::Uncalibrated);
}

#[test]
fn the_port_is_slave_within_two_seconds_and_knows_the_rate() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(1), 1..9);
    assert_eq!(bench.port.state(), State::Slave);
    let rate = bench.port.map().unwrap().line.rate.ppm();
    assert!((rate - 12.0).abs() < 0.1, "{rate} ppm");
    let changes: Vec<_> = bench.said.iter().filter(|said| matches!(said, Output::Changed { .. })).collect();
    assert_eq!(changes.len(), 3, "{changes:?}");
}

#[test]
fn sync_and_follow_up_pair_in_either_order_and_the_syncs_own_time_is_not_used() {
    for follow_up_first in [false, true] {
        let mut bench = Bench::new(DelayMechanism::None);
        bench.beats(leader(1), 1..10);
        let before = bench.samples().len();
        let expected = bench.line.at(bench.now - PATH);
        if follow_up_first {
            bench.follow_up(leader(1), 10);
        }
        bench.sync_with(leader(1), 10, |said| said.origin = Timestamp::from_ns(42));
        if !follow_up_first {
            bench.follow_up(leader(1), 10);
        }
        let samples = bench.samples();
        assert_eq!(samples.len(), before + 1);
        assert_eq!(samples.last().unwrap().origin, expected);
        assert_eq!(samples.last().unwrap().arrived.raw, bench.now);
    }
}

#[test]
fn a_follow_up_of_another_sync_or_another_device_does_not_pair() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(1), 1..10);
    let before = bench.samples().len();
    bench.sync_with(leader(1), 10, |_| {});
    bench.follow_up(leader(1), 9);
    bench.follow_up(leader(2), 10);
    assert_eq!(bench.samples().len(), before);
    bench.follow_up(leader(1), 10);
    assert_eq!(bench.samples().len(), before + 1, "nor does it use up the Sync");
}

#[test]
fn a_one_step_sync_carries_its_own_time() {
    let mut bench = Bench::new(DelayMechanism::None);
    for sequence in 1..10 {
        let mut said = body(leader(1));
        said.origin = bench.line.at(bench.now - PATH);
        let packet = bench.packet(leader(1), sequence, Flags::NONE, Message::Sync(said));
        bench.hear(Channel::Event, &packet, bench.stamp());
        bench.pass(INTERVAL);
    }
    assert_eq!(bench.port.state(), State::Slave);
}

#[test]
fn all_sixteen_bytes_of_the_subdomain_count() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.subdomain = Subdomain(*b"_DFLT\0\0\0\0\0\0\0\0\0\0x");
    bench.beats(leader(1), 1..16);
    assert!(
        !bench.said.contains(&Output::Notice(Notice::OtherSubdomain(bench.subdomain))),
        "too soon to be told"
    );
    bench.beats(leader(1), 16..19);
    assert_eq!(bench.port.state(), State::Listening);
    assert_eq!(bench.count(Counter::OtherSubdomain), 36);
    assert_eq!(bench.count(Counter::Sync), 0);
    assert!(bench.said.contains(&Output::Notice(Notice::OtherSubdomain(bench.subdomain))));
}

#[test]
fn ten_advertised_intervals_of_silence_and_the_port_listens_again() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(1), 1..20);
    let last = bench.now - INTERVAL;
    assert_eq!(bench.port.deadline(), Some(last + INTERVAL * 10));
    bench.pass(INTERVAL * 9 - Duration::from_ns(1));
    assert_eq!(bench.port.state(), State::Slave);
    bench.pass(Duration::from_ns(1));
    assert_eq!((bench.port.state(), bench.port.leader()), (State::Listening, None));
    assert_eq!(bench.port.deadline(), None, "nothing to wait for");
    let map = bench.port.map().unwrap();
    let (then, later) =
        (map.uncertainty_at(bench.now), map.uncertainty_at(bench.now + Duration::from_secs(100)));
    assert!(later.offset > then.offset, "the map lives on and grows less certain");
}

#[test]
fn the_same_leader_after_a_silence_is_locked_at_once_on_the_same_timeline() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(1), 1..60);
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.port.state(), State::Listening);
    bench.beats(leader(1), 180..184);
    assert_eq!((bench.port.state(), bench.port.timeline()), (State::Slave, 1));
}

#[test]
fn a_leader_that_was_rebooted_raises_the_timeline_and_is_locked_within_five_seconds() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(1), 1..60);
    bench.line.at0 = Timestamp::from_ns(3_000_000_000);
    bench.line.raw0 = bench.now;
    bench.beats(leader(1), 1..21);
    assert_eq!((bench.port.state(), bench.port.timeline()), (State::Slave, 2));
    let jump = bench.said.iter().find_map(|said| match said {
        Output::Timeline { number: 2, reason: Discontinuity::Jump(size) } => Some(*size),
        _ => None,
    });
    assert!(jump.unwrap() < Duration::from_secs(-690), "{jump:?}");
    assert!(bench.samples().iter().all(|sample| sample.timeline == 1 || sample.origin.ns() < 20_000_000_000));
}

#[test]
fn a_map_that_had_to_be_fitted_anew_is_not_slave_until_it_is_good_again() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(1), 1..60);
    bench.line.at0 = bench.line.at0 + Duration::from_us(-400);
    bench.beats(leader(1), 60..76);
    assert_eq!((bench.port.state(), bench.port.timeline()), (State::Uncalibrated, 1));
    assert_eq!(bench.count(Counter::Outlier), 16);
    bench.beats(leader(1), 76..90);
    assert_eq!((bench.port.state(), bench.port.timeline()), (State::Slave, 1));
}

#[test]
fn another_leader_raises_the_timeline_and_keeps_the_old_rate_as_a_guess() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(5), 1..60);
    bench.line = Affine { raw0: bench.now, at0: Timestamp::from_ns(7), rate: Ratio::from_ppm(-13.0) };
    bench.beats(leader(1), 1..9);
    assert_eq!(bench.port.leader().unwrap().identity, leader(1), "the lower UUID wins");
    assert_eq!((bench.port.state(), bench.port.timeline()), (State::Slave, 2));
    assert!((bench.port.map().unwrap().line.rate.ppm() + 13.0).abs() < 1.0);
}

#[test]
fn a_worse_leader_never_disturbs() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(1), 1..30);
    for sequence in 30..60 {
        bench.sync_with(leader(7), sequence, |_| {});
        bench.beat(leader(1), sequence);
    }
    assert_eq!((bench.port.state(), bench.port.timeline()), (State::Slave, 1));
    assert_eq!(bench.port.leader().unwrap().identity, leader(1));
}

#[test]
fn best_master_follows_the_order_of_the_standard() {
    let base = Leader {
        identity: leader(5),
        subdomain: Subdomain::DFLT,
        address: Ipv4Addr::LOCALHOST,
        announced: body(leader(5)),
        interval: INTERVAL,
        last_sync: Timestamp::ZERO,
        sequence_id: 7,
        qualified: true,
    };
    let other = |n: u8, change: fn(&mut SyncBody)| {
        let mut other = Leader { identity: leader(n), announced: body(leader(n)), ..base };
        change(&mut other.announced);
        other
    };
    let cases: [(&str, Leader, bool); 12] = [
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
            "identifier means nothing above stratum 2",
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
        assert_eq!(best::is_better(&candidate, &base), wins, "{name}");
        if candidate != base {
            assert_eq!(best::is_better(&base, &candidate), !wins, "{name}, the other way round");
        }
    }
    let at_stratum_1 = |n: u8, identifier| {
        let mut leader = other(n, |b| b.grandmaster.stratum = 1);
        leader.announced.grandmaster.identifier = identifier;
        leader
    };
    let ranks = [ClockIdentifier::NTP, ClockIdentifier::HAND, ClockIdentifier::INIT, ClockIdentifier::DFLT];
    for pair in ranks.windows(2) {
        assert!(best::is_better(&at_stratum_1(6, pair[0]), &at_stratum_1(4, pair[1])), "{pair:?}");
    }
    assert!(best::is_better(&at_stratum_1(4, ClockIdentifier::GPS), &at_stratum_1(6, ClockIdentifier::ATOM)));
    let two_steps = other(4, |b| {
        b.grandmaster.port.uuid = leader(5).uuid;
        b.local.steps_removed = 2;
    });
    assert!(best::is_better(&base, &two_steps), "the shorter way to the same grandmaster");
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
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(1), 65_530..65_535);
    bench.beat(leader(1), 65_535);
    bench.beat(leader(1), 0);
    bench.beat(leader(1), 1);
    assert_eq!((bench.samples().len(), bench.count(Counter::Repeated)), (7, 0));
    bench.beat(leader(1), 1);
    bench.beat(leader(1), 65_535);
    bench.beat(leader(1), 65_534);
    assert_eq!((bench.samples().len(), bench.count(Counter::Repeated)), (7, 3), "three behind: overtaken");
    bench.beat(leader(1), 65_533);
    assert_eq!((bench.samples().len(), bench.count(Counter::Repeated)), (8, 3), "four behind: restarted");
}

#[test]
fn syncs_without_a_stamp_are_counted_by_reason_and_told() {
    let mut bench = Bench::new(DelayMechanism::None);
    for sequence in 1..=10 {
        let why = if sequence == 3 { NoStamp::ClockStepped } else { NoStamp::Missing };
        let packet = bench.packet(leader(1), sequence, Flags::ASSIST, Message::Sync(body(leader(1))));
        bench.hear(Channel::Event, &packet, Err(why));
        bench.pass(INTERVAL);
    }
    assert_eq!((bench.count(Counter::RxStampMissing), bench.count(Counter::ClockStepped)), (9, 1));
    assert!(bench.said.contains(&Output::Notice(Notice::NoStamps)));
    assert_eq!(bench.port.state(), State::Uncalibrated, "a leader is there, but nothing is measured");
}

#[test]
fn syncs_without_follow_up_are_told() {
    let mut bench = Bench::new(DelayMechanism::None);
    for sequence in 1..=10 {
        bench.sync_with(leader(1), sequence, |_| {});
        bench.pass(INTERVAL);
    }
    assert!(bench.said.contains(&Output::Notice(Notice::NoFollowUp)));
}

#[test]
fn syncs_that_cannot_be_measured_end_the_lock_after_ten_intervals() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(1), 1..30);
    assert_eq!(bench.port.state(), State::Slave);
    for sequence in 30..38 {
        bench.sync_with(leader(1), sequence, |_| {});
        bench.pass(INTERVAL);
    }
    assert_eq!(bench.port.state(), State::Slave);
    for sequence in 38..41 {
        bench.sync_with(leader(1), sequence, |_| {});
        bench.pass(INTERVAL);
    }
    assert_eq!(bench.port.state(), State::Uncalibrated, "whose Syncs they are is known");
    bench.beats(leader(1), 41..43);
    assert_eq!((bench.port.state(), bench.port.timeline()), (State::Slave, 1));
}

#[test]
fn a_follow_up_without_its_sync_does_not_wait_for_the_next_sync_of_that_number() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(1), 1..10);
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
    bench.hear(Channel::General, &announce, Err(NoStamp::Missing));
    assert!(!bench.said.contains(&Output::Notice(Notice::OnlyPtpV2)), "PTPv1 may follow in a moment");
    bench.pass(Duration::from_secs(4));
    bench.hear(Channel::General, &announce, Err(NoStamp::Missing));
    assert_eq!(bench.count(Counter::PtpV2), 2);
    assert!(bench.said.contains(&Output::Notice(Notice::OnlyPtpV2)));
}

#[test]
fn every_packet_that_is_not_used_has_its_counter() {
    let mut bench = Bench::new(DelayMechanism::None);
    let sync = bench.packet(leader(1), 1, Flags::ASSIST, Message::Sync(body(leader(1))));
    let own = bench.packet(OURS, 1, Flags::NONE, Message::DelayReq(body(OURS)));
    let request = bench.packet(leader(3), 1, Flags::NONE, Message::DelayReq(body(leader(3))));
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

#[test]
fn a_crowd_of_leaders_takes_a_fixed_place_and_the_one_followed_stays() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(1), 1..20);
    for n in 10..250 {
        bench.sync_with(leader(n), 1, |said| said.grandmaster.preferred = true);
    }
    assert_eq!(bench.count(Counter::TooManyLeaders), 240 - 7);
    bench.beats(leader(1), 20..30);
    assert_eq!((bench.port.state(), bench.port.timeline()), (State::Slave, 1));
    let mut bench = Bench::new(DelayMechanism::None);
    (10..20).for_each(|n| bench.sync_with(leader(n), 1, |said| said.sync_interval = 4));
    bench.beats(leader(1), 1..10);
    assert_eq!(bench.port.state(), State::Slave, "a full table keeps no leader out");
}

#[test]
fn without_being_asked_to_the_port_sends_nothing() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(1), 1..400);
    assert!(!bench.said.iter().any(|said| matches!(said, Output::Send { .. })));
}

#[test]
fn delay_requests_are_random_within_the_standards_bounds_and_measure_the_path() {
    let mut bench = Bench::new(DelayMechanism::E2e);
    let mut times = Vec::new();
    let mut sequence = 0;
    let chosen = bench.now + INTERVAL;
    while times.len() < 40 {
        sequence += 1;
        bench.beat(leader(1), sequence);
        for said in std::mem::take(&mut bench.said) {
            let Output::Send { packet, token } = said else { continue };
            times.push(bench.now);
            let request = Packet::parse(&packet).unwrap();
            let Message::DelayReq(said) = request.message else { panic!("{request:?}") };
            assert_eq!((request.header.source, said.local.stratum), (OURS, 255));
            assert_eq!(said.grandmaster.port.uuid, leader(1).uuid);
            bench.handle(Input::Departed { token, stamp: bench.stamp() });
            // Of no meaning: another requester, another sequence, another device.
            let received = bench.line.at(bench.now + PATH);
            let mine = request.header.sequence_id;
            for (from, requesting, requesting_sequence_id, received) in [
                (leader(1), leader(9), mine, Timestamp::ZERO),
                (leader(1), OURS, mine.wrapping_add(1), Timestamp::ZERO),
                (leader(2), OURS, mine, Timestamp::ZERO),
                (leader(1), OURS, mine, received),
            ] {
                let answer = DelayResp { received, requesting, requesting_sequence_id };
                let packet = bench.packet(from, sequence, Flags::NONE, Message::DelayResp(answer));
                bench.hear(Channel::General, &packet, Err(NoStamp::Missing));
            }
        }
    }
    let delay = bench.port.path_delay().unwrap();
    bench.pass(Duration::from_secs(10));
    bench.beats(leader(1), sequence + 40..sequence + 44);
    assert_eq!(bench.port.path_delay(), Some(delay), "the same leader after a silence: the same way");
    assert!((delay - PATH).abs() < Duration::from_ns(100), "{delay:?}");
    let error = bench.port.map().unwrap().dante_at(bench.now) - bench.line.at(bench.now);
    assert!(error.abs() < Duration::from_ns(100), "the map has the delay in it: {error:?}");
    let intervals = |span: Duration| span / INTERVAL.ns();
    let first = intervals(times[0] - chosen).ns();
    assert!((4..=8).contains(&first), "the first after {first} intervals");
    let apart: Vec<i64> = times.windows(2).map(|pair| intervals(pair[1] - pair[0]).ns()).collect();
    assert!(apart.iter().all(|n| (1..=31).contains(n)), "{apart:?}");
    assert!(apart.iter().max() > apart.iter().min(), "random: {apart:?}");
}

#[test]
fn a_request_without_a_transmit_stamp_measures_nothing() {
    let mut bench = Bench::new(DelayMechanism::E2e);
    for sequence in 1..200 {
        bench.beat(leader(1), sequence);
        for said in std::mem::take(&mut bench.said) {
            if let Output::Send { token, .. } = said {
                bench.handle(Input::Departed { token, stamp: Err(NoStamp::Missing) });
            }
        }
    }
    assert!(bench.count(Counter::TxStampMissing) > 2);
    assert_eq!(bench.port.path_delay(), None);
}

#[test]
fn an_interface_that_fails_and_comes_back_is_locked_again_on_the_same_timeline() {
    let mut bench = Bench::new(DelayMechanism::None);
    bench.beats(leader(1), 1..30);
    bench.handle(Input::Failed);
    assert_eq!((bench.port.state(), bench.port.leader()), (State::Faulty, None));
    bench.beats(leader(1), 30..35);
    assert_eq!(bench.port.state(), State::Faulty, "packets mean nothing until the sockets are open");
    bench.handle(Input::Opened(OURS));
    bench.beats(leader(1), 35..40);
    assert_eq!((bench.port.state(), bench.port.timeline()), (State::Slave, 1));
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
            let mut said = body(leader(who));
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
            let stamp = if noise % 7 == 0 { Err(NoStamp::Missing) } else { bench.stamp() };
            bench.hear(channel, &packet, stamp);
            if let Some(map) = bench.port.map() {
                prop_assert!(map.line.rate.is_finite() && map.sigma.rate.is_finite());
            }
        }
        prop_assert_eq!(bench.count(Counter::OutputLost), 0);
    }
}
