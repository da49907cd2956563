//! The daemons: their pages, the files of these, and rights.

use super::Found;
use super::host::{HostFacts, Running};
use crate::finding::{self, Finding, Kind, Level};
use crate::pages::{Pages, Read, freshness, said, unit};
use dante_core::page::{Body, Dante2sysStatus, Dante4lStatus, DanteshmStatus, Freshness};
use dante_core::steer::SteeredClock;
use dante_core::{port, steer};
use dante_os::clock::raw_now;
use dante_os::page::{Instance, PageName, PageReader, ReadError};
use dante_os::process::user_name;
use dante_os::procfs::{CAP_NET_BIND_SERVICE, CAP_SYS_TIME};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A file in the place of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageFile {
    /// Its path.
    pub path: String,
    /// What stands there; `None`: nothing.
    pub file: Option<Ownership>,
    /// Why readers do not trust it.
    pub distrust: Option<ReadError>,
    /// The package's reservation of its name at boot is installed (tmpfiles.d(5)).
    pub is_to_be_reserved: bool,
}

/// Whose a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The owner's name, or number where it has none.
    pub owner: String,
    /// Who may do what with it.
    pub mode: u32,
    /// Its size in bytes; 0: it is only reserved.
    pub size: u64,
}

impl PageFile {
    /// That of a program and an instance.
    pub fn of<B: Body>(instance: Option<&Instance>) -> Self {
        let name = PageName::<B>::new(instance);
        let path = name.path();
        let folders = ["/etc/tmpfiles.d", "/usr/lib/tmpfiles.d", "/usr/local/lib/tmpfiles.d"];
        let is_installed = folders.iter().any(|folder| Path::new(folder).join("dante4l.conf").exists());
        Self {
            file: Ownership::of(path),
            distrust: (PageReader::new(name.clone()).read(raw_now()).err())
                .filter(|error| error.freshness() == Freshness::Foreign),
            path: path.display().to_string(),
            is_to_be_reserved: instance.is_none() && is_installed,
        }
    }
}

impl Ownership {
    fn of(path: &Path) -> Option<Self> {
        let meta = std::fs::symlink_metadata(path).ok()?;
        Some(Self {
            owner: user_name(meta.uid()).unwrap_or_else(|| meta.uid().to_string()),
            mode: meta.mode() & 0o7777,
            size: meta.len(),
        })
    }
}

/// `is_clear`: nothing before it is in the way.
pub fn dante4l(host: &HostFacts, pages: &Pages, is_clear: bool) -> Vec<Found> {
    let [files, ..] = &host.pages;
    let [writer, ..] = &host.writers;
    // Of another interface than those that were looked at nothing was found out.
    let is_looked_at = said::<Dante4lStatus>(&pages.dante4l).is_none_or(|body| {
        body.ports()
            .iter()
            .all(|port| host.networks.iter().any(|network| network.name == port.interface.to_string()))
    });
    let mut found: Vec<Found> = finding::observer(pages)
        .into_iter()
        .map(|finding| if is_looked_at { here(finding, is_clear) } else { finding.into() })
        .collect();
    outdated(&mut found, &pages.dante4l, writer.as_ref());
    let is_well = !found.iter().any(|found| found.finding.level == Level::Failure);
    if let Some(body) = said::<Dante4lStatus>(&pages.dante4l).filter(|_| is_well) {
        let states: Vec<String> = body
            .ports()
            .iter()
            .map(|port| {
                let state = port.state().map_or("in an unknown state", port::State::name);
                format!("{state} on {}", port.interface)
            })
            .collect();
        found.insert(0, Finding::ok(format!("dante4l runs, {}", states.join(" and "))).into());
        let needs_sockets = body
            .ports()
            .iter()
            .any(|port| matches!(port.state(), Some(port::State::Initializing | port::State::Faulty)));
        if let Some(writer) =
            writer.as_ref().filter(|writer| needs_sockets && !writer.may(CAP_NET_BIND_SERVICE))
        {
            found.push(lacks(host, writer, "CAP_NET_BIND_SERVICE", "open UDP 319 and 320").into());
        }
    }
    owned(&mut found, files, &pages.dante4l);
    found
}

