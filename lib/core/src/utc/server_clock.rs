//! What an NTP server declares about its own clock, and why a server is not used.

use super::{Answer, Exchange};
use crate::time::Duration;
use std::fmt;

/// Largest error of a server's clock that declares neither a root delay nor a root dispersion, as SNTP servers and chrony's `local`
/// do, and of a leader whose time is UTC: the minimum dispersion MINDISP of RFC 5905, section 7.2.
pub const UNDECLARED_ERROR: Duration = Duration::from_ms(5);
/// Lower bound of the error that a server declares: ntpd's default of `tos mindist`. Timestamps in software, and the load of the
/// server's host, are in no declared value.
const MIN_ERROR: Duration = Duration::from_ms(1);
/// A server whose root distance exceeds this is not used: chrony's default of `maxdistance`. RFC 5905 has 1 s (MAXDIST), ntpd 1.5 s.
const MAX_ROOT_DISTANCE: Duration = Duration::from_secs(3);
/// Strata from this on are not synchronised (MAXSTRAT of RFC 5905, section 7.2).
const MAX_STRATUM: u8 = 16;

/// What a server declares about its own clock (RFC 5905, section 7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerClock {
    /// 1: with a reference clock of its own; 2 to 15: by this many servers less one; 0 or 16 and more: not synchronised.
    pub stratum: u8,
    /// Round trip to the reference clock.
    pub root_delay: Duration,
    /// Largest error relative to the reference clock, beside the path delay.
    pub root_dispersion: Duration,
    /// Granularity of the server's clock; zero: not declared.
    pub precision: Duration,
    /// The server smooths its time, as chronyd does to smear a leap second.
    pub is_smoothed: bool,
}

/// A server of stratum 1 that declares nothing about its error.
impl Default for ServerClock {
    fn default() -> Self {
        Self {
            stratum: 1,
            root_delay: Duration::ZERO,
            root_dispersion: Duration::ZERO,
            precision: Duration::ZERO,
            is_smoothed: false,
        }
    }
}

impl ServerClock {
    /// Largest error of the server's clock against UTC: its part of the root distance (RFC 5905, appendix A.5.5.2), with a lower
    /// bound of 1 ms, or of 5 ms if it declares neither delay nor dispersion.
    pub fn error(&self) -> Duration {
        let is_undeclared = self.root_delay == Duration::ZERO && self.root_dispersion == Duration::ZERO;
        let declared = self.root_delay / 2 + self.root_dispersion + self.precision;
        declared.max(if is_undeclared { UNDECLARED_ERROR } else { MIN_ERROR })
    }
}

impl Exchange {
    /// Largest error of [`Self::utc`] if the server declares the truth: the root distance of RFC 5905, without the 15 ppm of the
    /// round trip that this host's oscillator may be off (at most 15 us).
    pub fn root_distance(&self) -> Duration {
        self.round_trip.max(Duration::ZERO) / 2 + self.server.error()
    }

    /// Returns the exchange if its server is synchronised and near enough to UTC.
    ///
    /// # Errors
    /// [`Refusal::NotSynchronised`] for a stratum of 0 or from 16 on, [`Refusal::Distance`] for a root distance of more than 3 s.
    pub fn accepted(self) -> Result<Self, Refusal> {
        let distance = self.root_distance();
        if self.server.stratum == 0 || self.server.stratum >= MAX_STRATUM {
            Err(Refusal::NotSynchronised)
        } else if distance > MAX_ROOT_DISTANCE {
            Err(Refusal::Distance(distance))
        } else {
            Ok(self)
        }
    }
}

/// Why a reply to a request contains no usable time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A kiss code (RFC 5905, section 7.4).
    Kiss([u8; 4]),
    /// The leap indicator is 3, or the stratum is not 1 to 15.
    NotSynchronised,
    /// The receive or transmit timestamp is zero.
    NoTimestamps,
    /// The round trip, or the server's processing time, is not possible in an exchange that took this long.
    RoundTrip {
        /// Round trip without the server's processing time.
        round_trip: Duration,
        /// Time from the request to the reply.
        elapsed: Duration,
    },
    /// The server's time is before 2020.
    Early,
    /// The server was last synchronised this long after it replied.
    ReferenceAhead(Duration),
    /// The server was last synchronised this long ago.
    ReferenceOld(Duration),
    /// The root distance is this large.
    Distance(Duration),
}

