//! Dante's primary and secondary network: which port's map is the one that is told.
//!
//! Both ports of one Dante clock tell the same time under different UUIDs. While the maps of both networks agree within
//! what their uncertainties and a path's length allow, they are on one timeline, and the one may take the other's place
//! at any moment. Where they do not, they are two clocks: the one that is followed stays, until it has been away for so
//! long that another time is better than none.

use crate::announcement::Quality;
use crate::port::select::is_of_better_quality;
use crate::port::{Port, State};
use crate::time::{ClockMap, Duration, Raw, Timestamp};
use arrayvec::ArrayVec;
use std::fmt;

/// Primary and secondary.
pub const NETWORKS: usize = crate::page::MAX_PORTS;
/// By so much the ways through both networks may differ: Dante devices mute at this.
const PATHS_DIFFER: Duration = Duration::from_us(250);
/// In addition both maps may be wrong by so many standard deviations.
const SIGMAS: i64 = 4;
/// But by no more than this, however long one of them was not measured: two clocks are not so close by chance.
const AT_MOST: Duration = Duration::from_ms(10);
/// A better network has to be it for so long, beside one that serves.
const HOLD: Duration = Duration::from_secs(30);
/// At the start the primary network is waited for so long once the secondary serves.
const GRACE: Duration = Duration::from_secs(1);
/// By so many times a map has to be more certain, to be better for that.
const MORE_CERTAIN: i64 = 2;
/// Another time is taken only when the one that was followed has been away for so long: a rebooted leader is followed again
/// within five.
const PATIENCE: Duration = Duration::from_secs(10);
/// Two clocks have to differ for so long before it is said: both ports see a reboot, but not at the same moment.
const PUZZLED: Duration = Duration::from_secs(5);

/// What is known of one network.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// Its port's state.
    pub state: State,
    /// Its port's count of discontinuities.
    pub timeline: u64,
    /// Its port's map.
    pub map: Option<ClockMap>,
    /// What its leader says of its clock.
    pub quality: Option<Quality>,
}

impl From<&Port> for Network {
    fn from(port: &Port) -> Self {
        Self {
            state: port.state(),
            timeline: port.timeline(),
            map: port.map(),
            quality: port.leader().map(|leader| leader.announced.quality),
        }
    }
}

/// What is to be told. Networks are named by their place, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkChange {
    /// Another network is used.
    Selected {
        /// From now on this one.
        to: usize,
        /// Its map minus the one that was told before; `None` where there was none.
        moved: Option<Duration>,
        /// The timeline goes on.
        continues: bool,
    },
    /// The networks' leaders tell different times, by so much: they are not one clock.
    TwoClocks(Duration),
    /// They are one clock again, or for the first time.
    OneClock,
}

impl fmt::Display for NetworkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Selected { moved: None, .. } => write!(f, "used from now on"),
            Self::Selected { moved: Some(by), continues: true, .. } => {
                write!(
                    f,
                    "used from now on; its time is {:+} ns from the other network's, the timeline goes on",
                    by.ns()
                )
            }
            Self::Selected { moved: Some(by), .. } => {
                write!(f, "used from now on; its time is another, by {:+.6} s: a new timeline", by.secs_f64())
            }
            Self::TwoClocks(by) => write!(
                f,
                "the leaders of both networks differ by {:+.6} s: they are not one clock, and this network cannot stand in for the other",
                by.secs_f64()
            ),
            Self::OneClock => write!(f, "the leaders of both networks are one clock"),
        }
    }
}

/// Which network is used, and the number of the timeline that is told.
#[derive(Debug, Default)]
pub struct Redundancy {
    selected: usize,
    number: u64,
    /// The count of the selected port's that `number` belongs to.
    own: u64,
    /// What was told last by a port that was SLAVE.
    told: Option<ClockMap>,
    /// Since when the selected one is not SLAVE.
    away: Option<Timestamp<Raw>>,
    /// Since when another one is better.
    better: Option<Timestamp<Raw>>,
    /// Since when the networks tell different times, or the same, other than was said.
    puzzled: Option<Timestamp<Raw>>,
    are_two: Option<bool>,
}

impl Redundancy {
    /// The place of the network that is used.
    pub fn selected(&self) -> usize {
        self.selected
    }

