//! `interface = "auto"`: which of the interfaces of a host are the primary and the secondary Dante network.
//!
//! The candidates are all interfaces that may be on a Dante network, each with a port of its own. A candidate that receives a leader is
//! used; if another one receives the same clock, both are the primary and the secondary network. If they receive two clocks, none of
//! them is used, since nothing shows which one the user means.

use crate::numbered;
use crate::port::{Port, State};
use crate::redundancy::NETWORKS;
use crate::time::{ClockMap, Duration, Ratio, Raw, Timestamp};
use crate::wire::PortIdentity;
use arrayvec::ArrayVec;
use std::fmt;
use std::net::Ipv4Addr;

/// Largest number of candidates.
pub const MAX_CANDIDATES: usize = 8;
/// Time after the first leader in which leaders on other interfaces are waited for: ten Sync intervals of a Dante leader.
const OTHERS_WAIT: Duration = Duration::from_ms(2_500);
/// Largest difference of the times of one clock that are received on two interfaces.
const MAX_TIME_DIFFERENCE: Duration = Duration::from_ms(1);
/// Largest difference of its rates, apart from their uncertainties.
const MAX_RATE_DIFFERENCE: Ratio = Ratio::from_ppb(100.0);
/// Uncertainty that is allowed for in a comparison, in standard deviations.
const SIGMAS: i64 = 4;
/// Time for which two candidates have to agree, or to differ.
const COMPARISON_TIME: Duration = Duration::from_secs(10);
/// Time without a leader on an interface that is used, after which another one with a leader replaces it.
const ABSENCE: Duration = Duration::from_secs(10);

/// What a candidate receives.
#[derive(Debug, Clone, Copy)]
pub struct Evidence {
    /// State of its port.
    pub state: State,
    /// How much the operator prefers its leader; `None` without a leader.
    pub leader: Option<u8>,
    /// That leader with its address: two interfaces that receive the same one are on one network.
    pub sender: Option<(PortIdentity, Ipv4Addr)>,
    /// The clock map of its port.
    pub map: Option<ClockMap>,
}

impl From<&Port> for Evidence {
    fn from(port: &Port) -> Self {
        Self {
            state: port.state(),
            leader: port.leader().map(|leader| leader.preference),
            sender: port.sender(),
            map: port.map_of_this_path(),
        }
    }
}

/// The time of one candidate minus that of another one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// Difference of the times.
    pub time: Duration,
    /// Difference of the rates.
    pub rate: Ratio,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.6} s and {:+.3} ppm", self.time.secs_f64(), self.rate.ppm())
    }
}

/// A change that is reported. Candidates are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// This one is the only candidate, so it is used before a leader is received.
    Only(usize),
    /// These are the networks from now on.
    Use {
        /// The primary network.
        primary: usize,
        /// The secondary network.
        secondary: Option<usize>,
    },
    /// These two receive different clocks, so none is used. The difference is the second minus the first.
    Conflict(usize, usize, Difference),
    /// This one receives another clock than the networks that are used, and is not used.
    OtherClock(usize, Difference),
}

numbered! {
    /// What a candidate is used for, or why it is not used.
    pub enum Role {
        /// It receives no leader.
        NoLeader = 0 "no leader",
        /// The primary network.
        Primary = 1 "primary",
        /// The secondary network.
        Secondary = 2 "secondary",
        /// It receives a leader, and is compared with another one.
        Comparing = 3 "compared",
        /// It receives another clock than another candidate.
        OtherClock = 4 "another clock",
        /// It receives the clock of the networks that are used, and there are two of them, or it is on the same network.
        Spare = 5 "spare",
    }
}

numbered! {
    /// Why an interface is passed over.
    pub enum PassedOver {
        /// `lo`.
        Loopback = 1 "loopback",
        /// Wi-Fi: an access point delays multicast by milliseconds.
        Wireless = 2 "Wi-Fi",
        /// A bridge without a network card, for containers or guests.
        ContainerBridge = 3 "container bridge",
        /// A port of a bridge or a bond, which receives its packets.
        Port = 4 "port of a bridge or bond",
        /// The link to a guest, a VPN or another tunnel.
        Tunnel = 5 "tunnel",
        /// Another virtual interface without a cable.
        Virtual = 6 "virtual",
        /// There are [`MAX_CANDIDATES`] others already.
        TooMany = 7 "too many interfaces",
    }
}

/// The comparison of a candidate with the first network.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Comparison {
    /// At least one of both is not measured yet, or the difference is within its uncertainty.
    #[default]
    Open,
    /// They have agreed since then.
    Agrees(Timestamp<Raw>),
    /// They have differed since then.
    Differs(Timestamp<Raw>, Difference),
}

