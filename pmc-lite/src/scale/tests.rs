use super::{Histogram, Scale, decimals, precise_rates, rms, round_up, signed, unit_of};

#[test]
fn rounds_steps_up_to_round_numbers() {
    for (width, step) in [(1.0, 1.0), (1.1, 2.0), (3.0, 5.0), (7.0, 10.0), (0.013, 0.02), (250.0, 500.0)] {
        assert!((round_up(width) / step - 1.0).abs() < 1e-9, "{width}: {}", round_up(width));
    }
    assert!(round_up(0.0) > 0.0);
}

#[test]
fn scale_contains_all_values() {
    let scale = Scale::around([12.0412, 12.0533].into_iter(), 0.0, 4.0);
    assert!(scale.low <= 12.0412 && scale.high >= 12.0533, "{scale:?}");
    assert_eq!(scale.text(scale.low), "+12.040");
    let scale = Scale::about_zero([-306.0, 120.0].into_iter(), 0.0, 4.0);
    assert_eq!(scale, Scale { low: -400.0, high: 400.0, step: 200.0 });
    assert_eq!(scale.ticks(), [-400.0, -200.0, 0.0, 200.0, 400.0]);
    assert_eq!(
        scale.ticks().into_iter().map(|tick| scale.text(tick)).collect::<Vec<_>>().join(" "),
        "-400 -200 0 +200 +400"
    );
}

#[test]
fn scale_of_no_or_infinite_values_is_valid() {
    for values in [vec![], vec![5.0], vec![f64::NAN], vec![0.0, f64::INFINITY]] {
        for scale in [
            Scale::around(values.iter().copied(), 1.0, 4.0),
            Scale::about_zero(values.iter().copied(), 1.0, 4.0),
        ] {
            assert!(
                scale.high > scale.low && scale.high.is_finite() && scale.ticks().len() < 12,
                "{values:?}: {scale:?}"
            );
        }
    }
}

#[test]
fn writes_as_many_decimals_as_the_step_needs() {
    assert_eq!([100.0, 1.0, 0.5, 0.002, 0.025].map(decimals), [0, 0, 1, 3, 3]);
    assert_eq!(signed(-0.0001, 2), "0.00");
    assert_eq!(signed(12.0, 1), "+12.0");
}

#[test]
fn unit_fits_the_size_of_a_time() {
    assert_eq!([300.0, 12e3, 12e6, 12e9].map(|ns| unit_of(ns).0), ["ns", "µs", "ms", "s"]);
}

#[test]
fn histogram_counts_every_value() {
    let values: Vec<f64> = (0..1000).map(|i| 12.0 + f64::from(i) * 1e-5).collect();
    for bins in [1, 2, 7, 24, 80] {
        let histogram = Histogram::of(&values, bins, 1e-3).expect("values");
        assert_eq!(histogram.counts.len(), bins);
        assert_eq!(histogram.counts.iter().sum::<u64>(), 1000, "{histogram:?}");
        assert!(histogram.width >= 1e-3);
    }
    let one = Histogram::of(&[12.5], 9, 1e-3).expect("a value");
    assert_eq!(one.counts, [0, 0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(Histogram::of(&[], 9, 1e-3), None);
}

#[test]
fn rms_is_none_without_values() {
    assert_eq!(rms([3.0, -4.0, 5.0, 0.0].into_iter()).map(|rms| (rms * 1e6).round()), Some(3_535_534.0));
    assert_eq!(rms(std::iter::empty()), None);
}

#[test]
fn imprecise_first_rates_are_dropped() {
    let known = [(13.0, 2.0), (12.1, 0.09), (12.0, 0.01), (f64::NAN, 0.01)];
    assert_eq!(precise_rates(known.into_iter()), [(12.1, 0.09), (12.0, 0.01)]);
    assert_eq!(precise_rates(std::iter::empty()), []);
}
