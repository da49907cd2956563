//! The whole chain in virtual time: leader, network, follower, steerer, relay. Every figure is exact and the same in every run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use dante_core::port::{DelayMechanism, Port, PortConfig, State as PortState};
use dante_core::relay;
use dante_core::steer::{self, State};
use dante_core::time::{Duration, Ratio, Timestamp};
use dante_sim::link::Profile;
use dante_sim::oscillator::Oscillator;
use dante_sim::world::{Act, HostConfig, LeaderId, Observation, Role, World};

/// Interval of the checks of the clock.
const CHECK_INTERVAL: Duration = Duration::from_ms(100);

fn config(seed: u64, delay: DelayMechanism) -> HostConfig {
    HostConfig::new(Observation::Packets { networks: 1 }, PortConfig { delay, seed, ..PortConfig::default() })
}

fn world(seed: u64, delay: DelayMechanism) -> World {
    World::new(seed, Vec::new(), config(seed, delay))
}

fn lead(world: &mut World, link: Profile, uptime_s: i64, ppm: f64) -> (LeaderId, Oscillator) {
    let uptime = Timestamp::ZERO + Duration::from_secs(uptime_s);
    let oscillator = Oscillator::new(world.now(), uptime, Ratio::from_ppm(ppm), Ratio::ZERO);
    (world.lead(Role::dante(0, oscillator, link)), oscillator)
}

fn port(world: &World) -> &Port {
    world.host().port().unwrap()
}

/// Returns the port's state and its timeline.
fn port_state(world: &World) -> (PortState, u64) {
    (port(world).state(), port(world).timeline())
}

fn rate_error_ppb(world: &World, truth: &Oscillator) -> f64 {
    (port(world).map().unwrap().line.rate - truth.rate_at(world.now())).ppb()
}

/// Returns the phase error: the steered clock minus (the leader's true time + the epoch offset K).
fn phase_error(world: &World, truth: &Oscillator) -> Duration {
    let scale = world.host().steerer().timescale().unwrap();
    world.host().clock().at(world.now()) - scale.utc_of(truth.at(world.now()))
}

/// Runs `world` for `span` and asserts every 100 ms that the frequencies that the steerer set explain the movement of the clock: it did
/// not jump. Needs a host without other programs that set its clock, whose CLOCK_MONOTONIC_RAW runs at the rate of UTC.
#[track_caller]
fn run_without_jump(world: &mut World, span: Duration) {
    let until = world.now() + span;
    while world.now() < until {
        let (begin, clock) = (world.now(), world.host().clock());
        let (mut at, mut expected, mut rate) = (begin, clock.at(begin), clock.line().rate);
        world.run(CHECK_INTERVAL.min(until - begin));
        let (now, host) = (world.now(), world.host());
        let changes = host.records().frequencies.iter().filter(|(at, _)| *at > begin);
        for (to, next) in changes.copied().chain([(now, Ratio::ZERO)]) {
            expected = expected + (to - at) + (to - at) * rate;
            (at, rate) = (to, next);
        }
        let jump = host.clock().at(now) - expected;
        // Each change of the frequency rounds to 1 ns.
        assert!(jump.abs() <= Duration::from_ns(10), "the clock jumped by {jump:?} before {now:?}");
    }
}

/// Asserts that the steerer set frequencies, all within 5 ppm (the phase term) of these rates, and made no step.
#[track_caller]
fn assert_only_slewed(world: &World, slowest_ppm: f64, fastest_ppm: f64) {
    let records = world.host().records();
    assert!(records.steps.is_empty(), "{:?}", records.steps);
    assert!(!records.frequencies.is_empty(), "the steerer set no frequency");
    for (at, rate) in &records.frequencies {
        let ppm = rate.ppm();
        assert!((slowest_ppm - 5.0..=fastest_ppm + 5.0).contains(&ppm), "{ppm} ppm at {at:?}");
    }
}

