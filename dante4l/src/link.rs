//! One interface: its sockets, the stamps of what comes and goes through them, and what becomes of it.

mod card;
mod membership;

use card::{Trial, stamping};
use dante_core::port::{Channel, Input, NoTimestamp, SendToken, TimestampSource};
use dante_core::time::{Raw, Timestamp};
use dante_os::clock::raw_now;
use dante_os::daemon::Exit;
use dante_os::denial::{Denial, Denied};
use dante_os::net::{Card, CardError, Interface, NetError, current_index};
use dante_os::socket::{PtpSocket, SocketError, TimestampReader, Timestamping};
use membership::Membership;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};

/// What is said of an interface that is up and yet cannot be heard through.
pub const NO_CARRIER: &str = "no carrier: the cable is out, or what it leads to is off";

/// Where to listen.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    pub interface: String,
    pub group: Ipv4Addr,
    pub event_port: u16,
    pub general_port: u16,
    pub timestamping: Timestamping,
    /// Whether anything is sent, whose stamps are needed then.
    pub sends: bool,
}

/// Open sockets on one interface.
#[derive(Debug)]
pub struct Link {
    pub interface: Interface,
    event: PtpSocket,
    general: PtpSocket,
    group: SocketAddrV4,
    /// The packet whose transmit stamp is awaited.
    sent: Option<(u32, SendToken)>,
    pub stamps: TimestampReader,
    /// The card, where it stamps.
    card: Option<Card>,
    trial: Trial,
    /// Software stamps may stand in.
    may_fall_back: bool,
    /// When to tell the network anew which group this host is in.
    pub membership: Membership,
    /// How many dropped packets were told of.
    dropped: u32,
}

