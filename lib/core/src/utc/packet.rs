//! The NTP packet (RFC 5905, section 7.3) of a client: the request that it sends, and the replies that it accepts. Pure, no I/O.
//!
//! A request contains nothing but the version, the mode and a random transmit timestamp (RFC 8633, section 5.1): the reply echoes
//! that timestamp, and a sender that does not see the request cannot guess it. A datagram is examined only if its originate timestamp has
//! these 64 bits. This includes kiss codes, with which a sender of forged replies could otherwise silence a client (CVE-2015-7704,
//! CVE-2015-7705; RFC 8633, section 5.4). The clock of this host is not needed: the reply is measured on CLOCK_MONOTONIC_RAW.

use super::server_clock::Refusal;
use super::{Exchange, Leap, ServerClock};
use crate::time::{Duration, Raw, Real, Timestamp};
use zerocopy::big_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Length of a packet, bytes. Extension fields and a MAC may follow; they are not read.
pub const LENGTH: usize = size_of::<Layout>();

/// Version of requests. A reply has the version of its request, or 3 from a server that does not know version 4; the 48 bytes have
/// the same meaning in both.
const VERSION: u8 = 4;
const OLDEST_VERSION: u8 = 3;
const CLIENT: u8 = 3;
const SERVER: u8 = 4;
/// Leap indicator of a server that is not synchronised.
const ALARM: u8 = 3;
/// From 1900, where era 0 of NTP begins, to 1970, s.
const UNIX_EPOCH: u32 = 2_208_988_800;
/// Lower bound of a server's time, 2020-01-01: an earlier time is wrong.
const EARLIEST: Timestamp<Real> = Timestamp::from_ns(1_577_836_800 * 1_000_000_000);
/// Minimum tolerance for the granularity of a server's clock: its two timestamps may differ by this much more than the true interval.
const GRANULARITY: Duration = Duration::from_ms(1);
/// Maximum age of the last synchronisation of a server (NTP.MAXAGE of RFC 1305; RFC 5905 has no limit).
const MAX_REFERENCE_AGE: Duration = Duration::from_secs(86_400);
/// Reference identifier of chronyd while it smooths the time that it serves (`smoothtime`, `leapsmearmode`).
const SMOOTHED: [u8; 4] = [127, 127, 1, 255];

/// The 48 bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Layout {
    /// Leap indicator (2 bits), version (3), mode (3).
    first: u8,
    stratum: u8,
    poll: i8,
    precision: i8,
    root_delay: U32,
    root_dispersion: U32,
    reference_id: [u8; 4],
    reference: U64,
    originate: U64,
    receive: U64,
    transmit: U64,
}

/// One request, and the key to its replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    transmit: u64,
}

impl Request {
    /// A request with this transmit timestamp, which must be random.
    pub const fn new(random: u64) -> Self {
        Self { transmit: random }
    }

    /// The bytes to send.
    pub fn bytes(&self) -> [u8; LENGTH] {
        let layout =
            Layout { first: VERSION << 3 | CLIENT, transmit: self.transmit.into(), ..Layout::new_zeroed() };
        zerocopy::transmute!(layout)
    }

    /// Returns the reply in `datagram`.
    ///
    /// # Errors
    /// [`Ignored`] if the datagram is no reply to this request. Another datagram may be one.
    pub fn reply(&self, datagram: &[u8]) -> Result<Reply, Ignored> {
        let (layout, _) = Layout::ref_from_prefix(datagram).map_err(|_| Ignored::NoReply)?;
        let version = layout.first >> 3 & 7;
        if layout.first & 7 != SERVER || !(OLDEST_VERSION..=VERSION).contains(&version) {
            Err(Ignored::NoReply)
        } else if layout.originate.get() != self.transmit {
            Err(Ignored::NoMatch)
        } else {
            Ok(Reply::of(layout))
        }
    }
}

/// Why a datagram is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// It is shorter than 48 bytes, of another mode than 4 (server), or of another version than 3 and 4.
    NoReply,
    /// The originate timestamp is not the transmit timestamp of the request.
    NoMatch,
}

/// A packet of a server that matches its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// 0 none, 1 a second is inserted at the end of the day, 2 deleted, 3 not synchronised.
    pub leap_indicator: u8,
    /// What the server declares about its clock.
    pub server: ServerClock,
    /// The kiss code with stratum 0, the kind of reference clock with stratum 1, else the server's own server.
    pub reference_id: [u8; 4],
    /// When the server was last synchronised; zero: unknown.
    pub reference: NtpTimestamp,
    /// When the request arrived.
    pub receive: NtpTimestamp,
    /// When the reply left.
    pub transmit: NtpTimestamp,
}

