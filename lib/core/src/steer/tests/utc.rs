//! UTC in the steerer: what moves the epoch offset (K), and when it must not move.

use super::*;
use crate::utc::{Exchange, Leap, Policy, ServerClock};

impl Bench {
    fn with_policy(policy: Policy, ppm: f64) -> Self {
        let rules = UtcRules { policy, ..UtcRules::default() };
        Self::with(Config { rules, ..Config::default() }, ppm)
    }

    fn after_rounds(policy: Policy, ppm: f64, count: usize, ahead: Duration) -> Self {
        let mut bench = Self::with_policy(policy, ppm);
        bench.rounds(count, ahead);
        bench
    }

    /// UTC runs at the rate of the raw clock; the clock of the bench starts on UTC.
    fn utc(&self, ahead: Duration) -> Timestamp<Real> {
        START_UTC + (self.clock.exact.now - BEGIN) + ahead
    }

    fn measure_utc(&mut self, ahead: Duration) {
        let (raw, utc) = (self.clock.exact.now, self.utc(ahead));
        let (margin, server_error) = (Duration::from_us(200), Duration::from_ms(5));
        let (leap, smear) = (Leap::None, None);
        let measurement =
            UtcMeasurement { raw, utc, margin, server_error, leap, agreeing: 1, answered: 1, smear };
        let now = self.clock.read();
        let map = self.steerer.run().map;
        self.steerer.utc.observe(&measurement, map.as_ref());
        self.steerer.keep(&now.reading);
        self.check();
    }

    /// Passes `count` times 16 s of Syncs, with a measurement of UTC after each.
    fn rounds(&mut self, count: usize, ahead: Duration) {
        for _ in 0..count {
            self.syncs(64);
            self.measure_utc(ahead);
        }
    }

    fn off_utc(&self, ahead: Duration) -> Duration {
        self.clock.exact.clock.at(self.clock.exact.now) - self.utc(ahead)
    }

    fn line_at_rate(&self, ppm: f64) -> Affine<Dante> {
        Affine { raw0: self.clock.exact.now, at0: Timestamp::from_ns(5), rate: Ratio::from_ppm(ppm) }
    }

    fn has_reported(&self, wanted: UtcEvent) -> bool {
        self.outputs.contains(&Output::Utc(wanted))
    }

    fn utc_steps(&self) -> u64 {
        self.steerer.utc().steps()
    }

    fn is_set_by_hand(&self) -> bool {
        self.steerer.utc().servo().is_set_by_hand()
    }
}

#[test]
fn first_utc_measurement_steps_the_clock_and_k() {
    for policy in Policy::ALL {
        let mut bench = Bench::with_policy(policy, 3.0);
        bench.syncs(40);
        bench.measure_utc(S * 100);
        assert!(bench.off_utc(S * 100).abs() < Duration::from_us(1), "{policy}");
        assert_eq!(bench.utc_steps(), 1);
        bench.syncs(4);
        assert!(bench.error().abs() < Duration::from_us(1), "the phase error does not change");
        assert!(!bench.outputs.iter().any(|output| matches!(output, Output::Adopted(..))));
    }
}

#[test]
fn leader_that_sends_utc_steps_the_clock_once() {
    let mut bench = Bench::with(Config { utc: UtcConfig::Leader, ..Config::default() }, 3.0);
    bench.line.at0 = Timestamp::from_ns(START_UTC.ns()) + S * 100;
    bench.sync();
    assert_eq!((bench.utc_steps(), bench.steerer.counts().0), (1, 1));
    bench.syncs(240);
    assert_eq!(bench.utc_steps(), 1);
    assert!(bench.off_utc(S * 100).abs() < Duration::from_us(200), "60 s at 3 ppm");
}

