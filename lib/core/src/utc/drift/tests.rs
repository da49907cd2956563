use super::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

const MARGIN: Duration = Duration::from_ms(1);

fn at(seconds: f64) -> Timestamp<Raw> {
    Timestamp::ZERO + Duration::from_secs_f64(seconds)
}

/// The sum of twelve uniform numbers is nearly normal.
fn normal(rng: &mut Pcg64Mcg) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

/// UTC as a function of time, with measurements of this noise.
struct Bench {
    drift: Drift,
    rng: Pcg64Mcg,
    now: f64,
    noise_us: f64,
}

impl Bench {
    fn new(seed: u64, noise_us: f64, truth: impl Fn(f64) -> f64) -> Self {
        let mut rng = Pcg64Mcg::seed_from_u64(seed);
        let first = Duration::from_secs_f64((truth(0.0) + normal(&mut rng) * noise_us) * 1e-6);
        Self { drift: Drift::new(at(0.0), first, MARGIN), rng, now: 0.0, noise_us }
    }

    /// A bench after `count` measurements of `line`, one every 64 s.
    fn after(seed: u64, noise_us: f64, count: usize) -> Self {
        let mut bench = Self::new(seed, noise_us, line);
        bench.measures(count, 64.0, line);
        bench
    }

    /// `truth`: UTC minus the base in us.
    fn measure(&mut self, apart: f64, truth: impl Fn(f64) -> f64) -> Observed {
        self.now += apart;
        let us = truth(self.now) + normal(&mut self.rng) * self.noise_us;
        self.drift.observe(at(self.now), Duration::from_secs_f64(us * 1e-6), MARGIN)
    }

    fn measures(&mut self, count: usize, apart: f64, truth: impl Fn(f64) -> f64) {
        (0..count).for_each(|_| assert_eq!(self.measure(apart, &truth), Observed::Accepted));
    }

    fn error_us(&self, truth: impl Fn(f64) -> f64) -> f64 {
        self.drift.at(at(self.now)).offset.secs_f64() * 1e6 - truth(self.now)
    }
}

fn line(s: f64) -> f64 {
    12.0 * s + 5.0
}

#[test]
fn rate_and_noise_are_estimated() {
    for seed in 0..10 {
        let bench = Bench::after(seed, 500.0, 1000);
        let prediction = bench.drift.at(at(bench.now));
        assert!(
            (prediction.rate.ppb() - 12_000.0).abs() < 4.0 * prediction.rate_sigma.ppb() + 1.0,
            "{prediction:?}"
        );
        assert!(prediction.rate_sigma.ppb() < 10.0, "{prediction:?}");
        assert!(bench.error_us(line).abs() < 200.0);
    }
    // The standard deviation of 64 values is uncertain by 9 %, therefore the mean over the seeds is compared.
    let mut noises = Vec::new();
    for seed in 0..40 {
        let bench = Bench::after(seed, 500.0, 300);
        noises.push(bench.drift.noise / 1e3);
    }
    let mean = noises.iter().sum::<f64>() / 40.0;
    assert!((mean - 500.0).abs() < 50.0, "{mean}");
    assert!(noises.iter().filter(|noise| (**noise - 500.0).abs() < 100.0).count() >= 34, "{noises:?}");
}

#[test]
fn published_uncertainty_covers_the_error() {
    let mut within = 0_u32;
    for seed in 0..400 {
        let bench = Bench::after(seed, 500.0, 60);
        let sigma = bench.drift.at(at(bench.now)).sigma.secs_f64() * 1e6;
        within += u32::from(bench.error_us(line).abs() < 2.0 * sigma);
    }
    assert!((360..=396).contains(&within), "{within} of 400");
}

#[test]
fn outliers_are_rejected_for_half_an_hour_then_accepted() {
    let mut bench = Bench::after(1, 500.0, 200);
    let wrong = |s: f64| line(s) + 1e6;
    for _ in 0..28 {
        assert!(
            matches!(bench.measure(64.0, wrong), Observed::Outlier(off) if (off.secs_f64() - 1.0).abs() < 0.01)
        );
        assert!(bench.error_us(line).abs() < 300.0, "{}", bench.error_us(line));
    }
    assert!(matches!(bench.measure(64.0, wrong), Observed::Outlier(_)));
    assert!(matches!(bench.measure(64.0, wrong), Observed::Restarted(_)));
    assert!(bench.error_us(wrong).abs() < 2_000.0);
    let rate = bench.drift.at(at(bench.now)).rate;
    assert!((rate.ppb() - 12_000.0).abs() < 50.0, "the rate is kept: {rate:?}");
}

#[test]
fn accepted_measurement_ends_a_run_of_outliers() {
    let mut bench = Bench::after(1, 500.0, 100);
    for round in 0..200 {
        let wrong = |s: f64| line(s) + if round % 8 == 7 { 0.0 } else { 1e6 };
        assert!(!matches!(bench.measure(64.0, wrong), Observed::Restarted(_)));
    }
    assert!(bench.error_us(line).abs() < 500.0);
}