    /// The timeline that network `place` is on; 0 where it tells another time than the one that is used, or none.
    pub fn timeline(&self, place: usize) -> u64 {
        if place == self.selected || self.are_two == Some(false) { self.number } else { 0 }
    }

    /// Judges the networks anew. To be called whenever something has happened on one of them.
    pub fn consider(&mut self, now: Timestamp<Raw>, networks: &[Network]) -> ArrayVec<NetworkChange, 2> {
        let mut changes = ArrayVec::new();
        let Some(used) = networks.get(self.selected) else { return changes };
        if used.state == State::Slave {
            self.away = None;
        } else if self.away.is_none() {
            self.away = Some(now);
        }
        let other = networks.iter().enumerate().find(|(place, _)| *place != self.selected);
        let chosen = other.filter(|(_, other)| self.is_to_be_used(now, used, other));
        if let Some((to, other)) = chosen {
            let moved = self.told.zip(other.map).map(|(told, map)| map.dante_at(now) - told.dante_at(now));
            let continues = self.continues_at(now, other);
            self.selected = to;
            (self.away, self.better, self.puzzled) = (None, None, None);
            if !continues && other.timeline > 0 {
                self.number += 1;
            }
            self.own = other.timeline;
            changes.push(NetworkChange::Selected { to, moved, continues });
        } else if used.timeline != self.own {
            self.own = used.timeline;
            self.number += 1;
        }
        let Some(used) = networks.get(self.selected) else { return changes };
        if used.state == State::Slave {
            self.told = used.map;
        }
        let other = networks.iter().enumerate().find(|(place, _)| *place != self.selected);
        if let Some((_, other)) = other {
            changes.extend(self.compare(now, used, other));
        }
        changes
    }

    fn is_to_be_used(&mut self, now: Timestamp<Raw>, used: &Network, other: &Network) -> bool {
        if other.state != State::Slave {
            self.better = None;
            return false;
        }
        if self.told.is_none() {
            // Nothing was told yet that could be kept up.
            return used.state != State::Slave && now - *self.better.get_or_insert(now) >= GRACE;
        }
        let continues = self.continues_at(now, other);
        // The leader of the network that is used has jumped, and the other network's has not, or not yet.
        let jumped = used.timeline != self.own;
        if used.state != State::Slave || jumped {
            let patience = self.away.is_some_and(|away| now - away >= PATIENCE);
            return continues || patience;
        }
        if !continues || !is_better(now, other, used) {
            self.better = None;
            return false;
        }
        now - *self.better.get_or_insert(now) >= HOLD
    }

    /// Whether `network` goes on with the time that was told last.
    fn continues_at(&self, now: Timestamp<Raw>, network: &Network) -> bool {
        self.told.zip(network.map).is_some_and(|(told, map)| agree(now, &told, &map))
    }

    /// Tells when the networks turn out to be one clock, or two.
    fn compare(&mut self, now: Timestamp<Raw>, used: &Network, other: &Network) -> Option<NetworkChange> {
        let both = used.state == State::Slave && other.state == State::Slave;
        let (Some(a), Some(b), true) = (used.map, other.map, both) else {
            self.puzzled = None;
            return None;
        };
        let are_two = !agree(now, &a, &b);
        if self.are_two == Some(are_two) {
            self.puzzled = None;
            return None;
        }
        let since = *self.puzzled.get_or_insert(now);
        if now - since < PUZZLED {
            return None;
        }
        self.puzzled = None;
        self.are_two = Some(are_two);
        let by = b.dante_at(now) - a.dante_at(now);
        Some(if are_two { NetworkChange::TwoClocks(by) } else { NetworkChange::OneClock })
    }
}

/// Whether both may tell the time of one clock.
fn agree(now: Timestamp<Raw>, a: &ClockMap, b: &ClockMap) -> bool {
    let sigma = a.uncertainty_at(now).offset + b.uncertainty_at(now).offset;
    let allowed = (PATHS_DIFFER + sigma * SIGMAS).min(AT_MOST);
    (a.dante_at(now) - b.dante_at(now)).abs() <= allowed
}

/// Of two networks that serve, and are one clock.
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
    sigma(a).zip(sigma(b)).is_some_and(|(a, b)| a * MORE_CERTAIN < b)
}

#[cfg(test)]
mod tests;
