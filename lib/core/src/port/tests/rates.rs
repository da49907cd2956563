//! Saved rates of leaders.

use super::*;

fn known(n: u8, ppm: f64) -> KnownRate {
    KnownRate { leader: leader(n), rate: Ratio::from_ppm(ppm) }
}

#[test]
fn last_16_rates_are_kept_and_read_back() {
    let mut rates = KnownRates::default();
    (0..40).for_each(|n| rates.learn(known(n, f64::from(n) - 33.5)));
    rates.learn(known(30, 1.25));
    rates.learn(known(99, 501.0));
    rates.learn(known(99, f64::NAN));
    let others = [29, 31].map(|n| rates.get(leader(n)));
    assert_eq!(others, [-4.5, -2.5].map(|ppm| Some(Ratio::from_ppm(ppm))), "other leaders keep their rates");
    assert_eq!(rates.iter().len(), MAX_RATES);
    assert_eq!(rates.iter().next(), Some(&known(30, 1.25)), "the latest first");
    assert_eq!((rates.get(leader(23)), rates.get(leader(99))), (None, None));
    let (read, invalid) = KnownRates::parse(&rates.to_string());
    assert_eq!((read, invalid), (rates, 0));
}

#[test]
fn invalid_rate_lines_are_ignored_and_counted() {
    let text = "00:1d:c1:00:00:01/1 -33.7\n\n00:1d:c1:00:00:02 1\n\0\0\n00:1d:c1:00:00:03/1 inf\n\
                00:1d:c1:00:00:04/1 1 2\n00:1d:c1:00:00:05/1 501\n00:1d:c1:00:00:06/1 +12\n";
    let (rates, invalid) = KnownRates::parse(text);
    assert_eq!(invalid, 5);
    let read: Vec<_> = rates.iter().copied().collect();
    assert_eq!(read, [known(1, -33.7), known(6, 12.0)]);
}

#[test]
fn saved_rate_is_the_first_guess_and_well_known_rate_is_published() {
    let mut rates = KnownRates::default();
    rates.learn(known(1, 12.4));
    let mut bench = Bench::with(PortConfig { rates, ..PortConfig::default() });
    bench.send_all(leader(1), 1..3);
    let error = (bench.port.map().unwrap().line.rate.ppm() - 12.0).abs();
    assert!(error < 0.5, "{error} ppm off after one measurement");
    bench.send_all(leader(1), 3..400);
    let published: Vec<_> = bench.outputs.iter().filter(|output| matches!(output, Output::Rate(_))).collect();
    let [Output::Rate(known)] = published[..] else { panic!("{published:?}") };
    assert!((known.rate.ppm() - 12.0).abs() < 0.1 && known.leader == leader(1), "{known:?}");
    bench.outputs.clear();
    bench.advance(Duration::from_secs(3));
    bench.send_all(leader(2), 1..10);
    assert!(
        bench.outputs.iter().any(|output| matches!(output, Output::Rate(known) if known.leader == leader(1))),
        "published when the leader was left"
    );
}
