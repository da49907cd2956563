//! Named scenarios, each with the limits that it has to keep: what goes wrong on real networks and hosts, and where the
//! suite's peers are known to fail. One seed in an ordinary run; `SOAK=200` runs 200 of them, `SEED=7` one and
//! tells what was said in it. The worst figures of a scenario are printed (`--nocapture`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by a panic")]

use dante_core::port::{DelayMechanism, KnownRate, KnownRates, LeaderRules, PortConfig};
use dante_core::redundancy::NetworkChange;
use dante_core::time::{Duration, Ratio, Timestamp};
use dante_sim::leader::LeaderConfig;
use dante_sim::link::{Detour, Load, Profile, Queue};
use dante_sim::oscillator::{Model, Path, Sine};
use dante_sim::scenario::{Figures, mean_transit, run};
use dante_sim::world::{Act, Faults, HostConfig, LeaderId, Observation, Role, World};

mod scenarios {
    pub mod hosts;
    pub mod leaders;
    pub mod links;
    pub mod networks;
}

/// A veth pair: locked as soon as five Syncs give the rate to 2 ppm; phase within four standard deviations of a Sync;
/// the rate to five of the 4.7 ppb that an optimal filter leaves.
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
/// Software stamps of a real device: 13.6 times the noise, of which the filter leaves 9 ppb.
/// Locked at 2 ppm, one standard deviation, the frequency may err by three of these beside the phase term.
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
    /// How many steps of the clock are the host's own.
    host_steps: usize,
    path: Duration,
}

impl Trial {
    /// A leader at +12 ppm that has been up for 699 s.
    fn new(seed: u64, link: Profile, model: Model) -> Self {
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

    /// So late, and a bit: neither a Sync nor a tick of the programs is due then.
    fn then(mut self, after_s: i64, act: Act) -> Self {
        self.host_steps += usize::from(matches!(act, Act::Step(_) | Act::Suspend(_)));
        self.world.plan(s(after_s) + Duration::from_ms(137), act);
        self
    }
}

fn world(port: PortConfig, networks: usize) -> World {
    World::new(port.seed, Vec::new(), HostConfig::new(Observation::Packets { networks }, port))
}

/// A leader of this number: the lower one is the better.
fn role(number: u8, seed: u64, link: Profile, model: Model, uptime_s: i64) -> Role {
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

/// What port and steerer said, in the order of time.
fn tell(world: &World) {
    let records = world.host().records();
    let observer = records.observer.iter();
    let mut lines: Vec<_> =
        observer.map(|(at, place, output)| (*at, format!("observer {place}: {output:?}"))).collect();
    lines.extend(records.steerer.iter().map(|(at, output)| (*at, format!("steerer: {output:?}"))));
    lines.sort_by_key(|(at, _)| *at);
    for (at, line) in lines {
        println!("{:9.3} s  {line}", (at - World::BEGIN).secs_f64());
    }
}

/// Runs a scenario over its seeds.
fn all_seeds(name: &str, span_s: i64, limits: &Figures, trial: impl Fn(u64) -> Trial) {
    let soak = std::env::var("SOAK").ok().and_then(|seeds| seeds.parse().ok());
    let one = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = match (one, soak) {
        (Some(one), _) => one..one + 1,
        (None, Some(seeds)) => 0..seeds,
        (None, None) => 1..2,
    };
    let (mut worst, mut found) = (None::<Figures>, Vec::new());
    for seed in seeds.clone() {
        let Trial { mut world, host_steps, path } = trial(seed);
        let (figures, forbidden) = run(&mut world, s(span_s), path, host_steps);
        let beyond = figures.beyond(limits).into_iter().chain(forbidden);
        found.extend(beyond.map(|what| format!("scenario {name}, seed {seed}: {what}")));
        if one.is_some() {
            tell(&world);
        }
        worst = Some(worst.map_or(figures, |worst| worst.worst(figures)));
    }
    if let Some(worst) = worst {
        println!(
            "{name:<44} lock {:5.1} s  unlocked {:5.1} s  phase {:8.2} us  left {:8.2} us  excursion {:8.2} us  \
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
    assert!(
        found.is_empty(),
        "{} figures beyond their limits on {} seeds:\n{}",
        found.len(),
        seeds.count(),
        found.join("\n")
    );
}

/// `name, seconds, limits, |seed| Trial`
macro_rules! scenario {
    ($($(#[$attr:meta])* $name:ident, $span_s:expr, $limits:expr, $trial:expr;)*) => {
        $($(#[$attr])* #[test] fn $name() { all_seeds(stringify!($name), $span_s, &$limits, $trial); })*
    };
}
use scenario;
