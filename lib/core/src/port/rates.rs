//! The leaders' rates, remembered: the first guess where one of them is followed again, in this run or the next.

use super::{Output, Port, Sample};
use crate::estimate::RateGuess;
use crate::time::{Duration, Ratio};
use crate::wire::PortIdentity;
use arrayvec::ArrayVec;
use std::fmt;

/// A leader's rate as it was when it was known well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownRate {
    /// Whose it is.
    pub leader: PortIdentity,
    /// Relative to this host's CLOCK_MONOTONIC_RAW.
    pub rate: Ratio,
}

/// So many are remembered.
pub const MAX_RATES: usize = 16;

/// A rate is remembered once it is known to this: a fiftieth of what a leader may change by until it is met again.
const WELL_KNOWN: Ratio = Ratio::from_ppb(100.0);
/// Interval at which the rate of a leader is published again while it is followed.
const REPUBLISHED: Duration = Duration::from_secs(3600);

/// No oscillator is further off.
const LIMIT: Ratio = RateGuess::UNKNOWN.sigma;

/// The last ones, the latest first.
///
/// As text: a line for each, the leader's UUID and port and its rate in ppm, `00:1d:c1:a1:72:3c/1 -33.712345`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KnownRates(ArrayVec<KnownRate, MAX_RATES>);

impl KnownRates {
    /// Remembers one. The oldest makes room.
    pub fn learn(&mut self, known: KnownRate) {
        if !known.rate.is_finite() || known.rate.abs() > LIMIT {
            return;
        }
        self.0.retain(|other| other.leader != known.leader);
        self.0.truncate(MAX_RATES - 1);
        self.0.insert(0, known);
    }

    /// The rate of `leader`.
    pub fn get(&self, leader: PortIdentity) -> Option<Ratio> {
        self.0.iter().find(|known| known.leader == leader).map(|known| known.rate)
    }

    /// All of them, the latest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &KnownRate> + ExactSizeIterator {
        self.0.iter()
    }

    /// Reads the text of one, and how many lines of it meant nothing.
    pub fn parse(text: &str) -> (Self, usize) {
        let (mut rates, mut garbage) = (Self::default(), 0);
        for line in text.lines().rev().filter(|line| !line.trim().is_empty()) {
            match parsed(line) {
                Some(known) => rates.learn(known),
                None => garbage += 1,
            }
        }
        (rates, garbage)
    }
}

fn parsed(line: &str) -> Option<KnownRate> {
    let mut words = line.split_ascii_whitespace();
    let (uuid, port) = words.next()?.split_once('/')?;
    let ppm: f64 = words.next()?.parse().ok()?;
    let leader = PortIdentity {
        technology: PortIdentity::ETHERNET,
        uuid: uuid.parse().ok()?,
        port_id: port.parse().ok()?,
    };
    (words.next().is_none() && ppm.abs() <= LIMIT.ppm())
        .then_some(KnownRate { leader, rate: Ratio::from_ppm(ppm) })
}

impl fmt::Display for KnownRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|known| writeln!(f, "{} {:.6}", known.leader, known.rate.ppm()))
    }
}

impl Port {
    /// The rate of the leader that is or was followed, if it is known so well that it is worth remembering.
    pub fn well_known_rate(&self) -> Option<KnownRate> {
        let (timeline, map) = (self.timeline.as_ref()?, self.estimator.map()?);
        let is_known = timeline.was_slave && map.sigma.rate.fraction() <= WELL_KNOWN.fraction();
        is_known.then_some(KnownRate { leader: timeline.leader, rate: map.line.rate })
    }

    /// Publishes the rate of the leader that is followed, once it is known well and then at intervals.
    pub(super) fn publish_rate(&mut self, sample: &Sample) {
        let at = sample.arrived.raw;
        let published = self.session.as_ref().and_then(|session| session.rate_published);
        if published.is_none_or(|published| at - published >= REPUBLISHED)
            && let Some(known) = self.well_known_rate()
            && let Some(session) = &mut self.session
        {
            session.rate_published = Some(at);
            self.learn(known);
        }
    }

    pub(super) fn learn(&mut self, known: KnownRate) {
        self.rates.learn(known);
        self.outputs.push(Output::Rate(known));
    }
}