#[test]
fn leader_that_sends_its_uptime_is_reported_once_for_each_timeline_that_is_followed() {
    let rules = UtcRules { earliest: START_UTC - S, ..UtcRules::default() };
    let mut bench = Bench::with(Config { utc: UtcConfig::Leader, rules, ..Config::default() }, 3.0);
    let reports = |bench: &Bench| {
        bench.outputs.iter().filter(|output| matches!(output, Output::LeaderIsUptime(_))).count()
    };
    bench.syncs(400);
    assert_eq!((reports(&bench), bench.steerer.utc().leader_is_uptime()), (1, true));
    bench.lose();
    bench.pass(S * 60);
    bench.syncs(400);
    assert_eq!(reports(&bench), 1, "the same timeline");
    bench.key.number += 1;
    bench.syncs(400);
    assert_eq!(reports(&bench), 2);
}

#[test]
fn round_with_a_silent_server_steps_the_clock_once() {
    let utc = UtcConfig::Ntp { servers: 2, shortest_interval: S * 16 };
    let mut bench = Bench::with(Config { utc, ..Config::default() }, 3.0);
    for _ in 0..80 {
        bench.lead(PortState::Slave);
        // Server 1 never replies.
        let is_asked = bench.outputs.contains(&Output::Ask(0));
        bench.outputs.retain(|output| !matches!(output, Output::Ask(_)));
        if is_asked {
            let (raw, utc) = (bench.clock.exact.now, bench.utc(S * 100));
            let (round_trip, server) = (Duration::from_ms(1), ServerClock::default());
            let exchange = Exchange { raw, utc, round_trip, leap: Leap::None, server };
            bench.handle(Input::Answer { server: 0, answer: Answer::Time(exchange) });
        }
        bench.clock.exact.now = bench.clock.exact.now + S;
    }
    assert_eq!(bench.utc_steps(), 1);
    assert!(bench.off_utc(S * 100).abs() < Duration::from_ms(1));
}

#[test]
fn policies_utc_and_slew_converge_and_stay_without_servers() {
    for (policy, ppm) in [(Policy::Slew, 3.0), (Policy::Utc, 12.0)] {
        let mut bench = Bench::after_rounds(policy, ppm, 150, Duration::from_ms(3));
        assert!(bench.off_utc(Duration::from_ms(3)).abs() < Duration::from_us(30), "{policy}");
        bench.syncs(4 * 3600);
        assert!(
            bench.off_utc(Duration::from_ms(3)).abs() < Duration::from_us(60),
            "a correction ends when it is done"
        );
        let bound = ppm.max(5.0) + 10.0;
        assert!(bench.clock.set.iter().all(|set| (set.ppm() - ppm).abs() <= bound), "{policy}");
    }
}

#[test]
fn clock_and_k_run_together_in_holdover() {
    let mut bench = Bench::after_rounds(Policy::Utc, 12.0, 60, Duration::ZERO);
    bench.lose();
    for _ in 0..600 {
        bench.pass(S);
        bench.lose();
    }
    assert!(bench.steerer.frequency().ppm().abs() < 0.2, "UTC's rate: {:?}", bench.steerer.frequency());
    assert!(bench.error().abs() < Duration::from_us(1), "{:?}", bench.error());
    bench.measure_utc(Duration::ZERO);
    bench.sync();
    assert!(bench.steerer.phase_error().unwrap().span().abs() < Duration::from_us(1));
    assert!(bench.off_utc(Duration::ZERO).abs() < Duration::from_us(100));
}

/// dante4l runs but follows no leader: a correction in progress ends when it is done.
#[test]
fn correction_of_utc_ends_while_dante4l_has_no_leader() {
    let mut bench = Bench::after_rounds(Policy::Slew, 1.0, 40, Duration::from_ms(5));
    assert!(bench.off_utc(Duration::from_ms(5)).abs() > Duration::from_us(200), "in progress");
    for _ in 0..7_200 {
        bench.lead(PortState::Listening);
        bench.pass(S);
    }
    assert_eq!(bench.steerer.state(), State::Holdover);
    let left = bench.off_utc(Duration::from_ms(5));
    assert!(left.abs() < Duration::from_us(300), "{left:?} after two hours");
}

