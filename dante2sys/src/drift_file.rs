//! The frequency that the clock was left at, remembered from run to run: two numbers in ppm, as in chrony's drift file,
//! the frequency and what it may be wrong by.

use dante_core::time::{Duration, Ratio, Raw, Timestamp};
use dante_os::statefile::StateFile;
use std::path::PathBuf;
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

/// The first time it is written is so long after the lock, the next ones so far apart.
const FIRST: Duration = Duration::from_secs(60);
const APART: Duration = Duration::from_secs(3600);
/// At the end it is waited for no longer: a service manager has patience, too (TimeoutStopSec= of the unit).
const AT_THE_END: std::time::Duration = std::time::Duration::from_secs(4);
/// More than writing a line takes; what is kept in RAM (--lock-memory) is small.
const STACK_BYTES: usize = 128 << 10;
/// Nobody's clock is further off.
const LIMIT_PPM: f64 = 500.0;

/// The file, if there is to be one.
pub struct DriftFile {
    file: Option<StateFile>,
    /// When it is written next, once the clock was locked.
    due: Option<Timestamp<Raw>>,
    /// Writing is for a thread, one at a time: a disk may take longer than the loop may stand still.
    writing: Option<JoinHandle<Result<(), String>>>,
    /// Why the last attempt failed, as it was said.
    trouble: Option<String>,
}

impl DriftFile {
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { file: path.map(StateFile::new), due: None, writing: None, trouble: None }
    }

    /// The frequency of the last run, if one is remembered.
    pub fn read(&self) -> Option<Ratio> {
        let file = self.file.as_ref()?;
        let path = file.path().display();
        let text = file
            .read()
            .inspect_err(|error| log::warn!("{error}: the frequency of the last run is not known"))
            .ok()??;
        let frequency = parse(&text);
        match frequency {
            Some(frequency) => {
                log::info!("frequency of the last run: {:+.0} ppb, from {path}", frequency.ppb())
            }
            None => log::warn!("{path} is no drift file, and is ignored: two numbers in ppm are expected"),
        }
        frequency
    }

    /// Begins to write it if it is due, and sees to what was begun before; never waits for the disk. `known` is the frequency of
    /// a locked clock and what it may be wrong by.
    pub fn keep(&mut self, now: Timestamp<Raw>, known: Option<(Ratio, Ratio)>) {
        if self.see_to_it() && self.trouble.is_some() {
            self.due = Some(now + FIRST);
        }
        let Some(known) = known.filter(|_| self.file.is_some()) else { return };
        let due = *self.due.get_or_insert(now + FIRST);
        if now >= due && self.writing.is_none() {
            self.due = Some(now + APART);
            self.write(known);
        }
    }

    /// Writes it at the end, and waits for that, but not for ever.
    pub fn end(&mut self, known: Option<(Ratio, Ratio)>) {
        let limit = Instant::now() + AT_THE_END;
        self.wait(limit);
        if let Some(known) = known {
            self.write(known);
            self.wait(limit);
        }
        if let (Some(_), Some(file)) = (&self.writing, &self.file) {
            log::warn!(
                "the disk does not take {} in time: the frequency may not be remembered",
                file.path().display()
            );
        }
    }

    fn wait(&mut self, limit: Instant) {
        while self.writing.is_some() && !self.see_to_it() && Instant::now() < limit {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    /// Whether what was begun is over; what came of it is told.
    fn see_to_it(&mut self) -> bool {
        let Some(writing) = self.writing.take_if(|writing| writing.is_finished()) else { return false };
        self.tell(writing.join().unwrap_or_else(|_| Err("the drift file was not written".into())));
        true
    }

    fn write(&mut self, (frequency, sigma): (Ratio, Ratio)) {
        let Some(file) = self.file.clone().filter(|_| self.writing.is_none()) else { return };
        let text = format!("{:.6} {:.6}\n", frequency.ppm(), sigma.ppm());
        let write = move || file.replace(&text).map_err(|error| error.to_string());
        match Builder::new().name("drift-file".into()).stack_size(STACK_BYTES).spawn(write) {
            Ok(writing) => self.writing = Some(writing),
            Err(error) => self.tell(Err(format!("no thread to write the drift file: {error}"))),
        }
    }

    fn tell(&mut self, result: Result<(), String>) {
        match (&result, &self.trouble) {
            (Err(error), None) => {
                log::warn!("{error}: the frequency is not remembered; tried again each minute")
            }
            (Ok(()), Some(_)) => log::info!("the frequency is remembered again"),
            _ => {}
        }
        self.trouble = result.err();
    }

    /// Why the frequency is not remembered.
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
mod tests {
    use super::*;

    #[test]
    fn what_keeps_it_from_being_written_is_told_until_it_is() {
        let folder = std::env::temp_dir().join(format!("drift-file-{}", std::process::id()));
        let mut file = DriftFile::new(Some(folder.join("drift")));
        let known = Some((Ratio::from_ppm(12.0), Ratio::from_ppb(3.0)));
        let at = |s: i64| Timestamp::from_ns(0) + Duration::from_secs(s);
        file.keep(at(0), known);
        assert_eq!(file.trouble(), None, "nothing was tried yet");
        file.keep(at(60), known);
        let seen = |file: &mut DriftFile, now| {
            while file.writing.is_some() {
                file.keep(now, None);
            }
        };
        seen(&mut file, at(61));
        let trouble = file.trouble().unwrap_or_default().to_owned();
        assert!(trouble.starts_with(&format!("cannot write {}", folder.display())), "{trouble}");
        std::fs::create_dir(&folder).unwrap();
        file.keep(at(120), known);
        assert!(file.trouble().is_some(), "each minute, from when it was seen to have failed");
        file.keep(at(121), known);
        seen(&mut file, at(121));
        let (trouble, read) = (file.trouble().map(str::to_owned), file.read());
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!((trouble, read), (None, Some(Ratio::from_ppm(12.0))));
    }

    #[test]
    fn a_disk_that_does_not_answer_holds_nothing_up_and_is_asked_once() {
        let path = std::env::temp_dir().join(format!("drift-file-slow-{}", std::process::id()));
        let mut file = DriftFile::new(Some(path.clone()));
        let known = |ppm| Some((Ratio::from_ppm(ppm), Ratio::from_ppb(3.0)));
        let at = |s: i64| Timestamp::from_ns(0) + Duration::from_secs(s);
        let (answer, disk) = std::sync::mpsc::channel::<()>();
        file.writing = Some(std::thread::spawn(move || disk.recv().map_err(|error| error.to_string())));
        file.keep(at(0), known(1.0));
        file.keep(at(60), known(1.0));
        let begun = Instant::now();
        file.end(known(2.0));
        assert!(begun.elapsed() >= AT_THE_END, "waited for");
        assert!(file.writing.is_some() && !path.exists(), "and not overtaken by a second one");
        answer.send(()).unwrap();
        while file.writing.is_some() {
            file.end(known(3.0));
        }
        let read = file.read();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read, Some(Ratio::from_ppm(3.0)));
    }

    #[test]
    fn only_two_numbers_within_reason_are_a_drift_file() {
        assert_eq!(parse("12.345678 0.012\n"), Some(Ratio::from_ppm(12.345678)));
        assert_eq!(parse(" -37.0\t0 "), Some(Ratio::from_ppm(-37.0)));
        for garbage in ["", "12.3", "12.3 x", "NaN 0", "inf 0", "1 2 3", "501 0", "1 -1", "12,3 0", "\0\0"] {
            assert_eq!(parse(garbage), None, "{garbage:?}");
        }
    }
}
