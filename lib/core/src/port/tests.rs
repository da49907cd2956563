//! Tests of the follower with simulated leaders of known time.

mod delay;
mod foreign_leaders;
mod hostile;
mod operator;
mod rates;
mod second_protocol;
mod select;
mod sentences;

use super::foreign_leaders::{Announced, Sender};
use super::measurability::Measurability;
use super::spacing::Spacings;
use super::*;
use crate::announcement::Announcement;
use crate::time::{Affine, Dante, Ratio, TEST_UTC_NS};
use crate::wire::{Buffer, DelayResp, Flags, FollowUp, Header, Message, Packet, SyncBody};
use arrayvec::ArrayVec;
use std::net::{Ipv4Addr, SocketAddrV4};

const OURS: PortIdentity = PortIdentity { technology: 1, uuid: Uuid([2, 0, 0, 0, 0, 9]), port_id: 1 };
const INTERVAL: Duration = Duration::from_ms(250);
const PATH: Duration = Duration::from_us(30);
/// Default address of leaders.
const LEADER_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);
const OTHER_ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 66);

fn leader(n: u8) -> PortIdentity {
    PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0, 0, n]), port_id: 1 }
}

/// A qualified foreign leader with this announcement.
fn foreign_leader(n: u8, announced: Announcement) -> ForeignLeader {
    ForeignLeader {
        identity: leader(n),
        address: LEADER_ADDRESS,
        announced,
        since: Timestamp::ZERO,
        last_sync: Timestamp::ZERO,
        sequence_id: 7,
        qualified: true,
        restarted: None,
        preference: 0,
        contested: None,
        advertising: u8::MAX,
        spacings: Spacings::new(Timestamp::ZERO, 7, SyncInterval::from_log2(-2)),
        measurability: Measurability::default(),
    }
}

/// A port, and leaders of known time.
struct Bench {
    port: Port,
    now: Timestamp<Raw>,
    line: Affine<Dante>,
    subdomain: Subdomain,
    /// Source address of packets.
    address: Ipv4Addr,
    route: Route,
    outputs: Vec<Output>,
}

impl Bench {
    fn new(delay: DelayMechanism) -> Self {
        Self::with(PortConfig { delay, ..PortConfig::default() })
    }

    /// A port that has received these Syncs of a leader.
    fn after(source: PortIdentity, sequences: std::ops::Range<u16>) -> Self {
        let mut bench = Self::new(DelayMechanism::None);
        bench.send_all(source, sequences);
        bench
    }

    fn with(config: PortConfig) -> Self {
        let now = Timestamp::from_ns(5_000_000_000);
        let line =
            Affine { raw0: now, at0: Timestamp::from_ns(699_000_000_000), rate: Ratio::from_ppm(12.0) };
        let mut bench = Self {
            port: Port::new(config),
            now,
            line,
            subdomain: Subdomain::DFLT,
            address: LEADER_ADDRESS,
            route: Route::Multicast,
            outputs: Vec::new(),
        };
        bench.handle(Input::Opened(OURS));
        bench
    }

    fn handle(&mut self, input: Input<'_>) {
        self.port.handle(self.now, input);
        while let Some(output) = self.port.poll() {
            self.outputs.push(output);
        }
    }

    fn packet(&self, source: PortIdentity, sequence_id: u16, flags: Flags, message: Message) -> Buffer {
        let header = Header { version_network: 1, subdomain: self.subdomain, source, sequence_id, flags };
        Packet { header, message }.build().unwrap()
    }

    fn timestamp(&self) -> Result<PacketTimestamp, NoTimestamp> {
        Ok(PacketTimestamp { raw: self.now, real: Timestamp::from_ns(self.now.ns() + TEST_UTC_NS) })
    }

    fn receive(&mut self, channel: Channel, bytes: &[u8], arrived: Result<PacketTimestamp, NoTimestamp>) {
        let source = SocketAddrV4::new(self.address, 49_155);
        let route = self.route;
        self.handle(Input::Packet { channel, bytes, source, route, arrived });
    }

    fn sync_with(&mut self, source: PortIdentity, sequence: u16, change: impl FnOnce(&mut SyncBody)) {
        let mut body = SyncBody::dante(source);
        change(&mut body);
        let packet = self.packet(source, sequence, Flags::ASSIST, Message::Sync(body));
        self.receive(Channel::Event, &packet, self.timestamp());
    }

