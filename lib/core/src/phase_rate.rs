//! The two-state Kalman filter that every clock here is followed by: a phase in ns and a rate in ns/s (which is ppb),
//! both of them random walks.

/// How a clock wanders.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FrequencyNoise {
    /// Random-walk frequency noise: the standard deviation of the change of rate over 1 s, ppb.
    pub walk_ppb: f64,
    /// White frequency noise: the standard deviation of the mean rate over 1 s, ppb.
    pub white_ppb: f64,
}

/// The state at one instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PhaseRate {
    /// ns
    pub phase: f64,
    /// ppb
    pub rate: f64,
    /// Covariance: phase, phase with rate, rate.
    pub p: (f64, f64, f64),
}

impl PhaseRate {
    /// A state that is known to these standard deviations, ns and ppb.
    pub fn new(phase: (f64, f64), rate: (f64, f64)) -> Self {
        Self { phase: phase.0, rate: rate.0, p: (phase.1 * phase.1, 0.0, rate.1 * rate.1) }
    }

    /// The state `dt` s later, with its covariance grown.
    pub fn predicted(&self, dt: f64, noise: FrequencyNoise) -> Self {
        let (q_walk, q_white) = (noise.walk_ppb * noise.walk_ppb, noise.white_ppb * noise.white_ppb);
        let (p00, p01, p11) = self.p;
        Self {
            phase: self.phase + self.rate * dt,
            rate: self.rate,
            p: (
                p00 + dt * (2.0 * p01 + dt * p11) + q_white * dt + q_walk * dt.powi(3) / 3.0,
                p01 + dt * p11 + q_walk * dt * dt / 2.0,
                p11 + q_walk * dt,
            ),
        }
    }

    /// The standard deviation that an innovation should have, if the measurement's own is `sigma`, ns.
    pub fn innovation_sigma(&self, sigma: f64) -> f64 {
        (self.p.0 + sigma * sigma).sqrt()
    }

    /// The state with a measurement of noise `sigma` taken in, which said `innovation` ns more than the state.
    pub fn absorbed(self, innovation: f64, sigma: f64) -> Self {
        let (p00, p01, p11) = self.p;
        let s = p00 + sigma * sigma;
        let (gain_phase, gain_rate) = (p00 / s, p01 / s);
        Self {
            phase: self.phase + gain_phase * innovation,
            rate: self.rate + gain_rate * innovation,
            p: (p00 * (1.0 - gain_phase), p01 * (1.0 - gain_phase), p11 - gain_rate * p01),
        }
    }

    /// One standard deviation of the phase, ns.
    pub fn phase_sigma(&self) -> f64 {
        self.p.0.max(0.0).sqrt()
    }

    /// One standard deviation of the rate, ppb.
    pub fn rate_sigma(&self) -> f64 {
        self.p.2.max(0.0).sqrt()
    }

    /// Of the errors of phase and rate.
    pub fn correlation(&self) -> f64 {
        let scale = self.phase_sigma() * self.rate_sigma();
        if scale > 0.0 { (self.p.1 / scale).clamp(-1.0, 1.0) } else { 0.0 }
    }
}
