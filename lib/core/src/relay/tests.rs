mod overlay;
mod sentences;

use super::*;
use crate::page::{
    CLOCK_HAS_MAP, CLOCK_HAS_PATH_DELAY, Freshness, PieceRecord, STEER_HAS_PIECE, STEER_UTC_SYNCHRONISED,
    SampleRecord,
};
use crate::port::{PacketTimestamp, Sample, State as PortState};
use crate::steer::SteeredClock;
use crate::time::{Affine, Correlation, Dante, Ratio, TEST_UTC_NS, Uncertainty, Wander};
use crate::track::TimelineKey;

pub(super) const SYNC: i64 = 250_000_000;
/// The system clock where CLOCK_MONOTONIC_RAW is 0, ns since 1970.
pub(super) const REAL0_NS: i64 = TEST_UTC_NS;
pub(super) const NOW: Config = Config { rule: EpochRule::Now, every: None };
pub(super) const SYNCHRONISED: Config = Config { rule: EpochRule::Synchronised, every: None };

/// A leader at +12 ppm and a free-running system clock.
pub(super) struct SyntheticLeader {
    pub key: TimelineKey,
    pub line: Affine<Dante>,
    pub rate_sigma: Ratio,
    pub sent: i64,
    /// By how much the system clock was stepped.
    pub stepped: Duration,
}

impl SyntheticLeader {
    pub fn new() -> Self {
        let line = Affine {
            raw0: Timestamp::ZERO,
            at0: Timestamp::from_ns(699_000_000_000),
            rate: Ratio::from_ppm(12.0),
        };
        let key = TimelineKey { instance: 1, number: 1 };
        Self { key, line, rate_sigma: Ratio::from_ppb(10.0), sent: 0, stepped: Duration::ZERO }
    }

    pub fn now(&self) -> Timestamp<Raw> {
        Timestamp::from_ns(self.sent * SYNC + 200_000)
    }

    pub fn map(&self) -> ClockMap {
        let sigma = Uncertainty { offset: Duration::from_ns(100), rate: self.rate_sigma };
        let line = self.line.anchored_at(Timestamp::from_ns(self.sent * SYNC));
        ClockMap { line, sigma, correlation: Correlation::ZERO, wander: Wander::ZERO }
    }

    pub fn sample(&mut self, noise_ns: i64) -> Sample {
        self.sent += 1;
        let raw = Timestamp::from_ns(self.sent * SYNC + noise_ns);
        Sample {
            number: self.sent.cast_unsigned(),
            timeline: self.key.number,
            arrived: PacketTimestamp { raw, real: Timestamp::from_ns(raw.ns() + REAL0_NS) + self.stepped },
            origin: self.line.at(Timestamp::from_ns(self.sent * SYNC)),
            residual: Duration::ZERO,
            accepted: true,
        }
    }
}

/// The engine, and the two pages that it reads.
struct Bench {
    relay: Relay,
    leader: SyntheticLeader,
    dante4l: View<Dante4l>,
    dante2sys: Option<View<Dante2sys>>,
    suspended: Duration,
    /// Time since the last Sync.
    idle: Duration,
}

impl Bench {
    /// An engine that has read a page without a sample.
    fn new(config: Config) -> Self {
        let mut bench = Self::unread(config, None);
        assert_eq!(bench.read(), []);
        bench
    }

    fn unread(config: Config, published: Option<PublishedEpoch>) -> Self {
        let leader = SyntheticLeader::new();
        let body = Dante4l { state: PortState::Uncalibrated as u8, ..Dante4l::default() };
        let suspended = Duration::from_secs(5);
        Self {
            relay: Relay::new(config, published, suspended),
            dante4l: View { freshness: Freshness::Fresh, pid: 1, instance: leader.key.instance, body },
            leader,
            dante2sys: None,
            suspended,
            idle: Duration::ZERO,
        }
    }

    /// An engine that has relayed `syncs` Syncs.
    fn feeding(syncs: usize) -> Self {
        let mut bench = Self::new(NOW);
        (0..syncs).for_each(|_| _ = bench.sync());
        assert_eq!(bench.relay.page().state, State::Feeding as u8);
        bench
    }

