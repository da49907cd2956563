//! Tests the engine on two networks with leaders of known time.

use super::*;
use crate::announcement::PtpVersion;
use crate::candidates::Role;
use crate::page::{CLOCK_HAS_PATH_DELAY, Freshness, MAP_HAS_PATH_DELAY, View};
use crate::port::{Channel, DelayMechanism, Diagnostic, Input, NoTimestamp, PacketTimestamp, Route, State};
use crate::time::{Affine, Dante, Duration, Ratio, TEST_UTC_NS};
use crate::track::{Loss, TimelineKey, Track};
use crate::wire::{Buffer, DelayResp, Flags, Header, Message, Packet, PortIdentity, Subdomain, SyncBody};
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::{FromBytes, IntoBytes};

const INTERVAL: Duration = Duration::from_ms(250);
const INSTANCE: u64 = 7;

fn identity(n: u8) -> PortIdentity {
    port::follower_identity([0, 0x1d, 0xc1, 0, 0, n], 0)
}

fn packet(source: PortIdentity, sequence_id: u16, message: Message) -> Buffer {
    let header =
        Header { version_network: 1, subdomain: Subdomain::DFLT, source, sequence_id, flags: Flags::NONE };
    Packet { header, message }.build().unwrap()
}

/// The engine, and the leader of each network.
struct Bench {
    engine: Observer,
    now: Timestamp<Raw>,
    lines: [Affine<Dante>; NETWORKS],
    leads: [bool; NETWORKS],
    /// Both interfaces are on the primary network.
    is_one_network: bool,
    /// Path delay of all packets.
    path: Duration,
    sequence: u16,
    outputs: Vec<(usize, Output)>,
}

impl Bench {
    /// The interfaces are open; no leader sends yet. The secondary's time minus the primary's is `apart`.
    fn new(networks: usize, apart: Duration) -> Self {
        Self::with(networks, apart, PortConfig::default())
    }

    fn with(networks: usize, apart: Duration, config: PortConfig) -> Self {
        let now = Timestamp::from_ns(5_000_000_000);
        let line = |at0| Affine { raw0: now, at0, rate: Ratio::from_ppm(12.0) };
        let at0 = Timestamp::from_ns(699_000_000_000);
        let names = ["primary", "secondary", "tertiary"].into_iter().take(networks);
        let engine = Observer::new(names.map(|name| (name, config.clone())));
        Self::of(engine, now, networks, [line(at0), line(at0 + apart)])
    }

    /// The same with interfaces among which the engine chooses.
    fn auto(apart: Duration, config: PortConfig) -> Self {
        let now = Timestamp::from_ns(5_000_000_000);
        let line = |at0| Affine { raw0: now, at0, rate: Ratio::from_ppm(12.0) };
        let at0 = Timestamp::from_ns(699_000_000_000);
        let mut engine = Observer::auto();
        for name in ["eth0", "eth1"] {
            engine.add(name, config.clone()).unwrap();
        }
        Self::of(engine, now, NETWORKS, [line(at0), line(at0 + apart)])
    }

    fn of(engine: Observer, now: Timestamp<Raw>, networks: usize, lines: [Affine<Dante>; NETWORKS]) -> Self {
        let mut bench = Self {
            engine,
            now,
            lines,
            leads: [false; NETWORKS],
            is_one_network: false,
            path: Duration::ZERO,
            sequence: 0,
            outputs: Vec::new(),
        };
        for network in 0..networks {
            bench.handle(network, Input::Opened(identity(0xf0)));
        }
        bench
    }

    /// Both leaders have sent for ten seconds.
    fn running(apart: Duration) -> Self {
        let mut bench = Self::new(NETWORKS, apart);
        bench.leads = [true; NETWORKS];
        bench.beats(40);
        bench
    }

    fn handle(&mut self, network: usize, input: Input<'_>) {
        self.engine.handle(self.now, network, input);
        self.outputs.extend(std::iter::from_fn(|| self.engine.poll()));
    }

