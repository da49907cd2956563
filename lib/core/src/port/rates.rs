//! Saved rates of leaders: the first guess when one of them is followed again, in this run or the next.

use super::{Output, Port, Sample};
use crate::estimate::{RateGuess, is_plausible_wander};
use crate::time::{Duration, Ratio, Wander};
use crate::wire::PortIdentity;
use arrayvec::ArrayVec;
use std::fmt;

/// A well-known rate of a leader.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KnownRate {
    /// The leader.
    pub leader: PortIdentity,
    /// Its rate relative to CLOCK_MONOTONIC_RAW of this host.
    pub rate: Ratio,
    /// Random walk of that rate, if it is learnt; it takes an hour.
    pub wander: Option<Wander>,
}

/// Maximum number of saved rates.
pub const MAX_RATES: usize = 16;

/// Uncertainty of a rate (one standard deviation) up to which it is saved: a fiftieth of [`RateGuess::same_leader`], the change
/// that is expected until the leader is followed again.
const WELL_KNOWN: Ratio = Ratio::from_ppb(100.0);
/// Interval at which the rate of the leader that is followed is published again.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(3600);

/// Bound of a plausible rate: no oscillator is further off.
const MAX_RATE: Ratio = RateGuess::UNKNOWN.sigma;

/// The rates of the last leaders, the latest first.
///
/// Text form: a line for each, the leader's UUID and port, its rate in ppm, and the random walk of the rate in ppb per root second
/// if it is known, `00:1d:c1:a1:72:3c/1 -33.712345 0.412`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KnownRates(ArrayVec<KnownRate, MAX_RATES>);

impl KnownRates {
    /// Adds a rate, in place of the oldest one if there is no room. Implausible values are ignored. A rate without random walk keeps
    /// the random walk that the leader has.
    pub fn learn(&mut self, mut known: KnownRate) {
        if !known.rate.is_finite() || known.rate.abs() > MAX_RATE {
            return;
        }
        let learnt = known.wander.filter(|wander| is_plausible_wander(*wander));
        known.wander = learnt.or_else(|| self.get(known.leader)?.wander);
        self.0.retain(|other| other.leader != known.leader);
        self.0.truncate(MAX_RATES - 1);
        self.0.insert(0, known);
    }

    /// The saved rate of `leader`.
    pub fn get(&self, leader: PortIdentity) -> Option<KnownRate> {
        self.0.iter().find(|known| known.leader == leader).copied()
    }

    /// All rates, the latest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &KnownRate> + ExactSizeIterator {
        self.0.iter()
    }

    /// Parses the text form. Returns the rates and the number of invalid lines, which are ignored.
    pub fn parse(text: &str) -> (Self, usize) {
        let (mut rates, mut invalid) = (Self::default(), 0);
        for line in text.lines().rev().filter(|line| !line.trim().is_empty()) {
            match parse_line(line) {
                Some(known) => rates.learn(known),
                None => invalid += 1,
            }
        }
        (rates, invalid)
    }
}

fn parse_line(line: &str) -> Option<KnownRate> {
    let mut words = line.split_ascii_whitespace();
    let (uuid, port) = words.next()?.split_once('/')?;
    let ppm: f64 = words.next()?.parse().ok()?;
    let wander = match words.next() {
        Some(word) => Some(Wander::from_ppb(word.parse().ok()?)),
        None => None,
    };
    let leader = PortIdentity {
        technology: PortIdentity::ETHERNET,
        uuid: uuid.parse().ok()?,
        port_id: port.parse().ok()?,
    };
    let is_valid =
        words.next().is_none() && ppm.abs() <= MAX_RATE.ppm() && wander.is_none_or(is_plausible_wander);
    is_valid.then_some(KnownRate { leader, rate: Ratio::from_ppm(ppm), wander })
}

impl fmt::Display for KnownRates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|known| {
            write!(f, "{} {:.6}", known.leader, known.rate.ppm())?;
            if let Some(wander) = known.wander {
                write!(f, " {:.3}", wander.ppb())?;
            }
            writeln!(f)
        })
    }
}

impl Port {
    /// The rate of the leader that is or was followed, if it is known well enough to be saved.
    pub fn well_known_rate(&self) -> Option<KnownRate> {
        let (timeline, map) = (self.timeline.as_ref()?, self.map()?);
        let is_known = timeline.was_slave && map.sigma.rate.fraction() <= WELL_KNOWN.fraction();
        let wander = self.estimator.wander();
        is_known.then_some(KnownRate { leader: timeline.leader, rate: map.line.rate, wander })
    }

    /// Publishes the rate of the leader that is followed, once it is known well and then at intervals.
    pub(super) fn publish_rate(&mut self, sample: &Sample) {
        let at = sample.arrived.raw;
        let published = self.session.as_ref().and_then(|session| session.rate_published);
        if published.is_none_or(|published| at - published >= PUBLISH_INTERVAL)
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
