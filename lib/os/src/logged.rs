//! The lines that a test logs; also used by tests of other crates.

use std::cell::RefCell;

thread_local! {
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                lines.push(format!("{} {}", record.level(), record.args()));
            }
        });
    }

    fn flush(&self) {}
}

/// Runs `test`, and returns the lines that this thread logged meanwhile, each after its level.
pub fn logged(test: impl FnOnce()) -> Vec<String> {
    // Another test may have installed it.
    _ = log::set_logger(&Lines);
    log::set_max_level(log::LevelFilter::Debug);
    LINES.set(Some(Vec::new()));
    test();
    LINES.take().unwrap_or_default()
}
