//! Scenarios with limits: faults of real networks and hosts, and cases in which other programs are known to fail. They run with one
//! seed; `SOAK=200` runs 200 seeds, `SEED=7` runs seed 7 and prints the outputs of port and steerer. With `--nocapture` the largest
//! figures of each scenario are printed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by a panic")]

use dante_core::port::{DelayMechanism, KnownRate, KnownRates, LeaderName, LeaderRules, PortConfig};
use dante_core::redundancy::NetworkChange;
use dante_core::time::{Duration, Ratio, Timestamp};
use dante_sim::leader::LeaderConfig;
use dante_sim::link::{Detour, Link, Load, Profile, Queue, Recording, Regimes};
use dante_sim::oscillator::{Model, Path, Sine};
use dante_sim::world::{Act, Faults, HostConfig, LeaderId, Observation, Role, World};
use scenarios::judge::{Figures, mean_transit, run};
use seeds::{is_one_chosen, seeds};

#[path = "common/seeds.rs"]
mod seeds;
mod scenarios {
    pub mod hosts;
    pub mod judge;
    pub mod leaders;
    pub mod links;
    pub mod networks;
    pub mod paths;
}

/// A veth pair: locked as soon as five Syncs give the rate to 2 ppm; phase error within four standard deviations of a Sync; rate
/// error within five times the 4.7 ppb of an optimal filter.
const VETH: Figures = Figures {
    lock_s: 3.0,
    unlocked_s: 0.0,
    phase_us: 2.0,
    phase_left_us: 1.0,
    excursion_us: 4.0,
    excess_ppm: 5.0,
    rate_left_ppb: 25.0,
    timelines: 1,
};
/// A real device with software timestamps: 13.6 times the noise, with which the filter reaches 9 ppb. At lock the standard deviation
/// of the rate is 2 ppm: the frequency may be off by three of them, besides the phase term of 5 ppm.
const DANTE: Figures = Figures {
    lock_s: 8.0,
    excess_ppm: 11.0,
    phase_us: 27.0,
    phase_left_us: 10.0,
    excursion_us: 54.0,
    rate_left_ppb: 60.0,
    ..VETH
};

/// One scenario in one world.
struct Trial {
    world: World,
    /// Number of jumps of the clock that the host makes.
    host_steps: usize,
    path: Duration,
}

impl Trial {
    /// One leader with an uptime of 699 s.
    fn new(seed: u64, link: impl Into<Link>, model: Model) -> Self {
        Self::led(seed, role(0, seed, link, model, 699))
    }

    fn led(seed: u64, role: Role) -> Self {
        Self::measuring(seed, role, DelayMechanism::None)
    }

    fn measuring(seed: u64, role: Role, delay: DelayMechanism) -> Self {
        Self::configured(role, PortConfig { delay, seed, ..PortConfig::default() })
    }

    fn configured(role: Role, config: PortConfig) -> Self {
        let path = mean_transit(&role.link);
        let mut world = world(config, 1);
        world.lead(role);
        Self { world, host_steps: 0, path }
    }

    /// Two networks, with a leader on each.
    fn redundant(seed: u64, primary: Role, secondary: Role) -> Self {
        let path = mean_transit(&primary.link);
        let mut world = world(PortConfig { seed, ..PortConfig::default() }, 2);
        world.lead(primary);
        world.lead(Role { network: 1, ..secondary });
        Self { world, host_steps: 0, path }
    }

    /// Plans `act` for `after_s` and 137 ms, when neither a Sync nor a tick of the programs is due.
    fn then(mut self, after_s: i64, act: Act) -> Self {
        self.host_steps += usize::from(matches!(act, Act::Step(_) | Act::Suspend(_)));
        self.world.plan(s(after_s) + Duration::from_ms(137), act);
        self
    }
}

fn world(port: PortConfig, networks: usize) -> World {
    World::new(port.seed, Vec::new(), HostConfig::new(Observation::Packets { networks }, port))
}

