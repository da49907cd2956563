use super::{Lines, line};
use crate::args::LogFormat;
use crate::history::{Entry, History};
use crate::scenes;
use std::io::{self, Write};

fn lines(entries: &[Entry], format: LogFormat) -> Vec<u8> {
    entries.iter().enumerate().flat_map(|(i, entry)| line(entry, format, i == 0).expect("a line")).collect()
}

/// The last three lines of each scene, which has to tell what the page knows and nothing else.
#[test]
fn the_lines_of_every_scene() {
    for (name, pages) in scenes::all() {
        let entries = History::with_the_past().take(&pages);
        let last = entries.get(entries.len().saturating_sub(3)..).unwrap_or_default();
        for (format, end) in [(LogFormat::Csv, "csv"), (LogFormat::Json, "json")] {
            let text = String::from_utf8(lines(last, format)).expect("text");
            insta::assert_snapshot!(format!("{name}_{end}"), text);
        }
    }
}

/// What is written can be read back, which `plot --input` does.
#[test]
fn both_formats_read_back() {
    let entries = History::with_the_past().take(&scenes::locked());
    let csv = lines(&entries, LogFormat::Csv);
    let read: Result<Vec<Entry>, _> = csv::Reader::from_reader(csv.as_slice()).deserialize().collect();
    assert_eq!(read.expect("rows"), entries);
    let json = lines(&entries, LogFormat::Json);
    let read: Result<Vec<Entry>, _> = serde_json::Deserializer::from_slice(&json).into_iter().collect();
    assert_eq!(read.expect("lines"), entries);
}

/// Each line is whole when it is written, and flushed.
#[test]
fn a_line_is_one_write() {
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
    let entries = History::with_the_past().take(&scenes::locked());
    lines.write(&entries[0]).expect("written");
    lines.write(&entries[1]).expect("written");
    let written = written.borrow();
    assert_eq!(written.len(), 4, "{written:?}");
    assert_eq!(written[0].lines().count(), 2, "the names and a line: {}", written[0]);
    assert_eq!(written[2].lines().count(), 1);
    assert!(written[2].ends_with('\n') && written[3] == "flushed");
}
