//! The PTPv1 leader, an engine like the follower's, which behaves as a Dante device.
//!
//! It sends two-step Syncs, its time is its uptime, its stratum is 0x99, and it answers every Delay_Req and management query.
//! The originTimestamp of its Syncs is 61 us early: a follower that uses it instead of the Follow_Up's preciseOriginTimestamp is
//! off by that much.

mod answers;

use crate::oscillator::Path;
use dante_core::outputs::Outputs;
use dante_core::port::{NoTimestamp, PacketTimestamp};
use dante_core::time::{Dante, Duration, Raw, Timestamp};
use dante_core::wire::{
    Buffer, DelayResp, EVENT_PORT, Flags, FollowUp, GENERAL_PORT, Grandmaster, Header, LocalClock, Message,
    Packet, PortIdentity, Subdomain, SyncBody,
};

/// What the leader announces.
#[derive(Debug, Clone, Copy)]
pub struct LeaderConfig {
    /// Its subdomain.
    pub subdomain: Subdomain,
    /// Its identity.
    pub identity: PortIdentity,
    /// Logarithm to base 2 of the Sync interval in seconds that it advertises; -2 with Dante.
    pub sync_interval: i8,
    /// Time between its Syncs; `None`: as advertised. ptpd 1.1 and others advertise one interval and send at another.
    pub spacing: Option<Duration>,
    /// 0x99 (or 0x79) with Dante, outside the standard's range of 0 to 4.
    pub stratum: u8,
    /// PTP variance; 0x7060 (or 0xf060) with Dante.
    pub variance: i16,
    /// Preferred Leader.
    pub preferred: bool,
    /// UDP port of event messages, for its port data set.
    pub event_port: u16,
    /// UDP port of general messages, for its port data set.
    pub general_port: u16,
}

impl LeaderConfig {
    /// Returns the configuration of a Dante device.
    pub const fn dante(identity: PortIdentity) -> Self {
        let Grandmaster { stratum, variance, preferred, .. } = Grandmaster::dante(identity);
        Self {
            subdomain: Subdomain::DFLT,
            identity,
            sync_interval: SyncBody::dante(identity).sync_interval,
            spacing: None,
            stratum,
            variance,
            preferred,
            event_port: EVENT_PORT,
            general_port: GENERAL_PORT,
        }
    }
}

/// The preciseOriginTimestamp of a Follow_Up minus the originTimestamp of its Sync; 58 to 65 us on real devices.
const SYNC_ORIGIN_EARLY: Duration = Duration::from_us(61);

/// The time at which 32 bits of seconds wrap: 2^32 s, in ns.
const SECONDS_WRAP: i64 = (1 << 32) * 1_000_000_000;

/// Identifies a Sync that the program has to send.
#[derive(Debug, PartialEq, Eq)]
pub struct SyncToken(u16);

/// An input of the leader.
#[derive(Debug)]
pub enum Input<'a> {
    /// A packet was received.
    Packet {
        /// UDP payload.
        bytes: &'a [u8],
        /// Its receive timestamp.
        arrived: Result<PacketTimestamp, NoTimestamp>,
    },
    /// A Sync was sent.
    Departed {
        /// Its token.
        token: SyncToken,
        /// Its transmit timestamp.
        timestamp: Result<PacketTimestamp, NoTimestamp>,
    },
    /// [`Leader::deadline`] is reached.
    Deadline,
}

/// An output of the leader.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Multicast this Sync on the event port, and report its departure with [`Input::Departed`].
    Sync {
        /// UDP payload.
        packet: Buffer,
        /// For [`Input::Departed`].
        token: SyncToken,
    },
    /// Multicast this packet on the general port.
    General {
        /// UDP payload.
        packet: Buffer,
    },
    /// Another leader sends Syncs in this subdomain.
    ForeignLeader(PortIdentity),
}

/// The engine of the leader.
#[derive(Debug)]
pub struct Leader {
    config: LeaderConfig,
    oscillator: Path,
    sequence: u16,
    /// A Sync was sent.
    leads: bool,
    /// Number of answers, which is also their sequenceId.
    answers: u16,
    next_sync: Timestamp<Raw>,
    /// An input causes one output at most.
    outputs: Outputs<Output, 4>,
}

impl Leader {
    /// Makes a leader that sends its first Sync at `start`.
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

