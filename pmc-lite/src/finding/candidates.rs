//! Findings about the interfaces among which dante4l chooses (`interface = "auto"`).

use super::unusable::{cause, unusable};
use super::{Finding, Kind, Level, log_of_dante4l};
use crate::pages::{Pages, configuration, unit};
use dante_core::candidates::{PassedOver, Role};
use dante_core::explain::Explain;
use dante_core::page::{Body, CandidateRecord, Dante4lStatus};
use dante_core::port::{Diagnostic, InterfaceFault};
use dante_core::printable::printable;

/// Joins names as in a sentence: `a, b and c`.
pub fn joined<S: AsRef<str>>(names: &[S]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// The interfaces that may be on a Dante network.
fn eligible(shown: &[CandidateRecord]) -> impl Iterator<Item = &CandidateRecord> {
    shown.iter().filter(|candidate| candidate.passed_over == 0)
}

/// What dante4l does while it uses no network, in a few words: `looking for a leader on eth0 (no carrier) and eth1`.
pub fn search(shown: &[CandidateRecord]) -> String {
    let with_role = |role: Role| -> Vec<String> {
        let found = eligible(shown).filter(|one| one.role() == Some(role));
        found.map(|one| one.interface.to_string()).collect()
    };
    let clocks = with_role(Role::OtherClock);
    if !clocks.is_empty() {
        return format!("different clocks on {}", joined(&clocks));
    }
    let compared = with_role(Role::Comparing);
    if !compared.is_empty() {
        return format!("leaders on {} not compared yet", joined(&compared));
    }
    let all: Vec<String> = eligible(shown).map(described).collect();
    if all.is_empty() {
        "no wired interface".into()
    } else {
        format!("looking for a leader on {}", joined(&all))
    }
}

/// The interfaces that are passed over, with the reasons; `None` without one apart from the loopback interface.
fn passed_over(shown: &[CandidateRecord]) -> Option<String> {
    let others = shown.iter().filter_map(|candidate| Some((candidate, candidate.passed_over()?)));
    let others = others.filter(|(_, why)| *why != PassedOver::Loopback);
    let others: Vec<String> = others.map(|(one, why)| format!("{} ({why})", one.interface)).collect();
    (!others.is_empty()).then(|| others.join(", "))
}

/// The name of an interface, with the reason if it cannot be used.
fn described(candidate: &CandidateRecord) -> String {
    match candidate.fault().and_then(cause) {
        Some(fault) => format!("{} ({fault})", candidate.interface),
        None => candidate.interface.to_string(),
    }
}

/// `eth1 (00:1d:c1:a1:72:3c/1 at 169.254.61.114)`, an interface with its leader.
fn with_leader(candidate: &CandidateRecord) -> String {
    let interface = candidate.interface;
    candidate.leader().map_or_else(
        || interface.to_string(),
        |leader| format!("{interface} ({} at {})", leader.identity(), leader.address()),
    )
}

/// The findings while no network is used.
pub(super) fn searching(shown: &[CandidateRecord], pages: &Pages) -> Vec<Finding> {
    let candidates: Vec<&CandidateRecord> = eligible(shown).collect();
    let with_role = |role: Role| candidates.iter().copied().filter(move |one| one.role() == Some(role));
    if let Some(found) = conflict(&with_role(Role::OtherClock).collect::<Vec<_>>(), pages) {
        return vec![found];
    }
    let comparing: Vec<String> = with_role(Role::Comparing).map(|one| one.interface.to_string()).collect();
    match comparing.as_slice() {
        [] => no_leader(shown, &candidates, pages),
        [one] => {
            let what = format!("a leader is received on {one}: dante4l uses it after some seconds");
            vec![Finding::warning(what).kind(Kind::Calibrating)]
        }
        several => {
            let names = joined(several);
            let what = format!(
                "leaders are received on {names}: dante4l compares them for 10 s before it uses them"
            );
            vec![Finding::warning(what).kind(Kind::Calibrating)]
        }
    }
}

/// The findings about the other candidates while a network is used.
pub(super) fn others(shown: &[CandidateRecord]) -> Option<Finding> {
    let others: Vec<&CandidateRecord> =
        eligible(shown).filter(|one| one.role() == Some(Role::OtherClock)).collect();
    let first = others.first()?;
    let used = eligible(shown).filter(|one| matches!(one.role(), Some(Role::Primary | Role::Secondary)));
    let used: Vec<String> = used.map(|one| one.interface.to_string()).collect();
    let names: Vec<String> = others.iter().map(|one| with_leader(one)).collect();
    let what = format!(
        "another clock is received on {}, which differs by {} from that of {}: dante4l does not use it",
        joined(&names),
        first.difference(),
        joined(&used)
    );
    let remedy = "if the devices are to have one clock, find out why these networks have two leaders; else name the networks to \
                  use: interface in the configuration";
    Some(Finding::warning(what).kind(Kind::SeveralClocks).remedy(remedy))
}

/// The finding that candidates receive different clocks.
fn conflict(clocks: &[&CandidateRecord], pages: &Pages) -> Option<Finding> {
    clocks.first()?;
    let names: Vec<String> = clocks.iter().map(|one| with_leader(one)).collect();
    let values: Vec<String> =
        clocks.iter().map(|one| format!("\"{}\"", printable(&one.interface.to_string()))).collect();
    // The interface with which the others are compared has no difference.
    let differs = clocks.iter().find(|one| one.difference_ns != 0 || one.rate_difference != 0.0);
    let by = differs.map(|one| format!(", which differ by {}", one.difference())).unwrap_or_default();
    let what = format!("different clocks are received on {}{by}: dante4l follows none", joined(&names));
    let file = configuration(pages.instance.as_ref());
    let unit = unit(Dante4lStatus::PROGRAM, pages.instance.as_ref());
    let remedy = format!(
        "name the network to use: interface = {} in section [dante4l] of {file}, then systemctl restart {unit}\n\
         or set leader to the identity of one of these leaders",
        values.join(" or ")
    );
    Some(Finding::failure(what).kind(Kind::SeveralClocks).remedy(remedy))
}

/// The findings that no candidate receives a leader, with what explains it.
fn no_leader(shown: &[CandidateRecord], candidates: &[&CandidateRecord], pages: &Pages) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        candidates.iter().filter_map(|candidate| diagnosed(candidate, pages)).collect();
    let mut denied: Vec<(InterfaceFault, Vec<String>)> = Vec::new();
    for candidate in candidates {
        let Some(fault) = candidate.fault().filter(|fault| is_denied(*fault)) else { continue };
        let name = candidate.interface.to_string();
        match denied.iter_mut().find(|(known, _)| *known == fault) {
            Some((_, names)) => names.push(name),
            None => denied.push((fault, vec![name])),
        }
    }
    let all_denied = !candidates.is_empty()
        && denied.iter().map(|(_, names)| names.len()).sum::<usize>() == candidates.len();
    found.extend(denied.iter().map(|(fault, names)| unusable(&joined(names), Some(*fault), pages)));
    if all_denied {
        return found;
    }
    let names: Vec<String> = candidates.iter().map(|one| described(one)).collect();
    let passed_over = passed_over(shown).map(|others| format!("; passed over: {others}")).unwrap_or_default();
    let file = configuration(pages.instance.as_ref());
    let (what, check) = match candidates {
        [] => (
            format!("this host has no wired network interface on which a leader could be received{passed_over}"),
            format!("connect a network card, or name the interface to use: interface in section [dante4l] of {file}"),
        ),
        _ => (
            format!("no leader is received on {}{passed_over}", joined(&names)),
            "sudo pmc-lite doctor finds the cause: no cable, no leader, another subdomain (devices with a pull-up of the sample rate), \
             a VLAN tag, IGMP snooping or a firewall"
                .into(),
        ),
    };
    found.push(Finding::failure(what).kind(Kind::NoLeader).unexplained(check, log_of_dante4l(pages)));
    found
}

/// Whether dante4l could use the interface, but this host denies it.
const fn is_denied(fault: InterfaceFault) -> bool {
    matches!(
        fault,
        InterfaceFault::PortInUse
            | InterfaceFault::NotPermitted
            | InterfaceFault::Card
            | InterfaceFault::System
    )
}

/// The diagnostic that explains why this candidate receives no leader.
fn diagnosed(candidate: &CandidateRecord, pages: &Pages) -> Option<Finding> {
    let (diagnostic, at): (Diagnostic, _) = candidate.diagnostic()?;
    if !diagnostic.is_shown(candidate.state()?, pages.now - at) {
        return None;
    }
    let finding = Finding::explained(Level::Failure, &diagnostic).kind(Kind::NoLeader);
    let what = format!("{}: {}", candidate.interface, diagnostic.what());
    Some(finding.reworded(what))
}
