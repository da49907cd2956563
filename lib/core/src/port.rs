//! The follower: one PTPv1 port (IEEE 1588-2002) that hears Syncs and turns them into a map of the leader's time.
//!
//! An engine without a clock or a socket: [`Port::handle`] takes what happened, [`Port::poll`] hands out what is to be
//! done or told, [`Port::deadline`] says when it wants to be called again at the latest. What flows through it:
//!
//! ```text
//! packet -> wire -> subdomain, own? -> leaders heard -> the best of them -> Sync + Follow_Up -> estimator -> map
//! ```
//!
//! States are those of IEEE 1588-2002; see [`State`] for the arrows between them.

pub(crate) mod best;
mod choice;
mod counters;
mod damping;
mod delay;
mod events;
mod leaders;
mod notice;
mod pairing;
mod rates;
mod receive;
mod rules;
mod state;

pub use counters::{Counter, Counters};
pub use events::{Channel, Discontinuity, Input, NoStamp, Output, Reason, Sample, SendToken, Stamp};
pub use leaders::{Leader, MAX_LEADERS};
pub use notice::Notice;
pub use rates::{KnownRate, KnownRates, MAX_RATES};
pub use rules::{LeaderName, LeaderNameError, LeaderRules, MAX_NAMES};
pub use state::{Event, State};

use crate::estimate::{Estimator, Measurement, RateGuess, Verdict};
use crate::time::{ClockMap, Duration, Raw, Timestamp};
use crate::wire::{PortIdentity, Subdomain, Uuid};
use arrayvec::ArrayVec;
use choice::Choice;
use delay::DelayMeter;
use leaders::{Leaders, Sender};
use notice::Noticed;
use pairing::{Pair, Pairing};

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
            subdomain: Subdomain::DFLT,
            delay: DelayMechanism::None,
            asymmetry: Duration::ZERO,
            rules: LeaderRules::default(),
            rates: KnownRates::default(),
            seed: 0,
        }
    }
}

/// A sample's rate must be known to this before the port calls itself SLAVE. Leaders differ by up to 25 ppm.
const CONVERGED_PPM: f64 = 20.0;
/// And it must rest on so many measurements, so that two that lie by accident are not believed.
const CONVERGED_DEPTH: usize = 5;
/// Ten advertised intervals without a Sync, and the leader is gone (PTP_SYNC_RECEIPT_TIMEOUT, 7.12 of IEEE 1588-2002).
const RECEIPT_TIMEOUT: i64 = 10;
/// No queue and no host holds a packet up for so long: what is so far off is not late but another time.
const IMPLAUSIBLE: Duration = Duration::from_ms(100);
/// Sequence numbers that began anew so long ago go with a jump of the leader's time.
const RESTARTED: Duration = Duration::from_secs(10);

/// The follower engine.
#[derive(Debug)]
pub struct Port {
    subdomain: Subdomain,
    rules: LeaderRules,
    rates: KnownRates,
    identity: Option<PortIdentity>,
    state: State,
    leaders: Leaders,
    choice: Choice,
    parent: Option<Sender>,
    pairing: Pairing,
    estimator: Estimator,
    timeline: u64,
    /// The port was SLAVE on this timeline.
    followed: bool,
    estimated: Option<PortIdentity>,
    delay: DelayMeter,
    last_sample: Option<Sample>,
    /// When a Sync was measured last, or the leader chosen.
    measured: Option<Timestamp<Raw>>,
    /// Since when no leader is heard.
    listening_since: Option<Timestamp<Raw>>,
    samples: u64,
    unpaired: u32,
    unstamped: u32,
    /// Measurements of another time since the last that fitted.
    implausible: u32,
    /// Such, in all, of this leader.
    contradictions: u32,
    counters: Counters,
    noticed: Noticed,
    outputs: ArrayVec<Output, 8>,
}

impl Port {
    /// A port that knows nothing yet.
    pub fn new(config: PortConfig) -> Self {
        Self {
            subdomain: config.subdomain,
            rules: config.rules,
            rates: config.rates,
            identity: None,
            state: State::Initializing,
            leaders: Leaders::default(),
            choice: Choice::default(),
            parent: None,
            pairing: Pairing::default(),
            estimator: Estimator::new(RateGuess::UNKNOWN),
            timeline: 0,
            followed: false,
            estimated: None,
            delay: DelayMeter::new(config.delay, config.asymmetry, config.seed),
            last_sample: None,
            measured: None,
            listening_since: None,
            samples: 0,
            unpaired: 0,
            unstamped: 0,
            implausible: 0,
            contradictions: 0,
            counters: Counters::default(),
            noticed: Noticed::default(),
            outputs: ArrayVec::new(),
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
                self.leaders.clear();
                self.pairing.clear();
                self.lose_leader(Event::Failed, Reason::Failed);
            }
            Input::Packet { channel, bytes, source, arrived } => {
                self.packet(now, channel, bytes, source, arrived);
            }
            Input::Departed { token, stamp } => {
                if stamp.is_err() {
                    self.counters.add(Counter::TxStampMissing);
                }
                let map = self.estimator.map();
                if let Some(notice) = self.delay.departed(token.0, stamp, map.as_ref()) {
                    self.notice(now, notice);
                }
            }
            Input::Dropped(count) => {
                self.counters.add_many(Counter::KernelDropped, u64::from(count));
                if count > 0 {
                    self.notice(now, Notice::Dropped);
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
    }

    /// The next thing to be done or told; call until it is `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_at(0)
    }

    /// When [`Input::Deadline`] is due at the latest.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        let leader = self.leader();
        let silence = leader.map(|leader| leader.last_sync + leader.interval * RECEIPT_TIMEOUT);
        let unmeasured = leader
            .zip(self.measured.filter(|_| self.state == State::Slave))
            .map(|(leader, measured)| measured + leader.interval * RECEIPT_TIMEOUT);
        [silence, unmeasured, self.delay.due()].into_iter().flatten().min()
    }

