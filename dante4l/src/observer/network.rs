//! One network: its interface with the sockets, the stamps, and the port above them.

use crate::link::{Link, LinkConfig, LinkError};
use dante_core::page::StampSource;
use dante_core::port::{
    Channel, Input, NoStamp, Notice, Output, Port, PortConfig, SendToken, State, follower_identity,
};
use dante_core::time::{Raw, Timestamp};
use dante_core::wire::Buffer;
use dante_os::clock::raw_now;
use dante_os::log::{Budget, Throttle};
use dante_os::socket::SocketError;
use dante_os::stamps::Stamps;

/// Longer than any PTPv1 message; what is cut off is not looked at.
const LONGEST: usize = 512;

/// A network's part of the program's state.
pub(super) struct Network {
    pub config: LinkConfig,
    pub link: Option<Link>,
    /// Why there is no link.
    pub hindrance: String,
    pub port: Port,
    /// What explains why there is no lock.
    pub notice: Option<Notice>,
    /// A name where the interface gives none.
    seed: u64,
    stamps: Stamps,
    pub changes: Budget,
    notices: Throttle<Notice>,
    troubles: Throttle<String>,
}

impl Network {
    pub fn new(config: LinkConfig, port: PortConfig) -> Self {
        Self {
            config,
            link: None,
            hindrance: String::new(),
            seed: port.seed,
            port: Port::new(port),
            notice: None,
            stamps: Stamps::start(),
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
        self.link.as_ref().map_or(StampSource::None, Link::stamps)
    }

    /// Hands the next packet of a channel to the port. Whether there was one.
    pub fn take_packet(&mut self, channel: Channel) -> Result<bool, SocketError> {
        let mut buffer = [0; LONGEST];
        let Some(link) = &mut self.link else { return Ok(false) };
        let socket = match channel {
            Channel::Event => &mut link.event,
            Channel::General => &mut link.general,
        };
        let Some(received) = socket.receive(&mut buffer)? else { return Ok(false) };
        let arrived = match channel {
            Channel::Event => self.stamps.translate(received.stamp),
            Channel::General => Err(NoStamp::Missing),
        };
        let input = Input::Packet { channel, bytes: received.bytes, source: received.source, arrived };
        self.port.handle(raw_now(), input);
        Ok(true)
    }

    /// Hands the next transmit stamp to the port. Whether there was one.
    pub fn take_departure(&mut self) -> Result<bool, SocketError> {
        let Some((token, stamp)) = self.link.as_mut().map_or(Ok(None), Link::departed)? else {
            return Ok(false);
        };
        let stamp = self.stamps.translate(Some(stamp));
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

    /// Once a second: is the interface still the one that it was, or is it back?
    pub fn look(&mut self, now: Timestamp<Raw>) {
        self.stamps.refresh();
        match &self.link {
            Some(link) if link.is_current() => {}
            Some(_) => self.close("the interface is gone, or another one has its name"),
            None => {
                let link = Link::open(&self.config);
                self.opened(now, link);
            }
        }
    }

    pub fn opened(&mut self, now: Timestamp<Raw>, link: Result<Link, LinkError>) {
        match link {
            Ok(link) => {
                let interface = &self.config.interface;
                self.changes
                    .info(now, format_args!("port {interface}: listening, time stamps: {}", link.stamps()));
                let identity = follower_identity(link.interface.mac, self.seed);
                self.link = Some(link);
                self.port.handle(now, Input::Opened(identity));
            }
            Err(error) => {
                self.hindrance = error.to_string();
                self.trouble(&format!("{error}; waiting for it"));
            }
        }
    }

    pub fn close(&mut self, why: &str) {
        self.trouble(why);
        self.hindrance = why.to_owned();
        self.link = None;
        self.port.handle(raw_now(), Input::Failed);
    }

    fn trouble(&mut self, what: &str) {
        if self.troubles.allows(what.to_owned(), raw_now()) {
            log::warn!("port {}: {what}", self.name());
        }
    }
}
