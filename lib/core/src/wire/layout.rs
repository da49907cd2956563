//! The byte layout of messages in the UDP payload: big-endian, unaligned.
//!
//! Reserved bytes are written as zero and not read. They exist because most fields of one byte are at the end of a word of four
//! bytes.

use super::{ClockIdentifier, PortIdentity, PortState, Subdomain, Uuid, WireError};
use crate::time::{Dante, Duration, Offset, Timestamp};
use std::net::Ipv4Addr;
use zerocopy::big_endian::{I16, I32, U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A structure of the wire format, read in place.
pub(super) trait Layout: Sized + FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned {
    /// Splits `rest`, which begins `offset` bytes into the message, into this structure and the bytes after it.
    fn at(offset: usize, rest: &[u8]) -> Result<(&Self, &[u8]), WireError> {
        Self::ref_from_prefix(rest).map_err(|_| WireError::TooShort {
            expected: offset + size_of::<Self>(),
            actual: offset + rest.len(),
        })
    }
}
impl<T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned> Layout for T {}

/// A structure of the wire format that encodes a value of type `T`.
pub(super) trait Encoding<T>: Layout {
    fn decode(&self) -> Result<T, WireError>;
    fn encode(value: &T) -> Self;
}

/// A part of a message with a layout of its own.
pub(super) trait Body: Sized {
    type Layout: Encoding<Self>;
}

/// The layout of a part of a message.
pub(super) type Bytes<T> = <T as Body>::Layout;

/// A field after `GAP` reserved bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct After<const GAP: usize, T> {
    pub gap: [u8; GAP],
    pub value: T,
}

/// Declares the layout of a structure: its fields in wire order, each with the number of reserved bytes before it.
macro_rules! layout {
    ($layout:ident holds $name:ident { $($field:ident = $gap:literal + $wire:ty,)* }) => {
        #[derive(
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable, zerocopy::Unaligned,
        )]
        #[repr(C)]
        pub(in crate::wire) struct $layout {
            $($field: $crate::wire::layout::After<$gap, $wire>,)*
        }

        impl $crate::wire::layout::Encoding<$name> for $layout {
            fn decode(&self) -> Result<$name, $crate::wire::WireError> {
                Ok($name { $($field: $crate::wire::layout::Encoding::decode(&self.$field.value)?,)* })
            }

            fn encode(value: &$name) -> Self {
                Self {
                    $($field: $crate::wire::layout::After {
                        gap: [0; $gap],
                        value: $crate::wire::layout::Encoding::encode(&value.$field),
                    },)*
                }
            }
        }
    };
}
pub(super) use layout;

