//! The drift file: stores the clock's frequency between runs. As in chrony's drift file it has two numbers in ppm: the frequency
//! and its uncertainty. Beside it a file with the suffix `.utc` stores UTC over Dante time ([`SavedUtc`]).

use dante_core::time::{Duration, Ratio, Raw, Timestamp};
use dante_core::utc::SavedUtc;
use dante_os::statefile::StateFile;
use std::path::PathBuf;
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

/// Time from the lock to the first write, and after a failed one.
const FIRST_INTERVAL: Duration = Duration::from_secs(60);
/// Time between two writes.
const INTERVAL: Duration = Duration::from_secs(3600);
/// Longest wait for the last write at exit. It must be shorter than TimeoutStopSec= of the unit.
const EXIT_WAIT: std::time::Duration = std::time::Duration::from_secs(4);
/// Stack of the writing thread: more than writing a line needs, and little memory to lock (--lock-memory).
const STACK_BYTES: usize = 128 << 10;
/// Larger values are implausible: the kernel's own limit of the frequency.
const LIMIT_PPM: f64 = 500.0;

/// The drift file, if one is configured.
pub struct DriftFile {
    file: Option<StateFile>,
    utc_file: Option<StateFile>,
    /// When it is written next; `None` before the first lock.
    due: Option<Timestamp<Raw>>,
    /// The thread that writes the file, one at a time: a disk may need longer than the main loop may block.
    writing: Option<JoinHandle<Result<(), String>>>,
    /// The error of the last attempt.
    trouble: Option<String>,
}

impl DriftFile {
    pub fn new(path: Option<PathBuf>) -> Self {
        let utc_path = path.clone().map(|mut path| {
            path.as_mut_os_string().push(".utc");
            path
        });
        let [file, utc_file] = [path, utc_path].map(|path| path.map(StateFile::new));
        Self { file, utc_file, due: None, writing: None, trouble: None }
    }

    /// Reads UTC of the last run, if it is stored.
    pub fn read_utc(&self) -> Option<SavedUtc> {
        let file = self.utc_file.as_ref()?;
        let text =
            file.read().inspect_err(|error| log::warn!("{error}: starting without UTC of the last run"));
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
            .inspect_err(|error| log::warn!("{error}: starting without the frequency of the last run"))
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
        if self.finish_write() && self.trouble.is_some() {
            self.due = Some(now + FIRST_INTERVAL);
        }
        let Some(known) = known.filter(|_| self.file.is_some()) else { return };
        let due = *self.due.get_or_insert(now + FIRST_INTERVAL);
        if now >= due && self.writing.is_none() {
            self.due = Some(now + INTERVAL);
            self.write(known, utc);
        }
    }

    /// Writes the files at exit, and waits for that for up to `EXIT_WAIT`.
    pub fn end(&mut self, known: Option<(Ratio, Ratio)>, utc: Option<SavedUtc>) {
        let limit = Instant::now() + EXIT_WAIT;
        self.wait(limit);
        if let Some(known) = known {
            self.write(known, utc);
            self.wait(limit);
        }
        if let (Some(_), Some(file)) = (&self.writing, &self.file) {
            log::warn!(
                "writing {} takes too long: exiting, the frequency may not be saved",
                file.path().display()
            );
        }
    }

