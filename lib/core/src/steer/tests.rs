use super::*;
use crate::page::Freshness;
use crate::port::State as PortState;
use crate::time::{
    Affine, ClockMap, Correlation, Dante, Raw, Reading, Real, Timestamp, Uncertainty, VirtualClock, Wander,
};
use crate::track::TimelineKey;
use crate::utc::UtcRules;
use crate::wire::Subdomain;

mod kernel;
mod laws;
mod utc;

/// A clock that does what the steerer wants, and what the test does to it.
struct TestClock {
    exact: ExactClock,
    /// The next reading takes this long, and is late or early by half of it.
    late: Duration,
    suspended: Duration,
    /// What another program or the kernel did.
    tick: i64,
    leap: KernelLeap,
    refuses: bool,
    in_use: bool,
    set: Vec<Ratio>,
    reads: usize,
}

impl Clock for TestClock {
    type Error = &'static str;

    fn read(&mut self) -> ClockState {
        self.reads += 1;
        let ClockState { mut reading, kernel, .. } = self.exact.read();
        let late = std::mem::take(&mut self.late);
        (reading.raw, reading.width) = (reading.raw + late, late.abs() * 2);
        let kernel = kernel.map(|kernel| Kernel { tick: self.tick, leap: self.leap, ..kernel });
        ClockState { reading, suspended: self.suspended, kernel }
    }

    fn set(&mut self, setting: Setting) -> Result<Ratio, Fault<Self::Error>> {
        match setting {
            _ if self.refuses => return Err(Fault::Failed("refused")),
            Setting::Control if self.in_use => return Err(Fault::InUse("in use")),
            Setting::Control => self.tick = NOMINAL_TICK,
            Setting::Frequency(frequency) => self.set.push(frequency),
            Setting::Declared(_) => {}
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
    steerer: Steerer,
    clock: TestClock,
    line: Affine<Dante>,
    key: TimelineKey,
    subdomain: Subdomain,
    sigma: Ratio,
    said: Vec<Output>,
    failed: usize,
}

const SYNC: Duration = Duration::from_ms(250);
const S: Duration = Duration::from_secs(1);
const BEGIN: Timestamp<Raw> = Timestamp::from_ns(1_000_000_000);
const DATE: Timestamp<Real> = Timestamp::from_ns(1_795_000_000_000_000_000);

impl Bench {
    fn new(ppm: f64) -> Self {
        Self::with(Config::default(), ppm)
    }

    /// So many Syncs of a leader at +12 ppm were received.
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
                clock: VirtualClock::new(Reading { raw: BEGIN, real: DATE, width: Duration::ZERO }),
                now: BEGIN,
            },
            late: Duration::ZERO,
            suspended: Duration::from_secs(77),
            tick: NOMINAL_TICK,
            leap: KernelLeap::None,
            refuses: false,
            in_use: false,
            set: Vec::new(),
            reads: 0,
        };
        let steerer = Steerer::new(config, &clock.read(), Ratio::ZERO);
        Self {
            steerer,
            clock,
            line,
            key: TimelineKey { instance: 1, number: 1 },
            subdomain: Subdomain::DFLT,
            sigma: Ratio::from_ppb(50.0),
            said: Vec::new(),
            failed: 0,
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        let Self { steerer, clock, said, failed, .. } = self;
        let reads = clock.reads;
        drive(steerer, clock, input, |report| match report {
            Report::Output(output) => said.push(output),
            Report::Failed(_) => *failed += 1,
            _ => {}
        });
        assert_eq!(clock.reads, reads + 1, "the clock is read once, whatever comes of it");
    }

