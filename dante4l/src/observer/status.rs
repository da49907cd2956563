//! The status text in one line, as `systemctl status` shows it.

use super::{NetworkDriver, Observer};
use dante_core::port::{Counter, Counters, Port, State};
use dante_core::time::{Raw, Timestamp};
use dante_core::wire::Subdomain;
use dante_os::clock::raw_now;
use std::fmt;

pub(super) fn write(observer: &Observer, to: &mut dyn fmt::Write) -> fmt::Result {
    let Observer { engine, networks, .. } = observer;
    let selected = engine.selected();
    if let Some((network, port)) = selected.and_then(|it| networks.get(it).zip(engine.port(it))) {
        if port.state().is_open() {
            write_one(raw_now(), network.name(), port, to)?;
        } else {
            write!(to, "{}, waiting for interface {}: {}", port.state(), network.name(), network.failure)?;
        }
    } else if let Some(search) = &observer.search {
        write!(to, "{}, looking for a leader on {}", State::Listening, search.candidates)?;
    }
    let conflict = engine.candidates().and_then(|candidates| candidates.conflict(raw_now()));
    if let Some((one, other, by)) = conflict {
        let name = |place| networks.get(place).map_or("?", NetworkDriver::name);
        write!(to, "; {} and {} receive two clocks, which differ by {by}", name(one), name(other))?;
    }
    for place in engine.networks().into_iter().filter(|place| Some(*place) != selected) {
        let Some((other, port)) = networks.get(place).zip(engine.port(place)) else { continue };
        write!(to, "; {} on {}", port.state(), other.name())?;
    }
    Ok(())
}

fn write_one(now: Timestamp<Raw>, interface: &str, port: &Port, to: &mut dyn fmt::Write) -> fmt::Result {
    let state = port.state();
    match (state, port.leader()) {
        (State::Slave, Some(leader)) => {
            write!(to, "{state} of {} on {interface}", leader.identity)?;
            if let Some(map) = port.map() {
                write!(to, ", rate {:+.2} ppm", map.line.rate.ppm())?;
            }
        }
        (State::Uncalibrated, Some(leader)) => {
            write!(to, "{state} on {interface}: the rate of {} is not known yet", leader.identity)?;
        }
        _ => match port.foreign_leaders().next() {
            Some(leader) => {
                write!(to, "{state} on {interface}: {} is received and not followed yet", leader.identity)?;
            }
            None if is_silent(port.counters()) => write!(to, "{state} on {interface}: no packets yet")?,
            None if port.timeline() == 0 => write!(to, "{state} on {interface}: no leader yet")?,
            None => write!(to, "{state} on {interface}: the leader is silent")?,
        },
    }
    if port.subdomain() != Subdomain::DFLT {
        write!(to, ", subdomain {}", port.subdomain())?;
    }
    match port.first_diagnostic(now) {
        Some((diagnostic, _)) => write!(to, "; {diagnostic}"),
        None => Ok(()),
    }
}

/// Whether nothing but this port's own packets was received.
fn is_silent(counters: &Counters) -> bool {
    let own = [Counter::Own, Counter::DelayReqSent, Counter::Rejoined].map(|counter| counter as usize);
    counters.values().iter().enumerate().all(|(i, count)| *count == 0 || own.contains(&i))
}

#[cfg(test)]
#[path = "../../../lib/core/src/port/tests/conditions.rs"]
mod conditions;

#[cfg(test)]
mod tests {
    use super::conditions::{INTERFACE, INTERVAL, Stage, alone, then, traffic::traffic, variant};
    use super::*;
    use dante_core::port::Diagnostic;

    fn status(stage: &Stage) -> String {
        let mut text = String::new();
        write_one(stage.now, INTERFACE, stage.port(), &mut text).unwrap();
        text
    }

    #[test]
    fn status_names_what_explains_the_state_and_nothing_that_is_over() {
        for one in traffic() {
            let mut stage = alone(&one);
            let text = status(&stage);
            // In the order of their numbers: they do not alternate.
            let is_reported = |it: &Diagnostic| one.alone.split(' ').any(|name| name == variant(it));
            let reported = stage.port().diagnostics().map(|(diagnostic, _)| diagnostic).find(is_reported);
            let sentence = reported.map(|diagnostic| diagnostic.to_string());
            let (_, shown) = text.split_once("; ").unzip();
            assert_eq!(shown, sentence.as_deref(), "{}: {text}", one.name);
            then(&one, &mut stage, 0);
            if !one.then.is_empty() {
                let text = status(&stage);
                assert!(text.starts_with("SLAVE of 00:1d:c1:00:00:05/1 on eth1, rate +12.00 ppm"), "{text}");
                assert!(!text.contains("receiving"), "{}: {text}", one.name);
            }
            stage.now = stage.now + INTERVAL * 300;
            assert!(!status(&stage).contains(';'), "{}, {} s later", one.name, INTERVAL.secs_f64() * 300.0);
        }
    }
}
