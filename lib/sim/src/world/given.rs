//! A substitute for dante4l without packets, so that weeks can be simulated in seconds: its clock map is the leader's true time
//! with an error that changes slowly.

use super::{Led, SimClock, True};
use dante_core::page::{CLOCK_HAS_MAP, Dante4l};
use dante_core::port::State;
use dante_core::time::{Affine, ClockMap, Correlation, Duration, Ratio, Uncertainty, Wander};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

/// Time constant of the error, s.
const ERROR_TIME_CONSTANT_S: f64 = 60.0;

/// The substitute. Offset and rate error are Gauss-Markov processes with the standard deviations `sigma`.
#[derive(Debug)]
pub(super) struct Given {
    sigma: Uncertainty,
    offset_ns: f64,
    rate_ppb: f64,
    /// The followed leader's number and the number of jumps of its time.
    followed: Option<(usize, u64)>,
    page: Box<Dante4l>,
}

impl Given {
    pub(super) fn new(sigma: Uncertainty) -> Self {
        let page = Box::default();
        Self { sigma, offset_ns: 0.0, rate_ppb: 0.0, followed: None, page }
    }

    /// Returns its clock page.
    pub(super) fn page(&self) -> &Dante4l {
        &self.page
    }

    /// Restarts it: its timelines count from 1 again.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.sigma);
    }

    /// Updates the page, once a second. `leader` is the leader on the network, with its number.
    pub(super) fn observe(
        &mut self,
        now: True,
        rng: &mut (impl Rng + ?Sized),
        clock: &SimClock,
        leader: Option<(usize, &mut Led)>,
    ) {
        let keep = (-1.0 / ERROR_TIME_CONSTANT_S).exp();
        let fresh = (1.0 - keep * keep).sqrt();
        let mut next = |now: f64, sigma: f64| {
            let normal: f64 = StandardNormal.sample(rng);
            now * keep + sigma * fresh * normal
        };
        self.offset_ns = next(self.offset_ns, self.sigma.offset.secs_f64() * 1e9);
        self.rate_ppb = next(self.rate_ppb, self.sigma.rate.ppb());
        let page = &mut self.page;
        page.set_state(if leader.is_some() { State::Slave } else { State::Listening });
        if let Some((number, led)) = leader {
            let followed = Some((number, led.jumps));
            if std::mem::replace(&mut self.followed, followed) != followed {
                page.timeline += 1;
            }
            let (raw, path) = (clock.raw_rate().fraction(), led.leader.oscillator());
            let rate = (path.slow_rate_at(now).fraction() - raw) / (1.0 + raw) + self.rate_ppb * 1e-9;
            let at0 = path.at(now) + Duration::from_secs_f64(self.offset_ns * 1e-9);
            let line = Affine { raw0: clock.raw_at(now), at0, rate: Ratio::new(rate) };
            let (correlation, wander) = (Correlation::ZERO, Wander::ZERO);
            page.map = ClockMap { line, sigma: self.sigma, correlation, wander }.into();
            page.flags |= CLOCK_HAS_MAP;
        }
    }
}
