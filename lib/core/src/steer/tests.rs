use super::*;
use crate::page::Freshness;
use crate::port::State as PortState;
use crate::time::{
    Affine, ClockMap, Correlation, Dante, Raw, Reading, Real, TEST_UTC_NS, Timestamp, Uncertainty,
    VirtualClock, Wander,
};
use crate::track::TimelineKey;
use crate::utc::UtcRules;
use crate::wire::Subdomain;

mod kernel;
mod laws;
mod sentences;
mod utc;

/// A clock that accepts the steerer's corrections and can be disturbed by the test.
struct TestClock {
    exact: ExactClock,
    /// The next reading takes twice this long, and the clock is read this much too late or too early.
    late: Duration,
    suspended: Duration,
    /// State set by another program or by the kernel.
    tick: i64,
    status: i32,
    slewing: Duration,
    leap: KernelLeap,
    refuses: bool,
    in_use: bool,
    set: Vec<Ratio>,
    declared: Vec<Declared>,
    reads: usize,
}

impl Clock for TestClock {
    type Error = &'static str;

    fn read(&mut self) -> ClockState {
        self.reads += 1;
        let ClockState { mut reading, kernel, .. } = self.exact.read();
        let late = std::mem::take(&mut self.late);
        (reading.raw, reading.width) = (reading.raw + late, late.abs() * 2);
        let kernel = kernel.map(|kernel| Kernel {
            tick: self.tick,
            status: self.status,
            slew: self.slewing,
            leap: self.leap,
            ..kernel
        });
        ClockState { reading, suspended: self.suspended, kernel }
    }

    fn set(&mut self, setting: Setting) -> Result<Ratio, Fault<Self::Error>> {
        match setting {
            _ if self.refuses => return Err(Fault::Failed("refused")),
            Setting::Control if self.in_use => return Err(Fault::InUse("in use")),
            Setting::Control => (self.tick, self.status, self.slewing) = (NOMINAL_TICK, 0, Duration::ZERO),
            Setting::Frequency(frequency) => self.set.push(frequency),
            Setting::Declared(quality) => self.declared.push(quality),
        }
        self.exact.set(setting).map_err(|fault| fault.map(|never| match never {}))
    }

    fn step(&mut self, by: Duration) -> Result<(), Fault<Self::Error>> {
        if self.refuses {
            Err(Fault::Failed("refused"))
        } else {
            self.exact.step(by).map_err(|fault| fault.map(|never| match never {}))
        }
    }
}

/// A leader of known time, as dante4l's page shows it, and a clock.
struct Bench {
    config: Config,
    steerer: Steerer,
    clock: TestClock,
    line: Affine<Dante>,
    key: TimelineKey,
    subdomain: Subdomain,
    sigma: Ratio,
    outputs: Vec<Output>,
    /// The names of the sentences that dante2sys logs.
    log: Vec<String>,
    failed: usize,
}

const SYNC: Duration = Duration::from_ms(250);
const S: Duration = Duration::from_secs(1);
const BEGIN: Timestamp<Raw> = Timestamp::from_ns(1_000_000_000);
const START_UTC: Timestamp<Real> = Timestamp::from_ns(TEST_UTC_NS);

impl Bench {
    fn new(ppm: f64) -> Self {
        Self::with(Config::default(), ppm)
    }

    /// A bench after this many Syncs of a leader at +12 ppm.
    fn after(syncs: usize) -> Self {
        let mut bench = Self::new(12.0);
        bench.syncs(syncs);
        bench
    }

