//! Conditions on a network, and what dante4l has to say about each: the tests of dante-core, dante4l and pmc-lite share this table.
//!
//! A sentence is named by the variant of [`Reason`], [`Discontinuity`] or [`Diagnostic`] that it is the text of.

#![allow(dead_code, reason = "each of the three tests uses a part")]

#[path = "conditions/incidents.rs"]
pub mod incidents;
#[path = "conditions/traffic.rs"]
pub mod traffic;

use dante_core::observe::{Observer, Output};
use dante_core::port::{
    self, Channel, DelayMechanism, Discontinuity, Input, LeaderRules, NoTimestamp, PacketTimestamp, Port,
    PortConfig, Reason, Route, SendToken,
};
use dante_core::time::{Affine, Dante, Duration, Ratio, Raw, Timestamp};
use dante_core::wire::{
    Buffer, DelayResp, Flags, FollowUp, Header, Message, Packet, PortIdentity, Subdomain, SyncBody, Uuid,
};
use std::net::{Ipv4Addr, SocketAddrV4};

const OURS: PortIdentity = PortIdentity { technology: 1, uuid: Uuid([2, 0, 0, 0, 0, 9]), port_id: 1 };
/// CLOCK_REALTIME minus CLOCK_MONOTONIC_RAW, ns.
const UTC_NS: i64 = 1_800_000_000_000_000_000;
pub const INTERVAL: Duration = Duration::from_ms(250);
pub const INTERFACE: &str = "eth1";
/// The healthy leader. Of lower rank are those with a higher number.
const HEALTHY: u8 = 5;
/// Syncs in half a minute.
const HALF_A_MINUTE: u16 = 120;

/// What becomes of this port's Delay_Reqs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Requests {
    Answered,
    Unanswered,
    Untimestamped,
}

/// One port and the senders on its network, in virtual time.
pub struct Stage {
    pub engine: Observer,
    pub now: Timestamp<Raw>,
    /// The names of the sentences so far.
    pub log: Vec<String>,
    line: Affine<Dante>,
    subdomain: Subdomain,
    /// Last byte of the sender's address.
    host: u8,
    route: Route,
    /// The Sync interval in Syncs.
    advertised: i8,
    arrival: fn(PacketTimestamp) -> Result<PacketTimestamp, NoTimestamp>,
    /// How much earlier packets arrived than this process takes them.
    lag: Duration,
    requests: Requests,
    /// Path delay of this port's Delay_Reqs.
    path_to_leader: Duration,
    /// Number of the healthy leader's next Sync.
    next: u16,
}

impl Stage {
    fn new(config: PortConfig) -> Self {
        let now = Timestamp::from_ns(5_000_000_000);
        let line =
            Affine { raw0: now, at0: Timestamp::from_ns(699_000_000_000), rate: Ratio::from_ppm(12.0) };
        let mut stage = Self {
            engine: Observer::new([(INTERFACE, config)]),
            now,
            log: Vec::new(),
            line,
            subdomain: Subdomain::DFLT,
            host: 2,
            route: Route::Multicast,
            advertised: -2,
            arrival: Ok,
            lag: Duration::ZERO,
            requests: Requests::Answered,
            path_to_leader: Duration::from_us(30),
            next: 1,
        };
        stage.handle(Input::Opened(OURS));
        stage
    }

    pub fn port(&self) -> &Port {
        self.engine.port(0).unwrap()
    }

    /// The names of the sentences since the last call.
    pub fn take_log(&mut self) -> String {
        std::mem::take(&mut self.log).join(" ")
    }

