//! A leader's clock with a noisy oscillator, as a function of CLOCK_MONOTONIC_RAW. The noise is drawn from a seed.

use super::Oscillator;
use dante_core::time::{Dante, Duration, Ratio, Raw, Timestamp};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;
use std::collections::VecDeque;
use std::f64::consts::TAU;

/// A slow sine of the rate, as a temperature cycle causes: zero at the start, and rising.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sine {
    /// Amplitude.
    pub amplitude: Ratio,
    /// Period.
    pub period: Duration,
}

/// Parameters of an oscillator, relative to CLOCK_MONOTONIC_RAW.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Constant rate.
    pub offset: Ratio,
    /// White frequency noise: the standard deviation of the mean rate over one second.
    pub white: Ratio,
    /// Random walk of the frequency: the standard deviation of its change over one second, which grows with the square root of
    /// time.
    pub walk: Ratio,
    /// Sine of the rate.
    pub sine: Option<Sine>,
    /// Permanent changes of the rate, each with its time after the start.
    pub steps: Vec<(Duration, Ratio)>,
}

impl Model {
    /// No noise; rate zero.
    pub const STEADY: Self = Self::noisy(0.0);
    /// Noise of a PC's crystal at a constant temperature: 1 ppb.
    pub const PC: Self = Self::noisy(1.0);
    /// A tenth of [`Self::PC`].
    pub const GOOD: Self = Self::noisy(0.1);

    /// White noise and random walk of `ppb` each.
    const fn noisy(ppb: f64) -> Self {
        let noise = Ratio::from_ppb(ppb);
        Self { offset: Ratio::ZERO, white: noise, walk: noise, sine: None, steps: Vec::new() }
    }

    /// Sets the constant rate.
    pub fn at_ppm(self, ppm: f64) -> Self {
        Self { offset: Ratio::from_ppm(ppm), ..self }
    }

    fn is_random(&self) -> bool {
        self.white != Ratio::ZERO || self.walk != Ratio::ZERO
    }
}

/// The noise within one cell of the grid, where its rate is constant.
#[derive(Debug, Clone, Copy)]
struct Cell {
    /// At the start of the cell.
    phase_ns: f64,
    walk_ppb: f64,
    white_ppb: f64,
}

/// The time of a clock with a [`Model`] oscillator: one sample path of its noise.
///
/// Rate, sine and steps are evaluated in closed form. The noise is integrated on a grid of [`Path::GRID`], whose cells are drawn
/// in order, up to the latest time asked for: a seed gives the same path, whatever times are asked for.
#[derive(Debug, Clone)]
pub struct Path {
    model: Model,
    raw0: Timestamp<Raw>,
    at0: Timestamp<Dante>,
    rng: Pcg64Mcg,
    cells: VecDeque<Cell>,
    /// Number of cells dropped at the front.
    dropped: usize,
}

impl Path {
    /// Length of a cell, in which the rate of the noise is constant.
    pub const GRID: Duration = Duration::from_ns(62_500_000);
    /// Number of cells kept: 256 s. For earlier times the rate of the oldest cell is used.
    const KEPT: usize = 4096;

    /// Makes a clock that shows `at0` at `raw0`.
    pub fn new(model: Model, raw0: Timestamp<Raw>, at0: Timestamp<Dante>, seed: u64) -> Self {
        Self { model, raw0, at0, rng: Pcg64Mcg::seed_from_u64(seed), cells: VecDeque::new(), dropped: 0 }
    }

    /// Returns its time at `raw`.
    pub fn at(&mut self, raw: Timestamp<Raw>) -> Timestamp<Dante> {
        self.at0 + (raw - self.raw0) + Duration::from_secs_f64(self.offset_ns(raw) / 1e9)
    }

