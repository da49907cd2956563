//! `pmc-lite get`: prints the state of the daemons, or a part of it, as text or JSON.

use crate::args::{Form, What};
use crate::outcome::{Ended, Outcome};
use crate::pages::{Pages, Read};
use crate::status::{Port, Sample, Status};
use crate::{json, print, text};
use dante_core::page::Dante4l;
use dante_core::time::{Raw, Timestamp};
use dante_os::page::Instance;
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// Prints the output. The outcome is yes if dante4l is running.
///
/// # Errors
/// The output is lost.
pub fn get(what: &What, instance: Option<&Instance>) -> Ended {
    let pages = Pages::read(instance);
    print(&output(what, &pages))?;
    Ok(match what {
        // The status contains the reason.
        What::Status(_) => Outcome::of(pages.has_dante4l()),
        _ => Outcome::unless(pages.not_running(": the values shown are its last ones")),
    })
}

pub(crate) fn output(what: &What, pages: &Pages) -> String {
    let status = Status::of(pages);
    let dante4l = status.dante4l.published.as_ref();
    let ports = dante4l.map(|dante4l| dante4l.ports.as_slice()).unwrap_or_default();
    match what {
        What::Status(Form { json: true }) => json(&status),
        What::Status(_) => text::screen(&status),
        What::Leader(Form { json: true }) => json(&dante4l.and_then(|dante4l| dante4l.leader.as_ref())),
        What::Leader(_) => text::leaders(ports, dante4l.and_then(|dante4l| dante4l.leader.as_ref())),
        What::Port(Form { json: true }) => json(&ports),
        What::Port(_) => text::ports(ports),
        What::Counters(Form { json: true }) => json(&counters(ports)),
        What::Counters(_) => text::counters(ports),
        What::Samples(Form { json: true }) => json(&samples(&pages.clock, pages.now)),
        What::Samples(_) => text::samples(&samples(&pages.clock, pages.now)),
    }
}

/// Returns the counters by interface.
fn counters(ports: &[Port]) -> BTreeMap<&str, BTreeMap<&'static str, u64>> {
    ports.iter().map(|port| (port.interface.as_str(), port.counters.by_name().collect())).collect()
}

/// Returns the samples in the ring of the page, oldest first.
fn samples(read: &Read<Dante4l>, now: Timestamp<Raw>) -> Vec<Sample> {
    let of = |record| Sample::of(record, now);
    read.as_ref().map(|view| view.body.samples_after(0).map(of).collect()).unwrap_or_default()
}