    fn handle(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, 0, input);
        while let Some((_, output)) = self.engine.poll() {
            let Output::Port(output) = output else { continue };
            match output {
                port::Output::Changed { reason, .. } => self.log.push(variant(&reason)),
                port::Output::Timeline { reason, .. } => self.log.push(variant(&reason)),
                port::Output::Diagnostic(diagnostic) => self.log.push(variant(&diagnostic)),
                port::Output::Send { packet, token } => self.sent(&packet, token),
                port::Output::Sample(_) | port::Output::Rate(_) => {}
            }
        }
    }

    /// The leader answers a Delay_Req.
    fn sent(&mut self, packet: &Buffer, token: SendToken) {
        let real = Timestamp::from_ns(self.now.ns() + UTC_NS);
        let left = PacketTimestamp { raw: self.now, real };
        let timestamp =
            if self.requests == Requests::Untimestamped { Err(NoTimestamp::Missing) } else { Ok(left) };
        let leader = self.port().leader().map(|leader| leader.identity);
        self.handle(Input::Departed { token, timestamp });
        if let (Some(leader), Requests::Answered) = (leader, self.requests) {
            let received = self.line.at(self.now + self.path_to_leader);
            let requesting_sequence_id = Packet::parse(packet).unwrap().header.sequence_id;
            let answer = DelayResp { received, requesting: OURS, requesting_sequence_id };
            self.general(leader, 1, Message::DelayResp(answer));
        }
    }

    /// Advances the time, with an input at each deadline of the port.
    fn wait(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(due) = self.engine.deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.handle(Input::Deadline);
        }
        self.now = until;
    }

    fn receive(&mut self, channel: Channel, bytes: &[u8]) {
        let raw = self.now - self.lag;
        let real = Timestamp::from_ns(raw.ns() + UTC_NS);
        let arrived = match channel {
            Channel::Event => (self.arrival)(PacketTimestamp { raw, real }),
            Channel::General => Err(NoTimestamp::Missing),
        };
        let source = SocketAddrV4::new(Ipv4Addr::new(169, 254, 1, self.host), 49_155);
        let route = self.route;
        self.handle(Input::Packet { channel, bytes, source, route, arrived });
    }

    fn packet(&self, source: PortIdentity, sequence_id: u16, flags: Flags, message: Message) -> Buffer {
        let header = Header { version_network: 1, subdomain: self.subdomain, source, sequence_id, flags };
        Packet { header, message }.build().unwrap()
    }

    fn general(&mut self, source: PortIdentity, sequence: u16, message: Message) {
        let packet = self.packet(source, sequence, Flags::NONE, message);
        self.receive(Channel::General, &packet);
    }

    fn sync_of(&self, source: PortIdentity, sequence: u16) -> Buffer {
        let body = SyncBody { sync_interval: self.advertised, ..SyncBody::dante(source) };
        self.packet(source, sequence, Flags::ASSIST, Message::Sync(body))
    }

    fn sync(&mut self, n: u8, sequence: u16) {
        let packet = self.sync_of(identity(n), sequence);
        self.receive(Channel::Event, &packet);
    }

    fn follow_up(&mut self, n: u8, sequence: u16) {
        let precise_origin = self.line.at(self.now - self.lag - Duration::from_us(30));
        let message = Message::FollowUp(FollowUp { associated_sequence_id: sequence, precise_origin });
        self.general(identity(n), sequence, message);
    }

    fn pair(&mut self, n: u8, sequence: u16) {
        self.sync(n, sequence);
        self.follow_up(n, sequence);
    }

    /// A packet of another subdomain.
    fn in_subdomain(&mut self, subdomain: Subdomain, send: impl FnOnce(&mut Self)) {
        self.subdomain = subdomain;
        send(self);
        self.subdomain = Subdomain::DFLT;
    }

    /// A packet from the host with this last byte of its address.
    fn from(&mut self, host: u8, send: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.host, host);
        send(self);
        self.host = before;
    }

    /// Packets that come another way than from the multicast group.
    fn by(&mut self, route: Route, send: impl FnOnce(&mut Self)) {
        self.route = route;
        send(self);
        self.route = Route::Multicast;
    }

    /// Packets with the leader's time that much later.
    fn shifted(&mut self, by: Duration, send: impl FnOnce(&mut Self)) {
        let line = self.line;
        self.line.at0 = line.at0 + by;
        send(self);
        self.line = line;
    }

    /// Packets that have arrived with another receive timestamp, or none.
    fn arriving(
        &mut self,
        arrival: fn(PacketTimestamp) -> Result<PacketTimestamp, NoTimestamp>,
        send: impl FnOnce(&mut Self),
    ) {
        self.arrival = arrival;
        send(self);
        self.arrival = Ok;
    }

    /// The healthy leader sends this many Syncs, one each interval, and `beside` is sent before each.
    fn leads_beside(&mut self, syncs: u16, mut beside: impl FnMut(&mut Self, u16)) {
        for _ in 0..syncs {
            let sequence = self.next;
            beside(self, sequence);
            self.pair(HEALTHY, sequence);
            self.next = sequence.wrapping_add(1);
            self.wait(INTERVAL);
        }
    }

    fn leads(&mut self, syncs: u16) {
        self.leads_beside(syncs, |_, _| {});
    }

    /// This is sent in each interval, with a number that counts the intervals, instead of the healthy leader's packets.
    fn sends(&mut self, intervals: u16, mut send: impl FnMut(&mut Self, u16)) {
        for _ in 0..intervals {
            let sequence = self.next;
            send(self, sequence);
            self.next = sequence.wrapping_add(1);
            self.wait(INTERVAL);
        }
    }

    /// This process takes no packet for a while, and then all.
    fn stops(&mut self, syncs: u16) {
        let begin = self.now;
        self.now = begin + INTERVAL * i64::from(syncs);
        for n in 0..syncs {
            self.lag = self.now - begin - INTERVAL * i64::from(n);
            self.pair(HEALTHY, self.next);
            self.next += 1;
        }
        self.lag = Duration::ZERO;
    }

    fn reboots(&mut self) {
        (self.line.raw0, self.line.at0, self.next) = (self.now, Timestamp::from_ns(3_000_000_000), 1);
    }
}

