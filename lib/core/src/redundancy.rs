//! Selection between Dante's primary and secondary network: which port's clock map is published.
//!
//! Both ports of one Dante clock send the same time under different UUIDs. While the clock maps of both networks agree within
//! their uncertainties and the difference of their path delays, they are on one timeline, and each network can replace the other
//! at any time. If they do not agree, they are two clocks: the selected network stays until its port has not been SLAVE for 10 s.

use crate::announcement::Quality;
use crate::port::select::is_of_better_quality;
use crate::port::{Port, State};
use crate::time::{ClockMap, Duration, Raw, Timestamp};
use arrayvec::ArrayVec;
use std::fmt;

/// Number of networks: primary and secondary.
pub const NETWORKS: usize = crate::page::MAX_PORTS;
/// Largest difference of the path delays through both networks: Dante devices mute at this.
const MAX_PATH_DIFFERENCE: Duration = Duration::from_us(250);
/// Error that is allowed for each map in addition, in standard deviations.
const AGREEMENT_SIGMAS: i64 = 4;
/// Largest difference of two maps of one clock, however old one of them is: two clocks are not that close by chance.
const MAX_DIFFERENCE: Duration = Duration::from_ms(10);
/// Time for which the other network has to be better before it replaces a network whose port is SLAVE.
const BETTER_WAIT: Duration = Duration::from_secs(30);
/// At the start, time to wait for the primary network after the secondary's port becomes SLAVE.
const PRIMARY_WAIT: Duration = Duration::from_secs(1);
/// Ratio of the uncertainties of two maps from which on the one with the smaller uncertainty is better.
const BETTER_UNCERTAINTY_RATIO: i64 = 2;
/// Time without the selected network before one with another clock replaces it. A rebooted leader is followed again within 5 s.
const OTHER_CLOCK_WAIT: Duration = Duration::from_secs(10);
/// Time for which the maps have to differ, or agree, before a change is reported: the two ports do not detect a reboot at the same
/// moment.
const COMPARISON_WAIT: Duration = Duration::from_secs(5);

/// State of one network.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// State of its port.
    pub state: State,
    /// The port's count of discontinuities.
    pub timeline: u64,
    /// The port's clock map.
    pub map: Option<ClockMap>,
    /// Quality that its leader announces.
    pub quality: Option<Quality>,
}

impl From<&Port> for Network {
    fn from(port: &Port) -> Self {
        Self {
            state: port.state(),
            timeline: port.timeline(),
            // An uncertainty that grows with the difference of both maps would make any difference plausible.
            map: port.map_of_this_path(),
            quality: port.leader().map(|leader| leader.announced.quality),
        }
    }
}

/// A change that is reported. Networks are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkChange {
    /// Another network was selected.
    Selected {
        /// The selected network.
        to: usize,
        /// Its map minus the map that was published before; `None` if none was published.
        moved: Option<Duration>,
        /// The timeline continues.
        continues: bool,
    },
    /// The leaders of the networks differ by this: they are two clocks.
    TwoClocks(Duration),
    /// The leaders of the networks are one clock, again or for the first time.
    OneClock,
}

impl fmt::Display for NetworkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Selected { moved: None, .. } => write!(f, "switched to this network"),
            Self::Selected { moved: Some(by), continues: true, .. } => {
                write!(f, "switched to this network; Dante time differs by {:+} ns (same timeline)", by.ns())
            }
            Self::Selected { moved: Some(by), .. } => {
                write!(
                    f,
                    "switched to this network; Dante time differs by {:+.6} s (new timeline)",
                    by.secs_f64()
                )
            }
            Self::TwoClocks(by) => write!(
                f,
                "the leaders of both networks differ by {:+.6} s: this network cannot replace the other one; connect both to the same leader",
                by.secs_f64()
            ),
            Self::OneClock => write!(f, "the leaders of both networks are the same clock"),
        }
    }
}

/// The selected network and the number of the published timeline.
#[derive(Debug, Default)]
pub struct Redundancy {
    selected: usize,
    number: u64,
    /// The selected port's count of discontinuities to which `number` belongs.
    port_timeline: u64,
    /// Last map of the selected port while it was SLAVE.
    published: Option<ClockMap>,
    /// Time since which the selected port is not SLAVE.
    away_since: Option<Timestamp<Raw>>,
    /// Time since which the other network is better.
    better_since: Option<Timestamp<Raw>>,
    /// Time since which the comparison of the networks differs from the last report.
    changed_since: Option<Timestamp<Raw>>,
    /// Last report: whether the leaders are two clocks.
    are_two: Option<bool>,
}

impl Redundancy {
    /// Returns the number of the selected network.
    pub fn selected(&self) -> usize {
        self.selected
    }

    /// Whether the leaders of the networks are the same clock.
    pub fn is_one_clock(&self) -> bool {
        self.are_two == Some(false)
    }

    /// Returns the timeline of network `place`; 0 if its time is not that of the selected network.
    pub fn timeline(&self, place: usize) -> u64 {
        if place == self.selected || self.is_one_clock() { self.number } else { 0 }
    }

