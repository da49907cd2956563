//! Management messages: queries about a clock and their responses.
//!
//! Keys that change a device (reset, subdomain, preferred master, time, bursts, ports) and the foreign data set (keys 20 and 21)
//! are decoded as [`Payload::Other`] and never built.

mod data_sets;

pub use data_sets::{
    ClockIdentity, CurrentDataSet, DefaultDataSet, GlobalTimeDataSet, ParentDataSet, PortDataSet, PortState,
};

use super::layout::{Body, Bytes, Encoding, Layout, Port, body};
use super::{HEADER, PARAMETERS, PortIdentity, WireError, append};
use arrayvec::ArrayVec;
use zerocopy::big_endian::{I16, U16};

/// Size of the longest parameters, bytes: those of a parent data set by its parameterLength.
pub(super) const MAX_PARAMETERS: usize = 90;
const PARENT_DATA_SET: u8 = 13;
/// Size of the fields of a parent data set, bytes. Some clocks have this in parameterLength; some send no more but have 90 there.
const PARENT_FIELDS: usize = size_of::<Bytes<ParentDataSet>>();

pub(super) type Parameters = ArrayVec<u8, MAX_PARAMETERS>;

/// The body of a Management message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Management {
    /// The target port. A UUID of zeros means every clock, a port number of zero every port of a clock.
    pub target: PortIdentity,
    /// startingBoundaryHops: number of boundary clocks that the message may pass.
    pub starting_boundary_hops: i16,
    /// boundaryHops: number of boundary clocks that it may still pass.
    pub boundary_hops: i16,
    /// The query or response.
    pub payload: Payload,
}

body! {
    /// The body of a Management message without its parameters.
    pub(super) struct Head {
        target: PortIdentity = 1 + Port<0>,
        starting_boundary_hops: i16 = 0 + I16,
        boundary_hops: i16 = 0 + I16,
        key: u8 = 1 + u8,
        parameter_length: u16 = 2 + U16,
    }
}

/// Declares the payloads that are decoded, by managementMessageKey (IEEE 1588-2002, 8.6), and their parameters.
macro_rules! payloads {
    ($($(#[$doc:meta])* $key:literal $name:ident $(($data:ident: $type:ty))?,)*) => {
        /// The query or response of a Management message, by its managementMessageKey.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Payload {
            $($(#[$doc])* $name $(($type))?,)*
            /// A key that is not decoded. Never built, since most of these change a device.
            Other {
                /// managementMessageKey.
                key: u8,
                /// parameterLength.
                length: u16,
            },
        }

        impl Payload {
            /// All keys that are decoded.
            #[cfg(test)]
            pub const KEYS: [u8; [$($key),*].len()] = [$($key),*];

            /// managementMessageKey.
            pub const fn key(&self) -> u8 {
                match self {
                    $(Self::$name { .. } => $key,)*
                    Self::Other { key, .. } => *key,
                }
            }

            fn decode(parameters: &Claimed<'_>) -> Result<Self, WireError> {
                Ok(match parameters.key {
                    $($key => Self::$name $((parameters.at::<$type>()?))?,)*
                    key => Self::Other { key, length: parameters.length },
                })
            }

            fn encode(&self) -> Result<Parameters, NotBuilt> {
                #[allow(unused_mut, reason = "not every payload has parameters")]
                let mut parameters = Parameters::new();
                match self {
                    $(Self::$name $(($data))? => {
                        $(append(&mut parameters, &Bytes::<$type>::encode($data));)?
                    })*
                    Self::Other { key, .. } => return Err(NotBuilt { key: *key }),
                }
                Ok(parameters)
            }
        }
    };
}

payloads! {
    /// No content.
    0 Null,
    /// Queries [`Payload::ClockIdentity`].
    1 ObtainIdentity,
    /// The identity of a clock.
    2 ClockIdentity(data: ClockIdentity),
    /// Queries [`Payload::DefaultDataSet`].
    7 GetDefaultDataSet,
    /// The properties and the configuration of a clock.
    8 DefaultDataSet(data: DefaultDataSet),
    /// Queries [`Payload::CurrentDataSet`].
    10 GetCurrentDataSet,
    /// The offset of a clock from its leader.
    11 CurrentDataSet(data: CurrentDataSet),
    /// Queries [`Payload::ParentDataSet`].
    12 GetParentDataSet,
    /// The leader and the grandmaster that a clock follows.
    13 ParentDataSet(data: ParentDataSet),
    /// Queries [`Payload::PortDataSet`].
    14 GetPortDataSet,
    /// The state of a port.
    15 PortDataSet(data: PortDataSet),
    /// Queries [`Payload::GlobalTimeDataSet`].
    16 GetGlobalTimeDataSet,
    /// The time of a clock, with its UTC offset and leap seconds.
    17 GlobalTimeDataSet(data: GlobalTimeDataSet),
}

/// A management message that is never sent, because it would change a device or is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("management message key {key} is not sent: it is unknown or changes a device")]
pub struct NotBuilt {
    /// managementMessageKey.
    pub key: u8,
}

impl Management {
    /// Decodes the `bytes` after the header.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, WireError> {
        let (head, parameters) = Bytes::<Head>::at(HEADER, bytes)?;
        let Head { target, starting_boundary_hops, boundary_hops, key, parameter_length } = head.decode()?;
        let payload = Payload::parse(key, parameter_length, parameters)?;
        Ok(Self { target, starting_boundary_hops, boundary_hops, payload })
    }

    pub(super) fn head(&self, parameters: &Parameters) -> Head {
        let Self { target, starting_boundary_hops, boundary_hops, payload } = *self;
        #[expect(clippy::cast_possible_truncation, reason = "at most MAX_PARAMETERS")]
        let parameter_length = parameters.len() as u16;
        Head { target, starting_boundary_hops, boundary_hops, key: payload.key(), parameter_length }
    }
}

impl Payload {
    fn parse(key: u8, length: u16, parameters: &[u8]) -> Result<Self, WireError> {
        let claimed = match key {
            PARENT_DATA_SET => usize::from(length).min(PARENT_FIELDS),
            _ => usize::from(length),
        };
        if parameters.len() < claimed {
            return Err(WireError::TooShort {
                expected: PARAMETERS + claimed,
                actual: PARAMETERS + parameters.len(),
            });
        }
        Self::decode(&Claimed { key, length, parameters })
    }

    pub(super) fn parameters(&self) -> Result<Parameters, NotBuilt> {
        let mut parameters = self.encode()?;
        if let Self::ParentDataSet(_) = self {
            append(&mut parameters, &[0_u8; MAX_PARAMETERS - PARENT_FIELDS]);
        }
        Ok(parameters)
    }
}

/// The parameters of a message whose parameterLength is `length`.
struct Claimed<'a> {
    key: u8,
    length: u16,
    parameters: &'a [u8],
}

impl Claimed<'_> {
    fn at<T: Body>(&self) -> Result<T, WireError> {
        let expected = size_of::<Bytes<T>>();
        if usize::from(self.length) < expected {
            return Err(WireError::ParameterLength { key: self.key, expected, actual: self.length });
        }
        Bytes::<T>::at(PARAMETERS, self.parameters)?.0.decode()
    }
}
