//! Runs a scenario, a world with planned faults, and compares figures of its first host with limits.

use dante_core::port::{Counter, Port, State as PortState};
use dante_core::steer::State;
use dante_core::time::{Duration, Ratio, Raw, Timestamp};
use dante_core::timescale::Timescale;
use dante_sim::link::{Link, Profile, Queue};
use dante_sim::world::{LeaderId, World};
use std::collections::HashSet;

/// Time after a jump of the host's clock in which the programs may detect it; phase errors are ignored until then.
const JUMP_DETECTION: Duration = Duration::from_secs(2);
/// Interval of the comparisons of the steered clock with the truth.
const CHECK_INTERVAL: Duration = Duration::from_ms(100);
/// Time before the end over which the remaining errors are measured.
const END: Duration = Duration::from_secs(10);
/// Largest frequency that may ever be set.
const MAX_FREQUENCY: Ratio = Ratio::from_ppm(490.0);

/// Measured values, or their limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Time from the start to the first lock of the steered clock, s; infinite until then.
    pub lock_s: f64,
    /// Total time without lock after that, s.
    pub unlocked_s: f64,
    /// Largest phase error of the locked clock, us: the clock minus (the leader's true time + the epoch offset K), without the mean
    /// path delay. Infinite if it was never measured.
    pub phase_us: f64,
    /// The same within the last 10 s. Infinite if it was not measured there.
    pub phase_left_us: f64,
    /// Largest difference of the clock from its continuation at the true rate of the followed leader, us. Jumps that the host made and
    /// jumps of the leader's time are left out.
    pub excursion_us: f64,
    /// Largest distance of a frequency that was set from the range of the leaders' true rates, ppm.
    pub excess_ppm: f64,
    /// Largest error of the clock map's rate within the last 10 s, ppb. Infinite if it was not measured there.
    pub rate_left_ppb: f64,
    /// Number of the last timeline, which must be equal to the limit. It starts at 1 again when the observer restarts.
    pub timelines: u64,
}

impl Figures {
    const NONE: Self = Self {
        lock_s: f64::INFINITY,
        unlocked_s: 0.0,
        phase_us: f64::INFINITY,
        phase_left_us: f64::INFINITY,
        excursion_us: 0.0,
        excess_ppm: 0.0,
        rate_left_ppb: f64::INFINITY,
        timelines: 0,
    };

