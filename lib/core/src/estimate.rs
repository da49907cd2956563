//! The estimator: computes the clock map (Dante time over CLOCK_MONOTONIC_RAW) and its uncertainty from noisy measurements.
//!
//! CLOCK_MONOTONIC_RAW is free-running and no program steers it, so the estimator is no control loop: noise alone decides how
//! long it averages. A bank of Kalman filters of a clock (phase, rate) under white and random-walk frequency noise (Zucca and
//! Tavella, IEEE Trans. UFFC 52, 2005) covers white measurement noise and delays that change slowly. The noise of the measurements
//! and the random walk of the oscillators are estimated from the measurements. During the acquisition, the first [`ACQUISITION`]
//! measurements, the bank runs over all of them again at each new one, with the current noise estimate.

mod bank;
mod break_test;
pub(crate) mod kalman;
pub(crate) mod means;
pub(crate) mod median_line;
mod noise;
mod oscillator;
mod outliers;

use crate::time::{
    Affine, ClockMap, Correlation, Dante, Duration, Ratio, Raw, Timestamp, Uncertainty, Wander,
};
use arrayvec::ArrayVec;
use bank::{Bank, Conditions};
use break_test::{BreakTest, Line, MAX_RATE_STEP_PPB};
use kalman::Kalman;
use means::Origin;
pub(crate) use noise::sigma_of;
use noise::{Deviations, Noise};
use oscillator::Oscillator;
pub(crate) use oscillator::is_plausible_wander;
use outliers::{FitOutliers, MIN_FIT, Outcome, RejectedRun};

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

/// Factor on the white noise of a fit that starts at a break, because the instant of the break is not known exactly. Chosen
/// by the share of errors within two sigma after a rate step of 1 ppm.
const BREAK_NOISE_FACTOR: f64 = 1.5;
/// Innovation, in standard deviations, beyond which the outlier test rejects a measurement. Delays in queues have long tails, and
/// a wrongly rejected measurement costs less than a wrongly accepted one.
const OUTLIER_SIGMAS: f64 = 6.0;

/// Smallest residual of a jump of the leader's time: Dante devices mute at 1 ms, and queues of a local network delay packets by
/// less.
const MIN_JUMP: Duration = Duration::from_ms(1);

/// Time during which the covariance depends so much on the first measurements that it follows the estimated noise, s.
const YOUNG_S: f64 = 300.0;
/// Largest ratio of the estimated noise to that at the start that an error of the estimate explains: beyond it the level of the noise
/// has changed.
const YOUNG_RANGE: f64 = 2.0;
/// Ratio of the noise at the start to the present noise from which on the acquisition starts again.
const CALMED_DOWN_RATIO: f64 = 10.0;
/// Uncertainty of the rate down to which that is done, ppb.
const UNSETTLED_PPB: f64 = 20_000.0;
/// Window over which the noise of the oscillator's means is taken, s: means over 16 s scatter as a slope over this time does.
const OSCILLATOR_WINDOW_S: f64 = 20.0;
/// Number of measurements over which the interval is averaged.
const INTERVAL_MEMORY: f64 = 16.0;
/// Largest Sync interval, s.
const MAX_INTERVAL_S: f64 = 4.0;

/// The estimator of one leader's clock map.
#[derive(Debug)]
pub struct Estimator {
    guess: RateGuess,
    acquisition: ArrayVec<Measurement, ACQUISITION>,
    bank: Option<Bank>,
    /// Mean of the bank.
    filter: Option<Kalman>,
    noise: Noise,
    /// Deviations of all measurements, also of those that are no noise.
    all_deviations: Deviations,
    /// Scatter about the neighbours with which the bank was last updated, ns.
    scatter_ns: f64,
    /// The same when the bank started.
    first_scatter_ns: f64,
    oscillator: Oscillator,
    break_test: BreakTest,
    /// Measurements rejected in a row.
    rejected: RejectedRun,
    /// The point from which means are counted.
    origin: Origin,
    /// Arrival of the first measurement that the bank includes.
    since: Timestamp<Raw>,
    /// Arrival of the last measurement.
    last_raw: Timestamp<Raw>,
    /// Mean time between two measurements, s.
    interval_s: f64,
    restarts: u64,
}

