//! One network: its interface with the sockets, and its log lines.

use crate::link::{Link, LinkChange, LinkConfig, LinkError, NO_CARRIER};
use dante_core::observe::Observer as Engine;
use dante_core::port::TimestampSource;
use dante_core::port::{
    Channel, Diagnostic, Input, InterfaceFault, NoTimestamp, Port, Reason, SendToken, State,
    follower_identity,
};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::wire::Buffer;
use dante_os::clock::raw_now;
use dante_os::log::{Budget, Complaints};
use dante_os::net::{InterfaceEvent, InterfaceName, OwnAddresses, capabilities};
use dante_os::socket::Timestamping;
use std::fmt;

/// Size of the receive buffer, bytes: larger than any PTPv1 message.
const BUFFER_SIZE: usize = 512;

/// Interval at which opening failed sockets is retried, and at which interfaces are checked without notifications of the kernel.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The state of one network.
pub(super) struct NetworkDriver {
    /// Its index among the networks of the engine.
    place: usize,
    pub config: LinkConfig,
    /// Whether it is a network, or only a candidate: that gets software timestamps and sends nothing.
    is_used: bool,
    /// The name of the interface; before it is opened, how it is named in the configuration.
    name: String,
    pub link: Option<Link>,
    /// Why there is no link, or why it cannot be used.
    pub failure: String,
    /// The same for the status page.
    pub fault: InterfaceFault,
    /// Seed of the UUID of an interface without a MAC address.
    seed: u64,
    /// Whether the kernel sends notifications about interfaces.
    has_notifications: bool,
    next_check: Option<Timestamp<Raw>>,
    /// Rate limits of log lines: a host that sends PTP must not suppress lines about the interface.
    changes: Budget,
    interface_changes: Budget,
    failures: Complaints,
}

impl NetworkDriver {
    /// `has_notifications`: the kernel sends notifications about interfaces.
    pub fn new(place: usize, config: LinkConfig, seed: u64, has_notifications: bool) -> Self {
        let subject = format!("port {}", config.interface);
        Self {
            place,
            name: config.interface.to_string(),
            config,
            is_used: true,
            link: None,
            failure: String::new(),
            fault: InterfaceFault::None,
            seed,
            has_notifications,
            next_check: None,
            changes: Budget::about(&subject),
            interface_changes: Budget::about(&subject),
            failures: Complaints::about(subject),
        }
    }

    /// A candidate, which is not used yet. It opens its interface at the next [`act`](Self::act).
    pub fn candidate(self, now: Timestamp<Raw>) -> Self {
        Self { is_used: false, next_check: Some(now), ..self }
    }

    pub fn is_used(&self) -> bool {
        self.is_used
    }

    /// Uses it as a network, or as a candidate only. Hardware timestamps are enabled only on a network: that changes the card, and
    /// may interrupt its link.
    pub fn set_used(&mut self, engine: &mut Engine, is_used: bool) {
        let was_used = std::mem::replace(&mut self.is_used, is_used);
        let wants_card = || match self.config.timestamping {
            Timestamping::Software => false,
            Timestamping::Hardware => true,
            Timestamping::Auto => capabilities(&self.name).is_some_and(|able| able.has_hardware_rx()),
        };
        if was_used != is_used && self.link.is_some() && (self.config.sends || wants_card()) {
            self.reopen(engine);
        }
        self.schedule_reports(engine);
    }

    /// Opens other sockets in place of the present ones. The port goes on with other timestamps, as after a card that fails.
    fn reopen(&mut self, engine: &mut Engine) {
        self.link = None;
        match self.open_link() {
            Ok(link) if link.interface.up => {
                self.interface_info(format_args!("timestamps: {}", link.describe_timestamps()));
                self.link = Some(link);
            }
            Ok(link) => {
                self.link = Some(link);
                self.fail(engine, InterfaceFault::NoCarrier, NO_CARRIER);
            }
            Err(error) => self.close_after(engine, error),
        }
    }

    /// Schedules IGMP reports while no leader is received. A candidate sends none once a network is used.
    fn schedule_reports(&mut self, engine: &Engine) {
        let listens = engine.port(self.place).is_some_and(|port| port.state() == State::Listening);
        let is_relevant = self.is_relevant(engine);
        match &mut self.link {
            Some(link) if listens && is_relevant => link.membership.start(raw_now()),
            Some(link) => link.membership.stop(),
            None => {}
        }
    }

