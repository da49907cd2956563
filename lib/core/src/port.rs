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

mod best;
mod counters;
mod delay;
mod events;
mod leaders;
mod pairing;
mod state;

pub use counters::{Counter, Counters};
pub use events::{Channel, Discontinuity, Input, NoStamp, Notice, Output, Reason, Sample, SendToken, Stamp};
pub use leaders::Leader;
pub use state::{Event, State};

use crate::estimate::{Estimator, Measurement, RateGuess, Verdict};
use crate::time::{ClockMap, Duration, Raw, Timestamp};
use crate::wire::{
    DelayResp, FollowUp, Header, Message, Packet, PortIdentity, Subdomain, SyncBody, Uuid, WireError,
};
use arrayvec::ArrayVec;
use delay::DelayMeter;
use leaders::{Heard, Leaders};
use pairing::{Pair, Pairing};
use std::net::SocketAddrV4;

/// Whether the path delay is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DelayMechanism {
    /// Never send anything.
    None,
    /// Delay_Req and Delay_Resp (IEEE 1588-2002, 6.2.4.4).
    E2e,
}

/// What a port is told at its start.
#[derive(Debug, Clone, Copy)]
pub struct PortConfig {
    /// The one subdomain that is followed, all 16 bytes of it.
    pub subdomain: Subdomain,
    /// Whether to measure the path delay.
    pub delay: DelayMechanism,
    /// For the random times of Delay_Req.
    pub seed: u64,
}

/// A sample's rate must be known to this before the port calls itself SLAVE. Leaders differ by up to 25 ppm.
const CONVERGED_PPM: f64 = 20.0;
/// And it must rest on so many measurements, so that two that lie by accident are not believed.
const CONVERGED_DEPTH: usize = 5;
/// Ten advertised intervals without a Sync, and the leader is gone (PTP_SYNC_RECEIPT_TIMEOUT, 7.12 of IEEE 1588-2002).
const RECEIPT_TIMEOUT: i64 = 10;
/// So long a leader may keep itself waiting before others who are heard are told of.
const PUZZLED: Duration = Duration::from_secs(4);
/// So many Syncs in a row that cannot be used are worth a word.
const UNUSABLE: u32 = 8;

/// The follower engine.
#[derive(Debug)]
pub struct Port {
    config: PortConfig,
    identity: Option<PortIdentity>,
    state: State,
    leaders: Leaders,
    parent: Option<PortIdentity>,
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
    counters: Counters,
    outputs: ArrayVec<Output, 8>,
}

impl Port {
    /// A port that knows nothing yet.
    pub fn new(config: PortConfig) -> Self {
        Self {
            config,
            identity: None,
            state: State::Initializing,
            leaders: Leaders::default(),
            parent: None,
            pairing: Pairing::default(),
            estimator: Estimator::new(RateGuess::UNKNOWN),
            timeline: 0,
            followed: false,
            estimated: None,
            delay: DelayMeter::new(config.delay, config.seed),
            last_sample: None,
            measured: None,
            listening_since: None,
            samples: 0,
            unpaired: 0,
            unstamped: 0,
            counters: Counters::default(),
            outputs: ArrayVec::new(),
        }
    }