fn identity(n: u8) -> PortIdentity {
    PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0, 0, n]), port_id: 1 }
}

/// The name of a variant, without its fields.
pub fn variant(value: &impl std::fmt::Debug) -> String {
    let text = format!("{value:?}");
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}

/// Every reason and discontinuity; a new one does not compile here until it is in the list.
pub fn every_change() -> Vec<String> {
    let (id, span) = (identity(1), Duration::ZERO);
    let reasons = [
        Reason::Opened,
        Reason::Failed,
        Reason::ForeignLeader(id),
        Reason::Converged,
        Reason::Jumped,
        Reason::Returned(span),
        Reason::Unmeasured(span),
        Reason::Refitted,
        Reason::Scattered(span),
        Reason::Silence(span),
    ];
    for reason in reasons {
        match reason {
            Reason::Opened | Reason::Failed | Reason::ForeignLeader(_) | Reason::Converged => {}
            Reason::Jumped | Reason::Returned(_) | Reason::Unmeasured(_) => {}
            Reason::Refitted | Reason::Scattered(_) | Reason::Silence(_) => {}
        }
    }
    let discontinuities = [
        Discontinuity::First(id),
        Discontinuity::AnotherLeader(id),
        Discontinuity::Reboot(span),
        Discontinuity::Jump(span),
        Discontinuity::Absence(span),
    ];
    for discontinuity in discontinuities {
        match discontinuity {
            Discontinuity::First(_) | Discontinuity::AnotherLeader(_) | Discontinuity::Reboot(_) => {}
            Discontinuity::Jump(_) | Discontinuity::Absence(_) => {}
        }
    }
    reasons.iter().map(variant).chain(discontinuities.iter().map(variant)).collect()
}

/// What is sent in each interval; the number counts the intervals.
type Send = fn(&mut Stage, u16);

