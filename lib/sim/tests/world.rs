//! The whole chain in virtual time: leader, wire, follower, steerer, relay. Every figure here is exact and seeded.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

use dante_core::port::{DelayMechanism, Port, PortConfig, State as PortState};
use dante_core::relay;
use dante_core::steer::{self, State};
use dante_core::time::{Duration, Ratio, Timestamp};
use dante_sim::link::Profile;
use dante_sim::oscillator::Oscillator;
use dante_sim::world::{Act, HostConfig, LeaderId, Observation, Role, World};

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

/// The port's state and its timeline.
fn locked(world: &World) -> (PortState, u64) {
    (port(world).state(), port(world).timeline())
}

fn rate_error_ppb(world: &World, truth: &Oscillator) -> f64 {
    (port(world).map().unwrap().line.rate - truth.rate_at(world.now())).ppb()
}

/// The steered clock against the leader's true time + K.
fn phase_error(world: &World, truth: &Oscillator) -> Duration {
    let scale = world.host().steerer().timescale().unwrap();
    world.host().clock().at(world.now()) - scale.utc_of(truth.at(world.now()))
}

/// The clock's reading at both ends of every correction must be the same, and its rate within the law's bounds.
fn assert_never_jumped(world: &World, slowest_ppm: f64, fastest_ppm: f64) {
    for (at, rate) in &world.host().records().frequencies {
        let ppm = rate.ppm();
        assert!((slowest_ppm - 5.0..=fastest_ppm + 5.0).contains(&ppm), "{ppm} ppm at {at:?}");
    }
}

#[test]
fn the_chain_locks_within_seconds_on_every_seed() {
    for seed in 0..100 {
        let mut world = world(seed, DelayMechanism::None);
        let (_, truth) = lead(&mut world, Profile::VETH, 699, 12.0);
        world.run(Duration::from_secs(2));
        assert_eq!(port(&world).state(), PortState::Slave, "seed {seed}, 2 s after the first Sync");
        world.run(Duration::from_secs(13));
        let rate = rate_error_ppb(&world, &truth);
        assert!(rate.abs() < 100.0, "seed {seed}: {rate} ppb after 15 s");
        world.run(Duration::from_secs(5));
        for _ in 0..100 {
            world.run(Duration::from_ms(100));
            let phase = phase_error(&world, &truth);
            assert!(
                phase.abs() < Duration::from_us(15),
                "seed {seed}: {phase:?}, of which 5 us are the path's"
            );
        }
        assert_never_jumped(&world, 12.0, 12.0);
    }
}