    /// Nothing new happened but what was done to the clock.
    fn look(&mut self) {
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

    /// Time passes, and the steerer is called when it wants to be: dante4l publishes nothing meanwhile.
    fn pass(&mut self, span: Duration) {
        let until = self.clock.exact.now + span;
        while let Some(due) = self.steerer.deadline().filter(|due| *due <= until) {
            self.clock.exact.now = due;
            self.look();
        }
        self.clock.exact.now = until;
    }

    /// The UTC that the clock should show.
    fn error(&self) -> Duration {
        let now = self.clock.exact.now;
        self.clock.exact.clock.at(now) - self.steerer.timescale().unwrap().utc_at(now)
    }

    fn last_set(&self) -> f64 {
        self.clock.set.last().unwrap().ppm()
    }

    fn adopted(&self) -> Option<Duration> {
        self.said
            .iter()
            .find_map(|said| if let Output::Adopted(by, _) = said { Some(by.span()) } else { None })
    }
}

#[test]
fn every_state_and_event_has_its_arrow() {
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
fn the_clock_is_left_alone_until_the_rate_is_known() {
    let mut bench = Bench::new(12.0);
    bench.handle(Input::Page(None));
    assert_eq!(bench.steerer.state(), State::Waiting);
    bench.sigma = Ratio::from_ppm(2.1);
    bench.syncs(5);
    assert_eq!((bench.steerer.state(), bench.clock.set.len()), (State::Acquiring, 0));
    bench.sigma = Ratio::from_ppm(1.9);
    bench.sync();
    assert_eq!((bench.steerer.state(), bench.clock.set.len()), (State::Locked, 1));
    assert_eq!(bench.steerer.phase_error(), Some(Offset::ZERO), "K is fixed where the clock is");
}

#[test]
fn an_unready_leader_is_no_leader() {
    let mut bench = Bench::new(12.0);
    for state in [PortState::Listening, PortState::Uncalibrated, PortState::Faulty, PortState::Initializing] {
        bench.lead(state);
        assert_eq!(bench.steerer.state(), State::Waiting, "{state}");
    }
}

#[test]
fn the_clock_runs_at_the_leaders_rate_and_a_phase_error_fades_within_bounds() {
    let mut bench = Bench::after(4);
    bench.line.at0 = bench.line.at0 + Duration::from_us(8); // the map moved: the clock is 8 us behind
    bench.sync();
    assert!((bench.last_set() - 14.0).abs() < 0.01, "12 ppm and 8 us over 4 s: {}", bench.last_set());
    bench.syncs(80);
    assert!(bench.error().abs() < Duration::from_ns(100), "{:?}", bench.error());
    bench.line.at0 = bench.line.at0 + Duration::from_us(900);
    bench.syncs(40);
    assert!((bench.last_set() - 17.0).abs() < 1e-9, "never more than 5 ppm beside the leader");
    for _ in 0..2 {
        bench.line.at0 = bench.line.at0 + Duration::from_us(-900);
        bench.sync();
    }
    assert!((bench.last_set() - 7.0).abs() < 1e-9);
}

#[test]
fn no_frequency_beyond_the_bound_is_ever_set() {
    for sign in [1.0, -1.0] {
        let mut bench = Bench::new(489.0 * sign);
        bench.syncs(4);
        bench.line.at0 = bench.line.at0 + Duration::from_us(900) * Ratio::new(sign);
        bench.syncs(4);
        assert!(
            (bench.last_set() - 490.0 * sign).abs() < 1e-9,
            "489 ppm and 5 ppm of phase: {}",
            bench.last_set()
        );
        bench.line.rate = Ratio::from_ppm(5_000.0 * sign);
        bench.syncs(10);
        assert_eq!(bench.steerer.state(), State::Holdover, "a leader that cannot be followed is lost");
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
        // It is told of also where its rate never comes to be known.
        let page = bench.page(PortState::Uncalibrated, Freshness::Fresh);
        let expected = if allows_pull_up { Loss::NoLeader } else { Loss::PullUp };
        assert_eq!(config.track(Some(&page)), Err(expected));
    }
}

#[test]
fn without_a_fresh_look_the_phase_term_is_reviewed_once_a_second() {
    let mut bench = Bench::after(4);
    bench.line.at0 = bench.line.at0 + Duration::from_us(15);
    bench.sync();
    let set = bench.clock.set.len();
    bench.pass(Duration::from_secs(60));
    assert!((59..=61).contains(&(bench.clock.set.len() - set)), "{}", bench.clock.set.len() - set);
    assert!(bench.error().abs() < Duration::from_ns(100), "it does not overshoot: {:?}", bench.error());
}

#[test]
fn holdover_keeps_the_rate_without_the_phase_term_and_returns_without_a_jump() {
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
fn another_timeline_is_taken_over_by_carrying_k_and_the_clock_does_not_move() {
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
    assert_eq!(bench.steerer.state(), State::Holdover, "the new leader is not known well enough yet");
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
    assert!(bench.said.iter().any(|said| matches!(said, Output::Epoch(_))));
    assert!(
        bench.clock.set.iter().all(|set| (-13.1..=12.1).contains(&set.ppm())),
        "no phase to make good: {:?}",
        bench.clock.set
    );
    assert!((bench.last_set() + 13.0).abs() < 0.1);
}

#[test]
fn a_map_that_became_uncertain_does_not_move_the_clock() {
    let mut bench = Bench::after(8);
    (bench.sigma, bench.line.rate) = (Ratio::from_ppm(20.0), Ratio::from_ppm(40.0));
    bench.syncs(8);
    assert_eq!(bench.steerer.state(), State::Holdover);
    assert!((bench.steerer.frequency().ppm() - 12.0).abs() < 0.1, "{:?}", bench.steerer.frequency());
}

#[test]
fn a_step_by_somebody_else_is_adopted_and_not_fought() {
    for step in [Duration::from_secs(10), Duration::from_secs(-10), Duration::from_ms(2)] {
        let mut bench = Bench::after(20);
        bench.clock.exact.clock.step(step);
        bench.syncs(20);
        let adopted = bench.adopted();
        assert!((adopted.unwrap() - step).abs() < Duration::from_us(1), "{adopted:?}");
        assert!(bench.error().abs() < Duration::from_us(1), "K is where the clock was put");
        assert!(bench.clock.set.iter().all(|set| (set.ppm() - 12.0).abs() < 0.1), "the rate was not touched");
    }
}

/// Between the reads of one reading the program was held up: the reading says how long, and so how much it may err.
#[test]
fn a_reading_that_took_long_shows_no_step() {
    let mut bench = Bench::after(20);
    let held_up = |bench: &mut Bench, late: Duration| {
        bench.clock.late = late;
        bench.look();
    };
    for late in [Duration::from_us(1_300), Duration::from_ms(40)] {
        for late in [late, -late] {
            held_up(&mut bench, late);
            bench.syncs(4);
        }
    }
    assert!(!bench.said.iter().any(|said| matches!(said, Output::Adopted(..))), "{:?}", bench.said);
    assert_eq!(bench.steerer.counts().1, 0);
    bench.clock.exact.clock.step(Duration::from_ms(300));
    held_up(&mut bench, Duration::from_us(1_300));
    assert_eq!(bench.steerer.counts().1, 1, "what is larger is one");
}

#[test]
fn after_a_suspend_k_is_fixed_anew() {
    let mut bench = Bench::after(20);
    // CLOCK_MONOTONIC_RAW stood still for an hour, which dante4l sees as a jump of the leader.
    let hour = Duration::from_secs(3600);
    bench.clock.exact.clock.step(hour);
    bench.line.at0 = bench.line.at0 + hour;
    bench.key.number = 2;
    bench.syncs(20);
    assert!(bench.said.iter().any(|said| matches!(said, Output::Adopted(..))));
    assert!(bench.error().abs() < Duration::from_us(5), "{:?}", bench.error());
}

#[test]
fn a_restarted_dante4l_is_another_timeline_even_with_the_same_number() {
    let mut bench = Bench::after(8);
    bench.key.instance = 99;
    bench.line.at0 = Timestamp::from_ns(5);
    bench.syncs(8);
    assert_eq!(bench.steerer.timescale().unwrap().key(), bench.key);
    assert!(bench.error().abs() < Duration::from_us(1));
}

#[test]
fn a_clock_that_refuses_is_told_and_asked_again_once_a_second() {
    let mut bench = Bench::new(12.0);
    bench.clock.refuses = true;
    bench.sync();
    assert_eq!(bench.steerer.state(), State::Refused);
    bench.syncs(10);
    assert_eq!(bench.steerer.state(), State::Refused);
    bench.clock.refuses = false;
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.steerer.state(), State::Waiting);
    assert!((bench.steerer.frequency().ppm() - 12.0).abs() < 0.1, "{:?}", bench.steerer.frequency());
    bench.syncs(2);
    assert_eq!(bench.steerer.state(), State::Locked);
}
