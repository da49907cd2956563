//! Identifiers in the messages: UUIDs, ports, subdomains and clock identifiers.

use arrayvec::ArrayVec;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// The UUID of a port: on Ethernet its MAC address. Displayed as `00:1d:c1:a1:72:3c`.
///
/// Ordered as in the best master clock algorithm: the lower UUID wins a tie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 6]);

impl Uuid {
    /// The form of the pages, which have room for identities of PTPv2: the six bytes, then two zeros.
    pub fn eight_bytes(self) -> [u8; 8] {
        let [a, b, c, d, e, f] = self.0;
        [a, b, c, d, e, f, 0, 0]
    }

    /// The UUID of such eight bytes.
    pub fn of_eight_bytes([a, b, c, d, e, f, ..]: [u8; 8]) -> Self {
        Self([a, b, c, d, e, f])
    }
}

/// The text is not the UUID of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UuidError {
    /// It has another form.
    #[error(
        "not a UUID: expected 12 hexadecimal digits (00:1d:c1:a1:72:3c), or an EUI-64 of them (001dc1.fffe.a1723c)"
    )]
    Form,
    /// It is an EUI-64 without ff:fe in the middle.
    #[error("an EUI-64 without ff:fe in the middle is not derived from the UUID of a port")]
    NotDerived,
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Accepts every form in which tools display it: pairs of digits with colons or dashes, or digits without a separator; also in
/// groups with dots as network switches do (`001d.c1a1.723c`). Instead of the UUID, the EUI-64 that PTPv2 derives from it
/// (IEEE 1588-2008, 7.5.2.2.2): `00:1d:c1:ff:fe:a1:72:3c`, or as pmc(8) of linuxptp displays it: `001dc1.fffe.a1723c`.
impl FromStr for Uuid {
    type Err = UuidError;

    fn from_str(text: &str) -> Result<Self, UuidError> {
        let separator = text.chars().find(|character| !character.is_ascii_hexdigit());
        let lengths: ArrayVec<usize, 9> = match separator {
            None => ArrayVec::from_iter([text.len()]),
            Some(separator) => text.split(separator).map(str::len).take(9).collect(),
        };
        let has_form = match (separator, lengths.as_slice()) {
            (None, lengths) => matches!(lengths, [12 | 16]),
            (Some(':' | '-'), [2, 2, 2, 2, 2, 2] | [2, 2, 2, 2, 2, 2, 2, 2]) => true,
            (Some('.'), [4, 4, 4] | [6, 4, 6]) => true,
            _ => false,
        };
        if !has_form {
            return Err(UuidError::Form);
        }
        let mut digits = text.bytes().filter(|byte| Some(char::from(*byte)) != separator);
        let mut bytes: ArrayVec<u8, 8> = ArrayVec::new();
        while let Some(pair) = digits.next().zip(digits.next()) {
            bytes.push(hex_byte(&[pair.0, pair.1]).ok_or(UuidError::Form)?);
        }
        match *bytes.as_slice() {
            [a, b, c, d, e, f] | [a, b, c, 0xff, 0xfe, d, e, f] => Ok(Self([a, b, c, d, e, f])),
            _ => Err(UuidError::NotDerived),
        }
    }
}

/// Parses exactly two hexadecimal digits; `u8::from_str_radix` would accept a sign as well.
fn hex_byte(pair: &[u8]) -> Option<u8> {
    let &[high, low] = pair else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// One port of one clock: communication technology, UUID and port number. Displayed as `00:1d:c1:a1:72:3c/1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortIdentity {
    /// Communication technology of the UUID; see [`PortIdentity::ETHERNET`].
    pub technology: u8,
    /// UUID of the port.
    pub uuid: Uuid,
    /// Number of the port within its clock, from 1. Dante leaders have port 0 as grandmasters.
    pub port_id: u16,
}

impl PortIdentity {
    /// PTP_ETHER, the only communication technology on a Dante network.
    pub const ETHERNET: u8 = 1;
}

impl fmt::Display for PortIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.uuid, self.port_id)
    }
}

/// The name of a subdomain: up to 16 bytes, padded with NUL.
///
/// All 16 bytes are compared: two subdomains may share a multicast group, and Dante Domain Manager uses names that are not text.
/// A backslash and bytes that are not printable ASCII are displayed as `\xNN`, which [`FromStr`] parses.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subdomain(pub [u8; 16]);

/// Why a text is not the name of a subdomain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubdomainError {
    /// The name has no bytes, or more than 16.
    #[error("not a subdomain: {0} bytes, 1 to 16 expected")]
    Length(usize),
    /// A backslash without `xNN`.
    #[error(r"not a subdomain: a backslash must be part of \xNN (two hexadecimal digits)")]
    Escape,
}

