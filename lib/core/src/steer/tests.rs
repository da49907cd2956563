use super::*;
use crate::date::DateRules;
use crate::port::State as PortState;
use crate::time::{Affine, ClockMap, Correlation, Dante, Real, Uncertainty, VirtualClock, Wander};

mod dating;

/// A leader of known time, and a clock that does what the steerer says.
struct Bench {
    steerer: Steerer,
    clock: VirtualClock,
    now: Timestamp<Raw>,
    line: Affine<Dante>,
    key: TimelineKey,
    sigma: Ratio,
    said: Vec<Output>,
    set: Vec<Ratio>,
    refuses: bool,
}

const SYNC: Duration = Duration::from_ms(250);

impl Bench {
    fn new(ppm: f64) -> Self {
        let now = Timestamp::from_ns(1_000_000_000);
        let line = Affine { raw0: now, at0: Timestamp::from_ns(699_000_000_000), rate: Ratio::from_ppm(ppm) };
        let real = Timestamp::<Real>::from_ns(1_795_000_000_000_000_000);
        Self {
            steerer: Steerer::new(Limits::default(), DateRules::default(), Ratio::from_ppm(3.0)),
            clock: VirtualClock::new(Reading { raw: now, real, width: Duration::ZERO }),
            now,
            line,
            key: TimelineKey { instance: 1, number: 1 },
            sigma: Ratio::from_ppb(50.0),
            said: Vec::new(),
            set: Vec::new(),
            refuses: false,
        }
    }

    fn reading(&self) -> Reading {
        Reading { raw: self.now, real: self.clock.at(self.now), width: Duration::ZERO }
    }

    fn handle(&mut self, input: Input) {
        self.steerer.handle(self.reading(), input);
        while let Some(output) = self.steerer.poll() {
            match output {
                Output::Correct(Correction::Slew(_)) if self.refuses => {
                    self.steerer.handle(self.reading(), Input::Refused);
                }
                Output::Correct(Correction::Slew(frequency)) => {
                    self.clock.set_frequency(self.now, frequency);
                    self.set.push(frequency);
                    self.steerer.handle(self.reading(), Input::Applied(frequency));
                }
                said => self.said.push(said),
            }
        }
    }

    fn track(&self, state: PortState) -> Track {
        let map = ClockMap {
            line: self.line,
            sigma: Uncertainty { offset: Duration::from_ns(200), rate: self.sigma },
            correlation: Correlation::ZERO,
            wander: Wander::ZERO,
        };
        Track { key: self.key, state, map: Some(map) }
    }

    fn sync(&mut self) {
        let track = self.track(PortState::Slave);
        self.handle(Input::Leader(track));
        self.pass(SYNC);
    }

    fn syncs(&mut self, count: usize) {
        (0..count).for_each(|_| self.sync());
    }

    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(due) = self.steerer.deadline().filter(|due| *due <= until) {
            self.now = due;
            self.handle(Input::Deadline);
        }
        self.now = until;
    }

    /// The date that the clock should show.
    fn error(&self) -> Duration {
        self.clock.at(self.now) - self.steerer.timescale().unwrap().date_at(self.now)
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
    bench.handle(Input::Lost(Loss::NoPage));
    assert_eq!(bench.steerer.state(), State::Waiting);
    bench.sigma = Ratio::from_ppm(2.1);
    bench.syncs(5);
    assert_eq!((bench.steerer.state(), bench.set.len()), (State::Acquiring, 0));
    bench.sigma = Ratio::from_ppm(1.9);
    bench.sync();
    assert_eq!((bench.steerer.state(), bench.set.len()), (State::Locked, 1));
    assert_eq!(bench.steerer.phase_error(), Some(Offset::ZERO), "K is fixed where the clock is");
}

#[test]
fn an_unready_leader_is_no_leader() {
    let mut bench = Bench::new(12.0);
    for state in [PortState::Listening, PortState::Uncalibrated, PortState::Faulty, PortState::Initializing] {
        let track = bench.track(state);
        bench.handle(Input::Leader(track));
        assert_eq!(bench.steerer.state(), State::Waiting, "{state}");
    }
}

