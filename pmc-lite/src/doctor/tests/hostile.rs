//! The doctor on a host where every name is chosen by an attacker.

use super::hosts;
use crate::doctor::Report;
use crate::doctor::firewall::{Rules, Unknown};
use crate::doctor::host::HostFacts;
use crate::hostile::{FORGED, NAME, is_harmless};
use crate::scenes;
use dante_os::net::NetError;

/// Replaces every name among the facts.
fn named_by_an_attacker(mut host: HostFacts) -> HostFacts {
    let name = || NAME.to_owned();
    host.unreadable = host.unreadable.map(|_| name());
    for network in &mut host.networks {
        network.name = name();
        network.info.iter_mut().for_each(|link| link.name = name());
        if let Ok(link) = &mut network.link {
            link.name = name();
        }
        if let Err(NetError::NotFound { name: missing, present }) = &mut network.link {
            (*missing, *present) = (name(), vec![name()]);
        }
        if let Err(NetError::Port { name: port, kind, master }) = &mut network.link {
            (*port, *kind, *master) = (name(), name(), name());
        }
        network.reverse_path.routes.iter_mut().for_each(|route| route.interface = name());
        let failure = network.received.iter_mut().find_map(|received| received.failure.as_mut());
        failure.into_iter().for_each(|failure| failure.what = name());
    }
    host.elsewhere.iter_mut().for_each(|(interface, _)| *interface = name());
    host.holders
        .iter_mut()
        .flatten()
        .flat_map(|holder| &mut holder.process)
        .for_each(|process| process.name = name());
    host.competitors.iter_mut().for_each(|other| {
        // The only names are those of known programs; a unit's may have any.
        other.unit = Some(name());
    });
    host.pages.iter_mut().flatten().flat_map(|page| &mut page.file).for_each(|file| file.owner = name());
    host.configuration = NAME.into();
    host.links.iter_mut().for_each(|link| link.name = name());
    host.passed_over.iter_mut().for_each(|(interface, _)| *interface = name());
    let quoted = serde_json::to_string(NAME).expect("JSON");
    host.firewall = match host.firewall {
        Rules { nft: Ok(rules), has_legacy } => {
            let rules = ["\"filter\"", "\"input\",\"type\""].into_iter().fold(rules, |rules, of| {
                rules.replace(of, &of.replace("\"filter\"", &quoted).replace("\"input\"", &quoted))
            });
            Rules { nft: Ok(rules.replace(&format!("\"type\":{quoted}"), "\"type\":\"filter\"")), has_legacy }
        }
        Rules { has_legacy, .. } => {
            Rules { nft: Err(Unknown::Failed { tool: "nft", message: name() }), has_legacy }
        }
    };
    host
}

#[test]
fn report_on_names_of_an_attacker_is_harmless() {
    let mut seen = 0;
    for (name, host, pages) in hosts::all() {
        let host = named_by_an_attacker(host);
        for pages in [pages, scenes::no_daemon(), scenes::yielded()] {
            let report = Report::of(&host, &pages);
            let text = report.to_string();
            assert!(is_harmless(&text), "{name}: {text:?}");
            assert!(
                !text.lines().any(|line| line.starts_with(FORGED)),
                "{name}: a name began a line: {text}"
            );
            let json = crate::json(&report);
            assert!(is_harmless(&json), "{name}: {json:?}");
            seen += text.matches(FORGED).count();
        }
    }
    assert!(seen > 100, "the names are shown, {seen} times");
}
