use super::*;

const RAW0: Timestamp<Raw> = Timestamp::from_ns(1_000_000_000_123);

fn path(model: Model, seed: u64) -> Path {
    Path::new(model, RAW0, Timestamp::from_ns(699_000_000_000), seed)
}

fn after(s: f64) -> Timestamp<Raw> {
    RAW0 + Duration::from_secs_f64(s)
}

#[test]
fn a_seed_gives_the_same_path_for_coarse_and_fine_queries() {
    let (mut coarse, mut fine, mut other) = (path(Model::PC, 1), path(Model::PC, 1), path(Model::PC, 2));
    for tenth in 0..5_000 {
        fine.offset_ns(after(f64::from(tenth) / 10.0));
    }
    assert!((coarse.offset_ns(after(500.0)) - fine.offset_ns(after(500.0))).abs() < 1e-9);
    assert!((coarse.offset_ns(after(500.0)) - other.offset_ns(after(500.0))).abs() > 1.0);
    // 200 s back, within the cells that are kept.
    assert!((coarse.offset_ns(after(300.0)) - fine.offset_ns(after(300.0))).abs() < 1e-9);
}

#[test]
fn noise_has_the_size_of_the_model() {
    // Over one second: the mean of the white noise and the change of the random walk, 1 ppb each.
    let (mut white, mut walk) = (0.0, 0.0);
    let seconds = 20_000;
    let mut only_white = path(Model { white: Ratio::from_ppb(1.0), ..Model::STEADY }, 3);
    let mut only_walk = path(Model { walk: Ratio::from_ppb(1.0), ..Model::STEADY }, 4);
    for s in 0..seconds {
        let (from, to) = (after(f64::from(s)), after(f64::from(s) + 1.0));
        white += (only_white.offset_ns(to) - only_white.offset_ns(from)).powi(2);
        walk += (only_walk.slow_rate_at(to) - only_walk.slow_rate_at(from)).ppb().powi(2);
    }
    for (what, sum) in [("white", white), ("walk", walk)] {
        let sigma = (sum / f64::from(seconds)).sqrt();
        assert!((sigma - 1.0).abs() < 0.03, "{what}: {sigma} ppb instead of 1");
    }
}

#[test]
fn rate_is_the_derivative_of_the_time() {
    let sine = Some(Sine { amplitude: Ratio::from_ppb(50.0), period: Duration::from_secs(300) });
    let steps = vec![(Duration::from_secs(100), Ratio::from_ppm(1.0))];
    let mut path = path(Model { offset: Ratio::from_ppm(-200.0), sine, steps, ..Model::PC }, 5);
    for s in [0.0, 75.0, 99.0, 101.0, 250.0] {
        let (from, to) = (after(s), after(s + 0.0625));
        let gained = path.offset_ns(to) - path.offset_ns(from);
        let rate = path.rate_at(from).ppb() * 0.0625;
        assert!((gained - rate).abs() < 1e-3, "at {s} s: gained {gained} ns, by its rate {rate}");
    }
    let stepped = path.slow_rate_at(after(150.0)) - path.slow_rate_at(after(0.0));
    assert!((stepped.ppb() - 1_000.0).abs() < 60.0, "{} ppb", stepped.ppb());
}

#[test]
fn equals_the_closed_form_without_noise() {
    let closed = Oscillator::new(RAW0, Timestamp::ZERO, Ratio::from_ppm(12.0), Ratio::from_ppb(20.0));
    let mut path = Path::from(closed);
    for s in [0.0, 0.3, 75.0, 1234.5, 604_800.0] {
        let apart = path.at(after(s)) - closed.at(after(s));
        assert!(apart.abs() <= Duration::from_ns(1), "{apart:?} after {s} s");
    }
}

#[test]
fn continues_from_the_time_that_was_set() {
    let mut path = path(Model::PC, 6);
    path.show(after(50.0), Timestamp::ZERO);
    assert_eq!(path.at(after(50.0)), Timestamp::ZERO);
    let gained = path.at(after(51.0)) - path.at(after(50.0)) - Duration::from_secs(1);
    assert!(gained.abs() < Duration::from_ns(100), "{gained:?}");
}

#[test]
fn memory_is_bounded_over_a_week() {
    let mut path = path(Model::PC, 7);
    for hour in 0..168 {
        path.at(after(f64::from(hour) * 3600.0));
    }
    assert!(path.cells.len() <= Path::KEPT);
}
