//! The UTC error of each host, looked at once a second.

use crate::world::{Host, True, World};
use dante_core::time::{Duration, Offset, Ratio};
use std::fmt;

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// A world and what is seen of the date in it.
pub struct Watched {
    /// The world.
    pub world: World,
    figures: Vec<Figures>,
}

impl Watched {
    /// Figures are taken from now on.
    pub fn new(world: World) -> Self {
        let figures = vec![Figures::default(); world.hosts().len()];
        Self { world, figures }
    }

    /// Lets so many whole seconds pass.
    pub fn run(&mut self, span: Duration) {
        let until = self.world.now() + span;
        while self.world.now() < until {
            self.world.run(LOOK);
            let (now, utc) = (self.world.now(), self.world.utc());
            let dates = self.world.hosts().iter().map(|host| host.clock().at(now));
            let apart = dates.clone().max().zip(dates.min()).map(|(last, first)| last - first);
            let leader =
                self.world.last_leader().and_then(|last| self.world.true_rate(last)).unwrap_or_default();
            for (figures, host) in self.figures.iter_mut().zip(self.world.hosts()) {
                figures.look(host, now, host.clock().at(now) - utc, leader);
                figures.apart = figures.apart.max(apart.unwrap_or_default());
            }
        }
    }

    /// Figures are taken from now on, and what was said so far is forgotten.
    pub fn judge(&mut self) {
        self.world.forget();
        self.figures.fill(Figures::default());
    }

    /// What was seen of a host since it was last to be judged.
    pub fn figures(&self, host: usize) -> Figures {
        let figures = self.figures.get(host).cloned().unwrap_or_default();
        let Some(records) = self.world.hosts().get(host).map(Host::records) else { return figures };
        let steps = records.steps.iter().map(|(at, by)| (*at, Offset::from_ns(-by.ns()))).collect();
        Figures { steps, questions: records.questions, ..figures }
    }
}

/// Mean and standard deviation of numbers that come one by one (Welford).
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

/// The figures.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    errors: Spread,
    slews: Spread,
    added: Spread,
    /// Worst error of the clock against UTC, true to the ns.
    pub worst: Duration,
    /// Farthest rate off the leader's for the date's sake.
    pub largest_slew: Ratio,
    /// Farthest that the hosts were apart.
    pub apart: Duration,
    /// Looks at which the date was further off than the bound that was stated.
    pub beyond_bound: u64,
    /// Steps for the date's sake.
    pub steps: Vec<(True, Offset)>,
    /// Questions to all servers.
    pub questions: u64,
}

impl Figures {
    fn look(&mut self, host: &Host, now: True, error: Duration, leader: Ratio) {
        let (steerer, clock) = (host.steerer(), host.clock());
        let bound = steerer.utc_error(&clock.reading(now)).map(|error| error.bound);
        let slew = steerer.utc().slew();
        let raw = clock.raw_rate().fraction();
        let rate = Ratio::new((1.0 + steerer.frequency().fraction()) * (1.0 + raw) - 1.0);
        self.errors.add(error.secs_f64());
        self.slews.add(slew.ppb());
        self.added.add((rate - leader).ppb());
        self.worst = self.worst.max(error.abs());
        self.beyond_bound += u64::from(bound.is_some_and(|bound| error.abs() > bound));
        if slew.abs() > self.largest_slew {
            self.largest_slew = slew.abs();
        }
    }

    /// Root mean square of the date's error.
    pub fn rms(&self) -> Duration {
        Duration::from_secs_f64(self.errors.mean.hypot(self.errors.sigma()))
    }

    /// Standard deviation of the rate that the date adds to the leader's, over the whole time.
    pub fn slew_noise(&self) -> Ratio {
        Ratio::from_ppb(self.slews.sigma())
    }

    /// Standard deviation of the clock's rate against the leader's true rate: the date's part, and what is not known of
    /// the leader.
    pub fn rate_noise(&self) -> Ratio {
        Ratio::from_ppb(self.added.sigma())
    }

    /// Share of the looks at which the stated bound held.
    pub fn bound_held(&self) -> f64 {
        1.0 - self.beyond_bound as f64 / self.errors.count.max(1.0)
    }

    /// Questions per hour, to all servers together.
    pub fn questions_per_hour(&self) -> f64 {
        self.questions as f64 * 3600.0 / self.errors.count.max(1.0)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |span: Duration| span.secs_f64() * 1e6;
        write!(
            f,
            "date: worst {:9.1} us, rms {:8.1} us, within its bound {:6.2} %  slew: up to {:6.3} ppm, noise {:6.2} ppb  \
             rate noise {:6.2} ppb  apart {:7.1} us  steps {:3}  questions {:5.1}/h",
            us(self.worst),
            us(self.rms()),
            self.bound_held() * 100.0,
            self.largest_slew.ppm(),
            self.slew_noise().ppb(),
            self.rate_noise().ppb(),
            us(self.apart),
            self.steps.len(),
            self.questions_per_hour()
        )
    }
}