    fn follow_up(&mut self, source: PortIdentity, sequence: u16) {
        // The Sync arrives now and left one path delay earlier.
        let precise_origin = self.line.at(self.now - PATH);
        let message = Message::FollowUp(FollowUp { associated_sequence_id: sequence, precise_origin });
        let packet = self.packet(source, sequence, Flags::NONE, message);
        self.receive(Channel::General, &packet, Err(NoTimestamp::Missing));
    }

    /// Sends one Sync with its Follow_Up, then advances by one interval.
    fn send(&mut self, source: PortIdentity, sequence: u16) {
        self.sync_with(source, sequence, |_| {});
        self.follow_up(source, sequence);
        self.advance(INTERVAL);
    }

    fn send_all(&mut self, source: PortIdentity, sequences: std::ops::Range<u16>) {
        sequences.for_each(|sequence| self.send(source, sequence));
    }

    /// Advances the time, with an input at each deadline of the port.
    fn advance(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(due) = self.port.deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.handle(Input::Deadline);
        }
        self.now = until;
    }

    fn samples(&self) -> Vec<Sample> {
        self.outputs
            .iter()
            .filter_map(|output| if let Output::Sample(s) = output { Some(*s) } else { None })
            .collect()
    }

    fn diagnostics(&self) -> Vec<Diagnostic> {
        self.outputs
            .iter()
            .filter_map(
                |output| if let Output::Diagnostic(diagnostic) = output { Some(*diagnostic) } else { None },
            )
            .collect()
    }

    /// State and timeline of the port.
    fn state_and_timeline(&self) -> (State, u64) {
        (self.port.state(), self.port.timeline())
    }

    fn count(&self, counter: Counter) -> u64 {
        self.port.counters().get(counter)
    }
}

