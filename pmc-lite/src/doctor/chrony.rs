//! Check whether chrony's configuration (chrony.conf(5)) has a reference clock for the output of danteshm.

use super::host::HostFacts;
use crate::finding::Finding;
use crate::pages::{Pages, fresh_body};
use dante_core::page::DanteshmStatus;
use dante_core::relay::OutputKind;
use dante_os::procfs::text_of;
use std::path::{Path, PathBuf};

/// Maximum depth of includes; the limit of chronyd (MAX_INCLUDE_LEVEL).
const MAX_INCLUDES: usize = 10;

/// A `refclock` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refclock {
    /// NTP SHM segment of this unit.
    Shm(u32),
    /// Socket that chronyd creates at this path.
    Sock(String),
}

/// The part of chrony's configuration that the check uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chrony {
    /// Path of the configuration; `None` if there is none.
    pub file: Option<PathBuf>,
    /// Reference clocks with the drivers SHM and SOCK.
    pub refclocks: Vec<Refclock>,
}

impl Chrony {
    /// Reads the configuration of this host, at Debian's path or at that of most other distributions.
    pub fn read() -> Self {
        Self::in_tree(Path::new("/"))
    }

    pub(super) fn in_tree(root: &Path) -> Self {
        let paths = ["etc/chrony/chrony.conf", "etc/chrony.conf"].map(|path| root.join(path));
        let mut found = Self { file: paths.into_iter().find(|path| path.is_file()), refclocks: Vec::new() };
        if let Some(file) = found.file.clone() {
            found.take(root, &file, 0);
        }
        found
    }

    fn take(&mut self, root: &Path, file: &Path, depth: usize) {
        let Some(text) = text_of(file).filter(|_| depth <= MAX_INCLUDES) else { return };
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

/// Parses driver and parameter; options of the driver follow a colon.
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

/// Returns the `*.conf` files of these folders, sorted by name; of files with the same name only that of the first folder.
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

/// Returns the files that match a pattern with at most one asterisk, in its last component.
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

/// Returns the files of a folder whose names match, sorted.
fn listed(folder: &Path, is_match: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(&is_match))
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
}

/// Checks that chrony has a reference clock for an output of danteshm.
pub fn judge(host: &HostFacts, pages: &Pages) -> Vec<Finding> {
    let Some(body) = fresh_body::<DanteshmStatus>(&pages.danteshm) else { return Vec::new() };
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
            Finding::warning("danteshm is running, but chrony's configuration was not found, so its refclock lines are not checked")
                .remedy(format!("check that the configuration of chrony has this line: {line} (docs/chrony.md)")),
        ];
    };
    let named = wanted.iter().find(|(refclock, ..)| host.chrony.refclocks.contains(refclock));
    vec![match named {
        Some((_, place, _)) => Finding::ok(format!("chrony is configured to read Dante time from {place}")),
        None => Finding::warning(format!(
            "danteshm is running, but {} has no refclock line for its output",
            file.display()
        ))
        .remedy(format!(
            "add to /etc/chrony/conf.d/dante.conf: {line} (docs/chrony.md), then systemctl restart chrony"
        )),
    }]
}
