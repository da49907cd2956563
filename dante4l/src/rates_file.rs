//! The file of saved leader rates: a line for each leader, the latest first.

use dante_core::port::{KnownRate, KnownRates};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_os::statefile::StateFile;
use std::path::PathBuf;

/// Delay from a new rate to writing the file, together with rates that arrive meanwhile; also the delay of a retry after a failure.
const WRITE_DELAY: Duration = Duration::from_secs(60);

/// The file and the rates to be written.
pub struct RatesFile {
    file: StateFile,
    pub rates: KnownRates,
    /// When the file is to be written; `None` if it is up to date.
    due: Option<Timestamp<Raw>>,
    /// Whether the last attempt failed, which was logged.
    has_failed: bool,
}

impl RatesFile {
    /// Reads the file. Errors and invalid lines are logged and otherwise ignored.
    pub fn read(path: PathBuf) -> Self {
        let file = StateFile::new(path);
        let text = file
            .read()
            .inspect_err(|error| log::warn!("{error}: starting without saved leader rates"))
            .unwrap_or_default()
            .unwrap_or_default();
        let (rates, invalid) = KnownRates::parse(&text);
        let path = file.path().display();
        if invalid > 0 {
            log::warn!(
                "{path}: {invalid} invalid lines ignored: each line must have a leader's UUID/port, its rate in ppm and, optionally, \
                 its random walk in ppb per root second"
            );
        }
        if rates.iter().len() > 0 {
            log::info!("rates of {} leaders read from {path}", rates.iter().len());
        }
        Self { file, rates, due: None, has_failed: false }
    }

    pub fn learn(&mut self, now: Timestamp<Raw>, known: KnownRate) {
        self.rates.learn(known);
        self.due.get_or_insert(now + WRITE_DELAY);
    }

    /// Writes the file if that is due.
    pub fn write_if_due(&mut self, now: Timestamp<Raw>) {
        if self.due.is_some_and(|due| now >= due) {
            self.write(now);
        }
    }

    /// Writes the file before the program ends, if there is a new rate.
    pub fn finish(&mut self, now: Timestamp<Raw>) {
        if self.due.is_some() {
            self.write(now);
        }
    }

    fn write(&mut self, now: Timestamp<Raw>) {
        let result = self.file.replace(&self.rates.to_string());
        match (&result, self.has_failed) {
            (Err(error), false) => {
                log::warn!("{error}: leader rates not saved; retrying every minute")
            }
            (Ok(()), true) => log::info!("leader rates saved again"),
            _ => {}
        }
        self.has_failed = result.is_err();
        self.due = self.has_failed.then_some(now + WRITE_DELAY);
    }
}
