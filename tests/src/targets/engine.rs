//! The port, with a script of events.

use dante_core::port::{
    Channel, Counter, DelayMechanism, Input, KnownRate, KnownRates, LeaderName, LeaderRules, NoTimestamp,
    Output, PacketTimestamp, Port, PortConfig, Route, SendToken, State,
};
use dante_core::time::{Affine, Dante, Duration, Ratio, Raw, Timestamp};
use dante_core::wire::{
    DelayResp, Flags, FollowUp, Header, Message, Packet, PortIdentity, Subdomain, SyncBody, Uuid,
};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

const OURS: PortIdentity = PortIdentity { technology: 1, uuid: Uuid([2, 0, 0, 0, 0, 9]), port_id: 1 };
const INTERVAL: Duration = Duration::from_ms(250);
const PATH: Duration = Duration::from_us(30);
/// The longest pause is 2^this ns, 13 days.
const LONGEST_PAUSE_LOG2: u8 = 50;

/// Runs a script of events. The first byte configures the port; then each event is one byte for its kind and some bytes for its
/// details, which are zero after the end of the script. In it leaders send correct Syncs, and anyone sends anything in their names.
///
/// # Panics
/// If the port breaks one of the rules in `World::handle`.
pub fn engine(bytes: &[u8]) {
    let mut script = Script(bytes);
    let mut world = World::new(script.byte());
    while !script.0.is_empty() {
        world.act(&mut script);
    }
}

struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number(&mut self) -> i64 {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(self.take(8)).for_each(|(to, byte)| *to = *byte);
        i64::from_le_bytes(bytes)
    }
}

struct World {
    port: Port,
    delay: DelayMechanism,
    rules: LeaderRules,
    now: Timestamp<Raw>,
    sequences: [u16; 4],
    tokens: VecDeque<SendToken>,
    timeline: u64,
    samples: u64,
}

impl World {
    fn new(setup: u8) -> Self {
        let delay = match setup % 3 {
            0 => DelayMechanism::None,
            1 => DelayMechanism::E2e,
            _ => DelayMechanism::Fixed(PATH),
        };
        let mut rules = LeaderRules::default();
        if setup & 0x08 != 0 {
            rules.only.push(LeaderName::Address(address(1)));
        }
        if setup & 0x10 != 0 {
            rules.deny.push(LeaderName::Uuid(leader(2).uuid, None));
        }
        if setup & 0x20 != 0 {
            rules.prefer.push(LeaderName::Uuid(leader(1).uuid, Some(1)));
        }
        let mut rates = KnownRates::default();
        if setup & 0x40 != 0 {
            rates.learn(KnownRate { leader: leader(1), rate: Ratio::from_ppm(-60.0), wander: None });
        }
        let config = PortConfig { delay, rules: rules.clone(), rates, ..PortConfig::default() };
        let mut world = Self {
            port: Port::new(config),
            delay,
            rules,
            now: Timestamp::from_ns(5_000_000_000),
            sequences: [1, 40_000, 65_530, 9],
            tokens: VecDeque::new(),
            timeline: 0,
            samples: 0,
        };
        if setup & 0x80 == 0 {
            world.handle(Input::Opened(OURS));
        }
        world
    }

    fn act(&mut self, script: &mut Script<'_>) {
        match script.byte() % 13 {
            0 => {
                let (who, count) = (script.byte(), script.byte() % 40);
                (0..count).for_each(|_| self.beat(who));
            }
            1 => self.pass(Duration::from_ms(i64::from(script.byte()))),
            2 => self.pass(Duration::from_ns(1 << (script.byte() % (LONGEST_PAUSE_LOG2 + 1)))),
            3 => {
                let (channel, length, from) = (channel(script), script.byte(), script.byte());
                let bytes = script.take(usize::from(length));
                let arrived = self.timestamp(script);
                self.receive(channel, bytes, from, arrived);
            }
            4 => self.sync(script),
            5 => {
                let (who, from, sequence) = (script.byte(), script.byte(), self.sequence(script));
                let origin = self.origin(who, script);
                self.follow_up(who, from, sequence, origin);
            }
            6 => {
                let (who, from, sequence) = (script.byte(), script.byte(), u16::from(script.byte()));
                let received = self.origin(who, script);
                let message = DelayResp { received, requesting: OURS, requesting_sequence_id: sequence };
                self.send(Channel::General, who, from, sequence, Message::DelayResp(message), NO_TIMESTAMP);
            }
            7 | 8 => {
                let timestamp = self.timestamp(script);
                if let Some(token) = self.tokens.pop_front() {
                    self.handle(Input::Departed { token, timestamp });
                }
            }
            9 => self.handle(Input::Opened(OURS)),
            10 => self.handle(Input::Failed),
            11 => self.handle(Input::Dropped(script.byte().into())),
            _ => self.handle(Input::Rejoined),
        }
    }