    /// Whether lines about its leaders are of use while `engine` uses other networks.
    fn is_relevant(&self, engine: &Engine) -> bool {
        self.is_used || engine.networks().is_empty()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens the sockets as they are needed now.
    pub fn open_link(&self) -> Result<Link, LinkError> {
        if self.is_used {
            return Link::open(&self.config);
        }
        Link::open(&LinkConfig { timestamping: Timestamping::Software, sends: false, ..self.config.clone() })
    }

    pub fn timestamp_source(&self) -> TimestampSource {
        self.link.as_ref().map_or(TimestampSource::None, Link::source)
    }

    /// Passes the next packet of a channel to the port. Returns whether there was one.
    pub fn take_packet(
        &mut self,
        engine: &mut Engine,
        own: &OwnAddresses,
        channel: Channel,
    ) -> Result<bool, LinkError> {
        let mut buffer = [0; BUFFER_SIZE];
        let now = raw_now();
        let Some(link) = &mut self.link else { return Ok(false) };
        let Some(packet) = link.receive(now, channel, own, &mut buffer)? else { return Ok(false) };
        let dropped = link.newly_dropped();
        if dropped > 0 {
            engine.handle(now, self.place, Input::Dropped(dropped));
        }
        engine.handle(now, self.place, packet);
        Ok(true)
    }

    /// Passes the next transmit timestamp to the port. Returns whether there was one.
    pub fn take_departure(&mut self, engine: &mut Engine) -> Result<bool, LinkError> {
        let Some(departed) = self.link.as_mut().map_or(Ok(None), Link::departed)? else { return Ok(false) };
        engine.handle(raw_now(), self.place, departed);
        Ok(true)
    }

    /// Logs a diagnostic. The engine reports each kind at most once a minute.
    pub fn warn(&self, engine: &Engine, diagnostic: Diagnostic) {
        if self.is_relevant(engine) {
            log::warn!("port {}: {diagnostic}", self.name());
        }
    }

    pub fn changed(&mut self, engine: &Engine, from: State, to: State, reason: Reason) {
        if self.is_relevant(engine) {
            self.info(format_args!("{from} to {to}: {reason}"));
        }
        self.schedule_reports(engine);
    }

    /// Logs a change that packets cause.
    pub fn info(&mut self, what: fmt::Arguments<'_>) {
        self.changes.info(raw_now(), format_args!("port {}: {what}", self.name));
    }

    /// Logs a change of the interface or its sockets.
    fn interface_info(&mut self, what: fmt::Arguments<'_>) {
        self.interface_changes.info(raw_now(), format_args!("port {}: {what}", self.name));
    }

    pub fn send(&mut self, engine: &mut Engine, packet: &Buffer, token: SendToken) {
        let Some(link) = &mut self.link else { return };
        let (without_timestamp, result) = link.send(packet, token);
        if let Err(error) = result {
            log::debug!("{error}");
        }
        if let Some(token) = without_timestamp {
            engine.handle(
                raw_now(),
                self.place,
                Input::Departed { token, timestamp: Err(NoTimestamp::Missing) },
            );
        }
    }

    /// The next deadline of this network, apart from that of the port.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        let rejoin = self.link.as_ref().and_then(|link| link.membership.deadline());
        [self.next_check, rejoin].into_iter().flatten().min()
    }

    /// Performs what is due.
    pub fn act(&mut self, engine: &mut Engine, now: Timestamp<Raw>) {
        self.changes.tick(now);
        self.interface_changes.tick(now);
        self.failures.tick(now);
        if let Some(link) = &mut self.link {
            link.tick(now);
        }
        if engine.port(self.place).and_then(Port::deadline).is_some_and(|due| now >= due) {
            engine.handle(now, self.place, Input::Deadline);
        }
        if self.next_check.is_some_and(|due| now >= due) {
            self.check_interface(engine, now);
        }
        if self.link.as_mut().is_some_and(|link| link.membership.take_due(now)) {
            self.rejoin(engine, now);
        }
    }

    /// Whether a notification may affect this network.
    pub fn is_affected(&self, news: InterfaceEvent<'_>) -> bool {
        let Some(link) = &self.link else {
            // Any interface may be the one that is named, by whatever it is named.
            return true;
        };
        let is_own = |index| link.interface.index == index;
        // Another interface may have got the name.
        let is_named = |name: &str| matches!(&self.config.interface, InterfaceName::Name(own) if own == name);
        match news {
            InterfaceEvent::Link { name, index, .. } => is_own(index) || is_named(name),
            InterfaceEvent::Address { index } => is_own(index),
            InterfaceEvent::Missed => true,
        }
    }