impl Estimator {
    /// Makes an estimator without measurements.
    pub fn new(guess: RateGuess) -> Self {
        Self {
            guess,
            acquisition: ArrayVec::new(),
            bank: None,
            filter: None,
            noise: Noise::default(),
            all_deviations: Deviations::default(),
            scatter_ns: 0.0,
            first_scatter_ns: 0.0,
            oscillator: Oscillator::default(),
            break_test: BreakTest::default(),
            rejected: RejectedRun::default(),
            origin: Origin::default(),
            since: Timestamp::ZERO,
            last_raw: Timestamp::ZERO,
            interval_s: 0.0,
            restarts: 0,
        }
    }

    /// Discards the map, for the Syncs of another leader. The initial rate is `known`, if there is one for that leader, else the
    /// rate of the discarded map. The estimates of the network's noise and of the oscillator's are kept.
    pub fn restart(&mut self, known: Option<RateGuess>) {
        self.restart_from(known, RateGuess::another_leader);
    }

    fn restart_from(&mut self, known: Option<RateGuess>, guess: impl Fn(Ratio) -> RateGuess) {
        let rate = self.filter.take().map(|filter| Ratio::from_ppb(filter.rate_ppb()));
        // A rate from a few measurements, or beyond any oscillator, does not replace the last guess.
        let rate =
            rate.filter(|rate| self.acquisition.len() >= MIN_FIT && rate.abs() < RateGuess::UNKNOWN.sigma);
        self.guess = known.or(rate.map(guess)).unwrap_or(self.guess);
        self.bank = None;
        self.acquisition.clear();
        self.noise.interrupt();
        self.break_test.interrupt();
        self.oscillator.interrupt();
        self.rejected.clear();
    }

    /// Processes a measurement.
    pub fn update(&mut self, measurement: Measurement) -> Classification {
        let (Some(filter), Some(bank)) = (&self.filter, &self.bank) else {
            self.begin(measurement);
            return Classification::Accepted { residual: Duration::ZERO };
        };
        if measurement.raw <= filter.raw() {
            return Classification::Late;
        }
        let from_map = filter.distance_ns(measurement);
        let residual = Duration::from_ns_f64(-from_map);
        let conditions = self.conditions();
        let (distance, expected) = bank.innovation(measurement, &conditions);
        let is_acquiring = !self.acquisition.is_full();
        // Rejected measurements count too: otherwise a noise estimate that is too small would reject every measurement that could
        // raise it.
        let min_jump = self.min_jump();
        let is_plausible = residual.abs() < if is_acquiring { min_jump } else { self.max_noise() };
        if is_plausible {
            let scaled = distance * conditions.scatter_ns / expected;
            self.noise.observe(measurement, (self.acquisition.len() >= MIN_FIT).then_some(scaled));
        }
        self.all_deviations.observe(measurement);
        self.observe_interval(measurement.raw);
        // During the acquisition the map may be wrong, so only a residual of the size of a jump rejects a measurement before the
        // fit.
        let is_outlier = if is_acquiring {
            residual.abs() >= min_jump
        } else {
            let rise = (self.noise.sigma_ns() / conditions.scatter_ns).max(1.0);
            distance.abs() > OUTLIER_SIGMAS * expected * rise
        };
        if is_outlier {
            return self.reject(measurement, residual);
        }
        self.rejected.clear();
        if !is_acquiring && self.has_calmed_down() {
            self.restart(None);
            self.begin(measurement);
            return Classification::Accepted { residual: Duration::ZERO };
        }
        if is_acquiring {
            if !self.acquire(measurement) {
                return Classification::Outlier { residual };
            }
            self.observe_slowly(measurement);
        } else {
            self.accept(measurement);
        }
        Classification::Accepted { residual }
    }

    fn conditions(&self) -> Conditions {
        Conditions {
            scatter_ns: self.noise.sigma_ns(),
            interval_s: self.interval_s,
            frequency: self.oscillator.noise(),
        }
    }

    /// Smallest residual of a jump of the leader's time. While most measurements scatter, a residual of their size is no jump.
    fn min_jump(&self) -> Duration {
        beyond(self.all_deviations.recent_ns())
    }

    /// Largest residual that counts as noise: a host that is late by milliseconds for some seconds is no noisy network.
    fn max_noise(&self) -> Duration {
        beyond(self.noise.sigma_ns())
    }

    /// Whether the acquisition saw much larger noise than there is now, and the map is of no use yet.
    fn has_calmed_down(&self) -> bool {
        let is_unsettled = self.filter.is_some_and(|filter| filter.rate_sigma_ppb() > UNSETTLED_PPB);
        is_unsettled && self.noise.sigma_ns() < self.first_scatter_ns / CALMED_DOWN_RATIO
    }