    /// Where the state machine stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// The leader that is followed.
    pub fn leader(&self) -> Option<&Leader> {
        self.leaders.get(self.parent?)
    }

    /// All leaders of the subdomain that are heard and permitted, the one followed among them.
    pub fn heard(&self) -> &[Leader] {
        self.leaders.all()
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
        self.delay.path_delay()
    }

    /// The number of Dante's present timeline; 0 before the first leader. It rises with each discontinuity.
    pub fn timeline(&self) -> u64 {
        self.timeline
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

    /// Takes in a Sync of the leader that is followed.
    fn measure(&mut self, now: Timestamp<Raw>, pair: Pair) {
        let Some(parent) = self.parent else { return };
        self.unpaired = 0;
        let measurement = Measurement { raw: pair.arrived.raw, dante: pair.origin };
        let (residual, accepted) = match self.estimator.update(measurement) {
            Verdict::Accepted { residual } => {
                // A jump would not have come to this.
                let times = std::mem::take(&mut self.implausible);
                if times > 0 {
                    self.contradicted(now, parent.identity, times);
                }
                (residual, true)
            }
            Verdict::Outlier { residual } => {
                self.counters.add(Counter::Outlier);
                self.implausible += u32::from(residual.abs() >= IMPLAUSIBLE);
                (residual, false)
            }
            Verdict::Late => return self.counters.add(Counter::Late),
            Verdict::Jumped { residual } => {
                self.implausible = 0;
                // Nobody follows a timeline before the port was SLAVE on it: the first fit was wrong, not the leader.
                if self.followed {
                    self.new_timeline(self.jump(now, -residual));
                }
                self.step(Event::Diverged, Reason::Jumped);
                (Duration::ZERO, true)
            }
        };
        self.measured = Some(now);
        self.samples += 1;
        let sample = Sample {
            number: self.samples,
            timeline: self.timeline,
            arrived: pair.arrived,
            origin: pair.origin,
            residual,
            accepted,
        };
        self.last_sample = Some(sample);
        if !self.has_converged() {
            self.step(Event::Diverged, Reason::Refitted);
        } else if accepted {
            self.step(Event::Converged, Reason::Converged);
            self.followed = true;
            self.tell_rate(&sample);
        }
        self.tell(Output::Sample(sample));
    }

    /// What a jump of the leader's time by so much is.
    fn jump(&self, now: Timestamp<Raw>, size: Duration) -> Discontinuity {
        let restarted = self.leader().and_then(|leader| leader.restarted);
        let rebooted = restarted.is_some_and(|at| now - at < RESTARTED) || size < -Duration::from_secs(1);
        if rebooted { Discontinuity::Reboot(size) } else { Discontinuity::Jump(size) }
    }

    fn has_converged(&self) -> bool {
        self.estimator.depth() >= CONVERGED_DEPTH
            && self.estimator.map().is_some_and(|map| map.sigma.rate.ppm() < CONVERGED_PPM)
    }

    fn new_timeline(&mut self, reason: Discontinuity) {
        self.timeline += 1;
        self.followed = false;
        self.tell(Output::Timeline { number: self.timeline, reason });
    }

    fn request_delay(&mut self, now: Timestamp<Raw>) {
        let (Some(leader), Some(identity)) = (self.leader().copied(), self.identity) else {
            return;
        };
        if let Some(sequence) = self.delay.request(now, leader.interval) {
            let packet = delay::request_packet(identity, &leader, sequence);
            self.counters.add(Counter::DelayReqSent);
            if self.delay.is_unanswered() {
                self.notice(now, Notice::NoDelayResp);
            }
            self.tell(Output::Send { packet, token: SendToken(sequence) });
        }
    }

    fn step(&mut self, event: Event, reason: Reason) {
        if let Some(to) = self.state.after(event) {
            let from = std::mem::replace(&mut self.state, to);
            if from != to {
                self.tell(Output::Changed { from, to, reason });
            }
        }
    }

    /// Outputs are drained after each input, which makes at most six: there is always room.
    fn tell(&mut self, output: Output) {
        if self.outputs.try_push(output).is_err() {
            self.counters.add(Counter::OutputLost);
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
