use super::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

const SYNC: i64 = 250_000_000;

/// A leader at `rate` from `start`, seen through half-normal delays of scale `scale_ns`.
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

    /// What so many first measurements make of an estimator that knows nothing.
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
fn without_noise_two_measurements_give_the_rate() {
    let mut link = Link::new(1, 0.0, 12.0);
    let estimator = link.estimator(20);
    assert!(link.rate_error_ppb(&estimator).abs() < 2.0, "{}", link.rate_error_ppb(&estimator));
}

#[test]
fn veth_noise_is_within_100_ppb_after_8_s_and_within_1_ppm_after_3() {
    let (mut noise, mut odd) = (0.0, 0);
    for seed in 0..50 {
        let mut link = Link::new(seed, 830.0, -33.7);
        let mut estimator = Estimator::new(RateGuess::UNKNOWN);
        for n in 0..=32 {
            odd += i32::from(!matches!(estimator.update(link.sync(n)), Classification::Accepted { .. }));
            if n == 12 {
                assert!(link.rate_error_ppb(&estimator).abs() < 1_000.0, "seed {seed}");
            }
        }
        assert!(
            link.rate_error_ppb(&estimator).abs() < 200.0,
            "seed {seed}: {}",
            link.rate_error_ppb(&estimator)
        );
        noise += estimator.noise().ns_f64() / 50.0;
    }
    assert!(odd < 50, "{odd} of 1650 measurements left out, where nothing is odd");
    assert!((400.0..700.0).contains(&noise), "half-normal of scale 830 has 500 ns: {noise}");
}

#[test]
fn the_stated_uncertainty_holds_for_most_seeds() {
    let mut inside = 0;
    for seed in 0..200 {
        let mut link = Link::new(seed, 11_300.0, 25.0);
        let estimator = link.estimator(121);
        let sigma = estimator.map().unwrap().sigma.rate.ppb();
        inside += i32::from(link.rate_error_ppb(&estimator).abs() < 2.0 * sigma);
    }
    assert!((170..=200).contains(&inside), "{inside} of 200 within two sigma");
}

#[test]
fn one_late_packet_is_an_outlier_and_changes_nothing() {
    let mut link = Link::new(3, 500.0, 5.0);
    let mut estimator = link.estimator(60);
    let before = estimator.map();
    let mut late = link.sync(60);
    late.raw = late.raw + Duration::from_us(400);
    let Classification::Outlier { residual } = estimator.update(late) else { panic!("believed") };
    assert!((395_000..405_000).contains(&residual.ns()), "late means local ahead: {residual:?}");
    assert_eq!(estimator.map(), before);
    assert_eq!(estimator.update(link.sync(30)), Classification::Late);
    assert!(matches!(estimator.update(link.sync(61)), Classification::Accepted { .. }));
}

#[test]
fn a_leader_with_another_uptime_is_a_jump_and_keeps_the_rate_as_a_guess() {
    let mut link = Link::new(4, 500.0, 12.0);
    let mut estimator = link.estimator(60);
    link.line.at0 = Timestamp::from_ns(5_000_000_000);
    assert!(matches!(estimator.update(link.sync(60)), Classification::Outlier { .. }));
    assert!(
        matches!(estimator.update(link.sync(61)), Classification::Outlier { .. }),
        "two may be mispaired"
    );
    let Classification::Jumped { residual } = estimator.update(link.sync(62)) else { panic!("not seen") };
    assert_eq!(residual.ns() / 1_000_000_000, 694, "the old map was ahead of the new leader");
    assert!(link.rate_error_ppb(&estimator).abs() < 2_000.0, "the old rate serves");
    link.measure(&mut estimator, 63..70);
    assert!(link.rate_error_ppb(&estimator).abs() < 2_000.0);
}

#[test]
fn a_lasting_shift_below_a_millisecond_is_followed_after_four_seconds_without_a_jump() {
    let mut link = Link::new(5, 500.0, 12.0);
    let mut estimator = link.estimator(100);
    link.line.at0 = link.line.at0 + Duration::from_us(-300);
    for n in 100..100 + i64::try_from(DISTRUST).unwrap() {
        assert!(matches!(estimator.update(link.sync(n)), Classification::Outlier { .. }), "Sync {n}");
    }
    assert!(matches!(estimator.update(link.sync(120)), Classification::Accepted { .. }));
    assert!(link.rate_error_ppb(&estimator).abs() < 50.0, "the rate is not unlearnt");
}

