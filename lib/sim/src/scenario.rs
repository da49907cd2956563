//! A scenario: a world in which something is planned to go wrong, run for a while, and judged against stated limits.

use crate::link::{Profile, Queue};
use crate::world::{LeaderId, World};
use dante_core::port::{Counter, Port, State as PortState};
use dante_core::steer::State;
use dante_core::time::{Duration, Ratio, Raw, Timestamp};
use dante_core::timescale::Timescale;
use std::collections::HashSet;

pub mod utc;

/// So long after the host was stepped its programs may need to see it; until then it is not their phase.
const GRACE: Duration = Duration::from_secs(2);
/// How often the steered clock is compared with the truth.
const LOOK: Duration = Duration::from_ms(100);
/// What is left of an error is judged over so long before the end.
const END: Duration = Duration::from_secs(10);
/// No frequency beyond this may be set, whatever happens.
const BOUND: Ratio = Ratio::from_ppm(490.0);

/// What was seen, or the most that may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// From the beginning to the first lock of the steered clock, s.
    pub lock_s: f64,
    /// How long in all the clock was not locked after that, s.
    pub unlocked_s: f64,
    /// Worst phase of the locked clock against the leader's true time + K, the mean path delay taken out, us.
    pub phase_us: f64,
    /// The same within the last 10 s.
    pub phase_left_us: f64,
    /// Worst phase of the clock against its own continuation: it goes on at the true rate of the leader that it is held
    /// on; what the host did to it and what the leader's time jumped by are not held against it. us.
    pub excursion_us: f64,
    /// How far the frequencies set lay outside of the leaders' true rates, ppm.
    pub excess_ppm: f64,
    /// Worst error of the map's rate within the last 10 s, ppb.
    pub rate_left_ppb: f64,
    /// How many timelines there were; has to match exactly. A new run of the observer begins at 1 again.
    pub timelines: u64,
}

impl Figures {
    const NONE: Self = Self {
        lock_s: f64::INFINITY,
        unlocked_s: 0.0,
        phase_us: 0.0,
        phase_left_us: 0.0,
        excursion_us: 0.0,
        excess_ppm: 0.0,
        rate_left_ppb: 0.0,
        timelines: 0,
    };

