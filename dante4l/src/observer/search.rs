//! `interface = "auto"`: keeps a port on each interface that may be on a Dante network. The engine chooses among them.

use super::network::NetworkDriver;
use super::schedule::Schedule;
use crate::link::LinkConfig;
use dante_core::candidates::{Change, PassedOver};
use dante_core::observe::Observer as Engine;
use dante_core::port::{InterfaceFault, Port, PortConfig};
use dante_core::time::{Raw, Timestamp};
use dante_os::daemon::random;
use dante_os::log::Budget;
use dante_os::net::{InterfaceName, links, passed_over};

/// Largest number of names in a line.
const MAX_NAMES: usize = 8;
/// The interfaces if there is none.
const NONE: &str = "none";

/// The interfaces of this host, as `auto` sees them.
pub(super) struct Search {
    /// The configuration of each network, apart from its interface.
    link: LinkConfig,
    /// The same of its port, apart from the seed.
    port: PortConfig,
    schedule: Schedule,
    /// The candidates with their faults, in one line.
    pub candidates: String,
    changes: Budget,
}

impl Search {
    /// `link` and `port` are the configuration of the networks.
    pub fn new(link: LinkConfig, port: PortConfig, has_notifications: bool) -> Self {
        Self {
            link,
            port,
            schedule: Schedule::new("interface auto", has_notifications),
            candidates: String::new(),
            changes: Budget::about("interface auto"),
        }
    }

    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        self.schedule.deadline()
    }

    /// Lists the interfaces if that is due.
    pub fn act(&mut self, now: Timestamp<Raw>, engine: &mut Engine, networks: &mut Vec<NetworkDriver>) {
        self.changes.tick(now);
        if self.schedule.is_due(now) {
            self.look(now, engine, networks);
        }
    }

    /// Lists the interfaces, and makes a driver for each new one that may be on a Dante network. A driver opens its interface when
    /// it checks it.
    pub fn look(&mut self, now: Timestamp<Raw>, engine: &mut Engine, networks: &mut Vec<NetworkDriver>) {
        let links = match links() {
            Ok(links) => links,
            Err(cause) => {
                self.schedule.failed(
                    now,
                    format_args!(
                        "interface auto: cannot list the network interfaces: {cause}; trying again in 1 s"
                    ),
                );
                return;
            }
        };
        self.schedule.answered(now);
        let mut others = Vec::new();
        for link in &links {
            let why = match passed_over(link, &links) {
                Some(why) => why,
                None if networks.iter().any(|network| network.name() == link.name) => continue,
                None if self.add(now, engine, networks, &link.name) => continue,
                None => PassedOver::TooMany,
            };
            // Every host has a loopback interface, and a host with containers may have hundreds of ports of their bridges.
            let is_usual = why == PassedOver::Loopback || why == PassedOver::Port && link.kind.is_some();
            if !is_usual {
                others.push((link.name.clone(), why));
            }
        }
        if engine.set_passed_over(&others) {
            let named = others.iter().take(MAX_NAMES).map(|(name, why)| format!("{name} ({why})"));
            let more = others.len().saturating_sub(MAX_NAMES);
            let more = (more > 0).then(|| format!("{more} more"));
            let names = named.chain(more).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { NONE } else { &names };
            self.changes.info(now, format_args!("interface auto: passed over: {names}"));
        }
        engine.search(now);
    }

    /// Makes a driver for an interface; one that was removed and is not used gives its place. Returns whether there was a place.
    fn add(
        &self,
        now: Timestamp<Raw>,
        engine: &mut Engine,
        networks: &mut Vec<NetworkDriver>,
        name: &str,
    ) -> bool {
        let used = engine.networks();
        let is_free =
            |(place, network): &(usize, &NetworkDriver)| !used.contains(place) && network.fault.is_gone();
        let free = networks.iter().enumerate().find(is_free).map(|(place, _)| place);
        // Only the UUID of an interface without a hardware address depends on it.
        let seed = random().unwrap_or(0);
        let config = LinkConfig { interface: InterfaceName::Name(name.to_owned()), ..self.link.clone() };
        let driver =
            |place| NetworkDriver::new(place, config, seed, self.schedule.has_notifications).candidate(now);
        if let Some((place, network)) = free.and_then(|place| Some((place, networks.get_mut(place)?))) {
            engine.set_name(place, name);
            *network = driver(place);
            return true;
        }
        let place = engine.add(name, PortConfig { seed, ..self.port.clone() });
        place.map(|place| networks.push(driver(place))).is_some()
    }

    /// Logs the candidates while none is used, if they or their faults are others than before.
    pub fn list(&mut self, now: Timestamp<Raw>, engine: &Engine, networks: &[NetworkDriver]) {
        let candidates = networks.iter().filter(|network| !network.fault.is_gone());
        let names: Vec<String> = candidates
            .map(|network| match network.fault {
                InterfaceFault::None => network.name().to_owned(),
                fault => format!("{} ({})", network.name(), fault.name().replace('-', " ")),
            })
            .collect();
        let candidates = names.join(", ");
        if candidates == self.candidates && !candidates.is_empty() || !engine.networks().is_empty() {
            return;
        }
        if candidates.is_empty() {
            if self.candidates != NONE {
                self.changes.info(
                    now,
                    format_args!("interface auto: this host has no wired interface; waiting for one"),
                );
            }
            NONE.clone_into(&mut self.candidates);
        } else {
            self.changes.info(now, format_args!("interface auto: looking for a leader on {candidates}"));
            self.candidates = candidates;
        }
    }

    /// Logs which interfaces the engine has chosen, and why.
    pub fn chosen(
        &mut self,
        now: Timestamp<Raw>,
        change: Change,
        engine: &Engine,
        networks: &[NetworkDriver],
    ) {
        let name = |place: usize| networks.get(place).map_or(NONE, NetworkDriver::name);
        let leader = |place: usize| match engine.port(place).and_then(Port::leader) {
            Some(leader) => format!("{} at {}", leader.identity, leader.address),
            None => NONE.to_owned(),
        };
        let changes = &mut self.changes;
        match change {
            Change::Only(place) => {
                changes.info(now, format_args!("interface auto: using {}, the only wired interface", name(place)));
            }
            Change::Use { primary, secondary: None } => changes.info(
                now,
                format_args!("interface auto: using {}, which receives leader {}", name(primary), leader(primary)),
            ),
            Change::Use { primary, secondary: Some(secondary) } => changes.info(
                now,
                format_args!(
                    "interface auto: using {} as the primary and {} as the secondary network: both receive the same clock",
                    name(primary),
                    name(secondary)
                ),
            ),
            Change::Conflict(one, other, by) => changes.warn(
                now,
                format_args!(
                    "interface auto: {} receives leader {}, and {} leader {}: these are two clocks, which differ by {by}, and none is followed; set interface to one of both in the configuration",
                    name(one),
                    leader(one),
                    name(other),
                    leader(other)
                ),
            ),
            Change::OtherClock(other, by) => changes.warn(
                now,
                format_args!(
                    "interface auto: {} receives leader {}, which is another clock and differs by {by}: this interface is not used",
                    name(other),
                    leader(other)
                ),
            ),
        }
    }
}
