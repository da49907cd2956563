//! Ten hours of each network: accuracy, honesty and false alarms under noise that is not white, changes its level, or belongs to
//! another oscillator than assumed; and the time until a step of the rate is followed.

use super::{for_seeds, quantile};
use crate::ours::Ours;
use crate::trace::{BASE, BEGIN, Sync, Trace};
use dante_core::estimate::RateGuess;
use dante_core::time::{Duration, Ratio};
use dante_sim::link::Link;
use dante_sim::oscillator::Model;

/// Time before the steady state, s.
const WARM_UP_S: f64 = 600.0;
/// Rate of the leader, ppm.
const LEADER_PPM: f64 = 12.0;

/// Sums of one figure over a run.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    n: f64,
    sum: f64,
    squares: f64,
    worst: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        self.n += 1.0;
        self.sum += value;
        self.squares += value * value;
        self.worst = self.worst.max(value.abs());
    }

    fn rms(&self) -> f64 {
        (self.squares / self.n).sqrt()
    }

    /// Root mean square about the mean.
    fn scatter(&self) -> f64 {
        (self.squares / self.n - (self.sum / self.n).powi(2)).max(0.0).sqrt()
    }
}

/// Number of values, and how many of them lie within two stated sigma.
#[derive(Debug, Clone, Copy, Default)]
pub struct Share {
    n: f64,
    within: f64,
}

impl Share {
    fn add(&mut self, error: f64, sigma: f64) {
        self.n += 1.0;
        self.within += f64::from(u8::from(error.abs() <= 2.0 * sigma));
    }

    fn join(&mut self, other: Self) {
        self.n += other.n;
        self.within += other.within;
    }

    /// The share, %.
    pub fn percent(&self) -> f64 {
        100.0 * self.within / self.n
    }
}

/// A condition under which ten hours are run.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The path.
    pub link: Link,
    /// The oscillator.
    pub model: Model,
    /// Sync interval.
    pub interval: Duration,
    /// Length, s.
    pub span_s: f64,
    /// The level of the delays is tenfold in every other span of this length.
    pub switch: Option<Duration>,
}

impl Condition {
    /// A PC's oscillator, four Syncs a second, `hours`.
    pub fn steady(link: impl Into<Link>, hours: f64) -> Self {
        Self {
            link: link.into(),
            model: Model::PC,
            interval: crate::trace::INTERVAL,
            span_s: hours * 3600.0,
            switch: None,
        }
    }

    fn trace(&self, seed: u64) -> Trace {
        Trace::through(self.link.clone(), self.model.clone(), LEADER_PPM, seed).every(self.interval)
    }
}

/// Figures of a condition.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Clock map: rate error, rms and worst, ppb.
    pub rate_ppb: (f64, f64),
    /// Clock map: phase error about its mean, rms, ns.
    pub phase_ns: f64,
    /// Steered clock: rate over 1 s, ppb, and phase about its mean, ns, rms.
    pub clock: (f64, f64),
    /// Within 2 sigma in the steady state: rate and phase.
    pub within: (Share, Share),
    /// Within 2 sigma in the first 240 s after a change of the level: rate and phase.
    pub after_switch: (Share, Share),
    /// False alarms in 10 h: breaks, jumps.
    pub alarms: (f64, f64),
    /// Estimated noise, mean, ns.
    pub noise_ns: f64,
}

struct Run {
    rate: Sum,
    phase: Sum,
    clock_rate: Sum,
    clock_phase: Sum,
    noise: Sum,
    shares: [(Share, Share); 2],
    alarms: (f64, f64),
}

/// Error of the clock map at a Sync: rate, ppb, and phase, ns, each with its stated sigma.
pub(crate) fn map_errors(ours: &Ours, sync: &Sync) -> Option<[(f64, f64); 2]> {
    let map = ours.map()?;
    let sigma = map.uncertainty_at(sync.arrived);
    let shown = (map.dante_at(sync.sent).ns() - sync.sent.ns() - BASE.ns()) as f64;
    Some([
        (map.line.rate.ppb() - sync.slow_ppb, sigma.rate.ppb()),
        (shown - sync.gained_ns, sigma.offset.ns() as f64),
    ])
}

/// Runs a condition with `seeds` seeds.
pub fn long(condition: &Condition, seeds: u64) -> Figures {
    let mean = mean_delay_ns(&condition.link);
    let runs = for_seeds(seeds, |seed| long_run(condition, mean, seed));
    let n = runs.len() as f64;
    let mean_of = |pick: fn(&Run) -> f64| runs.iter().map(pick).sum::<f64>() / n;
    let worst = runs.iter().map(|run| run.rate.worst).fold(0.0, f64::max);
    let shares = |i: usize| {
        let mut sum = (Share::default(), Share::default());
        for run in &runs {
            if let Some((rate, phase)) = run.shares.get(i) {
                sum.0.join(*rate);
                sum.1.join(*phase);
            }
        }
        sum
    };
    let per_10_h = 36_000.0 / condition.span_s;
    Figures {
        rate_ppb: (mean_of(|run| run.rate.rms()), worst),
        phase_ns: mean_of(|run| run.phase.scatter()),
        clock: (mean_of(|run| run.clock_rate.rms()), mean_of(|run| run.clock_phase.scatter())),
        within: shares(0),
        after_switch: shares(1),
        alarms: (
            runs.iter().map(|run| run.alarms.0).sum::<f64>() / n * per_10_h,
            runs.iter().map(|run| run.alarms.1).sum::<f64>() / n * per_10_h,
        ),
        noise_ns: mean_of(|run| run.noise.sum / run.noise.n),
    }
}