    /// Checks whether the interface is the same as before and can receive, or is back.
    pub fn check_interface(&mut self, engine: &mut Engine, now: Timestamp<Raw>) {
        self.next_check = (!self.has_notifications).then_some(now + CHECK_INTERVAL);
        let Some(link) = &mut self.link else { return self.open(engine, now) };
        let was_open = engine.port(self.place).is_some_and(|port| port.state().is_open());
        let checked = link.check(&self.config, was_open);
        self.name.clone_from(&link.interface.name);
        engine.set_name(self.place, &self.name);
        match checked {
            Ok(LinkChange::None) => {}
            Ok(LinkChange::Unknown(error)) => {
                self.next_check = Some(now + CHECK_INTERVAL);
                self.log_failure(now, format_args!("{error}; checking again in 1 s"));
            }
            Ok(LinkChange::Down(fault, why)) => self.fail(engine, fault, &why),
            Ok(LinkChange::StillDown(fault, why)) => (self.failure, self.fault) = (why, fault),
            Ok(LinkChange::Up) => {
                self.rejoin(engine, now);
                self.begin(engine, now);
            }
            Ok(LinkChange::Address(address)) => {
                self.interface_info(format_args!("address changed to {address}"));
                self.rejoin(engine, now);
            }
            Ok(LinkChange::Gone) => {
                let why = "the interface was removed, or another one has its name now";
                self.close(engine, InterfaceFault::Absent, why);
                self.open(engine, now);
            }
            Err(error) => self.close_after(engine, error),
        }
    }

    fn open(&mut self, engine: &mut Engine, now: Timestamp<Raw>) {
        self.next_check = (!self.has_notifications).then_some(now + CHECK_INTERVAL);
        let link = self.open_link();
        self.opened(engine, now, link);
    }

    pub fn opened(&mut self, engine: &mut Engine, now: Timestamp<Raw>, link: Result<Link, LinkError>) {
        match link {
            Ok(link) => {
                let is_up = link.interface.up;
                self.name.clone_from(&link.interface.name);
                engine.set_name(self.place, &self.name);
                self.link = Some(link);
                if is_up {
                    self.begin(engine, now);
                } else {
                    (self.failure, self.fault) = (NO_CARRIER.into(), InterfaceFault::NoCarrier);
                    if self.is_used {
                        self.log_failure(now, format_args!("{NO_CARRIER}"));
                    }
                }
            }
            Err(error) => {
                if !self.has_notifications || !error.is_state_of_interface() {
                    self.next_check = Some(now + CHECK_INTERVAL);
                }
                (self.failure, self.fault) = (error.to_string(), error.fault());
                if self.is_used || !error.is_state_of_interface() {
                    self.log_failure(now, format_args!("{error}; waiting for it"));
                }
            }
        }
    }

    /// Starts the port: the sockets are open, and the interface is up.
    fn begin(&mut self, engine: &mut Engine, now: Timestamp<Raw>) {
        let Some(link) = &self.link else { return };
        self.fault = InterfaceFault::None;
        let (mac, timestamps, buffer) =
            (link.interface.mac, link.describe_timestamps(), link.buffered_packets());
        self.interface_info(format_args!("listening, timestamps: {timestamps}"));
        if let Ok((requested, granted)) = buffer
            && granted < requested
        {
            self.interface_info(format_args!(
                "receive buffer for at least {granted} packets, {requested} requested: sysctl net.core.rmem_max limits it"
            ));
        }
        engine.handle(now, self.place, Input::Opened(follower_identity(mac, self.seed)));
    }

    /// Makes the kernel send an IGMP report of the multicast group.
    fn rejoin(&mut self, engine: &mut Engine, now: Timestamp<Raw>) {
        let Some(link) = &mut self.link else { return };
        match link.rejoin(now) {
            Ok(()) => {
                let group = self.config.group;
                log::debug!("port {}: rejoined multicast group {group} (IGMP report)", self.name());
                engine.handle(now, self.place, Input::Rejoined);
            }
            Err(error) => self.close_after(engine, error),
        }
    }

    /// Closes the sockets after an error of one of them or of the card.
    pub fn close_after(&mut self, engine: &mut Engine, error: impl Into<LinkError>) {
        let error: LinkError = error.into();
        self.close(engine, error.fault(), &error.to_string());
    }

