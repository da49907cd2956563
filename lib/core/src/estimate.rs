//! The estimator: computes the clock map (Dante time over CLOCK_MONOTONIC_RAW) and its uncertainty from noisy measurements.
//!
//! CLOCK_MONOTONIC_RAW is free-running and no program steers it, so the estimator is no control loop: noise alone decides how
//! long it averages. The filter is the two-state Kalman filter of a clock (phase, rate) under white and random-walk frequency
//! noise (Zucca and Tavella, IEEE Trans. UFFC 52, 2005). The measurement noise is estimated from the measurements. During the
//! acquisition, the first [`ACQUISITION`] measurements, the filter runs over all of them again at each new one, with the current
//! noise estimate.

mod break_test;
pub(crate) mod kalman;
mod noise;
mod outliers;

use crate::time::{
    Affine, ClockMap, Correlation, Dante, Duration, Ratio, Raw, Timestamp, Uncertainty, Wander,
};
use arrayvec::ArrayVec;
use break_test::{Line, RecentMeasurements};
use kalman::Kalman;
use noise::Noise;
use outliers::{FitOutliers, MIN_FIT, Outcome, REFIT_RUN, RejectedRun};

/// One Sync: its departure by the leader's clock and its arrival by CLOCK_MONOTONIC_RAW.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement {
    /// Arrival at this host.
    pub raw: Timestamp<Raw>,
    /// Departure from the leader, by the leader's clock.
    pub dante: Timestamp<Dante>,
}

/// How the estimator classified a measurement. `residual` is local minus leader: the clock map's time at the arrival minus the
/// leader's timestamp. It is positive for a packet that was delayed in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classification {
    /// The clock map includes the measurement.
    Accepted {
        /// Relative to the map before the update; zero for the first measurement.
        residual: Duration,
    },
    /// Rejected as an outlier. The map may have been fitted again (during the acquisition, or after a lasting shift of the path).
    Outlier {
        /// Relative to the map.
        residual: Duration,
    },
    /// Ignored, because it arrived no later than the last accepted measurement; the map is unchanged.
    Late,
    /// The leader's time is not continuous: several measurements in a row agree with one another but not with the map, or a long
    /// run does not fit it. The map restarts from the measurements that agree, or from this one, with the previous rate as a
    /// guess.
    Jumped {
        /// Relative to the discarded map.
        residual: Duration,
    },
}

/// Initial rate of the filter, from an earlier measurement of this or of another leader.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateGuess {
    /// The leader's rate relative to CLOCK_MONOTONIC_RAW.
    pub rate: Ratio,
    /// One standard deviation.
    pub sigma: Ratio,
}

impl RateGuess {
    /// No earlier measurement. A PC's oscillator is within +-200 ppm, with exceptions; 500 ppm includes the leader and a margin.
    pub const UNKNOWN: Self = Self { rate: Ratio::ZERO, sigma: Ratio::from_ppm(500.0) };

    /// Guess from the rate of another leader: the rates of two Dante leaders differ by up to about 25 ppm.
    pub const fn another_leader(rate: Ratio) -> Self {
        Self { rate, sigma: Ratio::from_ppm(25.0) }
    }

    /// Guess from an earlier rate of the same leader: both crystals drift by some ppm with temperature and age. A smaller sigma
    /// would let the steerer, which locks at 2 ppm, lock on the stored rate before measurements confirm it.
    pub const fn same_leader(rate: Ratio) -> Self {
        Self { rate, sigma: Ratio::from_ppm(5.0) }
    }
}

/// Number of measurements of the acquisition: 8 s at 4 Hz. By then the noise is known to 10 %, and the random walk of the rate is
/// still negligible.
pub const ACQUISITION: usize = 32;

/// Slope of rejected measurements against the map, in standard deviations, from which on the new fit starts with the wide
/// uncertainty of the rate as for another leader.
const RATE_CHANGE_SIGMAS: f64 = 3.0;
/// Factor on the measurement noise of a fit that starts at a break, because the instant of the break is not known exactly. Chosen
/// by the share of errors within two sigma after a rate step of 1 ppm.
const BREAK_NOISE_FACTOR: f64 = 1.5;
/// Innovation, in standard deviations, beyond which a measurement of a fit gets less weight (Huber).
const HUBER_SIGMAS: f64 = 3.0;

/// Innovation, in standard deviations, beyond which the outlier test rejects a measurement. Delays in queues have long tails, and
/// a wrongly rejected measurement costs less than a wrongly accepted one.
const OUTLIER_SIGMAS: f64 = 6.0;

/// Smallest residual of a jump of the leader's time: Dante devices mute at 1 ms, and queues of a local network delay packets by
/// less.
const MIN_JUMP: Duration = Duration::from_ms(1);

