//! The drift file: stores the clock's frequency between runs. As in chrony's drift file it has two numbers in ppm: the frequency
//! and its uncertainty. Beside it a file with the suffix `.utc` stores UTC over Dante time ([`SavedUtc`]).

use dante_core::explain::Explain;
use dante_core::time::{Duration, Ratio, Raw, Timestamp};
use dante_core::utc::SavedUtc;
use dante_os::statefile::{Event, Saver, StateError, StateFile};
use std::path::PathBuf;

/// Time from the lock to the first write.
const FIRST_INTERVAL: Duration = Duration::from_secs(60);
/// Time between two writes.
const INTERVAL: Duration = Duration::from_secs(3600);
/// Larger values are implausible: the kernel's own limit of the frequency.
const LIMIT_PPM: f64 = 500.0;

/// The drift file, if one is configured.
pub struct DriftFile {
    file: Option<StateFile>,
    utc_file: Option<StateFile>,
    saver: Saver,
}

impl DriftFile {
    pub fn new(path: Option<PathBuf>) -> Self {
        let utc_path = path.clone().map(|mut path| {
            path.as_mut_os_string().push(".utc");
            path
        });
        let [file, utc_file] = [path, utc_path].map(|path| path.map(StateFile::new));
        Self { file, utc_file, saver: Saver::new("drift-file", report) }
    }

    /// Reads UTC of the last run, if it is stored.
    pub fn read_utc(&self) -> Option<SavedUtc> {
        let file = self.utc_file.as_ref()?;
        let text = file
            .read()
            .inspect_err(|error| log::warn!("{}: starting without UTC of the last run", error.what()));
        let text = text.ok()??;
        let saved = SavedUtc::parse(&text);
        if saved.is_none() {
            log::warn!("{} does not contain UTC of the last run: ignored", file.path().display());
        }
        saved
    }

    /// Reads the frequency of the last run, if one is stored.
    pub fn read(&self) -> Option<Ratio> {
        let file = self.file.as_ref()?;
        let path = file.path().display();
        let text = file
            .read()
            .inspect_err(|error| {
                log::warn!("{}: starting without the frequency of the last run", error.what())
            })
            .ok()??;
        let frequency = parse(&text);
        match frequency {
            Some(frequency) => {
                log::info!("frequency of the last run read from {path}: {:+.0} ppb", frequency.ppb())
            }
            None => log::warn!("{path} is not a drift file (two numbers in ppm expected): ignored"),
        }
        frequency
    }

    /// Starts a write if it is due, and handles the result of the previous one; never waits for the disk. `known` is the frequency
    /// of a locked clock and its uncertainty, `utc` is UTC for the next run.
    pub fn keep(&mut self, now: Timestamp<Raw>, known: Option<(Ratio, Ratio)>, utc: Option<SavedUtc>) {
        let is_due = self.saver.is_due(now);
        let Some(known) = known.filter(|_| self.file.is_some()) else { return };
        self.saver.schedule(now + FIRST_INTERVAL);
        if let Some(write) = is_due.then(|| self.write(known, utc)).flatten() {
            self.saver.start(now, write);
            self.saver.schedule(now + INTERVAL);
        }
    }

    /// Writes the files at exit, and waits for that for a limited time.
    pub fn end(&mut self, now: Timestamp<Raw>, known: Option<(Ratio, Ratio)>, utc: Option<SavedUtc>) {
        let last = known.and_then(|known| self.write(known, utc));
        self.saver.finish(now, last);
    }

    /// What the writing thread does, if a file is configured.
    fn write(
        &self,
        (frequency, sigma): (Ratio, Ratio),
        utc: Option<SavedUtc>,
    ) -> Option<impl FnOnce() -> Result<(), StateError> + Send + 'static> {
        let file = self.file.clone()?;
        let text = format!("{:.6} {:.6}\n", frequency.ppm(), sigma.ppm());
        let utc = self.utc_file.clone().zip(utc);
        Some(move || {
            file.replace(&text)?;
            utc.map_or(Ok(()), |(file, utc)| file.replace(&utc.to_string()))
        })
    }

    /// Why the last write failed.
    pub fn trouble(&self) -> Option<&str> {
        self.saver.trouble()
    }
}

fn report(event: Event<'_>) {
    match event {
        Event::Failed(error) => {
            log::warn!("{error}: state for the next start not saved; retrying every minute");
        }
        Event::SavedAgain => log::info!("state for the next start saved again"),
        Event::Unfinished => {
            log::warn!("the disk takes too long: exiting, the state for the next start may not be saved");
        }
    }
}

fn parse(text: &str) -> Option<Ratio> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<f64>);
    let (Some(Ok(frequency)), Some(Ok(sigma)), None) = (numbers.next(), numbers.next(), numbers.next())
    else {
        return None;
    };
    (frequency.abs() <= LIMIT_PPM && (0.0..=LIMIT_PPM).contains(&sigma)).then_some(Ratio::from_ppm(frequency))
}

#[cfg(test)]
#[path = "../../lib/os/src/namespaces.rs"]
mod namespaces;

#[cfg(test)]
#[path = "../../lib/os/src/scratch.rs"]
#[expect(dead_code, reason = "these tests write no file through it")]
mod scratch;

#[cfg(test)]
mod tests;
