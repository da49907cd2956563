//! The daemons: their pages, files and rights.

use super::host::Host;
use crate::finding::{self, Finding, Level};
use crate::pages::{Pages, Read, freshness, said, unit};
use dante_core::page::{Body, Dante2sys, Dante4l, Danteshm, Freshness, SteeredClock};
use dante_core::{port, steer};
use dante_os::host::pages::PageFile;
use dante_os::host::{CAP_NET_BIND_SERVICE, CAP_SYS_TIME, Running};

/// How the remedy of what may be a consequence begins.
pub const ABOVE: &str = "see above";

/// `is_clear`: nothing before it is in the way.
pub fn dante4l(host: &Host, pages: &Pages, is_clear: bool) -> Vec<Finding> {
    let [file, ..] = &host.pages;
    let [writer, ..] = &host.writers;
    // Of another interface than those that were looked at nothing was found out.
    let is_looked_at = said::<Dante4l>(&pages.dante4l).is_none_or(|body| {
        body.ports()
            .iter()
            .all(|port| host.networks.iter().any(|network| network.name == port.interface.to_string()))
    });
    let mut found: Vec<Finding> = finding::observer(pages)
        .into_iter()
        .map(|finding| if is_looked_at { here(finding, is_clear) } else { finding })
        .collect();
    outdated(&mut found, &pages.dante4l, writer.as_ref());
    let is_well = !found.iter().any(|finding| finding.level == Level::Failure);
    if let Some(body) = said::<Dante4l>(&pages.dante4l).filter(|_| is_well) {
        let states: Vec<String> = body
            .ports()
            .iter()
            .map(|port| {
                let state = port.state().map_or("in an unknown state", port::State::name);
                format!("{state} on {}", port.interface)
            })
            .collect();
        found.insert(0, Finding::ok(format!("dante4l runs, {}", states.join(" and "))));
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
    found.extend(owned(file, &pages.dante4l));
    found
}

pub fn dante2sys(host: &Host, pages: &Pages) -> Vec<Finding> {
    let [_, file, _] = &host.pages;
    let [_, writer, _] = &host.writers;
    let mut found = finding::steerer(pages);
    outdated(&mut found, &pages.dante2sys, writer.as_ref());
    found.extend(finding::followers(pages));
    let is_alone = host.rivals.iter().all(|rival| rival.name == Dante2sys::NAME);
    let mut found: Vec<Finding> = found.into_iter().map(|finding| here(finding, is_alone)).collect();
    if let Some(body) = said::<Dante2sys>(&pages.dante2sys) {
        if body.state() == Some(steer::State::Locked) {
            found.insert(0, Finding::ok("dante2sys runs, LOCKED"));
        }
        let is_real = SteeredClock::from_number(body.clock) == Some(SteeredClock::Realtime);
        if let Some(writer) = writer.as_ref().filter(|writer| is_real && !writer.may(CAP_SYS_TIME)) {
            found.push(lacks(host, writer, "CAP_SYS_TIME", "correct the clock"));
        }
    }
    found.extend(owned(file, &pages.dante2sys));
    found
}

pub fn danteshm(host: &Host, pages: &Pages) -> Vec<Finding> {
    let [.., file] = &host.pages;
    let [.., writer] = &host.writers;
    let mut found: Vec<Finding> =
        finding::relay(pages).into_iter().map(|finding| here(finding, true)).collect();
    outdated(&mut found, &pages.danteshm, writer.as_ref());
    if said::<Danteshm>(&pages.danteshm).is_some() && found.is_empty() {
        found.push(Finding::ok("danteshm runs, FEEDING"));
    }
    found.extend(owned(file, &pages.danteshm));
    found
}

/// Where a finding sends its reader to the doctor, the doctor has said already what it knows.
fn here(finding: Finding, is_clear: bool) -> Finding {
    let remedy = match (&finding.otherwise, is_clear) {
        (None, _) => return finding,
        (Some(otherwise), false) => format!("{ABOVE}; if that is not it: {otherwise}"),
        (Some(otherwise), true) => otherwise.clone(),
    };
    finding.remedy(remedy)
}

/// A page that is old, of a writer that is gone or not: what stands first says neither.
fn outdated<B: Body>(found: &mut [Finding], read: &Read<B>, writer: Option<&Running>) {
    let (Ok(view), Some(first)) = (read, found.first_mut()) else { return };
    if view.freshness != Freshness::Stale {
        return;
    }
    let name = B::NAME;
    first.what = match writer {
        Some(writer) => {
            format!("{name} (process {}) hangs or is stopped: it does not renew its page", writer.pid)
        }
        None => format!("{name} died (process {} is gone): its page is old", view.pid),
    };
}

fn lacks(host: &Host, writer: &Running, right: &str, to: &str) -> Finding {
    Finding::failure(format!("{} (pid {}) has no right to {to} ({right})", writer.name, writer.pid)).remedy(
        format!("run it by its unit: systemctl restart {}", unit(&writer.name, host.instance.as_ref())),
    )
}

/// Whose the page is. One that is not believed is told of by whoever could not read it.
fn owned<B: Body>(file: &PageFile, read: &Read<B>) -> Option<Finding> {
    match (&file.file, freshness(read)) {
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
