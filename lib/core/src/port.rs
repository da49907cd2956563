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
mod leaders;
mod pairing;
mod state;

pub use counters::{Counter, Counters};
pub use leaders::Leader;
pub use state::{Event, State};

use crate::estimate::{Estimator, Measurement, RateGuess, Verdict};
use crate::time::{ClockMap, Dante, Duration, Raw, Real, Timestamp};
use crate::wire::{Buffer, DelayResp, FollowUp, Header, Message, Packet, PortIdentity, Subdomain, SyncBody};
use crate::wire::{Uuid, WireError};
use arrayvec::ArrayVec;
use delay::DelayMeter;
use leaders::{Heard, Leaders};
use pairing::{Pair, Pairing};
use std::fmt;
use std::net::SocketAddrV4;

/// One instant of arrival or departure, on both clocks of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// On CLOCK_MONOTONIC_RAW.
    pub raw: Timestamp<Raw>,
    /// On CLOCK_REALTIME, as the kernel stamped it.
    pub real: Timestamp<Real>,
}

/// Why a packet has no stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoStamp {
    /// The kernel gave none.
    Missing,
    /// CLOCK_REALTIME was stepped between the stamp and its translation.
    ClockStepped,
}

/// PTP's two channels, each with a port and a precedence of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Sync and Delay_Req, stamped by the kernel. Port 319, DSCP CS7.
    Event,
    /// Follow_Up, Delay_Resp and Management. Port 320, DSCP EF.
    General,
}

impl Channel {
    /// The differentiated services code point that Dante devices use; their switches queue by it.
    pub const fn dscp(self) -> u8 {
        match self {
            Self::Event => 56,
            Self::General => 46,
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "event",
            Self::General => "general",
        })
    }
}

/// Names one packet that was handed out for sending. It can be neither copied nor cloned, so one packet sent gives
/// one stamp.
#[derive(Debug, PartialEq, Eq)]
pub struct SendToken(u16);

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// The sockets are open and the interface is up.
    Opened,
    /// The interface or the sockets failed.
    Failed,
    /// A packet arrived.
    Packet {
        /// Through which socket.
        channel: Channel,
        /// UDP payload.
        bytes: &'a [u8],
        /// Who sent it.
        source: SocketAddrV4,
        /// When, if it is known. Only event packets are stamped.
        arrived: Result<Stamp, NoStamp>,
    },
    /// A packet that [`Output::Send`] handed out has left, or at least was given to the kernel.
    Departed {
        /// Which one.
        token: SendToken,
        /// When, if it is known.
        stamp: Result<Stamp, NoStamp>,
    },
    /// The deadline came.
    Deadline,
}

/// What is to be done or told.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Multicast this event packet to the subdomain's group, and report its departure.
    Send {
        /// UDP payload.
        packet: Buffer,
        /// To be handed back with [`Input::Departed`].
        token: SendToken,
    },
    /// The state changed.
    Changed {
        /// From this.
        from: State,
        /// To this.
        to: State,
        /// Because of this.
        reason: Reason,
    },
    /// Dante time is not continuous with what it was: the timeline has this number from now on.
    Timeline {
        /// The new number.
        number: u64,
        /// What broke.
        reason: Discontinuity,
    },
    /// One Sync was measured.
    Sample(Sample),
    /// Something heard that explains a missing lock.
    Notice(Notice),
}

/// One measured Sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Counts the samples of this port from 1.
    pub number: u64,
    /// The timeline that it belongs to.
    pub timeline: u64,
    /// When the Sync arrived.
    pub arrived: Stamp,
    /// When it left the leader, by the leader's clock.
    pub origin: Timestamp<Dante>,
    /// Local minus leader, against the map.
    pub residual: Duration,
    /// Whether it was believed.
    pub accepted: bool,
}