    /// Takes in what happened. `now` never goes back.
    pub fn handle(&mut self, now: Timestamp<Raw>, input: Input<'_>) {
        match input {
            Input::Opened(identity) => {
                self.identity = Some(identity);
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
                self.delay.departed(token.0, stamp.ok(), map.as_ref());
            }
            Input::Dropped(count) => self.counters.add_many(Counter::KernelDropped, u64::from(count)),
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

    /// The leader's time over CLOCK_MONOTONIC_RAW: the path delay is in it once it was measured. It outlives the
    /// leader, with its uncertainty growing.
    pub fn map(&self) -> Option<ClockMap> {
        let mut map = self.estimator.map()?;
        map.line.at0 = map.line.at0 + self.path_delay().unwrap_or_default();
        Some(map)
    }

    /// The mean path delay, if it was measured.
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
        self.config.subdomain
    }

    fn packet(
        &mut self,
        now: Timestamp<Raw>,
        channel: Channel,
        bytes: &[u8],
        source: SocketAddrV4,
        arrived: Result<Stamp, NoStamp>,
    ) {
        let packet = match Packet::parse(bytes) {
            Ok(packet) => packet,
            Err(error) => return self.malformed(now, error),
        };
        if self.identity.is_some_and(|own| own.uuid == packet.header.source.uuid) {
            return self.counters.add(Counter::Own);
        }
        if packet.header.subdomain != self.config.subdomain {
            self.counters.add(Counter::OtherSubdomain);
            if self.misses_a_leader(now) && matches!(packet.message, Message::Sync(_)) {
                self.tell(Output::Notice(Notice::OtherSubdomain(packet.header.subdomain)));
            }
            return;
        }
        let expected = match packet.message {
            Message::Sync(_) | Message::DelayReq(_) => Channel::Event,
            Message::FollowUp(_) | Message::DelayResp(_) | Message::Management(_) => Channel::General,
        };
        if channel != expected {
            return self.counters.add(Counter::WrongPort);
        }
        match packet.message {
            Message::Sync(body) => self.sync(now, &packet.header, &body, source, arrived),
            Message::FollowUp(body) => self.follow_up(now, &packet.header, body),
            Message::DelayResp(body) => self.delay_resp(&packet.header, body),
            Message::DelayReq(_) => self.counters.add(Counter::DelayReq),
            Message::Management(_) => self.counters.add(Counter::Management),
        }
    }

    fn malformed(&mut self, now: Timestamp<Raw>, error: WireError) {
        self.counters.add(Counter::of_error(error));
        if error == WireError::Version2 && self.misses_a_leader(now) {
            self.tell(Output::Notice(Notice::OnlyPtpV2));
        }
    }

    /// Long enough without a leader that there is something to explain.
    fn misses_a_leader(&self, now: Timestamp<Raw>) -> bool {
        self.state == State::Listening && self.listening_since.is_some_and(|since| now - since >= PUZZLED)
    }

    fn sync(
        &mut self,
        now: Timestamp<Raw>,
        header: &Header,
        body: &SyncBody,
        source: SocketAddrV4,
        arrived: Result<Stamp, NoStamp>,
    ) {
        self.counters.add(Counter::Sync);
        if !self.state.is_open() {
            return;
        }
        match self.leaders.heard(now, header, body, *source.ip(), self.parent) {
            Heard::Taken => {}
            Heard::Displacing => self.counters.add(Counter::TooManyLeaders),
            Heard::Repeated => return self.counters.add(Counter::Repeated),
            Heard::NoRoom => return self.counters.add(Counter::TooManyLeaders),
        }
        self.choose();
        let stamp = match arrived {
            Ok(stamp) => stamp,
            Err(why) => {
                self.counters.add(match why {
                    NoStamp::Missing => Counter::RxStampMissing,
                    NoStamp::ClockStepped => Counter::ClockStepped,
                });
                self.unstamped = self.unstamped.saturating_add(1);
                if self.unstamped == UNUSABLE {
                    self.tell(Output::Notice(match why {
                        NoStamp::Missing => Notice::NoStamps,
                        NoStamp::ClockStepped => Notice::ClockDisturbed,
                    }));
                }
                return;
            }
        };
        self.unstamped = 0;
        let pair = if header.flags.assist() {
            if self.parent == Some(header.source) {
                self.unpaired = self.unpaired.saturating_add(1);
                if self.unpaired == UNUSABLE {
                    self.tell(Output::Notice(Notice::NoFollowUp));
                }
            }
            self.pairing.sync(now, header.source, header.sequence_id, stamp)
        } else {
            Some(Pair { source: header.source, arrived: stamp, origin: body.origin })
        };
        self.measure(now, pair);
    }

    fn follow_up(&mut self, now: Timestamp<Raw>, header: &Header, body: FollowUp) {
        self.counters.add(Counter::FollowUp);
        let pair =
            self.pairing.follow_up(now, header.source, body.associated_sequence_id, body.precise_origin);
        self.measure(now, pair);
    }

    fn delay_resp(&mut self, header: &Header, body: DelayResp) {
        self.counters.add(Counter::DelayResp);
        if Some(body.requesting) == self.identity && Some(header.source) == self.parent {
            let map = self.estimator.map();
            self.delay.answered(body.requesting_sequence_id, body.received, map.as_ref());
        }
    }

    /// Best master: the best of the leaders that qualify. One that was chosen stays until it is silent or beaten.
    fn choose(&mut self) {
        let Some(best) = self.leaders.best() else { return };
        if self.parent == Some(best) {
            return;
        }
        if let Some(present) = self.leader()
            && let Some(other) = self.leaders.get(best)
            && !best::is_better(other, present)
        {
            return;
        }
        self.parent = Some(best);
        self.measured = None;
        self.unpaired = 0;
        // The map goes on if this is the leader that made it: after a silence its time is most likely continuous, and
        // if it is not, the estimator sees a jump.
        if self.estimated != Some(best) {
            let reason = match self.estimated {
                None => Discontinuity::First(best),
                Some(_) => Discontinuity::AnotherLeader(best),
            };
            self.estimator.restart(None);
            self.estimated = Some(best);
            self.new_timeline(reason);
            self.delay.forget();
        }
        self.delay.begin();
        self.step(Event::LeaderChosen, Reason::Leader(best));
    }

    fn measure(&mut self, now: Timestamp<Raw>, pair: Option<Pair>) {
        let Some(pair) = pair else { return };
        if self.parent != Some(pair.source) {
            return;
        }
        self.unpaired = 0;
        let measurement = Measurement { raw: pair.arrived.raw, dante: pair.origin };
        let (residual, accepted) = match self.estimator.update(measurement) {
            Verdict::Accepted { residual } => (residual, true),
            Verdict::Outlier { residual } => {
                self.counters.add(Counter::Outlier);
                (residual, false)
            }
            Verdict::Late => return self.counters.add(Counter::Late),
            Verdict::Jumped { residual } => {
                // Nobody follows a timeline before the port was SLAVE on it: the first fit was wrong, not the leader.
                if self.followed {
                    self.new_timeline(Discontinuity::Jump(-residual));
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
        }
        self.tell(Output::Sample(sample));
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

    fn expire(&mut self, now: Timestamp<Raw>) {
        // Syncs that cannot be measured are as good as none, though it is known whose they are.
        if let (Some(leader), Some(measured)) = (self.leader(), self.measured)
            && now - measured >= leader.interval * RECEIPT_TIMEOUT
        {
            self.step(Event::Diverged, Reason::Unmeasured(now - measured));
        }
        let silence = self.leader().map(|leader| (now - leader.last_sync, leader.interval * RECEIPT_TIMEOUT));
        self.leaders.expire(now, RECEIPT_TIMEOUT);
        if let Some((silent, allowed)) = silence
            && silent >= allowed
        {
            self.lose_leader(Event::Silence, Reason::Silence(silent));
            self.choose();
        }
    }

    fn lose_leader(&mut self, event: Event, reason: Reason) {
        self.parent = None;
        self.delay.stop();
        self.step(event, reason);
    }

    fn request_delay(&mut self, now: Timestamp<Raw>) {
        let (Some(leader), Some(identity)) = (self.leader().copied(), self.identity) else {
            return;
        };
        if let Some(sequence) = self.delay.request(now, leader.interval) {
            let packet = delay::request_packet(identity, &leader, sequence);
            self.counters.add(Counter::DelayReqSent);
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

    /// Outputs are drained after each input, which makes at most four: there is always room.
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
