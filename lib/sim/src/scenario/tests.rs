use super::*;
use crate::oscillator::{Model, Path};
use crate::world::{Act, HostConfig, Observation, Role};
use dante_core::port::PortConfig;

const LIMITS: Figures = Figures { lock_s: 3.0, timelines: 1, ..Figures::NONE };

fn world() -> (World, Duration) {
    let port = PortConfig { seed: 1, ..PortConfig::default() };
    let host = HostConfig::new(Observation::Packets { networks: 1 }, port);
    let mut world = World::new(1, Vec::new(), host);
    let path = Path::new(Model::PC.at_ppm(12.0), World::BEGIN, Timestamp::from_ns(699_000_000_000), 1);
    world.lead(Role::dante(0, path, Profile::VETH));
    (world, mean_transit(&Profile::VETH))
}

#[test]
fn what_is_beyond_its_limit_is_named() {
    assert!(Figures { lock_s: 3.0, ..LIMITS }.beyond(&LIMITS).is_empty());
    assert_eq!(Figures { lock_s: 3.5, ..LIMITS }.beyond(&LIMITS), ["time to lock, s: 3.500, limit 3.000"]);
    assert_eq!(Figures { rate_left_ppb: f64::NAN, ..LIMITS }.beyond(&LIMITS).len(), 1);
    assert_eq!(Figures { timelines: 2, ..LIMITS }.beyond(&LIMITS), ["timelines: 2, not 1"]);
    assert_eq!(Figures { timelines: 1, ..Figures::NONE }.beyond(&LIMITS).len(), 1, "never locked");
}

#[test]
fn a_jump_that_nobody_owns_up_to_is_seen() {
    for (declared, complaints) in [(1, 0), (0, 1)] {
        let (mut world, path) = world();
        world.plan(Duration::from_secs(20), Act::Step(Duration::from_ms(5)));
        let (_, forbidden) = run(&mut world, Duration::from_secs(30), path, declared);
        assert_eq!(forbidden.len(), complaints, "{forbidden:?}");
    }
}

#[test]
fn an_excursion_is_measured_as_large_as_it_is() {
    let (mut world, path) = world();
    world.plan(Duration::from_secs(20), Act::Step(Duration::from_us(80)));
    let (figures, forbidden) = run(&mut world, Duration::from_secs(30), path, 0);
    assert!(forbidden.is_empty(), "{forbidden:?}");
    assert!((figures.excursion_us - 80.0).abs() < 3.0, "{figures:?}");
    assert!((figures.phase_us - 80.0).abs() < 3.0, "{figures:?}");
    // 5 ppm against it for the last seconds.
    assert!(figures.phase_left_us > 25.0, "{figures:?}");
}

#[test]
fn the_truth_goes_on_over_a_suspend() {
    let (mut world, path) = world();
    world.plan(Duration::from_secs(20), Act::Suspend(Duration::from_secs(60)));
    let (figures, forbidden) = run(&mut world, Duration::from_secs(60), path, 1);
    assert!(forbidden.is_empty(), "{forbidden:?}");
    assert!(figures.excursion_us < 5.0, "{figures:?}");
}
