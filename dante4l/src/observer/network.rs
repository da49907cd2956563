//! One network: its interface with the sockets, the stamps, and the port above them.

use crate::link::{Change, Departed, Link, LinkConfig, LinkError, NO_CARRIER};
use dante_core::page::StampSource;
use dante_core::port::{
    Channel, Input, NoStamp, Notice, Output, Port, PortConfig, SendToken, State, follower_identity,
};
use dante_core::time::{Duration, Raw, Timestamp};
use dante_core::wire::Buffer;
use dante_os::clock::raw_now;
use dante_os::log::{Budget, Throttle};
use dante_os::net::{News, current_index};
use dante_os::socket::SocketError;

/// Longer than any PTPv1 message; what is cut off is not looked at.
const LONGEST: usize = 512;

/// How often sockets that could not be opened are tried again, and where the kernel does not tell of interfaces, how
/// often one looks.
const LOOK: Duration = Duration::from_secs(1);

/// A network's part of the program's state.
pub(super) struct Network {
    pub config: LinkConfig,
    pub link: Option<Link>,
    /// Why there is no link, or why it is of no use.
    pub hindrance: String,
    pub port: Port,
    /// What explains why there is no lock.
    pub notice: Option<Notice>,
    /// A name where the interface gives none.
    seed: u64,
    /// The kernel tells what becomes of the interface.
    is_told: bool,
    next_look: Option<Timestamp<Raw>>,
    pub changes: Budget,
    notices: Throttle<Notice>,
    troubles: Throttle<String>,
}

impl Network {
    /// `is_told`: the kernel tells what becomes of interfaces.
    pub fn new(config: LinkConfig, port: PortConfig, is_told: bool) -> Self {
        Self {
            config,
            link: None,
            hindrance: String::new(),
            seed: port.seed,
            port: Port::new(port),
            notice: None,
            is_told,
            next_look: None,
            changes: Budget::default(),
            notices: Throttle::default(),
            troubles: Throttle::default(),
        }
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.config.interface
    }

    pub fn stamp_source(&self) -> StampSource {
        self.link.as_ref().map_or(StampSource::None, Link::source)
    }

    /// Hands the next packet of a channel to the port. Whether there was one.
    pub fn take_packet(&mut self, channel: Channel) -> Result<bool, SocketError> {
        let mut buffer = [0; LONGEST];
        let now = raw_now();
        let Some(link) = &mut self.link else { return Ok(false) };
        let Some(arrival) = link.receive(now, channel, &mut buffer)? else { return Ok(false) };
        let dropped = link.newly_dropped();
        if dropped > 0 {
            self.port.handle(now, Input::Dropped(dropped));
        }
        let (bytes, source) = (arrival.bytes, arrival.source);
        self.port.handle(now, Input::Packet { channel, bytes, source, arrived: arrival.stamp });
        Ok(true)
    }

    /// Hands the next transmit stamp to the port. Whether there was one.
    pub fn take_departure(&mut self) -> Result<bool, SocketError> {
        let Some(Departed { token, stamp }) = self.link.as_mut().map_or(Ok(None), Link::departed)? else {
            return Ok(false);
        };
        self.port.handle(raw_now(), Input::Departed { token, stamp });
        Ok(true)
    }

    /// The next of the port's outputs that concerns more than this network; what concerns it alone is done and told.
    pub fn poll(&mut self) -> Option<Output> {
        loop {
            match self.port.poll()? {
                Output::Send { packet, token } => self.send(&packet, token),
                Output::Notice(notice) => {
                    self.notice = Some(notice);
                    if self.notices.allows(notice, raw_now()) {
                        log::warn!("port {}: {notice}", self.name());
                    }
                }
                Output::Changed { from, to, reason } => {
                    let interface = &self.config.interface;
                    self.changes.info(raw_now(), format_args!("port {interface}: {from} to {to}: {reason}"));
                    self.notice = self.notice.filter(|_| to.is_open() && to != State::Slave);
                    match (&mut self.link, to) {
                        (Some(link), State::Listening) => link.membership.silent(raw_now()),
                        (Some(link), _) => link.membership.rest(),
                        (None, _) => {}
                    }
                    return Some(Output::Changed { from, to, reason });
                }
                other => return Some(other),
            }
        }
    }

