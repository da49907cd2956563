//! Every command on pages whose texts and numbers are chosen by an attacker, or come from a damaged page.

use crate::args::{Action, Args, Form, LogFormat, What};
use crate::history::{Entry, History};
use crate::pages::{Pages, Read};
use crate::{check, datasets, get, log, metrics, plot, scenes, watch};
use clap::Parser;
use dante_core::page::{Body, Freshness, SocketPath, Text};
use dante_core::printable::printable_styled;
use proptest::prelude::*;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// A name with the start of an escape sequence, a line break, C1 CSI, DEL, and a character that reverses the order of text. What
/// follows the line break looks like a finding of the doctor.
pub const NAME: &str = "x\u{1b}[2J\u{9b}31m\u{7f}\u{202e}\nok       forged\u{1b}[8m";
/// The part of it that must not begin a line.
pub const FORGED: &str = "ok       forged";

/// Whether a terminal shows the text as it is, apart from the styling of this program.
pub fn is_harmless(text: &str) -> bool {
    printable_styled(text) == text
}

/// Output of every command that reads pages, with its name. Pictures are left out.
fn outputs(pages: &Pages) -> Vec<(&'static str, String)> {
    let mut outputs = Vec::new();
    for json in [false, true] {
        let form = Form { json };
        for (name, what) in [
            ("get status", What::Status(form)),
            ("get leader", What::Leader(form)),
            ("get port", What::Port(form)),
            ("get counters", What::Counters(form)),
            ("get samples", What::Samples(form)),
        ] {
            outputs.push((name, get::output(&what, pages)));
        }
    }
    let flags = ["pmc-lite", "check", "--max-offset=200us", "--max-rate-error=1", "--max-age=1"];
    let limits = match Args::try_parse_from(flags).expect("flags").action {
        Some(Action::Check(limits)) => limits,
        other => panic!("{other:?}"),
    };
    outputs.push(("check", check::judge(pages, &limits).1));
    outputs.push(("metrics", metrics::of(pages, metrics::Format::Openmetrics)));
    outputs.push(("metrics", metrics::of(pages, metrics::Format::Prometheus)));
    outputs.push(("GET", datasets::all(pages)));
    let entries = History::from_oldest().take(pages);
    outputs.push(("log", logged(&entries, LogFormat::Csv)));
    outputs.push(("log", logged(&entries, LogFormat::Json)));
    outputs
}

fn logged(entries: &[Entry], format: LogFormat) -> String {
    let line = |(place, entry)| log::line(entry, format, place == 0).expect("a line");
    String::from_utf8(entries.iter().enumerate().flat_map(line).collect()).expect("text")
}

/// The scenes, with every text of the pages replaced.
fn scenes_of_an_attacker() -> Vec<(&'static str, Pages)> {
    let mut scenes = scenes::all();
    for (_, pages) in &mut scenes {
        if let Ok(view) = &mut pages.dante4l {
            let name = Text::new("\u{1b}[2J\n\u{9b}1m\u{202e}");
            view.body.candidates.iter_mut().for_each(|candidate| candidate.interface = name);
            for port in &mut view.body.ports {
                port.interface = name;
                port.subdomain = *b"_\x1b[2J\n\x9b\xe2\x80\xae\x7f\x07 \0\0\0";
                port.leader.identifier = *b"\x1b[8m";
                port.foreign_leaders
                    .iter_mut()
                    .for_each(|other| other.leader.identifier = *b"\x9b\n\x7f\x07");
            }
        }
        if let Ok(view) = &mut pages.danteshm {
            view.body.outputs.iter_mut().for_each(|output| output.path = SocketPath::new(NAME));
        }
    }
    scenes
}