    fn now(&self) -> Timestamp<Raw> {
        self.leader.now() + self.idle
    }

    fn handle(&mut self, input: Input<'_>) -> Vec<Output> {
        self.relay.handle(self.now(), input);
        std::iter::from_fn(|| self.relay.poll()).collect()
    }

    fn read_page(&mut self, dante4l: Option<&View<Dante4l>>) -> Vec<Output> {
        let dante2sys = self.dante2sys.clone();
        self.handle(Input::Page { dante4l, dante2sys: dante2sys.as_ref(), suspended: self.suspended })
    }

    fn read(&mut self) -> Vec<Output> {
        let dante4l = self.dante4l.clone();
        self.read_page(Some(&dante4l))
    }

    /// Updates dante4l's page as after a Sync.
    fn measure(&mut self, state: PortState) {
        let sample = self.leader.sample(0);
        self.idle = Duration::ZERO;
        self.dante4l.body.push(SampleRecord::of(&sample, 0));
        let body = &mut self.dante4l.body;
        body.set_state(state);
        body.flags |= CLOCK_HAS_MAP;
        body.map = self.leader.map().into();
        body.timeline = self.leader.key.number;
    }

    /// A Sync. Returns its outputs except for the last one, a new overlay each time.
    fn sync(&mut self) -> Vec<Output> {
        self.measure(PortState::Slave);
        let mut outputs = self.read();
        let overlay = Output::Overlay(self.leader.map().line.into());
        assert_eq!(outputs.pop(), Some(overlay), "the overlay comes after the samples");
        outputs
    }

    /// dante2sys' page with a K by which UTC is `by` ahead of the system clock.
    fn steered(&mut self, by: Duration) -> &mut View<Dante2sys> {
        let mut body = Dante2sys { flags: STEER_HAS_PIECE | STEER_UTC_SYNCHRONISED, ..Dante2sys::default() };
        // A piece with a slope and a leap second.
        let (dante0_ns, slope) = (699_000_000_000, 1 << 28);
        let utc0_ns = REAL0_NS + by.ns() + 1_000_000_000 - ((250_000_000i64 * slope) >> 48);
        body.piece = PieceRecord { origin: 9, serial: 3, dante0_ns, utc0_ns, slope };
        body.leap_seconds = -1;
        // `next` has replaced `piece` a second ago.
        body.next = body.piece;
        body.next.serial = 4;
        body.next_from_dante_ns = 698_000_000_000;
        body.piece.utc0_ns += 77;
        (body.key_instance, body.key_number) = (self.leader.key.instance, self.leader.key.number);
        self.dante2sys.insert(View { freshness: Freshness::Fresh, pid: 2, instance: 9, body })
    }
}

/// A change that a test makes to a page.
type Change<B> = fn(&mut View<B>);

fn samples(outputs: &[Output]) -> usize {
    outputs.iter().filter(|output| matches!(output, Output::Write(_))).count()
}

#[test]
fn no_samples_while_dante4l_is_not_locked() {
    let mut bench = Bench::new(NOW);
    for state in [PortState::Uncalibrated, PortState::Listening, PortState::Faulty] {
        bench.measure(state);
        assert_eq!(bench.read(), [], "{state}");
        assert_eq!(bench.relay.lost(), Some(Loss::NoLeader));
    }
    assert_eq!((bench.relay.page().state, bench.relay.needs_epoch()), (State::Waiting as u8, true));
    assert_eq!(bench.relay.waiting(), Waiting::Leader);
    // None of these samples is written later, although the last one is 250 ms old only.
    assert_eq!(samples(&bench.sync()), 1);
    assert_eq!((bench.relay.waiting(), bench.relay.lost()), (Waiting::Nothing, None));
}

