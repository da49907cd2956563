//! Specification of the clock pages: docs/pages.md, files/include/dante_pages.h and the structures of the suite have the same
//! layout.

use crate::page_consumer::{Reading, compile, reader_with, run};
use dante_core::announcement::PtpVersion;
use dante_core::page::{
    Body, CLOCK_HAS_LEADER, CLOCK_HAS_MAP, CLOCK_HAS_PATH_DELAY, CLOCK_LOCKED, Dante2sys, Dante4l, Danteshm,
    HEAD_SIZE, MAP_HAS_PATH_DELAY, MapRecord, PieceRecord, STEER_HAS_PIECE, STEER_HAS_UTC, STEER_UTC_BY_HAND,
    STEER_UTC_SYNCHRONISED, SampleRecord, TAIL_SIZE, TIMESCALE_FREQUENCY_TRACEABLE, TIMESCALE_LEAP_59,
    TIMESCALE_LEAP_61, TIMESCALE_PTP, TIMESCALE_TRACEABLE, TIMESCALE_UTC_OFFSET_VALID,
};
use dante_core::port::TimestampSource;
use dante_core::relay::{EpochSource, Waiting};
use dante_core::steer::{SteeredClock, UtcSource};
use dante_core::time::Timestamp;
use dante_core::timescale::Piece;
use dante_core::track::KernelClock;
use dante_core::utc::Leap;
use dante_core::{port, relay, steer};
use dante_tests::lab::{has, may_run};
use dante_tests::package::sources;
use dante_tests::skip;
use dante_tests::stage::Stage;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

fn document() -> String {
    fs::read_to_string(sources().join("docs/pages.md")).expect("the specification")
}

fn header() -> String {
    fs::read_to_string(sources().join("files/include/dante_pages.h")).expect("the header")
}

type Field = (String, usize, usize);

/// Returns the compiled structures of the clock pages by their names in the header, with offsets as documented.
fn compiled() -> BTreeMap<&'static str, Vec<Field>> {
    let of = |base: usize, fields: &[(&str, usize, usize)]| {
        fields.iter().map(|(name, at, size)| ((*name).to_owned(), base + at, *size)).collect()
    };
    BTreeMap::from([
        ("dante4l", of(HEAD_SIZE, Dante4l::FIELDS)),
        ("dante2sys", of(HEAD_SIZE, Dante2sys::FIELDS)),
        ("danteshm", of(HEAD_SIZE, Danteshm::FIELDS)),
        ("map", of(0, MapRecord::FIELDS)),
        ("sample", of(0, SampleRecord::FIELDS)),
        ("piece", of(0, PieceRecord::FIELDS)),
    ])
}

/// Returns the cells of a table's row without backquotes.
fn cells(line: &str) -> Option<Vec<String>> {
    let row = line.strip_prefix("| ")?.strip_suffix(" |")?;
    Some(row.split(" | ").map(|cell| cell.trim().trim_matches('`').to_owned()).collect())
}

/// Returns the fields in the table below the heading of a structure.
fn documented(text: &str, name: &str) -> Vec<Field> {
    let heading = format!("# `dante_{name}`:");
    let (_, section) = text.split_once(&heading).unwrap_or_else(|| panic!("docs/pages.md has no {name}"));
    let section = section.split("\n#").next().unwrap_or_default();
    let field = |row: Vec<String>| match row.as_slice() {
        [offset, size, kind, name, _] => {
            let (offset, size) = (offset.parse().ok()?, size.parse().ok()?);
            assert_eq!(size_of_type(kind), size, "{name} is {kind}");
            Some((name.clone(), offset, size))
        }
        _ => None,
    };
    section.lines().filter_map(cells).filter_map(field).collect()
}

/// The size of a type in C.
fn size_of_type(kind: &str) -> usize {
    let (kind, count) = match kind.split_once('[') {
        Some((kind, count)) => (kind, count.trim_end_matches(']').parse().expect("a count")),
        None => (kind, 1),
    };
    let one = match kind {
        "char" | "uint8_t" => 1,
        "uint16_t" | "int16_t" => 2,
        "uint32_t" | "int32_t" => 4,
        "uint64_t" | "int64_t" | "double" => 8,
        "struct dante_map" => size_of::<MapRecord>(),
        "struct dante_sample" => size_of::<SampleRecord>(),
        "struct dante_piece" => size_of::<PieceRecord>(),
        kind => panic!("{kind}"),
    };
    one * count
}

