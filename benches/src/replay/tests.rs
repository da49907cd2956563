use super::consistency::Figures;
use super::truth::RateErrors;
use super::*;
use rand::SeedableRng;
use rand_distr::{Distribution, Normal};
use rand_pcg::Pcg64Mcg;

/// Rate of the leader in the logs, ppb.
const TRUTH: Ratio = Ratio::from_ppb(12_000.0);
/// Noise of the logs, ns.
const NOISE_NS: f64 = 5_000.0;

/// Writes a log at 4 Hz of the Syncs `syncs` with white noise; `shift` is the leader's time minus the line, ns.
fn log(syncs: impl Iterator<Item = i64>, shift: impl Fn(i64) -> i64) -> Recording {
    let mut rng = Pcg64Mcg::seed_from_u64(7);
    let noise = Normal::new(0.0, NOISE_NS).unwrap();
    let mut text = String::from("raw_ns,origin_ns\n");
    for n in syncs {
        let sent = n * 250_000_000;
        let raw = 3_000_000_000_000 + Duration::from_ns_f64(noise.sample(&mut rng)).ns() + sent;
        let origin = 900_000_000_000 + sent + n * 3_000 + shift(n);
        text += &format!("{raw},{origin}\n");
    }
    Recording::parse(&text).unwrap()
}

fn white(seconds: i64) -> Replay {
    Replay::of(&log(0..4 * seconds, |_| 0)).unwrap()
}

#[test]
fn counts_syncs_gaps_and_span() {
    let figures =
        Figures::of(&Replay::of(&log((0..400).filter(|n| !(200..240).contains(n)), |_| 0)).unwrap());
    assert_eq!((figures.syncs, figures.gaps, figures.jumps), (360, 1, 0));
    assert!((figures.span_s - 99.75).abs() < 0.001, "{}", figures.span_s);
    assert!((figures.interval_s - 0.25).abs() < 0.001, "{}", figures.interval_s);
}

#[test]
fn residuals_of_white_noise_are_white_and_as_large_as_stated() {
    let figures = Figures::of(&white(1_000));
    assert!((0.9..1.1).contains(&figures.normalised_rms), "{}", figures.normalised_rms);
    assert!((0.9..1.1).contains(&(figures.scatter_ns / NOISE_NS)), "{}", figures.scatter_ns);
    for (lag, value) in figures.autocorrelation {
        assert!(value.unwrap().abs() < 0.06, "lag {lag} s: {value:?}");
    }
}

#[test]
fn autocorrelation_shows_slow_delays() {
    let slow = |n: i64| Duration::from_ns_f64(20_000.0 * (n as f64 / 13.0).sin()).ns();
    let figures = Figures::of(&Replay::of(&log(0..4_000, slow)).unwrap());
    let [(_, sample), (_, second), _, _] = figures.autocorrelation;
    assert!(sample.unwrap() > 0.5 && second.unwrap() > 0.3, "{:?}", figures.autocorrelation);
}

/// The leader's rate is constant in these logs, but the estimator allows for the random walk of an oscillator. So the limits for the
/// long windows are wide downwards.
#[test]
fn disjoint_fits_of_white_noise_scatter_as_stated() {
    let figures = Figures::of(&white(2_000));
    let [(60, Some(short)), (240, Some(long))] = figures.fits else { panic!("{:?}", figures.fits) };
    assert_eq!((short.windows, long.windows), (33, 8));
    for (fits, n, seconds, least) in [(short, 240.0_f64, 60.0, 0.5), (long, 960.0, 240.0, 0.2)] {
        println!("{fits:?}, ratio {:.2}, alone {:.2}", fits.ratio(), fits.ratio_alone());
        // Standard deviation of the slope of n points over T: sqrt(12 / n) / T of the noise.
        let theory = NOISE_NS * (12.0 / n).sqrt() / seconds;
        assert!((0.6..1.5).contains(&(fits.scatter_ppb / theory)), "{fits:?}, theory {theory}");
        assert!((least..1.6).contains(&fits.ratio_alone()), "{fits:?}");
        assert!((least..4.0).contains(&fits.ratio()), "{fits:?}");
        assert!(fits.ratio() > fits.ratio_alone(), "the estimator averages longer than a window: {fits:?}");
    }
}