    fn named(&self) -> [(&'static str, f64); 7] {
        [
            ("time to lock, s", self.lock_s),
            ("time without lock after that, s", self.unlocked_s),
            ("worst phase, us", self.phase_us),
            ("phase left at the end, us", self.phase_left_us),
            ("worst excursion, us", self.excursion_us),
            ("frequency set beyond the true rates, ppm", self.excess_ppm),
            ("rate error left at the end, ppb", self.rate_left_ppb),
        ]
    }

    /// Each figure that is not within its limit, in words. NaN is within nothing.
    pub fn beyond(&self, limits: &Self) -> Vec<String> {
        let pairs = self.named().into_iter().zip(limits.named());
        let mut found: Vec<_> = pairs
            .filter(|((_, figure), (_, limit))| figure.is_nan() || figure > limit)
            .map(|((name, figure), (_, limit))| format!("{name}: {figure:.3}, limit {limit:.3}"))
            .collect();
        if self.timelines != limits.timelines {
            found.push(format!("timelines: {}, not {}", self.timelines, limits.timelines));
        }
        found
    }

    /// The worse of both in each figure.
    pub fn worst(self, other: Self) -> Self {
        Self {
            lock_s: self.lock_s.max(other.lock_s),
            unlocked_s: self.unlocked_s.max(other.unlocked_s),
            phase_us: self.phase_us.max(other.phase_us),
            phase_left_us: self.phase_left_us.max(other.phase_left_us),
            excursion_us: self.excursion_us.max(other.excursion_us),
            excess_ppm: self.excess_ppm.max(other.excess_ppm),
            rate_left_ppb: self.rate_left_ppb.max(other.rate_left_ppb),
            timelines: self.timelines.max(other.timelines),
        }
    }
}

/// The mean time that a packet needs through `link`, bursts and episodes aside.
pub fn mean_transit(link: &Profile) -> Duration {
    let queued = match link.queue {
        Queue::HalfNormal(scale) => scale * Ratio::new(0.797_885),
        Queue::Exponential(mean) => mean,
    };
    link.delay + queued
}

/// The clock's continuation.
#[derive(Debug, Clone, Copy)]
struct Continuation {
    leader: LeaderId,
    /// The leader's time and the clock at the last look, ns.
    truth_ns: i64,
    clock_ns: i64,
    /// The continuation minus the leader's time, ns.
    ahead_ns: i64,
}

/// Runs a world for `span` and judges it. `path` is the mean path delay.
///
/// The second value is what must never happen, in words: a frequency beyond the bound or none at all, a step by the
/// suite, a jump of the clock that the host did not make, a sample relayed twice, a reference that jumps.
pub fn run(world: &mut World, span: Duration, path: Duration, host_steps: usize) -> (Figures, Vec<String>) {
    let begin = world.now();
    let mut figures = Figures::NONE;
    let mut rates = (f64::INFINITY, f64::NEG_INFINITY);
    let mut continuation: Option<Continuation> = None;
    let mut key = None;
    let mut jumps = 0;
    let mut jumped = begin - GRACE;
    while world.now() - begin < span {
        world.run(LOOK);
        let now = world.now();
        let is_end = begin + span - now < END;
        let followed = world.followed();
        if let Some(rate) = followed.and_then(|leader| world.true_rate(leader)) {
            rates = (rates.0.min(rate.ppm()), rates.1.max(rate.ppm()));
        }
        let is_locked = world.host().steerer().state() == State::Locked;
        if !is_locked && figures.lock_s.is_finite() {
            figures.unlocked_s += LOOK.secs_f64();
        } else if is_locked && figures.lock_s.is_infinite() {
            figures.lock_s = (now - begin).secs_f64();
        }
        if let Some(then) = &mut continuation {
            if then.goes_on(world) {
                jumps += 1;
                jumped = now;
            }
            if is_locked && key != world.host().steerer().timescale().map(Timescale::key) {
                key = world.host().steerer().timescale().map(Timescale::key);
                then.changes_to(followed.unwrap_or(then.leader), world);
            }
            let us = (then.clock_ns - then.truth_ns - then.ahead_ns) as f64 / 1e3;
            figures.excursion_us = figures.excursion_us.max(us.abs());
        } else if let Some(leader) = followed.filter(|_| is_locked) {
            key = world.host().steerer().timescale().map(Timescale::key);
            continuation = Some(Continuation::new(leader, world));
        }
        if let Some(leader) = followed.filter(|_| is_locked && now - jumped >= GRACE) {
            judge_phase(world, leader, path, is_end, &mut figures);
        }
    }
    figures.timelines = world.host().key().number;
    for (_, frequency) in &world.host().records().frequencies {
        let excess = (frequency.ppm() - rates.1).max(rates.0 - frequency.ppm());
        figures.excess_ppm = figures.excess_ppm.max(excess);
    }
    let mut forbidden = never(world);
    if jumps > host_steps {
        forbidden.push(format!("the clock jumped {jumps} times, the host made {host_steps} of them"));
    }
    (figures, forbidden)
}

fn judge_phase(world: &mut World, leader: LeaderId, path: Duration, is_end: bool, figures: &mut Figures) {
    let (now, truth) = (world.now(), world.true_time(leader));
    let rate = world.true_rate(leader);
    let host = world.host();
    let (Some(truth), Some(scale), Some(port)) = (truth, host.steerer().timescale(), host.port()) else {
        return;
    };
    // A jump of the leader's that nobody could know of yet is no phase.
    if scale.key() != host.key() || port.state() != PortState::Slave {
        return;
    }
    let is_unnoticed =
        (scale.map().dante_at(host.clock().raw_at(now)) - truth).abs() > Duration::from_ms(100);
    let measured = port.path_delay().unwrap_or(Duration::ZERO);
    let phase = host.clock().at(now) - scale.utc_of(truth) + path - measured;
    if is_unnoticed {
        return;
    }
    let us = phase.secs_f64().abs() * 1e6;
    figures.phase_us = figures.phase_us.max(us);
    if is_end {
        figures.phase_left_us = figures.phase_left_us.max(us);
        if let (Some(map), Some(rate)) = (port.map(), rate) {
            figures.rate_left_ppb = figures.rate_left_ppb.max((map.line.rate - rate).ppb().abs());
        }
    }
}

impl Continuation {
    fn new(leader: LeaderId, world: &mut World) -> Self {
        let (truth_ns, clock_ns) = (truth_ns(world, leader), clock_ns(world));
        Self { leader, truth_ns, clock_ns, ahead_ns: clock_ns - truth_ns }
    }