    /// For each of `count` intervals: a Sync of each leader that sends, then the deadlines of the interval.
    fn beats(&mut self, count: usize) {
        for _ in 0..count {
            self.sequence += 1;
            for network in 0..NETWORKS {
                if self.leads[network] {
                    self.sync(network);
                }
            }
            let until = self.now + INTERVAL;
            while let Some(due) = self.engine.deadline().filter(|due| *due <= until) {
                self.now = self.now.max(due);
                for network in 0..NETWORKS {
                    if self.engine.port(network).and_then(Port::deadline).is_some_and(|at| at <= due) {
                        self.handle(network, Input::Deadline);
                    }
                }
            }
            self.now = until;
        }
    }

    fn leader(&self, network: usize) -> PortIdentity {
        leader(if self.is_one_network { 0 } else { network })
    }

    fn timestamp(&self) -> Result<PacketTimestamp, NoTimestamp> {
        Ok(PacketTimestamp { raw: self.now, real: Timestamp::from_ns(self.now.ns() + TEST_UTC_NS) })
    }

    /// The leader of the network sends a packet, which arrives now.
    fn receive(&mut self, network: usize, channel: Channel, message: Message) {
        let bytes = packet(self.leader(network), self.sequence, message);
        let source = SocketAddrV4::new(Ipv4Addr::new(169, 254, 1, 2), 49_155);
        self.handle(
            network,
            Input::Packet {
                channel,
                bytes: &bytes,
                source,
                route: Route::Multicast,
                arrived: self.timestamp(),
            },
        );
    }

    /// A one-step Sync, which is measured at once.
    fn sync(&mut self, network: usize) {
        let origin = self.lines[network].at(self.now - self.path);
        let body = SyncBody { origin, ..SyncBody::dante(self.leader(network)) };
        self.receive(network, Channel::Event, Message::Sync(body));
    }

    /// Answers the Delay_Reqs that were sent.
    fn answer_delay_reqs(&mut self) {
        for (network, output) in std::mem::take(&mut self.outputs) {
            let Output::Port(port::Output::Send { packet, token }) = output else { continue };
            self.handle(network, Input::Departed { token, timestamp: self.timestamp() });
            let Header { source: requesting, sequence_id: requesting_sequence_id, .. } =
                Packet::parse(&packet).unwrap().header;
            let received = self.lines[network].at(self.now + self.path);
            let answer = DelayResp { received, requesting, requesting_sequence_id };
            self.receive(network, Channel::General, Message::DelayResp(answer));
        }
    }

    /// The clock page after encoding and decoding.
    fn page(&mut self) -> Dante4l {
        let bytes = self.engine.pages(self.now, Some(KernelSync::Unsynchronised)).0.as_bytes().to_vec();
        Dante4l::read_from_bytes(&bytes).unwrap()
    }

    /// The status page after encoding and decoding.
    fn status(&mut self) -> Dante4lStatus {
        let bytes = self.engine.pages(self.now, Some(KernelSync::Unsynchronised)).1.as_bytes().to_vec();
        Dante4lStatus::read_from_bytes(&bytes).unwrap()
    }

    fn track(&mut self) -> Result<Track, Loss> {
        let (freshness, body) = (Freshness::Fresh, self.page());
        Track::of(Some(&View { freshness, pid: 1, instance: INSTANCE, body }))
    }

    /// Network and number of each timeline among the outputs.
    fn timelines(&self) -> Vec<(usize, u64)> {
        let number = |(network, output): &(usize, Output)| match output {
            Output::Port(port::Output::Timeline { number, .. }) => Some((*network, *number)),
            _ => None,
        };
        self.outputs.iter().filter_map(number).collect()
    }

    fn changes(&self) -> Vec<(usize, NetworkChange)> {
        let change = |(network, output): &(usize, Output)| match output {
            Output::Network(change) => Some((*network, *change)),
            _ => None,
        };
        self.outputs.iter().filter_map(change).collect()
    }
}

fn leader(network: usize) -> PortIdentity {
    identity(u8::try_from(network).unwrap() + 1)
}