/// Declares parts of messages: for each field the number of reserved bytes before it and its type in the wire format.
macro_rules! body {
    ($($(#[$doc:meta])* $vis:vis struct $name:ident {
        $($(#[$field_doc:meta])* $field_vis:vis $field:ident: $type:ty = $gap:literal + $wire:ty,)*
    })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis struct $name { $($(#[$field_doc])* $field_vis $field: $type,)* }

        const _: () = {
            $crate::wire::layout::layout! { OnWire holds $name { $($field = $gap + $wire,)* } }

            impl $crate::wire::layout::Body for $name {
                type Layout = OnWire;
            }
        };
    )+};
}
pub(super) use body;

/// Declares the encodings of single fields.
macro_rules! encodings {
    ($($wire:ty as $value:ty: $decode:expr, $encode:expr;)*) => {
        $(impl Encoding<$value> for $wire {
            fn decode(&self) -> Result<$value, WireError> {
                let decode: fn(Self) -> Result<$value, WireError> = $decode;
                decode(*self)
            }

            fn encode(value: &$value) -> Self {
                let encode: fn($value) -> Self = $encode;
                encode(*value)
            }
        })*
    };
}

encodings! {
    u8 as u8: Ok, |value| value;
    // A boolean is true if it is not zero.
    u8 as bool: |wire| Ok(wire != 0), u8::from;
    u8 as PortState: |wire| Ok(PortState(wire)), |state| state.0;
    i8 as i8: Ok, |value| value;
    U16 as u16: |wire| Ok(wire.get()), U16::new;
    I16 as i16: |wire| Ok(wire.get()), I16::new;
    I32 as i32: |wire| Ok(wire.get()), I32::new;
    [u8; 4] as ClockIdentifier: |wire| Ok(ClockIdentifier(wire)), |identifier| identifier.0;
    [u8; 16] as Subdomain: |wire| Ok(Subdomain(wire)), |subdomain| subdomain.0;
    [u8; 48] as [u8; 48]: Ok, |text| text;
    // The byte before the interval is its sign extension with Dante, zero with others. It is written as Dante does, and not read.
    Interval as i8: |wire| Ok(wire.interval), |interval| Self { sign: interval >> 7, interval };
    // The lengths of a port's three addresses, which are 4, 2 and 2 for UDP over IPv4 (annex D). Not read.
    Group as Ipv4Addr: |wire| Ok(wire.group.into()), |group| Self { octets: [4, 2, 2], group: group.octets() };
    Time as Timestamp<Dante>: |time| time.ns().map(Timestamp::from_ns), |time| time.ns().into();
    Time as Offset: |time| time.ns().map(Offset::from_ns), |offset| offset.ns().into();
    Time as Duration: |time| time.ns().map(Duration::from_ns), |duration| duration.ns().into();
}

/// syncInterval in a Sync.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Interval {
    sign: i8,
    interval: i8,
}

/// subdomainAddress in a port data set, with the lengths before it.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Group {
    octets: [u8; 3],
    group: [u8; 4],
}

/// TimeRepresentation of IEEE 1588-2002, 5.2.2: the top bit of the nanoseconds is the sign of the whole time, the 31 bits below it
/// and the seconds are its magnitude. -2 s is encoded as 2 s and 0x8000_0000 ns.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Time {
    seconds: U32,
    nanoseconds: U32,
}

impl Time {
    const SIGN: u32 = 1 << 31;

    /// The time in ns.
    ///
    /// Nanoseconds in two's complement, -999 999 999..=-1, are also accepted: implementations that read the standard's Integer32
    /// as that of C send them, and no valid time has the same bits.
    pub(super) fn ns(&self) -> Result<i64, WireError> {
        let raw = self.nanoseconds.get();
        let negative = raw & Self::SIGN != 0;
        let magnitude = match raw & !Self::SIGN {
            magnitude if magnitude < 1_000_000_000 => magnitude,
            _ if negative && raw.wrapping_neg() < 1_000_000_000 => raw.wrapping_neg(),
            _ => return Err(WireError::Time { nanoseconds: raw.cast_signed() }),
        };
        // 2^32 s in ns is less than half of i64::MAX.
        let ns = i64::from(self.seconds.get()) * 1_000_000_000 + i64::from(magnitude);
        Ok(if negative { -ns } else { ns })
    }
}

impl From<i64> for Time {
    /// Encodes ns. A time beyond 32 bits of seconds (136 years) becomes the last one that fits.
    fn from(ns: i64) -> Self {
        let split = |ns: u64| {
            Some((u32::try_from(ns / 1_000_000_000).ok()?, u32::try_from(ns % 1_000_000_000).ok()?))
        };
        let (seconds, nanoseconds) = split(ns.unsigned_abs()).unwrap_or((u32::MAX, 999_999_999));
        let sign = if ns < 0 { Self::SIGN } else { 0 };
        Self { seconds: seconds.into(), nanoseconds: (nanoseconds | sign).into() }
    }
}

/// A port with `GAP` reserved bytes before its number.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Port<const GAP: usize> {
    technology: u8,
    uuid: [u8; 6],
    port_id: After<GAP, U16>,
}

impl<const GAP: usize> Encoding<PortIdentity> for Port<GAP> {
    fn decode(&self) -> Result<PortIdentity, WireError> {
        let Self { technology, uuid, port_id } = self;
        Ok(PortIdentity { technology: *technology, uuid: Uuid(*uuid), port_id: port_id.value.get() })
    }

    fn encode(port: &PortIdentity) -> Self {
        let port_id = After { gap: [0; GAP], value: port.port_id.into() };
        Self { technology: port.technology, uuid: port.uuid.0, port_id }
    }
}

/// The header of every message.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub version: U16,
    pub version_network: U16,
    pub subdomain: [u8; 16],
    pub message_type: u8,
    pub source: Port<0>,
    pub sequence_id: U16,
    pub control: u8,
    _1: u8,
    pub flags: U16,
    _2: [u8; 4],
}

impl Header {
    pub(super) fn new(header: &super::Header, message_type: u8, control: u8) -> Self {
        Self {
            version: super::VERSION.into(),
            version_network: header.version_network.into(),
            subdomain: header.subdomain.0,
            message_type,
            source: Port::encode(&header.source),
            sequence_id: header.sequence_id.into(),
            control,
            flags: header.flags.0.into(),
            ..Self::new_zeroed()
        }
    }

    pub(super) fn read(&self) -> Result<super::Header, WireError> {
        Ok(super::Header {
            version_network: self.version_network.get(),
            subdomain: Subdomain(self.subdomain),
            source: self.source.decode()?,
            sequence_id: self.sequence_id.get(),
            flags: super::Flags(self.flags.get()),
        })
    }
}
