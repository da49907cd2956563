//! Checks of the daemons: their pages, the files of the pages, and their capabilities.

use super::host::{HostFacts, Running};
use crate::finding::{self, Finding, Kind, Level};
use crate::pages::{Pages, Read, fresh_body, freshness, unit};
use dante_core::page::{Body, Dante2sysStatus, Dante4lStatus, DanteshmStatus, Freshness, OutputRecord};
use dante_core::steer::SteeredClock;
use dante_core::{port, steer};
use dante_os::clock::raw_now;
use dante_os::page::{Instance, PageName, PageReader, ReadError};
use dante_os::process::user_name;
use dante_os::procfs::{CAP_NET_BIND_SERVICE, CAP_SYS_TIME};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The file of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageFile {
    /// Path.
    pub path: String,
    /// Owner, mode and size; `None` if there is no file.
    pub file: Option<Ownership>,
    /// Why readers reject the file.
    pub rejection: Option<ReadError>,
    /// The package reserves the path at boot (tmpfiles.d(5)).
    pub is_reserved_at_boot: bool,
}

/// Owner, mode and size of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// Name of the owner, or its number if it has no name.
    pub owner: String,
    /// Permission bits.
    pub mode: u32,
    /// Size, bytes; 0: the path is only reserved.
    pub size: u64,
}

