//! Scenario family: the reference is replaced after a long absence. A host that is synchronised to UTC loses its leader for hours,
//! the leader's rate or its own changes meanwhile, and the clock map is replaced in one of several ways. NTP servers on the LAN are
//! reachable throughout, or not while the leader is away; then only the stated bound is checked.
//!
//! Each seed draws one length, one change of a rate, one policy and one way. `make test` runs some seeds, `make soak` 200.

use crate::utc::watched::{Figures, Watched};
use crate::{HOUR, MAP, s, us};
use dante_core::port::PortConfig;
use dante_core::steer::State;
use dante_core::time::{Duration, Offset, Ratio, Timestamp};
use dante_core::utc::{Policy, UtcRules};
use dante_sim::link::{Detour, Profile};
use dante_sim::oscillator::{Model, Path};
use dante_sim::world::{Act, HostConfig, LeaderId, NtpServer, Observation, Role, True, World};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::fmt;

/// Number of seeds without `SOAK` and `SEED`: each way occurs twice, each policy three times.
pub const SEEDS: u64 = 14;
/// Time from the start to the figures before the absence, length of those figures, and of those after the return.
const SETTLING: Duration = Duration::from_secs(4 * 3600);
const BEFORE: Duration = Duration::from_secs(3600);
const AFTER: Duration = Duration::from_secs(3 * 3600);
/// Time after the return in which the clock locks again.
const RELOCK: Duration = Duration::from_secs(60);
const LENGTHS_H: [i64; 4] = [1, 6, 12, 60];
const CHANGES_PPM: [f64; 4] = [-2.0, -0.5, 0.5, 2.0];
const POLICIES: [Policy; 4] = [Policy::Step, Policy::Slew, Policy::Utc, Policy::Free];
/// The additional delay of the longer path, with [`Way::OtherNetwork`] and [`Way::LongerPath`].
const LONGER: Duration = Duration::from_us(150);

/// How the clock map is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The same leader returns.
    Return,
    /// The same leader returns over a path that is longer by [`LONGER`].
    LongerPath,
    /// The same leader returns, on the other network.
    OtherNetwork,
    /// Another leader takes its place.
    OtherLeader,
    /// The leader was rebooted.
    Reboot,
    /// dante4l did not run; the leader was there.
    RestartedDante4l,
    /// No absence: the leader's rate changes at once, and dante4l fits its clock map again.
    RateStep,
}

const WAYS: [Way; 7] = [
    Way::Return,
    Way::LongerPath,
    Way::OtherNetwork,
    Way::OtherLeader,
    Way::Reboot,
    Way::RestartedDante4l,
    Way::RateStep,
];

/// What a seed draws.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    seed: u64,
    hours: i64,
    change_ppm: f64,
    policy: Policy,
    way: Way,
    /// Without packets: the same leader is on the same timeline after any absence, as where the clock map is still good enough to
    /// show that its time continued.
    is_given: bool,
    /// The rate of this host changes, not the leader's.
    is_host: bool,
    /// No NTP server is reachable while the leader is away.
    is_without_ntp: bool,
    /// The leader's rate against UTC before the change.
    leader_ppm: f64,
    host_ppm: f64,
}

impl Draw {
    /// Draws a scenario. Ways and policies take turns, so that few seeds reach all.
    pub fn new(seed: u64) -> Self {
        let rng = &mut Pcg64Mcg::seed_from_u64(seed ^ 0x0061_6273_656e_6365);
        let turn = usize::try_from(seed).unwrap();
        let way = WAYS[turn % WAYS.len()];
        let needs_packets = matches!(way, Way::LongerPath | Way::OtherNetwork);
        let is_host = turn.is_multiple_of(3);
        let is_without_ntp = turn.is_multiple_of(5) && way != Way::RateStep;
        let change_ppm: f64 = *CHANGES_PPM.choose(rng).unwrap();
        Self {
            seed,
            hours: *LENGTHS_H.choose(rng).unwrap(),
            // The bound allows a change of 1 ppm of an oscillator that nothing measures.
            change_ppm: if is_host && is_without_ntp { change_ppm.clamp(-0.5, 0.5) } else { change_ppm },
            policy: POLICIES[turn % POLICIES.len()],
            way,
            is_given: !needs_packets && (turn / WAYS.len()).is_multiple_of(2),
            is_host,
            is_without_ntp,
            leader_ppm: rng.random_range(-2.0..2.0),
            host_ppm: rng.random_range(-30.0..30.0),
        }
    }

