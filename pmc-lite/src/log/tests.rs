use super::{Lines, line};
use crate::args::LogFormat;
use crate::history::{Entry, History};
use crate::pages::Pages;
use crate::scenes;
use std::io::{self, Write};

fn lines(entries: &[Entry], format: LogFormat) -> Vec<u8> {
    entries.iter().enumerate().flat_map(|(i, entry)| line(entry, format, i == 0).expect("a line")).collect()
}

/// The last three lines of each scene.
#[test]
fn prints_the_lines_of_every_scene() {
    for (format, end) in [(LogFormat::Csv, "csv"), (LogFormat::Json, "json")] {
        let render = |pages: &Pages| {
            let entries = History::from_oldest().take(pages);
            let last = entries.get(entries.len().saturating_sub(3)..).unwrap_or_default();
            (!last.is_empty()).then(|| String::from_utf8(lines(last, format)).expect("text"))
        };
        for (name, text) in scenes::distinct(render) {
            insta::assert_snapshot!(format!("{name}_{end}"), text);
        }
    }
    let without_samples: Vec<&str> = scenes::all()
        .into_iter()
        .filter(|(_, pages)| History::from_oldest().take(pages).is_empty())
        .map(|(name, _)| name)
        .collect();
    let expected = [
        "no_daemon",
        "listening",
        "listening_ptp_v2",
        "listening_other_subdomain",
        "wifi",
        "faulty",
        "foreign_page",
        "auto_no_leader",
        "auto_ports_in_use",
        "auto_no_wired_interface",
        "auto_compares",
        "auto_two_clocks",
    ];
    assert_eq!(without_samples, expected);
}

/// `plot --input` reads both formats.
#[test]
fn both_formats_can_be_read_back() {
    let entries = History::from_oldest().take(&scenes::locked());
    let csv = lines(&entries, LogFormat::Csv);
    let read: Result<Vec<Entry>, _> = csv::Reader::from_reader(csv.as_slice()).deserialize().collect();
    assert_eq!(read.expect("rows"), entries);
    let json = lines(&entries, LogFormat::Json);
    let read: Result<Vec<Entry>, _> = serde_json::Deserializer::from_slice(&json).into_iter().collect();
    assert_eq!(read.expect("lines"), entries);
}

#[test]
fn each_line_is_one_write_and_one_flush() {
    struct Counting(std::rc::Rc<std::cell::RefCell<Vec<String>>>);
    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().push(String::from_utf8(bytes.to_vec()).expect("text"));
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            self.0.borrow_mut().push("flushed".into());
            Ok(())
        }
    }
    let written = std::rc::Rc::default();
    let mut lines = Lines::new(Box::new(Counting(std::rc::Rc::clone(&written))), LogFormat::Csv);
    let entries = History::from_oldest().take(&scenes::locked());
    lines.write(&entries[0]).expect("written");
    lines.write(&entries[1]).expect("written");
    let written = written.borrow();
    assert_eq!(written.len(), 4, "{written:?}");
    assert_eq!(written[0].lines().count(), 2, "the heading and a line: {}", written[0]);
    assert_eq!(written[2].lines().count(), 1);
    assert!(written[2].ends_with('\n') && written[3] == "flushed");
}
