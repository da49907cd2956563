//! Who else has UDP 319 and 320.

use super::host::Host;
use crate::finding::Finding;
use crate::pages::{Pages, said};
use dante_core::page::{Body, Dante4l};
use dante_os::host::ports::Holder;
use std::collections::{BTreeMap, BTreeSet};

pub fn judge(host: &Host, pages: &Pages) -> Vec<Finding> {
    let runs = said::<Dante4l>(&pages.dante4l).is_some();
    let is_taken =
        host.networks.iter().any(|network| network.heard.as_ref().is_some_and(|heard| heard.is_port_taken));
    let mut others: BTreeMap<_, BTreeSet<u16>> = BTreeMap::new();
    // Who cannot be seen is dante4l, where that runs.
    let is_other = |holder: &&Holder| match &holder.process {
        Some(process) => process.name != Dante4l::NAME,
        None => !runs || is_taken,
    };
    for Holder { port, uid, process } in host.holders.iter().filter(is_other) {
        let (name, pid) = match process {
            Some(process) => (format!("{} (pid {})", process.name, process.pid), Some(process.pid)),
            None => (format!("a program of user {uid}"), None),
        };
        others.entry((name, pid)).or_default().insert(*port);
    }
    if others.is_empty() {
        let what = if runs { "UDP 319 and 320 are dante4l's alone" } else { "UDP 319 and 320 are free" };
        return vec![Finding::ok(what)];
    }
    let told = |((name, pid), ports): ((String, Option<u32>), BTreeSet<u16>)| {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        let what = format!("{name} has UDP {}", ports.join(" and "));
        let remedy = match pid {
            Some(pid) => {
                format!("stop it, if it is not to share them: systemctl status {pid} names its unit")
            }
            None => "sudo ss -ulnp 'sport = :319 or sport = :320' names it".into(),
        };
        if is_taken {
            Finding::failure(format!("{what}, and does not share them: dante4l cannot have them"))
                .remedy(remedy)
        } else {
            Finding::warning(format!("{what}, too")).remedy(remedy)
        }
    };
    others.into_iter().map(told).collect()
}
