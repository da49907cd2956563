//! The date over days: what the policies hold it to, what it costs in rate and in questions, and what goes wrong. One seed
//! and some days in an ordinary run; `SOAK=20` runs 20 seeds over two weeks, `SEED=7` one and tells what was said in it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by a panic")]

use dante_core::date::{DateNews, DateRules, Policy};
use dante_core::steer::{Jump, Output};
use dante_core::time::{Duration, Ratio};
use dante_sim::dated::{DatedWorld, NtpServer};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// What the filters need to come to an end with: the date is judged from then on.
const SETTLING: Duration = Duration::from_secs(4 * 3600);

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// The seeds to be tried.
fn seeds() -> std::ops::Range<u64> {
    match (number("SEED"), number("SOAK")) {
        (Some(one), _) => one..one + 1,
        (None, Some(seeds)) => 0..seeds,
        (None, None) => 1..2,
    }
}

/// Two weeks where that is asked for.
fn long(otherwise: Duration) -> Duration {
    if number("SOAK").is_some() { DAY * 14 } else { otherwise }
}

fn rules(policy: Policy) -> DateRules {
    DateRules { policy, ..DateRules::default() }
}

fn us(us: i64) -> Duration {
    Duration::from_us(us)
}

fn s(s: i64) -> Duration {
    Duration::from_secs(s)
}

/// A host on one server of 1 ms jitter, 10 ms away.
fn one(seed: u64, policy: Policy, leader_ppm: f64) -> DatedWorld {
    let server = NtpServer::exponential(Duration::from_ms(10), Duration::from_ms(1));
    let mut world = DatedWorld::new(seed, leader_ppm, vec![server]);
    world.add_host(rules(policy), -20.0, Duration::from_ms(500));
    world
}

fn tell(name: &str, seed: u64, world: &DatedWorld) {
    for (number, host) in world.hosts().iter().enumerate() {
        let interval = host.interval().secs_f64();
        println!("{name:<32} seed {seed} host {number}  {}  interval {interval:4.0} s", host.figures());
        if number_asked() {
            for (at, said) in host.said() {
                println!("{:12.3} s  {said:?}", (at.ns() as f64) / 1e9);
            }
        }
    }
}

fn number_asked() -> bool {
    number("SEED").is_some()
}

#[test]
fn slew_holds_the_date_within_300_us_for_two_weeks() {
    for seed in seeds() {
        let mut world = one(seed, Policy::Slew, 3.0);
        world.run(SETTLING);
        tell("slew, settling", seed, &world);
        world.judge();
        world.run(long(DAY * 3));
        tell("slew, leader +3 ppm", seed, &world);
    }
}

#[test]
fn utc_holds_the_date_within_300_us_for_two_weeks() {
    for seed in seeds() {
        let mut world = one(seed, Policy::Utc, 12.0);
        world.run(SETTLING);
        tell("utc, settling", seed, &world);
        world.judge();
        world.run(long(DAY * 3));
        tell("utc, leader +12 ppm", seed, &world);
    }
}

#[test]
fn step_holds_the_date_within_the_threshold_at_exactly_the_leaders_rate() {
    for seed in seeds() {
        let mut world = one(seed, Policy::Step, 12.0);
        world.run(SETTLING);
        world.judge();
        world.run(long(DAY * 3));
        tell("step, leader +12 ppm", seed, &world);
    }
}

#[test]
fn three_hosts_agree_on_a_lan() {
    for seed in seeds() {
        let server = NtpServer::half_normal(us(100), us(100));
        let mut world = DatedWorld::new(seed, 3.0, vec![server]);
        for (ppm, ms) in [(-20.0, 300), (7.0, -15), (15.0, 40)] {
            world.add_host(rules(Policy::Slew), ppm, Duration::from_ms(ms));
        }
        world.run(SETTLING);
        world.judge();
        world.run(long(DAY));
        tell("slew, three hosts", seed, &world);
    }
}
