//! One interface: its sockets, packet timestamps, and changes of its state.

mod card;
mod membership;

use card::{TimestampCheck, prepare_card};
use dante_core::port::{Channel, Input, InterfaceFault, NoTimestamp, Route, SendToken, TimestampSource};
use dante_core::time::{Raw, Timestamp};
use dante_os::clock::raw_now;
use dante_os::daemon::Exit;
use dante_os::denial::{Denial, Denied};
use dante_os::log::Complaints;
use dante_os::net::{Card, CardError, Interface, InterfaceName, Kind, NetError, OwnAddresses};
use dante_os::socket::{PtpSocket, SocketError, TimestampReader, Timestamping};
use membership::Membership;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};

/// The state of an interface that is up but has no carrier.
pub const NO_CARRIER: &str = "no carrier: the cable is unplugged, or the device at its other end is off";

/// The configuration of a link.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    pub interface: InterfaceName,
    pub group: Ipv4Addr,
    pub event_port: u16,
    pub general_port: u16,
    pub timestamping: Timestamping,
    /// Whether packets are sent, so that transmit timestamps are needed.
    pub sends: bool,
}

/// The open sockets on one interface.
#[derive(Debug)]
pub struct Link {
    pub interface: Interface,
    event: PtpSocket,
    general: PtpSocket,
    group: SocketAddrV4,
    /// The packet whose transmit timestamp is pending.
    sent: Option<(u32, SendToken)>,
    pub timestamps: TimestampReader,
    /// The card, if its timestamps are used.
    card: Option<Card>,
    timestamp_check: TimestampCheck,
    card_warnings: Complaints,
    /// Whether software timestamps may be used if the card fails.
    may_fall_back: bool,
    /// When to send another IGMP report.
    pub membership: Membership,
    /// Number of dropped packets already reported.
    dropped: u32,
}

/// Changes of the interface.
#[derive(Debug)]
pub enum LinkChange {
    /// No relevant change.
    None,
    /// It cannot receive; the sockets stay open until it can again.
    Down(InterfaceFault, String),
    /// It still cannot receive; this is the present cause.
    StillDown(InterfaceFault, String),
    /// It can receive again.
    Up,
    /// It has another address.
    Address(Ipv4Addr),
    /// It was removed, or another interface has its name: the sockets are unusable.
    Gone,
    /// The kernel did not answer: its state is not known, and the sockets stay as they are.
    Unknown(NetError),
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
    /// The exit status for an error that waiting does not resolve; `None` for any other error.
    pub fn fatal(&self) -> Option<Exit> {
        match self {
            Self::Interface(_) | Self::Card(CardError::Unknown { .. }) => None,
            Self::Card(error) => Some(match error.denial() {
                Some(Denial::NotPermitted) => Exit::NotPermitted,
                _ if error.is_unsupported() => Exit::Usage,
                _ => Exit::Refused,
            }),
            Self::Socket(error) => error.denial().map(Exit::from),
        }
    }

    /// The fault for the status page.
    pub fn fault(&self) -> InterfaceFault {
        let is_not_permitted = |denial| denial == Some(Denial::NotPermitted);
        match self {
            Self::Interface(error) => error.fault(),
            Self::Card(error) if is_not_permitted(error.denial()) => InterfaceFault::NotPermitted,
            Self::Socket(error) if is_not_permitted(error.denial()) => InterfaceFault::NotPermitted,
            Self::Socket(SocketError::PortInUse { .. }) => InterfaceFault::PortInUse,
            Self::Card(CardError::Unknown { .. }) | Self::Socket(_) => InterfaceFault::System,
            Self::Card(_) => InterfaceFault::Card,
        }
    }

    /// Whether the cause is a state of the interface: the kernel notifies of its end, but not of the end of any other cause.
    pub fn is_state_of_interface(&self) -> bool {
        match self {
            Self::Interface(error) => !matches!(error, NetError::Failed { .. }),
            Self::Card(_) | Self::Socket(_) => false,
        }
    }
}

impl Link {
    /// Opens the sockets, and configures the card for timestamps if that is required or possible.
    pub fn open(config: &LinkConfig) -> Result<Self, LinkError> {
        let interface = Interface::find(&config.interface)?;
        let (card, clock) = prepare_card(config, &interface)?.unzip();
        let timestamps = TimestampReader::of(clock);
        let source = if card.is_some() { TimestampSource::Hardware } else { TimestampSource::Software };
        let open = |port, channel| PtpSocket::open(&interface, config.group, port, channel, source);
        let mut membership = Membership::default();
        membership.reported(raw_now());
        let event = open(config.event_port, Channel::Event)?;
        let general = open(config.general_port, Channel::General)?;
        Ok(Self {
            event,
            general,
            group: SocketAddrV4::new(config.group, config.event_port),
            sent: None,
            timestamps,
            card,
            timestamp_check: TimestampCheck::default(),
            card_warnings: Complaints::about(format!("port {}", interface.name)),
            may_fall_back: config.timestamping == Timestamping::Auto,
            membership,
            dropped: 0,
            interface,
        })
    }

    /// The descriptors of the event and the general socket.
    pub fn fds(&self) -> [BorrowedFd<'_>; 2] {
        [self.event.as_fd(), self.general.as_fd()]
    }

    /// The source of timestamps.
    pub fn source(&self) -> TimestampSource {
        self.event.timestamp_source()
    }