    fn observe_interval(&mut self, raw: Timestamp<Raw>) {
        // A rejected measurement may have arrived later than the next one.
        if raw <= self.last_raw {
            return;
        }
        let passed = (raw - self.last_raw).secs_f64();
        self.last_raw = raw;
        if self.interval_s == 0.0 {
            self.interval_s = passed.min(MAX_INTERVAL_S);
        } else {
            // A gap counts at most as one lost measurement.
            self.interval_s += (passed.min(2.0 * self.interval_s) - self.interval_s) / INTERVAL_MEMORY;
        }
    }

    /// Adds an accepted measurement to the means. Returns whether one over 1 s is finished.
    fn observe_slowly(&mut self, measurement: Measurement) -> bool {
        let point = self.origin.point(measurement);
        if let Some(bank) = &self.bank {
            let noise = || bank.slope_noise(OSCILLATOR_WINDOW_S, self.interval_s) * self.scatter_ns.powi(2);
            self.oscillator.observe(point, self.interval_s, noise);
        }
        self.break_test.observe(point, self.interval_s, self.scatter_ns)
    }

    /// Updates the bank, and restarts it at a break of the leader's rate or phase.
    fn accept(&mut self, measurement: Measurement) {
        let conditions = self.conditions();
        let is_second = self.observe_slowly(measurement);
        let Some(bank) = &mut self.bank else { return };
        if (measurement.raw - self.since).secs_f64() < YOUNG_S {
            let within = |scatter: f64| {
                scatter.clamp(self.first_scatter_ns / YOUNG_RANGE, self.first_scatter_ns * YOUNG_RANGE)
            };
            bank.scale((within(conditions.scatter_ns) / within(self.scatter_ns)).powi(2));
        }
        bank.update(measurement, 1.0, &conditions);
        self.scatter_ns = conditions.scatter_ns;
        let filter = bank.mixture();
        if !filter.is_finite() {
            // Absurd times, years apart: nothing is known.
            self.restart(None);
            return self.begin(measurement);
        }
        self.filter = Some(filter);
        if is_second {
            self.break_test.remember(bank, &filter, &self.origin, self.interval_s);
            self.test_for_break(false);
        }
    }

    /// Restarts the bank at a break of the leader's rate or phase, if there is one. If `is_certain`, there is one.
    fn test_for_break(&mut self, is_certain: bool) -> bool {
        let frequency = self.oscillator.noise();
        let Some(found) = self.break_test.find(frequency.walk_ppb, is_certain) else { return false };
        let Some(filter) = self.filter else { return false };
        let uncertainty = filter.rate_sigma_ppb() + found.rate_ppb.abs();
        let guess =
            RateGuess { rate: Ratio::from_ppb(filter.rate_ppb()), sigma: Ratio::from_ppb(uncertainty) };
        let conditions = Conditions { scatter_ns: self.scatter_ns, ..self.conditions() };
        let origin = self.origin;
        let after = self.break_test.restart(found);
        let first = after.clone().next().map(|mean| origin.measurement(mean).raw);
        let after = after.map(|mean| (origin.measurement(mean), BREAK_NOISE_FACTOR / mean.count.sqrt()));
        let bank = Bank::fitted(after, guess, &conditions);
        self.adopt_after_break(bank);
        if let Some(first) = first
            && found.rate_ppb != 0.0
        {
            self.since = first;
            self.first_scatter_ns = self.scatter_ns;
        }
        true
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
        self.start_at(first);
        self.noise.observe(first, None);
        self.replay();
    }

    fn start_at(&mut self, first: Measurement) {
        self.origin = Origin::at(first);
        self.since = first.raw;
        self.last_raw = first.raw;
    }

