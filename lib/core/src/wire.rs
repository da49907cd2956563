//! PTPv1 messages (IEEE 1588-2002, clause 8 and annex D) to and from the payload of a UDP datagram.
//!
//! [`Packet::parse`] reads, [`Packet::build`] and the methods of [`Header`] write. Neither allocates, and no byte that
//! a peer may send makes either panic. Reserved bytes are written as zero and not read; bytes after the message are
//! accepted, since senders pad.
//!
//! The codec judges form only: whether a packet comes from the right leader in the right subdomain is the port's
//! affair. A flag or a boolean is true when it is not zero, and an unknown stratum, identifier or technology passes.

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

/// UDP port of Sync and Delay_Req, the messages whose time of arrival counts.
pub const EVENT_PORT: u16 = 319;
/// UDP port of the other messages.
pub const GENERAL_PORT: u16 = 320;

/// Room for the longest message, 150 bytes: a Management with a parent data set.
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

/// Bytes of a header, and of a Management message before its parameters.
const HEADER: usize = size_of::<layout::Header>();
const PARAMETERS: usize = HEADER + size_of::<Bytes<Head>>();

/// What every message begins with (8.2), less versionPTP and what follows from the kind of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// versionNetwork: 1 for UDP over IPv4. Not checked.
    pub version_network: u16,
    /// The subdomain that the message belongs to.
    pub subdomain: Subdomain,
    /// The port that sent the message.
    pub source: PortIdentity,
    /// Counts the messages of one kind from one port. Match a Delay_Resp by its own fields, not by this.
    pub sequence_id: u16,
    /// Leap seconds, two-step and the like.
    pub flags: Flags,
}

/// A message with its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// What every message begins with.
    pub header: Header,
    /// What the message says.
    pub message: Message,
}

/// What a message says, by the control field of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// 8.3: the leader's time and what it is worth. On [`EVENT_PORT`].
    Sync(SyncBody),
    /// 8.3: a follower's question, in the form of a Sync. On [`EVENT_PORT`].
    DelayReq(SyncBody),
    /// 8.4: when a Sync really left.
    FollowUp(FollowUp),
    /// 8.5: when a Delay_Req arrived.
    DelayResp(DelayResp),
    /// 8.6: a question about a clock, or its answer.
    Management(Management),
}

/// Why bytes are not a PTPv1 message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The datagram ends before the message does.
    #[error("{actual} bytes where the message needs {expected}")]
    TooShort {
        /// Bytes from the start of the payload to the end of what was being read.
        expected: usize,
        /// Bytes of the payload.
        actual: usize,
    },
    /// PTPv2, which shares the ports and the groups: AES67 and Dante Domain Manager speak it.
    #[error("PTPv2, not PTPv1")]
    Version2,
    /// Neither PTPv1 nor PTPv2.
    #[error("versionPTP is {0}, not 1")]
    Version(u16),
    /// Event messages have a messageType of 1, general ones of 2.
    #[error("messageType {message_type} does not go with control {control}")]
    MessageType {
        /// The header's messageType.
        message_type: u8,
        /// The header's control field.
        control: u8,
    },
    /// The control field names no message.
    #[error("control {0} is no message of PTPv1")]
    Control(u8),
    /// The nanoseconds of a time are a second or more.
    #[error("a time with {nanoseconds} ns is none")]
    Time {
        /// The field, as the signed number that IEEE 1588-2002 declares.
        nanoseconds: i32,
    },
    /// parameterLength is less than what the management message key calls for.
    #[error("parameterLength is {actual} where management message key {key} needs {expected}")]
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
    /// Reads the payload of a datagram from either port.
    ///
    /// # Errors
    /// What is not a PTPv1 message says why not; PTPv2 is told from the rest, whatever its length.
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

    /// The payload of a datagram that says this packet. What the wire cannot hold is written as the nearest that it
    /// can: times beyond 2^32 s either side of zero.
    ///
    /// # Errors
    /// Only for a Management message with [`Payload::Other`]. Who knows the kind of message at hand calls the method
    /// of [`Header`] that is named after it, and has no error to handle.
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
    /// The bytes of a Sync, 124.
    pub fn sync(&self, body: &SyncBody) -> Buffer {
        self.build(EVENT, SYNC, body)
    }

    /// The bytes of a Delay_Req, 124.
    pub fn delay_req(&self, body: &SyncBody) -> Buffer {
        self.build(EVENT, DELAY_REQ, body)
    }

    /// The bytes of a Follow_Up, 52.
    pub fn follow_up(&self, body: &FollowUp) -> Buffer {
        self.build(GENERAL, FOLLOW_UP, body)
    }

    /// The bytes of a Delay_Resp, 60.
    pub fn delay_resp(&self, body: &DelayResp) -> Buffer {
        self.build(GENERAL, DELAY_RESP, body)
    }

    /// The bytes of a Management message, 60 to 150.
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

/// The body of a message that follows its header.
fn body<T: Body>(bytes: &[u8]) -> Result<T, WireError> {
    Bytes::<T>::at(HEADER, bytes)?.0.decode()
}

/// Appends a part of a message that fits by the sizes of its layout.
fn append<const N: usize>(buffer: &mut ArrayVec<u8, N>, part: &(impl IntoBytes + Immutable + ?Sized)) {
    let appended = buffer.try_extend_from_slice(part.as_bytes());
    debug_assert!(appended.is_ok(), "a message has no room in its buffer");
}

const _: () = {
    assert!(HEADER + size_of::<Bytes<SyncBody>>() <= LONGEST);
    assert!(PARAMETERS + MAX_PARAMETERS == LONGEST);
};

#[cfg(test)]
mod tests;