    /// The source of timestamps for the log.
    pub fn describe_timestamps(&self) -> String {
        match &self.card {
            Some(card) => format!("{}, {card}", self.source()),
            None => self.source().to_string(),
        }
    }

    /// Returns the next packet of a channel, with its timestamp translated. After an error the link has to be opened again.
    pub fn receive<'b>(
        &mut self,
        now: Timestamp<Raw>,
        channel: Channel,
        own: &OwnAddresses,
        buffer: &'b mut [u8],
    ) -> Result<Option<Input<'b>>, LinkError> {
        let socket = match channel {
            Channel::Event => &mut self.event,
            Channel::General => &mut self.general,
        };
        let Some(received) = socket.receive(buffer)? else { return Ok(None) };
        let (bytes, source) = (received.bytes, received.source);
        let route = match received.is_unicast {
            // On the loopback interface all packets are of this host.
            _ if self.interface.kind != Kind::Loopback && own.contains(*source.ip()) => Route::OwnHost,
            true => Route::Unicast,
            false => Route::Multicast,
        };
        let arrived = match channel {
            Channel::Event => {
                if self.card.is_some() {
                    self.check_card(now, received.timestamp.is_some(), bytes)?;
                }
                let arrived = self.timestamps.translate(received.timestamp);
                self.check_clock()?;
                arrived
            }
            Channel::General => Err(NoTimestamp::Missing),
        };
        Ok(Some(Input::Packet { channel, bytes, source, route, arrived }))
    }

    /// Number of packets that the kernel dropped since the last call.
    pub fn newly_dropped(&mut self) -> u32 {
        let total = self.event.dropped().wrapping_add(self.general.dropped());
        let new = total.wrapping_sub(self.dropped);
        self.dropped = total;
        new
    }

    /// Checks the state of the interface. `was_up`: it could receive before.
    pub fn check(&mut self, config: &LinkConfig, was_up: bool) -> Result<LinkChange, SocketError> {
        let found = match self.interface.again(&config.interface) {
            Some(Ok(found)) => found,
            Some(Err(error)) => return Ok(Self::unusable(was_up, error)),
            None => return Ok(LinkChange::Gone),
        };
        let before = std::mem::replace(&mut self.interface, found);
        let has_new_address = before.address != self.interface.address;
        if has_new_address {
            self.event.send_from(&self.interface)?;
            self.general.send_from(&self.interface)?;
        }
        Ok(match (was_up, self.interface.up) {
            (true, false) => LinkChange::Down(InterfaceFault::NoCarrier, NO_CARRIER.into()),
            (false, true) => LinkChange::Up,
            (true, true) if has_new_address => LinkChange::Address(self.interface.address),
            (false, false) => LinkChange::StillDown(InterfaceFault::NoCarrier, NO_CARRIER.into()),
            (true, true) => LinkChange::None,
        })
    }

    /// The change of an interface that is still there and cannot be used.
    fn unusable(was_up: bool, error: NetError) -> LinkChange {
        match error {
            NetError::Failed { .. } => LinkChange::Unknown(error),
            NetError::NotFound { .. } => LinkChange::Gone,
            // Multicast is received without an address, and the next lease brings an address again.
            NetError::NoAddress { .. } if was_up => LinkChange::None,
            // The sockets are still members of the group, and receive again as soon as the interface is up.
            NetError::NoAddress { .. } | NetError::Down { .. } | NetError::Port { .. } => {
                let error = LinkError::from(error);
                let (fault, why) = (error.fault(), error.to_string());
                if was_up { LinkChange::Down(fault, why) } else { LinkChange::StillDown(fault, why) }
            }
        }
    }

    /// How many packets the receive buffer of event messages was to hold, and how many it holds at least.
    pub fn buffered_packets(&self) -> Result<(usize, usize), SocketError> {
        self.event.buffered_packets()
    }

    /// Leaves the group and joins it again, so that the kernel sends an IGMP report. Nothing else is sent.
    pub fn rejoin(&mut self, now: Timestamp<Raw>) -> Result<(), SocketError> {
        self.event.leave();
        self.general.leave();
        self.event.join()?;
        self.general.join()?;
        self.membership.reported(now);
        Ok(())
    }

    /// Multicasts an event packet. Also returns the token of a packet that gets no timestamp: the previous one if its timestamp did
    /// not arrive, or this one if it was not sent.
    pub fn send(&mut self, packet: &[u8], token: SendToken) -> (Option<SendToken>, Result<(), SocketError>) {
        let previous = self.sent.take().map(|(_, token)| token);
        match self.event.send(packet, self.group) {
            Ok(key) => {
                self.sent = Some((key, token));
                (previous, Ok(()))
            }
            Err(error) => (previous.or(Some(token)), Err(error)),
        }
    }

    /// Returns the next packet whose transmit timestamp arrived, with that timestamp.
    pub fn departed(&mut self) -> Result<Option<Input<'static>>, SocketError> {
        while let Some(departure) = self.event.transmit_timestamp()? {
            if let Some((_, token)) = self.sent.take_if(|(key, _)| *key == departure.key) {
                let timestamp = self.timestamps.translate(Some(departure.timestamp));
                log::debug!("port {}: {} transmit timestamp", self.interface.name, self.source());
                return Ok(Some(Input::Departed { token, timestamp }));
            }
        }
        Ok(None)
    }
}
