//! The status in one line, for people.

use super::Observer;
use dante_core::port::{Counter, Counters, State};
use dante_core::wire::Subdomain;
use std::fmt;

pub(super) fn write(observer: &Observer, to: &mut dyn fmt::Write) -> fmt::Result {
    let Observer { port, config, .. } = observer;
    let (state, interface) = (port.state(), &config.interface);
    if observer.link.is_none() {
        return write!(to, "{state}, waiting for interface {interface}: {}", observer.hindrance);
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
    match &observer.notice {
        Some(notice) => write!(to, "; {notice}"),
        None => Ok(()),
    }
}

/// Nothing was heard but what this port itself sent.
fn is_silent(counters: &Counters) -> bool {
    let own = [Counter::Own, Counter::DelayReqSent, Counter::Rejoined].map(|counter| counter as usize);
    counters.values().iter().enumerate().all(|(i, count)| *count == 0 || own.contains(&i))
}