/// Traffic of others, alone and beside a leader that can be followed.
pub struct Traffic {
    pub name: &'static str,
    pub config: fn() -> PortConfig,
    pub send: Send,
    /// The sentences if nothing else is sent for half a minute, and the kind of the first finding then.
    pub alone: &'static str,
    pub finding: &'static str,
    /// The further sentences if then the healthy leader appears, whatever its first packet.
    pub then: &'static str,
    /// The sentences if the healthy leader sends from the beginning, and the kind of the first finding then; `ok`: none.
    pub beside: &'static str,
    pub finding_beside: &'static str,
    /// The further sentences if the traffic begins while the healthy leader is followed.
    pub after_lock: &'static str,
    /// The further sentences if that leader ends, for half a minute. After another minute, the traffic explains why there is none.
    pub without: &'static str,
}

/// What happens to the only leader, or to this host, after the lock.
pub struct Incident {
    pub name: &'static str,
    pub config: fn() -> PortConfig,
    pub happens: fn(&mut Stage),
    /// All sentences after the lock.
    pub log: &'static str,
    /// The kind of the first finding in the end; `ok`: none.
    pub finding: &'static str,
}

/// The first sentence of all, and those of the lock to the first leader.
pub const OPENED: &str = "Opened";
pub const LOCK: &str = "First ForeignLeader Converged";

pub fn plain() -> PortConfig {
    PortConfig::default()
}

fn e2e() -> PortConfig {
    PortConfig { delay: DelayMechanism::E2e, ..plain() }
}

fn denies() -> PortConfig {
    ruled(|rules| rules.deny.push("00:1d:c1:00:00:07".parse().unwrap()))
}

/// Permits the healthy leader and no other.
fn lists() -> PortConfig {
    ruled(|rules| rules.only.push("00:1d:c1:00:00:05".parse().unwrap()))
}

/// Permits all senders.
fn permits_subnet() -> PortConfig {
    ruled(|rules| rules.only.push("169.254.0.0/16".parse().unwrap()))
}

fn ruled(rule: fn(&mut LeaderRules)) -> PortConfig {
    let mut config = plain();
    rule(&mut config.rules);
    config
}

/// Runs the traffic alone.
pub fn alone(one: &Traffic) -> Stage {
    let mut stage = Stage::new((one.config)());
    stage.next = 1_000;
    stage.sends(HALF_A_MINUTE, one.send);
    stage
}

/// Continues after [`alone`]: the healthy leader appears, first with a Sync, a Follow_Up or a Delay_Resp.
pub fn then(one: &Traffic, stage: &mut Stage, first: usize) {
    let begin = stage.next;
    match first {
        0 => {}
        1 => stage.follow_up(HEALTHY, begin - 1),
        _ => {
            let answer =
                DelayResp { received: Timestamp::ZERO, requesting: identity(99), requesting_sequence_id: 1 };
            stage.general(identity(HEALTHY), 1, Message::DelayResp(answer));
        }
    }
    stage.leads_beside(HALF_A_MINUTE, one.send);
}

pub fn beside(one: &Traffic) -> Stage {
    let mut stage = Stage::new((one.config)());
    stage.leads_beside(HALF_A_MINUTE, one.send);
    stage
}

/// The sentences after the traffic begins beside the healthy leader, in the half minute after that leader has ended, and in the next
/// minute.
pub fn after_lock(one: &Traffic) -> [String; 3] {
    let mut stage = Stage::new((one.config)());
    stage.leads(HALF_A_MINUTE);
    stage.take_log();
    stage.leads_beside(HALF_A_MINUTE, one.send);
    let after = stage.take_log();
    stage.sends(HALF_A_MINUTE, one.send);
    let without = stage.take_log();
    stage.sends(2 * HALF_A_MINUTE, one.send);
    [after, without, stage.take_log()]
}

/// Runs an incident.
pub fn after(one: &Incident) -> Stage {
    let mut stage = Stage::new((one.config)());
    stage.leads(HALF_A_MINUTE);
    assert_eq!(stage.log.join(" "), format!("{OPENED} {LOCK}"), "{}", one.name);
    stage.log.clear();
    (one.happens)(&mut stage);
    stage
}