    fn reject(&mut self, measurement: Measurement, residual: Duration) -> Classification {
        let min_jump = self.min_jump();
        let Some(filter) = &self.filter else { return Classification::Outlier { residual } };
        match self.rejected.test(measurement, filter, self.noise.sigma_ns(), min_jump) {
            Outcome::Undecided => {}
            Outcome::Jump(count) => {
                let agreeing: ArrayVec<Measurement, ACQUISITION> =
                    self.rejected.last(count).iter().copied().take(ACQUISITION).collect();
                // During the acquisition the rate is no better a guess than that of another leader.
                let settled = self.acquisition.is_full();
                let guess = if settled { RateGuess::same_leader } else { RateGuess::another_leader };
                self.restart_from(None, guess);
                if let Some(first) = agreeing.first() {
                    self.start_at(*first);
                }
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

    /// Restarts the bank because of the rejected measurements: at the break that they show, or, if the rate differs by more than
    /// that of any oscillator, from them alone.
    fn refit(&mut self) {
        let rejected = std::mem::take(&mut self.rejected);
        let run = rejected.refit_run();
        for one in run {
            self.break_test.observe(self.origin.point(*one), self.interval_s, self.noise.sigma_ns());
        }
        let (Some(filter), Some(first)) = (&self.filter, run.first()) else { return };
        let rate = Ratio::from_ppb(filter.rate_ppb());
        let point = |one: &Measurement| ((one.raw - first.raw).secs_f64(), filter.distance_ns(*one));
        let is_steep = Line::through(run.iter().map(point)).is_some_and(|line| {
            line.slope.abs() > MAX_RATE_STEP_PPB.max(OUTLIER_SIGMAS * line.slope_sigma(run.len()))
        });
        if !is_steep && self.test_for_break(true) {
            return;
        }
        let guess = RateGuess::another_leader(rate);
        self.since = first.raw;
        self.first_scatter_ns = self.scatter_ns;
        self.break_test.interrupt();
        self.adopt_after_break(Bank::fitted(run.iter().map(|one| (*one, 1.0)), guess, &self.conditions()));
    }

    fn adopt_after_break(&mut self, bank: Option<Bank>) {
        self.adopt(bank);
        self.oscillator.interrupt();
        self.restarts += 1;
    }

    fn adopt(&mut self, bank: Option<Bank>) {
        self.filter = bank.as_ref().map(Bank::mixture);
        self.bank = bank;
    }

    /// Runs the bank over the measurements of the acquisition without fit outliers, with the current noise estimate. A late packet
    /// among the first ones would otherwise distort the rate for seconds.
    fn replay(&mut self) {
        let conditions = self.conditions();
        let outliers = FitOutliers::among(&self.acquisition);
        let inliers = self
            .acquisition
            .iter()
            .filter(|one| !outliers.as_ref().is_some_and(|outliers| outliers.contains(one)));
        // The initial rate may be wrong: another clock source of the kernel, or another device with the same identity.
        let scatter_ns = conditions.scatter_ns;
        let contradicted =
            outliers.as_ref().is_some_and(|it| it.contradicts(&self.guess, &self.acquisition, scatter_ns));
        let guess = if contradicted { RateGuess::UNKNOWN } else { self.guess };
        let bank = Bank::fitted(inliers.map(|one| (*one, 1.0)), guess, &conditions);
        self.adopt(bank);
        self.scatter_ns = scatter_ns;
        self.first_scatter_ns = scatter_ns;
    }

    /// Number of measurements of the acquisition so far, up to [`ACQUISITION`].
    pub fn depth(&self) -> usize {
        self.acquisition.len()
    }

    /// Returns how often the map was fitted again because the rate or the phase had changed at once.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Estimated noise of a measurement, one standard deviation.
    pub fn noise(&self) -> Duration {
        Duration::from_ns_f64(self.noise.sigma_ns())
    }

    /// Scatter of the last measurements about the line through their neighbours, one standard deviation; also of those that are
    /// rejected, and that are too large for noise.
    pub fn scatter(&self) -> Duration {
        Duration::from_ns_f64(self.all_deviations.recent_ns())
    }

    /// Sets the random walk of the rate that was learnt in an earlier run with the leader that follows, or the default if there is
    /// none. Measurements correct it. Implausible values are ignored. Call it with [`Estimator::restart`].
    pub fn expect_wander(&mut self, wander: Option<Wander>) {
        self.oscillator.expect(wander);
    }

    /// Returns the random walk of the rate, host and leader together, after at least one hour of measurements of this leader. Those of
    /// earlier leaders count too, with a weight that falls within hours: the host's oscillator is the same.
    pub fn wander(&self) -> Option<Wander> {
        self.oscillator.learnt()
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
            wander: Wander::from_ppb(self.oscillator.noise().walk_ppb),
        })
    }
}

/// Smallest residual of a jump where measurements scatter by `sigma_ns`.
fn beyond(sigma_ns: f64) -> Duration {
    MIN_JUMP.max(Duration::from_ns_f64(OUTLIER_SIGMAS * sigma_ns))
}

#[cfg(test)]
mod tests;
