use super::figure::Figure;
use super::figure::{runs, thinned};
use super::parse;
use super::picture::{Format, draw};
use crate::history::{Entry, History, rfc3339};
use crate::pages::Pages;
use crate::scenes;
use dante_core::time::Timestamp;
use std::path::Path;

/// This many samples of a scene, 0.25 s apart; `steered`: with the phase error of dante2sys.
fn entries(count: usize, steered: bool) -> Vec<Entry> {
    let model = History::from_oldest().take(&scenes::locked()).pop().expect("a sample");
    (0..count)
        .map(|place| {
            let place = i64::try_from(place).expect("few");
            let noise = (place * 7919) % 613 - 306;
            let settled = place > 8;
            Entry {
                time: rfc3339(Timestamp::from_ns(model.real_ns + place * 250_000_000)),
                raw_ns: model.raw_ns + place * 250_000_000,
                sequence: 1 + place.cast_unsigned(),
                residual_ns: noise,
                accepted: place % 97 != 0,
                state: Some(if settled { "SLAVE" } else { "UNCALIBRATED" }.into()),
                rate_ppb: Some(12_046.9 + (place as f64 / 60.0).sin() * 6.0 + noise as f64 * 0.01),
                rate_uncertainty_ppb: Some(8.7 + 300.0 / (1.0 + place as f64)),
                phase_error_ns: steered.then_some(37 + noise / 9),
                ..model.clone()
            }
        })
        .collect()
}

fn svg(entries: &[Entry]) -> String {
    String::from_utf8(draw(&Figure::of(entries, "studio-1"), Format::Svg).expect("drawn")).expect("text")
}

/// The texts of the picture in order.
fn texts(svg: &str) -> Vec<&str> {
    svg.split("<text")
        .skip(1)
        .filter_map(|text| text.split('>').nth(1)?.split('<').next())
        .map(str::trim)
        .collect()
}

#[test]
fn writes_the_texts_of_the_picture() {
    insta::assert_snapshot!("steered", texts(&svg(&entries(480, true))).join("\n"));
    insta::assert_snapshot!("not_steered", texts(&svg(&entries(480, false))).join("\n"));
    insta::assert_snapshot!("one_sample", texts(&svg(&entries(1, false))).join("\n"));
}

/// Every scene with samples.
#[test]
fn draws_every_scene() {
    let render = |pages: &Pages| {
        let entries = History::from_oldest().take(pages);
        (!entries.is_empty()).then(|| texts(&svg(&entries)).join("\n"))
    };
    for (name, text) in scenes::distinct(render) {
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn png_can_be_decoded_and_has_text_and_curves() {
    let bytes = draw(&Figure::of(&entries(480, true), "studio-1"), Format::Png).expect("drawn");
    let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().expect("a PNG");
    let mut dots = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut dots).expect("dots");
    assert_eq!(info.width, 1800);
    let dark = dots.chunks(3).filter(|dot| dot.iter().all(|part| *part < 0x60)).count();
    assert!(dark > 500, "text: {dark} dark dots");
    assert!(dots.chunks(3).any(|dot| dot == [0x1b, 0x6c, 0x8c]), "curves");
}

#[test]
fn takes_the_format_from_the_file_name() {
    assert_eq!(Format::of(Path::new("a.SVG")).expect("a format"), Format::Svg);
    assert_eq!(Format::of(Path::new("b/c.png")).expect("a format"), Format::Png);
    for wrong in ["a", "a.jpg", "svg", ".png"] {
        let error = Format::of(Path::new(wrong)).expect_err(wrong).to_string();
        assert!(error.contains(".svg or .png"), "{error}");
    }
}

#[test]
fn rejects_input_that_is_not_a_log() {
    let error = |text: &str| format!("{:#}", parse(text.as_bytes()).expect_err(text));
    assert!(error("a,b\n1,2\n").contains("not an output of `pmc-lite log`"), "{}", error("a,b\n1,2\n"));
    assert!(error("{\"a\":1}\n").contains("line 1"), "{}", error("{\"a\":1}\n"));
    assert_eq!(parse(b"".as_slice()).expect("nothing"), []);
}

#[test]
fn thinning_keeps_extremes() {
    let mut points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
    points[54_321].1 = 99.0;
    points[12_345].1 = -99.0;
    let thin = thinned(&points, 700);
    assert!(thin.len() <= 4 * 701, "{}", thin.len());
    assert!(thin.contains(&(54_321.0, 99.0)) && thin.contains(&(12_345.0, -99.0)));
    assert_eq!((thin[0], thin[thin.len() - 1]), (points[0], points[99_999]));
    assert!(thin.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(thinned(&points[..100], 700), &points[..100]);
    assert!(svg(&entries(100_000, true)).len() < 2_000_000);
}

#[test]
fn draws_no_line_across_a_gap() {
    let points: Vec<(f64, f64)> =
        (0..40).map(|i| (f64::from(if i < 20 { i } else { i + 100 }), 1.0)).collect();
    let parts: Vec<usize> = runs(&points).iter().map(|part| part.len()).collect();
    assert_eq!(parts, [20, 20]);
}
