use super::{Histogram, Scale, decimals, fixed, plus, precise_rates, rms, round_up, signed, unit_of};

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
        assert_eq!(histogram.counts.len(), bins.max(2));
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

/// Pages and logs may contain any number: neighbouring doubles near 10^15, the greatest, subnormal ones.
#[test]
fn axes_and_bins_of_absurd_values_are_bounded() {
    let picks = [
        0.0,
        f64::MIN_POSITIVE / 4.0,
        -1e-300,
        12.0,
        12.000_000_000_000_002,
        1e9,
        1e15 - 0.125,
        -1e15,
        1e18,
        f64::MAX,
        f64::MIN,
        f64::INFINITY,
        f64::NAN,
    ];
    for one in picks {
        for other in picks {
            for least in [1e-8, 0.01, 20.0] {
                let values = [one, other];
                for scale in [
                    Scale::around(values.into_iter(), least, 4.0),
                    Scale::about_zero(values.into_iter(), least, 4.0),
                ] {
                    let ticks = scale.ticks();
                    assert!(scale.low < scale.high && scale.high.is_finite(), "{values:?}: {scale:?}");
                    assert!((2..=16).contains(&ticks.len()), "{values:?}: {scale:?}, {ticks:?}");
                    assert!(ticks.is_sorted_by(|a, b| a < b), "{values:?}: {scale:?}, {ticks:?}");
                    assert!(ticks.iter().all(|tick| scale.text(*tick).len() < 24), "{values:?}: {ticks:?}");
                }
                for bins in [1, 2, 7, 80] {
                    let Some(histogram) = Histogram::of(&values, bins, least) else { continue };
                    let counted = histogram.counts.iter().sum::<u64>();
                    assert_eq!(counted, histogram.samples as u64, "{values:?}, {bins} bins: {histogram:?}");
                    assert!(histogram.ticks(5).len() <= 64);
                }
            }
        }
    }
    let endless = Scale { low: 1e18, high: 1e18, step: 1.0 };
    assert_eq!(endless.ticks().len(), 64);
}

#[test]
fn numbers_in_text_have_a_bounded_width() {
    assert_eq!([plus(12.34, 1), fixed(12.34, 1), plus(-0.04, 1)], ["+12.3", "12.3", "-0.0"]);
    for value in [f64::MAX, f64::MIN, f64::NAN, f64::NEG_INFINITY, 1e15, 5e-324] {
        assert!(
            [plus(value, 4), fixed(value, 4), signed(value, 4)].iter().all(|text| text.len() < 24),
            "{value:e}"
        );
    }
}