#[test]
fn state_transitions_match_the_table() {
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
fn slave_with_correct_rate_within_two_seconds() {
    let bench = Bench::after(leader(1), 1..9);
    assert_eq!(bench.port.state(), State::Slave);
    let rate = bench.port.map().unwrap().line.rate.ppm();
    assert!((rate - 12.0).abs() < 0.1, "{rate} ppm");
    let changes: Vec<_> =
        bench.outputs.iter().filter(|output| matches!(output, Output::Changed { .. })).collect();
    assert_eq!(changes.len(), 3, "{changes:?}");
}

#[test]
fn sync_and_follow_up_pair_in_either_order_and_the_follow_up_gives_the_time() {
    for follow_up_first in [false, true] {
        let mut bench = Bench::after(leader(1), 1..10);
        let before = bench.samples().len();
        let expected = bench.line.at(bench.now - PATH);
        if follow_up_first {
            bench.follow_up(leader(1), 10);
        }
        bench.sync_with(leader(1), 10, |body| body.origin = Timestamp::from_ns(42));
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
fn follow_up_of_another_sync_or_device_does_not_pair() {
    let mut bench = Bench::after(leader(1), 1..10);
    let before = bench.samples().len();
    bench.sync_with(leader(1), 10, |_| {});
    bench.follow_up(leader(1), 9);
    bench.follow_up(leader(2), 10);
    assert_eq!(bench.samples().len(), before);
    bench.follow_up(leader(1), 10);
    assert_eq!(bench.samples().len(), before + 1, "the Sync is still available");
}

#[test]
fn one_step_sync_uses_its_own_time() {
    let mut bench = Bench::new(DelayMechanism::None);
    for sequence in 1..10 {
        let mut body = SyncBody::dante(leader(1));
        body.origin = bench.line.at(bench.now - PATH);
        let packet = bench.packet(leader(1), sequence, Flags::NONE, Message::Sync(body));
        bench.receive(Channel::Event, &packet, bench.timestamp());
        bench.advance(INTERVAL);
    }
    assert_eq!(bench.port.state(), State::Slave);
    let sample = *bench.samples().last().unwrap();
    let sent = bench.now - INTERVAL - PATH;
    assert_eq!((sample.origin, sample.arrived.raw), (bench.line.at(sent), sent + PATH));
    let rate = bench.port.map().unwrap().line.rate.ppm();
    assert!((rate - 12.0).abs() < 0.1, "{rate} ppm");
}

#[test]
fn listening_after_ten_intervals_without_sync() {
    let mut bench = Bench::after(leader(1), 1..20);
    let last = bench.now - INTERVAL;
    assert_eq!(bench.port.deadline(), Some(last + INTERVAL * 10));
    bench.advance(INTERVAL * 9 - Duration::from_ns(1));
    assert_eq!(bench.port.state(), State::Slave);
    bench.advance(Duration::from_ns(1));
    assert_eq!((bench.port.state(), bench.port.leader()), (State::Listening, None));
    assert_eq!(bench.port.deadline(), None, "no deadline without a leader");
    let map = bench.port.map().unwrap();
    let (then, later) =
        (map.uncertainty_at(bench.now), map.uncertainty_at(bench.now + Duration::from_secs(100)));
    assert!(later.offset > then.offset, "the clock map remains, with growing uncertainty");
}

#[test]
fn permanent_path_shift_keeps_lock_and_rate() {
    let mut bench = Bench::after(leader(1), 1..60);
    bench.line.at0 = bench.line.at0 + Duration::from_us(-400);
    bench.send_all(leader(1), 60..80);
    assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
    assert_eq!(bench.count(Counter::Outlier), 16, "rejected for four seconds, then accepted");
    let map = bench.port.map().unwrap();
    assert!((map.line.rate.ppm() - 12.0).abs() < 0.1, "{:?}", map.line.rate);
    let error = map.dante_at(bench.now) - bench.line.at(bench.now - PATH);
    assert!(error.abs() < Duration::from_us(1), "{error:?}");
}

#[test]
fn rate_step_of_the_leader_keeps_the_timeline() {
    let mut bench = Bench::after(leader(1), 1..100);
    bench.line = Affine { raw0: bench.now, at0: bench.line.at(bench.now), rate: Ratio::from_ppm(40.0) };
    bench.send_all(leader(1), 100..160);
    assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
    let rate = bench.port.map().unwrap().line.rate.ppm();
    assert!((rate - 40.0).abs() < 0.5, "{rate} ppm after 15 s");
}

#[test]
fn uncalibrated_after_ten_intervals_without_measurement() {
    let mut bench = Bench::after(leader(1), 1..30);
    assert_eq!(bench.port.state(), State::Slave);
    for sequence in 30..38 {
        bench.sync_with(leader(1), sequence, |_| {});
        bench.advance(INTERVAL);
    }
    assert_eq!(bench.port.state(), State::Slave);
    for sequence in 38..41 {
        bench.sync_with(leader(1), sequence, |_| {});
        bench.advance(INTERVAL);
    }
    assert_eq!(bench.port.state(), State::Uncalibrated, "the leader is still known");
    bench.send_all(leader(1), 41..43);
    assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
}

#[test]
fn leader_that_returns_after_an_absence_too_long_for_its_map_starts_a_timeline() {
    for (s, timeline) in [(30, 1), (600, 1), (24 * 3600, 2)] {
        let mut bench = Bench::after(leader(1), 1..200);
        bench.advance(Duration::from_secs(s));
        assert_eq!(bench.port.state(), State::Listening);
        bench.send_all(leader(1), 200..212);
        assert_eq!(bench.state_and_timeline(), (State::Slave, timeline), "{s} s");
        let error = bench.port.map().unwrap().dante_at(bench.now) - bench.line.at(bench.now - PATH);
        assert!(error.abs() < Duration::from_us(5), "{s} s: {error:?}");
    }
}

#[test]
fn interface_failure_keeps_the_timeline() {
    let mut bench = Bench::after(leader(1), 1..30);
    bench.handle(Input::Failed);
    assert_eq!((bench.port.state(), bench.port.leader()), (State::Faulty, None));
    bench.send_all(leader(1), 30..35);
    assert_eq!(bench.port.state(), State::Faulty, "packets are ignored until the sockets are open");
    bench.handle(Input::Opened(OURS));
    bench.send_all(leader(1), 35..40);
    assert_eq!(bench.state_and_timeline(), (State::Slave, 1));
}
