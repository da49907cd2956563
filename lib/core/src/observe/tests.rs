//! The engine on two networks with leaders of known time.

use super::*;
use crate::announcement::PtpVersion;
use crate::page::{Freshness, View};
use crate::port::{Channel, Input, PacketTimestamp, State};
use crate::time::{Affine, Dante, Duration, Ratio};
use crate::track::{Loss, TimelineKey, Track};
use crate::wire::{Buffer, Flags, Header, Message, Packet, PortIdentity, Subdomain, SyncBody};
use std::net::{Ipv4Addr, SocketAddrV4};
use zerocopy::{FromBytes, IntoBytes};

const INTERVAL: Duration = Duration::from_ms(250);
const INSTANCE: u64 = 7;

fn identity(n: u8) -> PortIdentity {
    port::follower_identity([0, 0x1d, 0xc1, 0, 0, n], 0)
}

/// A one-step Sync, which is measured at once.
fn sync(source: PortIdentity, sequence_id: u16, origin: Timestamp<Dante>) -> Buffer {
    let body = SyncBody { origin, ..SyncBody::dante(source) };
    let header =
        Header { version_network: 1, subdomain: Subdomain::DFLT, source, sequence_id, flags: Flags::NONE };
    Packet { header, message: Message::Sync(body) }.build().unwrap()
}

/// The engine, and the leader of each network.
struct Bench {
    engine: Observer,
    now: Timestamp<Raw>,
    lines: [Affine<Dante>; NETWORKS],
    leads: [bool; NETWORKS],
    sequence: u16,
    outputs: Vec<(usize, Output)>,
}