/// Port and timeline of each sample of the ring, oldest first.
fn ring(page: &Dante4l) -> Vec<(u32, u64)> {
    page.samples_after(0).map(|sample| (sample.port, sample.timeline)).collect()
}

#[test]
fn pages_contain_the_track_of_the_selected_port() {
    let mut bench = Bench::running(Duration::from_us(60));
    for fails in [None, Some(0)] {
        if let Some(network) = fails {
            bench.handle(network, Input::Failed);
            bench.beats(1);
        }
        let port = bench.engine.port(bench.engine.selected().unwrap()).unwrap();
        let (state, map) = (port.state(), port.map());
        assert_eq!(state, State::Slave);
        let key = TimelineKey { instance: INSTANCE, number: 1 };
        assert_eq!(bench.track(), Ok(Track { key, is_locked: true, map }));
    }
    bench.engine.set_timestamp_source(1, TimestampSource::Hardware);
    let clock = bench.page();
    assert_eq!(clock.kernel_sync(), Some(KernelSync::Unsynchronised));
    assert_eq!((clock.protocol(), clock.sender()), (Some(PtpVersion::V1), Some(identity(2))));
    assert_eq!((clock.timestamp_source, clock.utc_offset_s), (TimestampSource::Hardware as u8, 0));
    let page = bench.status();
    assert_eq!((page.selected, page.port_count), (1, 2));
    assert_eq!(page.kernel_sync(), Some(KernelSync::Unsynchronised));
    assert_eq!(page.selected().and_then(PortRecord::map), clock.map());
    let names = page.ports.each_ref().map(|port| port.interface.to_string());
    assert_eq!(names, ["primary", "secondary"]);
    assert_eq!(page.ports.each_ref().map(|port| port.timestamp_source), [0, TimestampSource::Hardware as u8]);
    assert_eq!(page.ports.each_ref().map(|port| port.last.port), [0, 1]);
    let last = bench.engine.port(1).unwrap().last_sample().copied();
    assert_eq!(page.ports[1].last_sample(), last, "its timeline has the published number");
}

#[test]
fn published_map_includes_the_path_delay_exactly_if_its_flags_are_set() {
    let config = PortConfig { delay: DelayMechanism::E2e, ..PortConfig::default() };
    let mut bench = Bench::with(1, Duration::ZERO, config);
    (bench.leads[0], bench.path) = (true, Duration::from_us(30));
    let (both, mut without) = (CLOCK_HAS_PATH_DELAY | MAP_HAS_PATH_DELAY, 0);
    while bench.engine.port(0).and_then(Port::path_delay).is_none() {
        let page = bench.page();
        assert_eq!((page.flags & both, page.path_delay_ns), (0, 0));
        if let Some(map) = page.map().filter(|_| page.is_locked()) {
            without += 1;
            let error = map.dante_at(bench.now) - bench.lines[0].at(bench.now - bench.path);
            assert!(error.abs() < Duration::from_ns(100), "{error:?} off the time without the delay");
        }
        bench.beats(1);
        bench.answer_delay_reqs();
    }
    assert!(without > 0, "the delay was known before the lock");
    let page = bench.page();
    assert_eq!(page.flags & both, both);
    assert!((page.path_delay_ns - 30_000).abs() < 100, "{} ns", page.path_delay_ns);
    let error = page.map().unwrap().dante_at(bench.now) - bench.lines[0].at(bench.now);
    assert!(error.abs() < Duration::from_ns(100), "{error:?} off the leader's time");
}

#[test]
fn ring_contains_only_samples_of_the_selected_network() {
    let mut bench = Bench::running(Duration::from_us(60));
    let before = ring(&bench.page());
    assert!(before.iter().all(|sample| *sample == (0, 1)));
    assert_eq!(before.len() as u64, bench.engine.port(0).unwrap().last_sample().unwrap().number);
    bench.handle(0, Input::Failed);
    bench.beats(3);
    let after = ring(&bench.page());
    assert_eq!(after, [&before[..], &[(1, 1); 3]].concat());
    let given: Vec<_> =
        bench.outputs.iter().filter(|(_, it)| matches!(it, Output::Port(port::Output::Sample(_)))).collect();
    assert_eq!(given.len(), after.len(), "each sample of the ring is an output");
}

