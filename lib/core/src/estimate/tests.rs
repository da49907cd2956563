use super::outliers::REFIT_RUN;
use super::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

const SYNC: i64 = 250_000_000;

/// A leader with the time `line`, measured through half-normal delays of scale `scale_ns`.
struct Link {
    rng: Pcg64Mcg,
    scale_ns: f64,
    line: Affine<Dante>,
}

impl Link {
    fn new(seed: u64, scale_ns: f64, ppm: f64) -> Self {
        let line = Affine {
            raw0: Timestamp::ZERO,
            at0: Timestamp::from_ns(699_000_000_000),
            rate: Ratio::from_ppm(ppm),
        };
        Self { rng: Pcg64Mcg::seed_from_u64(seed), scale_ns, line }
    }

    fn delay(&mut self) -> Duration {
        let (u, v): (f64, f64) = (self.rng.random_range(1e-12..1.0), self.rng.random());
        let normal = (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos();
        Duration::from_ns_f64((normal * self.scale_ns).abs())
    }

    fn sync(&mut self, n: i64) -> Measurement {
        let sent = Timestamp::from_ns(n * SYNC);
        Measurement { raw: sent + self.delay(), dante: self.line.at(sent) }
    }

    /// Returns an estimator without a guess of the rate after the first `count` measurements.
    fn estimator(&mut self, count: i64) -> Estimator {
        let mut estimator = Estimator::new(RateGuess::UNKNOWN);
        self.measure(&mut estimator, 0..count);
        estimator
    }

    fn measure(&mut self, estimator: &mut Estimator, syncs: std::ops::Range<i64>) {
        syncs.for_each(|n| _ = estimator.update(self.sync(n)));
    }

    fn rate_error_ppb(&self, estimator: &Estimator) -> f64 {
        (estimator.map().unwrap().line.rate - self.line.rate).ppb()
    }
}

#[test]
fn rate_is_exact_without_noise() {
    let mut link = Link::new(1, 0.0, 12.0);
    let estimator = link.estimator(20);
    assert!(link.rate_error_ppb(&estimator).abs() < 2.0, "{}", link.rate_error_ppb(&estimator));
}

#[test]
fn rate_converges_on_veth_noise() {
    let (mut squares, mut noise, mut outliers) = (0.0, 0.0, 0);
    for seed in 0..50 {
        let mut link = Link::new(seed, 830.0, -33.7);
        let mut estimator = Estimator::new(RateGuess::UNKNOWN);
        for n in 0..=32 {
            let is_accepted = matches!(estimator.update(link.sync(n)), Classification::Accepted { .. });
            outliers += i32::from(!is_accepted);
            if n == 12 {
                assert!(link.rate_error_ppb(&estimator).abs() < 1_000.0, "seed {seed}");
            }
        }
        assert!(
            link.rate_error_ppb(&estimator).abs() < 200.0,
            "seed {seed}: {}",
            link.rate_error_ppb(&estimator)
        );
        squares += link.rate_error_ppb(&estimator).powi(2) / 50.0;
        noise += estimator.noise().ns_f64() / 50.0;
    }
    assert!(squares.sqrt() < 50.0, "rms {} ppb after 8 s: 95 % are within 100 ppb", squares.sqrt());
    assert!(outliers < 50, "{outliers} of 1650 measurements rejected, and none is an outlier");
    assert!((400.0..700.0).contains(&noise), "half-normal of scale 830 has 500 ns: {noise}");
}

#[test]
fn stated_uncertainty_covers_the_error() {
    let mut inside = 0;
    for seed in 0..200 {
        let mut link = Link::new(seed, 11_300.0, 25.0);
        let estimator = link.estimator(121);
        let sigma = estimator.map().unwrap().sigma.rate.ppb();
        inside += i32::from(link.rate_error_ppb(&estimator).abs() < 2.0 * sigma);
    }
    assert!((170..=198).contains(&inside), "{inside} of 200 within two sigma");
}

#[test]
fn outlier_does_not_move_the_map() {
    let mut link = Link::new(3, 500.0, 5.0);
    let mut estimator = link.estimator(60);
    let before = estimator.map();
    let mut late = link.sync(60);
    late.raw = late.raw + Duration::from_us(400);
    let Classification::Outlier { residual } = estimator.update(late) else { panic!("accepted") };
    assert!(
        (395_000..405_000).contains(&residual.ns()),
        "a late packet has a positive residual: {residual:?}"
    );
    assert_eq!(estimator.map(), before);
    assert_eq!(estimator.update(link.sync(30)), Classification::Late);
    assert!(matches!(estimator.update(link.sync(61)), Classification::Accepted { .. }));
}

#[test]
fn jump_restarts_the_map_and_keeps_the_rate_as_a_guess() {
    let mut link = Link::new(4, 500.0, 12.0);
    let mut estimator = link.estimator(60);
    link.line.at0 = Timestamp::from_ns(5_000_000_000);
    assert!(matches!(estimator.update(link.sync(60)), Classification::Outlier { .. }));
    assert!(
        matches!(estimator.update(link.sync(61)), Classification::Outlier { .. }),
        "two may be paired with the wrong Follow_Ups"
    );
    let Classification::Jumped { residual } = estimator.update(link.sync(62)) else {
        panic!("jump not detected")
    };
    assert_eq!(residual.ns() / 1_000_000_000, 694, "the old map was ahead of the new leader");
    assert!(link.rate_error_ppb(&estimator).abs() < 2_000.0, "the old rate is the guess");
    link.measure(&mut estimator, 63..70);
    assert!(link.rate_error_ppb(&estimator).abs() < 2_000.0);
}

#[test]
fn shift_below_1_ms_is_followed_after_4_s_without_a_jump() {
    let mut link = Link::new(5, 500.0, 12.0);
    let mut estimator = link.estimator(100);
    link.line.at0 = link.line.at0 + Duration::from_us(-300);
    for n in 100..100 + i64::try_from(REFIT_RUN).unwrap() {
        assert!(matches!(estimator.update(link.sync(n)), Classification::Outlier { .. }), "Sync {n}");
    }
    assert!(matches!(estimator.update(link.sync(120)), Classification::Accepted { .. }));
    assert!(link.rate_error_ppb(&estimator).abs() < 50.0, "the rate is kept");
}

#[test]
fn finds_a_rate_far_from_the_guess() {
    for ppm in [-450.0, 300.0, 450.0] {
        let mut link = Link::new(7, 830.0, 12.0);
        let mut estimator = link.estimator(60);
        // As after a change of the kernel's clock source, or a move of a virtual machine to another host.
        let now = Timestamp::from_ns(60 * SYNC);
        link.line = Affine { raw0: now, at0: link.line.at(now), rate: Ratio::from_ppm(ppm) };
        link.measure(&mut estimator, 60..140);
        let error = link.rate_error_ppb(&estimator);
        assert!(error.abs() < 500.0, "{ppm} ppm: {error} ppb off after 20 s");
    }
}

#[test]
fn known_rate_is_used_from_the_second_measurement_and_a_wrong_one_is_discarded() {
    for (known_ppm, within_ppb, from) in [(12.5, 5_000.0, 2), (-300.0, 2_000.0, 20), (60.0, 2_000.0, 20)] {
        let mut link = Link::new(11, 11_300.0, 12.0);
        let guess = RateGuess::same_leader(Ratio::from_ppm(known_ppm));
        let mut estimator = Estimator::new(guess);
        for n in 0..60 {
            estimator.update(link.sync(n));
            let error = link.rate_error_ppb(&estimator);
            assert!(n + 1 < from || error.abs() < within_ppb, "{known_ppm} ppm known, Sync {n}: {error} ppb");
        }
    }
}

/// Returns an estimator after a minute on the link, and the results of the next `count` measurements, each delayed by `late`.
fn after_a_minute(
    link: &mut Link,
    late: impl Fn(i64) -> Duration,
    count: i64,
) -> (Estimator, Vec<Classification>) {
    let mut estimator = link.estimator(240);
    let results = (240..240 + count).map(|n| {
        let one = link.sync(n);
        estimator.update(Measurement { dante: one.dante - late(n), ..one })
    });
    let results = results.collect();
    (estimator, results)
}

fn first_jump(results: &[Classification]) -> Option<usize> {
    results.iter().position(|result| matches!(result, Classification::Jumped { .. }))
}

#[test]
fn late_packets_are_no_jump() {
    let mut link = Link::new(8, 830.0, 12.0);
    let scattered = |n: i64| Duration::from_us(2_000 + (n * 7_919) % 20_000);
    let (mut estimator, results) = after_a_minute(&mut link, scattered, 100);
    assert_eq!(first_jump(&results), None);
    let Classification::Accepted { residual } = estimator.update(link.sync(340)) else { panic!("rejected") };
    assert!(residual.abs() < Duration::from_us(5), "the map did not change: {residual:?}");
    let (_, results) = after_a_minute(&mut link, scattered, 400);
    assert_eq!(first_jump(&results), None, "scatter is no jump, however long it lasts");
}

#[test]
fn jump_needs_3_measurements_or_8_where_a_delay_could_explain_it() {
    for (late_us, after) in [(-5_000, 3), (5_000, 8), (-1_500_000, 3), (999_000, 8), (1_500_000, 3)] {
        let mut link = Link::new(9, 830.0, 12.0);
        let (estimator, results) = after_a_minute(&mut link, |_| Duration::from_us(late_us), 20);
        assert_eq!(first_jump(&results), Some(after - 1), "{late_us} us");
        assert!(estimator.depth() >= after, "the new map includes the measurements that agreed");
        assert!(link.rate_error_ppb(&estimator).abs() < 1_000.0, "{late_us} us");
    }
}

#[test]
fn early_measurements_that_do_not_agree_are_no_jump() {
    let mut link = Link::new(10, 830.0, 12.0);
    let early = |n: i64| Duration::from_ms(-2 - (n * 7) % 20);
    let (_, results) = after_a_minute(&mut link, early, 100);
    assert_eq!(first_jump(&results), None);
}

#[test]
fn rejected_measurement_from_the_future_gives_no_nan() {
    let mut link = Link::new(12, 0.0, 1.0);
    let mut estimator = Estimator::new(RateGuess::UNKNOWN);
    estimator.update(link.sync(0));
    estimator.update(Measurement { raw: Timestamp::from_ns(100 * SYNC), dante: Timestamp::from_ns(0) });
    for n in 1..40 {
        estimator.update(link.sync(n));
        let map = estimator.map().unwrap();
        assert!(map.line.rate.is_finite() && map.sigma.rate.is_finite(), "{map:?}");
    }
    assert!(link.rate_error_ppb(&estimator).abs() < 50.0);
}

#[test]
fn extreme_times_give_no_nan() {
    let mut estimator = Estimator::new(RateGuess::UNKNOWN);
    for (raw, dante) in [(0, i64::MAX), (1, i64::MIN), (2, 0), (i64::MAX, i64::MIN), (i64::MAX, i64::MAX)] {
        estimator.update(Measurement { raw: Timestamp::from_ns(raw), dante: Timestamp::from_ns(dante) });
        let map = estimator.map().unwrap();
        assert!(map.line.rate.is_finite() && map.sigma.rate.is_finite(), "{map:?}");
    }
}

/// The outlier test accepts shifts of nearly six standard deviations, and the first shifted measurements look like a rate step.
#[test]
fn path_shift_is_not_taken_for_a_rate_step() {
    for (shift_ns, length) in [-4_000, -2_500, 2_500, 4_000].into_iter().flat_map(|ns| [(ns, 12), (ns, 80)]) {
        let mut far = 0;
        for seed in 0..40 {
            let mut link = Link::new(100 + seed, 700.0, 12.0);
            let begin = 160 + seed.cast_signed();
            let mut estimator = Estimator::new(RateGuess::UNKNOWN);
            let mut worst = 0.0f64;
            for n in 0..begin + length + 100 {
                let one = link.sync(n);
                let is_shifted = (begin..begin + length).contains(&n);
                let shift = Duration::from_ns(if is_shifted { shift_ns } else { 0 });
                estimator.update(Measurement { raw: one.raw + shift, ..one });
                if n > begin {
                    worst = worst.max(link.rate_error_ppb(&estimator).abs());
                }
            }
            far += i32::from(worst > 200.0);
            assert!(worst < 1_000.0, "{shift_ns} ns, seed {seed}: {worst} ppb");
        }
        assert!(far <= 1, "{shift_ns} ns for {length} Syncs: taken for a rate step on {far} of 40 seeds");
    }
}