    /// Lets time pass, and calls the port at its deadlines.
    fn pass(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some(due) = self.port.deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.handle(Input::Deadline);
            assert!(
                self.port.deadline().is_none_or(|next| next > self.now),
                "the next deadline is in the past: the program would never sleep"
            );
        }
        self.now = until;
    }

    /// Sends a correct Sync with its Follow_Up, and lets one interval pass.
    fn beat(&mut self, who: u8) {
        let place = usize::from(who) % self.sequences.len();
        self.sequences[place] = self.sequences[place].wrapping_add(1);
        let sequence = self.sequences[place];
        let arrived = self.arrived(Duration::ZERO);
        self.send(Channel::Event, who, who, sequence, Message::Sync(body(who, -2, false)), arrived);
        let origin = line(who).at(self.now - PATH);
        self.follow_up(who, who, sequence, origin);
        self.pass(INTERVAL);
    }

    fn sync(&mut self, script: &mut Script<'_>) {
        let (who, from, sequence) = (script.byte(), script.byte(), self.sequence(script));
        let (interval, bits) = (script.byte().cast_signed(), script.byte());
        let mut sync = body(who, interval, bits & 1 != 0);
        sync.origin = self.origin(who, script);
        sync.grandmaster.stratum ^= bits >> 4;
        let arrived = self.timestamp(script);
        let packet = Packet {
            header: header(who, sequence, if bits & 2 == 0 { Flags::ASSIST } else { Flags::NONE }),
            message: Message::Sync(sync),
        };
        self.receive(Channel::Event, &packet.build().expect("a Sync"), from, arrived);
    }

    fn follow_up(&mut self, who: u8, from: u8, sequence: u16, precise_origin: Timestamp<Dante>) {
        let message = FollowUp { associated_sequence_id: sequence, precise_origin };
        self.send(Channel::General, who, from, sequence, Message::FollowUp(message), NO_TIMESTAMP);
    }

    fn send(
        &mut self,
        channel: Channel,
        who: u8,
        from: u8,
        sequence: u16,
        message: Message,
        arrived: Arrived,
    ) {
        let packet = Packet { header: header(who, sequence, Flags::ASSIST), message };
        self.receive(channel, &packet.build().expect("no management message"), from, arrived);
    }

    fn receive(&mut self, channel: Channel, bytes: &[u8], from: u8, arrived: Arrived) {
        let source = SocketAddrV4::new(address(from), 49_155);
        self.handle(Input::Packet { channel, bytes, source, route: Route::Multicast, arrived });
    }

    /// Returns a sequence number near the last one of a leader.
    fn sequence(&self, script: &mut Script<'_>) -> u16 {
        let last = self.sequences[usize::from(script.byte()) % self.sequences.len()];
        last.wrapping_add_signed(i16::from(script.byte().cast_signed()))
    }

    /// Returns a leader's true time, or another one.
    fn origin(&self, who: u8, script: &mut Script<'_>) -> Timestamp<Dante> {
        let truth = line(who).at(self.now - PATH);
        match script.byte() % 4 {
            0 => truth,
            1 => truth + Duration::from_us(i64::from(script.byte().cast_signed())),
            2 => truth + Duration::from_ms(i64::from(script.byte().cast_signed())),
            _ => Timestamp::from_ns(script.number()),
        }
    }

    fn arrived(&self, ago: Duration) -> Arrived {
        let raw = self.now - ago;
        Ok(PacketTimestamp { raw, real: Timestamp::from_ns(raw.ns() + 1_795_000_000_000_000_000) })
    }

    fn timestamp(&self, script: &mut Script<'_>) -> Arrived {
        match script.byte() {
            0..=127 => self.arrived(Duration::ZERO),
            ago @ 128..=249 => self.arrived(Duration::from_ms(i64::from(ago) - 128)),
            250..=252 => NO_TIMESTAMP,
            _ => Err(NoTimestamp::ClockStepped),
        }
    }

    /// Passes an input to the port, and checks what must hold after any input.
    fn handle(&mut self, input: Input<'_>) {
        self.port.handle(self.now, input);
        let mut outputs = 0;
        while let Some(output) = self.port.poll() {
            outputs += 1;
            self.judge(output);
        }
        assert!(outputs <= 8, "{outputs} outputs of one input");
        let port = &self.port;
        assert_eq!(port.counters().get(Counter::OutputLost), 0, "an output was lost");
        assert_eq!(port.timeline(), self.timeline, "a new timeline was not reported");
        if let Some(map) = port.map() {
            let is_finite = map.line.rate.is_finite() && map.sigma.rate.is_finite() && map.wander.is_finite();
            assert!(is_finite, "{map:?}");
            assert!(map.correlation.value().is_finite() && map.sigma.offset >= Duration::ZERO, "{map:?}");
        }
        if matches!(port.state(), State::Slave | State::Uncalibrated) {
            let leader = port.leader().expect("a leader, in this state");
            let is_only = self.rules.only.is_empty() || leader.address == address(1);
            assert!(is_only && !(self.rules.deny.len() == 1 && leader.identity.uuid == self::leader(2).uuid));
        }
        assert!(port.state() != State::Slave || port.map().is_some(), "SLAVE without a clock map");
    }

    fn judge(&mut self, output: Output) {
        match output {
            Output::Send { packet, token } => {
                assert_eq!(self.delay, DelayMechanism::E2e, "a packet is sent without --delay e2e");
                let sent = Packet::parse(&packet).expect("a packet");
                assert_eq!((sent.header.source, packet.len()), (OURS, 124));
                assert!(matches!(sent.message, Message::DelayReq(body) if body.local.stratum == 255));
                self.tokens.push_back(token);
                self.tokens.truncate(4);
            }
            Output::Timeline { number, .. } => {
                assert_eq!(number, self.timeline + 1, "a timeline number was skipped");
                self.timeline = number;
            }
            Output::Sample(sample) => {
                assert_eq!(sample.number, self.samples + 1, "a sample number was skipped");
                self.samples = sample.number;
            }
            Output::Rate(known) => assert!(known.rate.is_finite()),
            Output::Changed { reason, .. } => assert!(!reason.to_string().is_empty()),
            Output::Diagnostic(diagnostic) => assert!(!diagnostic.to_string().contains(char::is_control)),
        }
    }
}