#[test]
fn failed_network_is_replaced_at_once_and_the_timeline_continues() {
    let mut bench = Bench::running(Duration::from_us(60));
    assert_eq!(bench.changes(), [(1, NetworkChange::OneClock)]);
    bench.outputs.clear();
    bench.handle(0, Input::Failed);
    assert!(
        matches!(
            bench.outputs[..],
            [
                (0, Output::Port(port::Output::Changed { to: State::Faulty, .. })),
                (1, Output::Network(NetworkChange::Selected { to: 1, moved: Some(_), continues: true })),
            ]
        ),
        "{:?}",
        bench.outputs
    );
    assert_eq!((bench.engine.selected(), bench.timelines()), (Some(1), vec![]));
    assert_eq!(bench.status().ports.each_ref().map(|port| port.timeline), [1, 1]);
}

#[test]
fn networks_of_two_clocks_have_different_timelines() {
    let mut bench = Bench::running(Duration::from_secs(4_000));
    assert_eq!(bench.timelines(), [(0, 1), (1, 0)]);
    assert_eq!(bench.changes(), [(1, NetworkChange::TwoClocks(Duration::from_secs(4_000)))]);
    let page = bench.status();
    assert_eq!(page.ports.each_ref().map(|port| (port.timeline, port.last.timeline)), [(1, 1), (0, 0)]);
    bench.leads[0] = false;
    bench.beats(60);
    assert_eq!((bench.engine.selected(), bench.track().unwrap().key.number), (Some(1), 2));
    assert_eq!(ring(&bench.page()).last(), Some(&(1, 2)));
    // The leader of the selected network jumps.
    bench.lines[1].at0 = bench.lines[1].at0 + Duration::from_secs(30);
    bench.beats(20);
    assert_eq!(bench.timelines(), [(0, 1), (1, 0), (1, 3)]);
    assert_eq!(ring(&bench.page()).last(), Some(&(1, 3)));
}

#[test]
fn sample_that_causes_the_selection_is_published() {
    let mut bench = Bench::new(NETWORKS, Duration::ZERO);
    bench.leads[1] = true;
    while bench.engine.selected() == Some(0) {
        assert_eq!(bench.page().samples, 0);
        bench.outputs.clear();
        bench.beats(1);
    }
    let [
        (1, Output::Network(NetworkChange::Selected { to: 1, .. })),
        (1, Output::Port(port::Output::Sample(sample))),
        ..,
    ] = &bench.outputs[..]
    else {
        panic!("{:?}", bench.outputs)
    };
    assert_eq!((sample.timeline, ring(&bench.page())), (1, vec![(1, 1)]));
}

#[test]
fn sample_of_an_earlier_timeline_is_published_with_timeline_0() {
    let bench = Bench::running(Duration::ZERO);
    let port = bench.engine.port(0).unwrap();
    let sample = *port.last_sample().unwrap();
    assert_eq!(published(&sample, port, 5).timeline, 5);
    assert_eq!(published(&Sample { timeline: 0, ..sample }, port, 5).timeline, 0);
}

#[test]
fn only_new_page_content_counts_as_a_change() {
    let mut bench = Bench::new(1, Duration::ZERO);
    bench.leads[0] = true;
    assert!(bench.engine.is_changed(), "not published yet");
    let mut changes = |act: &dyn Fn(&mut Bench)| {
        bench.page();
        assert!(!bench.engine.is_changed());
        act(&mut bench);
        bench.engine.is_changed()
    };
    assert!(!changes(&|bench| bench.handle(0, Input::Deadline)));
    assert!(!changes(&|bench| bench.handle(0, Input::Dropped(0))));
    assert!(!changes(&|bench| bench.handle(1, Input::Failed)), "no such network");
    assert!(changes(&|bench| bench.engine.set_timestamp_source(0, TimestampSource::Software)));
    assert!(!changes(&|bench| bench.engine.set_timestamp_source(0, TimestampSource::Software)));
    assert!(changes(&|bench| bench.handle(0, Input::Rejoined)));
    assert!(changes(&|bench| bench.beats(9)), "the leader is followed");
    assert!(changes(&|bench| bench.beats(1)), "a sample");
    assert!(changes(&|bench| bench.handle(0, Input::Failed)));
}