fn long_run(condition: &Condition, mean_ns: f64, seed: u64) -> Run {
    let mut run = Run {
        rate: Sum::default(),
        phase: Sum::default(),
        clock_rate: Sum::default(),
        clock_phase: Sum::default(),
        noise: Sum::default(),
        shares: Default::default(),
        alarms: (0.0, 0.0),
    };
    let mut ours = Ours::new(RateGuess::UNKNOWN);
    let mut trace = condition.trace(seed);
    let mut switched_s = f64::NEG_INFINITY;
    let mut is_loud = false;
    let per_second = (1.0 / condition.interval.secs_f64()).round().max(1.0);
    let mut last_second = (f64::NEG_INFINITY, 0.0);
    let mut warm = (0, 0);
    while let Some(sync) = trace.next() {
        let at_s = sync.at_s();
        if at_s > condition.span_s {
            break;
        }
        if let Some(every) = condition.switch {
            let loud = (at_s / every.secs_f64()) % 2.0 >= 1.0;
            if loud != is_loud {
                is_loud = loud;
                switched_s = at_s;
                trace.set_level(if loud { 10.0 } else { 1.0 });
            }
        }
        ours.estimate(&sync);
        ours.steer(sync.arrived);
        if at_s < WARM_UP_S {
            warm = (ours.restarts(), ours.jumps());
            continue;
        }
        let Some([rate, mut phase]) = map_errors(&ours, &sync) else { continue };
        phase.0 += mean_ns;
        run.rate.add(rate.0);
        run.phase.add(phase.0);
        run.noise.add(ours.noise().ns() as f64);
        let clock_phase = sync.phase_ns(crate::peers::Follower::clock(&ours));
        run.clock_phase.add(clock_phase);
        if at_s - last_second.0 > 1.0 - 0.5 / per_second {
            if at_s - last_second.0 < 1.5 {
                run.clock_rate.add((clock_phase - last_second.1) / (at_s - last_second.0));
            }
            last_second = (at_s, clock_phase);
        }
        let [steady, after] = &mut run.shares;
        let share = if at_s - switched_s < 240.0 { after } else { steady };
        share.0.add(rate.0, rate.1);
        share.1.add(phase.0, phase.1);
    }
    run.alarms = ((ours.restarts() - warm.0) as f64, (ours.jumps() - warm.1) as f64);
    run
}

fn mean_delay_ns(link: &Link) -> f64 {
    use rand::SeedableRng;
    if let Some(delays) = link.recorded() {
        return delays.median().ns() as f64;
    }
    // Late packets are rejected.
    let mut link = Link::from(dante_sim::link::Profile { bursts: None, spells: None, ..*link.profile() });
    let mut rng = rand_pcg::Pcg64Mcg::seed_from_u64(1);
    let n = 400_000;
    let delays = (0..n).map(|i| link.transit(&mut rng, BEGIN + crate::trace::INTERVAL * i).ns() as f64);
    delays.sum::<f64>() / n as f64
}

/// Figures of the start and of a rate step.
#[derive(Debug, Clone, Copy)]
pub struct Transients {
    /// Within 2 sigma at 0 to 10 s, 10 to 60 s, 60 to 300 s: rate and phase. Before the port is SLAVE nothing is stated.
    pub by_age: [(Share, Share); 3],
    /// Time after a step of 1 ppm from which on the rate stays within 300 ppb, median and 95 %, s.
    pub followed_s: (f64, f64),
    /// Within 2 sigma in the 240 s after the step, without the time statistics needs.
    pub after_step: (Share, Share),
    /// The time that statistics needs: 95 % of the steps are followed, s.
    pub excluded_s: f64,
}

/// Runs `seeds` starts, each with a step of 1 ppm after `step_s`.
pub fn transients(link: &Link, seeds: u64, step_s: f64) -> Transients {
    let mean = mean_delay_ns(link);
    let steps = vec![(Duration::from_secs_f64(step_s), Ratio::from_ppm(1.0))];
    let model = Model { steps, ..Model::PC };
    let runs = for_seeds(seeds, |seed| {
        let mut ours = Ours::new(RateGuess::UNKNOWN);
        let mut points = Vec::new();
        let mut far_s = 0.0;
        for sync in Trace::through(link.clone(), model.clone(), LEADER_PPM, seed) {
            let at_s = sync.at_s();
            if at_s > step_s + 240.0 {
                break;
            }
            ours.estimate(&sync);
            ours.steer(sync.arrived);
            let Some([rate, phase]) = map_errors(&ours, &sync).filter(|_| ours.is_slave()) else { continue };
            points.push((at_s, rate, (phase.0 + mean, phase.1)));
            if at_s >= step_s && rate.0.abs() > 300.0 {
                far_s = at_s - step_s + 0.25;
            }
        }
        (points, far_s)
    });
    let mut by_age: [(Share, Share); 3] = Default::default();
    let mut after_step = (Share::default(), Share::default());
    let followed = |share| quantile(runs.iter().map(|(_, far)| *far).collect(), share);
    let excluded_s = followed(0.95);
    for (points, _) in &runs {
        for &(at_s, rate, phase) in points {
            let share = match at_s {
                s if s < 10.0 => &mut by_age[0],
                s if s < 60.0 => &mut by_age[1],
                s if s < step_s => &mut by_age[2],
                s if s > step_s + excluded_s => &mut after_step,
                _ => continue,
            };
            share.0.add(rate.0, rate.1);
            share.1.add(phase.0, phase.1);
        }
    }
    Transients { by_age, followed_s: (followed(0.5), excluded_s), after_step, excluded_s }
}