/// Returns the fields that the header asserts of a structure; the compiler checks the assertions.
fn asserted(text: &str, name: &str) -> Vec<Field> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("DANTE_FIELD(")?.strip_suffix(");"));
    let words = lines.map(|line| line.split(", ").collect::<Vec<_>>());
    let number = |word: &str| word.parse().expect("a number");
    let of_it = words.filter(|words| words[0] == name);
    of_it.map(|words| (words[2].to_owned(), number(words[3]), number(words[4]))).collect()
}

#[test]
fn documented_and_c_field_offsets_match_the_structures() {
    let (document, header) = (document(), header());
    for (name, fields) in compiled() {
        assert_eq!(documented(&document, name), fields, "docs/pages.md: {name}");
        assert_eq!(asserted(&header, name), fields, "dante_pages.h: {name}");
    }
    let head = documented(&document, "head");
    assert_eq!(head, asserted(&header, "head"));
    assert_eq!(head.iter().map(|(_, _, size)| size).sum::<usize>(), HEAD_SIZE);
    for (name, kind, version, size) in [
        ("DANTE4L", Dante4l::KIND, Dante4l::VERSION, Dante4l::SIZE),
        ("DANTE2SYS", Dante2sys::KIND, Dante2sys::VERSION, Dante2sys::SIZE),
        ("DANTESHM", Danteshm::KIND, Danteshm::VERSION, Danteshm::SIZE),
    ] {
        let words = format!("\nKind {kind}, major version {version}, {size} bytes.");
        assert!(document.contains(&words), "docs/pages.md lacks: {words}");
        let tail = format!("ail follows, at {}.", size - TAIL_SIZE);
        assert!(document.contains(&tail), "docs/pages.md lacks: {tail}");
        let defined = format!("#define DANTE_{name}_SIZE {size}\n");
        assert!(header.contains(&defined), "dante_pages.h lacks: {defined}");
    }
    let defined = format!("#define DANTE_TAIL_SIZE {TAIL_SIZE}\n");
    assert!(header.contains(&defined), "dante_pages.h lacks: {defined}");
}

/// Field, number and word of each variant.
macro_rules! cases {
    ($field:literal, $kind:ty) => {
        <$kind>::ALL.map(|case| ($field.to_owned(), (case as u32).to_string(), case.to_string()))
    };
}

#[test]
fn documented_and_c_enumerations_match_the_code() {
    let (document, header) = (document(), header());
    let compiled: BTreeSet<_> = [
        &cases!("dante4l.protocol", PtpVersion)[..],
        &cases!("dante4l.state", port::State),
        &cases!("dante4l.kernel_clock", KernelClock),
        &cases!("dante4l.timestamp_source", TimestampSource),
        &cases!("dante2sys.state", steer::State),
        &cases!("dante2sys.clock", SteeredClock),
        &cases!("dante2sys.utc_source", UtcSource),
        &cases!("dante2sys.leap", Leap),
        &cases!("danteshm.state", relay::State),
        &cases!("danteshm.epoch_source", EpochSource),
        &cases!("danteshm.waiting", Waiting),
    ]
    .concat()
    .into_iter()
    .collect();
    let mut documented = BTreeSet::new();
    for row in document.lines().filter_map(cells) {
        if let [field, number, word, constant, _] = row.as_slice()
            && field.contains('.')
        {
            let text = format!("{constant} = {number}");
            let ends = |rest: &str| rest.starts_with([',', '\n', ' ']);
            assert!(header.split(&text).skip(1).any(ends), "dante_pages.h lacks {text}");
            documented.insert((field.clone(), number.clone(), word.clone()));
        }
    }
    assert_eq!(documented, compiled);
}

#[test]
fn documented_and_c_flag_bits_match_the_code() {
    let (document, header) = (document(), header());
    macro_rules! flags {
        ($field:literal: $($flag:ident)+) => {
            [$(($field, u32::from($flag), concat!("DANTE_", stringify!($flag)))),+]
        };
    }
    let compiled = [
        &flags!("dante4l.flags": CLOCK_HAS_LEADER CLOCK_HAS_MAP CLOCK_HAS_PATH_DELAY CLOCK_LOCKED MAP_HAS_PATH_DELAY)[..],
        &flags!("dante4l.timescale": TIMESCALE_PTP TIMESCALE_UTC_OFFSET_VALID TIMESCALE_TRACEABLE
            TIMESCALE_FREQUENCY_TRACEABLE TIMESCALE_LEAP_61 TIMESCALE_LEAP_59),
        &flags!("dante2sys.flags": STEER_HAS_PIECE STEER_HAS_UTC STEER_UTC_SYNCHRONISED STEER_UTC_BY_HAND),
    ]
    .concat();
    let rows: Vec<_> = document.lines().filter_map(cells).collect();
    let documented = rows.iter().filter_map(|row| match row.as_slice() {
        [field, bit, constant, _] => Some((field.as_str(), bit.parse().ok()?, constant.as_str())),
        _ => None,
    });
    assert_eq!(documented.collect::<Vec<(&str, u32, &str)>>(), compiled);
    for (_, bit, constant) in compiled {
        assert!(header.contains(&format!("#define {constant} {bit}u\n")), "dante_pages.h lacks {constant}");
    }
}

