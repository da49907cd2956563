//! The status text in one line, as `systemctl status` shows it.

use super::{NetworkDriver, Observer};
use dante_core::port::{Counter, Counters, Port, State};
use dante_core::wire::Subdomain;
use std::fmt;

pub(super) fn write(observer: &Observer, to: &mut dyn fmt::Write) -> fmt::Result {
    let Observer { engine, networks, .. } = observer;
    let selected = engine.selected();
    if let Some((network, port)) = networks.get(selected).zip(engine.port(selected)) {
        write_one(network, port, to)?;
    }
    for (place, other) in networks.iter().enumerate().filter(|(place, _)| *place != selected) {
        let Some(port) = engine.port(place) else { continue };
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