#[test]
fn chain_locks_within_seconds_with_every_seed() {
    for seed in 0..100 {
        let mut world = world(seed, DelayMechanism::None);
        let (_, truth) = lead(&mut world, Profile::VETH, 699, 12.0);
        run_without_jump(&mut world, Duration::from_secs(2));
        assert_eq!(port(&world).state(), PortState::Slave, "seed {seed}, 2 s after the first Sync");
        run_without_jump(&mut world, Duration::from_secs(13));
        let rate = rate_error_ppb(&world, &truth);
        assert!(rate.abs() < 100.0, "seed {seed}: {rate} ppb after 15 s");
        run_without_jump(&mut world, Duration::from_secs(5));
        for _ in 0..100 {
            run_without_jump(&mut world, CHECK_INTERVAL);
            let phase = phase_error(&world, &truth);
            assert!(
                phase.abs() < Duration::from_us(15),
                "seed {seed}: {phase:?}, of which 5 us are the path delay"
            );
        }
        assert_only_slewed(&world, 12.0, 12.0);
    }
}

#[test]
fn locks_to_real_devices_with_software_timestamps() {
    for seed in 0..30 {
        let mut world = world(seed, DelayMechanism::None);
        let (_, truth) = lead(&mut world, Profile::DANTE, 541_867, -33.7);
        world.run(Duration::from_secs(60));
        assert_eq!(
            (port(&world).state(), world.host().steerer().state()),
            (PortState::Slave, State::Locked),
            "seed {seed}"
        );
        let rate = rate_error_ppb(&world, &truth);
        assert!(rate.abs() < 150.0, "seed {seed}: {rate} ppb after 60 s");
    }
}

