//! The state of a clock, phase in ns and rate in ns/s (= ppb), and its covariance, both random walks. The estimator tracks Dante
//! time over CLOCK_MONOTONIC_RAW with it, and [`utc`](crate::utc) tracks UTC over Dante time.

use super::Measurement;
use super::means::Origin;
use crate::time::{Dante, Duration, Raw, Timestamp};

/// Frequency noise of a clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct FrequencyNoise {
    /// Random-walk frequency noise: the standard deviation of the change of rate over 1 s, ppb.
    pub walk_ppb: f64,
    /// White frequency noise: the standard deviation of the mean rate over 1 s, ppb.
    pub white_ppb: f64,
}

impl FrequencyNoise {
    /// Growth of the variance of the phase (ns^2), of their covariance, and of the variance of the rate (ppb^2) in `dt` s.
    pub fn growth(&self, dt: f64) -> (f64, f64, f64) {
        let (walk, white) = (self.walk_ppb * self.walk_ppb, self.white_ppb * self.white_ppb);
        (white * dt + walk * dt.powi(3) / 3.0, walk * dt * dt / 2.0, walk * dt)
    }
}

/// State of the filter at one instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PhaseRate {
    /// Phase, ns.
    pub phase: f64,
    /// Rate, ppb.
    pub rate: f64,
    /// Covariance matrix: phase-phase, phase-rate, rate-rate.
    pub p: (f64, f64, f64),
}

impl PhaseRate {
    /// Makes a state from `phase` and `rate`, each with its standard deviation, in ns and ppb.
    pub fn new(phase: (f64, f64), rate: (f64, f64)) -> Self {
        Self { phase: phase.0, rate: rate.0, p: (phase.1 * phase.1, 0.0, rate.1 * rate.1) }
    }

    /// Predicts the state `dt` s later; the covariance grows by the noise.
    pub fn predicted(&self, dt: f64, noise: FrequencyNoise) -> Self {
        let (p00, p01, p11) = self.p;
        let growth = noise.growth(dt);
        Self {
            phase: self.phase + self.rate * dt,
            rate: self.rate,
            p: (p00 + dt * (2.0 * p01 + dt * p11) + growth.0, p01 + dt * p11 + growth.1, p11 + growth.2),
        }
    }

    /// Expected standard deviation of the innovation of a measurement with noise `sigma`, ns.
    pub fn innovation_sigma(&self, sigma: f64) -> f64 {
        (self.p.0 + sigma * sigma).sqrt()
    }

    /// Updates the state with a measurement of noise `sigma` ns. `innovation` is the measured phase minus the state's phase, ns.
    pub fn updated(self, innovation: f64, sigma: f64) -> Self {
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

    /// Correlation of the errors of phase and rate.
    pub fn correlation(&self) -> f64 {
        let scale = self.phase_sigma() * self.rate_sigma();
        if scale > 0.0 { (self.p.1 / scale).clamp(-1.0, 1.0) } else { 0.0 }
    }
}

/// The leader's clock over CLOCK_MONOTONIC_RAW at one instant. Whole ns are kept as integers and the state's phase is the
/// remainder, because an f64 cannot hold the leader's time to the ns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kalman {
    raw: Timestamp<Raw>,
    dante: Timestamp<Dante>,
    /// The leader's time is `dante` plus the phase. The rate is the leader's rate relative to CLOCK_MONOTONIC_RAW.
    state: PhaseRate,
}

impl Kalman {
    pub(super) fn new(raw: Timestamp<Raw>, dante: Timestamp<Dante>, state: PhaseRate) -> Self {
        Self { raw, dante, state }
    }

    pub(super) fn is_finite(&self) -> bool {
        let PhaseRate { phase, rate, p } = self.state;
        [phase, rate, p.0, p.1, p.2].into_iter().all(f64::is_finite)
    }

    /// Predicts the state at `raw`; the covariance grows by the noise.
    pub(super) fn predicted(&self, raw: Timestamp<Raw>, noise: FrequencyNoise) -> Self {
        let elapsed = raw - self.raw;
        let mut state = self.state.predicted(elapsed.secs_f64(), noise);
        let whole = Duration::from_ns_f64(state.phase);
        state.phase -= whole.ns_f64();
        Self { raw, dante: self.dante + elapsed + whole, state }
    }

    /// Innovation of a measurement at the instant of the state, ns: the leader's time minus the state.
    pub(super) fn innovation_ns(&self, measurement: Measurement) -> f64 {
        (measurement.dante - self.dante).ns_f64() - self.state.phase
    }

    /// Distance of a measurement at any instant from the line through the state, ns: the leader's time minus the line.
    pub(super) fn distance_ns(&self, measurement: Measurement) -> f64 {
        let elapsed = measurement.raw - self.raw;
        let excess = (measurement.dante - self.dante) - elapsed;
        excess.ns_f64() - self.state.phase - self.state.rate * elapsed.secs_f64()
    }

    /// Returns the state as a point: seconds, and ns that the leader has gained since `origin`.
    pub(super) fn point(&self, origin: &Origin) -> (f64, f64) {
        let (at_s, gain_ns) = origin.point(Measurement { raw: self.raw, dante: self.dante });
        (at_s, gain_ns + self.state.phase)
    }

    /// Expected standard deviation of the innovation of a measurement with noise `sigma`, ns.
    pub(super) fn innovation_sigma_ns(&self, sigma: f64) -> f64 {
        self.state.innovation_sigma(sigma)
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