    fn absence(&self) -> Duration {
        if self.way == Way::RateStep { s(60) } else { HOUR * self.hours }
    }

    /// Makes a leader whose rate changes when the absence begins.
    fn leader(&self, number: u8) -> Role {
        let change = Ratio::from_ppm(if self.is_host { 0.0 } else { self.change_ppm });
        let steps = vec![(SETTLING + BEFORE, change)];
        let model = Model { steps, ..Model::GOOD }.at_ppm(self.leader_ppm);
        let uptime = Timestamp::ZERO + s(699);
        Role::dante(number, Path::new(model, World::BEGIN, uptime, self.seed), Profile::VETH)
    }

    fn host(&self) -> HostConfig {
        let networks = if self.way == Way::OtherNetwork { 2 } else { 1 };
        let observation =
            if self.is_given { Observation::Given { error: MAP } } else { Observation::Packets { networks } };
        HostConfig {
            raw_rate: Ratio::from_ppm(self.host_ppm),
            utc_error: Duration::from_ms(300),
            rules: UtcRules { policy: self.policy, ..UtcRules::default() },
            ..HostConfig::new(observation, PortConfig::default())
        }
    }

    /// Makes the world with its leaders, for a return at `back`.
    fn world(&self, back: True) -> World {
        let server = NtpServer::half_normal(us(100), us(100));
        let mut world = World::new(self.seed, vec![server; 3], self.host());
        let leader = self.leader(0);
        match self.way {
            Way::LongerPath => {
                let detour = Detour { at: back, over: Duration::ZERO, more: LONGER };
                let link = Profile { detour: Some(detour), ..Profile::VETH };
                world.lead(Role { link: link.into(), ..leader });
            }
            Way::OtherNetwork => {
                let link = Profile { delay: Profile::VETH.delay + LONGER, ..Profile::VETH };
                let second =
                    Role { path: leader.path.clone(), network: 1, link: link.into(), ..self.leader(1) };
                world.lead(leader);
                world.lead(second);
            }
            _ => _ = world.lead(leader),
        }
        world
    }

    /// Runs the scenario.
    pub fn run(&self) -> Seen {
        let (first, second) = (LeaderId::nth(0), LeaderId::nth(1));
        let absence = self.absence();
        let back = World::BEGIN + SETTLING + BEFORE + absence;
        let mut world = Watched::new(self.world(back));
        world.run(SETTLING);
        world.restart_figures();
        world.run(BEFORE);
        let before = world.figures(0);
        world.restart_figures();
        let leave = match self.way {
            Way::Return | Way::LongerPath | Way::OtherLeader => vec![Act::Stop(first)],
            Way::OtherNetwork => vec![Act::Stop(first), Act::Stop(second)],
            Way::Reboot => vec![Act::Reboot(first, absence), Act::Silence(first, absence)],
            Way::RestartedDante4l => vec![Act::RestartObserver(absence)],
            Way::RateStep => vec![],
        };
        plan(&mut world, leave);
        if self.is_host {
            plan(&mut world, vec![Act::DriftHost(Ratio::from_ppm(self.change_ppm))]);
        }
        if self.is_without_ntp {
            // A reply some minutes after the loss is the last one.
            world.run(s(600));
            world.world.servers().iter_mut().for_each(|server| server.is_reachable = false);
        }
        world.run(back - world.world.now());
        world.world.servers().iter_mut().for_each(|server| server.is_reachable = true);
        let away = world.figures(0);
        let state = world.world.host().steerer().state();
        assert_eq!(state == State::Holdover, self.way != Way::RateStep, "{self}");
        print_events(&world, back);
        world.restart_figures();
        let come_back = match self.way {
            Way::Return | Way::LongerPath => vec![Act::Resume(first)],
            Way::OtherNetwork => vec![Act::Resume(second)],
            Way::OtherLeader => vec![Act::Lead(Box::new(self.leader(1)))],
            Way::Reboot | Way::RestartedDante4l | Way::RateStep => vec![],
        };
        plan(&mut world, come_back);
        world.run(RELOCK);
        let leader = if matches!(self.way, Way::OtherLeader | Way::OtherNetwork) { second } else { first };
        let from_leader = |world: &mut Watched| {
            let leader = world.world.true_time(leader).unwrap();
            world.world.host().clock().at(world.world.now()) - Timestamp::from_ns(leader.ns())
        };
        let at_start = from_leader(&mut world);
        world.run(AFTER - RELOCK);
        print_events(&world, back);
        assert_eq!(world.world.host().steerer().state(), State::Locked, "{self}");
        let moved = from_leader(&mut world) - at_start;
        Seen { before, away, after: world.figures(0), moved }
    }
}

