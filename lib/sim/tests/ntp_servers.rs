//! What NTP servers declare about their own clocks, in virtual time: refusal, bound and choice.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use dante_core::port::PortConfig;
use dante_core::time::{Duration, Ratio, Timestamp, Uncertainty};
use dante_core::utc::{Policy, ServerClock, UtcError, UtcRules};
use dante_sim::link::Profile;
use dante_sim::oscillator::Oscillator;
use dante_sim::world::{HostConfig, NtpServer, Observation, Role, World};

/// Error of the clock map, one standard deviation.
const MAP: Uncertainty = Uncertainty { offset: Duration::from_ns(20), rate: Ratio::from_ppb(1.0) };

fn ms(ms: i64) -> Duration {
    Duration::from_ms(ms)
}

/// A server 5 ms away, whose clock has this error and that declares this root dispersion.
fn server(error: Duration, root_dispersion: Duration) -> NtpServer {
    let declared = ServerClock { root_dispersion, ..ServerClock::default() };
    NtpServer { error, declared, ..NtpServer::half_normal(ms(5), Duration::from_us(500)) }
}

/// A host with policy `slew`, whose clock is 5 ms off UTC at the start, and a leader at +3 ppm.
fn world(servers: Vec<NtpServer>) -> World {
    let given = HostConfig::new(Observation::Given { error: MAP }, PortConfig::default());
    let rules = UtcRules { policy: Policy::Slew, ..UtcRules::default() };
    let host = HostConfig { raw_rate: Ratio::from_ppm(-20.0), utc_error: ms(5), rules, ..given };
    let mut world = World::new(1, servers, host);
    let uptime = Timestamp::ZERO + Duration::from_secs(699);
    let oscillator = Oscillator::new(World::BEGIN, uptime, Ratio::from_ppm(3.0), Ratio::ZERO);
    world.lead(Role::dante(0, oscillator, Profile::VETH));
    world
}

/// The UTC error as dante2sys states it, and as it is.
fn utc_error(world: &World) -> (Option<UtcError>, Duration) {
    let now = world.now();
    let clock = world.host().clock();
    let stated = world.host().steerer().utc_error(&clock.reading(now));
    (stated, clock.at(now) - world.utc())
}

#[test]
fn only_server_that_declares_ten_seconds_moves_no_clock() {
    let mut world = world(vec![server(Duration::from_secs(3), ms(10_700))]);
    world.run(Duration::from_secs(3600));
    assert!(world.host().records().steps.is_empty());
    assert_eq!(utc_error(&world).0, None, "no bound either");
}

#[test]
fn bound_holds_with_a_server_that_is_as_wrong_as_it_declares() {
    for error in [ms(60), -ms(60)] {
        let mut world = world(vec![server(error, ms(60))]);
        for _ in 0..60 {
            world.run(Duration::from_secs(60));
            let (stated, actual) = utc_error(&world);
            let bound = stated.unwrap().bound;
            assert!(actual.abs() <= bound && bound < ms(100), "{actual:?} off, bound {bound:?}");
        }
    }
}

#[test]
fn server_that_declares_least_is_used_and_a_distant_one_has_no_vote() {
    // The first server is nearer by a hair and 40 ms off, as it declares; the second has a reference clock; the third would agree
    // with anything.
    let mut near = server(ms(40), ms(45));
    near.path.delay = ms(1);
    let mut world = world(vec![near, server(Duration::ZERO, ms(1)), server(ms(900), ms(10_700))]);
    world.run(Duration::from_secs(4 * 3600));
    let (stated, actual) = utc_error(&world);
    assert!(actual.abs() < ms(1), "{actual:?}");
    assert!(stated.unwrap().bound < ms(10), "{stated:?}");
    assert_eq!(world.host().steerer().utc().agreeing(), 2);
}
