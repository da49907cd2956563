use super::figure::Figure;
use super::figure::{runs, thinned};
use super::parse;
use super::picture::{Format, draw};
use crate::history::{Entry, History, rfc3339};
use crate::scenes;
use dante_core::time::Timestamp;
use std::path::Path;

/// Two minutes of a scene whose dante4l measures; `steered`: dante2sys tells its phase.
fn entries(count: usize, steered: bool) -> Vec<Entry> {
    let model = History::with_the_past().take(&scenes::locked()).pop().expect("a sample");
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

/// What stands in it, in its order.
fn texts(svg: &str) -> Vec<&str> {
    svg.split("<text")
        .skip(1)
        .filter_map(|text| text.split('>').nth(1)?.split('<').next())
        .map(str::trim)
        .collect()
}

#[test]
fn the_words_of_the_picture() {
    insta::assert_snapshot!("steered", texts(&svg(&entries(480, true))).join("\n"));
    insta::assert_snapshot!("not_steered", texts(&svg(&entries(480, false))).join("\n"));
    insta::assert_snapshot!("one_sample", texts(&svg(&entries(1, false))).join("\n"));
}

/// Every scene in which there are samples.
#[test]
fn every_scene_is_drawn() {
    for (name, pages) in scenes::all() {
        let entries = History::with_the_past().take(&pages);
        if entries.is_empty() {
            continue;
        }
        insta::assert_snapshot!(name, texts(&svg(&entries)).join("\n"));
    }
}

#[test]
fn a_png_is_one() {
    let bytes = draw(&Figure::of(&entries(480, true), "studio-1"), Format::Png).expect("drawn");
    let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().expect("a PNG");
    let mut dots = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut dots).expect("dots");
    assert_eq!(info.width, 1800);
    let dark = dots.chunks(3).filter(|dot| dot.iter().all(|part| *part < 0x60)).count();
    assert!(dark > 500, "letters are there: {dark} dark dots");
    assert!(dots.chunks(3).any(|dot| dot == [0x1b, 0x6c, 0x8c]), "and curves");
    if let Ok(path) = std::env::var("PLOT_TO") {
        std::fs::write(path, &bytes).expect("written");
    }
}

#[test]
fn only_names_that_say_what_it_is() {
    assert_eq!(Format::of(Path::new("a.SVG")).expect("a format"), Format::Svg);
    assert_eq!(Format::of(Path::new("b/c.png")).expect("a format"), Format::Png);
    for wrong in ["a", "a.jpg", "svg", ".png"] {
        let error = Format::of(Path::new(wrong)).expect_err(wrong).to_string();
        assert!(error.contains(".svg or .png"), "{error}");
    }
}

#[test]
fn what_is_no_log_is_refused() {
    let error = |text: &str| format!("{:#}", parse(text.as_bytes()).expect_err(text));
    assert!(error("a,b\n1,2\n").contains("no log of `pmc-lite log`"), "{}", error("a,b\n1,2\n"));
    assert!(error("{\"a\":1}\n").contains("line 1"), "{}", error("{\"a\":1}\n"));
    assert_eq!(parse(b"".as_slice()).expect("nothing"), []);
}

#[test]
fn many_points_are_thinned_and_none_that_stands_out_is_lost() {
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
fn no_line_is_drawn_across_a_gap() {
    let points: Vec<(f64, f64)> =
        (0..40).map(|i| (f64::from(if i < 20 { i } else { i + 100 }), 1.0)).collect();
    let parts: Vec<usize> = runs(&points).iter().map(|part| part.len()).collect();
    assert_eq!(parts, [20, 20]);
}