#[test]
fn no_command_prints_harmful_characters_of_pages() {
    for (scene, pages) in scenes_of_an_attacker() {
        for (command, text) in outputs(&pages) {
            assert!(is_harmless(&text), "{scene}, {command}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with(FORGED)), "{scene}, {command}: {text}");
        }
        for text in watch::screens(&pages) {
            assert!(is_harmless(&text), "{scene}, watch: {text:?}");
        }
    }
}

#[test]
fn picture_of_a_hostile_log_is_harmless() {
    let entry = Entry {
        time: NAME.into(),
        interface: NAME.into(),
        leader: Some(NAME.into()),
        state: Some(NAME.into()),
        ..Entry::default()
    };
    for format in [LogFormat::Csv, LogFormat::Json] {
        let text = logged(std::slice::from_ref(&entry), format);
        assert!(is_harmless(&text), "{text:?}");
    }
    let svg = plot::picture(&[entry], NAME, "a.svg");
    let svg = String::from_utf8(svg).expect("text");
    assert!(is_harmless(&svg) && svg.contains("forged"), "{svg:?}");
    assert!(!svg.lines().any(|line| line.starts_with(FORGED)), "{svg}");
}

/// Words of pages: the extremes of both kinds of numbers that the fields have.
fn absurd() -> impl Strategy<Value = u64> {
    let floats = [
        f64::MAX,
        f64::MIN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::MIN_POSITIVE,
        5e-324,
        1e300,
        -1e300,
        1e18,
        1e9,
        -1.0,
        1e-6,
    ];
    let integers = [i64::MAX, i64::MIN, i64::MIN + 1, -1, 0, 1, 1 << 53, 100_000_000_000];
    prop_oneof![
        any::<u64>(),
        proptest::sample::select(floats.map(f64::to_bits).to_vec()),
        proptest::sample::select(integers.map(i64::cast_unsigned).to_vec()),
    ]
}

/// Replaces words of the body: each (place, word) pair, the place modulo the size, or all words in turn.
fn damage<B: Body + FromBytes + IntoBytes + Immutable>(
    page: &mut Read<B>,
    words: &[(usize, u64)],
    all: bool,
) {
    let Ok(view) = page else { return };
    view.freshness = Freshness::Fresh;
    let bytes = view.body.as_mut_bytes();
    let count = bytes.len() / 8;
    let places: Vec<(usize, u64)> = if all {
        (0..count).zip(words.iter().cycle()).map(|(place, (_, word))| (place, *word)).collect()
    } else {
        words.iter().map(|(place, word)| (place % count, *word)).collect()
    };
    for (place, word) in places {
        bytes[place * 8..][..8].copy_from_slice(&word.to_ne_bytes());
    }
}

/// Greatest size of an output, bytes; the largest, the ring of samples as JSON, has some ten thousand.
const MAX_OUTPUT: usize = 1 << 20;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_command_survives_every_page(
        words in proptest::collection::vec((any::<usize>(), absurd()), 1..400),
        all in any::<[bool; 4]>(),
        scene in 0usize..100,
    ) {
        let mut scenes = scenes::all();
        let scene = scene % scenes.len();
        let (name, mut pages) = scenes.swap_remove(scene);
        damage(&mut pages.clock, &words, all[0]);
        damage(&mut pages.dante4l, &words, all[1]);
        damage(&mut pages.dante2sys, &words, all[2]);
        damage(&mut pages.danteshm, &words, all[3]);
        for (command, text) in outputs(&pages) {
            prop_assert!(text.len() < MAX_OUTPUT, "{name}, {command}: {} bytes", text.len());
            prop_assert!(is_harmless(&text), "{name}, {command}: {text:?}");
            if !["metrics", "log"].contains(&command) && !text.starts_with(['{', '[']) {
                let longest = text.split(|c: char| !c.is_ascii_digit()).map(str::len).max().unwrap_or(0);
                prop_assert!(longest <= 24, "{name}, {command}: a number of {longest} digits in {text}");
            }
        }
        for text in watch::screens(&pages) {
            prop_assert!(is_harmless(&text) && text.len() < MAX_OUTPUT, "{name}, watch: {text:?}");
        }
        let mut entries = History::from_oldest().take(&pages);
        // The state on the pages is known for the newest sample only.
        if let Some(last) = entries.last().cloned() {
            for (entry, (_, word)) in entries.iter_mut().zip(&words) {
                entry.state = last.state.clone();
                entry.rate_ppb = Some(f64::from_bits(*word));
                entry.rate_uncertainty_ppb = last.rate_uncertainty_ppb;
                entry.phase_error_ns = Some(word.cast_signed());
            }
            let svg = plot::picture(&entries, "studio-1", "a.svg");
            prop_assert!(svg.len() < MAX_OUTPUT, "{name}, plot: {} bytes", svg.len());
        }
    }
}

/// The numbers of a log that was edited, or comes from another program.
#[test]
fn picture_of_absurd_numbers_is_bounded() {
    let picks = [f64::MAX, -1e300, 1e18, 1e18 + 256.0, f64::NAN, f64::INFINITY, 5e-324, 12_000.0];
    let times = [i64::MIN, i64::MAX, 0, 1, -1, 1 << 60];
    let entries: Vec<Entry> = (0..48)
        .map(|place| Entry {
            raw_ns: times[place % times.len()],
            residual_ns: times[(place + 1) % times.len()],
            phase_error_ns: Some(times[(place + 2) % times.len()]),
            missed: u64::MAX,
            accepted: place % 3 != 0,
            state: Some("SLAVE".into()),
            rate_ppb: Some(picks[place % picks.len()]),
            rate_uncertainty_ppb: Some(picks[(place / 2) % picks.len()]),
            ..Entry::default()
        })
        .collect();
    for range in [0..48, 2..4, 0..2, 7..8] {
        for file in ["a.svg", "a.png"] {
            let picture = plot::picture(&entries[range.clone()], "studio-1", file);
            assert!(picture.len() < MAX_OUTPUT, "{file}: {} bytes", picture.len());
        }
    }
}
