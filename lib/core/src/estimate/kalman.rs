//! The two-state Kalman filter of a clock: phase in ns, rate in ns/s (which is ppb).

use super::{Measurement, RateGuess};
use crate::time::{Dante, Duration, Raw, Timestamp};

/// Random-walk frequency noise: the standard deviation of the change of rate over 1 s, ppb. What a PC's crystal shows
/// at rest; a Dante device's is better, and the sum of both is what is measured.
pub(super) const RANDOM_WALK_PPB: f64 = 1.0;
/// White frequency noise: the standard deviation of the mean rate over 1 s, ppb.
const WHITE_PPB: f64 = 1.0;

/// The state at one instant. Phase is kept as a remainder against whole ns, so that nothing is lost when the leader's
/// time grows past what a float can hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kalman {
    raw: Timestamp<Raw>,
    dante: Timestamp<Dante>,
    /// The leader's time is `dante` plus this, ns.
    phase: f64,
    /// The leader's rate against the raw clock, ppb.
    rate: f64,
    /// Covariance: phase, phase with rate, rate.
    p: (f64, f64, f64),
}

impl Kalman {
    /// From one measurement with the noise `sigma` ns and a guess of the rate.
    pub(super) fn new(first: Measurement, guess: RateGuess, sigma: f64) -> Self {
        let rate_sigma = guess.sigma.ppb();
        Self {
            raw: first.raw,
            dante: first.dante,
            phase: 0.0,
            rate: guess.rate.ppb(),
            p: (sigma * sigma, 0.0, rate_sigma * rate_sigma),
        }
    }

    /// The state carried on to `raw`, with its covariance grown.
    pub(super) fn predicted(&self, raw: Timestamp<Raw>) -> Self {
        let elapsed = raw - self.raw;
        let dt = elapsed.secs_f64();
        let phase = self.phase + self.rate * dt;
        let whole = Duration::from_ns_f64(phase);
        let (q_walk, q_white) = (RANDOM_WALK_PPB * RANDOM_WALK_PPB, WHITE_PPB * WHITE_PPB);
        let (p00, p01, p11) = self.p;
        Self {
            raw,
            dante: self.dante + elapsed + whole,
            phase: phase - whole.ns_f64(),
            rate: self.rate,
            p: (
                p00 + dt * (2.0 * p01 + dt * p11) + q_white * dt + q_walk * dt.powi(3) / 3.0,
                p01 + dt * p11 + q_walk * dt * dt / 2.0,
                p11 + q_walk * dt,
            ),
        }
    }

    /// What a measurement at this very instant says beyond the state, ns: positive, the leader is further on.
    pub(super) fn innovation_ns(&self, measurement: Measurement) -> f64 {
        (measurement.dante - self.dante).ns_f64() - self.phase
    }

    /// How far a measurement of any instant lies from the line through the state, ns.
    pub(super) fn distance_ns(&self, measurement: Measurement) -> f64 {
        let elapsed = measurement.raw - self.raw;
        let excess = (measurement.dante - self.dante) - elapsed;
        excess.ns_f64() - self.phase - self.rate * elapsed.secs_f64()
    }

    /// The standard deviation that such an innovation should have, if the measurement's own is `sigma`.
    pub(super) fn innovation_sigma_ns(&self, sigma: f64) -> f64 {
        (self.p.0 + sigma * sigma).sqrt()
    }

    /// The state with a measurement of noise `sigma` taken in.
    pub(super) fn absorbed(self, innovation: f64, sigma: f64) -> Self {
        let (p00, p01, p11) = self.p;
        let s = p00 + sigma * sigma;
        let (gain_phase, gain_rate) = (p00 / s, p01 / s);
        Self {
            phase: self.phase + gain_phase * innovation,
            rate: self.rate + gain_rate * innovation,
            p: (p00 * (1.0 - gain_phase), p01 * (1.0 - gain_phase), p11 - gain_rate * p01),
            ..self
        }
    }

    pub(super) fn raw(&self) -> Timestamp<Raw> {
        self.raw
    }

    pub(super) fn dante(&self) -> Timestamp<Dante> {
        self.dante + Duration::from_ns_f64(self.phase)
    }

    pub(super) fn rate_ppb(&self) -> f64 {
        self.rate
    }

    pub(super) fn phase_sigma_ns(&self) -> f64 {
        self.p.0.max(0.0).sqrt()
    }

    pub(super) fn rate_sigma_ppb(&self) -> f64 {
        self.p.2.max(0.0).sqrt()
    }

    pub(super) fn correlation(&self) -> f64 {
        let scale = self.phase_sigma_ns() * self.rate_sigma_ppb();
        if scale > 0.0 { (self.p.1 / scale).clamp(-1.0, 1.0) } else { 0.0 }
    }
}
