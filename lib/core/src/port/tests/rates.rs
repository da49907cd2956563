//! Rates that are remembered.

use super::*;

fn known(n: u8, ppm: f64) -> KnownRate {
    KnownRate { leader: leader(n), rate: Ratio::from_ppm(ppm) }
}

#[test]
fn the_last_sixteen_are_remembered_and_read_back() {
    let mut rates = KnownRates::default();
    (0..40).for_each(|n| rates.learn(known(n, f64::from(n) - 33.5)));
    rates.learn(known(30, 1.25));
    rates.learn(known(99, 501.0));
    rates.learn(known(99, f64::NAN));
    assert_eq!(rates.iter().len(), MAX_RATES);
    assert_eq!(rates.iter().next(), Some(&known(30, 1.25)), "the latest first");
    assert_eq!((rates.get(leader(23)), rates.get(leader(99))), (None, None));
    let (read, garbage) = KnownRates::parse(&rates.to_string());
    assert_eq!((read, garbage), (rates, 0));
}

#[test]
fn garbage_is_left_out_and_counted() {
    let text = "00:1d:c1:00:00:01/1 -33.7\n\n00:1d:c1:00:00:02 1\n\0\0\n00:1d:c1:00:00:03/1 inf\n\
                00:1d:c1:00:00:04/1 1 2\n00:1d:c1:00:00:05/1 501\n00:1d:c1:00:00:06/1 +12\n";
    let (rates, garbage) = KnownRates::parse(text);
    assert_eq!(garbage, 5);
    let read: Vec<_> = rates.iter().copied().collect();
    assert_eq!(read, [known(1, -33.7), known(6, 12.0)]);
}

#[test]
fn a_known_rate_is_the_first_guess_and_a_well_known_one_is_told() {
    let mut rates = KnownRates::default();
    rates.learn(known(1, 12.4));
    let mut bench = Bench::with(PortConfig { rates, ..PortConfig::default() });
    bench.beats(leader(1), 1..3);
    let error = (bench.port.map().unwrap().line.rate.ppm() - 12.0).abs();
    assert!(error < 0.5, "{error} ppm off after one measurement");
    bench.beats(leader(1), 3..400);
    let told: Vec<_> = bench.said.iter().filter(|said| matches!(said, Output::Rate(_))).collect();
    let [Output::Rate(told)] = told[..] else { panic!("{told:?}") };
    assert!((told.rate.ppm() - 12.0).abs() < 0.1 && told.leader == leader(1), "{told:?}");
    bench.said.clear();
    bench.pass(Duration::from_secs(3));
    bench.beats(leader(2), 1..10);
    assert!(
        bench.said.iter().any(|said| matches!(said, Output::Rate(told) if told.leader == leader(1))),
        "when left"
    );
}
