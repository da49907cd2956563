//! The learnt random walk of the rate, and an expected one at the start.

use super::*;
use crate::estimate::{Estimator, Measurement, RateGuess};
use crate::time::{Duration, Ratio, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Sync interval, s.
const SYNC_S: f64 = 0.25;
/// Number of Syncs in an hour.
const HOUR: usize = 14_400;
/// Share of a normal distribution within two standard deviations.
const WITHIN_2_SIGMA: f64 = 0.954;

/// A leader whose rate is a random walk, measured with noise.
struct Wandering {
    rng: Pcg64Mcg,
    walk_ppb: f64,
    noise_ns: f64,
    at_ns: i64,
    gain_ns: f64,
    rate_ppb: f64,
}

impl Wandering {
    fn new(seed: u64, walk_ppb: f64, noise_ns: f64) -> Self {
        Self { rng: Pcg64Mcg::seed_from_u64(seed), walk_ppb, noise_ns, at_ns: 0, gain_ns: 0.0, rate_ppb: 0.0 }
    }

    fn normal(&mut self) -> f64 {
        let (u, v): (f64, f64) = (self.rng.random_range(1e-12..1.0), self.rng.random());
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }

    fn sync(&mut self) -> Measurement {
        let step_ppb = self.walk_ppb * SYNC_S.sqrt();
        self.at_ns += 250_000_000;
        self.gain_ns += self.rate_ppb * SYNC_S + step_ppb * self.normal();
        self.rate_ppb += step_ppb * self.normal();
        let gain_ns = Duration::from_ns_f64(self.gain_ns + self.noise_ns * self.normal());
        let raw = Timestamp::from_ns(self.at_ns);
        Measurement { raw, dante: Timestamp::from_ns(self.at_ns) + gain_ns }
    }

    fn measure(&mut self, estimator: &mut Estimator, count: usize) {
        (0..count).for_each(|_| _ = estimator.update(self.sync()));
    }
}

fn estimator(expected_ppb: Option<f64>) -> Estimator {
    let mut estimator = Estimator::new(RateGuess::same_leader(Ratio::ZERO));
    estimator.expect_wander(expected_ppb.map(Wander::from_ppb));
    estimator
}

fn used_ppb(estimator: &Estimator) -> f64 {
    estimator.oscillator.noise().walk_ppb
}

/// Returns the share of Syncs of the first 30 minutes at which the rate is within two sigma, and the rms error, ppb.
fn first_half_hour(walk_ppb: f64, expected_ppb: Option<f64>) -> (f64, f64) {
    let (mut inside, mut squares, mut count) = (0.0, 0.0, 0.0);
    for seed in 0..8 {
        let mut leader = Wandering::new(seed, walk_ppb, 500.0);
        let mut estimator = estimator(expected_ppb);
        leader.measure(&mut estimator, 120);
        for _ in 120..HOUR / 2 {
            leader.measure(&mut estimator, 1);
            let map = estimator.map().unwrap();
            let error = map.line.rate.ppb() - leader.rate_ppb;
            inside += f64::from(u8::from(error.abs() < 2.0 * map.sigma.rate.ppb()));
            squares += error * error;
            count += 1.0;
        }
    }
    (inside / count, f64::sqrt(squares / count))
}

#[test]
fn right_expectation_makes_the_stated_uncertainty_right_within_minutes() {
    for walk_ppb in [0.1, 3.0] {
        let (with, with_ppb) = first_half_hour(walk_ppb, Some(walk_ppb));
        let (without, without_ppb) = first_half_hour(walk_ppb, None);
        let off = |share: f64| (share - WITHIN_2_SIGMA).abs();
        assert!(off(with) < off(without), "{walk_ppb} ppb: {with} with, {without} without expectation");
        assert!(
            with_ppb < without_ppb,
            "{walk_ppb} ppb: rms {with_ppb} with, {without_ppb} without expectation"
        );
    }
}

#[test]
fn wrong_expectation_is_corrected_within_an_hour() {
    for (walk_ppb, wrong_ppb, noise_ns) in [
        (0.1, 3.0, 500.0),
        (0.1, 100.0, 5_000.0),
        (1.0, 0.1, 500.0),
        (1.0, 3.0, 500.0),
        (3.0, 0.01, 500.0),
        (3.0, 0.01, 5_000.0),
    ] {
        for seed in 100..103 {
            let mut leader = Wandering::new(seed, walk_ppb, noise_ns);
            let (mut wrong, mut default) = (estimator(Some(wrong_ppb)), estimator(None));
            for _ in 0..HOUR {
                let sync = leader.sync();
                wrong.update(sync);
                default.update(sync);
            }
            let factor = used_ppb(&wrong) / used_ppb(&default);
            assert!(
                (0.9..1.1).contains(&factor),
                "{walk_ppb} ppb, {wrong_ppb} ppb expected, seed {seed}: {factor} times that without expectation"
            );
        }
    }
}

#[test]
fn random_walk_is_learnt_after_an_hour_with_the_leader() {
    for walk_ppb in [0.1, 0.3, 1.0, 3.0] {
        let mut leader = Wandering::new(7, walk_ppb, 500.0);
        let mut estimator = estimator(None);
        leader.measure(&mut estimator, HOUR);
        assert_eq!(estimator.wander(), None, "not after less than an hour");
        leader.measure(&mut estimator, 3 * HOUR);
        let learnt_ppb = estimator.wander().unwrap().ppb();
        assert!((walk_ppb / 2.0..walk_ppb * 2.0).contains(&learnt_ppb), "{walk_ppb}: {learnt_ppb}");
        estimator.restart(None);
        estimator.expect_wander(None);
        assert_eq!(estimator.wander(), None, "another leader");
    }
}

#[test]
fn implausible_expectations_give_the_default_and_none_is_below_the_minimum() {
    let default_ppb = used_ppb(&estimator(None));
    for ppb in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0, 1e-3, 1e3, f64::MAX, f64::MIN_POSITIVE]
    {
        let mut estimator = estimator(Some(3.0));
        estimator.expect_wander(Some(Wander::from_ppb(ppb)));
        assert_eq!(used_ppb(&estimator).to_bits(), default_ppb.to_bits(), "{ppb}");
    }
    for (ppb, least, most) in
        [(0.01, 0.3, 0.4), (0.1, 0.3, 0.4), (0.3, 0.3, 0.5), (1.0, 0.9, 1.3), (100.0, 2.5, 3.0)]
    {
        let used_ppb = used_ppb(&estimator(Some(ppb)));
        assert!((least..=most).contains(&used_ppb), "{ppb}: {used_ppb}");
    }
}

#[test]
fn evidence_outlives_a_change_of_the_expectation() {
    let mut leader = Wandering::new(9, 3.0, 500.0);
    let mut estimator = estimator(None);
    leader.measure(&mut estimator, HOUR / 2);
    let before_ppb = used_ppb(&estimator);
    assert!(before_ppb > 2.0, "{before_ppb}");
    estimator.expect_wander(Some(Wander::from_ppb(3.0)));
    estimator.expect_wander(None);
    assert_eq!(used_ppb(&estimator).to_bits(), before_ppb.to_bits());
}