impl Refusal {
    /// What the schedule of requests does with it.
    pub fn answer(&self) -> Answer {
        match self {
            Self::Kiss([b'R', b'A', b'T', b'E']) => Answer::SlowDown,
            Self::Kiss([b'D', b'E', b'N', b'Y'] | [b'R', b'S', b'T', b'R']) => Answer::Denied,
            _ => Answer::Nothing,
        }
    }

    /// The reason without values that differ from reply to reply, so that a log can limit its repetition.
    pub fn cause(&self) -> String {
        match self {
            Self::RoundTrip { .. } => "sent an implausible reply: impossible round trip".into(),
            Self::ReferenceAhead(_) => "sent an implausible reply: last synchronised after it replied".into(),
            Self::ReferenceOld(_) => "was last synchronised more than a day ago: not used".into(),
            Self::Distance(_) => "declares that its time may be off by more than 3 s: not used".into(),
            other => other.to_string(),
        }
    }
}

/// The reason after the server's name: "... is not synchronised itself".
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kiss(code) => {
                let code = code.trim_ascii_end().escape_ascii();
                match self.answer() {
                    Answer::SlowDown => write!(f, "demands fewer queries (kiss code {code})"),
                    Answer::Denied => write!(f, "denies access (kiss code {code})"),
                    _ => write!(f, "sends no time: kiss code {code} (RFC 5905, section 7.4)"),
                }
            }
            Self::NotSynchronised => f.write_str("is not synchronised itself"),
            Self::NoTimestamps => f.write_str("sent a reply without timestamps"),
            Self::RoundTrip { round_trip, elapsed } => write!(
                f,
                "sent an implausible reply: round trip of {:.6} s in an exchange that took {:.6} s",
                round_trip.secs_f64(),
                elapsed.secs_f64()
            ),
            Self::Early => f.write_str("sent an implausible reply: time before 2020"),
            Self::ReferenceAhead(by) => write!(
                f,
                "sent an implausible reply: last synchronised {:.3} s after it replied",
                by.secs_f64()
            ),
            Self::ReferenceOld(age) => {
                write!(f, "was last synchronised {:.1} days ago: not used", age.secs_f64() / 86_400.0)
            }
            Self::Distance(distance) => write!(
                f,
                "declares that its time may be off by {:.3} s (root distance): not used, the limit is 3 s",
                distance.secs_f64()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;
    use crate::utc::Leap;

    fn exchange(round_trip: Duration, server: ServerClock) -> Exchange {
        Exchange { raw: Timestamp::ZERO, utc: Timestamp::ZERO, round_trip, leap: Leap::None, server }
    }

    #[test]
    fn root_distance_includes_what_the_server_declares() {
        let ms = Duration::from_ms;
        let declared = ServerClock {
            stratum: 2,
            root_delay: ms(30),
            root_dispersion: ms(7),
            precision: ms(1),
            is_smoothed: false,
        };
        assert_eq!(declared.error(), ms(15 + 7 + 1));
        assert_eq!(exchange(ms(10), declared).root_distance(), ms(5 + 23));
        assert_eq!(ServerClock::default().error(), UNDECLARED_ERROR);
        let near = ServerClock { root_dispersion: Duration::from_us(15), ..ServerClock::default() };
        assert_eq!(near.error(), MIN_ERROR, "a server that claims 15 us");
        let coarse = ServerClock { precision: ms(16), ..ServerClock::default() };
        assert_eq!(coarse.error(), ms(16));
        assert_eq!(exchange(-ms(10), near).root_distance(), MIN_ERROR, "a coarse clock");
    }

    #[test]
    fn server_beyond_three_seconds_or_not_synchronised_is_refused() {
        let with = |root_dispersion| ServerClock { root_dispersion, ..ServerClock::default() };
        assert!(exchange(Duration::from_secs(1), with(Duration::from_ms(2_500))).accepted().is_ok());
        let distant = exchange(Duration::from_secs(1), with(Duration::from_ms(2_501))).accepted();
        assert_eq!(distant, Err(Refusal::Distance(Duration::from_ms(3_001))));
        assert!(exchange(Duration::ZERO, with(Duration::from_ms(10_700))).accepted().is_err());
        for stratum in [0, 16, 255] {
            let server = ServerClock { stratum, ..ServerClock::default() };
            assert_eq!(exchange(Duration::ZERO, server).accepted(), Err(Refusal::NotSynchronised));
        }
        let last = ServerClock { stratum: 15, ..ServerClock::default() };
        assert!(exchange(Duration::ZERO, last).accepted().is_ok());
    }
}