#[test]
fn failed_step_is_requested_again_and_k_does_not_change() {
    let mut bench = Bench::with_policy(Policy::Step, 0.0);
    bench.syncs(40);
    bench.clock.refuses = true;
    let before = bench.steerer.timescale().unwrap().piece();
    bench.measure_utc(S);
    assert_eq!(bench.steerer.state(), State::Refused);
    bench.sync();
    bench.measure_utc(S);
    assert_eq!((bench.utc_steps(), bench.steerer.timescale().unwrap().piece()), (0, before));
    bench.pass(S);
    bench.syncs(1);
    assert_eq!(bench.steerer.timescale().unwrap().piece(), before);
    bench.clock.refuses = false;
    bench.pass(S);
    bench.syncs(2);
    assert!(bench.utc_steps() == 1 && bench.off_utc(S).abs() < Duration::from_us(1));
}

#[test]
fn clock_set_by_hand_is_not_corrected_until_it_agrees_with_utc() {
    let mut bench = Bench::after_rounds(Policy::Step, 0.0, 10, Duration::ZERO);
    bench.clock.exact.clock.step(S * 3600);
    bench.rounds(10, Duration::ZERO);
    assert!(bench.is_set_by_hand() && bench.has_reported(UtcEvent::SetByHand));
    assert_eq!(bench.off_utc(Duration::ZERO).ns() / 1_000_000_000, 3600);
    bench.clock.exact.clock.step(S * -3600);
    bench.syncs(2);
    assert!(!bench.is_set_by_hand() && bench.has_reported(UtcEvent::Resumed));
}

#[test]
fn leap_second_moves_clock_k_and_utc_in_either_order_of_detection() {
    for is_announced_before in [true, false] {
        let mut bench = Bench::after_rounds(Policy::Step, 0.0, 20, Duration::ZERO);
        if is_announced_before {
            bench.clock.leap = KernelLeap::Passing;
            bench.check();
        }
        bench.clock.exact.clock.step(-S);
        bench.sync();
        bench.clock.leap = KernelLeap::Over;
        bench.check();
        bench.clock.leap = KernelLeap::None;
        bench.rounds(20, -S);
        assert_eq!((bench.utc_steps(), bench.is_set_by_hand()), (0, false));
        assert!(bench.off_utc(-S).abs() < Duration::from_us(10));
        assert!(!bench.outputs.iter().any(|output| matches!(output, Output::Utc(UtcEvent::Outlier(_)))));
    }
}

#[test]
fn suspend_explains_a_jump_and_utc_is_set_again() {
    let mut bench = Bench::after_rounds(Policy::Slew, 0.0, 20, Duration::ZERO);
    let slept = S * 3600;
    bench.clock.exact.clock.step(slept + Duration::from_ms(400));
    bench.clock.suspended = bench.clock.suspended + slept;
    bench.check();
    assert!(bench.outputs.contains(&Output::Slept(slept)));
    assert!(!bench.has_reported(UtcEvent::SetByHand));
    bench.rounds(1, slept);
    assert!(bench.off_utc(slept).abs() < Duration::from_us(10));
    assert_eq!(bench.utc_steps(), 1);
}

/// The kernel publishes UTC as synchronised only while it is; what other programs declare while they steer the clock stays.
#[test]
fn declares_utc_in_each_state_and_nothing_while_another_program_steers() {
    let utc = UtcConfig::Ntp { servers: 1, shortest_interval: S * 16 };
    let mut bench = Bench::with(Config { utc, ..Config::default() }, 0.0);
    let synchronised = |bench: &mut Bench| -> Vec<bool> {
        let mut declared: Vec<bool> =
            std::mem::take(&mut bench.clock.declared).into_iter().map(Declared::is_synchronised).collect();
        declared.dedup();
        declared
    };
    bench.syncs(40);
    assert_eq!(synchronised(&mut bench), [false], "no reply yet");
    bench.rounds(1, S * 100);
    assert_eq!((bench.utc_steps(), synchronised(&mut bench)), (1, vec![false, true]));
    bench.rounds(4, S * 100);
    assert_eq!(synchronised(&mut bench), [true]);
    bench.lose();
    // 1 ppm for a day and a half.
    bench.pass(S * 129_600);
    assert_eq!((bench.steerer.state(), synchronised(&mut bench)), (State::Holdover, vec![true, false]));
    bench.rounds(4, S * 100);
    assert_eq!(synchronised(&mut bench).last(), Some(&true));
    bench.clock.exact.clock.step(S * 5);
    bench.syncs(40);
    assert_eq!((bench.is_set_by_hand(), synchronised(&mut bench)), (true, vec![false]));
    (bench.clock.tick, bench.clock.in_use) = (10_001, true);
    bench.check();
    bench.syncs(400);
    assert_eq!((bench.steerer.state(), synchronised(&mut bench)), (State::Yielded, vec![]));
}

