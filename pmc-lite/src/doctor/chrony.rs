//! chrony's configuration, as far as it concerns reference clocks (chrony.conf(5)), and whether chrony uses what danteshm
//! writes.

use super::host::HostFacts;
use crate::finding::Finding;
use crate::pages::{Pages, said};
use dante_core::page::DanteshmStatus;
use dante_core::relay::OutputKind;
use dante_os::procfs::text_of;
use std::path::{Path, PathBuf};

/// Includes within includes, at most; chronyd refuses deeper ones too.
const DEEPEST: usize = 10;

/// One `refclock` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refclock {
    /// An NTP SHM segment of this unit.
    Shm(u32),
    /// A socket that chronyd makes there.
    Sock(String),
}

/// What was read of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chrony {
    /// Its configuration, where there is one that may be read.
    pub file: Option<PathBuf>,
    /// SHM and SOCK reference clocks.
    pub refclocks: Vec<Refclock>,
}

impl Chrony {
    /// That of this host: Debian's place, or that of most others.
    pub fn read() -> Self {
        Self::in_tree(Path::new("/"))
    }

    pub(super) fn in_tree(root: &Path) -> Self {
        let places = ["etc/chrony/chrony.conf", "etc/chrony.conf"].map(|place| root.join(place));
        let mut found = Self { file: places.into_iter().find(|path| path.is_file()), refclocks: Vec::new() };
        if let Some(file) = found.file.clone() {
            found.take(root, &file, 0);
        }
        found
    }

    fn take(&mut self, root: &Path, file: &Path, depth: usize) {
        let Some(text) = text_of(file).filter(|_| depth <= DEEPEST) else { return };
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let directive = words.next().unwrap_or_default().to_ascii_lowercase();
            match (directive.as_str(), words.next(), words.next()) {
                ("refclock", Some(driver), Some(parameter)) => {
                    self.refclocks.extend(refclock(driver, parameter));
                }
                ("include", Some(pattern), _) => {
                    matching(root, pattern).iter().for_each(|path| self.take(root, path, depth + 1));
                }
                ("confdir", Some(_), _) => {
                    let folders: Vec<&str> = line.split_whitespace().skip(1).collect();
                    confdir(root, &folders).iter().for_each(|path| self.take(root, path, depth + 1));
                }
                _ => {}
            }
        }
    }
}

/// Options of the driver stand behind a colon.
fn refclock(driver: &str, parameter: &str) -> Option<Refclock> {
    let bare = parameter.split(':').next().unwrap_or(parameter);
    match driver.to_ascii_uppercase().as_str() {
        "SHM" => Some(Refclock::Shm(bare.parse().ok()?)),
        "SOCK" => Some(Refclock::Sock(bare.to_owned())),
        _ => None,
    }
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// `*.conf` of these folders in the order of their names; of two with one name the first folder's.
fn confdir(root: &Path, folders: &[&str]) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in folders {
        for path in listed(&below(root, folder), |name| name.ends_with(".conf")) {
            if !found.iter().any(|other| other.file_name() == path.file_name()) {
                found.push(path);
            }
        }
    }
    found.sort_by_key(|path| path.file_name().map(std::ffi::OsStr::to_owned));
    found
}

/// The files that a pattern with at most one asterisk, in its last part, stands for.
fn matching(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let path = below(root, pattern);
    let Some((head, tail)) = path.file_name().and_then(|name| name.to_str()?.split_once('*')) else {
        return vec![path];
    };
    let folder = path.parent().unwrap_or(root);
    listed(folder, |name| {
        name.len() >= head.len() + tail.len() && name.starts_with(head) && name.ends_with(tail)
    })
}

fn listed(folder: &Path, fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(&fits))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

/// chrony's side of danteshm's outputs.
pub fn judge(host: &HostFacts, pages: &Pages) -> Vec<Finding> {
    let Some(body) = said::<DanteshmStatus>(&pages.danteshm) else { return Vec::new() };
    let wanted: Vec<(Refclock, String, String)> = body
        .outputs()
        .iter()
        .filter_map(|output| match output.kind()? {
            OutputKind::Shm => {
                let unit = output.unit;
                let line = format!("refclock SHM {unit} refid DNTE poll 2 dpoll -3 local");
                Some((Refclock::Shm(unit), format!("SHM unit {unit}"), line))
            }
            OutputKind::Sock => {
                let path = output.path.to_string();
                let line = format!("refclock SOCK {path} refid DNTE poll 2 local");
                Some((Refclock::Sock(path.clone()), path, line))
            }
            OutputKind::Usrvclock => None,
        })
        .collect();
    let Some((.., line)) = wanted.first() else { return Vec::new() };
    let Some(file) = &host.chrony.file else {
        return vec![
            Finding::warning("danteshm runs, and chrony's configuration is not found: it is not looked into")
                .remedy(format!("chrony needs this line: {line}")),
        ];
    };
    let named = wanted.iter().find(|(refclock, ..)| host.chrony.refclocks.contains(refclock));
    vec![match named {
        Some((_, place, _)) => Finding::ok(format!("chrony takes Dante's time from {place}")),
        None => Finding::warning(format!(
            "danteshm runs, and no refclock line of {} takes what it gives",
            file.display()
        ))
        .remedy(format!("add to /etc/chrony/conf.d/dante.conf: {line} (docs/chrony.md), and restart chrony")),
    }]
}
