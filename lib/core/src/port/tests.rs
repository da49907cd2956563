//! The follower on a bench with leaders of known time.

mod delay;
mod foreign_leaders;
mod hostile;
mod operator;
mod rates;
mod second_protocol;
mod select;

use super::foreign_leaders::Sender;
use super::*;
use crate::announcement::Announcement;
use crate::time::{Affine, Dante, Ratio};
use crate::wire::{Buffer, DelayResp, Flags, FollowUp, Header, Message, Packet, SyncBody};
use arrayvec::ArrayVec;
use std::net::{Ipv4Addr, SocketAddrV4};

const OURS: PortIdentity = PortIdentity { technology: 1, uuid: Uuid([2, 0, 0, 0, 0, 9]), port_id: 1 };
const INTERVAL: Duration = Duration::from_ms(250);
const PATH: Duration = Duration::from_us(30);
/// Where leaders are, if nothing else is said.
const HERE: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 66);

fn leader(n: u8) -> PortIdentity {
    PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0, 0, n]), port_id: 1 }
}

/// A leader as it is remembered, that says so of itself.
fn remembered(n: u8, announced: Announcement) -> ForeignLeader {
    ForeignLeader {
        identity: leader(n),
        address: HERE,
        announced,
        interval: INTERVAL,
        since: Timestamp::ZERO,
        last_sync: Timestamp::ZERO,
        sequence_id: 7,
        qualified: true,
        restarted: None,
        preferred: false,
    }
}

/// A port and a wire with leaders of known time.
struct Bench {
    port: Port,
    now: Timestamp<Raw>,
    line: Affine<Dante>,
    subdomain: Subdomain,
    /// Where packets come from.
    address: Ipv4Addr,
    said: Vec<Output>,
}

impl Bench {
    fn new(delay: DelayMechanism) -> Self {
        Self::with(PortConfig { delay, ..PortConfig::default() })
    }

    /// What a leader says was heard so often.
    fn after(source: PortIdentity, sequences: std::ops::Range<u16>) -> Self {
        let mut bench = Self::new(DelayMechanism::None);
        bench.beats(source, sequences);
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
            address: HERE,
            said: Vec::new(),
        };
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

    fn stamp(&self) -> Result<PacketTimestamp, NoTimestamp> {
        Ok(PacketTimestamp {
            raw: self.now,
            real: Timestamp::from_ns(self.now.ns() + 1_795_000_000_000_000_000),
        })
    }

    fn hear(&mut self, channel: Channel, bytes: &[u8], arrived: Result<PacketTimestamp, NoTimestamp>) {
        let source = SocketAddrV4::new(self.address, 49_155);
        self.handle(Input::Packet { channel, bytes, source, arrived });
    }

    fn sync_with(&mut self, source: PortIdentity, sequence: u16, change: impl FnOnce(&mut SyncBody)) {
        let mut said = SyncBody::dante(source);
        change(&mut said);
        let packet = self.packet(source, sequence, Flags::ASSIST, Message::Sync(said));
        self.hear(Channel::Event, &packet, self.stamp());
    }

    fn follow_up(&mut self, source: PortIdentity, sequence: u16) {
        // It left a path's delay before it arrived, which is now.
        let precise_origin = self.line.at(self.now - PATH);
        let message = Message::FollowUp(FollowUp { associated_sequence_id: sequence, precise_origin });
        let packet = self.packet(source, sequence, Flags::NONE, message);
        self.hear(Channel::General, &packet, Err(NoTimestamp::Missing));
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

    fn diagnostics(&self) -> Vec<Diagnostic> {
        self.said
            .iter()
            .filter_map(
                |said| if let Output::Diagnostic(diagnostic) = said { Some(*diagnostic) } else { None },
            )
            .collect()
    }

    /// The port's state and its timeline.
    fn seen(&self) -> (State, u64) {
        (self.port.state(), self.port.timeline())
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
fn the_port_is_slave_within_two_seconds_and_knows_the_rate() {
    let bench = Bench::after(leader(1), 1..9);
    assert_eq!(bench.port.state(), State::Slave);
    let rate = bench.port.map().unwrap().line.rate.ppm();
    assert!((rate - 12.0).abs() < 0.1, "{rate} ppm");
    let changes: Vec<_> = bench.said.iter().filter(|said| matches!(said, Output::Changed { .. })).collect();
    assert_eq!(changes.len(), 3, "{changes:?}");
}

#[test]
fn sync_and_follow_up_pair_in_either_order_and_the_syncs_own_time_is_not_used() {
    for follow_up_first in [false, true] {
        let mut bench = Bench::after(leader(1), 1..10);
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
    let mut bench = Bench::after(leader(1), 1..10);
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
        let mut said = SyncBody::dante(leader(1));
        said.origin = bench.line.at(bench.now - PATH);
        let packet = bench.packet(leader(1), sequence, Flags::NONE, Message::Sync(said));
        bench.hear(Channel::Event, &packet, bench.stamp());
        bench.pass(INTERVAL);
    }
    assert_eq!(bench.port.state(), State::Slave);
}

#[test]
fn ten_advertised_intervals_of_silence_and_the_port_listens_again() {
    let mut bench = Bench::after(leader(1), 1..20);
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
fn a_lasting_shift_of_the_path_costs_neither_the_lock_nor_the_rate() {
    let mut bench = Bench::after(leader(1), 1..60);
    bench.line.at0 = bench.line.at0 + Duration::from_us(-400);
    bench.beats(leader(1), 60..80);
    assert_eq!(bench.seen(), (State::Slave, 1));
    assert_eq!(bench.count(Counter::Outlier), 16, "four seconds, and then it is believed");
    let map = bench.port.map().unwrap();
    assert!((map.line.rate.ppm() - 12.0).abs() < 0.1, "{:?}", map.line.rate);
    let error = map.dante_at(bench.now) - bench.line.at(bench.now - PATH);
    assert!(error.abs() < Duration::from_us(1), "{error:?}");
}

#[test]
fn a_leader_whose_rate_changed_at_once_is_found_again_on_the_same_timeline() {
    let mut bench = Bench::after(leader(1), 1..100);
    bench.line = Affine { raw0: bench.now, at0: bench.line.at(bench.now), rate: Ratio::from_ppm(40.0) };
    bench.beats(leader(1), 100..160);
    assert_eq!(bench.seen(), (State::Slave, 1));
    let rate = bench.port.map().unwrap().line.rate.ppm();
    assert!((rate - 40.0).abs() < 0.5, "{rate} ppm after 15 s");
}

#[test]
fn syncs_that_cannot_be_measured_end_the_lock_after_ten_intervals() {
    let mut bench = Bench::after(leader(1), 1..30);
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
    assert_eq!(bench.seen(), (State::Slave, 1));
}

#[test]
fn an_interface_that_fails_and_comes_back_is_locked_again_on_the_same_timeline() {
    let mut bench = Bench::after(leader(1), 1..30);
    bench.handle(Input::Failed);
    assert_eq!((bench.port.state(), bench.port.leader()), (State::Faulty, None));
    bench.beats(leader(1), 30..35);
    assert_eq!(bench.port.state(), State::Faulty, "packets mean nothing until the sockets are open");
    bench.handle(Input::Opened(OURS));
    bench.beats(leader(1), 35..40);
    assert_eq!(bench.seen(), (State::Slave, 1));
}
