//! Measures the UTC error of each host of a world once a second.

use dante_core::time::{Duration, Offset, Ratio};
use dante_sim::world::{Host, True, World};
use std::fmt;

/// Interval of the measurements.
const INTERVAL: Duration = Duration::from_secs(1);

/// A world with figures of the UTC error of its hosts.
pub struct Watched {
    /// The world.
    pub world: World,
    figures: Vec<Figures>,
}

impl Watched {
    /// Starts the figures now.
    pub fn new(world: World) -> Self {
        let figures = vec![Figures::default(); world.hosts().len()];
        Self { world, figures }
    }

    /// Advances the time by `span`, in whole seconds.
    pub fn run(&mut self, span: Duration) {
        let until = self.world.now() + span;
        while self.world.now() < until {
            self.world.run(INTERVAL);
            let (now, utc) = (self.world.now(), self.world.utc());
            let clocks = self.world.hosts().iter().map(|host| host.clock().at(now));
            let apart = clocks.clone().max().zip(clocks.min()).map(|(last, first)| last - first);
            let leader =
                self.world.last_leader().and_then(|last| self.world.true_rate(last)).unwrap_or_default();
            for (figures, host) in self.figures.iter_mut().zip(self.world.hosts()) {
                figures.add(host, now, host.clock().at(now) - utc, leader);
                figures.apart = figures.apart.max(apart.unwrap_or_default());
            }
        }
    }

    /// Starts figures and records from scratch.
    pub fn restart_figures(&mut self) {
        self.world.clear_records();
        self.figures.fill(Figures::default());
    }

    /// Returns the figures of a host since their start.
    pub fn figures(&self, host: usize) -> Figures {
        let figures = self.figures.get(host).cloned().unwrap_or_default();
        let Some(records) = self.world.hosts().get(host).map(Host::records) else { return figures };
        let steps = records.steps.iter().map(|(at, by)| (*at, Offset::from_ns(-by.ns()))).collect();
        Figures { steps, queries: records.queries, ..figures }
    }
}

/// Running mean and standard deviation (Welford).
#[derive(Debug, Clone, Copy, Default)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn add(&mut self, x: f64) {
        self.count += 1.0;
        let before = x - self.mean;
        self.mean += before / self.count;
        self.squares += before * (x - self.mean);
    }

    fn sigma(&self) -> f64 {
        (self.squares / self.count.max(1.0)).sqrt()
    }
}

/// Figures of one host.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    errors: Spread,
    slews: Spread,
    added: Spread,
    /// Largest UTC error.
    pub worst: Duration,
    /// Largest slew, the rate that the UTC policy adds to the leader's.
    pub largest_slew: Ratio,
    /// Largest difference between the clocks of two hosts.
    pub apart: Duration,
    /// Number of measurements at which there was a UTC bound and the UTC error was within it.
    within_bound: u64,
    /// Steps that correct the UTC error.
    pub steps: Vec<(True, Offset)>,
    /// Number of queries to all servers.
    pub queries: u64,
}

impl Figures {
    fn add(&mut self, host: &Host, now: True, error: Duration, leader: Ratio) {
        let (steerer, clock) = (host.steerer(), host.clock());
        let bound = steerer.utc_error(&clock.reading(now)).map(|error| error.bound);
        let slew = steerer.utc().slew();
        let raw = clock.raw_rate().fraction();
        let rate = Ratio::new((1.0 + steerer.frequency().fraction()) * (1.0 + raw) - 1.0);
        self.errors.add(error.secs_f64());
        self.slews.add(slew.ppb());
        self.added.add((rate - leader).ppb());
        self.worst = self.worst.max(error.abs());
        self.within_bound += u64::from(bound.is_some_and(|bound| error.abs() <= bound));
        if slew.abs() > self.largest_slew {
            self.largest_slew = slew.abs();
        }
    }

    /// Returns the root mean square of the UTC error.
    pub fn rms(&self) -> Duration {
        Duration::from_secs_f64(self.errors.mean.hypot(self.errors.sigma()))
    }

    /// Returns the standard deviation of the slew.
    pub fn slew_noise(&self) -> Ratio {
        Ratio::from_ppb(self.slews.sigma())
    }

    /// Returns the standard deviation of the clock's rate minus the leader's true rate: slew and error of the estimated rate.
    pub fn rate_noise(&self) -> Ratio {
        Ratio::from_ppb(self.added.sigma())
    }

    /// Returns the fraction of measurements at which there was a UTC bound and the UTC error was within it.
    pub fn bound_held(&self) -> f64 {
        self.within_bound as f64 / self.errors.count.max(1.0)
    }

    /// Returns the number of queries per hour to all servers together.
    pub fn queries_per_hour(&self) -> f64 {
        self.queries as f64 * 3600.0 / self.errors.count.max(1.0)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |span: Duration| span.secs_f64() * 1e6;
        write!(
            f,
            "UTC error: largest {:9.1} us, rms {:8.1} us, within its bound {:6.2} %  slew: up to {:6.3} ppm, noise {:6.2} ppb  \
             rate noise {:6.2} ppb  apart {:7.1} us  steps {:3}  queries {:5.1}/h",
            us(self.worst),
            us(self.rms()),
            self.bound_held() * 100.0,
            self.largest_slew.ppm(),
            self.slew_noise().ppb(),
            self.rate_noise().ppb(),
            us(self.apart),
            self.steps.len(),
            self.queries_per_hour()
        )
    }
}