    fn send(&mut self, packet: &Buffer, token: SendToken) {
        let Some(link) = &mut self.link else { return };
        let (unstamped, result) = link.send(packet, token);
        if let Err(error) = result {
            log::debug!("{error}");
        }
        if let Some(token) = unstamped {
            self.port.handle(raw_now(), Input::Departed { token, stamp: Err(NoStamp::Missing) });
        }
    }

    /// When something is to be done here.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        let rejoin = self.link.as_ref().and_then(|link| link.membership.deadline());
        [self.port.deadline(), self.next_look, rejoin].into_iter().flatten().min()
    }

    /// Does what is due. Whether anything was.
    pub fn act(&mut self, now: Timestamp<Raw>) -> bool {
        if self.deadline().is_none_or(|due| now < due) {
            return false;
        }
        if self.port.deadline().is_some_and(|due| now >= due) {
            self.port.handle(now, Input::Deadline);
        }
        if self.next_look.is_some_and(|due| now >= due) {
            self.look(now);
        }
        if self.link.as_mut().is_some_and(|link| link.membership.take(now)) {
            self.rejoin(now);
        }
        true
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
    pub fn look(&mut self, now: Timestamp<Raw>) {
        self.next_look = (!self.is_told).then_some(now + LOOK);
        let Some(link) = &mut self.link else { return self.open(now) };
        match link.look(self.port.state().is_open()) {
            Ok(Change::None) => {}
            Ok(Change::Down(why)) => self.fail(&why),
            Ok(Change::Up) => {
                self.rejoin(now);
                self.begin(now);
            }
            Ok(Change::Address(address)) => {
                let interface = &self.config.interface;
                self.changes.info(now, format_args!("port {interface}: its address is {address} now"));
                self.rejoin(now);
            }
            Ok(Change::Gone) => {
                self.close("the interface is gone, or another one has its name");
                self.open(now);
            }
            Err(error) => self.close(&error.to_string()),
        }
    }

    fn open(&mut self, now: Timestamp<Raw>) {
        self.next_look = (!self.is_told).then_some(now + LOOK);
        let link = Link::open(&self.config);
        self.opened(now, link);
    }

    pub fn opened(&mut self, now: Timestamp<Raw>, link: Result<Link, LinkError>) {
        match link {
            Ok(link) => {
                let is_up = link.interface.up;
                self.link = Some(link);
                if is_up {
                    self.begin(now);
                } else {
                    self.hindrance = NO_CARRIER.into();
                    self.trouble(NO_CARRIER);
                }
            }
            Err(error) => {
                // Of the interface the kernel tells; what else stands in the way may end at any time.
                if !self.is_told || !matches!(error, LinkError::Interface(_)) {
                    self.next_look = Some(now + LOOK);
                }
                self.hindrance = error.to_string();
                self.trouble(&format!("{error}; waiting for it"));
            }
        }
    }

    /// The sockets are open, and the interface is up.
    fn begin(&mut self, now: Timestamp<Raw>) {
        let Some(link) = &self.link else { return };
        let (interface, stamps) = (&self.config.interface, link.describe_stamps());
        self.changes.info(now, format_args!("port {interface}: listening, time stamps: {stamps}"));
        let identity = follower_identity(link.interface.mac, self.seed);
        self.port.handle(now, Input::Opened(identity));
    }

    /// Makes the kernel tell the network which group this host is in.
    fn rejoin(&mut self, now: Timestamp<Raw>) {
        let Some(link) = &mut self.link else { return };
        match link.rejoin(now) {
            Ok(()) => {
                let group = self.config.group;
                log::debug!("port {}: told the network anew of the membership of {group}", self.name());
                self.port.handle(now, Input::Rejoined);
            }
            Err(error) => self.close(&error.to_string()),
        }
    }

    /// The sockets are of no use any more.
    pub fn close(&mut self, why: &str) {
        self.link = None;
        self.next_look = Some(raw_now() + LOOK);
        self.fail(why);
    }

    /// Nothing can be heard. What is known of the leader's time lives on.
    fn fail(&mut self, why: &str) {
        let now = raw_now();
        self.changes.info(now, format_args!("port {}: {why}", self.config.interface));
        self.hindrance = why.to_owned();
        self.port.handle(now, Input::Failed);
    }

    fn trouble(&mut self, what: &str) {
        if self.troubles.allows(what.to_owned(), raw_now()) {
            log::warn!("port {}: {what}", self.name());
        }
    }
}
