//! One network: its interface with the sockets, and what is logged of it.

use crate::link::{Link, LinkChange, LinkConfig, LinkError, NO_CARRIER};
use dante_core::observe::Observer as Engine;
use dante_core::port::TimestampSource;
use dante_core::port::{
    Channel, Diagnostic, Input, NoTimestamp, Port, Reason, SendToken, State, follower_identity,
};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::wire::Buffer;
use dante_os::clock::raw_now;
use dante_os::log::{Budget, Complaints, Throttle};
use dante_os::net::{News, current_index};
use dante_os::socket::SocketError;
use std::fmt;

/// Longer than any PTPv1 message; what is cut off is not looked at.
const LONGEST: usize = 512;

/// How often sockets that could not be opened are tried again, and where the kernel does not tell of interfaces, how
/// often one looks.
const LOOK: Duration = Duration::from_secs(1);

/// A network's part of the program's state.
pub(super) struct NetworkDriver {
    /// Its place among the networks of the engine.
    place: usize,
    pub config: LinkConfig,
    pub link: Option<Link>,
    /// Why there is no link, or why it is of no use.
    pub hindrance: String,
    /// What explains why there is no lock.
    pub diagnostic: Option<Diagnostic>,
    /// A name where the interface gives none.
    seed: u64,
    /// The kernel tells what becomes of the interface.
    is_told: bool,
    next_look: Option<Timestamp<Raw>>,
    changes: Budget,
    diagnostics: Throttle<Diagnostic>,
    troubles: Complaints,
}

