//! What is seen of a host's date, once a second.

use super::True;
use dante_core::time::{Duration, Offset, Ratio};
use std::fmt;

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
    pub(super) fn look(
        &mut self,
        error: Duration,
        bound: Option<Duration>,
        slew: Ratio,
        added: Ratio,
        agreement: Duration,
    ) {
        self.errors.add(error.secs_f64());
        self.slews.add(slew.ppb());
        self.added.add(added.ppb());
        self.worst = self.worst.max(error.abs());
        self.beyond_bound += u64::from(bound.is_some_and(|bound| error.abs() > bound));
        self.apart = self.apart.max(agreement);
        if slew.abs() > self.largest_slew {
            self.largest_slew = slew.abs();
        }
    }

    pub(super) fn stepped(&mut self, now: True, off: Offset) {
        self.steps.push((now, off));
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