/// The estimator of one leader's clock map.
#[derive(Debug)]
pub struct Estimator {
    guess: RateGuess,
    acquisition: ArrayVec<Measurement, ACQUISITION>,
    filter: Option<Kalman>,
    noise: Noise,
    /// Measurements rejected in a row.
    rejected: RejectedRun,
    /// The last measurements accepted after the acquisition.
    recent: RecentMeasurements,
}

impl Estimator {
    /// Makes an estimator without measurements.
    pub fn new(guess: RateGuess) -> Self {
        Self {
            guess,
            acquisition: ArrayVec::new(),
            filter: None,
            noise: Noise::default(),
            rejected: RejectedRun::default(),
            recent: RecentMeasurements::default(),
        }
    }

    /// Discards the map, for the Syncs of another leader. The initial rate is `known`, if there is one for that leader, else the
    /// rate of the discarded map. The estimate of the network's noise is kept.
    pub fn restart(&mut self, known: Option<RateGuess>) {
        self.restart_from(known, RateGuess::another_leader);
    }

    fn restart_from(&mut self, known: Option<RateGuess>, guess: impl Fn(Ratio) -> RateGuess) {
        let rate = self.filter.take().map(|filter| Ratio::from_ppb(filter.rate_ppb()));
        // A rate from a few measurements, or beyond any oscillator, does not replace the last guess.
        let rate =
            rate.filter(|rate| self.acquisition.len() >= MIN_FIT && rate.abs() < RateGuess::UNKNOWN.sigma);
        self.guess = known.or(rate.map(guess)).unwrap_or(self.guess);
        self.acquisition.clear();
        self.noise.interrupt();
        self.rejected.clear();
        self.recent.clear();
    }

    /// Processes a measurement.
    pub fn update(&mut self, measurement: Measurement) -> Classification {
        let Some(filter) = &self.filter else {
            self.begin(measurement);
            return Classification::Accepted { residual: Duration::ZERO };
        };
        if measurement.raw <= filter.raw() {
            return Classification::Late;
        }
        let predicted = filter.predicted(measurement.raw);
        let innovation = predicted.innovation_ns(measurement);
        let residual = Duration::from_ns_f64(-innovation);
        if residual.abs() < MIN_JUMP {
            // Rejected measurements count too: otherwise a noise estimate that is too small would reject every measurement that
            // could raise it.
            let sigma = self.noise.sigma_ns();
            let expected = predicted.innovation_sigma_ns(sigma);
            let from_the_map =
                (expected < sigma * std::f64::consts::SQRT_2).then_some(innovation * sigma / expected);
            self.noise.observe(measurement, from_the_map);
        }
        let acquiring = !self.acquisition.is_full();
        // During the acquisition the map may be wrong, so only a residual of the size of a jump rejects a measurement before the
        // fit.
        let gate = if acquiring {
            MIN_JUMP.ns_f64()
        } else {
            OUTLIER_SIGMAS * predicted.innovation_sigma_ns(self.noise.sigma_ns())
        };
        if innovation.abs() > gate {
            return self.reject(measurement, residual);
        }
        self.rejected.clear();
        if !acquiring {
            self.accept(measurement, predicted.updated(innovation, self.noise.sigma_ns()));
        } else if !self.acquire(measurement) {
            return Classification::Outlier { residual };
        }
        Classification::Accepted { residual }
    }

    /// Adopts the updated `filter`, or restarts it at a break of the leader's rate or phase.
    fn accept(&mut self, measurement: Measurement, filter: Kalman) {
        let sigma = self.noise.sigma_ns();
        self.recent.push(measurement);
        let Some(found) = self.recent.find_break(&filter, sigma) else {
            self.filter = Some(filter);
            return;
        };
        let uncertainty = filter.rate_sigma_ppb() + found.rate_ppb.abs();
        let guess =
            RateGuess { rate: Ratio::from_ppb(filter.rate_ppb()), sigma: Ratio::from_ppb(uncertainty) };
        self.filter = fitted(self.recent.since(found).iter(), guess, BREAK_NOISE_FACTOR * sigma);
    }

    /// Adds a measurement to the acquisition and fits again. Returns `false` if the measurement is a fit outlier.
    fn acquire(&mut self, measurement: Measurement) -> bool {
        self.acquisition.push(measurement);
        self.replay();
        self.filter.is_some_and(|filter| filter.raw() == measurement.raw)
    }

    fn begin(&mut self, first: Measurement) {
        self.acquisition.clear();
        self.acquisition.push(first);
        self.noise.observe(first, None);
        self.replay();
    }

