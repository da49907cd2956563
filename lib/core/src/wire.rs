//! Encoding and decoding of PTPv1 messages (IEEE 1588-2002, clause 8 and annex D) as the payload of a UDP datagram.
//!
//! [`Packet::parse`] decodes, [`Packet::build`] and the methods of [`Header`] encode. Neither allocates, and no received bytes
//! make either panic. Reserved bytes are written as zero and not read; bytes after the message are ignored, since senders pad.
//!
//! The codec checks the form only; the port checks the leader and the subdomain. A flag or a boolean is true if it is not zero.
//! An unknown stratum, identifier or technology is accepted.

mod identity;
mod layout;
mod management;
mod message;
mod v1;

pub use identity::{ClockIdentifier, PortIdentity, Subdomain, SubdomainError, Uuid, UuidError};
pub use management::*;
pub use message::{DelayResp, Flags, FollowUp, Grandmaster, LocalClock, SyncBody};

use arrayvec::ArrayVec;
use layout::{Body, Bytes, Encoding, Layout};
use zerocopy::{Immutable, IntoBytes};

/// UDP port of Sync and Delay_Req, the messages whose time of arrival is measured.
pub const EVENT_PORT: u16 = 319;
/// UDP port of all other messages.
pub const GENERAL_PORT: u16 = 320;

/// A message. The longest one has 150 bytes: a Management message with a parent data set.
pub type Buffer = ArrayVec<u8, LONGEST>;
const LONGEST: usize = 150;

const VERSION: u16 = 1;

/// messageType of the messages on [`EVENT_PORT`].
const EVENT: u8 = 1;
/// messageType of the messages on [`GENERAL_PORT`].
const GENERAL: u8 = 2;

const SYNC: u8 = 0;
const DELAY_REQ: u8 = 1;
const FOLLOW_UP: u8 = 2;
const DELAY_RESP: u8 = 3;
const MANAGEMENT: u8 = 4;

/// Size of a header, and of a Management message before its parameters, bytes.
const HEADER: usize = size_of::<layout::Header>();
const PARAMETERS: usize = HEADER + size_of::<Bytes<Head>>();

/// The header of every message (8.2), without versionPTP and the fields that follow from the message type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// versionNetwork: 1 for UDP over IPv4. Not checked.
    pub version_network: u16,
    /// The subdomain of the message.
    pub subdomain: Subdomain,
    /// The port that sent the message.
    pub source: PortIdentity,
    /// Counts the messages of one type from one port. A Delay_Resp is matched by its own fields, not by this.
    pub sequence_id: u16,
    /// Flags, as for leap seconds and two-step Syncs.
    pub flags: Flags,
}

/// A message with its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// The header.
    pub header: Header,
    /// The message type and its body.
    pub message: Message,
}

/// The body of a message, by the control field of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// 8.3: the leader's time and its quality. On [`EVENT_PORT`].
    Sync(SyncBody),
    /// 8.3: a follower's request, in the form of a Sync. On [`EVENT_PORT`].
    DelayReq(SyncBody),
    /// 8.4: the precise time at which a Sync left.
    FollowUp(FollowUp),
    /// 8.5: the time at which a Delay_Req arrived.
    DelayResp(DelayResp),
    /// 8.6: a query about a clock, or its response.
    Management(Management),
}

/// Why bytes are not a PTPv1 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The datagram ends before the message does.
    #[error("message of {actual} bytes is too short: {expected} expected")]
    TooShort {
        /// Bytes from the start of the payload to the end of what was being read.
        expected: usize,
        /// Size of the payload, bytes.
        actual: usize,
    },
    /// PTPv2, which uses the same UDP ports and multicast groups: AES67 and Dante Domain Manager use it.
    #[error("PTPv2, not PTPv1")]
    Version2,
    /// Neither PTPv1 nor PTPv2.
    #[error("versionPTP is {0}, not 1")]
    Version(u16),
    /// Event messages have a messageType of 1, general ones of 2.
    #[error("messageType {message_type} does not match control {control}")]
    MessageType {
        /// The header's messageType.
        message_type: u8,
        /// The header's control field.
        control: u8,
    },
    /// The control field is not that of a message.
    #[error("control {0} is not a PTPv1 message")]
    Control(u8),
    /// The nanoseconds of a time are a second or more.
    #[error("invalid time: {nanoseconds} ns in the nanoseconds field")]
    Time {
        /// The field, as the signed number that IEEE 1588-2002 declares.
        nanoseconds: i32,
    },
    /// parameterLength is less than the management message key requires.
    #[error("parameterLength {actual} is too short for management message key {key}: {expected} expected")]
    ParameterLength {
        /// managementMessageKey.
        key: u8,
        /// Bytes of parameters that are decoded for that key.
        expected: usize,
        /// parameterLength.
        actual: u16,
    },
}