impl Reply {
    fn of(layout: &Layout) -> Self {
        Self {
            leap_indicator: layout.first >> 6,
            server: ServerClock {
                stratum: layout.stratum,
                root_delay: short(layout.root_delay.get()),
                root_dispersion: short(layout.root_dispersion.get()),
                // Zero would be 1 s, and is what a server leaves there that declares nothing.
                precision: match layout.precision {
                    0 => Duration::ZERO,
                    log2 => Duration::from_log2_secs(log2),
                },
                is_smoothed: layout.reference_id == SMOOTHED,
            },
            reference_id: layout.reference_id,
            reference: NtpTimestamp(layout.reference.get()),
            receive: NtpTimestamp(layout.receive.get()),
            transmit: NtpTimestamp(layout.transmit.get()),
        }
    }

    /// Computes UTC from the reply to a request that left at `sent`, if the reply arrived at `received`.
    ///
    /// # Errors
    /// [`Refusal`] if the reply contains no usable time.
    pub fn exchange(&self, sent: Timestamp<Raw>, received: Timestamp<Raw>) -> Result<Exchange, Refusal> {
        let zero = NtpTimestamp(0);
        if self.server.stratum == 0 {
            return Err(Refusal::Kiss(self.reference_id));
        }
        if self.leap_indicator == ALARM {
            return Err(Refusal::NotSynchronised);
        }
        if self.receive == zero || self.transmit == zero {
            return Err(Refusal::NoTimestamps);
        }
        let tolerance = self.server.precision.max(GRANULARITY);
        let (elapsed, processing) = (received - sent, self.transmit - self.receive);
        let round_trip = elapsed - processing;
        if round_trip < -tolerance || processing < -tolerance {
            return Err(Refusal::RoundTrip { round_trip, elapsed });
        }
        let utc = self.receive.utc() + processing / 2;
        if utc < EARLIEST {
            return Err(Refusal::Early);
        }
        let age = self.transmit - self.reference;
        if self.reference != zero && age < -tolerance {
            return Err(Refusal::ReferenceAhead(-age));
        }
        if self.reference != zero && age > MAX_REFERENCE_AGE {
            return Err(Refusal::ReferenceOld(age));
        }
        let leap = match self.leap_indicator {
            1 => Leap::Insert,
            2 => Leap::Delete,
            _ => Leap::None,
        };
        let round_trip = round_trip.max(Duration::ZERO);
        Exchange { raw: sent + elapsed / 2, utc, round_trip, leap, server: self.server }.accepted()
    }
}

/// A timestamp of 32 bits of seconds since 1900 and 32 bits of their fraction. The seconds start again from 0 on 2036-02-07.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NtpTimestamp(pub u64);

impl NtpTimestamp {
    /// The UTC of a time from 1970-01-01 to 2106-02-07: era 0 from 1970 on, and era 1 before that. The years 1970 to 2020 remain
    /// in the range so that the time of a server that was never set is seen as wrong; chrony's range begins 50 years before it
    /// was built.
    pub fn utc(self) -> Timestamp<Real> {
        let [seconds, fraction] = self.words();
        let fraction_ns = (u64::from(fraction) * 1_000_000_000) >> 32;
        let ns = u64::from(seconds.wrapping_sub(UNIX_EPOCH)) * 1_000_000_000 + fraction_ns;
        Timestamp::from_ns(ns.cast_signed())
    }

    /// Seconds and fraction.
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of 64 bits")]
    const fn words(self) -> [u32; 2] {
        [(self.0 >> 32) as u32, self.0 as u32]
    }
}

/// The span between two timestamps less than 68 years apart, across the end of an era too.
impl std::ops::Sub for NtpTimestamp {
    type Output = Duration;
    #[expect(clippy::cast_possible_truncation, reason = "less than 68 years in ns")]
    fn sub(self, other: Self) -> Duration {
        let span = i128::from(self.0.wrapping_sub(other.0).cast_signed());
        Duration::from_ns(((span * 1_000_000_000) >> 32) as i64)
    }
}

/// A span of 16 bits of seconds and 16 bits of their fraction.
fn short(value: u32) -> Duration {
    let ns = (u64::from(value) * 1_000_000_000) >> 16;
    Duration::from_ns(ns.cast_signed())
}

#[cfg(test)]
mod tests;
