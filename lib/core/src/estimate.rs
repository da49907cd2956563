//! From noisy pairs (raw time, leader's time) to one map from the one to the other, with its uncertainty.
//!
//! The oscillator under CLOCK_MONOTONIC_RAW is free-running and nobody's correction disturbs it, so the filter may be
//! as long as its noise allows; no loop's stability limits it. It is the two-state Kalman filter of a clock (phase,
//! rate) under white and random-walk frequency noise (Zucca and Tavella, IEEE Trans. UFFC 52, 2005), with the
//! measurement noise found from the measurements themselves. While fewer than [`ACQUISITION`] measurements are in, it
//! is run over all of them again at each one, with the noise as it is known by then.

mod break_test;
pub(crate) mod kalman;
mod noise;
mod outliers;

use crate::time::{
    Affine, ClockMap, Correlation, Dante, Duration, Ratio, Raw, Timestamp, Uncertainty, Wander,
};
use arrayvec::ArrayVec;
use break_test::{Line, Recent};
use kalman::Kalman;
use noise::Noise;
use outliers::{DISCERNING, DISTRUST, Doubted, Finding, OddOnes};

/// The leader's time `dante` arrived at the raw time `raw`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement {
    /// When the Sync arrived here.
    pub raw: Timestamp<Raw>,
    /// When it left the leader, by the leader's clock.
    pub dante: Timestamp<Dante>,
}

/// What became of a measurement. `residual` is local minus leader: the map's time at the arrival minus the time that
/// the leader stated, so a packet that was held up in a queue shows a positive one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Classification {
    /// It improved the map.
    Accepted {
        /// Against the map as it was before.
        residual: Duration,
    },
    /// Too far off to be believed. It changed nothing.
    Outlier {
        /// Against the map.
        residual: Duration,
    },
    /// It did not arrive later than the one before. It changed nothing.
    Late,
    /// Several in a row agree with one another but not with the map: the leader's time is not continuous. The map
    /// starts anew at this measurement, with the rate known so far as a guess.
    Jumped {
        /// Against the map that was given up.
        residual: Duration,
    },
}

/// A rate known from before, such as that of the leader before this one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateGuess {
    /// The leader's rate relative to CLOCK_MONOTONIC_RAW.
    pub rate: Ratio,
    /// One standard deviation.
    pub sigma: Ratio,
}

impl RateGuess {
    /// Nothing is known: a PC's oscillator is good to +-200 ppm, and some are worse.
    pub const UNKNOWN: Self = Self { rate: Ratio::ZERO, sigma: Ratio::from_ppm(500.0) };
    /// Two Dante leaders differ by up to some 25 ppm.
    pub const fn another_leader(rate: Ratio) -> Self {
        Self { rate, sigma: Ratio::from_ppm(25.0) }
    }

    /// A leader that was followed before: two crystals move by some ppm with the temperature and the years. No less, or the
    /// steerer, which locks at 2 ppm, would believe what is remembered before anything measured speaks for it.
    pub const fn same_leader(rate: Ratio) -> Self {
        Self { rate, sigma: Ratio::from_ppm(5.0) }
    }
}

/// How many measurements the filter is run over again at each new one: 8 s at 4 Hz, by when the noise is known to a
/// tenth and the random walk has not begun to matter.
pub const ACQUISITION: usize = 32;

/// A change of rate of so many standard deviations is one.
const SIGNIFICANT: f64 = 3.0;
/// Where exactly a rate broke is not known, and the fit from there on is by so much less certain than its noise says
/// (found by how often the truth lay within two sigma after a step of 1 ppm).
const BREAK_CAUTION: f64 = 1.5;
/// Beyond so many standard deviations a measurement weighs as little as it would at a noise that explains it.
const SURPRISING: f64 = 3.0;

/// Beyond this many standard deviations a measurement is not believed. Queues make long tails, and a wrong rejection
/// costs less than a wrong belief.
const GATE: f64 = 6.0;

/// A residual beyond this is no queue on a local network. Dante devices mute at 1 ms themselves.
const JUMP: Duration = Duration::from_ms(1);

/// The estimator: one leader's map at a time.
#[derive(Debug)]
pub struct Estimator {
    guess: RateGuess,
    acquisition: ArrayVec<Measurement, ACQUISITION>,
    filter: Option<Kalman>,
    noise: Noise,
    /// Those rejected in a row.
    doubted: Doubted,
    /// Those believed since the acquisition.
    recent: Recent,
}

impl Estimator {
    /// An estimator that knows nothing but perhaps a rate.
    pub fn new(guess: RateGuess) -> Self {
        Self {
            guess,
            acquisition: ArrayVec::new(),
            filter: None,
            noise: Noise::default(),
            doubted: Doubted::default(),
            recent: Recent::default(),
        }
    }

    /// Forgets the map, for the Syncs of another leader. The rate it had serves as a first guess, unless one is `known`
    /// for that leader; what is known of the network's noise stays.
    pub fn restart(&mut self, known: Option<RateGuess>) {
        self.restart_from(known, RateGuess::another_leader);
    }

    fn restart_from(&mut self, known: Option<RateGuess>, guess: impl Fn(Ratio) -> RateGuess) {
        let rate = self.filter.take().map(|filter| Ratio::from_ppb(filter.rate_ppb()));
        // A rate that rests on a few measurements, or that no oscillator has, is no better guess than the last one.
        let rate =
            rate.filter(|rate| self.acquisition.len() >= DISCERNING && rate.abs() < RateGuess::UNKNOWN.sigma);
        self.guess = known.or(rate.map(guess)).unwrap_or(self.guess);
        self.acquisition.clear();
        self.noise.interrupt();
        self.doubted.clear();
        self.recent.clear();
    }

