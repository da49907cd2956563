//! Programs that steer the system clock beside this one: found by what stands in /proc, so that they can be named, with
//! what stops them, before two programs pull at one clock.
//!
//! Where the command line leaves it open whether a program steers, it is counted: a warning too many costs a look.

use crate::procfs::{Process, Word, options};
use std::fmt;
use std::path::Path;

/// A process that steers CLOCK_REALTIME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompetingDaemon {
    /// Its process id.
    pub pid: u32,
    /// The program.
    pub name: String,
    /// The unit of systemd that it belongs to; `systemctl` stops it for good.
    pub unit: Option<String>,
}

impl fmt::Display for CompetingDaemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, name, unit } = self;
        match unit {
            Some(unit) => write!(
                f,
                "{name} ({unit}, pid {pid}) steers the system clock; stop it with `systemctl disable --now {unit}`"
            ),
            None => write!(f, "{name} (pid {pid}) steers the system clock; stop it with `kill {pid}`"),
        }
    }
}

/// Every program running now that is known to steer CLOCK_REALTIME and has the right to, this process excepted, in
/// the order of process ids. A program's helper processes are not counted beside it. Where /proc is not mounted,
/// or hides the processes of others (hidepid), what cannot be seen is not found.
pub fn find() -> Vec<CompetingDaemon> {
    find_in(Path::new("/proc"), std::process::id())
}

fn find_in(proc: &Path, own: u32) -> Vec<CompetingDaemon> {
    let Ok(entries) = std::fs::read_dir(proc) else { return Vec::new() };
    let mut pids: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .collect();
    pids.sort_unstable();
    let steerers: Vec<(Process, CompetingDaemon)> =
        pids.into_iter().filter_map(|pid| steerer(proc, pid)).collect();
    let mut found: Vec<CompetingDaemon> = Vec::new();
    for (process, competitor) in &steerers {
        let is_child = steerers
            .iter()
            .any(|(_, other)| Some(other.pid) == process.parent() && other.name == competitor.name);
        let is_told = competitor.unit.is_some()
            && found.iter().any(|o| o.name == competitor.name && o.unit == competitor.unit);
        if !is_child && !is_told {
            found.push(competitor.clone());
        }
    }
    found
}

/// The process, if it steers.
fn steerer(proc: &Path, pid: u32) -> Option<(Process, CompetingDaemon)> {
    let process = Process::new(proc, pid);
    let name = process.name()?;
    let (name, judge) = KNOWN.iter().find(|(known, _)| cut(known) == name)?;
    if process.is_dead() || !process.may_set_the_clock() {
        return None;
    }
    judge(&process).then(|| {
        let competitor = CompetingDaemon { pid, name: (*name).to_owned(), unit: process.unit() };
        (process, competitor)
    })
}

/// The kernel keeps 15 characters of a name (TASK_COMM_LEN).
fn cut(name: &str) -> &str {
    name.get(..15).unwrap_or(name)
}

type Judge = fn(&Process) -> bool;

/// What may steer the system clock, and whether this one does.
const KNOWN: [(&str, Judge); 10] = [
    ("chronyd", chronyd),
    // Of NTP classic, NTPsec, OpenNTPD or busybox: all that listen to the name steer.
    ("ntpd", |_| true),
    ("openntpd", |_| true),
    ("systemd-timesyncd", |_| true),
    // Of ntpd-rs.
    ("ntp-daemon", |_| true),
    ("ptpd", |_| true),
    ("ptpd2", |_| true),
    ("ptp4l", ptp4l),
    ("phc2sys", phc2sys),
    ("dante2sys", dante2sys),
];

/// `-x` leaves the clock alone, as does `-Q`, which only prints.
fn chronyd(process: &Process) -> bool {
    let words = process.words();
    !options(&words, "fFlLPtu").any(|word| matches!(word, Word::Short('x' | 'Q', _)))
}

/// With hardware stamps, which are its default, it steers the card's clock; with software stamps the system clock.
fn ptp4l(process: &Process) -> bool {
    let words = process.words();
    let mut file = None;
    // What the command line says wins over the file.
    let mut said = None;
    for word in options(&words, "fipl") {
        match word {
            Word::Short('S', _) => said = Some(true),
            Word::Short('H', _) => said = Some(false),
            Word::Long("time_stamping", Some(kind)) => said = Some(is_software(kind)),
            Word::Short('f', Some(path)) => file = Some(path),
            _ => {}
        }
    }
    match (said, file) {
        (Some(said), _) => said,
        (None, None) => false,
        (None, Some(path)) => process.file(path).is_none_or(|text| {
            let mut lines = text.lines().map(str::split_whitespace);
            lines.any(|mut line| line.next() == Some("time_stamping") && line.next().is_some_and(is_software))
        }),
    }
}

fn is_software(time_stamping: &str) -> bool {
    matches!(time_stamping, "software" | "legacy")
}

/// By default it steers CLOCK_REALTIME; `-c` names other clocks instead. With `-a` it asks ptp4l which clocks there
/// are, and takes the system clock in only with `-r`.
fn phc2sys(process: &Process) -> bool {
    let words = process.words();
    let (mut automatic, mut system_too) = (false, false);
    let mut targets = Vec::new();
    for word in options(&words, "cdfsEPISFRNOLMDiunzlt") {
        match word {
            Word::Short('a', _) => automatic = true,
            Word::Short('r', _) => system_too = true,
            Word::Short('c', Some(target)) => targets.push(target),
            _ => {}
        }
    }
    if automatic { system_too } else { targets.is_empty() || targets.contains(&"CLOCK_REALTIME") }
}

/// Another one of ours: the last `--clock` counts, or else the file's.
fn dante2sys(process: &Process) -> bool {
    let words = process.words();
    let (mut clock, mut file) = (None, None);
    for word in options(&words, "cfl") {
        match word {
            Word::Short('c', Some(value)) | Word::Long("clock", Some(value)) => clock = Some(value),
            Word::Short('f', Some(path)) | Word::Long("config", Some(path)) => file = Some(path),
            _ => {}
        }
    }
    let bare = |value: &str| value.strip_prefix('=').unwrap_or(value).to_owned();
    let clock = clock.map(bare).or_else(|| {
        let document = process.file(&bare(file?))?.parse::<toml_edit::Document<String>>().ok()?;
        Some(document.get("dante2sys")?.get("clock")?.as_str()?.to_owned())
    });
    clock.is_none_or(|clock| clock != "virtual" && !clock.starts_with("/dev/ptp"))
}

#[cfg(test)]
mod tests;
