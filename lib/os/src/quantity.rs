//! Quantities in the values of flags.

use dante_core::time::Duration;
use std::str::FromStr;

/// A time with a unit (`20ms`, `100us`, `1.5s`), or seconds without a unit as in linuxptp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let units = [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("", 1.0)];
        let (number, unit) = units
            .into_iter()
            .find_map(|(unit, s)| Some((text.strip_suffix(unit)?, s)))
            .unwrap_or((text, 1.0));
        let seconds: f64 =
            number.trim().parse().map_err(|_| format!("{text} is not a time: write 20ms, 1.5s or 0.02"))?;
        let span = Duration::from_secs_f64(seconds * unit);
        if seconds.is_finite() && span > Duration::ZERO && span <= Duration::from_secs(86_400) {
            Ok(Self(span))
        } else {
            Err(format!("{text} is out of range: a time above 0 and up to one day is required"))
        }
    }
}

/// A rate in ppm, from 0.001 to 500, the kernel's limit.
///
/// # Errors
/// A text that names the valid range.
pub fn ppm(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ppm) if (0.001..=500.0).contains(&ppm) => Ok(ppm),
        _ => Err("a number from 0.001 to 500 (ppm) is required".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_times_with_and_without_a_unit() {
        let span = |text: &str| text.parse::<Span>().map(|span| span.0.ns());
        assert_eq!(span("20ms"), Ok(20_000_000));
        assert_eq!(span("100us"), Ok(100_000));
        assert_eq!(span("1.5s"), Ok(1_500_000_000));
        assert_eq!(span("0.02"), Ok(20_000_000));
        assert_eq!(span("7ns"), Ok(7));
        for wrong in ["", "ms", "-1ms", "0", "1h", "2d", "NaN", "inf", "1e9s", "20 m s"] {
            assert!(span(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn parses_rates_in_ppm_within_the_kernels_range() {
        assert_eq!(ppm("0.5"), Ok(0.5));
        assert_eq!(ppm("500"), Ok(500.0));
        for wrong in ["", "0", "-1", "501", "NaN", "inf", "1ppm"] {
            assert!(ppm(wrong).is_err(), "{wrong:?}");
        }
    }
}