impl Packet {
    /// Decodes the payload of a datagram from either UDP port.
    ///
    /// # Errors
    /// If the payload is not a PTPv1 message: [`WireError::Version2`] for PTPv2 of any length, otherwise the reason.
    pub fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        // The low nibble of PTPv2's second byte is its versionPTP, the high one its minor version.
        match *bytes {
            [0, 1, ..] | [] | [_] => {}
            [_, low, ..] if low & 0x0f == 2 => return Err(WireError::Version2),
            [high, low, ..] => return Err(WireError::Version(u16::from_be_bytes([high, low]))),
        }
        let (header, rest) = layout::Header::at(0, bytes)?;
        let control = header.control;
        let message_type = match control {
            SYNC | DELAY_REQ => EVENT,
            FOLLOW_UP | DELAY_RESP | MANAGEMENT => GENERAL,
            _ => return Err(WireError::Control(control)),
        };
        if header.message_type != message_type {
            return Err(WireError::MessageType { message_type: header.message_type, control });
        }
        let message = match control {
            SYNC => Message::Sync(body(rest)?),
            DELAY_REQ => Message::DelayReq(body(rest)?),
            FOLLOW_UP => Message::FollowUp(body(rest)?),
            DELAY_RESP => Message::DelayResp(body(rest)?),
            _ => Message::Management(Management::parse(rest)?),
        };
        Ok(Self { header: header.read()?, message })
    }

    /// Encodes the packet as the payload of a datagram. Times beyond +-2^32 s do not fit and become the nearest time that does.
    ///
    /// # Errors
    /// Only for a Management message with [`Payload::Other`]. For a known message type, the method of [`Header`] of that name
    /// has no error, except [`Header::management`].
    pub fn build(&self) -> Result<Buffer, NotBuilt> {
        match &self.message {
            Message::Sync(body) => Ok(self.header.sync(body)),
            Message::DelayReq(body) => Ok(self.header.delay_req(body)),
            Message::FollowUp(body) => Ok(self.header.follow_up(body)),
            Message::DelayResp(body) => Ok(self.header.delay_resp(body)),
            Message::Management(body) => self.header.management(body),
        }
    }
}

impl Header {
    /// Encodes a Sync, 124 bytes.
    pub fn sync(&self, body: &SyncBody) -> Buffer {
        self.build(EVENT, SYNC, body)
    }

    /// Encodes a Delay_Req, 124 bytes.
    pub fn delay_req(&self, body: &SyncBody) -> Buffer {
        self.build(EVENT, DELAY_REQ, body)
    }

    /// Encodes a Follow_Up, 52 bytes.
    pub fn follow_up(&self, body: &FollowUp) -> Buffer {
        self.build(GENERAL, FOLLOW_UP, body)
    }

    /// Encodes a Delay_Resp, 60 bytes.
    pub fn delay_resp(&self, body: &DelayResp) -> Buffer {
        self.build(GENERAL, DELAY_RESP, body)
    }

    /// Encodes a Management message, 60 to 150 bytes.
    ///
    /// # Errors
    /// For [`Payload::Other`].
    pub fn management(&self, body: &Management) -> Result<Buffer, NotBuilt> {
        let parameters = body.payload.parameters()?;
        let mut buffer = self.build(GENERAL, MANAGEMENT, &body.head(&parameters));
        append(&mut buffer, parameters.as_slice());
        Ok(buffer)
    }

    fn build<T: Body>(&self, message_type: u8, control: u8, body: &T) -> Buffer {
        let mut buffer = Buffer::new();
        append(&mut buffer, &layout::Header::new(self, message_type, control));
        append(&mut buffer, &Bytes::<T>::encode(body));
        buffer
    }
}

/// Decodes the body that follows the header.
fn body<T: Body>(bytes: &[u8]) -> Result<T, WireError> {
    Bytes::<T>::at(HEADER, bytes)?.0.decode()
}

/// Appends a part of a message; the layouts ensure that it fits.
fn append<const N: usize>(buffer: &mut ArrayVec<u8, N>, part: &(impl IntoBytes + Immutable + ?Sized)) {
    let appended = buffer.try_extend_from_slice(part.as_bytes());
    debug_assert!(appended.is_ok(), "message does not fit into its buffer");
}

const _: () = {
    assert!(HEADER + size_of::<Bytes<SyncBody>>() <= LONGEST);
    assert!(PARAMETERS + MAX_PARAMETERS == LONGEST);
};

#[cfg(test)]
mod tests;