#[test]
fn third_network_is_ignored() {
    let mut bench = Bench::new(3, Duration::ZERO);
    assert!(bench.engine.port(2).is_none());
    assert_eq!(bench.status().port_count, 2);
}

/// The choices that the engine made.
fn choices(bench: &mut Bench) -> Vec<Change> {
    let outputs = std::mem::take(&mut bench.outputs).into_iter();
    outputs
        .filter_map(|(_, output)| if let Output::Choice(change) = output { Some(change) } else { None })
        .collect()
}

fn roles(status: &Dante4lStatus) -> Vec<Role> {
    status.candidates().unwrap().iter().map(|one| one.role().unwrap()).collect()
}

#[test]
fn nothing_of_a_candidate_is_published_or_sent_before_it_is_used() {
    let config = PortConfig { delay: DelayMechanism::E2e, ..PortConfig::default() };
    let mut bench = Bench::auto(Duration::from_secs(3), config);
    bench.leads = [true, true];
    bench.beats(200);
    let is_request =
        |(_, output): &(usize, Output)| matches!(output, Output::Port(port::Output::Send { .. }));
    assert!(!bench.outputs.iter().any(is_request), "a Delay_Req of an interface that is not used");
    assert!(matches!(choices(&mut bench)[..], [Change::Conflict(0, 1, _)]));
    let page = bench.page();
    assert_eq!((page.state, page.flags, page.samples), (State::Listening as u8, 0, 0));
    let status = bench.status();
    assert_eq!((status.port_count, status.selected().is_none()), (0, true));
    assert_eq!(roles(&status), [Role::OtherClock, Role::OtherClock]);
    let other = status.candidates[1];
    assert_eq!(other.leader().map(|leader| leader.identity()), Some(leader(1)));
    let off = other.difference().time - Duration::from_secs(3);
    assert!(off.abs() < Duration::from_us(10), "{off:?}");

    // The first leader is switched off.
    bench.leads = [false, true];
    bench.beats(80);
    assert_eq!(choices(&mut bench), [Change::Use { primary: 1, secondary: None }]);
    bench.beats(200);
    assert!(bench.outputs.iter().any(is_request));
    let page = bench.page();
    assert_eq!((page.state, page.timeline), (State::Slave as u8, 1));
    assert!(page.samples > 200);
    assert_eq!(bench.status().selected().map(|port| port.interface.to_string()).as_deref(), Some("eth1"));
}

#[test]
fn one_clock_is_followed_on_either_interface_without_a_new_timeline() {
    let mut bench = Bench::auto(Duration::from_us(2), PortConfig::default());
    bench.leads = [false, true];
    bench.beats(80);
    bench.leads = [true, true];
    bench.beats(120);
    let first = Change::Use { primary: 1, secondary: None };
    assert_eq!(choices(&mut bench), [first, Change::Use { primary: 1, secondary: Some(0) }]);
    assert_eq!(roles(&bench.status()), [Role::Secondary, Role::Primary]);
    assert_eq!(bench.page().timeline, 1);
    bench.leads = [true, false];
    bench.beats(200);
    let page = bench.page();
    assert_eq!((page.state, page.timeline), (State::Slave as u8, 1), "the other network goes on");
    assert_eq!(choices(&mut bench), []);
}

#[test]
fn interface_that_replaces_the_used_one_continues_its_timeline_if_it_has_the_same_clock() {
    for (apart, timeline) in [(Duration::ZERO, 1), (Duration::from_secs(3), 2)] {
        let mut bench = Bench::auto(apart, PortConfig::default());
        bench.leads = [true, false];
        bench.beats(80);
        assert_eq!(choices(&mut bench), [Change::Use { primary: 0, secondary: None }]);
        bench.leads = [false, false];
        bench.beats(80);
        // The cable is plugged into the other socket.
        bench.leads = [false, true];
        bench.beats(80);
        assert_eq!(choices(&mut bench), [Change::Use { primary: 1, secondary: None }]);
        let page = bench.page();
        assert_eq!((page.state, page.timeline), (State::Slave as u8, timeline), "{apart:?}");
    }
}