#[test]
fn samples_are_relayed_once_and_samples_before_the_first_page_are_not_relayed() {
    let mut bench = Bench::unread(NOW, None);
    (0..3).for_each(|_| bench.measure(PortState::Slave));
    assert!(
        matches!(bench.read()[..], [Output::Overlay(_)]),
        "samples before the first page are not relayed"
    );
    assert_eq!(bench.relay.waiting(), Waiting::Leader);
    assert_eq!(samples(&bench.sync()), 1);
    assert_eq!(bench.read(), [], "the same page again");
    // Read late, after three Syncs.
    (0..3).for_each(|_| bench.measure(PortState::Slave));
    assert_eq!(samples(&bench.read()), 3);
    // Read after a delay of 16 s.
    (0..RING).for_each(|_| bench.measure(PortState::Slave));
    assert_eq!(samples(&bench.read()), 4, "only the samples of the last second");
    // A full ring of new samples, 10 ms apart.
    let first = bench.leader.sample(0);
    for (n, _) in (0..).zip(0..RING) {
        let later = Duration::from_ms(10) * n;
        let arrived = PacketTimestamp { raw: first.arrived.raw + later, real: first.arrived.real + later };
        let sample = Sample { arrived, origin: first.origin + later, ..first };
        bench.dante4l.body.push(SampleRecord::of(&sample, 0));
    }
    bench.idle = Duration::from_ms(640);
    assert_eq!(samples(&bench.read()), RING);
}

#[test]
fn reference_includes_the_path_delay_of_the_page() {
    let mut bench = Bench::feeding(1);
    let body = &mut bench.dante4l.body;
    (body.flags, body.path_delay_ns) = (body.flags | CLOCK_HAS_PATH_DELAY, 2_000);
    let [Output::Write(sample)] = bench.sync()[..] else { panic!("expected one sample") };
    assert_eq!(sample.ahead().ns(), 3_000 + 2_000);
}

#[test]
fn ring_of_a_restarted_dante4l_is_read_from_its_start() {
    let mut bench = Bench::feeding(20);
    bench.leader.key = TimelineKey { instance: 2, number: 1 };
    bench.dante4l.instance = 2;
    bench.dante4l.body.samples = 0;
    (0..3).for_each(|_| bench.measure(PortState::Slave));
    let outputs = bench.read();
    assert_eq!(samples(&outputs), 3, "{outputs:?}");
    assert!(!outputs.iter().any(|output| matches!(output, Output::Epoch(_))), "the same leader: {outputs:?}");
}

#[test]
fn samples_stop_while_the_page_shows_no_leader() {
    let changes: [(Loss, Change<Dante4l>); 5] = [
        (Loss::Stopped, |view| view.freshness = Freshness::Stopped),
        (Loss::Stale, |view| view.freshness = Freshness::Stale),
        (Loss::Stale, |view| view.freshness = Freshness::Foreign),
        (Loss::NoLeader, |view| view.body.set_state(PortState::Listening)),
        (Loss::NoLeader, |view| view.body.flags = 0),
    ];
    let pages = changes.map(|(loss, change)| (loss, Some(change)));
    for (loss, change) in pages.into_iter().chain([(Loss::NoPage, None)]) {
        let mut bench = Bench::feeding(4);
        let overlay = bench.relay.overlay();
        bench.measure(PortState::Slave);
        let view = change.map(|change| {
            let mut view = bench.dante4l.clone();
            change(&mut view);
            view
        });
        assert_eq!(bench.read_page(view.as_ref()), [Output::Stopped(loss), Output::Withdraw]);
        assert_eq!(bench.read_page(view.as_ref()), [], "Stopped is sent once");
        assert_eq!((bench.relay.lost(), bench.relay.waiting()), (Some(loss), Waiting::Leader));
        assert_eq!(
            (bench.relay.overlay(), bench.relay.needs_epoch()),
            (overlay, false),
            "{loss}: overlay and K are kept"
        );
        let outputs = bench.sync();
        assert!(matches!(outputs[..], [Output::Feeding, Output::Write(_), ..]), "{loss}: {outputs:?}");
    }
}