/// What became of the interface.
#[derive(Debug)]
pub enum LinkChange {
    /// Nothing that matters here.
    None,
    /// Nothing can be heard; the sockets wait for it to come back.
    Down(String),
    /// It can be heard again.
    Up,
    /// It has another address.
    Address(Ipv4Addr),
    /// It is not there any more, or another one has its name: the sockets are of no use.
    Gone,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error(transparent)]
    Interface(#[from] NetError),
    #[error(transparent)]
    Card(#[from] CardError),
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl LinkError {
    /// What waiting will not mend ends the program with this.
    pub fn fatal(&self) -> Option<Exit> {
        match self {
            Self::Interface(_) => None,
            Self::Card(error) => Some(match error.denial() {
                Some(Denial::NotPermitted) => Exit::NotPermitted,
                _ if error.is_lacking() => Exit::Usage,
                _ => Exit::Refused,
            }),
            Self::Socket(error) => error.denial().map(Exit::from),
        }
    }
}

impl Link {
    /// Opens the sockets, and has the card stamp if that is asked for or can be had.
    pub fn open(config: &LinkConfig) -> Result<Self, LinkError> {
        let interface = Interface::find(&config.interface)?;
        let (card, clock) = stamping(config, &interface)?.unzip();
        let stamps = TimestampReader::of(clock);
        let source = if card.is_some() { TimestampSource::Hardware } else { TimestampSource::Software };
        let open = |port, channel| PtpSocket::open(&interface, config.group, port, channel, source);
        let mut membership = Membership::default();
        membership.told(raw_now());
        let event = open(config.event_port, Channel::Event)?;
        let general = open(config.general_port, Channel::General)?;
        Ok(Self {
            event,
            general,
            group: SocketAddrV4::new(config.group, config.event_port),
            sent: None,
            stamps,
            card,
            trial: Trial::default(),
            may_fall_back: config.timestamping == Timestamping::Auto,
            membership,
            dropped: 0,
            interface,
        })
    }

    /// Of the event channel, and of the general one.
    pub fn fds(&self) -> [BorrowedFd<'_>; 2] {
        [self.event.as_fd(), self.general.as_fd()]
    }

    /// Where time stamps come from.
    pub fn source(&self) -> TimestampSource {
        self.event.stamps()
    }

    /// The same for people.
    pub fn describe_stamps(&self) -> String {
        match &self.card {
            Some(card) => format!("{}, {card}", self.source()),
            None => self.source().to_string(),
        }
    }

    /// The next packet of a channel, its stamp translated.
    pub fn receive<'b>(
        &mut self,
        now: Timestamp<Raw>,
        channel: Channel,
        buffer: &'b mut [u8],
    ) -> Result<Option<Input<'b>>, SocketError> {
        let socket = match channel {
            Channel::Event => &mut self.event,
            Channel::General => &mut self.general,
        };
        let Some(received) = socket.receive(buffer)? else { return Ok(None) };
        let (bytes, source) = (received.bytes, received.source);
        let arrived = match channel {
            Channel::Event => {
                if self.card.is_some() {
                    self.judge_card(now, received.stamp.is_some(), bytes)?;
                }
                self.stamps.translate(received.stamp)
            }
            Channel::General => Err(NoTimestamp::Missing),
        };
        Ok(Some(Input::Packet { channel, bytes, source, arrived }))
    }

    /// How many packets the kernel has dropped since this was asked last.
    pub fn newly_dropped(&mut self) -> u32 {
        let total = self.event.dropped().wrapping_add(self.general.dropped());
        let new = total.wrapping_sub(self.dropped);
        self.dropped = total;
        new
    }

    /// Looks what became of the interface. `was_up`: it could be heard before.
    pub fn look(&mut self, was_up: bool) -> Result<LinkChange, SocketError> {
        let found = match Interface::find(&self.interface.name) {
            Ok(found) => found,
            // The sockets are members still, and hear again as soon as it is up.
            Err(error @ NetError::Down { .. }) if self.is_current() => {
                return Ok(if was_up { LinkChange::Down(error.to_string()) } else { LinkChange::None });
            }
            // What is multicast arrives all the same, and the address comes back with the next lease.
            Err(NetError::NoAddress { .. }) if self.is_current() => return Ok(LinkChange::None),
            Err(_) => return Ok(LinkChange::Gone),
        };
        if found.index != self.interface.index || found.mac != self.interface.mac {
            return Ok(LinkChange::Gone);
        }
        let before = std::mem::replace(&mut self.interface, found);
        let has_moved = before.address != self.interface.address;
        if has_moved {
            self.event.send_from(&self.interface)?;
            self.general.send_from(&self.interface)?;
        }
        Ok(match (was_up, self.interface.up) {
            (true, false) => LinkChange::Down(NO_CARRIER.into()),
            (false, true) => LinkChange::Up,
            (true, true) if has_moved => LinkChange::Address(self.interface.address),
            _ => LinkChange::None,
        })
    }

    fn is_current(&self) -> bool {
        current_index(&self.interface.name) == Some(self.interface.index)
    }

    /// Makes the kernel tell the network anew that this host is in the group (IGMP). That is all that goes out.
    pub fn rejoin(&mut self, now: Timestamp<Raw>) -> Result<(), SocketError> {
        self.event.leave();
        self.general.leave();
        self.event.join()?;
        self.general.join()?;
        self.membership.told(now);
        Ok(())
    }

    /// Multicasts an event packet. What is returned is the token of the one before, if its stamp never came.
    pub fn send(&mut self, packet: &[u8], token: SendToken) -> (Option<SendToken>, Result<(), SocketError>) {
        let unanswered = self.sent.take().map(|(_, token)| token);
        match self.event.send(packet, self.group) {
            Ok(key) => {
                self.sent = Some((key, token));
                (unanswered, Ok(()))
            }
            Err(error) => (unanswered.or(Some(token)), Err(error)),
        }
    }

    /// The next packet whose transmit stamp has come, and that stamp.
    pub fn departed(&mut self) -> Result<Option<Input<'static>>, SocketError> {
        while let Some(departure) = self.event.departed()? {
            if let Some((_, token)) = self.sent.take_if(|(key, _)| *key == departure.key) {
                let stamp = self.stamps.translate(Some(departure.stamp));
                log::debug!("port {}: {} transmit stamp", self.interface.name, self.source());
                return Ok(Some(Input::Departed { token, stamp }));
            }
        }
        Ok(None)
    }
}