    /// Closes the unusable sockets.
    fn close(&mut self, engine: &mut Engine, fault: InterfaceFault, why: &str) {
        self.link = None;
        self.next_check = Some(raw_now() + CHECK_INTERVAL);
        self.fail(engine, fault, why);
    }

    /// Reports to the port that nothing can be received. The estimate of the leader's time remains.
    fn fail(&mut self, engine: &mut Engine, fault: InterfaceFault, why: &str) {
        self.interface_info(format_args!("{why}"));
        (self.failure, self.fault) = (why.to_owned(), fault);
        engine.handle(raw_now(), self.place, Input::Failed);
    }

    fn log_failure(&mut self, now: Timestamp<Raw>, what: fmt::Arguments<'_>) {
        self.failures.warn(now, format_args!("port {}: {what}", self.name));
    }
}

#[cfg(test)]
#[path = "../../../lib/os/src/logged.rs"]
mod logged;

#[cfg(test)]
#[path = "../../../lib/os/src/exhausted.rs"]
mod exhausted;

#[cfg(test)]
mod tests {
    use super::exhausted::{alone, take_all_descriptors};
    use super::logged::logged;
    use super::*;
    use dante_core::port::PortConfig;
    use dante_core::wire::Subdomain;

    fn driver(interface: &str, [event_port, general_port]: [u16; 2]) -> NetworkDriver {
        let config = LinkConfig {
            interface: interface.into(),
            group: Subdomain::DFLT.group(),
            event_port,
            general_port,
            timestamping: Timestamping::Auto,
            sends: false,
        };
        NetworkDriver::new(0, config, 0, true)
    }

    #[test]
    fn fault_distinguishes_what_keeps_the_interface_from_use() {
        let holder = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        let used = holder.local_addr().unwrap().port();
        let mut engine = Engine::new([("lo", PortConfig::default())]);
        let mut fault = |interface, ports| {
            let mut network = driver(interface, ports);
            network.open(&mut engine, raw_now());
            network.fault
        };
        assert_eq!(fault("nosuch0", [319, 320]), InterfaceFault::Absent);
        assert_eq!(fault("lo", [used, 320]), InterfaceFault::PortInUse);
    }

    /// A process that lacks descriptors cannot list the interfaces, which says nothing about them; no notification comes when
    /// it has some again.
    #[test]
    fn interface_stays_in_use_and_is_checked_again_if_the_kernel_does_not_answer() {
        let name = "observer::network::tests::interface_stays_in_use_and_is_checked_again_if_the_kernel_does_not_answer";
        alone(name, || {
            let sockets = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
            let ports = sockets.map(|socket| socket.local_addr().unwrap().port());
            let mut engine = Engine::new([("lo", PortConfig::default())]);
            let mut network = driver("lo", ports);
            let now = raw_now();
            let again = Some(now + CHECK_INTERVAL);
            let state = |engine: &Engine| engine.port(0).unwrap().state();

            let taken = take_all_descriptors();
            network.open(&mut engine, now);
            assert_eq!((network.link.is_some(), network.deadline()), (false, again), "{}", network.failure);
            assert_eq!(network.fault, InterfaceFault::System);
            assert!(network.is_affected(InterfaceEvent::Address { index: 1 }), "it may be this one");
            drop(taken);
            network.check_interface(&mut engine, now);
            assert_eq!(
                (network.link.is_some(), state(&engine)),
                (true, State::Listening),
                "{}",
                network.failure
            );
            assert_eq!((network.next_check, network.fault), (None, InterfaceFault::None));

            let taken = take_all_descriptors();
            network.check_interface(&mut engine, now);
            assert_eq!(
                (network.link.is_some(), state(&engine)),
                (true, State::Listening),
                "{}",
                network.failure
            );
            assert_eq!(network.next_check, again);
            drop(taken);
            network.check_interface(&mut engine, now);
            assert_eq!((state(&engine), network.next_check), (State::Listening, None));
        });
    }

    /// A host that sends PTP makes the state alternate; the interface changes meanwhile.
    #[test]
    fn alternating_leader_does_not_suppress_lines_about_the_interface() {
        let mut network = driver("eth0", [319, 320]);
        let engine = Engine::new([("eth0", PortConfig::default())]);
        let lines = logged(|| {
            (0..100).for_each(|_| network.changed(&engine, State::Slave, State::Listening, Reason::Failed));
            network.interface_info(format_args!("address changed to 10.0.0.1"));
        });
        assert_eq!(lines.len(), 22, "20 changes, their end, and one line about the interface: {lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("INFO port eth0: address changed to 10.0.0.1"));
    }
}