#[test]
fn the_clock_runs_at_the_leaders_rate_and_a_phase_error_fades_within_bounds() {
    let mut bench = Bench::new(12.0);
    bench.syncs(4);
    bench.line.at0 = bench.line.at0 + Duration::from_us(8); // the map moved: the clock is 8 us behind
    bench.sync();
    assert!(
        (bench.set.last().unwrap().ppm() - 14.0).abs() < 0.01,
        "12 ppm and 8 us over 4 s: {:?}",
        bench.set.last()
    );
    bench.syncs(80);
    assert!(bench.error().abs() < Duration::from_ns(100), "{:?}", bench.error());
    bench.line.at0 = bench.line.at0 + Duration::from_us(900);
    bench.syncs(40);
    assert!((bench.set.last().unwrap().ppm() - 17.0).abs() < 1e-9, "never more than 5 ppm beside the leader");
    for _ in 0..2 {
        bench.line.at0 = bench.line.at0 + Duration::from_us(-900);
        bench.sync();
    }
    assert!((bench.set.last().unwrap().ppm() - 7.0).abs() < 1e-9);
}

#[test]
fn no_frequency_beyond_the_bound_is_ever_set() {
    let mut bench = Bench::new(5_000.0);
    bench.syncs(10);
    assert!(bench.set.iter().all(|set| set.ppm() <= 490.0), "{:?}", bench.set);
    bench.line.rate = Ratio::from_ppm(-5_000.0);
    bench.syncs(10);
    assert!(bench.set.iter().all(|set| set.ppm() >= -490.0), "{:?}", bench.set);
}

#[test]
fn without_a_fresh_look_the_phase_term_is_reviewed_once_a_second() {
    let mut bench = Bench::new(12.0);
    bench.syncs(4);
    bench.line.at0 = bench.line.at0 + Duration::from_us(15);
    bench.sync();
    let set = bench.set.len();
    bench.pass(Duration::from_secs(60));
    assert!((59..=61).contains(&(bench.set.len() - set)), "{}", bench.set.len() - set);
    assert!(bench.error().abs() < Duration::from_ns(100), "it does not overshoot: {:?}", bench.error());
}

#[test]
fn holdover_keeps_the_rate_without_the_phase_term_and_returns_without_a_jump() {
    let mut bench = Bench::new(12.0);
    bench.syncs(4);
    bench.line.at0 = bench.line.at0 + Duration::from_us(8);
    bench.sync();
    bench.handle(Input::Lost(Loss::Stale));
    assert_eq!(bench.steerer.state(), State::Holdover);
    assert!((bench.steerer.frequency().ppm() - 12.0).abs() < 1e-9);
    assert_eq!((bench.steerer.phase_error(), bench.steerer.deadline()), (None, None));
    let before = bench.steerer.timescale().unwrap().epoch();
    bench.pass(Duration::from_secs(100));
    bench.sync();
    assert_eq!(bench.steerer.state(), State::Locked);
    assert_eq!(bench.steerer.timescale().unwrap().epoch(), before, "the same timeline, the same K");
    assert!(bench.set.iter().all(|set| (set.ppm() - 12.0).abs() <= 5.0));
}

#[test]
fn another_timeline_is_taken_over_by_carrying_k_and_the_clock_does_not_move() {
    let mut bench = Bench::new(12.0);
    bench.syncs(40);
    let target = bench.steerer.timescale().unwrap().date_at(bench.now);
    bench.key.number = 2;
    bench.line = Affine {
        raw0: bench.now,
        at0: Timestamp::from_ns(541_867_000_000_000),
        rate: Ratio::from_ppm(-13.0),
    };
    bench.sigma = Ratio::from_ppm(20.0);
    bench.sync();
    assert_eq!(bench.steerer.state(), State::Holdover, "the new leader is not known well enough yet");
    assert!((bench.steerer.frequency().ppm() - 12.0).abs() < 1e-9, "the old rate meanwhile");
    bench.sigma = Ratio::from_ppb(100.0);
    let now = bench.now;
    bench.sync();
    assert_eq!(bench.steerer.state(), State::Locked);
    let carried = bench.steerer.timescale().unwrap().date_at(now);
    assert!(
        (carried - target - SYNC).abs() < Duration::from_us(4),
        "12 ppm over a Sync: {:?}",
        carried - target
    );
    assert!(bench.said.iter().any(|said| matches!(said, Output::Epoch(_))));
    assert!(
        bench.set.iter().all(|set| (-13.1..=12.1).contains(&set.ppm())),
        "no phase to make good: {:?}",
        bench.set
    );
    assert!((bench.set.last().unwrap().ppm() + 13.0).abs() < 0.1);
}

