//! A random oscillator: what a leader's clock does against this host's CLOCK_MONOTONIC_RAW, drawn from a seed.

use super::Oscillator;
use dante_core::time::{Dante, Duration, Ratio, Raw, Timestamp};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;
use std::collections::VecDeque;
use std::f64::consts::TAU;

/// A slow swing of the rate, as temperature makes: zero at the start, and rising.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sine {
    /// Largest excursion of the rate.
    pub amplitude: Ratio,
    /// Of a full swing.
    pub period: Duration,
}

/// What an oscillator does, relative to CLOCK_MONOTONIC_RAW.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// Its constant rate.
    pub offset: Ratio,
    /// White frequency noise: the standard deviation of the mean rate over one second.
    pub white: Ratio,
    /// Random walk of the frequency: the standard deviation of its change over one second. It grows with the root of
    /// time.
    pub walk: Ratio,
    /// Temperature.
    pub sine: Option<Sine>,
    /// So long after the start the rate changes by this much, once and for all.
    pub steps: Vec<(Duration, Ratio)>,
}

impl Model {
    /// Nothing but a constant rate, here zero.
    pub const STEADY: Self = Self::noisy(0.0);
    /// The crystal of a PC, undisturbed.
    pub const PC: Self = Self::noisy(1.0);
    /// A tenth of the PC's noise.
    pub const GOOD: Self = Self::noisy(0.1);

    /// White noise and random walk of this size both.
    const fn noisy(ppb: f64) -> Self {
        let noise = Ratio::from_ppb(ppb);
        Self { offset: Ratio::ZERO, white: noise, walk: noise, sine: None, steps: Vec::new() }
    }

    /// The same, at this constant rate.
    pub fn at_ppm(self, ppm: f64) -> Self {
        Self { offset: Ratio::from_ppm(ppm), ..self }
    }

    fn is_random(&self) -> bool {
        self.white != Ratio::ZERO || self.walk != Ratio::ZERO
    }
}

/// The random part within one cell of the grid. Its rate is constant there.
#[derive(Debug, Clone, Copy)]
struct Cell {
    /// At the cell's begin.
    phase_ns: f64,
    walk_ppb: f64,
    white_ppb: f64,
}

/// One such oscillator's path. What has a closed form (rate, sine, steps) is evaluated as such, only the noise is
/// integrated, on a grid of [`Path::GRID`]; the cells are drawn forward as they are asked for, and the same seed gives
/// the same path in whichever steps it is asked.
#[derive(Debug, Clone)]
pub struct Path {
    model: Model,
    raw0: Timestamp<Raw>,
    at0: Timestamp<Dante>,
    rng: Pcg64Mcg,
    cells: VecDeque<Cell>,
    /// How many cells were dropped at the front.
    dropped: usize,
}

impl Path {
    /// The noise's rate is constant for so long.
    pub const GRID: Duration = Duration::from_ns(62_500_000);
    /// How many cells are kept: 256 s. Before them, the oldest one's rate is carried back.
    const KEPT: usize = 4096;

    /// Starts at `raw0`, where it shows `at0`.
    pub fn new(model: Model, raw0: Timestamp<Raw>, at0: Timestamp<Dante>, seed: u64) -> Self {
        Self { model, raw0, at0, rng: Pcg64Mcg::seed_from_u64(seed), cells: VecDeque::new(), dropped: 0 }
    }

    /// The time that it shows at `raw`.
    pub fn at(&mut self, raw: Timestamp<Raw>) -> Timestamp<Dante> {
        self.at0 + (raw - self.raw0) + Duration::from_secs_f64(self.offset_ns(raw) / 1e9)
    }

    /// How much it has gained on CLOCK_MONOTONIC_RAW since its start, ns and fractions of it. A call of
    /// [`show`](Self::show) does not count.
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

    /// The true mean rate over the cell of the grid that `raw` lies in, white noise included.
    pub fn rate_at(&mut self, raw: Timestamp<Raw>) -> Ratio {
        let begin = self.raw0 + Self::GRID * self.index(raw);
        let gained = self.offset_ns(begin + Self::GRID - Duration::from_ns(1)) - self.offset_ns(begin);
        Ratio::new(gained / ((Self::GRID.ns() - 1) as f64))
    }

    /// The true rate without the white noise: what a follower could hope to know.
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

    /// From now on it shows `at` at `raw`, as if it had always done so: a leader was set, or the host slept.
    pub fn show(&mut self, raw: Timestamp<Raw>, at: Timestamp<Dante>) {
        self.at0 = self.at0 + (at - self.at(raw));
    }

    /// The cell's number, negative before the start.
    fn index(&self, raw: Timestamp<Raw>) -> i64 {
        (raw - self.raw0).ns().div_euclid(Self::GRID.ns())
    }

    /// The cell that `raw` lies in and the time of its begin; the oldest one known if it lies before that.
    fn cell(&mut self, raw: Timestamp<Raw>) -> (Cell, Timestamp<Raw>) {
        let index = usize::try_from(self.index(raw)).unwrap_or(0).max(self.dropped);
        while self.dropped + self.cells.len() <= index {
            self.draw();
        }
        // Never the default: the loop above has drawn up to the index, and what it dropped lies far behind.
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
