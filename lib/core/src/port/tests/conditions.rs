//! Conditions on a network, and what dante4l has to say about each: the tests of dante-core, dante4l and pmc-lite share this table.
//!
//! A sentence is named by the variant of [`Reason`], [`Discontinuity`] or [`Diagnostic`] that it is the text of.

#![allow(dead_code, reason = "each of the three tests uses a part")]

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
    let rules = LeaderRules {
        deny: ["00:1d:c1:00:00:07".parse().unwrap()].into_iter().collect(),
        ..LeaderRules::default()
    };
    PortConfig { rules, ..plain() }
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

pub fn traffic() -> Vec<Traffic> {
    let row = |name, send: Send, alone| Traffic {
        name,
        config: plain,
        send,
        alone,
        finding: "no_leader",
        then: LOCK,
        beside: LOCK,
        finding_beside: "ok",
        after_lock: "",
        without: "Silence",
    };
    // A leader that is followed if there is no other one.
    let leader = |name, send: Send, alone, finding| Traffic {
        finding,
        then: "AnotherLeader ForeignLeader Converged",
        beside: "First ForeignLeader AnotherLeader Converged",
        without: "",
        finding_beside: "several_leaders",
        ..row(name, send, alone)
    };
    // One of a higher rank than the healthy leader that cannot be measured.
    let defective = |name, send: Send, alone, without| Traffic {
        then: "AnotherLeader PassedOver Converged",
        beside: "First ForeignLeader AnotherLeader PassedOver Converged",
        finding_beside: "diagnostic",
        after_lock: "PassedOver",
        without,
        ..leader(name, send, alone, "diagnostic")
    };
    vec![
        row("nothing", |_, _| {}, ""),
        row("PTPv2", ptp_v2, "OnlyPtpV2"),
        row("another subdomain", other_subdomain, "OtherSubdomain"),
        row(
            "PTPv2 beside another subdomain",
            |stage, n| {
                ptp_v2(stage, n);
                other_subdomain(stage, n);
            },
            "OtherSubdomain",
        ),
        row("Follow_Ups without Syncs", |stage, n| stage.follow_up(7, n), "NoSync"),
        row(
            "Follow_Ups without Syncs beside PTPv2",
            |stage, n| {
                general_ptp_v2(stage);
                stage.follow_up(7, n);
            },
            "NoSync",
        ),
        row(
            "Follow_Ups without Syncs beside Delay_Reqs, so that the event port is open",
            |stage, n| {
                stage.follow_up(7, n);
                delay_req(stage, n);
            },
            "",
        ),
        row("Delay_Reqs of followers", delay_req, ""),
        row("packets of this host's own UUID", own, "OnlyOwn"),
        row(
            "packets of this host's own UUID beside PTPv2",
            |stage, n| {
                own(stage, n);
                ptp_v2(stage, n);
            },
            "OnlyPtpV2",
        ),
        row(
            "a leader on this host",
            |stage, n| stage.by(Route::OwnHost, |stage| stage.pair(7, n)),
            "OwnHost",
        ),
        row(
            "a leader on this host with its UUID",
            |stage, n| stage.by(Route::OwnHost, |stage| own(stage, n)),
            "OwnHost",
        ),
        row(
            "a leader on this host beside PTPv2",
            |stage, n| {
                ptp_v2(stage, n);
                stage.by(Route::OwnHost, |stage| stage.pair(7, n));
            },
            "OwnHost",
        ),
        row(
            "a leader that sends by unicast",
            |stage, n| stage.by(Route::Unicast, |stage| stage.pair(7, n)),
            "Unicast",
        ),
        Traffic {
            config: denies,
            ..row(
                "a denied leader that sends by unicast",
                |stage, n| stage.by(Route::Unicast, |stage| stage.pair(7, n)),
                "NotPermitted",
            )
        },
        row("short packets", short, "WrongLength"),
        row(
            "short packets beside PTPv2",
            |stage, n| {
                ptp_v2(stage, n);
                short(stage, n);
            },
            "WrongLength",
        ),
        row(
            "versionPTP 3",
            |stage, n| {
                let mut packet = stage.sync_of(identity(7), n);
                packet[1] = 3;
                stage.receive(Channel::Event, &packet);
            },
            "UnknownVersion",
        ),
        Traffic { config: denies, ..row("a denied leader", |stage, n| stage.pair(7, n), "NotPermitted") },
        Traffic {
            config: denies,
            ..row(
                "a denied leader beside PTPv2",
                |stage, n| {
                    ptp_v2(stage, n);
                    stage.pair(7, n);
                },
                "NotPermitted",
            )
        },
        Traffic {
            config: denies,
            ..row(
                "a denied leader beside another one's Follow_Ups",
                |stage, n| {
                    stage.sync(7, n);
                    stage.follow_up(8, n);
                },
                "NotPermitted",
            )
        },
        Traffic {
            finding_beside: "diagnostic",
            beside: "Dropped First ForeignLeader Converged",
            after_lock: "Dropped",
            ..row("dropped packets", |stage, _| stage.handle(Input::Dropped(3)), "Dropped")
        },
        Traffic {
            // Neither stays in the table for two Syncs.
            then: "",
            finding: "calibrating",
            beside: "TooManyLeaders",
            finding_beside: "calibrating",
            after_lock: "TooManyLeaders",
            ..row(
                "a flood of leaders",
                |stage, n| (20..40).for_each(|who| stage.sync(who, n)),
                "TooManyLeaders",
            )
        },
        Traffic {
            then: "AnotherLeader Converged",
            without: "Silence AnotherLeader ForeignLeader NoFollowUp",
            ..leader(
                "a worse leader without Follow_Ups",
                |stage, n| stage.sync(7, n),
                "First ForeignLeader NoFollowUp",
                "diagnostic",
            )
        },
        Traffic {
            config: e2e,
            then: "AnotherLeader Converged",
            without: "Silence AnotherLeader ForeignLeader NoTimestamps",
            ..leader(
                "a worse leader without timestamps, Delay_Reqs are sent",
                |stage, n| {
                    stage.arriving(|_| Err(NoTimestamp::Missing), |stage| stage.sync(7, n));
                    stage.follow_up(7, n);
                },
                "First ForeignLeader NoTimestamps",
                "diagnostic",
            )
        },
        Traffic {
            without: "Silence AnotherLeader ForeignLeader Interval Converged",
            ..leader(
                "a worse leader that advertises a wrong interval",
                |stage, n| {
                    stage.advertised = 1;
                    stage.pair(7, n);
                    stage.advertised = -2;
                },
                "First ForeignLeader Interval Converged",
                "diagnostic",
            )
        },
        defective(
            "a better leader without Follow_Ups",
            |stage, n| stage.sync(1, n),
            "First ForeignLeader NoFollowUp",
            "Silence AnotherLeader ForeignLeader NoFollowUp",
        ),
        defective(
            "a better leader with Follow_Ups of other Syncs",
            |stage, n| {
                stage.sync(1, n);
                stage.follow_up(1, n ^ 0x4000);
            },
            "First ForeignLeader Contradicting",
            "Silence AnotherLeader ForeignLeader Contradicting",
        ),
        defective(
            "a better leader without timestamps",
            |stage, n| {
                stage.arriving(|_| Err(NoTimestamp::Missing), |stage| stage.sync(1, n));
                stage.follow_up(1, n);
            },
            "First ForeignLeader NoTimestamps",
            "Silence AnotherLeader ForeignLeader NoTimestamps",
        ),
    ]
}