impl Subdomain {
    /// `_DFLT`, the default, of Dante devices without pull-up.
    pub const DFLT: Self = Self(*b"_DFLT\0\0\0\0\0\0\0\0\0\0\0");
    /// `_ALT1`: Dante's pull-up by +4.1667 %.
    pub const ALT1: Self = Self(*b"_ALT1\0\0\0\0\0\0\0\0\0\0\0");
    /// `_ALT2`: Dante's pull-up by +0.1 %.
    pub const ALT2: Self = Self(*b"_ALT2\0\0\0\0\0\0\0\0\0\0\0");
    /// `_ALT3`: Dante's pull-down by 0.1 %.
    pub const ALT3: Self = Self(*b"_ALT3\0\0\0\0\0\0\0\0\0\0\0");
    /// `_ALT4`: Dante's pull-down by 4 %. Not defined by the standard; by its CRC-32 it shares a group with `_ALT2`.
    pub const ALT4: Self = Self(*b"_ALT4\0\0\0\0\0\0\0\0\0\0\0");

    /// Whether Dante devices of this subdomain run at a pull-up or pull-down rate, 0.1 % to 4.1667 % off the nominal rate.
    pub fn is_pull_up(&self) -> bool {
        [Self::ALT1, Self::ALT2, Self::ALT3, Self::ALT4].contains(self)
    }

    /// The multicast group of the subdomain: 224.0.1.129 for `_DFLT`, 224.0.1.130 to .132 for `_ALT1` to `_ALT3`, and one of these
    /// three for any other name, by the CRC-32 of its 16 bytes (IEEE 1588-2002, annex D).
    pub const fn group(&self) -> Ipv4Addr {
        let last = match &self.0 {
            b"_DFLT\0\0\0\0\0\0\0\0\0\0\0" => 129,
            b"_ALT1\0\0\0\0\0\0\0\0\0\0\0" => 130,
            b"_ALT2\0\0\0\0\0\0\0\0\0\0\0" => 131,
            b"_ALT3\0\0\0\0\0\0\0\0\0\0\0" => 132,
            name => match crc32(name) % 3 {
                0 => 130,
                1 => 131,
                _ => 132,
            },
        };
        Ipv4Addr::new(224, 0, 1, last)
    }
}

/// The CRC-32 of Ethernet, reflected.
pub(super) const fn crc32(mut bytes: &[u8]) -> u32 {
    let mut crc = !0;
    while let [byte, rest @ ..] = bytes {
        crc ^= *byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        bytes = rest;
    }
    !crc
}

impl FromStr for Subdomain {
    type Err = SubdomainError;

    fn from_str(text: &str) -> Result<Self, SubdomainError> {
        let mut name = [0; 16];
        let mut length = 0;
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            let byte;
            (byte, rest) = match (first, tail) {
                (b'\\', [b'x', high, low, tail @ ..]) => {
                    (hex_byte(&[*high, *low]).ok_or(SubdomainError::Escape)?, tail)
                }
                (b'\\', _) => return Err(SubdomainError::Escape),
                _ => (*first, tail),
            };
            if let Some(slot) = name.get_mut(length) {
                *slot = byte;
            }
            length += 1;
        }
        if (1..=name.len()).contains(&length) { Ok(Self(name)) } else { Err(SubdomainError::Length(length)) }
    }
}

impl fmt::Display for Subdomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escaped(f, &self.0, &[0])
    }
}

impl fmt::Debug for Subdomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The source of a clock's time. Displayed as a [`Subdomain`] is, without the padding.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClockIdentifier(pub [u8; 4]);

impl ClockIdentifier {
    /// An atomic clock.
    pub const ATOM: Self = Self(*b"ATOM");
    /// A GPS receiver.
    pub const GPS: Self = Self(*b"GPS\0");
    /// NTP.
    pub const NTP: Self = Self(*b"NTP\0");
    /// Set by hand.
    pub const HAND: Self = Self(*b"HAND");
    /// Set at initialisation.
    pub const INIT: Self = Self(*b"INIT");
    /// None of the above; the identifier of Dante devices.
    pub const DFLT: Self = Self(*b"DFLT");
}

impl fmt::Display for ClockIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escaped(f, &self.0, b"\0 ")
    }
}

impl fmt::Debug for ClockIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes `bytes` without the `padding` at their end. Names come from the network, so only printable ASCII may reach a terminal
/// or a log; other bytes are escaped.
pub(super) fn escaped(f: &mut fmt::Formatter<'_>, bytes: &[u8], padding: &[u8]) -> fmt::Result {
    let mut text = bytes;
    while let [head @ .., last] = text
        && padding.contains(last)
    {
        text = head;
    }
    for &byte in text {
        match byte {
            b' '..=b'~' if byte != b'\\' => write!(f, "{}", char::from(byte))?,
            _ => write!(f, r"\x{byte:02x}")?,
        }
    }
    Ok(())
}
