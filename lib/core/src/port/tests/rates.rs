//! Saved rates of leaders.

use super::*;
use crate::time::Wander;

fn known_with_wander(n: u8, ppm: f64, ppb: f64) -> KnownRate {
    KnownRate { wander: Some(Wander::from_ppb(ppb)), ..known(n, ppm) }
}

fn known(n: u8, ppm: f64) -> KnownRate {
    KnownRate { leader: leader(n), rate: Ratio::from_ppm(ppm), wander: None }
}

#[test]
fn last_16_rates_are_kept_and_read_back() {
    let mut rates = KnownRates::default();
    (0..40).for_each(|n| rates.learn(known(n, f64::from(n) - 33.5)));
    rates.learn(known(30, 1.25));
    rates.learn(known(99, 501.0));
    rates.learn(known(99, f64::NAN));
    let others = [29, 31].map(|n| rates.get(leader(n)).map(|known| known.rate));
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
                00:1d:c1:00:00:04/1 1 2 3\n00:1d:c1:00:00:05/1 501\n00:1d:c1:00:00:06/1 +12\n";
    let (rates, invalid) = KnownRates::parse(text);
    assert_eq!(invalid, 5);
    let read: Vec<_> = rates.iter().copied().collect();
    assert_eq!(read, [known(1, -33.7), known(6, 12.0)]);
}

#[test]
fn wander_is_written_and_read_back() {
    let text = "00:1d:c1:00:00:01/1 -33.712345 0.412\n00:1d:c1:00:00:02/1 1.000000\n\
                00:1d:c1:00:00:03/1 2.000000 0.010\n00:1d:c1:00:00:04/1 3.000000 100.000\n";
    let (rates, invalid) = KnownRates::parse(text);
    let read: Vec<_> = rates.iter().copied().collect();
    let expected = [
        known_with_wander(1, -33.712345, 0.412),
        known(2, 1.0),
        known_with_wander(3, 2.0, 0.01),
        known_with_wander(4, 3.0, 100.0),
    ];
    assert_eq!((read.as_slice(), invalid), (expected.as_slice(), 0));
    assert_eq!(rates.to_string(), text);
}

#[test]
fn file_without_wander_is_read() {
    let text = "00:1d:c1:a1:72:3c/1 -33.712345\n";
    let (rates, invalid) = KnownRates::parse(text);
    assert_eq!((rates.to_string().as_str(), invalid), (text, 0));
    assert!(rates.iter().all(|known| known.wander.is_none()));
}

#[test]
fn lines_with_an_invalid_wander_are_ignored_and_counted() {
    for word in
        ["0", "-0", "-1", "0.009", "100.1", "1e9", "inf", "-inf", "nan", "NaN", "x", "0,4", "1 2", "1e-400"]
    {
        let (rates, invalid) = KnownRates::parse(&format!("00:1d:c1:00:00:01/1 -33.7 {word}\n"));
        assert_eq!((rates.iter().len(), invalid), (0, 1), "{word}");
    }
}

#[test]
fn rate_without_a_plausible_wander_keeps_the_saved_one() {
    let mut rates = KnownRates::default();
    rates.learn(known_with_wander(1, 5.0, 0.5));
    rates.learn(known(1, 6.0));
    assert_eq!(rates.get(leader(1)), Some(known_with_wander(1, 6.0, 0.5)));
    for ppb in [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e-3, 1e3] {
        rates.learn(known_with_wander(1, 7.0, ppb));
        rates.learn(known_with_wander(2, 8.0, ppb));
        assert_eq!(rates.get(leader(1)), Some(known_with_wander(1, 7.0, 0.5)), "{ppb}");
        assert_eq!(rates.get(leader(2)), Some(known(2, 8.0)), "{ppb}");
    }
    assert_eq!(rates.iter().len(), 2);
}

#[test]
fn saved_wander_is_expected_of_its_leader_only() {
    let mut rates = KnownRates::default();
    rates.learn(known_with_wander(1, 12.0, 3.0));
    let mut bench = Bench::with(PortConfig { rates, ..PortConfig::default() });
    bench.send_all(leader(1), 1..20);
    let wander = |bench: &Bench| bench.port.map().unwrap().wander.ppb();
    assert!(wander(&bench) > 2.5, "{}", wander(&bench));
    bench.advance(Duration::from_secs(3));
    bench.send_all(leader(2), 1..20);
    assert!(wander(&bench) < 1.5, "{}", wander(&bench));
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