    fn with(config: Config, ppm: f64) -> Self {
        let line =
            Affine { raw0: BEGIN, at0: Timestamp::from_ns(699_000_000_000), rate: Ratio::from_ppm(ppm) };
        let mut clock = TestClock {
            exact: ExactClock {
                clock: VirtualClock::new(Reading { raw: BEGIN, real: START_UTC, width: Duration::ZERO }),
                now: BEGIN,
            },
            late: Duration::ZERO,
            suspended: Duration::from_secs(77),
            tick: NOMINAL_TICK,
            status: 0,
            slewing: Duration::ZERO,
            leap: KernelLeap::None,
            refuses: false,
            in_use: false,
            set: Vec::new(),
            declared: Vec::new(),
            reads: 0,
        };
        let steerer = Steerer::new(config, &clock.read(), Ratio::ZERO);
        Self {
            config,
            steerer,
            clock,
            line,
            key: TimelineKey { instance: 1, number: 1 },
            subdomain: Subdomain::DFLT,
            sigma: Ratio::from_ppb(50.0),
            outputs: Vec::new(),
            log: Vec::new(),
            failed: 0,
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        let Self { steerer, clock, outputs, log, failed, .. } = self;
        let reads = clock.reads;
        drive(steerer, clock, input, |report| {
            log.extend(sentences::name(&report));
            match report {
                Report::Output(output) => outputs.push(output),
                Report::Failed(_) => *failed += 1,
                _ => {}
            }
        });
        assert_eq!(clock.reads, reads + 1, "the clock is read exactly once");
    }

    /// An input without news, so that the steerer checks the clock.
    fn check(&mut self) {
        self.handle(Input::Answer { server: 0, answer: Answer::Nothing });
    }

    fn page(&self, state: PortState, freshness: Freshness) -> View<Dante4l> {
        let map = ClockMap {
            line: self.line,
            sigma: Uncertainty { offset: Duration::from_ns(200), rate: self.sigma },
            correlation: Correlation::ZERO,
            wander: Wander::ZERO,
        };
        let mut body = Dante4l {
            subdomain: self.subdomain.0,
            flags: crate::page::CLOCK_HAS_MAP,
            timeline: self.key.number,
            map: map.into(),
            ..Dante4l::default()
        };
        body.set_state(state);
        View { freshness, pid: 1, instance: self.key.instance, body }
    }

    fn lead(&mut self, state: PortState) {
        let page = self.page(state, Freshness::Fresh);
        self.handle(Input::Page(Some(&page)));
    }

    /// dante4l died.
    fn lose(&mut self) {
        let page = self.page(PortState::Slave, Freshness::Stale);
        self.handle(Input::Page(Some(&page)));
    }

    fn sync(&mut self) {
        self.lead(PortState::Slave);
        self.pass(SYNC);
    }

    fn syncs(&mut self, count: usize) {
        (0..count).for_each(|_| self.sync());
    }

    /// Moves the map by this, in parts that each continue it.
    fn move_map(&mut self, us: i64) {
        for _ in 0..us.abs() / 20 {
            self.line.at0 = self.line.at0 + Duration::from_us(20 * us.signum());
            self.sync();
        }
    }

    /// Advances the time and calls the steerer at its deadlines, without news of dante4l.
    fn pass(&mut self, span: Duration) {
        let until = self.clock.exact.now + span;
        while let Some(due) = self.steerer.deadline().filter(|due| *due <= until) {
            self.clock.exact.now = due;
            self.check();
        }
        self.clock.exact.now = until;
    }

    /// The steered clock minus (Dante time + K).
    fn error(&self) -> Duration {
        let now = self.clock.exact.now;
        self.clock.exact.clock.at(now) - self.steerer.timescale().unwrap().utc_at(now)
    }

    fn last_set(&self) -> f64 {
        self.clock.set.last().unwrap().ppm()
    }

    fn adopted(&self) -> Option<Duration> {
        self.outputs
            .iter()
            .find_map(|output| if let Output::Adopted(by, _) = output { Some(by.span()) } else { None })
    }
}

#[test]
fn state_transitions_match_the_table() {
    use Event::*;
    use State::{Acquiring, Holdover, Locked, Waiting, Yielded};
    const EVENTS: [Event; 7] = [Leader, RateKnown, Lost, Refused, Accepted, Disturbed, Taken];
    let (refused, yielded) = (Some(State::Refused), Some(Yielded));
    let table = [
        (Waiting, [Some(Acquiring), None, None, refused, None, yielded, None]),
        (Acquiring, [None, Some(Locked), Some(Waiting), refused, None, yielded, None]),
        (Locked, [None, None, Some(Holdover), refused, None, yielded, None]),
        (Holdover, [None, Some(Locked), None, refused, None, yielded, None]),
        (State::Refused, [None, None, None, None, Some(Waiting), None, None]),
        (Yielded, [None, None, None, None, None, None, Some(Waiting)]),
    ];
    assert_eq!(table.map(|(from, _)| from), State::ALL);
    for (from, row) in table {
        for (event, to) in EVENTS.into_iter().zip(row) {
            assert_eq!(from.after(event), to, "{from} on {event:?}");
        }
        assert_eq!(State::from_number(from as u8), Some(from));
    }
}

#[test]
fn frequency_is_not_changed_before_rate_is_known() {
    let mut bench = Bench::new(12.0);
    bench.handle(Input::Page(None));
    assert_eq!(bench.steerer.state(), State::Waiting);
    bench.sigma = Ratio::from_ppm(2.1);
    bench.syncs(5);
    assert_eq!((bench.steerer.state(), bench.clock.set.len()), (State::Acquiring, 0));
    bench.sigma = Ratio::from_ppm(1.9);
    bench.sync();
    assert_eq!((bench.steerer.state(), bench.clock.set.len()), (State::Locked, 1));
    assert_eq!(bench.steerer.phase_error(), Some(Offset::ZERO), "K is set from the clock");
}

#[test]
fn leader_is_not_followed_before_port_is_slave() {
    let mut bench = Bench::new(12.0);
    for state in [PortState::Listening, PortState::Uncalibrated, PortState::Faulty, PortState::Initializing] {
        bench.lead(state);
        assert_eq!(bench.steerer.state(), State::Waiting, "{state}");
    }
}

#[test]
fn frequency_is_leader_rate_plus_bounded_phase_term() {
    let mut bench = Bench::after(4);
    bench.line.at0 = bench.line.at0 + Duration::from_us(8); // the map moves: the clock is 8 us behind
    bench.sync();
    assert!((bench.last_set() - 14.0).abs() < 0.01, "12 ppm and 8 us over 4 s: {}", bench.last_set());
    bench.syncs(80);
    assert!(bench.error().abs() < Duration::from_ns(100), "{:?}", bench.error());
    bench.move_map(900);
    assert!(bench.error() < Duration::from_us(-500), "{:?}", bench.error());
    assert!((bench.last_set() - 17.0).abs() < 1e-9, "at most 5 ppm from the leader's rate");
    bench.move_map(-1800);
    assert!((bench.last_set() - 7.0).abs() < 1e-9);
}

#[test]
fn map_that_does_not_continue_moves_k_and_not_the_clock() {
    let mut bench = Bench::after(80);
    for us in [900, -21_000, 21] {
        bench.line.at0 = bench.line.at0 + Duration::from_us(us);
        bench.outputs.clear();
        bench.syncs(8);
        assert_eq!(bench.steerer.state(), State::Locked);
        assert!(bench.error().abs() < Duration::from_ns(100), "{us} us: {:?}", bench.error());
        let changes = bench.outputs.iter().filter(|output| matches!(output, Output::Epoch(_))).count();
        assert_eq!(changes, 1, "{us} us: {:?}", bench.outputs);
    }
    assert!(bench.clock.set.iter().all(|set| (set.ppm() - 12.0).abs() < 0.1), "{:?}", bench.clock.set);
}

#[test]
fn restarted_dante4l_keeps_k_and_the_phase_is_corrected_once_its_map_is_settled() {
    let mut bench = Bench::after(80);
    let piece = bench.steerer.timescale().unwrap().piece();
    (bench.key.instance, bench.sigma) = (2, Ratio::from_ppm(1.0));
    bench.line.at0 = bench.line.at0 + Duration::from_us(8);
    bench.syncs(8);
    assert_eq!((bench.steerer.state(), bench.steerer.timescale().unwrap().piece()), (State::Locked, piece));
    assert!((bench.error() + Duration::from_us(8)).abs() < Duration::from_ns(100), "{:?}", bench.error());
    bench.sigma = Ratio::from_ppb(50.0);
    bench.syncs(200);
    assert_eq!(bench.steerer.timescale().unwrap().piece(), piece);
    assert!(bench.error().abs() < Duration::from_ns(100), "{:?}", bench.error());
}

#[test]
fn epoch_of_an_earlier_run_is_resumed_if_the_clock_agrees_with_it() {
    for (us, is_resumed) in [(0, true), (-900, true), (1_100, false), (-3_000_000, false)] {
        let before = Bench::after(80);
        let scale = before.steerer.timescale().unwrap();
        let earlier = EarlierEpoch { piece: scale.piece(), leap_seconds: scale.leap_seconds() };
        let mut bench = Bench { key: TimelineKey { instance: 2, number: 1 }, ..before };
        bench.clock.exact.clock.step(Duration::from_us(us));
        let now = bench.clock.read();
        bench.steerer =
            Steerer::new(Config::default(), &now, Ratio::from_ppm(12.0)).resuming(Some(earlier), None);
        bench.syncs(4);
        let piece = bench.steerer.timescale().unwrap().piece();
        assert_eq!(
            piece.dante0 == earlier.piece.dante0 && piece.utc0 == earlier.piece.utc0,
            is_resumed,
            "{us} us"
        );
        assert!(!bench.outputs.iter().any(|output| matches!(output, Output::Correct(Correction::Step(_)))));
    }
}

#[test]
fn no_frequency_beyond_the_bound_is_ever_set() {
    for sign in [1.0, -1.0] {
        let mut bench = Bench::new(489.0 * sign);
        bench.syncs(4);
        bench.move_map(if sign > 0.0 { 400 } else { -400 });
        assert!(
            (bench.last_set() - 490.0 * sign).abs() < 1e-9,
            "489 ppm and 5 ppm of phase: {}",
            bench.last_set()
        );
        bench.line.rate = Ratio::from_ppm(5_000.0 * sign);
        bench.syncs(10);
        assert_eq!(bench.steerer.state(), State::Holdover, "a leader that is too fast is lost");
        assert!(bench.clock.set.iter().all(|set| set.abs().ppm() <= 490.0), "{:?}", bench.clock.set);
    }
}

#[test]
fn rejects_a_leader_of_a_pull_up_domain_unless_allowed() {
    for allows_pull_up in [false, true] {
        let config = Config { allows_pull_up, ..Config::default() };
        let mut bench = Bench::with(config, 12.0);
        bench.subdomain = Subdomain::ALT1;
        bench.syncs(4);
        let expected = if allows_pull_up { State::Locked } else { State::Waiting };
        assert_eq!(bench.steerer.state(), expected);
        // Reported also where the rate of the leader never converges.
        let page = bench.page(PortState::Uncalibrated, Freshness::Fresh);
        let expected = if allows_pull_up { Loss::NoLeader } else { Loss::PullUp };
        assert_eq!(config.track(Some(&page)), Err(expected));
    }
}

#[test]
fn phase_term_is_updated_each_second_without_new_pages() {
    let mut bench = Bench::after(4);
    bench.line.at0 = bench.line.at0 + Duration::from_us(15);
    bench.sync();
    let set = bench.clock.set.len();
    bench.pass(Duration::from_secs(60));
    assert!((59..=61).contains(&(bench.clock.set.len() - set)), "{}", bench.clock.set.len() - set);
    assert!(bench.error().abs() < Duration::from_ns(100), "no overshoot: {:?}", bench.error());
}

#[test]
fn holdover_drops_phase_term_and_ends_without_a_jump() {
    let mut bench = Bench::after(4);
    bench.line.at0 = bench.line.at0 + Duration::from_us(8);
    bench.sync();
    bench.lose();
    assert_eq!(bench.steerer.state(), State::Holdover);
    assert!((bench.steerer.frequency().ppm() - 12.0).abs() < 1e-9);
    assert_eq!((bench.steerer.phase_error(), bench.steerer.deadline()), (None, None));
    let before = bench.steerer.timescale().unwrap().piece();
    bench.pass(Duration::from_secs(100));
    bench.sync();
    assert_eq!(bench.steerer.state(), State::Locked);
    assert_eq!(bench.steerer.timescale().unwrap().piece(), before, "the same timeline, the same K");
    assert!(bench.clock.set.iter().all(|set| (set.ppm() - 12.0).abs() <= 5.0));
}

#[test]
fn new_timeline_carries_k_over_and_does_not_move_the_clock() {
    let mut bench = Bench::after(40);
    let target = bench.steerer.timescale().unwrap().utc_at(bench.clock.exact.now);
    bench.key.number = 2;
    bench.line = Affine {
        raw0: bench.clock.exact.now,
        at0: Timestamp::from_ns(541_867_000_000_000),
        rate: Ratio::from_ppm(-13.0),
    };
    bench.sigma = Ratio::from_ppm(20.0);
    bench.sync();
    assert_eq!(bench.steerer.state(), State::Holdover, "the rate of the new leader is not known yet");
    assert!((bench.steerer.frequency().ppm() - 12.0).abs() < 1e-9, "the old rate meanwhile");
    bench.sigma = Ratio::from_ppb(100.0);
    let now = bench.clock.exact.now;
    bench.sync();
    assert_eq!(bench.steerer.state(), State::Locked);
    let carried = bench.steerer.timescale().unwrap().utc_at(now);
    assert!(
        (carried - target - SYNC).abs() < Duration::from_us(4),
        "12 ppm over a Sync: {:?}",
        carried - target
    );
    assert!(bench.outputs.iter().any(|output| matches!(output, Output::Epoch(_))));
    assert!(
        bench.clock.set.iter().all(|set| (-13.1..=12.1).contains(&set.ppm())),
        "no phase error to correct: {:?}",
        bench.clock.set
    );
    assert!((bench.last_set() + 13.0).abs() < 0.1);
}

#[test]
fn uncertain_map_does_not_move_the_clock() {
    let mut bench = Bench::after(8);
    (bench.sigma, bench.line.rate) = (Ratio::from_ppm(20.0), Ratio::from_ppm(40.0));
    bench.syncs(8);
    assert_eq!(bench.steerer.state(), State::Holdover);
    assert!((bench.steerer.frequency().ppm() - 12.0).abs() < 0.1, "{:?}", bench.steerer.frequency());
}

#[test]
fn step_by_another_program_is_adopted() {
    for step in [Duration::from_secs(10), Duration::from_secs(-10), Duration::from_ms(2)] {
        let mut bench = Bench::after(20);
        bench.clock.exact.clock.step(step);
        bench.syncs(20);
        let adopted = bench.adopted();
        assert!((adopted.unwrap() - step).abs() < Duration::from_us(1), "{adopted:?}");
        assert!(bench.error().abs() < Duration::from_us(1), "K follows the clock");
        assert!(bench.clock.set.iter().all(|set| (set.ppm() - 12.0).abs() < 0.1), "the rate was not changed");
    }
}

/// The program was interrupted between the two reads of a reading. The width of the reading bounds the resulting error.
#[test]
fn interrupted_reading_is_not_a_step() {
    let mut bench = Bench::after(20);
    let interrupted = |bench: &mut Bench, late: Duration| {
        bench.clock.late = late;
        bench.check();
    };
    for late in [Duration::from_us(1_300), Duration::from_ms(40)] {
        for late in [late, -late] {
            interrupted(&mut bench, late);
            bench.syncs(4);
        }
    }
    assert!(!bench.outputs.iter().any(|output| matches!(output, Output::Adopted(..))), "{:?}", bench.outputs);
    assert_eq!(bench.steerer.counts().1, 0);
    bench.clock.exact.clock.step(Duration::from_ms(300));
    interrupted(&mut bench, Duration::from_us(1_300));
    assert_eq!(bench.steerer.counts().1, 1, "a larger jump is a step");
}

#[test]
fn k_is_set_again_after_suspend() {
    let mut bench = Bench::after(20);
    // CLOCK_MONOTONIC_RAW stood still for an hour, which dante4l sees as a jump of the leader.
    let hour = Duration::from_secs(3600);
    bench.clock.exact.clock.step(hour);
    bench.line.at0 = bench.line.at0 + hour;
    bench.key.number = 2;
    bench.syncs(20);
    assert!(bench.outputs.iter().any(|output| matches!(output, Output::Adopted(..))));
    assert!(bench.error().abs() < Duration::from_us(5), "{:?}", bench.error());
}

#[test]
fn restarted_dante4l_is_a_new_timeline_even_with_the_same_number() {
    let mut bench = Bench::after(8);
    bench.key.instance = 99;
    bench.line.at0 = Timestamp::from_ns(5);
    bench.syncs(8);
    assert_eq!(bench.steerer.timescale().unwrap().key(), bench.key);
    assert!(bench.error().abs() < Duration::from_us(1));
}

#[test]
fn refused_correction_is_reported_and_retried_each_second() {
    let mut bench = Bench::new(12.0);
    bench.clock.refuses = true;
    bench.sync();
    assert_eq!(bench.steerer.state(), State::Refused);
    bench.syncs(10);
    assert_eq!(bench.steerer.state(), State::Refused);
    assert_eq!(bench.failed, 3, "attempts within 2.75 s: after 0, 1 and 2 s");
    let reports = bench.outputs.iter().filter(|it| matches!(it, Output::Changed { to: State::Refused, .. }));
    assert_eq!(reports.count(), 1);
    bench.clock.refuses = false;
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.steerer.state(), State::Waiting);
    assert!((bench.steerer.frequency().ppm() - 12.0).abs() < 0.1, "{:?}", bench.steerer.frequency());
    bench.syncs(2);
    assert_eq!(bench.steerer.state(), State::Locked);
}