#[test]
fn k_is_set_from_dante2sys_page_once() {
    let by = Duration::from_ms(7);
    let unsynchronised = EpochSource::Unsynchronised;
    let cases: [(Change<Dante2sys>, EpochSource); 6] = [
        (|_| {}, EpochSource::Dante2sys),
        (|view| view.body.flags = STEER_HAS_PIECE, EpochSource::Dante2sys),
        (|view| view.freshness = Freshness::Stale, unsynchronised),
        (|view| view.body.clock = SteeredClock::Hardware as u8, unsynchronised),
        (|view| view.body.flags = STEER_UTC_SYNCHRONISED, unsynchronised),
        (|view| view.body.key_instance += 1, unsynchronised),
    ];
    for (n, (change, source)) in cases.into_iter().enumerate() {
        let mut bench = Bench::new(NOW);
        change(bench.steered(by));
        assert!(bench.relay.needs_epoch());
        let [Output::Fixed(fixed), Output::Feeding, Output::Write(sample)] = bench.sync()[..] else {
            panic!("case {n}")
        };
        assert_eq!(fixed.source, source, "case {n}");
        let ahead = if source == EpochSource::Dante2sys { 7_003_000 } else { 0 };
        assert_eq!(sample.ahead().ns(), ahead, "case {n}");
        assert!(!bench.relay.needs_epoch());
        bench.steered(Duration::from_ms(9));
        let outputs = bench.sync();
        assert!(
            matches!(outputs[..], [Output::Write(next)] if next.ahead().ns() == ahead + 3_000),
            "case {n}: {outputs:?}"
        );
    }
    // EpochRule::Synchronised requires that UTC of dante2sys is synchronised.
    let mut bench = Bench::new(SYNCHRONISED);
    bench.steered(by).body.flags = STEER_HAS_PIECE;
    assert_eq!(bench.sync(), [Output::NoUtc(None)]);
    bench.dante4l.body.set_kernel_sync(Some(KernelSync::Unsynchronised));
    assert_eq!((bench.sync(), bench.relay.waiting()), (vec![], Waiting::Utc));
    bench.steered(by);
    assert!(matches!(bench.sync()[..], [Output::Fixed(fixed), ..] if fixed.source == EpochSource::Dante2sys));
    // Or that the kernel reports the system clock as synchronised.
    let mut bench = Bench::new(SYNCHRONISED);
    bench.dante4l.body.set_kernel_sync(Some(KernelSync::Synchronised(Duration::from_ms(5))));
    assert!(matches!(bench.sync()[..], [Output::Fixed(fixed), ..] if fixed.source == EpochSource::Clock));
}

#[test]
fn last_sample_is_withdrawn_when_danteshm_ends() {
    let mut bench = Bench::feeding(4);
    assert_eq!(bench.handle(Input::End), [Output::Stopped(Loss::Ending), Output::Withdraw]);
    assert_eq!((bench.relay.page().state, bench.relay.lost()), (State::Waiting as u8, Some(Loss::Ending)));
    assert_eq!(Bench::new(NOW).handle(Input::End), []);
}

#[test]
fn page_carries_k_of_the_last_sample_to_the_next_run() {
    let bench = Bench::feeding(4);
    let published = bench.relay.page().published_epoch().unwrap();
    let epoch =
        crate::time::Epoch::from_ns(REAL0_NS + SYNC - bench.leader.line.at(Timestamp::from_ns(SYNC)).ns());
    let source = EpochSource::Unsynchronised;
    assert_eq!(published, PublishedEpoch { key: bench.leader.key, epoch, source, last: bench.now() });
    // The page keeps this K until another sample is written.
    let mut next = Bench::unread(NOW, Some(published));
    next.leader.sent = 4;
    assert_eq!(next.read(), []);
    assert_eq!(next.relay.page().published_epoch(), Some(published));
    assert_eq!(Bench::new(NOW).relay.page().published_epoch(), None);
    let [Output::Fixed(fixed), Output::Feeding, Output::Write(_)] = next.sync()[..] else {
        panic!("expected a resumed K and one sample")
    };
    assert!(fixed.is_resumed);
    assert_eq!(next.relay.page().published_epoch(), Some(PublishedEpoch { last: next.now(), ..published }));
}
