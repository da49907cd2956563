//! Selection of servers: a majority has to agree (the intersection algorithm of Marzullo and of RFC 5905, section 11.2.1), and the
//! best of those that agree is used: the one with the smallest root distance.

use super::MAX_SERVERS;
use crate::time::{Duration, Ratio, Raw, Real, Timestamp};
use crate::utc::{Exchange, Leap, is_near_leap};
use arrayvec::ArrayVec;
use std::fmt;

/// A stratum further from the reference clock weighs as much as this root distance: chrony's default of `stratumweight`.
const STRATUM_WEIGHT: Duration = Duration::from_ms(1);
/// The server used before remains in use while no other has a lower stratum or less than its rank (root distance and stratum) divided
/// by this. RFC 5905 (appendix A.5.5.1) keeps it while it has the stratum of the best, whatever its root distance.
const MAX_RANK_RATIO: i64 = 2;
/// Assumed largest rate error of CLOCK_MONOTONIC_RAW between two replies.
const RAW_ERROR: Ratio = Ratio::from_ppm(100.0);

/// UTC as measured by the best server of the majority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UtcMeasurement {
    /// CLOCK_MONOTONIC_RAW at the measurement.
    pub raw: Timestamp<Raw>,
    /// UTC at the same instant.
    pub utc: Timestamp<Real>,
    /// Largest error of `utc` due to the path: half the round trip.
    pub margin: Duration,
    /// Largest error of the server's own clock ([`ServerClock::error`](crate::utc::ServerClock::error)).
    pub server_error: Duration,
    /// The leap second that the majority announces.
    pub leap: Leap,
    /// Number of servers that agree.
    pub agreeing: u8,
    /// Number of servers that replied.
    pub answered: u8,
    /// The difference of a server that the majority outvotes and that may smear a leap second.
    pub smear: Option<Smear>,
}

/// Two NTP servers differ near a leap second by less than a second, and by more than their root distances: one of them may smear the
/// leap second, which means that its time is off UTC for up to a day on purpose (RFC 8633, section 3.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Smear {
    /// The difference of the two.
    pub difference: Duration,
}

impl Smear {
    /// The reports without their values.
    pub const CAUSE: &str = "some NTP servers may smear a leap second, use servers of one kind";
}

impl fmt::Display for Smear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "some NTP servers may smear a leap second, use servers of one kind: they differ by {:.3} s, the majority is used",
            self.difference.secs_f64()
        )
    }
}

/// Why a round has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoMeasurement {
    /// No server replied with a time.
    NoAnswer,
    /// This many servers replied, and no majority of them agrees.
    NoMajority(u8),
    /// The same, and some of them may smear a leap second.
    Smear(u8, Smear),
}

impl fmt::Display for NoMeasurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("no NTP server replied with a time"),
            Self::NoMajority(answered) => write!(
                f,
                "{answered} NTP servers replied, but no majority of them agrees: replies ignored; configure three or more servers"
            ),
            Self::Smear(answered, Smear { difference }) => {
                write!(
                    f,
                    "some NTP servers may smear a leap second, use servers of one kind: {answered} differ by {:.3} s and are ignored",
                    difference.secs_f64()
                )
            }
        }
    }
}

