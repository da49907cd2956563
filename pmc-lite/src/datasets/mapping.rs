//! PTPv1's values as PTPv2's (IEEE 1588-2008, 18.3).

use dante_core::wire::{Subdomain, Uuid};
use std::fmt;

/// A PTPv2 clockIdentity, an EUI-64 made of the UUID (7.5.2.2.2). Displayed as linuxptp does: `001dc1.fffe.a1723c`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockIdentity(pub Uuid);

impl fmt::Display for ClockIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0.0;
        let middle = if self.0.0 == [0; 6] { "0000" } else { "fffe" };
        write!(f, "{a:02x}{b:02x}{c:02x}.{middle}.{d:02x}{e:02x}{g:02x}")
    }
}

/// Of a grandmaster's stratum (table 96). Dante's 0x99 and 0x79 are in no table: the class of what is in none.
pub const fn clock_class(stratum: u8) -> u8 {
    match stratum {
        0 => 6,
        1 => 9,
        2 => 10,
        4 => 251,
        255 => 255,
        _ => 248,
    }
}

/// Of Preferred Leader (priority1, table 98), and of whether it is a boundary clock (priority2, table 103).
pub const fn priority(is_so: bool) -> u8 {
    if is_so { 127 } else { 128 }
}

/// Of a clock identifier (table 100).
pub const fn clock_accuracy(identifier: [u8; 4]) -> u8 {
    match &identifier {
        b"ATOM" | b"GPS\0" => 0x22,
        b"NTP\0" => 0x2f,
        b"HAND" => 0x30,
        b"INIT" => 0xfd,
        _ => 0xfe,
    }
}

/// Of a PTP variance, which has no offset of 0x8000 in PTPv1 (7.6.3.3).
pub const fn offset_scaled_log_variance(variance: i16) -> u16 {
    variance.cast_unsigned().wrapping_add(0x8000)
}

/// Of a subdomain: the four that have a name and a group of their own are 0 to 3; another has no number, which is said as 255.
pub fn domain_number(subdomain: Subdomain) -> u8 {
    let named = [Subdomain::DFLT, Subdomain::ALT1, Subdomain::ALT2, Subdomain::ALT3];
    named.iter().zip(0..).find(|(name, _)| **name == subdomain).map_or(255, |(_, number)| number)
}
