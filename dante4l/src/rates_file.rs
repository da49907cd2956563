//! The file of saved leader rates: a line for each leader, the latest first.

use dante_core::port::{KnownRate, KnownRates};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_os::statefile::{Event, Saver, StateError, StateFile};
use std::path::PathBuf;

/// Delay from the first rate of a run to writing the file: hosts are often switched off, or lose power, soon after a rehearsal
/// started them.
const FIRST_WRITE_DELAY: Duration = Duration::from_secs(5);
/// Delay from a later rate to writing the file, together with rates that arrive meanwhile.
const WRITE_DELAY: Duration = Duration::from_secs(60);

/// The file and the rates to be written.
pub struct RatesFile {
    file: StateFile,
    pub rates: KnownRates,
    saver: Saver,
    /// From a new rate to the next write.
    delay: Duration,
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
        Self { file, rates, saver: Saver::new("rates-file", report), delay: FIRST_WRITE_DELAY }
    }

    pub fn learn(&mut self, now: Timestamp<Raw>, known: KnownRate) {
        self.rates.learn(known);
        self.saver.schedule(now + self.delay);
    }

    /// Starts to write the file if that is due. Never waits for the disk.
    pub fn write_if_due(&mut self, now: Timestamp<Raw>) {
        if self.saver.is_due(now) {
            self.delay = WRITE_DELAY;
            self.saver.start(now, self.write());
        }
    }

    /// Writes the file before the program ends, if there is a new rate.
    pub fn finish(&mut self, now: Timestamp<Raw>) {
        let last = self.saver.is_scheduled().then(|| self.write());
        self.saver.finish(now, last);
    }

    fn write(&self) -> impl FnOnce() -> Result<(), StateError> + Send + 'static {
        let (file, text) = (self.file.clone(), self.rates.to_string());
        move || file.replace(&text)
    }
}

fn report(event: Event<'_>) {
    match event {
        Event::Failed(error) => log::warn!("{error}: leader rates not saved; retrying every minute"),
        Event::SavedAgain => log::info!("leader rates saved again"),
        Event::Unfinished => {
            log::warn!("the disk takes too long: exiting, the leader rates may not be saved")
        }
    }
}