    fn named(&self) -> [(&'static str, f64); 7] {
        [
            ("time to lock, s", self.lock_s),
            ("time without lock later, s", self.unlocked_s),
            ("largest phase error, us", self.phase_us),
            ("phase error at the end, us", self.phase_left_us),
            ("largest excursion, us", self.excursion_us),
            ("frequency set beyond the true rates, ppm", self.excess_ppm),
            ("rate error at the end, ppb", self.rate_left_ppb),
        ]
    }

    /// Returns a text for each figure beyond its limit. NaN is beyond every limit.
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

    /// Returns the larger of both values of each figure.
    pub fn max(self, other: Self) -> Self {
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

/// Returns the mean delay of a packet on `link`, without bursts, load and detour.
pub fn mean_transit(link: &Link) -> Duration {
    if let Some(delays) = link.recorded() {
        return delays.mean();
    }
    let profile = link.profile();
    let queued = match profile.queue {
        Queue::HalfNormal(scale) => scale * Ratio::new(0.797_885),
        Queue::Normal(_) => Duration::ZERO,
        Queue::Exponential(mean) => mean,
    };
    profile.delay + queued
}

/// The time that the clock would show if it had run at the rate of the followed leader since its first lock.
#[derive(Debug, Clone, Copy)]
struct Continuation {
    leader: LeaderId,
    /// The leader's time and the clock at the last check, ns.
    truth_ns: i64,
    clock_ns: i64,
    /// The continuation minus the leader's time, ns.
    offset_ns: i64,
}

/// Runs a world for `span` and returns its figures. `path` is the mean path delay.
///
/// The second value lists forbidden events: a frequency beyond the bound or not a number, a step by the suite, a jump of the clock that
/// the host did not make, a sample relayed twice, a jump of the relayed reference.
pub fn run(world: &mut World, span: Duration, path: Duration, host_steps: usize) -> (Figures, Vec<String>) {
    let begin = world.now();
    let mut figures = Figures::NONE;
    let mut rates = (f64::INFINITY, f64::NEG_INFINITY);
    let mut continuation: Option<Continuation> = None;
    let mut key = None;
    let mut jumps = 0;
    let mut jumped = begin - JUMP_DETECTION;
    while world.now() - begin < span {
        world.run(CHECK_INTERVAL);
        let now = world.now();
        let is_end = begin + span - now < END;
        let followed = world.followed();
        if let Some(rate) = followed.and_then(|leader| world.true_rate(leader)) {
            rates = (rates.0.min(rate.ppm()), rates.1.max(rate.ppm()));
        }
        let is_locked = world.host().steerer().state() == State::Locked;
        if !is_locked && figures.lock_s.is_finite() {
            figures.unlocked_s += CHECK_INTERVAL.secs_f64();
        } else if is_locked && figures.lock_s.is_infinite() {
            figures.lock_s = (now - begin).secs_f64();
        }
        if let Some(then) = &mut continuation {
            if then.advance(world) {
                jumps += 1;
                jumped = now;
            }
            if is_locked && key != world.host().steerer().timescale().map(Timescale::key) {
                key = world.host().steerer().timescale().map(Timescale::key);
                then.change_leader(followed.unwrap_or(then.leader), world);
            }
            let us = (then.clock_ns - then.truth_ns - then.offset_ns) as f64 / 1e3;
            figures.excursion_us = figures.excursion_us.max(us.abs());
        } else if let Some(leader) = followed.filter(|_| is_locked) {
            key = world.host().steerer().timescale().map(Timescale::key);
            continuation = Some(Continuation::new(leader, world));
        }
        if let Some(leader) = followed.filter(|_| is_locked && now - jumped >= JUMP_DETECTION) {
            measure_phase(world, leader, path, is_end, &mut figures);
        }
    }
    figures.timelines = world.host().key().number;
    for (_, frequency) in &world.host().records().frequencies {
        let excess = (frequency.ppm() - rates.1).max(rates.0 - frequency.ppm());
        figures.excess_ppm = figures.excess_ppm.max(excess);
    }
    let mut forbidden = forbidden_events(world);
    if jumps > host_steps {
        forbidden.push(format!("the clock jumped {jumps} times, {host_steps} of them by the host"));
    }
    (figures, forbidden)
}

fn measure_phase(world: &mut World, leader: LeaderId, path: Duration, is_end: bool, figures: &mut Figures) {
    let (now, truth) = (world.now(), world.true_time(leader));
    let rate = world.true_rate(leader);
    let host = world.host();
    let (Some(truth), Some(scale), Some(port)) = (truth, host.steerer().timescale(), host.port()) else {
        return;
    };
    // Not while the programs adopt another timeline.
    if scale.key() != host.key() || port.state() != PortState::Slave {
        return;
    }
    // Not during the first Syncs after a jump of the leader's time, until the port detects it. At the end it has to be detected.
    let is_undetected =
        (scale.map().dante_at(host.clock().raw_at(now)) - truth).abs() > Duration::from_ms(100);
    let measured = port.path_delay().unwrap_or(Duration::ZERO);
    let phase = host.clock().at(now) - scale.utc_of(truth) + path - measured;
    if is_undetected && !is_end {
        return;
    }
    let us = phase.secs_f64().abs() * 1e6;
    raise(&mut figures.phase_us, us);
    if is_end {
        raise(&mut figures.phase_left_us, us);
        if let (Some(map), Some(rate)) = (port.map(), rate) {
            raise(&mut figures.rate_left_ppb, (map.line.rate - rate).ppb().abs());
        }
    }
}

/// Raises a figure, which is infinite before its first measurement, to `value`.
fn raise(figure: &mut f64, value: f64) {
    *figure = if figure.is_infinite() { value } else { figure.max(value) };
}

impl Continuation {
    fn new(leader: LeaderId, world: &mut World) -> Self {
        let (truth_ns, clock_ns) = (truth_ns(world, leader), clock_ns(world));
        Self { leader, truth_ns, clock_ns, offset_ns: clock_ns - truth_ns }
    }

    /// Advances to the present. Returns whether the clock jumped.
    fn advance(&mut self, world: &mut World) -> bool {
        let (truth_ns, clock_ns) = (truth_ns(world, self.leader), clock_ns(world));
        let rate = world.true_rate(self.leader).unwrap_or_default();
        let leader_jump = jump_ns(truth_ns - self.truth_ns, rate);
        let jump = jump_ns(clock_ns - self.clock_ns, world.host().clock().line().rate);
        self.offset_ns += jump - leader_jump;
        (self.truth_ns, self.clock_ns) = (truth_ns, clock_ns);
        jump != 0
    }

    fn change_leader(&mut self, leader: LeaderId, world: &mut World) {
        let truth = truth_ns(world, leader);
        self.offset_ns += self.truth_ns - truth;
        (self.truth_ns, self.leader) = (truth, leader);
    }
}

fn truth_ns(world: &mut World, leader: LeaderId) -> i64 {
    world.true_time(leader).map_or(0, Timestamp::ns)
}

fn clock_ns(world: &World) -> i64 {
    world.host().clock().at(world.now()).ns()
}

/// Returns the jump of a clock that moved by `moved` ns between two checks: the movement that its rate does not explain, or 0 if a
/// change of its rate may explain that. The limit of 1/900 (1111 ppm) is above 500 ppm of frequency plus 500 ppm of adjtime(3).
fn jump_ns(moved: i64, rate: Ratio) -> i64 {
    let beyond = moved - (CHECK_INTERVAL + CHECK_INTERVAL * rate).ns();
    if beyond.abs() > CHECK_INTERVAL.ns() / 900 { beyond } else { 0 }
}

/// Returns a text for each event that is forbidden in every scenario.
fn forbidden_events(world: &World) -> Vec<String> {
    let records = world.host().records();
    let mut found = Vec::new();
    for (at, frequency) in &records.frequencies {
        if !frequency.is_finite() || frequency.abs() > MAX_FREQUENCY {
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
            found.push(format!("sample relayed twice at {at:?}: {sample:?}"));
        }
        let offset = sample.reference - sample.received;
        if let Some((before, previous)) = last {
            let moved = (offset - previous).abs();
            // After 3 s without a sample chrony restarts its filter.
            let allowed = Duration::from_ms(2) + (at - before) * Ratio::from_ppm(1_000.0);
            if at - before < Duration::from_secs(3) && moved > allowed {
                found.push(format!("the relayed reference jumped by {moved:?} at {at:?}"));
            }
        }
        last = Some((at, offset));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use dante_core::port::PortConfig;
    use dante_sim::oscillator::{Model, Path};
    use dante_sim::world::{Act, HostConfig, Observation, Role};

    const LIMITS: Figures = Figures {
        lock_s: 3.0,
        phase_us: 2.0,
        phase_left_us: 1.0,
        rate_left_ppb: 25.0,
        timelines: 1,
        ..Figures::NONE
    };

    fn world() -> (World, Duration) {
        let port = PortConfig { seed: 1, ..PortConfig::default() };
        let host = HostConfig::new(Observation::Packets { networks: 1 }, port);
        let mut world = World::new(1, Vec::new(), host);
        let path = Path::new(Model::PC.at_ppm(12.0), World::BEGIN, Timestamp::from_ns(699_000_000_000), 1);
        world.lead(Role::dante(0, path, Profile::VETH));
        (world, mean_transit(&Link::from(Profile::VETH)))
    }

    #[test]
    fn names_each_figure_beyond_its_limit() {
        assert!(LIMITS.beyond(&LIMITS).is_empty());
        assert_eq!(
            Figures { lock_s: 3.5, ..LIMITS }.beyond(&LIMITS),
            ["time to lock, s: 3.500, limit 3.000"]
        );
        assert_eq!(Figures { rate_left_ppb: f64::NAN, ..LIMITS }.beyond(&LIMITS).len(), 1);
        assert_eq!(Figures { timelines: 2, ..LIMITS }.beyond(&LIMITS), ["timelines: 2, not 1"]);
        let unlocked = [
            "time to lock, s: inf, limit 3.000",
            "largest phase error, us: inf, limit 2.000",
            "phase error at the end, us: inf, limit 1.000",
            "rate error at the end, ppb: inf, limit 25.000",
        ];
        assert_eq!(Figures { timelines: 1, ..Figures::NONE }.beyond(&LIMITS), unlocked);
    }

    #[test]
    fn errors_at_the_end_are_infinite_without_a_leader_there() {
        let (mut world, path) = world();
        world.plan(Duration::from_secs(15), Act::Stop(LeaderId::nth(0)));
        let (figures, _) = run(&mut world, Duration::from_secs(30), path, 0);
        assert!(figures.phase_us < 10.0, "{figures:?}");
        assert!(figures.phase_left_us.is_infinite() && figures.rate_left_ppb.is_infinite(), "{figures:?}");
    }

    #[test]
    fn undetected_jump_of_the_leader_counts_at_the_end() {
        for (at_s, is_counted) in [(15, false), (29, true)] {
            let (mut world, path) = world();
            let at = Duration::from_secs(at_s) + Duration::from_ms(850);
            world.plan(at, Act::Reboot(LeaderId::nth(0), Duration::ZERO));
            let (figures, _) = run(&mut world, Duration::from_secs(30), path, 0);
            assert_eq!(figures.phase_left_us > 1e6, is_counted, "{figures:?}");
        }
    }

    #[test]
    fn reports_jump_that_the_host_did_not_declare() {
        for (declared, complaints) in [(1, 0), (0, 1)] {
            let (mut world, path) = world();
            world.plan(Duration::from_secs(20), Act::Step(Duration::from_ms(5)));
            let (_, forbidden) = run(&mut world, Duration::from_secs(30), path, declared);
            assert_eq!(forbidden.len(), complaints, "{forbidden:?}");
        }
    }

    #[test]
    fn measures_excursion_and_phase_error() {
        let (mut world, path) = world();
        world.plan(Duration::from_secs(20), Act::Step(Duration::from_us(80)));
        let (figures, forbidden) = run(&mut world, Duration::from_secs(30), path, 0);
        assert!(forbidden.is_empty(), "{forbidden:?}");
        assert!((figures.excursion_us - 80.0).abs() < 3.0, "{figures:?}");
        assert!((figures.phase_us - 80.0).abs() < 3.0, "{figures:?}");
        // The phase term of 5 ppm reduces it by 5 us a second.
        assert!(figures.phase_left_us > 25.0, "{figures:?}");
    }

    #[test]
    fn excursion_continues_over_a_suspend() {
        let (mut world, path) = world();
        world.plan(Duration::from_secs(20), Act::Suspend(Duration::from_secs(60)));
        let (figures, forbidden) = run(&mut world, Duration::from_secs(60), path, 1);
        assert!(forbidden.is_empty(), "{forbidden:?}");
        assert!(figures.excursion_us < 5.0, "{figures:?}");
    }
}