#[test]
fn declares_nothing_without_a_source_of_utc() {
    let bench = Bench::after(400);
    assert_eq!((bench.steerer.state(), bench.clock.declared.as_slice()), (State::Locked, [].as_slice()));
}

#[test]
fn yields_longer_after_each_disturbance() {
    let mut bench = Bench::after_rounds(Policy::Step, 0.0, 4, Duration::ZERO);
    (bench.clock.tick, bench.clock.in_use) = (10_001, true);
    bench.check();
    assert_eq!(bench.steerer.state(), State::Yielded);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let due = bench.steerer.deadline().unwrap();
        waits.push((due - bench.clock.exact.now).ns() / 1_000_000_000);
        bench.check(); // no news
        bench.clock.exact.clock.step(S); // the other program steps the clock
        bench.measure_utc(Duration::ZERO);
        assert_eq!(bench.utc_steps(), 0);
        let failed = bench.failed;
        bench.clock.exact.now = due;
        bench.check();
        assert_eq!(bench.failed, failed + 1, "one attempt to take control");
    }
    assert_eq!(waits, [16, 32, 64, 128, 256, 512, 1024, 1024]);
    let take = |bench: &mut Bench| {
        bench.clock.in_use = false;
        bench.clock.exact.now = bench.steerer.deadline().unwrap();
        bench.check();
        assert_eq!((bench.steerer.state(), bench.clock.tick), (State::Waiting, NOMINAL_TICK));
    };
    take(&mut bench);
    bench.rounds(1, Duration::ZERO);
    assert!(!bench.is_set_by_hand());
    assert_eq!(bench.utc_steps(), 1, "UTC is set as at the start");
    assert!(bench.off_utc(Duration::ZERO).abs() < Duration::from_ms(1));
    bench.clock.tick = 10_001;
    bench.check();
    assert_eq!(
        bench.steerer.deadline().unwrap() - bench.clock.exact.now,
        S * 1024,
        "a pause of 16 s was too short"
    );
    take(&mut bench);
    bench.rounds(40, Duration::ZERO);
    bench.clock.tick = 10_001;
    bench.check();
    assert_eq!(bench.steerer.deadline().unwrap() - bench.clock.exact.now, S * 16);
    assert_eq!(bench.steerer.counts().1, 3);
}

#[test]
fn utc_correction_stays_within_the_frequency_bound() {
    let mut bench = Bench::after_rounds(Policy::Utc, 485.0, 40, Duration::ZERO);
    bench.line = bench.line_at_rate(-489.0);
    bench.key.number = 2;
    bench.rounds(40, Duration::from_ms(500));
    assert!(bench.clock.set.len() > 1_000, "{}", bench.clock.set.len());
    assert!(bench.clock.set.iter().all(|set| set.abs().ppm() <= 490.0));
}

#[test]
fn leader_change_does_not_move_the_utc_estimate() {
    let mut bench = Bench::after_rounds(Policy::Utc, 12.0, 150, Duration::ZERO);
    bench.key.number = 2;
    bench.line = bench.line_at_rate(37.0);
    bench.syncs(4 * 600);
    assert!(
        bench.off_utc(Duration::ZERO).abs() < Duration::from_us(150),
        "{:?}",
        bench.off_utc(Duration::ZERO)
    );
    assert!(bench.steerer.frequency().ppm().abs() < 0.3, "{:?}", bench.steerer.frequency());
}