impl Bench {
    /// The interfaces are open; no leader sends yet. The secondary's time is `apart` from the primary's.
    fn new(networks: usize, apart: Duration) -> Self {
        let now = Timestamp::from_ns(5_000_000_000);
        let line = |at0| Affine { raw0: now, at0, rate: Ratio::from_ppm(12.0) };
        let at0 = Timestamp::from_ns(699_000_000_000);
        let names = ["primary", "secondary", "tertiary"].into_iter().take(networks);
        let mut bench = Self {
            engine: Observer::new(names.map(|name| (name, PortConfig::default()))),
            now,
            lines: [line(at0), line(at0 + apart)],
            leads: [false; NETWORKS],
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

    /// A Sync of each leader that sends, and an interval passes, with the deadlines in it.
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

    fn sync(&mut self, network: usize) {
        let source = identity(u8::try_from(network).unwrap() + 1);
        let bytes = sync(source, self.sequence, self.lines[network].at(self.now));
        let real = Timestamp::from_ns(self.now.ns() + 1_795_000_000_000_000_000);
        let arrived = Ok(PacketTimestamp { raw: self.now, real });
        let source = SocketAddrV4::new(Ipv4Addr::new(169, 254, 1, 2), 49_155);
        self.handle(network, Input::Packet { channel: Channel::Event, bytes: &bytes, source, arrived });
    }

    /// What a reader has of the clock page: encoded, and decoded.
    fn page(&mut self) -> Dante4l {
        let bytes = self.engine.pages(Some(KernelSync::Unsynchronised)).0.as_bytes().to_vec();
        Dante4l::read_from_bytes(&bytes).unwrap()
    }

    /// And of the status page.
    fn status(&mut self) -> Dante4lStatus {
        let bytes = self.engine.pages(Some(KernelSync::Unsynchronised)).1.as_bytes().to_vec();
        Dante4lStatus::read_from_bytes(&bytes).unwrap()
    }

    fn track(&mut self) -> Result<Track, Loss> {
        let (freshness, body) = (Freshness::Fresh, self.page());
        Track::of(Some(&View { freshness, pid: 1, instance: INSTANCE, body }))
    }

    /// The numbers of the timelines that outputs announced, with their networks.
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

/// The ports that the samples of the ring came through, and the timelines that they are of, oldest first.
fn ring(page: &Dante4l) -> Vec<(u32, u64)> {
    page.samples_after(0).map(|sample| (sample.port, sample.timeline)).collect()
}

#[test]
fn pages_show_the_selected_ports_track_after_encoding_and_decoding() {
    let mut bench = Bench::running(Duration::from_us(60));
    for fails in [None, Some(0)] {
        if let Some(network) = fails {
            bench.handle(network, Input::Failed);
            bench.beats(1);
        }
        let port = bench.engine.port(bench.engine.selected()).unwrap();
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
    assert_eq!(page.ports[1].last_sample(), last, "on its first timeline, as the suite is");
}

#[test]
fn ring_holds_the_samples_of_the_selected_network_alone() {
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
    assert_eq!(given.len(), after.len(), "the same are put out");
}

#[test]
fn network_that_fails_is_left_at_once_and_the_timeline_goes_on() {
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
    assert_eq!((bench.engine.selected(), bench.timelines()), (1, vec![]));
    assert_eq!(bench.status().ports.each_ref().map(|port| port.timeline), [1, 1]);
}

#[test]
fn networks_of_two_clocks_are_on_timelines_of_their_own() {
    let mut bench = Bench::running(Duration::from_secs(4_000));
    assert_eq!(bench.timelines(), [(0, 1), (1, 0)]);
    assert_eq!(bench.changes(), [(1, NetworkChange::TwoClocks(Duration::from_secs(4_000)))]);
    let page = bench.status();
    assert_eq!(page.ports.each_ref().map(|port| (port.timeline, port.last.timeline)), [(1, 1), (0, 0)]);
    bench.leads[0] = false;
    bench.beats(60);
    assert_eq!((bench.engine.selected(), bench.track().unwrap().key.number), (1, 2));
    assert_eq!(ring(&bench.page()).last(), Some(&(1, 2)));
    // The leader of the selected network jumps.
    bench.lines[1].at0 = bench.lines[1].at0 + Duration::from_secs(30);
    bench.beats(20);
    assert_eq!(bench.timelines(), [(0, 1), (1, 0), (1, 3)]);
    assert_eq!(ring(&bench.page()).last(), Some(&(1, 3)));
}

#[test]
fn sample_by_which_a_network_is_selected_is_published() {
    let mut bench = Bench::new(NETWORKS, Duration::ZERO);
    bench.leads[1] = true;
    while bench.engine.selected() == 0 {
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
fn sample_of_an_earlier_timeline_of_its_port_has_no_published_number() {
    let bench = Bench::running(Duration::ZERO);
    let port = bench.engine.port(0).unwrap();
    let sample = *port.last_sample().unwrap();
    assert_eq!(published(&sample, port, 5).timeline, 5);
    assert_eq!(published(&Sample { timeline: 0, ..sample }, port, 5).timeline, 0);
}

#[test]
fn page_is_changed_by_what_it_shows_and_by_nothing_else() {
    let mut bench = Bench::new(1, Duration::ZERO);
    bench.leads[0] = true;
    assert!(bench.engine.is_changed(), "never published");
    let mut changes = |act: &dyn Fn(&mut Bench)| {
        bench.page();
        assert!(!bench.engine.is_changed());
        act(&mut bench);
        bench.engine.is_changed()
    };
    assert!(!changes(&|bench| bench.handle(0, Input::Deadline)));
    assert!(!changes(&|bench| bench.handle(0, Input::Dropped(0))));
    assert!(!changes(&|bench| bench.handle(1, Input::Failed)), "there is no such network");
    assert!(changes(&|bench| bench.engine.set_timestamp_source(0, TimestampSource::Software)));
    assert!(!changes(&|bench| bench.engine.set_timestamp_source(0, TimestampSource::Software)));
    assert!(changes(&|bench| bench.handle(0, Input::Rejoined)));
    assert!(changes(&|bench| bench.beats(9)), "the leader is followed");
    assert!(changes(&|bench| bench.beats(1)), "a sample");
    assert!(changes(&|bench| bench.handle(0, Input::Failed)));
}

#[test]
fn a_third_network_is_ignored() {
    let mut bench = Bench::new(3, Duration::ZERO);
    assert!(bench.engine.port(2).is_none());
    assert_eq!(bench.status().port_count, 2);
}