#[test]
fn short_history_accepts_outliers_after_the_same_time() {
    let mut bench = Bench::new(1, 500.0, line);
    bench.measures(6, 16.0, line);
    let other = |s: f64| line(s) + 1e6;
    let observed: Vec<_> = (0..9).map(|_| bench.measure(16.0, other)).collect();
    assert!(observed.iter().any(|observed| matches!(observed, Observed::Restarted(_))), "{observed:?}");
}

#[test]
fn change_of_base_does_not_change_utc() {
    let bench = Bench::after(1, 500.0, 100);
    for (ahead_ns, ppm, after) in
        [(0, 0.0, 0.0), (699_123_456_789, 37.5, 3.0), (-5_000_000_000_000, -66.0, 900.0)]
    {
        let mut drift = bench.drift.clone();
        let now = at(bench.now + after);
        let before = drift.at(now);
        let (ahead, rate) = (Duration::from_ns(ahead_ns), Ratio::from_ppm(ppm));
        let sigma = Uncertainty { offset: Duration::from_us(3), rate: Ratio::from_ppb(7.0) };
        drift.rebase(ahead, rate, sigma, now);
        for later in [0.0, 1.0, 1024.0] {
            let then = now + Duration::from_secs_f64(later);
            let gained = ahead + (then - now) * rate;
            let was = bench.drift.at(then).offset;
            assert!((drift.at(then).offset + gained - was).ns().abs() <= 1, "{later} s later");
        }
        let rebased = drift.at(now);
        assert!((rebased.rate + rate - before.rate).abs().ppb() < 1e-6);
        assert!(rebased.rate_sigma > before.rate_sigma && rebased.sigma > before.sigma);
        assert_eq!(drift.measured_at(), bench.drift.measured_at());
    }
}

/// The best reply of a round is some seconds old when the round ends.
#[test]
fn measurement_from_shortly_before_a_change_of_the_base_counts() {
    let mut bench = Bench::after(1, 500.0, 100);
    let changed = bench.now + 70.0;
    bench.drift.doubt(at(changed), Uncertainty { offset: Duration::from_secs(1), rate: Ratio::ZERO });
    assert_eq!(bench.measure(64.0, line), Observed::Accepted);
    assert_eq!(bench.drift.measured_at(), at(changed - 6.0));
    assert!((bench.drift.at(at(changed)).offset.secs_f64() * 1e6 - line(changed)).abs() < 2_000.0);
    let before = bench.drift.at(at(changed));
    let offset = Duration::from_secs(7);
    assert_eq!(bench.drift.observe(at(changed - 6.0), offset, MARGIN), Observed::Late);
    assert_eq!(bench.drift.at(at(changed)), before);
}

/// A measurement long before the change of the rate does not confirm the rate after it.
#[test]
fn doubted_rate_is_measured_again_from_the_instant_of_the_change() {
    let mut bench = Bench::after(1, 100.0, 300);
    let change = bench.now + 900.0;
    let faster = |s: f64| line(s) + 2.0 * (s - change).max(0.0);
    bench.now = change;
    bench.drift.doubt(at(change), Uncertainty { offset: Duration::ZERO, rate: Ratio::from_ppm(2.0) });
    bench.measures(16, 20.0, faster);
    assert!(bench.error_us(faster).abs() < 150.0, "{}", bench.error_us(faster));
    let rate = bench.drift.at(at(bench.now)).rate;
    assert!((rate.ppm() - 14.0).abs() < 1.0, "{rate:?}");
}

#[test]
fn leap_second_changes_utc_only() {
    let mut bench = Bench::after(1, 500.0, 100);
    bench.drift.leap(Duration::from_secs(-1));
    let leapt = |s: f64| line(s) - 1e6;
    assert!(bench.error_us(leapt).abs() < 300.0);
    bench.measures(20, 64.0, leapt);
}

#[test]
fn filter_with_more_wander_is_selected_while_leader_wanders() {
    let mut bench = Bench::after(1, 100.0, 300);
    let steady = bench.drift.selected;
    assert_eq!(steady, 0);
    // 300 ppb up and down within an hour and a half.
    let wandering = |s: f64| line(s) + 0.3 * 860.0 * (1.0 - ((s - 19_200.0) / 860.0).cos());
    (0..300).for_each(|_| {
        bench.measure(64.0, wandering);
    });
    assert!(bench.drift.selected > steady, "{:?}", bench.drift.filters);
    assert!(bench.error_us(wandering).abs() < 300.0, "{}", bench.error_us(wandering));
}

#[test]
fn interval_grows_as_uncertainty_falls() {
    let mut bench = Bench::new(1, 300.0, line);
    bench.measures(4, 16.0, line);
    assert!(bench.drift.interval(Duration::from_secs(64)) < Duration::from_secs(64));
    bench.measures(300, 64.0, line);
    assert!(bench.drift.interval(Duration::from_secs(64)) > Duration::from_secs(64));
}

#[test]
fn late_measurement_is_ignored() {
    let mut bench = Bench::after(1, 300.0, 50);
    let before = bench.drift.at(at(bench.now));
    bench.drift.observe(at(bench.now), Duration::from_secs(9), MARGIN);
    bench.drift.observe(at(3.0), Duration::from_secs(9), MARGIN);
    assert_eq!(bench.drift.at(at(bench.now)), before);
}