impl NetworkDriver {
    /// `is_told`: the kernel tells what becomes of interfaces.
    pub fn new(place: usize, config: LinkConfig, seed: u64, is_told: bool) -> Self {
        Self {
            place,
            config,
            link: None,
            hindrance: String::new(),
            diagnostic: None,
            seed,
            is_told,
            next_look: None,
            changes: Budget::default(),
            diagnostics: Throttle::default(),
            troubles: Complaints::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.config.interface
    }

    pub fn timestamp_source(&self) -> TimestampSource {
        self.link.as_ref().map_or(TimestampSource::None, Link::source)
    }

    /// Hands the next packet of a channel to the port. Whether there was one.
    pub fn take_packet(&mut self, engine: &mut Engine, channel: Channel) -> Result<bool, SocketError> {
        let mut buffer = [0; LONGEST];
        let now = raw_now();
        let Some(link) = &mut self.link else { return Ok(false) };
        let Some(packet) = link.receive(now, channel, &mut buffer)? else { return Ok(false) };
        let dropped = link.newly_dropped();
        if dropped > 0 {
            engine.handle(now, self.place, Input::Dropped(dropped));
        }
        engine.handle(now, self.place, packet);
        Ok(true)
    }

    /// Hands the next transmit stamp to the port. Whether there was one.
    pub fn take_departure(&mut self, engine: &mut Engine) -> Result<bool, SocketError> {
        let Some(departed) = self.link.as_mut().map_or(Ok(None), Link::departed)? else { return Ok(false) };
        engine.handle(raw_now(), self.place, departed);
        Ok(true)
    }

    /// Logs a diagnostic, and keeps it for the status.
    pub fn warn(&mut self, diagnostic: Diagnostic) {
        self.diagnostic = Some(diagnostic);
        if self.diagnostics.allows(diagnostic, raw_now()) {
            log::warn!("port {}: {diagnostic}", self.name());
        }
    }

    pub fn changed(&mut self, from: State, to: State, reason: Reason) {
        self.info(format_args!("{from} to {to}: {reason}"));
        self.diagnostic = self.diagnostic.filter(|_| to.is_open() && to != State::Slave);
        match (&mut self.link, to) {
            (Some(link), State::Listening) => link.membership.silent(raw_now()),
            (Some(link), _) => link.membership.rest(),
            (None, _) => {}
        }
    }

    pub fn info(&mut self, what: fmt::Arguments<'_>) {
        self.changes.info(raw_now(), format_args!("port {}: {what}", self.config.interface));
    }

    pub fn send(&mut self, engine: &mut Engine, packet: &Buffer, token: SendToken) {
        let Some(link) = &mut self.link else { return };
        let (unstamped, result) = link.send(packet, token);
        if let Err(error) = result {
            log::debug!("{error}");
        }
        if let Some(token) = unstamped {
            engine.handle(raw_now(), self.place, Input::Departed { token, stamp: Err(NoTimestamp::Missing) });
        }
    }

    /// When something is to be done here, apart from the port's deadline.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        let rejoin = self.link.as_ref().and_then(|link| link.membership.deadline());
        [self.next_look, rejoin].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn act(&mut self, engine: &mut Engine, now: Timestamp<Raw>) {
        if engine.port(self.place).and_then(Port::deadline).is_some_and(|due| now >= due) {
            engine.handle(now, self.place, Input::Deadline);
        }
        if self.next_look.is_some_and(|due| now >= due) {
            self.look(engine, now);
        }
        if self.link.as_mut().is_some_and(|link| link.membership.take(now)) {
            self.rejoin(engine, now);
        }
    }

    /// Whether news are about this interface: the one that has its name, or that had it when the sockets were opened.
    pub fn is_meant(&self, news: News<'_>) -> bool {
        let own = || {
            let opened = self.link.as_ref().map(|link| link.interface.index);
            opened.or_else(|| current_index(self.name()))
        };
        match news {
            News::Link { name, index, .. } => name == self.name() || own() == Some(index),
            News::Address { index } => own() == Some(index),
            News::Missed => true,
        }
    }

    /// Is the interface still the one that it was, can it be heard, or is it back?
    pub fn look(&mut self, engine: &mut Engine, now: Timestamp<Raw>) {
        self.next_look = (!self.is_told).then_some(now + LOOK);
        let Some(link) = &mut self.link else { return self.open(engine, now) };
        let was_open = engine.port(self.place).is_some_and(|port| port.state().is_open());
        match link.look(was_open) {
            Ok(LinkChange::None) => {}
            Ok(LinkChange::Down(why)) => self.fail(engine, &why),
            Ok(LinkChange::Up) => {
                self.rejoin(engine, now);
                self.begin(engine, now);
            }
            Ok(LinkChange::Address(address)) => {
                self.info(format_args!("its address is {address} now"));
                self.rejoin(engine, now);
            }
            Ok(LinkChange::Gone) => {
                self.close(engine, "the interface is gone, or another one has its name");
                self.open(engine, now);
            }
            Err(error) => self.close(engine, &error.to_string()),
        }
    }

    fn open(&mut self, engine: &mut Engine, now: Timestamp<Raw>) {
        self.next_look = (!self.is_told).then_some(now + LOOK);
        let link = Link::open(&self.config);
        self.opened(engine, now, link);
    }

    pub fn opened(&mut self, engine: &mut Engine, now: Timestamp<Raw>, link: Result<Link, LinkError>) {
        match link {
            Ok(link) => {
                let is_up = link.interface.up;
                self.link = Some(link);
                if is_up {
                    self.begin(engine, now);
                } else {
                    self.hindrance = NO_CARRIER.into();
                    self.trouble(now, format_args!("{NO_CARRIER}"));
                }
            }
            Err(error) => {
                // Of the interface the kernel tells; what else stands in the way may end at any time.
                if !self.is_told || !matches!(error, LinkError::Interface(_)) {
                    self.next_look = Some(now + LOOK);
                }
                self.hindrance = error.to_string();
                self.trouble(now, format_args!("{error}; waiting for it"));
            }
        }
    }

    /// The sockets are open, and the interface is up.
    fn begin(&mut self, engine: &mut Engine, now: Timestamp<Raw>) {
        let Some(link) = &self.link else { return };
        let (mac, stamps) = (link.interface.mac, link.describe_stamps());
        self.info(format_args!("listening, time stamps: {stamps}"));
        engine.handle(now, self.place, Input::Opened(follower_identity(mac, self.seed)));
    }

    /// Makes the kernel tell the network which group this host is in.
    fn rejoin(&mut self, engine: &mut Engine, now: Timestamp<Raw>) {
        let Some(link) = &mut self.link else { return };
        match link.rejoin(now) {
            Ok(()) => {
                let group = self.config.group;
                log::debug!("port {}: told the network anew of the membership of {group}", self.name());
                engine.handle(now, self.place, Input::Rejoined);
            }
            Err(error) => self.close(engine, &error.to_string()),
        }
    }

    /// The sockets are of no use any more.
    pub fn close(&mut self, engine: &mut Engine, why: &str) {
        self.link = None;
        self.next_look = Some(raw_now() + LOOK);
        self.fail(engine, why);
    }

    /// Nothing can be heard. What is known of the leader's time lives on.
    fn fail(&mut self, engine: &mut Engine, why: &str) {
        self.info(format_args!("{why}"));
        self.hindrance = why.to_owned();
        engine.handle(raw_now(), self.place, Input::Failed);
    }

    fn trouble(&mut self, now: Timestamp<Raw>, what: fmt::Arguments<'_>) {
        self.troubles.warn(now, format_args!("port {}: {what}", self.config.interface));
    }
}
