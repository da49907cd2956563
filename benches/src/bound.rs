//! The theoretical bound of linear followers: the optimal filter and controller for a leader whose rate is a random walk with
//! white frequency noise, and for packets whose delay has a known variance.
//!
//! The state is the steered clock's phase error now and at the last four Syncs (so that it contains the mean rate over 1 s), and
//! the leader's rate. The Kalman filter of that state and the linear-quadratic regulator on its estimate are together optimal (the
//! separation principle), for each weight of rate against phase. The covariance of the closed loop is computed, not simulated.
#![allow(clippy::indexing_slicing, reason = "matrices of fixed sizes, indexed by loops over these sizes")]

use crate::trace::{PER_SECOND, T};

/// Number of phases of the state: now and 1 to 4 Syncs ago.
pub const PHASES: usize = PER_SECOND + 1;
const STATES: usize = PHASES + 1;
const RATE: usize = PHASES;

type Matrix<const N: usize> = [[f64; N]; N];

/// The noise, which the optimal follower knows.
#[derive(Debug, Clone, Copy)]
pub struct Noise {
    /// Standard deviation of a packet's delay, ns.
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

/// Standard deviations of a steered clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Phase error, ns.
    pub phase_ns: f64,
    /// Error of the mean rate over 1 s, ppb.
    pub rate_ppb: f64,
}

/// The optimal filter in its steady state.
#[derive(Debug, Clone)]
pub struct Optimal {
    /// Covariance after a measurement.
    filtered: Matrix<STATES>,
    /// Kalman gain.
    gain: [f64; STATES],
    /// Variance of the innovation.
    innovation: f64,
}

impl Optimal {
    /// Iterates the Riccati equation until it converges.
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

    /// Returns the Riccati bound: the phase error of the estimate, and the rate error over 1 s of a clock that is set to the
    /// estimated rate at each Sync.
    pub fn riccati(&self) -> Point {
        let phase_ns = self.filtered[0][0].sqrt();
        Point { phase_ns, ..self.with_phase_time(1e5) }
    }

    /// Returns the standard deviation of the estimated rate at a Sync, ppb.
    pub fn rate_ppb(&self) -> f64 {
        self.filtered[RATE][RATE].sqrt()
    }

    /// Returns the figures of the closed loop: frequency = estimated rate minus `law` times the estimated phases.
    pub fn steered(&self, law: &[f64; PHASES]) -> Point {
        let a = dynamics();
        let mut m: Matrix<PHASES> = from_fn(|i, j| a[i][j] - if i == 0 { T * law[j] } else { 0.0 });
        let mut sum: Matrix<PHASES> = from_fn(|i, j| self.gain[i] * self.gain[j] * self.innovation);
        // Sums the first 2^40 powers of m.
        for _ in 0..40 {
            sum = add(&sum, &product(&product(&m, &sum), &transposed(&m)));
            m = product(&m, &m);
        }
        let total: Matrix<PHASES> = from_fn(|i, j| sum[i][j] + self.filtered[i][j]);
        let last = PHASES - 1;
        let moved = total[0][0] - total[0][last] - total[last][0] + total[last][last];
        Point { phase_ns: total[0][0].sqrt(), rate_ppb: moved.max(0.0).sqrt() }
    }

    /// Returns the figures of the law that corrects the estimated phase with time constant `tau_s`.
    pub fn with_phase_time(&self, tau_s: f64) -> Point {
        let mut law = [0.0; PHASES];
        law[0] = 1.0 / tau_s;
        self.steered(&law)
    }

    /// Returns the frontier: the figures of optimal controllers, from the best phase to the best rate.
    pub fn frontier(&self) -> Vec<Point> {
        (0..=60).map(|i| self.steered(&regulator(10_f64.powf(-2.0 + f64::from(i) / 8.0)))).collect()
    }

    /// Returns the Kalman gain for a simulation: phases, then rate.
    pub fn gain(&self) -> &[f64; STATES] {
        &self.gain
    }
}

/// Returns the factor to the frontier: `point` divided by it lies on the frontier.
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

/// Returns the linear-quadratic regulator that minimises var(phase) + `weight` * var(rate over 1 s).
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

/// Returns the transition matrix between two Syncs, without corrections.
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
