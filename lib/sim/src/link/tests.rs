use super::*;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

fn moments(link: Profile, at: Timestamp<Raw>) -> (f64, f64) {
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let n = 100_000;
    let ns: Vec<f64> = (0..n).map(|_| link.transit(&mut rng, at).ns() as f64).collect();
    let mean = ns.iter().sum::<f64>() / f64::from(n);
    let variance = ns.iter().map(|ns| (ns - mean).powi(2)).sum::<f64>() / f64::from(n);
    (mean, variance.sqrt())
}

#[test]
fn the_profiles_have_the_noise_that_they_are_named_for() {
    for (link, mean, sigma) in [
        (Profile::VETH, 5_661.0, 500.0),
        (Profile::DANTE, 39_016.0, 6_812.0),
        // A tenth of the packets 175 us later on average.
        (Profile::BUSY, 56_516.0, 57_800.0),
        (Profile { queue: Queue::Exponential(Duration::from_us(10)), ..Profile::VETH }, 15_000.0, 10_000.0),
    ] {
        let (found_mean, found_sigma) = moments(link, Timestamp::ZERO);
        assert!((found_mean / mean - 1.0).abs() < 0.02, "{link:?}: mean {found_mean} ns");
        assert!((found_sigma / sigma - 1.0).abs() < 0.02, "{link:?}: sigma {found_sigma} ns");
    }
}

#[test]
fn load_and_detour_come_when_they_are_due() {
    let at = Timestamp::from_ns(10_000_000_000);
    let load = Load { at, span: Duration::from_secs(20), more: Duration::from_us(100) };
    let detour = Detour { at, more: Duration::from_us(20) };
    let link = Profile { load: Some(load), detour: Some(detour), ..Profile::VETH };
    let mean_us = |s| (moments(link, Timestamp::ZERO + Duration::from_secs(s)).0 / 1e3).round();
    assert_eq!([9, 10, 29, 30].map(mean_us), [6.0, 126.0, 126.0, 26.0]);
    let back = link.transit_back(&mut Pcg64Mcg::seed_from_u64(1), at + Duration::from_secs(30));
    assert!(back < Duration::from_us(12), "{back:?}");
}

#[test]
fn losses_and_doubles_have_their_share() {
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    let link = Profile { loss: 0.1, duplication: 0.2, ..Profile::VETH };
    let copies: usize = (0..100_000).map(|_| link.copies(&mut rng)).sum();
    assert!((106_500..109_500).contains(&copies), "{copies} instead of 108,000");
}