#[test]
fn a_rate_far_from_the_guess_is_found_all_the_same() {
    for ppm in [-450.0, 300.0, 450.0] {
        let mut link = Link::new(7, 830.0, 12.0);
        let mut estimator = link.estimator(60);
        // As when the host's clock source changes, or it is moved to another machine.
        let now = Timestamp::from_ns(60 * SYNC);
        link.line = Affine { raw0: now, at0: link.line.at(now), rate: Ratio::from_ppm(ppm) };
        link.measure(&mut estimator, 60..140);
        let error = link.rate_error_ppb(&estimator);
        assert!(error.abs() < 500.0, "{ppm} ppm: {error} ppb off after 20 s");
    }
}

#[test]
fn a_known_rate_serves_from_the_second_measurement_and_a_wrong_one_is_given_up() {
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

/// An estimator that has settled on a link, and the verdicts on the measurements after that, each `late` by so much.
fn after_a_minute(
    link: &mut Link,
    late: impl Fn(i64) -> Duration,
    count: i64,
) -> (Estimator, Vec<Classification>) {
    let mut estimator = link.estimator(240);
    let verdicts = (240..240 + count).map(|n| {
        let one = link.sync(n);
        estimator.update(Measurement { dante: one.dante - late(n), ..one })
    });
    let verdicts = verdicts.collect();
    (estimator, verdicts)
}

fn first_jump(verdicts: &[Classification]) -> Option<usize> {
    verdicts.iter().position(|verdict| matches!(verdict, Classification::Jumped { .. }))
}

#[test]
fn late_packets_are_no_jump_however_many_they_are_for_half_a_minute() {
    let mut link = Link::new(8, 830.0, 12.0);
    let scattered = |n: i64| Duration::from_us(2_000 + (n * 7_919) % 20_000);
    let (mut estimator, verdicts) = after_a_minute(&mut link, scattered, 100);
    assert_eq!(first_jump(&verdicts), None);
    let Classification::Accepted { residual } = estimator.update(link.sync(340)) else {
        panic!("not taken up")
    };
    assert!(residual.abs() < Duration::from_us(5), "the map went on as it was: {residual:?}");
    let (_, verdicts) = after_a_minute(&mut link, scattered, 130);
    assert_eq!(first_jump(&verdicts), Some(119), "in the end there is nothing else to believe");
}

#[test]
fn what_no_delay_explains_is_a_jump_after_three_and_what_one_might_after_eight() {
    for (late_us, after) in [(-5_000, 3), (5_000, 8), (-1_500_000, 3), (999_000, 8), (1_500_000, 3)] {
        let mut link = Link::new(9, 830.0, 12.0);
        let (estimator, verdicts) = after_a_minute(&mut link, |_| Duration::from_us(late_us), 20);
        assert_eq!(first_jump(&verdicts), Some(after - 1), "{late_us} us");
        assert!(estimator.depth() >= after, "those that agreed are what the new map rests on");
        assert!(link.rate_error_ppb(&estimator).abs() < 1_000.0, "{late_us} us");
    }
}

#[test]
fn measurements_that_no_delay_explains_and_that_agree_with_nothing_end_in_a_jump() {
    let mut link = Link::new(10, 830.0, 12.0);
    let early = |n: i64| Duration::from_ms(-2 - (n * 7) % 20);
    let (_, verdicts) = after_a_minute(&mut link, early, 20);
    assert_eq!(first_jump(&verdicts), Some(DISTRUST - 1));
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

/// Six standard deviations are just believed: the first of the shifted measurements could as well be a rate that changed.
#[test]
fn a_path_that_shifts_is_not_taken_for_a_rate_that_changes() {
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
            assert!(worst < 500.0, "{shift_ns} ns, seed {seed}: {worst} ppb");
        }
        assert!(far <= 2, "{shift_ns} ns for {length} Syncs: {far} of 40 seeds took it for a rate");
    }
}