    /// Takes a measurement in.
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
        if residual.abs() < JUMP {
            // Also of what is rejected: else a noise thought too small would reject what could mend it.
            let sigma = self.noise.sigma_ns();
            let expected = predicted.innovation_sigma_ns(sigma);
            let from_the_map =
                (expected < sigma * std::f64::consts::SQRT_2).then_some(innovation * sigma / expected);
            self.noise.observe(measurement, from_the_map);
        }
        let acquiring = !self.acquisition.is_full();
        // While the map is being found, nothing but a jump speaks against a measurement: the map may be what is wrong.
        let gate = if acquiring {
            JUMP.ns_f64()
        } else {
            GATE * predicted.innovation_sigma_ns(self.noise.sigma_ns())
        };
        if innovation.abs() > gate {
            return self.reject(measurement, residual);
        }
        self.doubted.clear();
        if !acquiring {
            self.absorb(measurement, predicted.absorbed(innovation, self.noise.sigma_ns()));
        } else if !self.acquire(measurement) {
            return Classification::Outlier { residual };
        }
        Classification::Accepted { residual }
    }

    /// Goes on with `filter`, or from the last unannounced change that the measurements show against it.
    fn absorb(&mut self, measurement: Measurement, filter: Kalman) {
        let sigma = self.noise.sigma_ns();
        self.recent.keep(measurement);
        let Some(change) = self.recent.change(&filter, sigma) else {
            self.filter = Some(filter);
            return;
        };
        let uncertainty = filter.rate_sigma_ppb() + change.rate_ppb.abs();
        let guess =
            RateGuess { rate: Ratio::from_ppb(filter.rate_ppb()), sigma: Ratio::from_ppb(uncertainty) };
        self.filter = fitted(self.recent.since(change).iter(), guess, BREAK_CAUTION * sigma);
    }

    /// Fits anew with one measurement more. Whether it is one of those that the fit rests on.
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
        match self.doubted.judge(measurement, filter, self.noise.sigma_ns()) {
            Finding::Open => {}
            Finding::Jump(count) => {
                let agreeing: ArrayVec<Measurement, ACQUISITION> =
                    self.doubted.last(count).iter().copied().take(ACQUISITION).collect();
                // What a young map says of the rate is no better a guess than another leader's.
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
            Finding::Shift => self.refit(),
        }
        Classification::Outlier { residual }
    }

    /// So many in a row cannot be wrong. If they have moved by one and the same amount, as when a switch begins to queue
    /// or the path changes, the rate that is known stands and the phase is found anew from them; else the rate is, too.
    fn refit(&mut self) {
        let Some(filter) = &self.filter else { return };
        let (sigma, rate, rate_sigma) = (self.noise.sigma_ns(), filter.rate_ppb(), filter.rate_sigma_ppb());
        let rejected = self.doubted.last(DISTRUST);
        let (Some(first), Some(last)) = (rejected.first(), rejected.last()) else { return };
        let point = |one: &Measurement| ((one.raw - first.raw).secs_f64(), filter.distance_ns(*one));
        let known = Line::through(rejected.iter().map(point)).is_some_and(|line| {
            #[expect(clippy::cast_precision_loss, reason = "a handful")]
            let uncertainty = sigma * (12.0 / DISTRUST as f64).sqrt() / (last.raw - first.raw).secs_f64();
            line.slope.abs() < SIGNIFICANT * (uncertainty + rate_sigma)
        });
        let guess = if known {
            RateGuess { rate: Ratio::from_ppb(rate), sigma: Ratio::from_ppb(rate_sigma) }
        } else {
            RateGuess::another_leader(Ratio::from_ppb(rate))
        };
        self.filter = fitted(rejected.iter(), guess, sigma);
        self.doubted.clear();
        self.recent.clear();
    }

    /// Runs the filter over the measurements of the acquisition, with the noise as it is known now, but for those that
    /// lie far from where most of them do. One late packet at the very start would else bend the rate for seconds.
    fn replay(&mut self) {
        let sigma = self.noise.sigma_ns();
        let odd = OddOnes::among(&self.acquisition);
        let near = self.acquisition.iter().filter(|one| !odd.as_ref().is_some_and(|odd| odd.has(one)));
        // What was known of the rate may hold no longer: another clock source, another device under the old name.
        let refuted = odd.as_ref().is_some_and(|odd| odd.refutes(&self.guess, &self.acquisition, sigma));
        self.filter = fitted(near, if refuted { RateGuess::UNKNOWN } else { self.guess }, sigma);
    }

    /// How many measurements the map rests on, up to [`ACQUISITION`].
    pub fn depth(&self) -> usize {
        self.acquisition.len()
    }

    /// One standard deviation of the measurements' noise, as found.
    pub fn noise(&self) -> Duration {
        Duration::from_ns_f64(self.noise.sigma_ns())
    }

    /// The map as of the last measurement that was accepted.
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

/// The filter run over these measurements.
fn fitted<'a>(
    mut measurements: impl Iterator<Item = &'a Measurement>,
    guess: RateGuess,
    sigma: f64,
) -> Option<Kalman> {
    let first = Kalman::new(*measurements.next()?, guess, sigma);
    Some(measurements.fold(first, |filter, &next| {
        let predicted = filter.predicted(next.raw);
        let innovation = predicted.innovation_ns(next);
        // What surprises weighs less (Huber): among a few measurements none can be left out yet.
        let surprise = innovation.abs() / predicted.innovation_sigma_ns(sigma) / SURPRISING;
        predicted.absorbed(innovation, sigma * surprise.max(1.0))
    }))
}

#[cfg(test)]
mod tests;