/// Makes a leader. Of two leaders the one with the lower number is the better.
fn role(number: u8, seed: u64, link: impl Into<Link>, model: Model, uptime_s: i64) -> Role {
    let uptime = Timestamp::ZERO + s(uptime_s);
    let path = Path::new(model, World::BEGIN, uptime, seed.wrapping_mul(31) + u64::from(number) + 1);
    Role::dante(number, path, link)
}

fn pc() -> Model {
    Model::PC.at_ppm(12.0)
}

fn s(s: i64) -> Duration {
    Duration::from_secs(s)
}

fn first() -> LeaderId {
    LeaderId::nth(0)
}

/// Prints the outputs of port and steerer in the order of time.
fn print_events(world: &World) {
    let records = world.host().records();
    let observer = records.observer.iter();
    let mut lines: Vec<_> =
        observer.map(|(at, network, output)| (*at, format!("network {network}: {output:?}"))).collect();
    lines.extend(records.steerer.iter().map(|(at, output)| (*at, format!("steerer: {output:?}"))));
    lines.sort_by_key(|(at, _)| *at);
    for (at, line) in lines {
        println!("{:9.3} s  {line}", (at - World::BEGIN).secs_f64());
    }
}

/// The limits are those of the seeds that `make test` runs. Of many seeds (`make soak`) this share may exceed them.
const TAIL: f64 = 0.1;
/// Scenarios with another share. Where half of the timestamps are 1 to 20 ms late from the start on, most hosts need minutes to lock,
/// and a fourth does not lock within 5 minutes: a weakness of the estimator, which this share records.
const TAILS: [(&str, f64); 1] = [("late_timestamps_from_the_start", 0.65)];
/// From this number of seeds on a share of them may exceed the limits.
const MANY: usize = 50;

/// Whether so many seeds beyond the limits are acceptable.
#[expect(clippy::cast_precision_loss, reason = "some hundred seeds")]
fn is_tail(name: &str, beyond: usize) -> bool {
    let share = TAILS.iter().find(|(known, _)| *known == name).map_or(TAIL, |(_, share)| *share);
    let all = seeds().count();
    all >= MANY && beyond as f64 <= share * all as f64
}

/// Runs a scenario with all seeds.
fn all_seeds(name: &str, span_s: i64, limits: &Figures, trial: impl Fn(u64) -> Trial) {
    let (mut worst, mut found, mut bad_seeds) = (None::<Figures>, Vec::new(), 0);
    for seed in seeds() {
        let Trial { mut world, host_steps, path } = trial(seed);
        let (figures, forbidden) = run(&mut world, s(span_s), path, host_steps);
        assert!(forbidden.is_empty(), "scenario {name}, seed {seed}: {forbidden:?}");
        let beyond = figures.beyond(limits);
        bad_seeds += usize::from(!beyond.is_empty());
        found.extend(beyond.into_iter().map(|what| format!("scenario {name}, seed {seed}: {what}")));
        if is_one_chosen() {
            print_events(&world);
        }
        worst = Some(worst.map_or(figures, |worst| worst.max(figures)));
    }
    if let Some(worst) = worst {
        println!(
            "{name:<50} lock {:5.1} s  unlocked {:5.1} s  phase {:8.2} us  at end {:8.2} us  excursion {:8.2} us  \
             excess {:5.2} ppm  rate {:7.2} ppb  timelines {}",
            worst.lock_s,
            worst.unlocked_s,
            worst.phase_us,
            worst.phase_left_us,
            worst.excursion_us,
            worst.excess_ppm,
            worst.rate_left_ppb,
            worst.timelines
        );
    }
    let is_accepted = found.is_empty() || is_tail(name, bad_seeds);
    assert!(is_accepted, "{} findings on {} seeds:\n{}", found.len(), seeds().count(), found.join("\n"));
}

/// `name, seconds, limits, |seed| Trial`
macro_rules! scenario {
    ($($(#[$attr:meta])* $name:ident, $span_s:expr, $limits:expr, $trial:expr;)*) => {
        $($(#[$attr])* #[test] fn $name() { all_seeds(stringify!($name), $span_s, &$limits, $trial); })*
    };
}
use scenario;