/// Delays with a time constant far above the interval scatter the fits more than white noise of the same size does.
#[test]
fn disjoint_fits_show_delays_that_change_slowly() {
    let slow = |n: i64| Duration::from_ns_f64(20_000.0 * (n as f64 / 100.0).sin()).ns();
    let [slow, white] = [Replay::of(&log(0..4_000, slow)).unwrap(), white(1_000)];
    let scatter = |replay| Figures::of(replay).fits[0].1.unwrap().scatter_ppb;
    assert!(scatter(&slow) > 3.0 * scatter(&white), "{} {}", scatter(&slow), scatter(&white));
}

#[test]
fn short_recording_has_no_disjoint_fits_and_no_long_lags() {
    let figures = Figures::of(&white(15));
    assert_eq!(figures.fits, [(60, None), (240, None)]);
    assert!(figures.autocorrelation[2].1.is_some());
    assert_eq!(figures.autocorrelation[3].1, None);
    assert!(figures.to_string().lines().any(|line| line.starts_with("fits of 60 s") && line.ends_with(" -")));
}

#[test]
fn jump_is_counted_and_leaves_the_other_fits_alone() {
    let jump = |n: i64| if n < 2_000 { 0 } else { 3_000_000_000 };
    let figures = Figures::of(&Replay::of(&log(0..4_000, jump)).unwrap());
    assert_eq!(figures.jumps, 1);
    let (_, Some(fits)) = figures.fits[0] else { panic!("{:?}", figures.fits) };
    assert!(fits.scatter_ppb < 50.0 && fits.windows == 15, "{fits:?}");
}

#[test]
fn every_line_of_the_figures_has_a_name_and_a_value() {
    let text = Figures::of(&white(300)).to_string();
    for line in text.lines() {
        let (name, rest) = line.split_at(52);
        assert!(!name.trim().is_empty() && !rest.trim().is_empty(), "{line}");
    }
}

#[test]
fn rate_errors_cover_the_syncs_after_the_given_time() {
    let replay = white(400);
    let [all, late] = [0.0, 300.0].map(|after| RateErrors::of(&replay, TRUTH, Some(after)).unwrap());
    assert!(late.worst_ppb < all.worst_ppb && late.rms_ppb <= late.worst_ppb, "{all}, {late}");
    assert!(late.rms_ppb < 20.0 && late.within_2_sigma > 0.8, "{late}");
    let wrong = RateErrors::of(&replay, Ratio::from_ppb(11_000.0), Some(300.0)).unwrap();
    assert!((wrong.rms_ppb - 1_000.0).abs() < 20.0 && wrong.within_2_sigma == 0.0, "{wrong}");
}

#[test]
fn rate_errors_count_from_a_small_uncertainty_on_without_a_given_time() {
    let replay = white(400);
    let [all, settled] = [Some(0.0), None].map(|after| RateErrors::of(&replay, TRUTH, after).unwrap());
    assert!(settled.rms_ppb < all.rms_ppb && settled.worst_ppb < 200.0, "{all}, {settled}");
}

#[test]
fn rate_errors_have_one_line() {
    let errors = RateErrors { rms_ppb: 7.96, worst_ppb: 21.0, within_2_sigma: 0.987_65, false_alarms: 1 };
    let line = "rate_rms_ppb=8.0 rate_worst_ppb=21.0 within_2_sigma=98.8 false_alarms=1";
    assert_eq!(errors.to_string(), line);
}

#[test]
fn false_alarms_before_the_given_time_do_not_count() {
    let jump = |n: i64| if n < 400 { 0 } else { 3_000_000_000 };
    let replay = Replay::of(&log(0..1_200, jump)).unwrap();
    let alarms = |after| RateErrors::of(&replay, TRUTH, Some(after)).unwrap().false_alarms;
    assert!(alarms(0.0) >= 1);
    assert_eq!(alarms(200.0), 0);
}

#[test]
fn rejects_too_few_syncs_and_a_start_beyond_the_end() {
    let error = Replay::of(&log(0..4, |_| 0)).unwrap_err().to_string();
    assert!(error.contains("did not converge with 4 Syncs"), "{error}");
    let error = RateErrors::of(&white(60), TRUTH, Some(61.0)).unwrap_err().to_string();
    assert!(error.contains("61 s after the first") && error.contains("59.7 s"), "{error}");
}