    /// Sets the sequenceId before that of the first Sync.
    pub(crate) fn after_sequence(self, sequence: u16) -> Self {
        Self { sequence, ..self }
    }

    /// Handles an input.
    pub fn handle(&mut self, now: Timestamp<Raw>, input: Input<'_>) {
        match input {
            Input::Packet { bytes, arrived } => self.packet(now, bytes, arrived),
            Input::Departed { token, timestamp } => {
                // Without a timestamp the departure is unknown: no Follow_Up is better than a wrong one.
                if let Ok(timestamp) = timestamp {
                    let precise_origin = self.time_at(timestamp.raw);
                    self.follow_up(token.0, precise_origin);
                }
            }
            Input::Deadline if now >= self.next_sync => self.sync(now),
            Input::Deadline => {}
        }
    }

    /// Returns the next output; to be called until it returns `None`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// Returns the time of the next [`Input::Deadline`].
    pub fn deadline(&self) -> Timestamp<Raw> {
        self.next_sync
    }

    /// Returns its oscillator.
    pub(crate) fn oscillator(&mut self) -> &mut Path {
        &mut self.oscillator
    }

    /// Returns its time, exact to 1 ns. Its 32 bits of seconds wrap, as in IEEE 1588-2002.
    pub fn time_at(&mut self, raw: Timestamp<Raw>) -> Timestamp<Dante> {
        let at = self.oscillator.at(raw).ns();
        Timestamp::from_ns(if at < SECONDS_WRAP { at } else { at % SECONDS_WRAP })
    }

    /// Returns the time between its Syncs.
    pub fn interval(&self) -> Duration {
        self.config.spacing.unwrap_or_else(|| Duration::from_log2_secs(self.config.sync_interval))
    }

    fn sync(&mut self, now: Timestamp<Raw>) {
        self.sequence = self.sequence.wrapping_add(1);
        self.leads = true;
        self.next_sync = self.next_sync + self.interval();
        if self.next_sync <= now {
            // Syncs missed during a stall are not sent later.
            self.next_sync = now + self.interval();
        }
        let at = self.time_at(now);
        let epoch_number = self.epoch_number(now);
        let grandmaster = self.grandmaster();
        let Grandmaster { variance, stratum, identifier, .. } = grandmaster;
        let body = SyncBody {
            origin: at - SYNC_ORIGIN_EARLY,
            epoch_number,
            grandmaster,
            sync_interval: self.config.sync_interval,
            local: LocalClock { variance, steps_removed: 0, stratum, identifier },
            ..SyncBody::dante(self.config.identity)
        };
        let packet = self.header(Flags::BOUNDARY_CLOCK | Flags::ASSIST, self.sequence).sync(&body);
        self.emit(Output::Sync { packet, token: SyncToken(self.sequence) });
    }

    /// Returns its description as grandmaster, in Dante's form.
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

    /// Returns the number of wraps of its 32 bits of seconds: 0 or 1, since its time stays below 2^33 s (272 years).
    fn epoch_number(&mut self, now: Timestamp<Raw>) -> u16 {
        u16::from(self.oscillator.at(now).ns() >= SECONDS_WRAP)
    }

    fn follow_up(&mut self, associated_sequence_id: u16, precise_origin: Timestamp<Dante>) {
        let body = FollowUp { associated_sequence_id, precise_origin };
        let packet = self.header(Flags::NONE, associated_sequence_id).follow_up(&body);
        self.emit(Output::General { packet });
    }

    fn packet(&mut self, now: Timestamp<Raw>, bytes: &[u8], arrived: Result<PacketTimestamp, NoTimestamp>) {
        let Ok(packet) = Packet::parse(bytes) else { return };
        let header = &packet.header;
        if header.source.uuid == self.config.identity.uuid || header.subdomain != self.config.subdomain {
            return;
        }
        match (packet.message, arrived) {
            (Message::Sync(_), _) => self.emit(Output::ForeignLeader(header.source)),
            (Message::DelayReq(_), Ok(timestamp)) => {
                let received = self.time_at(timestamp.raw);
                let packet = self.header(Flags::NONE, self.sequence).delay_resp(&DelayResp {
                    received,
                    requesting: header.source,
                    requesting_sequence_id: header.sequence_id,
                });
                self.emit(Output::General { packet });
            }
            (Message::Management(query), _) => self.answer(now, header.source, &query),
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

    fn emit(&mut self, output: Output) {
        self.outputs.push(output);
    }
}