    /// To the next look. Tells whether the clock jumped.
    fn goes_on(&mut self, world: &mut World) -> bool {
        let (truth_ns, clock_ns) = (truth_ns(world, self.leader), clock_ns(world));
        let rate = world.true_rate(self.leader).unwrap_or_default();
        let leap = jump_ns(truth_ns - self.truth_ns, rate);
        let jump = jump_ns(clock_ns - self.clock_ns, world.host().clock().line().rate);
        self.ahead_ns += jump - leap;
        (self.truth_ns, self.clock_ns) = (truth_ns, clock_ns);
        jump != 0
    }

    fn changes_to(&mut self, leader: LeaderId, world: &mut World) {
        let truth = truth_ns(world, leader);
        self.ahead_ns += self.truth_ns - truth;
        (self.truth_ns, self.leader) = (truth, leader);
    }
}

fn truth_ns(world: &mut World, leader: LeaderId) -> i64 {
    world.true_time(leader).map_or(0, Timestamp::ns)
}

fn clock_ns(world: &World) -> i64 {
    world.host().clock().at(world.now()).ns()
}

/// What a clock moved between two looks beyond what its rate explains, where that is so much that no frequency does
/// (500 ppm set, 500 ppm of adjtime).
fn jump_ns(moved: i64, rate: Ratio) -> i64 {
    let beyond = moved - (LOOK + LOOK * rate).ns();
    if beyond.abs() > LOOK.ns() / 900 { beyond } else { 0 }
}

/// What must never happen, whatever the scenario.
fn never(world: &World) -> Vec<String> {
    let records = world.host().records();
    let mut found = Vec::new();
    for (at, frequency) in &records.frequencies {
        if !frequency.is_finite() || frequency.abs() > BOUND {
            found.push(format!("frequency {frequency:?} at {at:?}"));
        }
    }
    if let Some((at, by)) = records.steps.first() {
        found.push(format!("the suite stepped the clock by {by:?} at {at:?}"));
    }
    let lost = world.host().port().map_or(0, |port| port.counters().get(Counter::OutputLost));
    if lost > 0 {
        found.push(format!("{lost} outputs of the port were lost"));
    }
    let map = world.host().port().and_then(Port::map);
    if map.is_some_and(|map| !map.line.rate.is_finite() || !map.sigma.rate.is_finite()) {
        found.push(format!("{map:?}"));
    }
    let mut seen = HashSet::new();
    let mut last: Option<(Timestamp<Raw>, Duration)> = None;
    for (at, sample) in records.refclock_samples() {
        if !seen.insert((sample.reference.ns(), sample.received.ns())) {
            found.push(format!("relayed twice at {at:?}: {sample:?}"));
        }
        let ahead = sample.reference - sample.received;
        if let Some((before, was)) = last {
            let moved = (ahead - was).abs();
            // After 3 s without a sample chrony begins anew.
            let allowed = Duration::from_ms(2) + (at - before) * Ratio::from_ppm(1_000.0);
            if at - before < Duration::from_secs(3) && moved > allowed {
                found.push(format!("the relayed reference jumped by {moved:?} at {at:?}"));
            }
        }
        last = Some((at, ahead));
    }
    found
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            Figures { lock_s: 3.5, ..LIMITS }.beyond(&LIMITS),
            ["time to lock, s: 3.500, limit 3.000"]
        );
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
}
