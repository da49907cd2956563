//! What no linear follower can do better: the leader's rate walks at random, its phase has white noise, packets arrive
//! with noise of a known variance, and somebody who knows all that steers as well as can be.
//!
//! The state is the steered clock's phase against the leader, that of the last four Syncs (so that the mean rate over
//! 1 s is part of it), and the leader's rate. The Kalman filter of that state and the linear-quadratic regulator on
//! its estimate are together optimal (the separation principle), for each weight of phase against rate. The covariance
//! of the closed loop is computed, not simulated.
#![allow(clippy::indexing_slicing, reason = "matrices of fixed sizes, indexed by loops over these sizes")]

use crate::trace::{PER_SECOND, T};

/// Phases now and 1 to 4 Syncs ago.
pub const PHASES: usize = PER_SECOND + 1;
const STATES: usize = PHASES + 1;
const RATE: usize = PHASES;

type Matrix<const N: usize> = [[f64; N]; N];

/// The noise, as known to the one who steers.
#[derive(Debug, Clone, Copy)]
pub struct Noise {
    /// Standard deviation of one packet's delay, ns.
    pub packet_ns: f64,
    /// White frequency noise, ppb at 1 s.
    pub white_ppb: f64,
    /// Random walk of the rate, ppb per root second.
    pub walk_ppb: f64,
}

impl Noise {
    fn process(&self) -> Matrix<STATES> {
        let (white, walk) = (self.white_ppb * self.white_ppb, self.walk_ppb * self.walk_ppb);
        let mut q = [[0.0; STATES]; STATES];
        q[0][0] = white * T + walk * T.powi(3) / 3.0;
        q[0][RATE] = -walk * T * T / 2.0;
        q[RATE][0] = q[0][RATE];
        q[RATE][RATE] = walk * T;
        q
    }
}

/// One way to trade phase for rate: standard deviations of the steered clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Phase against the leader, ns.
    pub phase_ns: f64,
    /// Mean rate over 1 s against the leader's, ppb.
    pub rate_ppb: f64,
}

/// The filter in its steady state.
#[derive(Debug, Clone)]
pub struct Optimal {
    /// Covariance after a measurement was taken in.
    filtered: Matrix<STATES>,
    /// Gain.
    gain: [f64; STATES],
    /// Variance of the innovation.
    innovation: f64,
}

impl Optimal {
    /// Iterates the Riccati equation until it stands still.
    pub fn new(noise: &Noise) -> Self {
        let (a, q, r) = (dynamics(), noise.process(), noise.packet_ns * noise.packet_ns);
        let mut p = q;
        p[RATE][RATE] += 1e6;
        p[0][0] += r;
        loop {
            let innovation = p[0][0] + r;
            let gain: [f64; STATES] = std::array::from_fn(|i| p[i][0] / innovation);
            let filtered = from_fn(|i, j| p[i][j] - gain[i] * gain[j] * innovation);
            let next = add(&product(&product(&a, &filtered), &transposed(&a)), &q);
            let settled = (next[0][0] - p[0][0]).abs() < 1e-12 * p[0][0]
                && (next[RATE][RATE] - p[RATE][RATE]).abs() < 1e-12 * p[RATE][RATE];
            p = next;
            if settled {
                return Self { filtered, gain, innovation };
            }
        }
    }

    /// The Riccati figures: the estimate's own phase, and the rate over 1 s of a clock that simply runs at the
    /// estimated rate, renewed at each Sync.
    pub fn riccati(&self) -> Point {
        let phase_ns = self.filtered[0][0].sqrt();
        Point { phase_ns, ..self.with_phase_time(1e5) }
    }

    /// The estimate's rate at the instant of a Sync, standard deviation in ppb.
    pub fn rate_ppb(&self) -> f64 {
        self.filtered[RATE][RATE].sqrt()
    }

    /// The closed loop of a frequency of estimated rate minus `law` times the estimated phases.
    pub fn steered(&self, law: &[f64; PHASES]) -> Point {
        let a = dynamics();
        let mut m: Matrix<PHASES> = from_fn(|i, j| a[i][j] - if i == 0 { T * law[j] } else { 0.0 });
        let mut sum: Matrix<PHASES> = from_fn(|i, j| self.gain[i] * self.gain[j] * self.innovation);
        // Of the powers of m, as many as 2^40.
        for _ in 0..40 {
            sum = add(&sum, &product(&product(&m, &sum), &transposed(&m)));
            m = product(&m, &m);
        }
        let total: Matrix<PHASES> = from_fn(|i, j| sum[i][j] + self.filtered[i][j]);
        let last = PHASES - 1;
        let moved = total[0][0] - total[0][last] - total[last][0] + total[last][last];
        Point { phase_ns: total[0][0].sqrt(), rate_ppb: moved.max(0.0).sqrt() }
    }