impl PageFile {
    /// Inspects the file of a page.
    pub fn of<B: Body>(instance: Option<&Instance>) -> Self {
        let name = PageName::<B>::new(instance);
        let path = name.path();
        let folders = ["/etc/tmpfiles.d", "/usr/lib/tmpfiles.d", "/usr/local/lib/tmpfiles.d"];
        let is_installed = folders.iter().any(|folder| Path::new(folder).join("dante4l.conf").exists());
        Self {
            file: Ownership::of(path),
            rejection: (PageReader::new(name.clone()).read(raw_now()).err())
                .filter(|error| error.freshness() == Freshness::Foreign),
            path: path.display().to_string(),
            is_reserved_at_boot: instance.is_none() && is_installed,
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

/// Whether the checks of interface and network cover all interfaces that dante4l uses: others cannot explain its findings.
pub fn is_covered(host: &HostFacts, pages: &Pages) -> bool {
    let ports = fresh_body::<Dante4lStatus>(&pages.dante4l).map(Dante4lStatus::ports).unwrap_or_default();
    ports.iter().all(|port| host.networks.iter().any(|network| network.is_named(&port.interface.to_string())))
}

/// Checks dante4l.
pub fn dante4l(host: &HostFacts, pages: &Pages) -> Vec<Finding> {
    let [files, ..] = &host.pages;
    let [writer, ..] = &host.writers;
    let mut found = finding::observer(pages);
    outdated(&mut found, &pages.dante4l, writer.as_ref());
    let is_well = !found.iter().any(|found| found.level == Level::Failure);
    if let Some(body) = fresh_body::<Dante4lStatus>(&pages.dante4l).filter(|_| is_well) {
        let states: Vec<String> = body
            .ports()
            .iter()
            .map(|port| {
                let state = port.state().map_or("in an unknown state", port::State::name);
                format!("{state} on {}", port.interface)
            })
            .collect();
        let states = match pages.searched() {
            Some(searched) => finding::search(searched),
            None => states.join(" and "),
        };
        found.insert(0, Finding::ok(format!("dante4l is running: {states}")));
        let needs_sockets = body
            .ports()
            .iter()
            .any(|port| matches!(port.state(), Some(port::State::Initializing | port::State::Faulty)));
        if let Some(writer) =
            writer.as_ref().filter(|writer| needs_sockets && !writer.may(CAP_NET_BIND_SERVICE))
        {
            found.push(lacks(host, writer, "CAP_NET_BIND_SERVICE", "open UDP 319 and 320"));
        }
    }
    page_files(&mut found, files, &pages.dante4l);
    found
}

/// Checks dante2sys.
pub fn dante2sys(host: &HostFacts, pages: &Pages) -> Vec<Finding> {
    let [_, files, _] = &host.pages;
    let [_, writer, _] = &host.writers;
    let mut found = finding::steerer(pages);
    outdated(&mut found, &pages.dante2sys, writer.as_ref());
    found.extend(finding::followers(pages));
    if let Some(body) = fresh_body::<Dante2sysStatus>(&pages.dante2sys) {
        if body.state() == Some(steer::State::Locked) {
            found.insert(0, Finding::ok("dante2sys is running: LOCKED"));
        }
        let is_real = SteeredClock::from_number(body.clock) == Some(SteeredClock::Realtime);
        if let Some(writer) = writer.as_ref().filter(|writer| is_real && !writer.may(CAP_SYS_TIME)) {
            found.push(lacks(host, writer, "CAP_SYS_TIME", "correct the clock"));
        }
    }
    page_files(&mut found, files, &pages.dante2sys);
    found
}

/// Checks danteshm.
pub fn danteshm(host: &HostFacts, pages: &Pages) -> Vec<Finding> {
    let [.., files] = &host.pages;
    let [.., writer] = &host.writers;
    let mut found = finding::relay(pages);
    outdated(&mut found, &pages.danteshm, writer.as_ref());
    if let Some(body) = fresh_body::<DanteshmStatus>(&pages.danteshm).filter(|_| found.is_empty()) {
        let clients: u64 = body.outputs().iter().filter_map(OutputRecord::clients).sum();
        found.push(match body.chrony_delivery() {
            Some(_) => Finding::ok("danteshm is running: FEEDING"),
            None => Finding::ok(format!("danteshm is running: it sends Dante time to {clients} clients")),
        });
    }
    page_files(&mut found, files, &pages.danteshm);
    found
}

/// Adds to the first finding of a stale page whether its writer still exists.
fn outdated<B: Body>(found: &mut [Finding], read: &Read<B>, writer: Option<&Running>) {
    let (Ok(view), Some(first)) = (read, found.first_mut()) else { return };
    if view.freshness != Freshness::Stale {
        return;
    }
    let name = B::PROGRAM;
    let what = match writer {
        Some(writer) => {
            format!(
                "{name} (process {}) hangs or is stopped: it no longer updates its state in /dev/shm",
                writer.pid
            )
        }
        None => format!("{name} died (process {} is gone): its state in /dev/shm is old", view.pid),
    };
    *first = first.clone().reworded(what);
}

/// The finding that a daemon lacks a capability.
fn lacks(host: &HostFacts, writer: &Running, capability: &str, action: &str) -> Finding {
    Finding::failure(format!("{} (pid {}) lacks {capability}: it cannot {action}", writer.name, writer.pid))
        .remedy(format!(
            "start it with its unit, which grants the capability: systemctl restart {}",
            unit(&writer.name, host.instance.as_ref())
        ))
}

/// Checks the files of a program's pages. `read` is the result of both: an error of the clock page, else the status page.
fn page_files<B: Body>(found: &mut Vec<Finding>, files: &[PageFile; 2], read: &Read<B>) {
    // The finding of the program already reports a page that could not be read.
    let is_reported = |file: &PageFile| read.as_ref().is_err_and(|error| error.page == file.path);
    let rejected = files.iter().filter(|file| !is_reported(file)).filter_map(|file| file.rejection.as_ref());
    // First, as a program does not start while a file of another user has the path of its page.
    found.splice(
        0..0,
        rejected.map(|error| Finding::explained(Level::Failure, error).kind(Kind::ForeignPage)),
    );
    let trusted = files.iter().filter(|file| file.rejection.is_none());
    found.extend(trusted.filter_map(|file| owner(file, freshness(read))));
}

/// Returns the finding about the owner of a page that is trusted or absent.
fn owner(file: &PageFile, freshness: Freshness) -> Option<Finding> {
    match (&file.file, freshness) {
        (_, Freshness::Foreign) => None,
        (Some(own), Freshness::Fresh) => {
            Some(Finding::ok(format!("{} belongs to {}, mode {:04o}", file.path, own.owner, own.mode)))
        }
        (Some(own), Freshness::Absent) if own.size == 0 => {
            Some(Finding::ok(format!("{} is reserved for {}", file.path, own.owner)))
        }
        (None, _) if file.is_reserved_at_boot => Some(
            Finding::warning(format!(
                "{} is not reserved: another user could create it, and the daemon would not start",
                file.path
            ))
            .remedy("systemd-tmpfiles --create dante4l.conf"),
        ),
        _ => None,
    }
}