fn short(stage: &mut Stage, sequence: u16) {
    let packet = stage.sync_of(identity(7), sequence);
    stage.receive(Channel::Event, &packet[..60]);
}

fn general_ptp_v2(stage: &mut Stage) {
    let mut bytes = [0; 64];
    (bytes[0], bytes[1]) = (0x0b, 0x02);
    stage.receive(Channel::General, &bytes);
}

fn ptp_v2(stage: &mut Stage, _: u16) {
    general_ptp_v2(stage);
    let mut bytes = [0; 64];
    bytes[1] = 0x02;
    stage.receive(Channel::Event, &bytes);
}

fn other_subdomain(stage: &mut Stage, sequence: u16) {
    stage.in_subdomain(Subdomain::ALT1, |stage| stage.pair(7, sequence));
}

fn own(stage: &mut Stage, sequence: u16) {
    let packet = stage.sync_of(OURS, sequence);
    stage.receive(Channel::Event, &packet);
}

fn delay_req(stage: &mut Stage, sequence: u16) {
    let packet =
        stage.packet(identity(9), sequence, Flags::NONE, Message::DelayReq(SyncBody::dante(identity(9))));
    stage.receive(Channel::Event, &packet);
}

/// Delays of a leader's packets, uniform up to this many us.
fn scatter(stage: &mut Stage, who: u8, syncs: u16, up_to_us: i64) {
    let mut random = 1_u32;
    stage.sends(syncs, |stage, n| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let late = Duration::from_us((i64::from(random >> 16) * up_to_us) >> 16);
        stage.shifted(-late, |stage| stage.pair(who, n));
    });
}