    /// Returns its gain on CLOCK_MONOTONIC_RAW since the start, in ns with fractions, without the jumps of
    /// [`show`](Self::show).
    pub fn offset_ns(&mut self, raw: Timestamp<Raw>) -> f64 {
        let s = (raw - self.raw0).secs_f64();
        let mut ns = self.model.offset.ppb() * s;
        if let Some(Sine { amplitude, period }) = self.model.sine {
            let period_s = period.secs_f64();
            ns += amplitude.ppb() * period_s / TAU * (1.0 - (TAU * s / period_s).cos());
        }
        for (after, change) in &self.model.steps {
            ns += change.ppb() * (s - after.secs_f64()).max(0.0);
        }
        if self.model.is_random() {
            let (cell, begin) = self.cell(raw);
            ns += cell.phase_ns + (cell.walk_ppb + cell.white_ppb) * (raw - begin).secs_f64();
        }
        ns
    }

    /// Returns the mean rate over the cell that contains `raw`, with the white noise.
    pub fn rate_at(&mut self, raw: Timestamp<Raw>) -> Ratio {
        let begin = self.raw0 + Self::GRID * self.index(raw);
        let gained = self.offset_ns(begin + Self::GRID - Duration::from_ns(1)) - self.offset_ns(begin);
        Ratio::new(gained / ((Self::GRID.ns() - 1) as f64))
    }

    /// Returns the rate at `raw` without the white noise: the part that a follower can estimate.
    pub fn slow_rate_at(&mut self, raw: Timestamp<Raw>) -> Ratio {
        let since = raw - self.raw0;
        let mut ppb = self.model.offset.ppb();
        if let Some(Sine { amplitude, period }) = self.model.sine {
            ppb += amplitude.ppb() * (TAU * since.secs_f64() / period.secs_f64()).sin();
        }
        ppb += self.model.steps.iter().filter(|step| step.0 <= since).map(|step| step.1.ppb()).sum::<f64>();
        if self.model.is_random() {
            ppb += self.cell(raw).0.walk_ppb;
        }
        Ratio::from_ppb(ppb)
    }

    /// Shifts the time so that it is `at` at `raw`, for a leader that was set or a host that was suspended.
    pub fn show(&mut self, raw: Timestamp<Raw>, at: Timestamp<Dante>) {
        self.at0 = self.at0 + (at - self.at(raw));
    }

    /// Returns the number of the cell, negative before the start.
    fn index(&self, raw: Timestamp<Raw>) -> i64 {
        (raw - self.raw0).ns().div_euclid(Self::GRID.ns())
    }

    /// Returns the cell that contains `raw`, or the oldest cell kept if `raw` is before it, and the start of that cell.
    fn cell(&mut self, raw: Timestamp<Raw>) -> (Cell, Timestamp<Raw>) {
        let index = usize::try_from(self.index(raw)).unwrap_or(0).max(self.dropped);
        while self.dropped + self.cells.len() <= index {
            self.draw();
        }
        // The loop above has drawn the cell and dropped only much older ones, so the default is never used.
        let cell = self.cells.get(index - self.dropped).copied();
        let cell = cell.unwrap_or(Cell { phase_ns: 0.0, walk_ppb: 0.0, white_ppb: 0.0 });
        (cell, self.raw0 + Self::GRID * i64::try_from(index).unwrap_or(i64::MAX))
    }

    fn draw(&mut self) {
        let cell_s = Self::GRID.secs_f64();
        let mut normal = || -> f64 { StandardNormal.sample(&mut self.rng) };
        let white_ppb = self.model.white.ppb() / cell_s.sqrt() * normal();
        let change_ppb = self.model.walk.ppb() * cell_s.sqrt() * normal();
        let next = match self.cells.back() {
            None => Cell { phase_ns: 0.0, walk_ppb: 0.0, white_ppb },
            Some(last) => Cell {
                phase_ns: last.phase_ns + (last.walk_ppb + last.white_ppb) * cell_s,
                walk_ppb: last.walk_ppb + change_ppb,
                white_ppb,
            },
        };
        self.cells.push_back(next);
        if self.cells.len() > Self::KEPT {
            self.cells.pop_front();
            self.dropped += 1;
        }
    }
}

/// Without noise.
impl From<Oscillator> for Path {
    fn from(closed: Oscillator) -> Self {
        let sine = Sine { amplitude: closed.wander, period: closed.period };
        let model = Model { offset: closed.line.rate, sine: Some(sine), ..Model::STEADY };
        Self::new(model, closed.line.raw0, closed.line.at0, 0)
    }
}

#[cfg(test)]
mod tests;