/// Why the state changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The sockets are open.
    Opened,
    /// The interface or the sockets failed.
    Failed,
    /// This leader is the best of those heard.
    Leader(PortIdentity),
    /// The rate is known well enough.
    Converged,
    /// The leader's time jumped.
    Jumped,
    /// No Sync for so long.
    Silence(Duration),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened => write!(f, "interface ready"),
            Self::Failed => write!(f, "interface failed"),
            Self::Leader(identity) => write!(f, "leader {identity} chosen"),
            Self::Converged => write!(f, "rate of the leader known"),
            Self::Jumped => write!(f, "the leader's time jumped"),
            Self::Silence(span) => write!(f, "no Sync for {:.1} s", span.secs_f64()),
        }
    }
}

/// Why Dante time is not continuous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discontinuity {
    /// The first leader since the start.
    First(PortIdentity),
    /// Another device leads.
    AnotherLeader(PortIdentity),
    /// The same device, but its time jumped by so much: it was rebooted or set.
    Jump(Duration),
}

impl fmt::Display for Discontinuity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First(identity) => write!(f, "first leader {identity}"),
            Self::AnotherLeader(identity) => write!(f, "another leader, {identity}"),
            Self::Jump(size) => {
                write!(f, "the leader's time jumped by {:+.6} s (rebooted or set)", size.secs_f64())
            }
        }
    }
}

/// Something heard while there is no lock that explains why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// PTPv2 on the same groups and ports, but no PTPv1.
    OnlyPtpV2,
    /// PTPv1 in another subdomain.
    OtherSubdomain(Subdomain),
    /// Two-step Syncs whose Follow_Up does not come.
    NoFollowUp,
    /// Syncs come without a kernel time stamp.
    NoStamps,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyPtpV2 => write!(
                f,
                "hearing PTPv2 only: the devices speak AES67 or PTPv2; enable PTPv1 (Dante) on one of them"
            ),
            Self::OtherSubdomain(name) => {
                write!(f, "hearing PTPv1 in subdomain {name}, which is not the one followed (--subdomain)")
            }
            Self::NoFollowUp => write!(
                f,
                "Syncs arrive without their Follow_Up: UDP port 320 may be blocked by a firewall, or taken"
            ),
            Self::NoStamps => write!(f, "Syncs arrive without kernel time stamps: nothing can be measured"),
        }
    }
}

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
    /// What this port calls itself when it sends, and by which it knows its own packets.
    pub identity: PortIdentity,
    /// For the random times of Delay_Req.
    pub seed: u64,
}

/// A sample's rate must be known to this before the port calls itself SLAVE. Leaders differ by up to 25 ppm.
const CONVERGED_PPM: f64 = 20.0;
/// And it must rest on so many measurements, so that two that lie by accident are not believed.
const CONVERGED_DEPTH: usize = 5;
/// Ten advertised intervals without a Sync, and the leader is gone (PTP_SYNC_RECEIPT_TIMEOUT, 7.12 of IEEE 1588-2002).
const RECEIPT_TIMEOUT: i64 = 10;
/// So many Syncs in a row that cannot be used are worth a word.
const UNUSABLE: u32 = 8;

