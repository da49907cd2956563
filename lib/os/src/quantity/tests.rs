use super::*;

#[test]
fn times_are_read_with_and_without_a_unit() {
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
fn rates_are_numbers_of_ppm() {
    assert_eq!(ppm("0.5"), Ok(0.5));
    assert_eq!(ppm("500"), Ok(500.0));
    for wrong in ["", "0", "-1", "501", "NaN", "inf", "1ppm"] {
        assert!(ppm(wrong).is_err(), "{wrong:?}");
    }
}
