//! The follower: one slave-only PTP port that estimates the leader's time from its Syncs. A [`Protocol`] encodes and decodes
//! the packets, by default PTPv1 (IEEE 1588-2002).
//!
//! The engine has no clock and no socket: [`Port::handle`] processes an event, [`Port::poll`] returns what to send, log or
//! publish, [`Port::deadline`] returns the latest time of the next call. Data flow:
//!
//! ```text
//! packet -> protocol -> subdomain, own? -> foreign leaders -> selection -> Sync + Follow_Up -> estimator -> clock map
//! ```
//!
//! The states are those of IEEE 1588-2002; [`State`] shows the transitions.

mod counters;
mod delay;
mod diagnostic;
mod diagnostics;
mod events;
mod foreign_leaders;
mod measurability;
mod measure;
mod pairing;
mod path_drift;
mod protocol;
mod rates;
mod receive;
mod rules;
pub(crate) mod select;
mod session;
mod spacing;
mod state;

pub use counters::{Counter, Counters};
pub use diagnostic::Diagnostic;
pub use events::{
    Channel, Discontinuity, Input, InterfaceFault, NoTimestamp, Output, PacketTimestamp, Reason, Route,
    Sample, SendToken, TimestampSource,
};
pub use foreign_leaders::{ForeignLeader, MAX_LEADERS};
pub use measurability::Defect;
pub use protocol::{Content, Decoded, Head, Protocol};
pub use rates::{KnownRate, KnownRates, MAX_RATES};
pub use rules::{LeaderName, LeaderNameError, LeaderRules, MAX_NAMES};
pub use spacing::SyncInterval;
pub use state::{Event, State};

use crate::estimate::{Estimator, RateGuess};
use crate::outputs::Outputs;
use crate::time::{ClockMap, Duration, Ratio, Raw, Timestamp};
use crate::wire::{PortIdentity, Subdomain, Uuid};
use delay::DelayMeter;
use diagnostics::Diagnostics;
use foreign_leaders::ForeignLeaders;
use select::Damping;
use session::{Session, Timeline};
use std::net::Ipv4Addr;

/// How the path delay is obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DelayMechanism {
    /// Not at all; nothing is sent.
    None,
    /// Given: the delay of a Sync from the leader to this port. Nothing is sent.
    Fixed(Duration),
    /// Measured by Delay_Req and Delay_Resp (IEEE 1588-2002, 6.2.4.4).
    E2e,
}

/// The configuration of a port.
#[derive(Debug, Clone)]
pub struct PortConfig {
    /// The protocol of the leaders.
    pub protocol: Protocol,
    /// The one subdomain that is followed, all 16 bytes of it.
    pub subdomain: Subdomain,
    /// How the path delay is obtained.
    pub delay: DelayMechanism,
    /// The delay from the leader to this port minus the mean of both directions, which is what is measured. As
    /// delayAsymmetry of linuxptp.
    pub asymmetry: Duration,
    /// Which leaders may be followed.
    pub rules: LeaderRules,
    /// Saved rates of leaders that were followed before.
    pub rates: KnownRates,
    /// Seed of the random intervals between Delay_Reqs.
    pub seed: u64,
}

impl Default for PortConfig {
    fn default() -> Self {
        Self {
            protocol: Protocol::V1,
            subdomain: Subdomain::DFLT,
            delay: DelayMechanism::None,
            asymmetry: Duration::ZERO,
            rules: LeaderRules::default(),
            rates: KnownRates::default(),
            seed: 0,
        }
    }
}

/// The follower engine.
#[derive(Debug)]
pub struct Port {
    protocol: Protocol,
    subdomain: Subdomain,
    rules: LeaderRules,
    rates: KnownRates,
    identity: Option<PortIdentity>,
    state: State,
    foreign_leaders: ForeignLeaders,
    damping: Damping,
    /// Present while a leader is followed.
    session: Option<Session>,
    /// Present from the first leader on.
    timeline: Option<Timeline>,
    estimator: Estimator,
    delay: DelayMeter,
    last_sample: Option<Sample>,
    /// Follow_Ups received since the last Sync, while no leader is followed.
    lone_follow_ups: u32,
    /// When the port entered LISTENING; `None` in other states.
    listening_since: Option<Timestamp<Raw>>,
    samples: u64,
    counters: Counters,
    diagnostics: Diagnostics,
    /// One input causes at most eight.
    outputs: Outputs<Output, 12>,
}

impl Port {
    /// Creates a port in INITIALIZING.
    pub fn new(config: PortConfig) -> Self {
        Self {
            protocol: config.protocol,
            subdomain: config.subdomain,
            rules: config.rules,
            rates: config.rates,
            identity: None,
            state: State::Initializing,
            foreign_leaders: ForeignLeaders::default(),
            damping: Damping::default(),
            session: None,
            timeline: None,
            estimator: Estimator::new(RateGuess::UNKNOWN),
            delay: DelayMeter::new(config.delay, config.asymmetry, config.seed),
            last_sample: None,
            lone_follow_ups: 0,
            listening_since: None,
            samples: 0,
            counters: Counters::default(),
            diagnostics: Diagnostics::default(),
            outputs: Outputs::default(),
        }
    }

