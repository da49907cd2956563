//! The frequency that the clock was left at, remembered from run to run: two numbers in ppm, as in chrony's drift file,
//! the frequency and what it may be wrong by.

use dante_core::time::{Duration, Ratio, Raw, Timestamp};
use dante_os::statefile::StateFile;
use std::path::PathBuf;

/// The first time it is written is so long after the lock, the next ones so far apart.
const FIRST: Duration = Duration::from_secs(60);
const APART: Duration = Duration::from_secs(3600);
/// Nobody's clock is further off.
const LIMIT_PPM: f64 = 500.0;

/// The file, if there is to be one.
pub struct DriftFile {
    file: Option<StateFile>,
    /// When it is written next, once the clock was locked.
    due: Option<Timestamp<Raw>>,
    /// Why the last attempt failed, as it was said.
    trouble: Option<String>,
}

impl DriftFile {
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { file: path.map(StateFile::new), due: None, trouble: None }
    }

    /// The frequency of the last run, if one is remembered.
    pub fn read(&self) -> Option<Ratio> {
        let file = self.file.as_ref()?;
        let path = file.path().display();
        match file.read() {
            Ok(None) => None,
            Ok(Some(text)) => {
                let frequency = parse(&text);
                match frequency {
                    Some(frequency) => {
                        log::info!("frequency of the last run: {:+.0} ppb, from {path}", frequency.ppb())
                    }
                    None => {
                        log::warn!("{path} is no drift file, and is ignored: two numbers in ppm are expected")
                    }
                }
                frequency
            }
            Err(error) => {
                log::warn!("{error}: the frequency of the last run is not known");
                None
            }
        }
    }

    /// Writes it if it is due; `known` is the frequency of a locked clock and what it may be wrong by.
    pub fn keep(&mut self, now: Timestamp<Raw>, known: Option<(Ratio, Ratio)>) {
        let Some(known) = known.filter(|_| self.file.is_some()) else { return };
        let due = *self.due.get_or_insert(now + FIRST);
        if now >= due {
            self.write(known);
            self.due = Some(now + if self.trouble.is_some() { FIRST } else { APART });
        }
    }

    /// Writes it at the end.
    pub fn end(&mut self, known: Option<(Ratio, Ratio)>) {
        if let Some(known) = known {
            self.write(known);
        }
    }

    fn write(&mut self, (frequency, sigma): (Ratio, Ratio)) {
        let Some(file) = &self.file else { return };
        let result = file.replace(&format!("{:.6} {:.6}\n", frequency.ppm(), sigma.ppm()));
        match (&result, &self.trouble) {
            (Err(error), None) => {
                log::warn!("{error}: the frequency is not remembered; tried again each minute")
            }
            (Ok(()), Some(_)) => log::info!("the frequency is remembered again"),
            _ => {}
        }
        self.trouble = result.err().map(|error| error.to_string());
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
        let trouble = file.trouble().unwrap_or_default().to_owned();
        assert!(trouble.starts_with(&format!("cannot write {}", folder.display())), "{trouble}");
        std::fs::create_dir(&folder).unwrap();
        file.keep(at(120), known);
        let (trouble, read) = (file.trouble().map(str::to_owned), file.read());
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!((trouble, read), (None, Some(Ratio::from_ppm(12.0))));
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