impl fmt::Display for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, hours, change_ppm, policy, way, is_given, leader_ppm, .. } = self;
        let observation = if *is_given { "given" } else { "packets" };
        let changed = if self.is_host { "host" } else { "leader" };
        let servers = if self.is_without_ntp { ", without NTP" } else { "" };
        write!(f, "seed {seed:3} {policy:<4} {way:?} after {hours} h, ")?;
        write!(f, "{leader_ppm:+.2} ppm and {change_ppm:+.1} ppm, {observation}, {changed} changed{servers}")
    }
}

fn plan(world: &mut Watched, acts: Vec<Act>) {
    acts.into_iter().for_each(|act| world.world.plan(Duration::ZERO, act));
}

/// The figures of one scenario.
#[derive(Debug, Clone)]
pub struct Seen {
    before: Figures,
    away: Figures,
    after: Figures,
    /// What the clock gained on the leader after the return, from [`RELOCK`] on.
    moved: Duration,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { before, away, after, moved } = self;
        write!(
            f,
            "  before {before}\n  away   {away}\n  after  {after}  gained on the leader {:+} ns",
            moved.ns()
        )
    }
}

/// Checks what holds in each scenario.
pub fn assert_never_wrong(draw: &Draw, seen: &Seen) {
    for figures in [&seen.before, &seen.away, &seen.after] {
        assert!(figures.bound_held() == 1.0, "UTC bound: {draw}\n{seen}");
        if draw.is_without_ntp {
            continue;
        }
        // A step corrects a true error of the size of the threshold, and no larger one builds up.
        let is_due = |error: Offset| (us(9_900)..us(10_300)).contains(&error.span().abs());
        let may_step = draw.policy == Policy::Step && figures.steps.iter().all(|(_, error)| is_due(*error));
        assert!(figures.steps.is_empty() || may_step, "{draw}\n{seen}\n{:?}", figures.steps);
    }
    if matches!(draw.policy, Policy::Free | Policy::Step) {
        assert_eq!(seen.after.largest_slew, Ratio::ZERO, "{draw}\n{seen}");
    }
    // Without steps such a clock runs at the leader's rate.
    if draw.policy == Policy::Free {
        assert!(seen.moved.abs() < us(20), "{draw}\n{seen}");
    }
}

/// Checks over all scenarios that the UTC error after the return is not larger than it was before the absence.
pub fn assert_as_good_as_before(all: &[(Draw, Seen)]) {
    for policies in [&[Policy::Step][..], &[Policy::Slew, Policy::Utc]] {
        let percentile = |of: fn(&Seen) -> &Figures| {
            let seen = all.iter().filter(|(draw, _)| policies.contains(&draw.policy) && !draw.is_without_ntp);
            let mut worst: Vec<Duration> = seen.map(|(_, seen)| of(seen).worst).collect();
            worst.sort();
            worst[(worst.len() * 99).div_ceil(100) - 1]
        };
        let [before, away, after] =
            [percentile(|it| &it.before), percentile(|it| &it.away), percentile(|it| &it.after)];
        println!(
            "{policies:?}: largest UTC error, 99th percentile: before {before:?}, away {away:?}, after {after:?}"
        );
        assert!(after <= before * 3, "{policies:?}: {after:?} after the return, {before:?} before");
    }
}

/// Prints the events of the programs if one seed was chosen.
fn print_events(world: &Watched, back: True) {
    if !crate::is_one_chosen() {
        return;
    }
    let records = world.world.host().records();
    let observer = records.observer.iter().map(|(at, _, output)| (*at, format!("{output:?}")));
    let steerer = records.steerer.iter().map(|(at, output)| (*at, format!("{output:?}")));
    let mut lines: Vec<_> = observer.chain(steerer).collect();
    lines.sort_by_key(|(at, _)| *at);
    lines.iter().for_each(|(at, line)| println!("{:12.3} s  {line}", (*at - back).secs_f64()));
}