type Arrived = Result<PacketTimestamp, NoTimestamp>;
const NO_TIMESTAMP: Arrived = Err(NoTimestamp::Missing);

fn channel(script: &mut Script<'_>) -> Channel {
    if script.byte().is_multiple_of(2) { Channel::Event } else { Channel::General }
}

fn leader(who: u8) -> PortIdentity {
    PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0, 0, who]), port_id: 1 }
}

fn address(of: u8) -> Ipv4Addr {
    Ipv4Addr::new(169, 254, 1, of)
}

/// Returns a leader's time as a line over the local clock.
fn line(who: u8) -> Affine<Dante> {
    let ppm = f64::from(who.cast_signed());
    let at0 = Timestamp::from_ns(700_000_000_000 * (1 + i64::from(who)));
    Affine { raw0: Timestamp::from_ns(5_000_000_000), at0, rate: Ratio::from_ppm(ppm) }
}

fn header(who: u8, sequence_id: u16, flags: Flags) -> Header {
    Header { version_network: 1, subdomain: Subdomain::DFLT, source: leader(who), sequence_id, flags }
}

fn body(who: u8, sync_interval: i8, preferred: bool) -> SyncBody {
    let mut body = SyncBody { sync_interval, ..SyncBody::dante(leader(who)) };
    body.grandmaster.preferred = preferred;
    body
}