    fn reject(&mut self, measurement: Measurement, residual: Duration) -> Classification {
        let Some(filter) = &self.filter else { return Classification::Outlier { residual } };
        match self.rejected.test(measurement, filter, self.noise.sigma_ns()) {
            Outcome::Undecided => {}
            Outcome::Jump(count) => {
                let agreeing: ArrayVec<Measurement, ACQUISITION> =
                    self.rejected.last(count).iter().copied().take(ACQUISITION).collect();
                // During the acquisition the rate is no better a guess than that of another leader.
                let settled = self.acquisition.is_full();
                let guess = if settled { RateGuess::same_leader } else { RateGuess::another_leader };
                self.restart_from(None, guess);
                for one in &agreeing {
                    self.noise.observe(*one, None);
                }
                self.acquisition = agreeing;
                self.replay();
                return Classification::Jumped { residual };
            }
            Outcome::Shift => self.refit(),
        }
        Classification::Outlier { residual }
    }

    /// Fits the filter to the last [`REFIT_RUN`] rejected measurements. If all are off by the same amount, as after a change of
    /// the path or of a queue in a switch, the rate is kept and only the phase is estimated again; otherwise both are.
    fn refit(&mut self) {
        let Some(filter) = &self.filter else { return };
        let (sigma, rate, rate_sigma) = (self.noise.sigma_ns(), filter.rate_ppb(), filter.rate_sigma_ppb());
        let rejected = self.rejected.last(REFIT_RUN);
        let (Some(first), Some(last)) = (rejected.first(), rejected.last()) else { return };
        let point = |one: &Measurement| ((one.raw - first.raw).secs_f64(), filter.distance_ns(*one));
        let known = Line::through(rejected.iter().map(point)).is_some_and(|line| {
            #[expect(clippy::cast_precision_loss, reason = "a small constant")]
            let uncertainty = sigma * (12.0 / REFIT_RUN as f64).sqrt() / (last.raw - first.raw).secs_f64();
            line.slope.abs() < RATE_CHANGE_SIGMAS * (uncertainty + rate_sigma)
        });
        let guess = if known {
            RateGuess { rate: Ratio::from_ppb(rate), sigma: Ratio::from_ppb(rate_sigma) }
        } else {
            RateGuess::another_leader(Ratio::from_ppb(rate))
        };
        self.filter = fitted(rejected.iter(), guess, sigma);
        self.rejected.clear();
        self.recent.clear();
    }

    /// Runs the filter over the measurements of the acquisition without fit outliers, with the current noise estimate. A late
    /// packet among the first ones would otherwise distort the rate for seconds.
    fn replay(&mut self) {
        let sigma = self.noise.sigma_ns();
        let outliers = FitOutliers::among(&self.acquisition);
        let inliers = self
            .acquisition
            .iter()
            .filter(|one| !outliers.as_ref().is_some_and(|outliers| outliers.contains(one)));
        // The initial rate may be wrong: another clock source of the kernel, or another device with the same identity.
        let contradicted =
            outliers.as_ref().is_some_and(|it| it.contradicts(&self.guess, &self.acquisition, sigma));
        self.filter = fitted(inliers, if contradicted { RateGuess::UNKNOWN } else { self.guess }, sigma);
    }

    /// Number of measurements of the acquisition so far, up to [`ACQUISITION`].
    pub fn depth(&self) -> usize {
        self.acquisition.len()
    }

    /// Estimated noise of a measurement, one standard deviation.
    pub fn noise(&self) -> Duration {
        Duration::from_ns_f64(self.noise.sigma_ns())
    }

    /// Returns the clock map as of the last accepted measurement.
    pub fn map(&self) -> Option<ClockMap> {
        let filter = self.filter.as_ref()?;
        Some(ClockMap {
            line: Affine {
                raw0: filter.raw(),
                at0: filter.dante(),
                rate: Ratio::from_ppb(filter.rate_ppb()),
            },
            sigma: Uncertainty {
                offset: Duration::from_ns_f64(filter.phase_sigma_ns()),
                rate: Ratio::from_ppb(filter.rate_sigma_ppb()),
            },
            correlation: Correlation::new(filter.correlation()),
            wander: Wander::from_ppb(kalman::RANDOM_WALK_PPB),
        })
    }
}

/// Runs a new filter over `measurements`, whose noise is `sigma` ns.
fn fitted<'a>(
    mut measurements: impl Iterator<Item = &'a Measurement>,
    guess: RateGuess,
    sigma: f64,
) -> Option<Kalman> {
    let first = Kalman::new(*measurements.next()?, guess, sigma);
    Some(measurements.fold(first, |filter, &next| {
        let predicted = filter.predicted(next.raw);
        let innovation = predicted.innovation_ns(next);
        // A large innovation gets less weight (Huber): outliers cannot be found among a few measurements.
        let excess = innovation.abs() / predicted.innovation_sigma_ns(sigma) / HUBER_SIGMAS;
        predicted.updated(innovation, sigma * excess.max(1.0))
    }))
}

#[cfg(test)]
mod tests;
