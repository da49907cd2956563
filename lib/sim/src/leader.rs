//! The PTPv1 leader, as a real Dante device is one: an engine of the same shape as the follower.
//!
//! Two-step Syncs, whose own time is about 61 us early, so that a follower that uses it instead of the Follow_Up's shows
//! at once; uptime for seconds; stratum 0x99; answers to everybody's Delay_Req and questions.

mod answers;

use crate::oscillator::Path;
use dante_core::outputs::Outputs;
use dante_core::port::{NoTimestamp, PacketTimestamp};
use dante_core::time::{Dante, Duration, Raw, Timestamp};
use dante_core::wire::{
    Buffer, DelayResp, EVENT_PORT, Flags, FollowUp, GENERAL_PORT, Grandmaster, Header, LocalClock, Message,
    Packet, PortIdentity, Subdomain, SyncBody,
};

/// What the leader says of itself.
#[derive(Debug, Clone, Copy)]
pub struct LeaderConfig {
    /// Where it leads.
    pub subdomain: Subdomain,
    /// Who it is.
    pub identity: PortIdentity,
    /// Sync interval as a power of two of a second; Dante's is -2.
    pub sync_interval: i8,
    /// Dante's is 0x99 (or 0x79), outside of the standard's 0..4.
    pub stratum: u8,
    /// Dante's is 0x7060 (or 0xf060).
    pub variance: i16,
    /// Preferred Leader.
    pub preferred: bool,
    /// UDP port of event messages, as it tells who asks.
    pub event_port: u16,
    /// UDP port of general messages, likewise.
    pub general_port: u16,
}

impl LeaderConfig {
    /// As a Dante device has it.
    pub const fn dante(identity: PortIdentity) -> Self {
        let Grandmaster { stratum, variance, preferred, .. } = Grandmaster::dante(identity);
        Self {
            subdomain: Subdomain::DFLT,
            identity,
            sync_interval: SyncBody::dante(identity).sync_interval,
            stratum,
            variance,
            preferred,
            event_port: EVENT_PORT,
            general_port: GENERAL_PORT,
        }
    }
}

/// How much earlier a Sync's own time is than that of its Follow_Up; 58 to 65 us on real devices.
const SYNC_IS_EARLY_BY: Duration = Duration::from_us(61);

/// 2^32 s, in ns.
const SECONDS_RUN_OVER: i64 = (1 << 32) * 1_000_000_000;

/// Names one Sync that was handed out for sending.
#[derive(Debug, PartialEq, Eq)]
pub struct SyncToken(u16);

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A packet arrived.
    Packet {
        /// UDP payload.
        bytes: &'a [u8],
        /// When.
        arrived: Result<PacketTimestamp, NoTimestamp>,
    },
    /// A Sync left.
    Departed {
        /// Which one.
        token: SyncToken,
        /// When.
        stamp: Result<PacketTimestamp, NoTimestamp>,
    },
    /// The deadline came.
    Deadline,
}

/// What is to be done or told.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Multicast this Sync and report its departure.
    Sync {
        /// UDP payload.
        packet: Buffer,
        /// To be handed back.
        token: SyncToken,
    },
    /// Multicast this on the general port.
    General {
        /// UDP payload.
        packet: Buffer,
    },
    /// Somebody else leads here.
    AnotherLeader(PortIdentity),
}

/// The leader engine.
#[derive(Debug)]
pub struct Leader {
    config: LeaderConfig,
    oscillator: Path,
    sequence: u16,
    /// It has sent a Sync.
    leads: bool,
    /// Counts its answers.
    answers: u16,
    next_sync: Timestamp<Raw>,
    /// One input makes one.
    outputs: Outputs<Output, 4>,
}

impl Leader {
    /// A leader that sends its first Sync at `start`.
    pub fn new(config: LeaderConfig, oscillator: impl Into<Path>, start: Timestamp<Raw>) -> Self {
        Self {
            config,
            oscillator: oscillator.into(),
            sequence: 0,
            leads: false,
            answers: 0,
            next_sync: start,
            outputs: Outputs::default(),
        }
    }

