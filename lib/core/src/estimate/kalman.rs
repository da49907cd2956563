//! The two-state Kalman filter of a clock: a phase in ns and a rate in ns/s (which is ppb), both of them random walks. By it
//! the leader's clock is followed over the raw clock, and UTC against the leader ([`date`](crate::utc)).

use super::{Measurement, RateGuess};
use crate::time::{Dante, Duration, Raw, Timestamp};

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

/// What a PC's crystal shows at rest; a Dante device's is better, and the sum of both is what is measured.
const NOISE: FrequencyNoise = FrequencyNoise { walk_ppb: RANDOM_WALK_PPB, white_ppb: 1.0 };
/// Random-walk frequency noise: the standard deviation of the change of rate over 1 s, ppb.
pub(super) const RANDOM_WALK_PPB: f64 = 1.0;

/// The leader's clock over the raw clock at one instant. Phase is kept as a remainder against whole ns, so that nothing is lost when the leader's
/// time grows past what a float can hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kalman {
    raw: Timestamp<Raw>,
    dante: Timestamp<Dante>,
    /// The leader's time is `dante` plus its phase; its rate is the leader's against the raw clock.
    state: PhaseRate,
}

impl Kalman {
    /// From one measurement with the noise `sigma` ns and a guess of the rate.
    pub(super) fn new(first: Measurement, guess: RateGuess, sigma: f64) -> Self {
        let state = PhaseRate::new((0.0, sigma), (guess.rate.ppb(), guess.sigma.ppb()));
        Self { raw: first.raw, dante: first.dante, state }
    }

    /// The state carried on to `raw`, with its covariance grown.
    pub(super) fn predicted(&self, raw: Timestamp<Raw>) -> Self {
        let elapsed = raw - self.raw;
        let mut state = self.state.predicted(elapsed.secs_f64(), NOISE);
        let whole = Duration::from_ns_f64(state.phase);
        state.phase -= whole.ns_f64();
        Self { raw, dante: self.dante + elapsed + whole, state }
    }

    /// What a measurement at this very instant says beyond the state, ns: positive, the leader is further on.
    pub(super) fn innovation_ns(&self, measurement: Measurement) -> f64 {
        (measurement.dante - self.dante).ns_f64() - self.state.phase
    }

    /// How far a measurement of any instant lies from the line through the state, ns.
    pub(super) fn distance_ns(&self, measurement: Measurement) -> f64 {
        let elapsed = measurement.raw - self.raw;
        let excess = (measurement.dante - self.dante) - elapsed;
        excess.ns_f64() - self.state.phase - self.state.rate * elapsed.secs_f64()
    }

    /// The standard deviation that such an innovation should have, if the measurement's own is `sigma`.
    pub(super) fn innovation_sigma_ns(&self, sigma: f64) -> f64 {
        self.state.innovation_sigma(sigma)
    }

    /// The state with a measurement of noise `sigma` taken in.
    pub(super) fn absorbed(self, innovation: f64, sigma: f64) -> Self {
        Self { state: self.state.absorbed(innovation, sigma), ..self }
    }

    pub(super) fn raw(&self) -> Timestamp<Raw> {
        self.raw
    }

    pub(super) fn dante(&self) -> Timestamp<Dante> {
        self.dante + Duration::from_ns_f64(self.state.phase)
    }

    pub(super) fn rate_ppb(&self) -> f64 {
        self.state.rate
    }

    pub(super) fn phase_sigma_ns(&self) -> f64 {
        self.state.phase_sigma()
    }

    pub(super) fn rate_sigma_ppb(&self) -> f64 {
        self.state.rate_sigma()
    }

    pub(super) fn correlation(&self) -> f64 {
        self.state.correlation()
    }
}