/// Returns the best reply among those that a majority agrees on, and its server. Each reply has the number of its server; `last_used`
/// is the server used before.
pub(super) fn majority(
    replies: &[(usize, Exchange)],
    last_used: Option<usize>,
) -> Result<(usize, UtcMeasurement), NoMeasurement> {
    let Some((_, reference)) = replies.first() else { return Err(NoMeasurement::NoAnswer) };
    // For each server UTC minus CLOCK_MONOTONIC_RAW at the reference's instant, and the largest error of that.
    let offsets: ArrayVec<(Duration, Duration), MAX_SERVERS> = replies
        .iter()
        .map(|(_, exchange)| {
            let apart = exchange.raw - reference.raw;
            let offset = (exchange.utc - reference.utc) - apart;
            (offset, exchange.root_distance() + apart.abs() * RAW_ERROR)
        })
        .collect();
    let contains = |(offset, error): (Duration, Duration), point: Duration| (point - offset).abs() <= error;
    let agreeing_at = |point| offsets.iter().filter(|offset| contains(**offset, point)).count();
    // Where most intervals overlap, one of them starts.
    let lows = || offsets.iter().map(|(offset, error)| *offset - *error).map(|low| (low, agreeing_at(low)));
    let agreeing = lows().map(|(_, count)| count).max().unwrap_or(0);
    let count = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    if agreeing * 2 <= replies.len() {
        let pairs = offsets.iter().flat_map(|one| offsets.iter().map(move |other| (*one, *other)));
        let smear = smear(reference.utc, pairs);
        let answered = count(replies.len());
        return Err(
            smear.map_or(NoMeasurement::NoMajority(answered), |smear| NoMeasurement::Smear(answered, smear))
        );
    }
    // Several sets may be equally large, as where one server's interval is so wide that it overlaps with two that disagree. Only the
    // servers that all these sets have in common are used. There is at least one: two majorities share a server, and the one that
    // the first and the last set share covers all points in between.
    let largest = || lows().filter(|(_, count)| *count == agreeing).map(|(low, _)| low);
    let (Some(first), Some(last)) = (largest().min(), largest().max()) else {
        return Err(NoMeasurement::NoAnswer);
    };
    let agrees = |offset| contains(offset, first) && contains(offset, last);
    let used = || replies.iter().zip(offsets.iter().copied()).filter(|(_, offset)| agrees(*offset));
    let rank =
        |exchange: &Exchange| exchange.root_distance() + STRATUM_WEIGHT * i64::from(exchange.server.stratum);
    let Some(best) = used().min_by_key(|((_, exchange), _)| rank(exchange)) else {
        return Err(NoMeasurement::NoAnswer);
    };
    // The difference of two servers within their root distances is noise in UTC if they are used in turn.
    let stays = |(server, exchange): &(usize, Exchange)| {
        let ((_, best), _) = best;
        Some(*server) == last_used
            && exchange.server.stratum <= best.server.stratum
            && rank(exchange) <= rank(best) * MAX_RANK_RATIO
    };
    let ((server, best), best_offset) = used().find(|(reply, _)| stays(reply)).unwrap_or(best);
    let outvoted = offsets.iter().filter(|offset| !agrees(**offset));
    let smear = smear(best.utc, outvoted.map(|outvoted| (best_offset, *outvoted)));
    let announces =
        |leap: Leap| used().filter(|((_, exchange), _)| exchange.leap == leap).count() * 2 > used().count();
    let leap = [Leap::Insert, Leap::Delete].into_iter().find(|leap| announces(*leap)).unwrap_or_default();
    let measurement = UtcMeasurement {
        raw: best.raw,
        utc: best.utc,
        margin: best.round_trip / 2,
        server_error: best.server.error(),
        leap,
        agreeing: count(agreeing),
        answered: count(replies.len()),
        smear,
    };
    Ok((*server, measurement))
}

/// Returns the largest difference of two servers that a smear explains: at `utc` a leap second is near, and the difference is certainly
/// neither zero nor a whole second (of a server that has not applied the leap second yet).
fn smear(
    utc: Timestamp<Real>,
    pairs: impl Iterator<Item = ((Duration, Duration), (Duration, Duration))>,
) -> Option<Smear> {
    const SECOND: Duration = Duration::from_secs(1);
    let differences = pairs.filter_map(|((one, one_error), (other, other_error))| {
        let (difference, error) = ((one - other).abs(), one_error + other_error);
        (difference > error && difference + error < SECOND).then_some(difference)
    });
    differences.max().filter(|_| is_near_leap(utc)).map(|difference| Smear { difference })
}