fn slow(stage: &mut Stage, syncs: u16) {
    stage.advertised = 1;
    for _ in 0..syncs {
        stage.pair(HEALTHY, stage.next);
        stage.next += 1;
        stage.wait(Duration::from_secs(2));
    }
}

pub fn incidents() -> Vec<Incident> {
    let row = |name, happens, log, finding| Incident { name, config: plain, happens, log, finding };
    let with_e2e = |name, happens, log, finding| Incident { config: e2e, ..row(name, happens, log, finding) };
    vec![
        row("nothing", |stage| stage.leads(40), "", "ok"),
        row(
            "silent for 2 s",
            |stage| {
                stage.wait(Duration::from_secs(2));
                stage.next += 8;
                stage.leads(40);
            },
            "",
            "ok",
        ),
        row("silent", |stage| stage.wait(Duration::from_secs(10)), "Silence", "no_leader"),
        row(
            "silent for a minute",
            |stage| {
                stage.wait(Duration::from_secs(60));
                stage.next += 240;
                stage.leads(40);
            },
            "Silence ForeignLeader Converged",
            "ok",
        ),
        row(
            "silent for a day",
            |stage| {
                stage.wait(Duration::from_secs(86_400));
                stage.next += 240;
                stage.leads(40);
            },
            "Silence ForeignLeader Absence Converged",
            "ok",
        ),
        row(
            "rebooted, silent for 20 s",
            |stage| {
                stage.wait(Duration::from_secs(20));
                stage.reboots();
                stage.leads(40);
            },
            "Silence ForeignLeader Reboot Converged",
            "ok",
        ),
        row(
            "rebooted, silent for 1 s",
            |stage| {
                stage.wait(Duration::from_secs(1));
                stage.reboots();
                stage.leads(40);
            },
            "Reboot Jumped Converged",
            "ok",
        ),
        row(
            "set forwards",
            |stage| {
                stage.line.at0 = stage.line.at0 + Duration::from_secs(10);
                stage.leads(40);
            },
            "Jump Jumped Converged",
            "ok",
        ),
        row(
            "set backwards",
            |stage| {
                stage.line.at0 = stage.line.at0 - Duration::from_secs(10);
                stage.leads(40);
            },
            "Jump Jumped Converged",
            "ok",
        ),
        row(
            "set backwards, silent for 20 s",
            |stage| {
                stage.wait(Duration::from_secs(20));
                stage.next += 80;
                stage.line.at0 = stage.line.at0 - Duration::from_secs(10);
                stage.leads(40);
            },
            "Silence ForeignLeader Reboot Converged",
            "ok",
        ),
        row(
            "Follow_Ups lost",
            |stage| stage.sends(40, |stage, n| stage.sync(HEALTHY, n)),
            "NoFollowUp Unmeasured",
            "diagnostic",
        ),
        row(
            "Follow_Ups lost for 10 s",
            |stage| {
                stage.sends(40, |stage, n| stage.sync(HEALTHY, n));
                stage.leads(400);
            },
            "NoFollowUp Unmeasured Converged",
            "ok",
        ),
        row(
            "Syncs lost",
            |stage| stage.sends(80, |stage, n| stage.follow_up(HEALTHY, n)),
            "Silence NoSync",
            "no_leader",
        ),
        row(
            "timestamps missing",
            |stage| {
                stage.arriving(|_| Err(NoTimestamp::Missing), |stage| stage.leads(40));
            },
            "NoTimestamps Unmeasured",
            "diagnostic",
        ),
        row(
            "system clock stepped each 250 ms",
            |stage| {
                stage.arriving(|_| Err(NoTimestamp::ClockStepped), |stage| stage.leads(40));
            },
            "ClockDisturbed Unmeasured",
            "diagnostic",
        ),
        row(
            "this process stopped for 2 s",
            |stage| {
                stage.stops(8);
                stage.leads(40);
            },
            "",
            "ok",
        ),
        row(
            "this process stopped for 10 s",
            |stage| {
                stage.stops(40);
                stage.leads(40);
            },
            "",
            "ok",
        ),
        row(
            "this process stopped for 10 s, no timestamp is usable",
            |stage| {
                stage.arriving(|_| Err(NoTimestamp::TooOld), |stage| stage.stops(40));
                stage.leads(40);
            },
            "Unmeasured Converged",
            "ok",
        ),
        row(
            "packets held back for 2 s, twice",
            |stage| {
                for _ in 0..2 {
                    let begin = stage.now;
                    let sent: Vec<_> = (0..8).map(|n| stage.line.at(begin + INTERVAL * n)).collect();
                    stage.wait(INTERVAL * 8);
                    for precise_origin in sent {
                        let n = stage.next;
                        stage.sync(HEALTHY, n);
                        stage.general(
                            identity(HEALTHY),
                            n,
                            Message::FollowUp(FollowUp { associated_sequence_id: n, precise_origin }),
                        );
                        stage.next += 1;
                        stage.wait(Duration::from_us(100));
                    }
                    stage.now = begin + INTERVAL * 9;
                    stage.leads(80);
                }
            },
            "",
            "ok",
        ),
        row(
            "interface failed",
            |stage| {
                stage.handle(Input::Failed);
                stage.leads(10);
            },
            "Failed",
            "interface_unusable",
        ),
        row(
            "interface failed for 10 s",
            |stage| {
                stage.handle(Input::Failed);
                stage.leads(40);
                stage.handle(Input::Opened(OURS));
                stage.leads(40);
            },
            "Failed Opened ForeignLeader Converged",
            "ok",
        ),
        row(
            "rebooted while the cable was unplugged",
            |stage| {
                stage.handle(Input::Failed);
                stage.wait(Duration::from_secs(20));
                stage.reboots();
                stage.handle(Input::Opened(OURS));
                stage.leads(40);
            },
            "Failed Opened ForeignLeader Reboot Converged",
            "ok",
        ),
        row(
            "replaced by a worse one after its end",
            |stage| stage.sends(80, |stage, n| stage.pair(7, n)),
            "Silence AnotherLeader ForeignLeader Converged",
            "ok",
        ),
        row(
            "replaced by a better one at once",
            |stage| stage.sends(80, |stage, n| stage.pair(1, n)),
            "AnotherLeader ForeignLeader Converged",
            "ok",
        ),
        row(
            "a better one sends, too",
            |stage| stage.leads_beside(80, |stage, n| stage.pair(1, n)),
            "AnotherLeader ForeignLeader Converged",
            "several_leaders",
        ),
        row(
            "its Follow_Ups lost, a worse one sends",
            |stage| {
                stage.leads_beside(20, |stage, n| stage.pair(7, n));
                stage.sends(40, |stage, n| {
                    stage.pair(7, n);
                    stage.sync(HEALTHY, n);
                });
            },
            "AnotherLeader ForeignLeader PassedOver Converged",
            "diagnostic",
        ),
        row(
            "a second sender of its identity",
            |stage| stage.leads_beside(80, |stage, n| stage.from(66, |stage| stage.pair(HEALTHY, n))),
            "SecondAddress",
            "diagnostic",
        ),
        row(
            "a second sender of its Follow_Ups",
            |stage| stage.leads_beside(80, |stage, n| stage.from(66, |stage| stage.follow_up(HEALTHY, n))),
            "SecondAddress",
            "diagnostic",
        ),
        row(
            "its address changed",
            |stage| {
                stage.host = 66;
                stage.leads(80);
            },
            "ForeignLeader Converged",
            "ok",
        ),
        row(
            "its address changed, a Follow_Up first",
            |stage| {
                stage.host = 66;
                let n = stage.next;
                stage.follow_up(HEALTHY, n);
                stage.next += 1;
                stage.leads(80);
            },
            "ForeignLeader Converged",
            "ok",
        ),
        row(
            "its address changed twice",
            |stage| {
                stage.host = 66;
                stage.leads(400);
                stage.host = 2;
                stage.leads(80);
            },
            "ForeignLeader Converged ForeignLeader Converged",
            "ok",
        ),
        row(
            "a second Follow_Up with another time",
            |stage| {
                stage.sends(20, |stage, n| {
                    stage.pair(HEALTHY, n);
                    stage.shifted(Duration::from_us(1), |stage| stage.follow_up(HEALTHY, n));
                })
            },
            "Contradicting",
            "diagnostic",
        ),
        row(
            "Follow_Ups of other Syncs",
            |stage| {
                stage.sends(40, |stage, n| {
                    stage.sync(HEALTHY, n);
                    stage.follow_up(HEALTHY, n ^ 0x4000);
                })
            },
            "Contradicting Unmeasured",
            "diagnostic",
        ),
        row(
            "its interval changed to 1 s and back",
            |stage| {
                stage.advertised = 0;
                for _ in 0..40 {
                    let n = stage.next;
                    stage.pair(HEALTHY, n);
                    stage.next += 1;
                    stage.wait(Duration::from_secs(1));
                }
                stage.advertised = -2;
                stage.leads(40);
            },
            "",
            "ok",
        ),
        row(
            "advertises another interval",
            |stage| {
                stage.advertised = 0;
                stage.leads(40);
            },
            "Interval",
            "diagnostic",
        ),
        row(
            "one Sync advertises another interval",
            |stage| {
                stage.advertised = 0;
                stage.leads(1);
                stage.advertised = -2;
                stage.leads(40);
            },
            "",
            "ok",
        ),
        row(
            "path longer by 0.4 ms",
            |stage| {
                stage.line.at0 = stage.line.at0 - Duration::from_us(400);
                stage.leads(80);
            },
            "",
            "ok",
        ),
        row(
            "its rate changed by 28 ppm",
            |stage| {
                stage.line =
                    Affine { raw0: stage.now, at0: stage.line.at(stage.now), rate: Ratio::from_ppm(40.0) };
                stage.leads(80);
            },
            "",
            "ok",
        ),
        row(
            "its rate changed by 300 ppm",
            |stage| {
                stage.line =
                    Affine { raw0: stage.now, at0: stage.line.at(stage.now), rate: Ratio::from_ppm(312.0) };
                stage.leads(80);
            },
            "Jump Jumped Converged",
            "ok",
        ),
        row(
            "this virtual machine stopped for a day",
            |stage| {
                stage.now = stage.now + Duration::from_secs(86_400);
                stage.leads(40);
            },
            "Absence Returned Converged",
            "ok",
        ),
        row(
            "its packets scatter by milliseconds",
            |stage| scatter(stage, HEALTHY, 400, 20_000),
            "Scattering Scattering",
            "diagnostic",
        ),
        row(
            "its packets scatter by milliseconds soon after the first one",
            |stage| {
                stage.wait(Duration::from_secs(3));
                stage.sends(8, |stage, n| stage.pair(7, n));
                scatter(stage, 7, 60, 3_000);
            },
            "Silence AnotherLeader ForeignLeader Converged Scattered",
            "calibrating",
        ),
        row(
            "replaced by a faster one whose packets scatter by milliseconds at first",
            |stage| {
                stage.wait(Duration::from_secs(3));
                stage.line =
                    Affine { raw0: stage.now, at0: stage.line.at(stage.now), rate: Ratio::from_ppm(112.0) };
                scatter(stage, 7, 64, 3_000);
                stage.sends(200, |stage, n| stage.pair(7, n));
            },
            "Silence AnotherLeader ForeignLeader Converged Refitted Converged",
            "ok",
        ),
        row("sends every 2 s", |stage| slow(stage, 40), "", "ok"),
        row(
            "sends every 2 s, and is rebooted",
            |stage| {
                slow(stage, 40);
                stage.reboots();
                slow(stage, 40);
            },
            "Reboot Jumped Converged",
            "ok",
        ),
        row(
            "sends every 2 s, rebooted, silent for a minute",
            |stage| {
                slow(stage, 40);
                stage.wait(Duration::from_secs(60));
                stage.reboots();
                slow(stage, 40);
            },
            "Silence ForeignLeader Reboot Converged",
            "ok",
        ),
        row(
            "rebooted after 3 hours",
            |stage| {
                stage.leads(40_000);
                stage.wait(Duration::from_secs(1));
                stage.reboots();
                stage.leads(40);
            },
            "Reboot Jumped Converged",
            "ok",
        ),
        row(
            "dropped packets",
            |stage| stage.leads_beside(20, |stage, _| stage.handle(Input::Dropped(1))),
            "Dropped",
            "diagnostic",
        ),
        with_e2e(
            "Delay_Reqs unanswered",
            |stage| {
                stage.requests = Requests::Unanswered;
                stage.leads(600);
            },
            "NoDelayResp NoDelayResp",
            "diagnostic",
        ),
        with_e2e(
            "Delay_Reqs without transmit timestamps",
            |stage| {
                stage.requests = Requests::Untimestamped;
                stage.leads(600);
            },
            "NoTransmitTimestamps",
            "diagnostic",
        ),
        with_e2e(
            "general packets lost, Delay_Reqs are sent",
            |stage| {
                stage.requests = Requests::Unanswered;
                stage.sends(600, |stage, n| stage.sync(HEALTHY, n));
            },
            "NoFollowUp Unmeasured NoFollowUp NoFollowUp",
            "diagnostic",
        ),
        with_e2e(
            "timestamps missing, Delay_Reqs are sent",
            |stage| stage.arriving(|_| Err(NoTimestamp::Missing), |stage| stage.leads(600)),
            "NoTimestamps Unmeasured NoTimestamps NoTimestamps",
            "diagnostic",
        ),
        with_e2e(
            "another leader answers no Delay_Req",
            |stage| {
                stage.requests = Requests::Unanswered;
                stage.leads(50);
                stage.wait(Duration::from_secs(4));
                stage.sends(60, |stage, n| stage.pair(7, n));
            },
            "Silence AnotherLeader ForeignLeader Converged",
            "ok",
        ),
        with_e2e(
            "path to it grows by 400 ns/s",
            |stage| {
                for _ in 0..800 {
                    stage.path_to_leader = stage.path_to_leader + Duration::from_ns(100);
                    stage.leads(1);
                }
            },
            "PathDrift",
            "diagnostic",
        ),
    ]
}
