//! Competing clock daemons: other programs that steer the system clock, found in /proc, with the command that stops each.
//!
//! A program whose command line does not show whether it steers the clock counts as one that does: a needless warning does less
//! harm than a missing one.

use crate::procfs::{Process, Word, options};
use std::fmt;
use std::path::Path;

/// A process that steers CLOCK_REALTIME.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompetingDaemon {
    /// Process id.
    pub pid: u32,
    /// Name of the program.
    pub name: String,
    /// Its systemd unit, if any; `systemctl disable --now` stops it permanently.
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

/// The programs found in /proc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Programs that steer the clock, in the order of process ids.
    pub daemons: Vec<CompetingDaemon>,
    /// Whether /proc shows the processes of all users. If not (/proc is not mounted, or with hidepid=), further programs may steer
    /// the clock.
    pub is_complete: bool,
}

/// Finds the running programs that are known to steer CLOCK_REALTIME and have the capability to do so, except this process.
/// Helper processes of a program are not listed.
pub fn find() -> Found {
    find_in(Path::new("/proc"), std::process::id())
}

fn find_in(proc: &Path, own: u32) -> Found {
    // Process 1 always exists, and belongs to root. hidepid= hides its directory or the files in it (proc(5)).
    let is_complete = Process::new(proc, 1).name().is_some();
    Found { daemons: daemons_in(proc, own), is_complete }
}

fn daemons_in(proc: &Path, own: u32) -> Vec<CompetingDaemon> {
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
        let is_listed = competitor.unit.is_some()
            && found.iter().any(|o| o.name == competitor.name && o.unit == competitor.unit);
        if !is_child && !is_listed {
            found.push(competitor.clone());
        }
    }
    found
}

/// Returns the process if it steers the system clock.
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

/// Truncates a name to 15 characters, as the kernel does (TASK_COMM_LEN).
fn cut(name: &str) -> &str {
    name.get(..15).unwrap_or(name)
}

type Judge = fn(&Process) -> bool;

/// Programs that may steer the system clock, and functions that return whether a process of this program does.
const KNOWN: [(&str, Judge); 11] = [
    ("chronyd", chronyd),
    // ntpd of NTP classic, NTPsec, OpenNTPD or busybox.
    ("ntpd", ntpd),
    ("openntpd", |_| true),
    ("systemd-timesyncd", |_| true),
    // ntpd-rs.
    ("ntp-daemon", |_| true),
    ("ptpd", ptpd),
    ("ptpd2", ptpd),
    ("statime", |_| true),
    ("ptp4l", ptp4l),
    ("phc2sys", phc2sys),
    ("dante2sys", dante2sys),
];

/// With `-x` chronyd does not steer the clock, and with `-Q` it only prints.
fn chronyd(process: &Process) -> bool {
    let words = process.words();
    !options(&words, "fFlLPtu").any(|word| matches!(word, Word::Short('x' | 'Q', _)))
}

/// Every ntpd steers, except that of busybox with `-w`, which only queries servers.
fn ntpd(process: &Process) -> bool {
    let words = process.words();
    let is_busybox = process.executable().is_some_and(|file| file.ends_with("busybox"));
    !(is_busybox && options(&words, "pSIk").any(|word| matches!(word, Word::Short('w', _))))
}

/// ptpd does not steer with `-t` (versions before 2.3), `-n` (from 2.3 on; before, `-n` takes a number), or the setting
/// `clock:no_adjust` on the command line.
fn ptpd(process: &Process) -> bool {
    let words = process.words();
    let is_number = |word: &str| word.parse::<i32>().is_ok();
    let is_yes =
        |value: &str| matches!(value.trim_matches(['"', '\'']), "y" | "Y" | "yes" | "1" | "t" | "true");
    let has_bare_n = words
        .iter()
        .enumerate()
        .any(|(i, word)| word == "-n" && !words.get(i + 1).is_some_and(|next| is_number(next)));
    let has_setting = options(&words, "bifRuITwaOMloVvrNpqY").any(|word| match word {
        Word::Short('t', _) | Word::Long("noadjust", _) => true,
        Word::Long("clock:no_adjust", Some(value)) => is_yes(value),
        _ => false,
    });
    !has_bare_n && !has_setting
}

/// With hardware timestamps, its default, ptp4l steers the card's clock; with software timestamps the system clock, except with
/// `free_running`.
fn ptp4l(process: &Process) -> bool {
    let words = process.words();
    let mut file = None;
    // The command line overrides the file.
    let (mut by_flag, mut is_free_running) = (None, false);
    for word in options(&words, "fipl") {
        match word {
            Word::Short('S', _) => by_flag = Some(true),
            Word::Short('H', _) => by_flag = Some(false),
            Word::Long("time_stamping", Some(kind)) => by_flag = Some(is_software(kind)),
            Word::Long("free_running", Some(value)) => is_free_running = value == "1",
            Word::Short('f', Some(path)) => file = Some(path),
            _ => {}
        }
    }
    if is_free_running {
        return false;
    }
    match (by_flag, file) {
        (Some(is_software), _) => is_software,
        (None, None) => false,
        (None, Some(path)) => process.file(path).is_none_or(|text| {
            let value = |key| {
                let mut lines = text.lines().map(str::split_whitespace);
                lines.find_map(|mut line| if line.next() == Some(key) { line.next() } else { None })
            };
            value("time_stamping").is_some_and(is_software) && value("free_running") != Some("1")
        }),
    }
}

fn is_software(time_stamping: &str) -> bool {
    matches!(time_stamping, "software" | "legacy")
}

/// By default phc2sys steers CLOCK_REALTIME; `-c` names other clocks. With `-a` it takes the clocks from ptp4l, and steers the
/// system clock only with `-r`.
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

/// Another dante2sys: the last `--clock` applies, else the key in the configuration file.
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
