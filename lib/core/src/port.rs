//! The follower: one slave-only PTP port that turns a leader's Syncs into a map of its time. Bytes are the affair of a
//! [`Protocol`], by default PTPv1 (IEEE 1588-2002).
//!
//! An engine without a clock or a socket: [`Port::handle`] takes what happened, [`Port::poll`] hands out what is to be
//! done or told, [`Port::deadline`] says when it wants to be called again at the latest. What flows through it:
//!
//! ```text
//! packet -> protocol -> subdomain, own? -> foreign leaders -> selection -> Sync + Follow_Up -> estimator -> map
//! ```
//!
//! States are those of IEEE 1588-2002; see [`State`] for the arrows between them.

mod counters;
mod delay;
mod diagnostic;
mod diagnostics;
mod events;
mod foreign_leaders;
mod measure;
mod pairing;
mod protocol;
mod rates;
mod receive;
mod rules;
pub(crate) mod select;
mod session;
mod state;

pub use counters::{Counter, Counters};
pub use diagnostic::Diagnostic;
pub use events::{
    Channel, Discontinuity, Input, NoTimestamp, Output, PacketTimestamp, Reason, Sample, SendToken,
    TimestampSource,
};
pub use foreign_leaders::{ForeignLeader, MAX_LEADERS};
pub use protocol::{Content, Decoded, Head, Protocol};
pub use rates::{KnownRate, KnownRates, MAX_RATES};
pub use rules::{LeaderName, LeaderNameError, LeaderRules, MAX_NAMES};
pub use state::{Event, State};

use crate::estimate::{Estimator, RateGuess};
use crate::outputs::Outputs;
use crate::time::{ClockMap, Duration, Raw, Timestamp};
use crate::wire::{PortIdentity, Subdomain, Uuid};
use delay::DelayMeter;
use diagnostics::Diagnostics;
use foreign_leaders::ForeignLeaders;
use select::Damping;
use session::{Session, Timeline};

/// Whether the path delay is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DelayMechanism {
    /// Never send anything.
    None,
    /// Never send anything: a Sync needs so long from the leader to us.
    Fixed(Duration),
    /// Delay_Req and Delay_Resp (IEEE 1588-2002, 6.2.4.4).
    E2e,
}

/// What a port is told at its start.
#[derive(Debug, Clone)]
pub struct PortConfig {
    /// The protocol of the leaders.
    pub protocol: Protocol,
    /// The one subdomain that is followed, all 16 bytes of it.
    pub subdomain: Subdomain,
    /// Whether to measure the path delay.
    pub delay: DelayMechanism,
    /// How much longer a packet needs from the leader to us than the mean of both ways, which is what is measured. As
    /// linuxptp's delayAsymmetry.
    pub asymmetry: Duration,
    /// Who may be followed.
    pub rules: LeaderRules,
    /// The rates of leaders that were followed before.
    pub rates: KnownRates,
    /// For the random times of Delay_Req.
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

/// Ten advertised intervals without a Sync, and the leader is gone (PTP_SYNC_RECEIPT_TIMEOUT, 7.12 of IEEE 1588-2002).
const RECEIPT_TIMEOUT: i64 = 10;

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
    /// While a leader is followed.
    session: Option<Session>,
    /// Since the first leader.
    timeline: Option<Timeline>,
    estimator: Estimator,
    delay: DelayMeter,
    last_sample: Option<Sample>,
    /// Since when no leader is heard.
    listening_since: Option<Timestamp<Raw>>,
    samples: u64,
    counters: Counters,
    diagnostics: Diagnostics,
    /// One input makes at most six.
    outputs: Outputs<Output, 8>,
}

impl Port {
    /// A port that knows nothing yet.
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
            listening_since: None,
            samples: 0,
            counters: Counters::default(),
            diagnostics: Diagnostics::default(),
            outputs: Outputs::default(),
        }
    }

    /// Takes in what happened. `now` never goes back.
    pub fn handle(&mut self, now: Timestamp<Raw>, input: Input<'_>) {
        match input {
            Input::Opened(identity) => {
                self.identity = Some(identity);
                self.delay.opened();
                self.step(Event::Opened, Reason::Opened);
            }
            Input::Failed => {
                self.foreign_leaders.clear();
                self.lose_leader(Event::Failed, Reason::Failed);
            }
            Input::Packet { channel, bytes, source, arrived } => {
                self.packet(now, channel, bytes, source, arrived);
            }
            Input::Departed { token, stamp } => self.departed(now, token, stamp),
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

    /// The next thing to be done or told; call until it is `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// When [`Input::Deadline`] is due at the latest.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        let (session, leader) = (self.session.as_ref()?, self.leader()?);
        let allowed = leader.interval * RECEIPT_TIMEOUT;
        let silence = Some(leader.last_sync + allowed);
        let unmeasured = session.measured.filter(|_| self.state == State::Slave).map(|at| at + allowed);
        [silence, unmeasured, self.delay.due(&session.requests)].into_iter().flatten().min()
    }

    /// Where the state machine stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// The leader that is followed.
    pub fn leader(&self) -> Option<&ForeignLeader> {
        self.foreign_leaders.get(self.parent()?)
    }

    /// All leaders of the subdomain that are heard and permitted, the one followed among them.
    pub fn foreign_leaders(&self) -> &[ForeignLeader] {
        self.foreign_leaders.all()
    }

    /// Who this port is on the wire; `None` while it has no sockets.
    pub fn identity(&self) -> Option<PortIdentity> {
        self.identity
    }

    /// The leader's time over CLOCK_MONOTONIC_RAW: the path delay is in it once it was measured. It outlives the
    /// leader, with its uncertainty growing.
    pub fn map(&self) -> Option<ClockMap> {
        let mut map = self.estimator.map()?;
        map.line.at0 = map.line.at0 + self.path_delay().unwrap_or_default();
        Some(map)
    }

    /// How long a Sync needs from the leader to us, if that was measured or given.
    pub fn path_delay(&self) -> Option<Duration> {
        self.delay.path_delay(self.timeline.as_ref().map(|timeline| &timeline.delays))
    }

    /// The number of Dante's present timeline; 0 before the first leader. It rises with each discontinuity.
    pub fn timeline(&self) -> u64 {
        self.timeline.as_ref().map_or(0, |timeline| timeline.number)
    }

    /// The last Sync that was measured.
    pub fn last_sample(&self) -> Option<&Sample> {
        self.last_sample.as_ref()
    }

    /// What was heard, and what became of it.
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

/// The identity of a follower on an interface with this MAC address. Where there is none (`lo`), one is drawn from the
/// seed, locally administered, so that no two programs take each other for themselves.
pub fn follower_identity(mac: [u8; 6], seed: u64) -> PortIdentity {
    let [a, b, c, d, e, ..] = seed.to_le_bytes();
    let uuid = if mac == [0; 6] { [0x02, a, b, c, d, e] } else { mac };
    PortIdentity { technology: 1, uuid: Uuid(uuid), port_id: 1 }
}

#[cfg(test)]
mod tests;