    /// The same, its first Sync following one with this number.
    pub fn after_sequence(self, sequence: u16) -> Self {
        Self { sequence, ..self }
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Timestamp<Raw>, input: Input<'_>) {
        match input {
            Input::Packet { bytes, arrived } => self.packet(now, bytes, arrived),
            Input::Departed { token, stamp } => {
                // Without a stamp nobody can say when it left: no Follow_Up is better than a wrong one.
                if let Ok(stamp) = stamp {
                    let precise_origin = self.time_at(stamp.raw);
                    self.follow_up(token.0, precise_origin);
                }
            }
            Input::Deadline if now >= self.next_sync => self.sync(now),
            Input::Deadline => {}
        }
    }

    /// The next thing to be done or told; call until it is `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// When [`Input::Deadline`] is due.
    pub fn deadline(&self) -> Timestamp<Raw> {
        self.next_sync
    }

    /// Its oscillator.
    pub fn oscillator(&mut self) -> &mut Path {
        &mut self.oscillator
    }

    /// The time that it tells, true to the ns. Its 32 bits of seconds run over, as the standard has them do.
    pub fn time_at(&mut self, raw: Timestamp<Raw>) -> Timestamp<Dante> {
        let at = self.oscillator.at(raw).ns();
        Timestamp::from_ns(if at < SECONDS_RUN_OVER { at } else { at % SECONDS_RUN_OVER })
    }

    /// How far its Syncs are apart.
    pub fn interval(&self) -> Duration {
        Duration::from_log2_secs(self.config.sync_interval)
    }

    fn sync(&mut self, now: Timestamp<Raw>) {
        self.sequence = self.sequence.wrapping_add(1);
        self.leads = true;
        self.next_sync = self.next_sync + self.interval();
        if self.next_sync <= now {
            // After a stall the missed ones are not made up for.
            self.next_sync = now + self.interval();
        }
        let at = self.time_at(now);
        let epoch_number = self.epoch_number(now);
        let grandmaster = self.grandmaster();
        let Grandmaster { variance, stratum, identifier, .. } = grandmaster;
        let body = SyncBody {
            origin: at - SYNC_IS_EARLY_BY,
            epoch_number,
            grandmaster,
            sync_interval: self.config.sync_interval,
            local: LocalClock { variance, steps_removed: 0, stratum, identifier },
            ..SyncBody::dante(self.config.identity)
        };
        let packet = self.header(Flags::BOUNDARY_CLOCK | Flags::ASSIST, self.sequence).sync(&body);
        self.tell(Output::Sync { packet, token: SyncToken(self.sequence) });
    }

    /// Itself, as Dante names a grandmaster.
    fn grandmaster(&self) -> Grandmaster {
        let LeaderConfig { identity, stratum, variance, preferred, .. } = self.config;
        Grandmaster {
            sequence_id: self.sequence,
            stratum,
            variance,
            preferred,
            ..Grandmaster::dante(identity)
        }
    }

    /// How often its 32 bits of seconds have run over: once at most, as long as it lives.
    fn epoch_number(&mut self, now: Timestamp<Raw>) -> u16 {
        u16::from(self.oscillator.at(now).ns() >= SECONDS_RUN_OVER)
    }

    fn follow_up(&mut self, associated_sequence_id: u16, precise_origin: Timestamp<Dante>) {
        let body = FollowUp { associated_sequence_id, precise_origin };
        let packet = self.header(Flags::NONE, associated_sequence_id).follow_up(&body);
        self.tell(Output::General { packet });
    }

    fn packet(&mut self, now: Timestamp<Raw>, bytes: &[u8], arrived: Result<PacketTimestamp, NoTimestamp>) {
        let Ok(packet) = Packet::parse(bytes) else { return };
        let header = &packet.header;
        if header.source.uuid == self.config.identity.uuid || header.subdomain != self.config.subdomain {
            return;
        }
        match (packet.message, arrived) {
            (Message::Sync(_), _) => self.tell(Output::AnotherLeader(header.source)),
            (Message::DelayReq(_), Ok(stamp)) => {
                let received = self.time_at(stamp.raw);
                let packet = self.header(Flags::NONE, self.sequence).delay_resp(&DelayResp {
                    received,
                    requesting: header.source,
                    requesting_sequence_id: header.sequence_id,
                });
                self.tell(Output::General { packet });
            }
            (Message::Management(question), _) => self.answer(now, header.source, &question),
            _ => {}
        }
    }

    fn header(&self, flags: Flags, sequence_id: u16) -> Header {
        Header {
            version_network: 1,
            subdomain: self.config.subdomain,
            source: self.config.identity,
            sequence_id,
            flags,
        }
    }

    fn tell(&mut self, output: Output) {
        self.outputs.push(output);
    }
}
