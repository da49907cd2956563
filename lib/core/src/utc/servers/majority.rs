//! Selection: a majority of the servers has to agree (the intersection of Marzullo and of RFC 5905, section 11.2.1), and the
//! best of those that agree counts.

use super::MAX_SERVERS;
use crate::time::{Duration, Ratio, Raw, Real, Timestamp};
use crate::utc::{Exchange, Leap};
use arrayvec::ArrayVec;
use std::fmt;

/// Largest error of a good server's own clock: its root distance is not known.
pub(in crate::utc) const SERVER_ERROR: Duration = Duration::from_ms(5);
/// What the raw clock may run wrong by between two answers.
const RAW_ERROR: Ratio = Ratio::from_ppm(100.0);

/// The date, as the best of a majority says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UtcMeasurement {
    /// At this instant,
    pub raw: Timestamp<Raw>,
    /// UTC was this,
    pub utc: Timestamp<Real>,
    /// give or take this much at worst, if the server is right: half the round trip.
    pub margin: Duration,
    /// What the majority announces.
    pub leap: Leap,
    /// How many servers agree.
    pub agreeing: u8,
    /// Of how many that answered.
    pub answered: u8,
}

/// Why there is no date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoMeasurement {
    /// Nobody said a time.
    NoAnswer,
    /// So many did, and no majority of them agrees.
    NoMajority(u8),
}

impl fmt::Display for NoMeasurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("no NTP server answers with a time"),
            Self::NoMajority(answered) => write!(
                f,
                "the {answered} NTP servers that answer disagree, and none has a majority: no date is taken"
            ),
        }
    }
}

/// The best exchange of those that a majority agrees with.
pub(super) fn majority(heard: &[Exchange]) -> Result<UtcMeasurement, NoMeasurement> {
    let Some(reference) = heard.first() else { return Err(NoMeasurement::NoAnswer) };
    // Each says: UTC minus the raw clock lies between these, as seen at the reference's instant.
    let intervals: ArrayVec<(Duration, Duration), MAX_SERVERS> = heard
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
    // Where most intervals overlap, one of them begins.
    let Some((point, agreeing)) =
        intervals.iter().map(|(low, _)| (*low, agreeing_at(*low))).max_by_key(|(_, count)| *count)
    else {
        return Err(NoMeasurement::NoAnswer);
    };
    let count = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    if agreeing * 2 <= heard.len() {
        return Err(NoMeasurement::NoMajority(count(heard.len())));
    }
    let believed = || {
        heard
            .iter()
            .zip(&intervals)
            .filter(|(_, (low, high))| (*low..=*high).contains(&point))
            .map(|(e, _)| e)
    };
    let best = believed().min_by_key(|exchange| exchange.round_trip).unwrap_or(reference);
    let announces = |leap: Leap| believed().filter(|exchange| exchange.leap == leap).count() * 2 > agreeing;
    let leap = [Leap::Insert, Leap::Delete].into_iter().find(|leap| announces(*leap)).unwrap_or_default();
    Ok(UtcMeasurement {
        raw: best.raw,
        utc: best.utc,
        margin: best.round_trip / 2,
        leap,
        agreeing: count(agreeing),
        answered: count(heard.len()),
    })
}
