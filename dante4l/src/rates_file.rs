//! The leaders' rates, remembered from run to run: a line for each, the latest first.

use dante_core::port::{KnownRate, KnownRates};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_os::statefile::StateFile;
use std::path::PathBuf;

/// What is learnt is written so long after it was, together with what is learnt meanwhile; as long until a failure is
/// tried again.
const LATER: Duration = Duration::from_secs(60);

/// The file, and what it is to say.
pub struct RatesFile {
    file: StateFile,
    pub rates: KnownRates,
    /// When it is to be written.
    due: Option<Timestamp<Raw>>,
    /// The last attempt failed, and that was said.
    has_failed: bool,
}

impl RatesFile {
    /// Reads it, as far as it can be read.
    pub fn read(path: PathBuf) -> Self {
        let file = StateFile::new(path);
        let text = file
            .read()
            .inspect_err(|error| log::warn!("{error}: no leader's rate is known from before"))
            .unwrap_or_default()
            .unwrap_or_default();
        let (rates, garbage) = KnownRates::parse(&text);
        let path = file.path().display();
        if garbage > 0 {
            log::warn!(
                "{path}: {garbage} lines mean nothing, and are ignored: a leader's UUID/port and its rate in ppm are expected"
            );
        }
        if rates.iter().len() > 0 {
            log::info!("rates of {} leaders known from before, from {path}", rates.iter().len());
        }
        Self { file, rates, due: None, has_failed: false }
    }

    pub fn learn(&mut self, now: Timestamp<Raw>, known: KnownRate) {
        self.rates.learn(known);
        self.due.get_or_insert(now + LATER);
    }

    /// Writes it if that is due.
    pub fn keep(&mut self, now: Timestamp<Raw>) {
        if self.due.is_some_and(|due| now >= due) {
            self.write(now);
        }
    }

    /// Writes it at the end, if there is anything new.
    pub fn end(&mut self, now: Timestamp<Raw>) {
        if self.due.is_some() {
            self.write(now);
        }
    }

    fn write(&mut self, now: Timestamp<Raw>) {
        let result = self.file.replace(&self.rates.to_string());
        match (&result, self.has_failed) {
            (Err(error), false) => {
                log::warn!("{error}: the leaders' rates are not remembered; tried again each minute")
            }
            (Ok(()), true) => log::info!("the leaders' rates are remembered again"),
            _ => {}
        }
        self.has_failed = result.is_err();
        self.due = self.has_failed.then_some(now + LATER);
    }
}
