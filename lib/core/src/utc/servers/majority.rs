//! Selection of servers: a majority has to agree (the intersection algorithm of Marzullo and of RFC 5905, section 11.2.1), and the
//! best of those that agree is used.

use super::MAX_SERVERS;
use crate::time::{Duration, Ratio, Raw, Real, Timestamp};
use crate::utc::{Exchange, Leap};
use arrayvec::ArrayVec;
use std::fmt;

/// Assumed largest error of a good server's own clock: its root distance is not known.
pub(in crate::utc) const SERVER_ERROR: Duration = Duration::from_ms(5);
/// Assumed largest rate error of CLOCK_MONOTONIC_RAW between two replies.
const RAW_ERROR: Ratio = Ratio::from_ppm(100.0);

/// UTC as measured by the best server of the majority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UtcMeasurement {
    /// CLOCK_MONOTONIC_RAW at the measurement.
    pub raw: Timestamp<Raw>,
    /// UTC at the same instant.
    pub utc: Timestamp<Real>,
    /// Largest error of `utc` if the server is right: half the round trip.
    pub margin: Duration,
    /// The leap second that the majority announces.
    pub leap: Leap,
    /// Number of servers that agree.
    pub agreeing: u8,
    /// Number of servers that replied.
    pub answered: u8,
}

/// Why a round has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoMeasurement {
    /// No server replied with a time.
    NoAnswer,
    /// This many servers replied, and no majority of them agrees.
    NoMajority(u8),
}

impl fmt::Display for NoMeasurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("no NTP server replied with a time"),
            Self::NoMajority(answered) => write!(
                f,
                "{answered} NTP servers replied, but no majority of them agrees: replies ignored; configure three or more servers"
            ),
        }
    }
}

/// Returns the best reply among those that a majority agrees on.
pub(super) fn majority(replies: &[Exchange]) -> Result<UtcMeasurement, NoMeasurement> {
    let Some(reference) = replies.first() else { return Err(NoMeasurement::NoAnswer) };
    // For each server the bounds of UTC minus CLOCK_MONOTONIC_RAW at the reference's instant.
    let intervals: ArrayVec<(Duration, Duration), MAX_SERVERS> = replies
        .iter()
        .map(|exchange| {
            let apart = exchange.raw - reference.raw;
            let offset = (exchange.utc - reference.utc) - apart;
            let half = exchange.round_trip / 2 + SERVER_ERROR + apart.abs() * RAW_ERROR;
            (offset - half, offset + half)
        })
        .collect();
    let agreeing_at =
        |point: Duration| intervals.iter().filter(|(low, high)| (*low..=*high).contains(&point)).count();
    // Where most intervals overlap, one of them starts.
    let Some((point, agreeing)) =
        intervals.iter().map(|(low, _)| (*low, agreeing_at(*low))).max_by_key(|(_, count)| *count)
    else {
        return Err(NoMeasurement::NoAnswer);
    };
    let count = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    if agreeing * 2 <= replies.len() {
        return Err(NoMeasurement::NoMajority(count(replies.len())));
    }
    let agreeing_replies = || {
        replies
            .iter()
            .zip(&intervals)
            .filter(|(_, (low, high))| (*low..=*high).contains(&point))
            .map(|(e, _)| e)
    };
    let best = agreeing_replies().min_by_key(|exchange| exchange.round_trip).unwrap_or(reference);
    let announces =
        |leap: Leap| agreeing_replies().filter(|exchange| exchange.leap == leap).count() * 2 > agreeing;
    let leap = [Leap::Insert, Leap::Delete].into_iter().find(|leap| announces(*leap)).unwrap_or_default();
    Ok(UtcMeasurement {
        raw: best.raw,
        utc: best.utc,
        margin: best.round_trip / 2,
        leap,
        agreeing: count(agreeing),
        answered: count(replies.len()),
    })
}