#[test]
fn interfaces_that_are_passed_over_and_those_without_a_place_are_shown() {
    let mut engine = Observer::auto();
    for number in 0..MAX_CANDIDATES {
        assert_eq!(engine.add(&format!("eth{number}"), PortConfig::default()), Some(number));
    }
    assert_eq!(engine.add("eth8", PortConfig::default()), None);
    let passed_over = [("wlan0".into(), PassedOver::Wireless), ("eth8".into(), PassedOver::TooMany)];
    assert_eq!([engine.set_passed_over(&passed_over), engine.set_passed_over(&passed_over)], [true, false]);
    engine.set_fault(7, InterfaceFault::Absent);
    let (_, status) = engine.pages(Timestamp::from_ns(1), None);
    let shown = status.candidates().unwrap();
    assert_eq!(shown.len(), 9, "one was removed");
    assert_eq!(shown[7].passed_over(), Some(PassedOver::Wireless));
    assert_eq!(
        (shown[8].interface.to_string().as_str(), shown[8].passed_over()),
        ("eth8", Some(PassedOver::TooMany))
    );
}

/// Both cables are in one switch: each interface receives the same packets of the same leader.
#[test]
fn one_network_on_both_interfaces_is_reported_and_changes_nothing() {
    let mut bench = Bench::new(NETWORKS, Duration::ZERO);
    (bench.is_one_network, bench.leads) = (true, [true; NETWORKS]);
    // Two hours.
    bench.beats(2 * 3_600 * 4);
    // Now, and after 1, 3, 7, 15, 31 and 63 minutes.
    assert_eq!(reports_of_one_network(&mut bench), 7);
    assert_eq!(bench.page().timeline, 1);

    // The second cable is pulled out, and later plugged in again.
    bench.handle(1, Input::Failed);
    bench.beats(40);
    bench.handle(1, Input::Opened(identity(0xf0)));
    bench.beats(8);
    bench.handle(1, Input::Failed);
    bench.beats(2 * 60 * 4);
    assert_eq!(reports_of_one_network(&mut bench), 0, "it is not any more");
    bench.handle(1, Input::Opened(identity(0xf0)));
    bench.beats(40);
    assert_eq!(reports_of_one_network(&mut bench), 1, "it is again");

    // It is plugged into the right switch, where the same clock leads.
    bench.handle(1, Input::Failed);
    bench.beats(40);
    bench.is_one_network = false;
    bench.handle(1, Input::Opened(identity(0xf0)));
    bench.beats(2 * 60 * 4);
    assert_eq!(reports_of_one_network(&mut bench), 0);
    let port = bench.engine.port(1).unwrap();
    let is_shown = |(found, at): (Diagnostic, _)| found.is_shown(port.state(), bench.now - at);
    assert!(!port.diagnostics().any(is_shown));
    assert_eq!(bench.page().timeline, 1);

    // The cable of the primary network is pulled out.
    bench.handle(0, Input::Failed);
    bench.beats(40);
    let page = bench.page();
    assert_eq!((page.state, page.timeline), (State::Slave as u8, 1));
}

/// How often one network is reported, on the second interface and nowhere else, while nothing is switched and no line says that the
/// leaders are one clock.
fn reports_of_one_network(bench: &mut Bench) -> usize {
    let address = Ipv4Addr::new(169, 254, 1, 2);
    let mut reports = 0;
    for (network, output) in std::mem::take(&mut bench.outputs) {
        match output {
            Output::Port(port::Output::Diagnostic(found)) => {
                assert_eq!((network, found), (1, Diagnostic::OneNetwork(leader(0), address)));
                reports += 1;
            }
            Output::Network(change) => panic!("{change:?}"),
            _ => {}
        }
    }
    reports
}
