//! `pmc-lite get`: what the daemons say, or a part of it, as text and as JSON.

use crate::args::{Form, What};
use crate::pages::{Pages, Read};
use crate::status::{Port, Status};
use crate::{json, print, text};
use dante_core::page::{Dante4l, SampleRecord};
use dante_core::time::{Raw, Timestamp};
use dante_os::page::Instance;
use serde::Serialize;
use std::collections::BTreeMap;
use std::process::ExitCode;

#[cfg(test)]
mod tests;

/// Prints it. It is a success where dante4l runs.
pub fn get(what: &What, instance: Option<&Instance>) -> ExitCode {
    let pages = Pages::read(instance);
    print(&shown(what, &pages));
    // The status says it itself.
    if !matches!(what, What::Status(_)) {
        match &pages.dante4l {
            Err(error) => eprintln!("pmc-lite: {error}"),
            Ok(_) if !pages.has_dante4l() => {
                eprintln!("pmc-lite: dante4l is not running: this is the last that it said");
            }
            Ok(_) => {}
        }
    }
    if pages.has_dante4l() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn shown(what: &What, pages: &Pages) -> String {
    let status = Status::of(pages);
    let said = status.dante4l.said.as_ref();
    let ports = said.map(|said| said.ports.as_slice()).unwrap_or_default();
    match what {
        What::Status(Form { json: true }) => json(&status),
        What::Status(_) => text::screen(&status),
        What::Leader(Form { json: true }) => json(&said.and_then(|said| said.leader.as_ref())),
        What::Leader(_) => text::leaders(ports, said.and_then(|said| said.leader.as_ref())),
        What::Port(Form { json: true }) => json(&ports),
        What::Port(_) => text::ports(ports),
        What::Counters(Form { json: true }) => json(&counters(ports)),
        What::Counters(_) => text::counters(ports),
        What::Samples(Form { json: true }) => json(&samples(&pages.dante4l, pages.now)),
        What::Samples(_) => text::samples(&samples(&pages.dante4l, pages.now)),
    }
}

/// By interface.
fn counters(ports: &[Port]) -> BTreeMap<&str, BTreeMap<&'static str, u64>> {
    ports.iter().map(|port| (port.interface.as_str(), port.counters.by_name().collect())).collect()
}

/// One Sync that was measured.
#[derive(Debug, Serialize)]
pub struct Sample {
    pub number: u64,
    pub timeline: u64,
    pub port: u32,
    pub age_s: f64,
    pub arrived_raw_ns: i64,
    pub arrived_real_ns: i64,
    pub origin_ns: i64,
    pub residual_ns: i64,
    pub accepted: bool,
}

/// Those that the page still holds, oldest first.
fn samples(read: &Read<Dante4l>, now: Timestamp<Raw>) -> Vec<Sample> {
    let of = |record: &SampleRecord| Sample {
        number: record.number,
        timeline: record.timeline,
        port: record.port,
        age_s: (now - Timestamp::from_ns(record.arrived_raw_ns)).secs_f64(),
        arrived_raw_ns: record.arrived_raw_ns,
        arrived_real_ns: record.arrived_real_ns,
        origin_ns: record.origin_ns,
        residual_ns: record.residual_ns,
        accepted: record.accepted != 0,
    };
    read.as_ref().map(|view| view.body.samples_after(0).map(of).collect()).unwrap_or_default()
}
