//! The hindsight filter: a causal Kalman filter with a constant measurement noise, of which the best is selected after the run by its
//! true error. No program can select it so; it shows how much of the estimator's error is due to not knowing the noise.

use dante_core::estimate::Measurement;
use dante_core::time::{Raw, Timestamp};

/// Random walk of the rate, ppb per root second.
const WALK_PPB: f64 = 1.0;
/// White frequency noise, ppb at 1 s.
const WHITE_PPB: f64 = 1.0;
/// Least measurement noise, ns.
const MIN_NOISE_NS: f64 = 500.0;
/// Number of measurement noises, each sqrt(2) times the one before: up to 64 us.
const NOISES: i32 = 15;
/// Uncertainty of the rate at the first measurement, ppb.
const INITIAL_RATE_PPB: f64 = 500_000.0;
/// Innovation, in standard deviations, beyond which a measurement is rejected.
const OUTLIER_SIGMAS: f64 = 6.0;
/// This many innovations in a row beyond the limit are no outliers: from the last of them on, measurements are used.
const MAX_OUTLIERS: u32 = 16;

/// Returns the least rms error of the rate, ppb, over the measurement noises from 0.5 us to 64 us. The error counts from `after_s`
/// seconds after the first measurement on, at the arrival of each measurement. NaN without such a measurement.
pub fn rate_rms(
    measurements: &[Measurement],
    truth_ppb: impl Fn(Timestamp<Raw>) -> f64,
    after_s: f64,
) -> f64 {
    let noises = (0..NOISES).map(|step| MIN_NOISE_NS * f64::from(step).exp2().sqrt());
    noises.map(|noise_ns| rms_with(noise_ns, measurements, &truth_ppb, after_s)).fold(f64::NAN, f64::min)
}

fn rms_with(
    noise_ns: f64,
    measurements: &[Measurement],
    truth_ppb: impl Fn(Timestamp<Raw>) -> f64,
    after_s: f64,
) -> f64 {
    let Some((first, rest)) = measurements.split_first() else { return f64::NAN };
    let mut filter = Filter::new(noise_ns);
    let (mut before, mut squares, mut count) = (first.raw, 0.0, 0u32);
    for measurement in rest {
        let interval_s = (measurement.raw - before).secs_f64();
        if interval_s <= 0.0 {
            continue;
        }
        before = measurement.raw;
        let elapsed = measurement.raw - first.raw;
        filter.predict(interval_s);
        filter.update(((measurement.dante - first.dante) - elapsed).ns_f64());
        if elapsed.secs_f64() >= after_s {
            squares += (filter.rate_ppb - truth_ppb(measurement.raw)).powi(2);
            count += 1;
        }
    }
    (squares / f64::from(count)).sqrt()
}

/// Kalman filter of phase and rate: the leader's time minus CLOCK_MONOTONIC_RAW, from the first measurement on.
struct Filter {
    /// Variance of a measurement, ns^2.
    noise: f64,
    phase_ns: f64,
    rate_ppb: f64,
    /// Variance of the phase, ns^2.
    phase_variance: f64,
    /// Covariance of phase and rate, ns ppb.
    covariance: f64,
    /// Variance of the rate, ppb^2.
    rate_variance: f64,
    /// Innovations in a row beyond the limit.
    beyond: u32,
}

impl Filter {
    /// The filter after the first measurement.
    fn new(noise_ns: f64) -> Self {
        Self {
            noise: noise_ns.powi(2),
            phase_ns: 0.0,
            rate_ppb: 0.0,
            phase_variance: noise_ns.powi(2),
            covariance: 0.0,
            rate_variance: INITIAL_RATE_PPB.powi(2),
            beyond: 0,
        }
    }

    /// Predicts the state `interval_s` later. 1 ppb is 1 ns/s.
    fn predict(&mut self, interval_s: f64) {
        let (white, walk) = (WHITE_PPB.powi(2), WALK_PPB.powi(2));
        self.phase_ns += interval_s * self.rate_ppb;
        self.phase_variance += interval_s * (2.0 * self.covariance + interval_s * self.rate_variance);
        self.covariance += interval_s * self.rate_variance;
        self.phase_variance += white * interval_s + walk * interval_s.powi(3) / 3.0;
        self.covariance += walk * interval_s.powi(2) / 2.0;
        self.rate_variance += walk * interval_s;
    }

    /// Corrects the state by a measured phase, unless it is an outlier.
    fn update(&mut self, measured_ns: f64) {
        let innovation = measured_ns - self.phase_ns;
        let variance = self.phase_variance + self.noise;
        if innovation.powi(2) > OUTLIER_SIGMAS.powi(2) * variance {
            self.beyond += 1;
            if self.beyond < MAX_OUTLIERS {
                return;
            }
        } else {
            self.beyond = 0;
        }
        let (phase_gain, rate_gain) = (self.phase_variance / variance, self.covariance / variance);
        self.phase_ns += phase_gain * innovation;
        self.rate_ppb += rate_gain * innovation;
        self.rate_variance -= rate_gain * self.covariance;
        self.covariance -= phase_gain * self.covariance;
        self.phase_variance -= phase_gain * self.phase_variance;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dante_core::time::Duration;
    use rand::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};
    use rand_pcg::Pcg64Mcg;