#[test]
fn a_seed_gives_the_same_world() {
    let run = |seed| {
        let mut world = world(seed, DelayMechanism::E2e);
        lead(&mut world, Profile::DANTE, 699, 12.0);
        world.run(Duration::from_secs(30));
        (world.host().clock().line(), port(&world).map(), world.host().records().relay.len())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn measured_path_delay_removes_the_offset_from_the_leader() {
    let mut world = world(3, DelayMechanism::E2e);
    let (_, truth) = lead(&mut world, Profile::DANTE, 699, 12.0);
    world.run(Duration::from_secs(120));
    // 30 us, plus 9 us: the mean of a half-normal distribution with scale 11.3 us.
    let delay = port(&world).path_delay().unwrap();
    assert!((delay - Duration::from_us(39)).abs() < Duration::from_us(4), "{delay:?}");
    let map = port(&world).map().unwrap();
    let error = map.dante_at(world.now()) - truth.at(world.now());
    assert!(error.abs() < Duration::from_us(4), "{error:?}");
}

#[test]
fn silent_leader_causes_holdover_and_its_return_no_jump() {
    let mut world = world(4, DelayMechanism::None);
    let (id, truth) = lead(&mut world, Profile::VETH, 699, 12.0);
    run_without_jump(&mut world, Duration::from_secs(30));
    let samples = world.host().records().refclock_samples().count();
    let stopped = world.now();
    world.plan(Duration::ZERO, Act::Stop(id));
    run_without_jump(&mut world, Duration::from_secs(60));
    assert_eq!(
        (port(&world).state(), world.host().steerer().state()),
        (PortState::Listening, State::Holdover)
    );
    let holdover = world.host().records().steerer.iter().find_map(|(at, output)| match output {
        steer::Output::Changed { to: State::Holdover, .. } => Some(*at - stopped),
        _ => None,
    });
    assert!(
        holdover.unwrap() <= Duration::from_ms(2501),
        "ten Sync intervals after the last Sync: {holdover:?}"
    );
    assert!(world.host().records().refclock_samples().count() - samples <= 1, "no samples in holdover");
    assert!(matches!(world.host().records().relay.last(), Some((_, relay::Output::Withdraw))));
    let held = phase_error(&world, &truth);
    assert!(held.abs() < Duration::from_us(15), "60 s of holdover: {held:?}");
    let back = world.now();
    world.plan(Duration::ZERO, Act::Resume(id));
    run_without_jump(&mut world, Duration::from_secs(5));
    assert_eq!(port_state(&world), (PortState::Slave, 1));
    assert_eq!(world.host().steerer().state(), State::Locked);
    let again = world.host().records().steerer.iter().rev().find_map(|(at, output)| match output {
        steer::Output::Changed { to: State::Locked, .. } => Some(*at - back),
        _ => None,
    });
    assert!(again.unwrap() < Duration::from_secs(5), "{again:?}");
    assert_only_slewed(&world, 12.0, 12.0);
}

#[test]
fn change_to_leader_with_other_uptime_and_rate_causes_no_jump() {
    let mut world = world(5, DelayMechanism::None);
    let (id, _) = lead(&mut world, Profile::VETH, 699, 12.0);
    run_without_jump(&mut world, Duration::from_secs(60));
    world.plan(Duration::ZERO, Act::Stop(id));
    world.run(Duration::ZERO);
    let before = world.host().steerer().timescale().unwrap().utc_at(world.now())
        - world.host().clock().at(world.now());
    let (_, truth) = lead(&mut world, Profile::VETH, 3, -13.0);
    run_without_jump(&mut world, Duration::from_secs(5));
    assert_eq!(port_state(&world), (PortState::Slave, 2));
    assert_eq!(world.host().steerer().state(), State::Locked);
    assert!(
        world.host().records().steerer.iter().any(|(_, output)| matches!(output, steer::Output::Epoch(_)))
    );
    assert!(before.abs() < Duration::from_us(1));
    run_without_jump(&mut world, Duration::from_secs(55));
    assert!(rate_error_ppb(&world, &truth).abs() < 50.0);
    assert_only_slewed(&world, -13.0, 12.0);
    let references: Vec<_> = world.host().records().refclock_samples().map(|(_, sample)| *sample).collect();
    assert!(references.len() > 200, "{} samples in 120 s", references.len());
    for pair in references.windows(2) {
        let (reference, received) =
            (pair[1].reference - pair[0].reference, pair[1].received - pair[0].received);
        assert!((reference - received).abs() < Duration::from_ms(1), "jump of the reference: {pair:?}");
    }
}

#[test]
fn step_of_the_system_clock_pauses_the_relay_and_resets_k() {
    for by in [Duration::from_secs(10), Duration::from_secs(-10), Duration::from_ms(3)] {
        let mut world = world(8, DelayMechanism::None);
        lead(&mut world, Profile::VETH, 699, 12.0);
        // No steerer: another program steers the clock.
        world.plan(Duration::ZERO, Act::RestartSteerer(Duration::from_secs(86_400)));
        world.run(Duration::from_secs(30));
        let stepped = world.now();
        world.plan(Duration::ZERO, Act::Step(by));
        world.run(Duration::from_secs(30));
        let records = &world.host().records().relay;
        let after: Vec<_> = records.iter().filter(|(at, _)| *at > stepped).collect();
        assert!(
            matches!(after[0].1, relay::Output::Paused(relay::PauseReason::Stepped(moved)) if (moved - by).abs() < Duration::from_ms(1)),
            "{by:?}: {:?}",
            after[0]
        );
        assert_eq!(after[1].1, relay::Output::Withdraw);
        let relay::Output::Fixed(fixed) = after[2].1 else { panic!("{by:?}: {:?}", after[2]) };
        // It contains the step, besides the 12 ppm by which the leader gained on the clock until then.
        assert!((fixed.moved.unwrap() - by).abs() < Duration::from_ms(1), "{fixed:?}");
        let written = |(at, output): &&(_, relay::Output)| match output {
            relay::Output::Write(sample) => Some((*at, *sample)),
            _ => None,
        };
        let last =
            records.iter().filter(|(at, _)| *at <= stepped).rev().find_map(|one| written(&one)).unwrap();
        let first = after.iter().find_map(written).unwrap();
        let pause: Duration = first.0 - last.0;
        assert!(pause > Duration::from_ms(3_900), "{by:?}: chrony restarts its filter after 3 s: {pause:?}");
        for (_, sample) in after.iter().filter_map(written) {
            assert!(sample.ahead().abs() < Duration::from_ms(1), "{by:?}: wrong sample: {sample:?}");
        }
    }
}

#[test]
fn loss_and_duplication_change_neither_lock_nor_samples() {
    let link = Profile { loss: 0.05, duplication: 0.05, ..Profile::VETH };
    for seed in 0..20 {
        let mut world = world(seed, DelayMechanism::E2e);
        let (_, truth) = lead(&mut world, link, 699, 12.0);
        world.run(Duration::from_secs(60));
        assert_eq!(port_state(&world), (PortState::Slave, 1), "seed {seed}");
        assert!(rate_error_ppb(&world, &truth).abs() < 50.0, "seed {seed}");
        let received: Vec<_> =
            world.host().records().refclock_samples().map(|(_, sample)| sample.received).collect();
        assert!(received.is_sorted_by(|a, b| a < b), "a sample was written twice, seed {seed}");
        assert!(received.len() > 190, "{} of 240 samples, seed {seed}", received.len());
    }
}

#[test]
fn stays_locked_for_a_day_until_the_seconds_almost_wrap() {
    let mut world = world(6, DelayMechanism::None);
    let uptime = Timestamp::ZERO + Duration::from_secs(4_294_880_000); // a day before 32 bits of seconds wrap
    let oscillator = Oscillator::new(world.now(), uptime, Ratio::from_ppm(12.0), Ratio::from_ppb(20.0));
    world.lead(Role::dante(0, oscillator, Profile::VETH));
    for _ in 0..24 {
        world.run(Duration::from_secs(3_500));
        let rate = rate_error_ppb(&world, &oscillator);
        assert!(rate.abs() < 60.0, "{rate} ppb at {:?}", world.now());
        world.clear_records();
    }
    assert_eq!(port_state(&world), (PortState::Slave, 1));
}

#[test]
fn hosts_with_different_oscillators_run_at_the_leaders_rate() {
    let host =
        |seed, ppm| HostConfig { raw_rate: Ratio::from_ppm(ppm), ..config(seed, DelayMechanism::None) };
    let mut world = World::new(9, Vec::new(), host(1, 0.0));
    world.add_host(host(2, -20.0));
    world.add_host(host(3, 35.0));
    let (_, truth) = lead(&mut world, Profile::VETH, 699, 12.0);
    let errors = |world: &World| -> Vec<Duration> {
        let scales = world.hosts().iter().map(|host| host.steerer().timescale().unwrap());
        let expected = scales.map(|scale| scale.utc_of(truth.at(world.now())));
        expected.zip(world.hosts()).map(|(expected, host)| host.clock().at(world.now()) - expected).collect()
    };
    world.run(Duration::from_secs(30));
    for _ in 0..60 {
        world.run(Duration::from_secs(1));
        let errors = errors(&world);
        assert!(errors.iter().all(|error| error.abs() < Duration::from_us(10)), "{errors:?}");
    }
    let rates: Vec<_> = world.hosts().iter().map(|host| host.clock().line().rate.ppm()).collect();
    assert!((rates[1] - 32.0).abs() < 0.5 && (rates[2] + 23.0).abs() < 0.5, "{rates:?}");
}

#[test]
fn restarted_danteshm_resumes_the_epoch_offset() {
    let mut world = world(10, DelayMechanism::None);
    lead(&mut world, Profile::VETH, 699, 12.0);
    world.run(Duration::from_secs(30));
    let epoch = |world: &World| {
        let outputs = world.host().records().relay.iter();
        let mut fixed = outputs.filter_map(|(_, output)| match output {
            relay::Output::Fixed(fixed) => Some((fixed.epoch, fixed.is_resumed)),
            _ => None,
        });
        (fixed.next(), fixed.next())
    };
    let (first, none) = epoch(&world);
    assert!(matches!(first, Some((_, false))) && none.is_none());
    world.plan(Duration::ZERO, Act::RestartRelay(Duration::from_secs(1)));
    world.run(Duration::from_secs(5));
    let (first, second) = epoch(&world);
    assert_eq!(second, first.map(|(epoch, _)| (epoch, true)));
}