    /// The law that brings the estimated phase to zero with a time constant.
    pub fn with_phase_time(&self, tau_s: f64) -> Point {
        let mut law = [0.0; PHASES];
        law[0] = 1.0 / tau_s;
        self.steered(&law)
    }

    /// The frontier: the best that can be had, from phase alone to rate alone.
    pub fn frontier(&self) -> Vec<Point> {
        (0..=60).map(|i| self.steered(&regulator(10_f64.powf(-2.0 + f64::from(i) / 8.0)))).collect()
    }

    /// Gain of the filter, for who wants to simulate it: phases, then rate.
    pub fn gain(&self) -> &[f64; STATES] {
        &self.gain
    }
}

/// How far off the frontier: both figures divided by it lie on it.
pub fn factor_to(frontier: &[Point], point: Point) -> f64 {
    let reach = |best: &Point| (point.phase_ns / best.phase_ns).min(point.rate_ppb / best.rate_ppb);
    let between = |a: f64, b: f64, share: f64| a.powf(1.0 - share) * b.powf(share);
    let mut largest = frontier.iter().map(reach).fold(0.0, f64::max);
    for pair in frontier.windows(2) {
        for share in (1..16).map(|i| f64::from(i) / 16.0) {
            let phase_ns = between(pair[0].phase_ns, pair[1].phase_ns, share);
            let rate_ppb = between(pair[0].rate_ppb, pair[1].rate_ppb, share);
            largest = f64::max(largest, reach(&Point { phase_ns, rate_ppb }));
        }
    }
    largest
}

/// The linear-quadratic regulator for var(phase) + `weight` var(rate over 1 s).
pub fn regulator(weight: f64) -> [f64; PHASES] {
    let a: Matrix<PHASES> = {
        let a = dynamics();
        from_fn(|i, j| a[i][j])
    };
    let mut cost = [[0.0; PHASES]; PHASES];
    let last = PHASES - 1;
    cost[0][0] = 1.0 + weight;
    cost[last][last] = weight;
    cost[0][last] = -weight;
    cost[last][0] = -weight;
    let mut x = cost;
    let mut law = [0.0; PHASES];
    for _ in 0..1_000_000 {
        let xa = product(&x, &a);
        let next_law: [f64; PHASES] = std::array::from_fn(|j| xa[0][j] / (T * x[0][0]));
        let ax = product(&transposed(&a), &xa);
        x = from_fn(|i, j| cost[i][j] + ax[i][j] - T * T * x[0][0] * next_law[i] * next_law[j]);
        let moved = next_law.iter().zip(&law).map(|(new, old)| (new - old).abs()).fold(0.0, f64::max);
        law = next_law;
        if moved < 1e-10 {
            break;
        }
    }
    law
}

/// What happens between two Syncs when nothing is done.
fn dynamics() -> Matrix<STATES> {
    let mut a = [[0.0; STATES]; STATES];
    a[0][0] = 1.0;
    a[0][RATE] = -T;
    for i in 1..PHASES {
        a[i][i - 1] = 1.0;
    }
    a[RATE][RATE] = 1.0;
    a
}

fn from_fn<const N: usize>(f: impl Fn(usize, usize) -> f64) -> Matrix<N> {
    std::array::from_fn(|i| std::array::from_fn(|j| f(i, j)))
}

fn product<const N: usize>(a: &Matrix<N>, b: &Matrix<N>) -> Matrix<N> {
    from_fn(|i, j| (0..N).map(|k| a[i][k] * b[k][j]).sum())
}

fn transposed<const N: usize>(a: &Matrix<N>) -> Matrix<N> {
    from_fn(|i, j| a[j][i])
}

fn add<const N: usize>(a: &Matrix<N>, b: &Matrix<N>) -> Matrix<N> {
    from_fn(|i, j| a[i][j] + b[i][j])
}

#[cfg(test)]
mod tests;