impl Comparison {
    /// Continues with what both receive now.
    fn after(self, now: Timestamp<Raw>, reference: &Evidence, other: &Evidence) -> Self {
        let is_slave = [reference, other].iter().all(|evidence| evidence.state == State::Slave);
        let (Some(a), Some(b), true) = (&reference.map, &other.map, is_slave) else { return Self::Open };
        let [of_a, of_b] = [a, b].map(|map| map.uncertainty_at(now));
        let by = Difference { time: b.dante_at(now) - a.dante_at(now), rate: b.line.rate - a.line.rate };
        let uncertain_time = (of_a.offset + of_b.offset) * SIGMAS;
        let uncertain_ppb = (of_a.rate.ppb() + of_b.rate.ppb()) * SIGMAS as f64;
        let is_one_rate = by.rate.ppb().abs() <= MAX_RATE_DIFFERENCE.ppb() + uncertain_ppb;
        if !is_one_rate || by.time.abs() > MAX_TIME_DIFFERENCE + uncertain_time {
            let since = if let Self::Differs(since, _) = self { since } else { now };
            return Self::Differs(since, by);
        }
        match self {
            _ if by.time.abs() > MAX_TIME_DIFFERENCE => Self::Open,
            Self::Agrees(since) => Self::Agrees(since),
            _ => Self::Agrees(now),
        }
    }

    /// Whether they have agreed for long enough.
    fn agrees(self, now: Timestamp<Raw>) -> bool {
        matches!(self, Self::Agrees(since) if now - since >= COMPARISON_TIME)
    }

    /// The difference, if they have differed for long enough.
    fn difference(self, now: Timestamp<Raw>) -> Option<Difference> {
        match self {
            Self::Differs(since, by) if now - since >= COMPARISON_TIME => Some(by),
            _ => None,
        }
    }
}

/// The choice among the candidates.
#[derive(Debug, Default)]
pub struct Candidates {
    /// The primary network, and the secondary one.
    used: ArrayVec<usize, NETWORKS>,
    /// When the first leader was received while no network is used.
    first_leader: Option<Timestamp<Raw>>,
    /// Comparisons with `reference`.
    comparisons: [Comparison; MAX_CANDIDATES],
    reference: Option<usize>,
    /// Candidates that were reported to receive another clock than the reference.
    reported: [bool; MAX_CANDIDATES],
    /// Since when each network that is used has no leader.
    absent_since: [Option<Timestamp<Raw>>; NETWORKS],
}

impl Candidates {
    /// The networks that are used: the primary, then the secondary one.
    pub fn used(&self) -> &[usize] {
        &self.used
    }

    /// The two candidates that receive different clocks, so that none is used.
    pub fn conflict(&self, now: Timestamp<Raw>) -> Option<(usize, usize, Difference)> {
        let reference = self.reference.filter(|_| self.used.is_empty())?;
        let found = |(place, one): (usize, &Comparison)| Some((reference, place, one.difference(now)?));
        self.comparisons.iter().enumerate().find_map(found)
    }

    /// How the clock of a candidate differs from the reference, if they have differed for long enough.
    pub fn difference(&self, now: Timestamp<Raw>, place: usize) -> Option<Difference> {
        self.comparisons.get(place)?.difference(now)
    }

    /// What one of the candidates, which receive this, is used for.
    pub fn role(&self, now: Timestamp<Raw>, place: usize, candidates: &[Evidence]) -> Role {
        match self.used.iter().position(|used| *used == place) {
            Some(0) => return Role::Primary,
            Some(_) => return Role::Secondary,
            None => {}
        }
        let comparison = self.comparisons.get(place).copied().unwrap_or_default();
        let conflict = self.conflict(now);
        let has_leader = candidates.get(place).is_some_and(|one| one.leader.is_some());
        let is_on_used_network =
            self.used.first().is_some_and(|used| is_one_network(candidates, *used, place));
        if !has_leader {
            Role::NoLeader
        } else if comparison.difference(now).is_some()
            || conflict.is_some_and(|(reference, ..)| reference == place)
        {
            Role::OtherClock
        } else if self.used.is_full() || is_on_used_network {
            Role::Spare
        } else {
            Role::Comparing
        }
    }

    /// Chooses by what the candidates receive. Call it after every event on one of them: the choice changes only while Syncs arrive.
    pub fn consider(&mut self, now: Timestamp<Raw>, candidates: &[Evidence]) -> Option<Change> {
        if self.used.is_empty() { self.first(now, candidates) } else { self.next(now, candidates) }
    }