/// The follower engine.
#[derive(Debug)]
pub struct Port {
    config: PortConfig,
    state: State,
    leaders: Leaders,
    parent: Option<PortIdentity>,
    pairing: Pairing,
    estimator: Estimator,
    timeline: u64,
    estimated: Option<PortIdentity>,
    delay: DelayMeter,
    last_sample: Option<Sample>,
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
            state: State::Initializing,
            leaders: Leaders::default(),
            parent: None,
            pairing: Pairing::default(),
            estimator: Estimator::new(RateGuess::UNKNOWN),
            timeline: 0,
            estimated: None,
            delay: DelayMeter::new(config.delay, config.seed),
            last_sample: None,
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
            Input::Opened => self.step(Event::Opened, Reason::Opened),
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
            Input::Deadline => {}
        }
        self.expire(now);
        self.request_delay(now);
    }

    /// The next thing to be done or told; call until it is `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_at(0)
    }

    /// When [`Input::Deadline`] is due at the latest.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        let silence = self.leader().map(|leader| leader.last_sync + leader.interval * RECEIPT_TIMEOUT);
        [silence, self.delay.due()].into_iter().flatten().min()
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
            Err(error) => return self.malformed(error),
        };
        if packet.header.source.uuid == self.config.identity.uuid {
            return self.counters.add(Counter::Own);
        }
        if packet.header.subdomain != self.config.subdomain {
            self.counters.add(Counter::OtherSubdomain);
            if self.state == State::Listening && matches!(packet.message, Message::Sync(_)) {
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
            Message::FollowUp(body) => self.follow_up(&packet.header, body),
            Message::DelayResp(body) => self.delay_resp(&packet.header, body),
            Message::DelayReq(_) => self.counters.add(Counter::DelayReq),
            Message::Management(_) => self.counters.add(Counter::Management),
        }
    }

    fn malformed(&mut self, error: WireError) {
        self.counters.add(Counter::of_error(error));
        if error == WireError::Version2 && self.state == State::Listening {
            self.tell(Output::Notice(Notice::OnlyPtpV2));
        }
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
        match self.leaders.heard(now, header, body, *source.ip()) {
            Heard::Taken => {}
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
                    self.tell(Output::Notice(Notice::NoStamps));
                }
                return;
            }
        };
        self.unstamped = 0;
        let pair = if header.flags.assist() {
            self.unpaired = self.unpaired.saturating_add(1);
            if self.unpaired == UNUSABLE {
                self.tell(Output::Notice(Notice::NoFollowUp));
            }
            self.pairing.sync(header.source, header.sequence_id, stamp)
        } else {
            Some(Pair { source: header.source, arrived: stamp, origin: body.origin })
        };
        self.measure(pair);
    }

    fn follow_up(&mut self, header: &Header, body: FollowUp) {
        self.counters.add(Counter::FollowUp);
        if self.leaders.get(header.source).is_none() && self.leaders.is_full() {
            return;
        }
        let pair = self.pairing.follow_up(header.source, body.associated_sequence_id, body.precise_origin);
        self.measure(pair);
    }

    fn delay_resp(&mut self, header: &Header, body: DelayResp) {
        self.counters.add(Counter::DelayResp);
        if body.requesting == self.config.identity && Some(header.source) == self.parent {
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
        self.unpaired = 0;
        // The map goes on if this is the leader that made it: after a silence its time is most likely continuous, and
        // if it is not, the estimator sees a jump.
        if self.estimated != Some(best) {
            let reason = match self.estimated {
                None => Discontinuity::First(best),
                Some(_) => Discontinuity::AnotherLeader(best),
            };
            self.estimator.restart();
            self.estimated = Some(best);
            self.new_timeline(reason);
        }
        self.delay.new_leader();
        self.step(Event::LeaderChosen, Reason::Leader(best));
    }

    fn measure(&mut self, pair: Option<Pair>) {
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
                self.new_timeline(Discontinuity::Jump(-residual));
                self.step(Event::Diverged, Reason::Jumped);
                (Duration::ZERO, true)
            }
        };
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
        if accepted && self.has_converged() {
            self.step(Event::Converged, Reason::Converged);
        }
        self.tell(Output::Sample(sample));
    }

    fn has_converged(&self) -> bool {
        self.estimator.depth() >= CONVERGED_DEPTH
            && self.estimator.map().is_some_and(|map| map.sigma.rate.ppm() < CONVERGED_PPM)
    }

    fn new_timeline(&mut self, reason: Discontinuity) {
        self.timeline += 1;
        self.tell(Output::Timeline { number: self.timeline, reason });
    }

    fn expire(&mut self, now: Timestamp<Raw>) {
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
        let Some(leader) = self.leaders.get_option(self.parent) else { return };
        if let Some(sequence) = self.delay.request(now, leader.interval) {
            let packet = delay::request_packet(&self.config, leader, sequence);
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