    /// The networks were chosen again: the interface that was selected is the network `kept` now, or no network any more. `to` is the
    /// network that is selected from now on: the kept one, or the primary.
    pub fn reassign(&mut self, now: Timestamp<Raw>, kept: Option<usize>, to: &Network) {
        (self.better_since, self.changed_since, self.are_two) = (None, None, None);
        self.selected = kept.unwrap_or(0);
        if kept.is_some() {
            return;
        }
        self.away_since = None;
        if self.published.is_some() && !self.continues_at(now, to) && to.timeline > 0 {
            self.number += 1;
        }
        if self.published.is_some() {
            self.port_timeline = to.timeline;
        }
    }

    /// Compares the networks. Call it after every event on one of them.
    pub fn consider(&mut self, now: Timestamp<Raw>, networks: &[Network]) -> ArrayVec<NetworkChange, 2> {
        let mut changes = ArrayVec::new();
        let Some(used) = networks.get(self.selected) else { return changes };
        if used.state == State::Slave {
            self.away_since = None;
        } else if self.away_since.is_none() {
            self.away_since = Some(now);
        }
        let other = networks.iter().enumerate().find(|(place, _)| *place != self.selected);
        let chosen = other.filter(|(_, other)| self.replaces(now, used, other));
        if let Some((to, other)) = chosen {
            let moved = self.published.zip(other.map).map(|(old, new)| new.dante_at(now) - old.dante_at(now));
            let continues = self.continues_at(now, other);
            self.selected = to;
            (self.away_since, self.better_since, self.changed_since) = (None, None, None);
            if !continues && other.timeline > 0 {
                self.number += 1;
            }
            self.port_timeline = other.timeline;
            changes.push(NetworkChange::Selected { to, moved, continues });
        } else if used.timeline != self.port_timeline {
            self.port_timeline = used.timeline;
            self.number += 1;
        }
        let Some(used) = networks.get(self.selected) else { return changes };
        if used.state == State::Slave {
            self.published = used.map;
        }
        let other = networks.iter().enumerate().find(|(place, _)| *place != self.selected);
        if let Some((_, other)) = other {
            changes.extend(self.compare(now, used, other));
        }
        changes
    }

    fn replaces(&mut self, now: Timestamp<Raw>, used: &Network, other: &Network) -> bool {
        if other.state != State::Slave {
            self.better_since = None;
            return false;
        }
        if self.published.is_none() {
            // No time was published yet that would have to continue.
            return used.state != State::Slave && now - *self.better_since.get_or_insert(now) >= PRIMARY_WAIT;
        }
        let continues = self.continues_at(now, other);
        // The time of the selected network jumped; that of the other network did not, or not yet.
        let jumped = used.timeline != self.port_timeline;
        if used.state != State::Slave || jumped {
            let waited = self.away_since.is_some_and(|since| now - since >= OTHER_CLOCK_WAIT);
            return continues || waited;
        }
        if !continues || !is_better(now, other, used) {
            self.better_since = None;
            return false;
        }
        now - *self.better_since.get_or_insert(now) >= BETTER_WAIT
    }

    /// Whether `network` continues the published time.
    fn continues_at(&self, now: Timestamp<Raw>, network: &Network) -> bool {
        self.published.zip(network.map).is_some_and(|(old, new)| agree(now, &old, &new))
    }

    /// Reports that the leaders of the networks are one clock, or two, if that changed.
    fn compare(&mut self, now: Timestamp<Raw>, used: &Network, other: &Network) -> Option<NetworkChange> {
        let both = used.state == State::Slave && other.state == State::Slave;
        let (Some(a), Some(b), true) = (used.map, other.map, both) else {
            self.changed_since = None;
            return None;
        };
        let are_two = !agree(now, &a, &b);
        if self.are_two == Some(are_two) {
            self.changed_since = None;
            return None;
        }
        let since = *self.changed_since.get_or_insert(now);
        if now - since < COMPARISON_WAIT {
            return None;
        }
        self.changed_since = None;
        self.are_two = Some(are_two);
        let by = b.dante_at(now) - a.dante_at(now);
        Some(if are_two { NetworkChange::TwoClocks(by) } else { NetworkChange::OneClock })
    }
}

/// Whether both maps can be of one clock.
fn agree(now: Timestamp<Raw>, a: &ClockMap, b: &ClockMap) -> bool {
    let sigma = a.uncertainty_at(now).offset + b.uncertainty_at(now).offset;
    let allowed = (MAX_PATH_DIFFERENCE + sigma * AGREEMENT_SIGMAS).min(MAX_DIFFERENCE);
    (a.dante_at(now) - b.dante_at(now)).abs() <= allowed
}

/// Whether network `a` is better than `b`. Both ports are SLAVE, and both maps are of one clock.
fn is_better(now: Timestamp<Raw>, a: &Network, b: &Network) -> bool {
    if let (Some(a), Some(b)) = (&a.quality, &b.quality) {
        if is_of_better_quality(a, b) {
            return true;
        }
        if is_of_better_quality(b, a) {
            return false;
        }
    }
    let sigma = |network: &Network| network.map.map(|map| map.uncertainty_at(now).offset);
    sigma(a).zip(sigma(b)).is_some_and(|(a, b)| a * BETTER_UNCERTAINTY_RATIO < b)
}

#[cfg(test)]
mod tests;