#[test]
fn header_compiles_without_warnings_as_c_and_cpp() {
    if !may_run(&["cc"]) {
        return;
    }
    for source in ["tests/consumers/page_reader.c", "files/include/examples/dante-now.c"] {
        let source = sources().join(source);
        for standard in ["-std=c11", "-std=gnu11", "-std=gnu17"] {
            compile("cc", &[standard, "-pedantic"], &source, None);
        }
        if has("g++") {
            for standard in ["-std=c++11", "-std=gnu++20"] {
                compile("g++", &["-x", "c++", standard, "-pedantic"], &source, None);
            }
        } else {
            skip("g++ is not installed");
        }
    }
}

/// The text of the worked example, the suite and the reader in C give the same numbers.
#[test]
fn worked_example_matches_suite_and_header() {
    let document = document();
    let (_, example) = document.split_once("# A worked example\n").expect("the example");
    let example =
        Reading::of(&example.replace(" = ", "=").replace("  ", "").replace(" =", "=").replace("= ", "="));
    let map = MapRecord {
        raw0_ns: example.get("raw0_ns"),
        dante0_ns: example.get("dante0_ns"),
        rate: example.get("rate"),
        offset_sigma_ns: example.get("offset_sigma_ns"),
        rate_sigma: example.get("rate_sigma"),
        correlation: example.get("correlation"),
        wander: example.get("wander"),
    };
    let piece = Piece {
        origin: 1,
        serial: 1,
        dante0: Timestamp::from_ns(example.get("piece.dante0_ns")),
        utc0: Timestamp::from_ns(example.get("piece.utc0_ns")),
        slope: example.get("piece.slope"),
    };
    let raw = Timestamp::from_ns(example.get("raw"));
    let checked = map.checked().expect("a map");
    let dante = checked.dante_at(raw);
    let utc = piece.utc_at(dante).ns() + example.int("leap_seconds") * 1_000_000_000;
    assert_eq!((dante.ns(), utc), (example.get("dante"), example.get("utc")));
    let sigma: f64 = example.get("sigma");
    assert!((checked.uncertainty_at(raw).offset.ns() as f64 - sigma).abs() < 0.5, "{sigma}");
    if !may_run(&["cc"]) {
        return;
    }
    let stage = Stage::new();
    let names = [
        "raw0_ns",
        "dante0_ns",
        "rate",
        "offset_sigma_ns",
        "rate_sigma",
        "correlation",
        "wander",
        "piece.dante0_ns",
        "piece.utc0_ns",
        "piece.slope",
        "leap_seconds",
        "raw",
    ];
    let values = names.map(|name| example.get::<String>(name));
    let words: Vec<&str> = ["compute"].into_iter().chain(values.iter().map(String::as_str)).collect();
    for options in [&[][..], &["-DDANTE_NO_INT128"]] {
        let reader = reader_with(&stage, options);
        let computed = run(&reader, &words);
        for name in ["dante", "sigma", "utc"] {
            assert_eq!(computed.get::<String>(name), example.get::<String>(name), "{name}");
        }
        for (elapsed, slope) in PIECES {
            let piece = Piece { dante0: Timestamp::from_ns(1_000), utc0: Timestamp::ZERO, slope, ..piece };
            let dante = (1_000 + elapsed).to_string();
            let slope = slope.to_string();
            let words = ["compute", "0", "0", "0", "0", "0", "0", "0", "1000", "0", &slope, "0", &dante];
            let computed = run(&reader, &words).int("utc");
            assert_eq!(computed, piece.utc_at(Timestamp::from_ns(1_000 + elapsed)).ns(), "{elapsed} {slope}");
        }
    }
}

/// Dante time since the start of a piece, ns, and the slope of the piece.
const PIECES: [(i64, i64); 12] = [
    (0, 5),
    (1, 1),
    (-1, 1),
    (1, -1),
    (-1, -1),
    (1 << 48, -1),
    ((1 << 48) + 1, -1),
    (315_360_000_000_000_000, 1_407_374_884),
    (-315_360_000_000_000_000, 1_407_374_884),
    (315_360_000_000_000_000, -1_407_374_883),
    (4_611_686_018_427_387_904, i64::MAX),
    (4_611_686_018_427_387_904, i64::MIN),
];