#[test]
fn a_map_that_became_uncertain_does_not_move_the_clock() {
    let mut bench = Bench::new(12.0);
    bench.syncs(8);
    (bench.sigma, bench.line.rate) = (Ratio::from_ppm(20.0), Ratio::from_ppm(40.0));
    bench.syncs(8);
    assert_eq!(bench.steerer.state(), State::Holdover);
    assert!((bench.steerer.frequency().ppm() - 12.0).abs() < 0.1, "{:?}", bench.steerer.frequency());
}

#[test]
fn a_step_by_somebody_else_is_adopted_and_not_fought() {
    for step in [Duration::from_secs(10), Duration::from_secs(-10), Duration::from_ms(2)] {
        let mut bench = Bench::new(12.0);
        bench.syncs(20);
        bench.clock.step(step);
        bench.syncs(20);
        let adopted = bench.said.iter().find_map(|said| match said {
            Output::Adopted(size, _) => Some(size.span()),
            _ => None,
        });
        assert!((adopted.unwrap() - step).abs() < Duration::from_us(1), "{adopted:?}");
        assert!(bench.error().abs() < Duration::from_us(1), "K is where the clock was put");
        assert!(bench.set.iter().all(|set| (set.ppm() - 12.0).abs() < 0.1), "the rate was not touched");
    }
}

/// Between the reads of one reading the program was held up: the reading says how long, and so how much it may err.
#[test]
fn a_reading_that_took_long_shows_no_step() {
    let mut bench = Bench::new(12.0);
    bench.syncs(20);
    let held_up = |bench: &mut Bench, late: Duration| {
        let true_reading = bench.reading();
        let reading = Reading { raw: true_reading.raw + late, width: late.abs() * 2, ..true_reading };
        bench.steerer.handle(reading, Input::Deadline);
    };
    for late in [Duration::from_us(1_300), Duration::from_ms(40)] {
        for late in [late, -late] {
            held_up(&mut bench, late);
            bench.syncs(4);
        }
    }
    assert!(!bench.said.iter().any(|said| matches!(said, Output::Adopted(..))), "{:?}", bench.said);
    assert_eq!(bench.steerer.disturbances(), 0);
    bench.clock.step(Duration::from_ms(300));
    held_up(&mut bench, Duration::from_us(1_300));
    assert_eq!(bench.steerer.disturbances(), 1, "what is larger is one");
}

#[test]
fn after_a_suspend_k_is_fixed_anew() {
    let mut bench = Bench::new(12.0);
    bench.syncs(20);
    // CLOCK_MONOTONIC_RAW stood still for an hour, which dante4l sees as a jump of the leader.
    let hour = Duration::from_secs(3600);
    bench.clock.step(hour);
    bench.line.at0 = bench.line.at0 + hour;
    bench.key.number = 2;
    bench.syncs(20);
    assert!(bench.said.iter().any(|said| matches!(said, Output::Adopted(..))));
    assert!(bench.error().abs() < Duration::from_us(5), "{:?}", bench.error());
}

#[test]
fn a_restarted_dante4l_is_another_timeline_even_with_the_same_number() {
    let mut bench = Bench::new(12.0);
    bench.syncs(8);
    bench.key.instance = 99;
    bench.line.at0 = Timestamp::from_ns(5);
    bench.syncs(8);
    assert_eq!(bench.steerer.key(), Some(bench.key));
    assert!(bench.error().abs() < Duration::from_us(1));
}

#[test]
fn a_clock_that_refuses_is_told_and_asked_again_once_a_second() {
    let mut bench = Bench::new(12.0);
    bench.refuses = true;
    bench.sync();
    assert_eq!(bench.steerer.state(), State::Refused);
    bench.syncs(10);
    assert_eq!(bench.steerer.state(), State::Refused);
    bench.refuses = false;
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.steerer.state(), State::Waiting);
    assert!((bench.steerer.frequency().ppm() - 12.0).abs() < 0.1, "{:?}", bench.steerer.frequency());
    bench.syncs(2);
    assert_eq!(bench.steerer.state(), State::Locked);
}
