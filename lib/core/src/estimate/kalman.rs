//! The Kalman filter of the leader's clock over the raw clock.

use super::{Measurement, RateGuess};
use crate::phase_rate::{FrequencyNoise, PhaseRate};
use crate::time::{Dante, Duration, Raw, Timestamp};

/// What a PC's crystal shows at rest; a Dante device's is better, and the sum of both is what is measured.
const NOISE: FrequencyNoise = FrequencyNoise { walk_ppb: RANDOM_WALK_PPB, white_ppb: 1.0 };
/// Random-walk frequency noise: the standard deviation of the change of rate over 1 s, ppb.
pub(super) const RANDOM_WALK_PPB: f64 = 1.0;

/// The state at one instant. Phase is kept as a remainder against whole ns, so that nothing is lost when the leader's
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