#[test]
fn real_devices_with_plain_software_stamps_lock_too() {
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
fn the_same_seed_gives_the_same_world() {
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
fn the_path_delay_is_measured_when_asked_for_and_takes_the_clock_to_the_leaders_own_time() {
    let mut world = world(3, DelayMechanism::E2e);
    let (_, truth) = lead(&mut world, Profile::DANTE, 699, 12.0);
    world.run(Duration::from_secs(120));
    // 30 us and the mean of a half-normal of scale 11.3 us.
    let delay = port(&world).path_delay().unwrap();
    assert!((delay - Duration::from_us(39)).abs() < Duration::from_us(4), "{delay:?}");
    let map = port(&world).map().unwrap();
    let error = map.dante_at(world.now()) - truth.at(world.now());
    assert!(error.abs() < Duration::from_us(4), "{error:?}");
}

#[test]
fn a_silent_leader_means_holdover_and_its_return_makes_no_jump() {
    let mut world = world(4, DelayMechanism::None);
    let (id, truth) = lead(&mut world, Profile::VETH, 699, 12.0);
    world.run(Duration::from_secs(30));
    let samples = world.host().records().refclock_samples().count();
    let stopped = world.now();
    world.plan(Duration::ZERO, Act::Stop(id));
    world.run(Duration::from_secs(60));
    assert_eq!(
        (port(&world).state(), world.host().steerer().state()),
        (PortState::Listening, State::Holdover)
    );
    let holdover = world.host().records().steerer.iter().find_map(|(at, records)| match records {
        steer::Output::Changed { to: State::Holdover, .. } => Some(*at - stopped),
        _ => None,
    });
    assert!(holdover.unwrap() <= Duration::from_ms(2501), "ten intervals after the last Sync: {holdover:?}");
    assert!(world.host().records().refclock_samples().count() - samples <= 1, "nothing is fed meanwhile");
    assert!(matches!(world.host().records().relay.last(), Some((_, relay::Output::Withdraw))));
    let held = phase_error(&world, &truth);
    assert!(held.abs() < Duration::from_us(15), "60 s of holdover: {held:?}");
    let back = world.now();
    world.plan(Duration::ZERO, Act::Resume(id));
    world.run(Duration::from_secs(5));
    assert_eq!(locked(&world), (PortState::Slave, 1));
    assert_eq!(world.host().steerer().state(), State::Locked);
    let again = world.host().records().steerer.iter().rev().find_map(|(at, records)| match records {
        steer::Output::Changed { to: State::Locked, .. } => Some(*at - back),
        _ => None,
    });
    assert!(again.unwrap() < Duration::from_secs(5), "{again:?}");
    assert_never_jumped(&world, 12.0, 12.0);
}

#[test]
fn a_leader_with_another_uptime_and_rate_is_taken_over_without_a_jump() {
    let mut world = world(5, DelayMechanism::None);
    let (id, _) = lead(&mut world, Profile::VETH, 699, 12.0);
    world.run(Duration::from_secs(60));
    world.plan(Duration::ZERO, Act::Stop(id));
    world.run(Duration::ZERO);
    let before = world.host().steerer().timescale().unwrap().utc_at(world.now())
        - world.host().clock().at(world.now());
    let (_, truth) = lead(&mut world, Profile::VETH, 3, -13.0);
    world.run(Duration::from_secs(5));
    assert_eq!(locked(&world), (PortState::Slave, 2));
    assert_eq!(world.host().steerer().state(), State::Locked);
    assert!(
        world.host().records().steerer.iter().any(|(_, records)| matches!(records, steer::Output::Epoch(_)))
    );
    assert!(before.abs() < Duration::from_us(1));
    world.run(Duration::from_secs(55));
    assert!(rate_error_ppb(&world, &truth).abs() < 50.0);
    assert_never_jumped(&world, -13.0, 12.0);
    let references: Vec<_> = world.host().records().refclock_samples().map(|(_, sample)| *sample).collect();
    for pair in references.windows(2) {
        let (reference, received) =
            (pair[1].reference - pair[0].reference, pair[1].received - pair[0].received);
        assert!((reference - received).abs() < Duration::from_ms(1), "chrony would see a jump: {pair:?}");
    }
}

#[test]
fn a_system_clock_stepped_by_ten_seconds_makes_the_relay_silent_and_k_anew() {
    for by in [Duration::from_secs(10), Duration::from_secs(-10), Duration::from_ms(3)] {
        let mut world = world(8, DelayMechanism::None);
        lead(&mut world, Profile::VETH, 699, 12.0);
        // No steerer: the clock is somebody else's.
        world.plan(Duration::ZERO, Act::RestartSteerer(Duration::from_secs(86_400)));
        world.run(Duration::from_secs(30));
        let stepped = world.now();
        world.plan(Duration::ZERO, Act::Step(by));
        world.run(Duration::from_secs(30));
        let records = &world.host().records().relay;
        let after: Vec<_> = records.iter().filter(|(at, _)| *at > stepped).collect();
        assert!(
            matches!(after[0].1, relay::Output::Paused(relay::Break::Stepped(moved)) if (moved - by).abs() < Duration::from_ms(1)),
            "{by:?}: {:?}",
            after[0]
        );
        assert_eq!(after[1].1, relay::Output::Withdraw);
        let relay::Output::Fixed(fixed) = after[2].1 else { panic!("{by:?}: {:?}", after[2]) };
        // Also told: by how much. The leader gained 12 ppm on the clock until then.
        assert!((fixed.moved.unwrap() - by).abs() < Duration::from_ms(1), "{fixed:?}");
        let written = |(at, output): &&(_, relay::Output)| match output {
            relay::Output::Write(sample) => Some((*at, *sample)),
            _ => None,
        };
        let last =
            records.iter().filter(|(at, _)| *at <= stepped).rev().find_map(|one| written(&one)).unwrap();
        let first = after.iter().find_map(written).unwrap();
        let silence: Duration = first.0 - last.0;
        assert!(silence > Duration::from_ms(3_900), "{by:?}: chrony needs 3 s: {silence:?}");
        for (_, sample) in after.iter().filter_map(written) {
            assert!(sample.ahead().abs() < Duration::from_ms(1), "{by:?}: a wrong sample: {sample:?}");
        }
    }
}

#[test]
fn losses_and_doubles_disturb_nothing() {
    let link = Profile { loss: 0.05, duplication: 0.05, ..Profile::VETH };
    for seed in 0..20 {
        let mut world = world(seed, DelayMechanism::E2e);
        let (_, truth) = lead(&mut world, link, 699, 12.0);
        world.run(Duration::from_secs(60));
        assert_eq!(locked(&world), (PortState::Slave, 1), "seed {seed}");
        assert!(rate_error_ppb(&world, &truth).abs() < 50.0, "seed {seed}");
        let stamps: Vec<_> =
            world.host().records().refclock_samples().map(|(_, sample)| sample.received).collect();
        assert!(stamps.is_sorted_by(|a, b| a < b), "no sample twice, seed {seed}");
        assert!(stamps.len() > 190, "{} of 240, seed {seed}", stamps.len());
    }
}

#[test]
fn a_day_at_four_hertz_brings_nothing_new() {
    let mut world = world(6, DelayMechanism::None);
    let uptime = Timestamp::ZERO + Duration::from_secs(4_294_880_000); // a day before 32 bits of seconds are full
    let oscillator = Oscillator::new(world.now(), uptime, Ratio::from_ppm(12.0), Ratio::from_ppb(20.0));
    world.lead(Role::dante(0, oscillator, Profile::VETH));
    for _ in 0..24 {
        world.run(Duration::from_secs(3_500));
        let rate = rate_error_ppb(&world, &oscillator);
        assert!(rate.abs() < 60.0, "{rate} ppb at {:?}", world.now());
        world.forget();
    }
    assert_eq!(locked(&world), (PortState::Slave, 1));
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
        let dates = scales.map(|scale| scale.utc_of(truth.at(world.now())));
        dates.zip(world.hosts()).map(|(date, host)| host.clock().at(world.now()) - date).collect()
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
fn a_restarted_danteshm_resumes_the_epoch_of_the_run_before() {
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