    /// Processes an event. `now` must never decrease.
    pub fn handle(&mut self, now: Timestamp<Raw>, input: Input<'_>) {
        match input {
            Input::Opened(identity) => {
                self.identity = Some(identity);
                self.delay.opened();
                self.step(Event::Opened, Reason::Opened);
            }
            Input::Failed => {
                self.foreign_leaders.clear();
                self.lose_leader(Event::Failed, Reason::Failed, None);
            }
            Input::Packet { channel, bytes, source, route, arrived } => {
                self.packet(now, channel, bytes, (source, route), arrived);
            }
            Input::Departed { token, timestamp } => self.departed(now, token, timestamp),
            Input::Dropped(count) => {
                self.counters.add_many(Counter::KernelDropped, u64::from(count));
                if count > 0 {
                    self.diagnose(now, Diagnostic::Dropped);
                }
            }
            Input::Rejoined => self.counters.add(Counter::Rejoined),
            Input::Deadline => {}
        }
        self.expire(now);
        self.request_delay(now);
        if self.state != State::Listening {
            self.listening_since = None;
        } else if self.listening_since.is_none() {
            self.listening_since = Some(now);
        }
        self.counters.set(Counter::OutputLost, self.outputs.lost());
    }

    /// Returns the next output; to be called until it is `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// Returns when [`Input::Deadline`] is due at the latest.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        let (session, leader) = (self.session.as_ref()?, self.leader()?);
        let allowed = leader.receipt_timeout();
        let silence = Some(leader.last_sync + allowed);
        let unmeasured = self.unmeasured_due().filter(|_| self.state == State::Slave);
        [silence, unmeasured, self.delay.due(&session.requests)].into_iter().flatten().min()
    }

    /// The state of the port.
    pub fn state(&self) -> State {
        self.state
    }

    /// The leader that is followed.
    pub fn leader(&self) -> Option<&ForeignLeader> {
        self.foreign_leaders.get(self.parent()?)
    }

    /// The identity and the address of the leader that is followed: two ports with the same ones are on one network.
    pub(crate) fn sender(&self) -> Option<(PortIdentity, Ipv4Addr)> {
        self.leader().map(|leader| (leader.identity, leader.address))
    }

    /// The foreign leaders of the subdomain that the rules permit, including the one followed.
    pub fn foreign_leaders(&self) -> impl Iterator<Item = &ForeignLeader> {
        self.foreign_leaders.all()
    }

    /// The identity of this port in its packets; `None` until its sockets were opened for the first time.
    pub fn identity(&self) -> Option<PortIdentity> {
        self.identity
    }

    /// The clock map: the leader's time over CLOCK_MONOTONIC_RAW, including the path delay if that is measured or given. Its
    /// uncertainty includes the noise of a measured path delay, and the path drift where measurements on another path find one.
    /// Without a leader it remains, with growing uncertainty.
    pub fn map(&self) -> Option<ClockMap> {
        let mut map = self.map_of_this_path()?;
        if let Some(timeline) = &self.timeline {
            timeline.comparisons.add_to(&mut map);
        }
        Some(map)
    }

    /// The clock map with the uncertainty that measurements on this path alone give it.
    pub(crate) fn map_of_this_path(&self) -> Option<ClockMap> {
        let mut map = self.estimator.map()?;
        map.line.at0 = map.line.at0 + self.path_delay().unwrap_or_default();
        if let Some(timeline) = &self.timeline {
            let noise = timeline.delays.uncertainty(self.estimator.noise()).unwrap_or_default();
            map.add_error(noise, Ratio::ZERO);
        }
        Some(map)
    }

    /// The delay of a Sync from the leader to this port, if measured or given.
    pub fn path_delay(&self) -> Option<Duration> {
        self.delay.path_delay(self.timeline.as_ref().map(|timeline| &timeline.delays))
    }

    /// The number of the present timeline; 0 before the first leader. It rises with each discontinuity of Dante time.
    pub fn timeline(&self) -> u64 {
        self.timeline.as_ref().map_or(0, |timeline| timeline.number)
    }

    /// The last measured Sync.
    pub fn last_sample(&self) -> Option<&Sample> {
        self.last_sample.as_ref()
    }

    /// The packet counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The subdomain that is followed.
    pub fn subdomain(&self) -> Subdomain {
        self.subdomain
    }

    fn step(&mut self, event: Event, reason: Reason) {
        if let Some(to) = self.state.after(event) {
            let from = std::mem::replace(&mut self.state, to);
            if from != to {
                self.outputs.push(Output::Changed { from, to, reason });
            }
        }
    }
}

/// Returns the identity of a follower on an interface with this MAC address. Without a MAC address (`lo`) the UUID is drawn
/// from the seed and locally administered, so that two programs do not take each other's packets for their own.
pub fn follower_identity(mac: [u8; 6], seed: u64) -> PortIdentity {
    let [a, b, c, d, e, ..] = seed.to_le_bytes();
    let uuid = if mac == [0; 6] { [0x02, a, b, c, d, e] } else { mac };
    PortIdentity { technology: 1, uuid: Uuid(uuid), port_id: 1 }
}

#[cfg(test)]
mod tests;
