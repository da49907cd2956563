//! The sockets on one interface, and the stamps of what comes and goes through them.

use dante_core::page::StampSource;
use dante_core::port::{Channel, SendToken};
use dante_core::time::{Real, Timestamp};
use dante_os::daemon::Exit;
use dante_os::net::{Interface, NetError, current_index};
use dante_os::socket::{PtpSocket, SocketError, Timestamping};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};

/// Where to listen.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    pub interface: String,
    pub group: Ipv4Addr,
    pub event_port: u16,
    pub general_port: u16,
    pub timestamping: Timestamping,
}

/// Open sockets on one interface.
#[derive(Debug)]
pub struct Link {
    pub interface: Interface,
    pub event: PtpSocket,
    pub general: PtpSocket,
    group: SocketAddrV4,
    /// The packet whose transmit stamp is awaited.
    sent: Option<(u32, SendToken)>,
}

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error(transparent)]
    Interface(#[from] NetError),
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl LinkError {
    /// What waiting will not mend ends the program with this.
    pub fn fatal(&self) -> Option<Exit> {
        match self {
            Self::Interface(_) => None,
            Self::Socket(error) if error.is_permission() => Some(Exit::NotPermitted),
            Self::Socket(error) if error.is_in_use() => Some(Exit::Refused),
            Self::Socket(SocketError::NoHardware { .. }) => Some(Exit::Usage),
            Self::Socket(_) => None,
        }
    }
}

impl Link {
    pub fn open(config: &LinkConfig) -> Result<Self, LinkError> {
        let interface = Interface::find(&config.interface)?;
        let open =
            |port, channel| PtpSocket::open(&interface, config.group, port, channel, config.timestamping);
        let event = open(config.event_port, Channel::Event)?;
        let general = open(config.general_port, Channel::General)?;
        let group = SocketAddrV4::new(config.group, config.event_port);
        Ok(Self { event, general, group, sent: None, interface })
    }

    pub fn fds(&self) -> [BorrowedFd<'_>; 2] {
        [self.event.as_fd(), self.general.as_fd()]
    }

    pub fn stamps(&self) -> StampSource {
        self.event.stamps()
    }

    /// The name leads to the same interface as when the sockets were opened.
    pub fn is_current(&self) -> bool {
        current_index(&self.interface.name) == Some(self.interface.index)
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

    /// The next packet whose transmit stamp has come.
    pub fn departed(&mut self) -> Result<Option<(SendToken, Timestamp<Real>)>, SocketError> {
        while let Some(departure) = self.event.departed()? {
            if let Some((_, token)) = self.sent.take_if(|(key, _)| *key == departure.key) {
                return Ok(Some((token, departure.stamp)));
            }
        }
        Ok(None)
    }
}