pub fn dante2sys(host: &HostFacts, pages: &Pages) -> Vec<Found> {
    let [_, files, _] = &host.pages;
    let [_, writer, _] = &host.writers;
    let is_alone = host.competitors.iter().all(|competitor| competitor.name == Dante2sysStatus::PROGRAM);
    let here = |finding| here(finding, is_alone);
    let mut found: Vec<Found> = finding::steerer(pages).into_iter().map(here).collect();
    outdated(&mut found, &pages.dante2sys, writer.as_ref());
    found.extend(finding::followers(pages).map(here));
    if let Some(body) = said::<Dante2sysStatus>(&pages.dante2sys) {
        if body.state() == Some(steer::State::Locked) {
            found.insert(0, Finding::ok("dante2sys runs, LOCKED").into());
        }
        let is_real = SteeredClock::from_number(body.clock) == Some(SteeredClock::Realtime);
        if let Some(writer) = writer.as_ref().filter(|writer| is_real && !writer.may(CAP_SYS_TIME)) {
            found.push(lacks(host, writer, "CAP_SYS_TIME", "correct the clock").into());
        }
    }
    owned(&mut found, files, &pages.dante2sys);
    found
}

pub fn danteshm(host: &HostFacts, pages: &Pages) -> Vec<Found> {
    let [.., files] = &host.pages;
    let [.., writer] = &host.writers;
    let mut found: Vec<Found> =
        finding::relay(pages).into_iter().map(|finding| here(finding, true)).collect();
    outdated(&mut found, &pages.danteshm, writer.as_ref());
    if said::<DanteshmStatus>(&pages.danteshm).is_some() && found.is_empty() {
        found.push(Finding::ok("danteshm runs, FEEDING").into());
    }
    owned(&mut found, files, &pages.danteshm);
    found
}

/// Where a finding sends its reader to the doctor: what the doctor found before it may be its cause, or else this is to be done.
fn here(finding: Finding, is_clear: bool) -> Found {
    match (finding.otherwise.clone(), is_clear) {
        (None, _) => finding.into(),
        (Some(otherwise), true) => finding.remedy(otherwise).into(),
        (Some(otherwise), false) => Found {
            finding: finding.remedy(format!("see above; if that is not it: {otherwise}")),
            may_follow: true,
        },
    }
}

/// A page that is old, of a writer that is gone or not: what stands first says neither.
fn outdated<B: Body>(found: &mut [Found], read: &Read<B>, writer: Option<&Running>) {
    let (Ok(view), Some(first)) = (read, found.first_mut()) else { return };
    if view.freshness != Freshness::Stale {
        return;
    }
    let name = B::PROGRAM;
    first.finding.what = match writer {
        Some(writer) => {
            format!("{name} (process {}) hangs or is stopped: it does not renew its page", writer.pid)
        }
        None => format!("{name} died (process {} is gone): its page is old", view.pid),
    };
}

fn lacks(host: &HostFacts, writer: &Running, right: &str, to: &str) -> Finding {
    Finding::failure(format!("{} (pid {}) has no right to {to} ({right})", writer.name, writer.pid)).remedy(
        format!("run it by its unit: systemctl restart {}", unit(&writer.name, host.instance.as_ref())),
    )
}

/// Whose the pages of a program are. `read` is both of them: what is wrong with the clock page, or else the status page.
fn owned<B: Body>(found: &mut Vec<Found>, files: &[PageFile; 2], read: &Read<B>) {
    // The page that could not be read is reported by the program's own finding.
    let is_reported = |file: &PageFile| read.as_ref().is_err_and(|error| error.page == file.path);
    let planted = files.iter().filter(|file| !is_reported(file)).filter_map(|file| file.distrust.as_ref());
    // Before all else: a program does not start while one of its pages is in the way.
    found.splice(
        0..0,
        planted.map(|error| Finding::explained(Level::Failure, error).kind(Kind::ForeignPage).into()),
    );
    let trusted = files.iter().filter(|file| file.distrust.is_none());
    found.extend(trusted.filter_map(|file| owner(file, freshness(read))).map(Found::from));
}

/// Whose a page is that readers trust, or that is not there.
fn owner(file: &PageFile, freshness: Freshness) -> Option<Finding> {
    match (&file.file, freshness) {
        (_, Freshness::Foreign) => None,
        (Some(own), Freshness::Fresh) => {
            Some(Finding::ok(format!("{} is {}'s, mode {:04o}", file.path, own.owner, own.mode)))
        }
        (Some(own), Freshness::Absent) if own.size == 0 => {
            Some(Finding::ok(format!("{} is reserved for {}", file.path, own.owner)))
        }
        (None, _) if file.is_to_be_reserved => Some(
            Finding::warning(format!("{} is not reserved: another user could plant one there", file.path))
                .remedy("systemd-tmpfiles --create dante4l.conf"),
        ),
        _ => None,
    }
}
