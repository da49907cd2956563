//! The status text in one line, as `systemctl status` shows it.

use super::{NetworkDriver, Observer};
use dante_core::port::{Counter, Counters, Port, State};
use dante_core::wire::Subdomain;
use dante_os::clock::raw_now;
use std::fmt;

pub(super) fn write(observer: &Observer, to: &mut dyn fmt::Write) -> fmt::Result {
    let Observer { engine, networks, .. } = observer;
    let selected = engine.selected();
    if let Some((network, port)) = selected.and_then(|it| networks.get(it).zip(engine.port(it))) {
        write_one(network, port, to)?;
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

fn write_one(network: &NetworkDriver, port: &Port, to: &mut dyn fmt::Write) -> fmt::Result {
    let (state, interface) = (port.state(), network.name());
    if !state.is_open() {
        return write!(to, "{state}, waiting for interface {interface}: {}", network.failure);
    }
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
        _ if is_silent(port.counters()) => write!(to, "{state} on {interface}: no packets yet")?,
        _ if port.timeline() == 0 => write!(to, "{state} on {interface}: no leader yet")?,
        _ => write!(to, "{state} on {interface}: the leader is silent")?,
    }
    if port.subdomain() != Subdomain::DFLT {
        write!(to, ", subdomain {}", port.subdomain())?;
    }
    match &network.diagnostic {
        Some(diagnostic) => write!(to, "; {diagnostic}"),
        None => Ok(()),
    }
}

/// Whether nothing but this port's own packets was received.
fn is_silent(counters: &Counters) -> bool {
    let own = [Counter::Own, Counter::DelayReqSent, Counter::Rejoined].map(|counter| counter as usize);
    counters.values().iter().enumerate().all(|(i, count)| *count == 0 || own.contains(&i))
}