    /// Chooses while no network is used.
    fn first(&mut self, now: Timestamp<Raw>, candidates: &[Evidence]) -> Option<Change> {
        if candidates.len() == 1 {
            self.take(0, None);
            return Some(Change::Only(0));
        }
        let preference = candidates.iter().filter_map(|candidate| candidate.leader).max();
        let Some(preference) = preference else {
            (self.first_leader, self.reference) = (None, None);
            return None;
        };
        let since = *self.first_leader.get_or_insert(now);
        let mut receiving: ArrayVec<usize, MAX_CANDIDATES> = (0..candidates.len().min(MAX_CANDIDATES))
            .filter(|place| candidates.get(*place).is_some_and(|one| one.leader == Some(preference)))
            .collect();
        if let Some(first) = receiving.first().copied() {
            receiving.retain(|place| *place == first || !is_one_network(candidates, first, *place));
        }
        let is_awaited = |one: &Evidence| one.leader.is_none() && one.state.is_open();
        if now - since < OTHERS_WAIT && candidates.iter().any(is_awaited) {
            return None;
        }
        let (&primary, others) = receiving.split_first()?;
        if others.is_empty() {
            return Some(self.take(primary, None));
        }
        self.compare(now, primary, others, candidates);
        for &other in others {
            let found = self.comparisons.get(other).and_then(|comparison| comparison.difference(now));
            if let Some(by) = found {
                return self.report(other).then_some(Change::Conflict(primary, other, by));
            }
        }
        // Two clocks are not that close by chance. The secondary network follows after a longer comparison.
        let agrees = |other: &usize| matches!(self.comparisons.get(*other), Some(Comparison::Agrees(_)));
        others.iter().all(agrees).then(|| self.take(primary, None))
    }

    /// Chooses while a network is used.
    fn next(&mut self, now: Timestamp<Raw>, candidates: &[Evidence]) -> Option<Change> {
        let has_leader = |place: usize| candidates.get(place).is_some_and(|one| one.leader.is_some());
        let mut is_absent = [true; NETWORKS];
        for (slot, place) in self.used.iter().enumerate() {
            let (Some(since), Some(is_absent)) = (self.absent_since.get_mut(slot), is_absent.get_mut(slot))
            else {
                continue;
            };
            *since = if has_leader(*place) { None } else { Some(since.unwrap_or(now)) };
            *is_absent = since.is_some_and(|since| now - since >= ABSENCE);
        }
        let unused: ArrayVec<usize, MAX_CANDIDATES> = (0..candidates.len().min(MAX_CANDIDATES))
            .filter(|place| has_leader(*place) && !self.used.contains(place))
            .collect();
        let primary = *self.used.first()?;
        if is_absent == [true; NETWORKS] {
            let preference = |place: &&usize| candidates.get(**place).and_then(|one| one.leader);
            // The first of the most preferred ones.
            let best = unused.iter().rev().max_by_key(preference).copied()?;
            return Some(self.take(best, None));
        }
        let [false, true] = is_absent else { return None };
        let others: ArrayVec<usize, MAX_CANDIDATES> =
            unused.into_iter().filter(|place| !is_one_network(candidates, primary, *place)).collect();
        self.compare(now, primary, &others, candidates);
        for &other in &others {
            let comparison = self.comparisons.get(other).copied().unwrap_or_default();
            if comparison.agrees(now) {
                return Some(self.take(primary, Some(other)));
            }
            if let Some(by) = comparison.difference(now)
                && self.report(other)
            {
                return Some(Change::OtherClock(other, by));
            }
        }
        None
    }

    fn take(&mut self, primary: usize, secondary: Option<usize>) -> Change {
        self.used = std::iter::once(primary).chain(secondary).take(NETWORKS).collect();
        self.absent_since = Default::default();
        (self.first_leader, self.reference, self.reported) = (None, None, Default::default());
        Change::Use { primary, secondary }
    }

    /// Compares candidates with the reference.
    fn compare(&mut self, now: Timestamp<Raw>, reference: usize, others: &[usize], candidates: &[Evidence]) {
        if self.reference != Some(reference) {
            (self.reference, self.reported) = (Some(reference), Default::default());
            self.comparisons = Default::default();
        }
        let Some(reference) = candidates.get(reference) else { return };
        let states = self.comparisons.iter_mut().zip(&mut self.reported);
        for (place, (comparison, reported)) in states.enumerate() {
            match candidates.get(place).filter(|_| others.contains(&place)) {
                Some(other) => *comparison = comparison.after(now, reference, other),
                None => (*comparison, *reported) = (Comparison::Open, false),
            }
        }
    }

    /// Whether it was not reported yet that this candidate receives another clock.
    fn report(&mut self, place: usize) -> bool {
        self.reported.get_mut(place).is_some_and(|reported| !std::mem::replace(reported, true))
    }
}

/// Whether both receive the same leader from the same address.
fn is_one_network(candidates: &[Evidence], one: usize, other: usize) -> bool {
    let sender = |place: usize| candidates.get(place).and_then(|candidate| candidate.sender);
    sender(one).is_some() && sender(one) == sender(other)
}

#[cfg(test)]
mod tests;