    const RATE_PPB: f64 = 12_000.0;
    const INTERVAL_S: f64 = 0.25;

    /// Measurements at 4 Hz for 10 minutes with white noise, and the true rate at each. `walk_ppb`: random walk of the rate.
    fn simulated(noise_ns: f64, walk_ppb: f64, seed: u64) -> (Vec<Measurement>, Vec<f64>) {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let (mut rate_ppb, mut gained_ns) = (RATE_PPB, 0.0);
        let at = |number: i64| {
            let mut draw = || -> f64 { StandardNormal.sample(&mut rng) };
            let elapsed = Duration::from_ms(250 * number);
            let measurement = Measurement {
                raw: Timestamp::ZERO + elapsed + Duration::from_ns_f64(noise_ns * draw()),
                dante: Timestamp::ZERO + elapsed + Duration::from_ns_f64(gained_ns),
            };
            gained_ns += INTERVAL_S * rate_ppb;
            rate_ppb += walk_ppb * INTERVAL_S.sqrt() * draw();
            (measurement, rate_ppb)
        };
        (0..2400).map(at).unzip()
    }

    fn measured(noise_ns: f64, seed: u64) -> Vec<Measurement> {
        simulated(noise_ns, 0.0, seed).0
    }

    /// Rms error of the rate over several seeds. It counts from 300 s on: by then the filter has converged from an unknown rate
    /// with the largest noise.
    fn rms_of(noise_ns: f64, walk_ppb: f64) -> f64 {
        const SEEDS: u32 = 16;
        let run = |seed| {
            let (measurements, rates) = simulated(noise_ns, walk_ppb, u64::from(seed));
            let place = |raw: Timestamp<Raw>| ((raw - Timestamp::ZERO).ms() + 125) / 250;
            let truth = |raw| rates.get(usize::try_from(place(raw)).ok()?).copied();
            rate_rms(&measurements, |raw| truth(raw).unwrap_or(f64::NAN), 300.0).powi(2)
        };
        ((1..=SEEDS).map(run).sum::<f64>() / f64::from(SEEDS)).sqrt()
    }

    #[test]
    fn error_with_random_walk_is_that_of_the_matched_filter() {
        for noise_ns in [1_000.0, 8_000.0, 30_000.0] {
            // Variance of the rate in the steady state: `sqrt(2) * q^(3/4) * r^(1/4)`, where `q` is the random walk, ppb^2/s, and
            // `r` the density of the phase noise, ns^2 s.
            let density = noise_ns * noise_ns * INTERVAL_S;
            let steady_ppb = (2f64.sqrt() * WALK_PPB.powf(1.5) * density.powf(0.25)).sqrt();
            let rms = rms_of(noise_ns, WALK_PPB);
            assert!((0.75..1.25).contains(&(rms / steady_ppb)), "{noise_ns} ns: {rms} of {steady_ppb} ppb");
        }
    }

    #[test]
    fn error_with_constant_rate_is_close_to_that_of_a_line_fit() {
        for noise_ns in [1_000.0, 8_000.0] {
            // Standard deviation of the slope of n measurements over a time T: `noise * sqrt(12 / n) / T`, here in the middle of
            // the time from 300 s to 600 s.
            let line_ppb = noise_ns * (12.0 * INTERVAL_S / 450.0).sqrt() / 450.0;
            let rms = rms_of(noise_ns, 0.0);
            assert!((0.7..3.0).contains(&(rms / line_ppb)), "{noise_ns} ns: {rms} of {line_ppb} ppb");
        }
    }

    #[test]
    fn outliers_are_rejected() {
        let mut measurements = measured(1_000.0, 1);
        let clean = rate_rms(&measurements, |_| RATE_PPB, 60.0);
        for measurement in measurements.iter_mut().skip(300).step_by(50) {
            measurement.raw = measurement.raw + Duration::from_ms(2);
        }
        let rms = rate_rms(&measurements, |_| RATE_PPB, 60.0);
        assert!(rms < 1.3 * clean, "{rms} ppb with outliers, {clean} ppb without");
    }

    #[test]
    fn lasting_shift_of_the_path_is_followed() {
        let mut measurements = measured(1_000.0, 1);
        for measurement in measurements.iter_mut().skip(300) {
            measurement.raw = measurement.raw + Duration::from_ms(1);
        }
        let rms = rate_rms(&measurements, |_| RATE_PPB, 400.0);
        assert!(rms < 50.0, "{rms} ppb");
    }

    #[test]
    fn no_measurement_gives_no_figure() {
        assert!(rate_rms(&[], |_| RATE_PPB, 60.0).is_nan());
        assert!(rate_rms(&measured(1_000.0, 1), |_| RATE_PPB, 3600.0).is_nan());
    }
}