    fn wait(&mut self, limit: Instant) {
        while self.writing.is_some() && !self.finish_write() && Instant::now() < limit {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Handles the result of a write that has ended. Returns whether one has.
    fn finish_write(&mut self) -> bool {
        let Some(writing) = self.writing.take_if(|writing| writing.is_finished()) else { return false };
        self.report(
            writing.join().unwrap_or_else(|_| Err("the thread that writes the drift file panicked".into())),
        );
        true
    }

    fn write(&mut self, (frequency, sigma): (Ratio, Ratio), utc: Option<SavedUtc>) {
        let Some(file) = self.file.clone().filter(|_| self.writing.is_none()) else { return };
        let text = format!("{:.6} {:.6}\n", frequency.ppm(), sigma.ppm());
        let utc = self.utc_file.clone().zip(utc);
        let write = move || {
            file.replace(&text)
                .and_then(|()| utc.map_or(Ok(()), |(file, utc)| file.replace(&utc.to_string())))
                .map_err(|error| error.to_string())
        };
        match Builder::new().name("drift-file".into()).stack_size(STACK_BYTES).spawn(write) {
            Ok(writing) => self.writing = Some(writing),
            Err(error) => self.report(Err(format!("cannot start a thread to write the drift file: {error}"))),
        }
    }

    fn report(&mut self, result: Result<(), String>) {
        match (&result, &self.trouble) {
            (Err(error), None) => {
                log::warn!("{error}: frequency not saved; retrying every minute")
            }
            (Ok(()), Some(_)) => log::info!("frequency saved again"),
            _ => {}
        }
        self.trouble = result.err();
    }

    /// Why the last write failed.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
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
#[path = "../../lib/os/src/scratch.rs"]
#[expect(dead_code, reason = "these tests write no file through it")]
mod scratch;

#[cfg(test)]
mod tests {
    use super::scratch::Scratch;
    use super::*;

    #[test]
    fn write_error_is_reported_until_a_write_succeeds() {
        let place = Scratch::new();
        let folder = place.0.join("missing");
        let mut file = DriftFile::new(Some(folder.join("drift")));
        let known = Some((Ratio::from_ppm(12.0), Ratio::from_ppb(3.0)));
        let at = |s: i64| Timestamp::from_ns(0) + Duration::from_secs(s);
        file.keep(at(0), known, None);
        assert_eq!(file.trouble(), None, "no write yet");
        file.keep(at(60), known, None);
        let seen = |file: &mut DriftFile, now| {
            while file.writing.is_some() {
                file.keep(now, None, None);
            }
        };
        seen(&mut file, at(61));
        let trouble = file.trouble().unwrap_or_default().to_owned();
        assert!(trouble.starts_with(&format!("cannot write {}", folder.display())), "{trouble}");
        std::fs::create_dir(&folder).unwrap();
        file.keep(at(120), known, None);
        assert!(file.trouble().is_some(), "retried a minute after the failure was found");
        file.keep(at(121), known, None);
        seen(&mut file, at(121));
        assert_eq!((file.trouble(), file.read()), (None, Some(Ratio::from_ppm(12.0))));
    }

    #[test]
    fn slow_disk_blocks_only_at_exit_and_writes_do_not_overlap() {
        let place = Scratch::new();
        let path = place.0.join("drift");
        let mut file = DriftFile::new(Some(path.clone()));
        let known = |ppm| Some((Ratio::from_ppm(ppm), Ratio::from_ppb(3.0)));
        let at = |s: i64| Timestamp::from_ns(0) + Duration::from_secs(s);
        let (answer, disk) = std::sync::mpsc::channel::<()>();
        file.writing = Some(std::thread::spawn(move || disk.recv().map_err(|error| error.to_string())));
        file.keep(at(0), known(1.0), None);
        file.keep(at(60), known(1.0), None);
        let begun = Instant::now();
        file.end(known(2.0), None);
        assert!(begun.elapsed() >= EXIT_WAIT, "waits for the write");
        assert!(file.writing.is_some() && !path.exists(), "no second write meanwhile");
        answer.send(()).unwrap();
        while file.writing.is_some() {
            file.end(known(3.0), None);
        }
        assert_eq!(file.read(), Some(Ratio::from_ppm(3.0)));
    }

    #[test]
    fn drift_file_has_exactly_two_plausible_numbers() {
        assert_eq!(parse("12.345678 0.012\n"), Some(Ratio::from_ppm(12.345678)));
        assert_eq!(parse(" -37.0\t0 "), Some(Ratio::from_ppm(-37.0)));
        for garbage in ["", "12.3", "12.3 x", "NaN 0", "inf 0", "1 2 3", "501 0", "1 -1", "12,3 0", "\0\0"] {
            assert_eq!(parse(garbage), None, "{garbage:?}");
        }
    }
}
