//! The questioner: asks the clocks of a subdomain what they say of themselves, by PTPv1 management messages (IEEE
//! 1588-2002, 8.6).
//!
//! An engine of the same shape as [`Port`](crate::port::Port): [`ManagementClient::handle`] takes what happened,
//! [`ManagementClient::poll`] hands out what is to be sent, [`ManagementClient::deadline`] says when it wants to be called again, and is
//! `None` at the end. What flows through it:
//!
//! ```text
//! OBTAIN_IDENTITY to all -> who answers -> data sets of each, one question after the other -> asked once more
//! ```
//!
//! Where one clock is named, that one is asked for its identity and its data sets, and nobody else.
//!
//! **What an answer is known by.** PTPv1 has no transaction number: an answer bears a sequence number of the clock that
//! answers (as ptpd 1 has it), not the question's. So it is known by its target, which is the port that asked, by its
//! key, by its sender, and by having been asked for. Whoever hears the question can forge an answer; the first sender of
//! a clock's answers is its address, and any other is told.

mod clock;

pub use clock::{Clock, MAX_PORTS, Tally};

use crate::time::{Duration, Raw, Timestamp};
use crate::wire::{
    Buffer, Flags, Header, Management, Message, Packet, Payload, PortIdentity, Subdomain, Uuid, WireError,
};
use clock::{Question, Taken};
use std::net::Ipv4Addr;

/// Between two questions: no more than a Dante leader sends itself, which is four Syncs and four Follow_Ups a second.
pub const SPACING: Duration = Duration::from_ms(125);
/// A question without an answer is asked so often in all, since a datagram may be lost.
const ROUNDS: u8 = 2;

/// All questions, in the order in which they are asked.
pub fn questions() -> impl Iterator<Item = Payload> {
    Question::ALL.into_iter().map(Question::payload)
}

/// What is asked, and by whom.
#[derive(Debug, Clone)]
pub struct ManagementClientConfig {
    /// Where to ask, all 16 bytes of it.
    pub subdomain: Subdomain,
    /// Who asks. No two questioners on a network may have the same, or they take each other's answers.
    pub identity: PortIdentity,
    /// The one clock to ask; `None` for all.
    pub whom: Option<Uuid>,
    /// How many boundary clocks may pass a question on (startingBoundaryHops); 0: it is for this network alone.
    pub boundary_hops: i16,
    /// How long to wait for answers after the last question of a round.
    pub patience: Duration,
    /// So many clocks are remembered, and asked; the rest is counted.
    pub max_clocks: usize,
}

impl ManagementClientConfig {
    /// After so long it has ended, whatever anybody sends.
    pub fn longest(&self) -> Duration {
        let clocks = i64::try_from(self.max_clocks).unwrap_or(i64::MAX);
        let questions = clocks.saturating_mul(Question::COUNT).saturating_add(1);
        (SPACING * questions + self.patience * 2) * i64::from(ROUNDS)
    }
}

/// What happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A packet arrived, on the general port or where the questions were sent from.
    Packet {
        /// UDP payload.
        bytes: &'a [u8],
        /// Who sent it.
        address: Ipv4Addr,
    },
    /// The deadline came.
    Deadline,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// All were asked so often who they are.
    Searching(u8),
    /// Data sets are asked for, in this round.
    Asking(u8),
    /// Nothing more is asked or taken.
    Done,
}

/// The questioner's engine.
#[derive(Debug)]
pub struct ManagementClient {
    config: ManagementClientConfig,
    stage: Stage,
    clocks: Vec<Clock>,
    /// The clock and the question from which the next one is looked for.
    place: (usize, u8),
    /// When to send the next question, or to stop waiting.
    due: Timestamp<Raw>,
    last_sent: Option<Timestamp<Raw>>,
    sequence: u16,
    question: Option<Buffer>,
    tally: Tally,
}

impl ManagementClient {
    /// It asks its first question when [`Self::handle`] is called first.
    pub fn new(config: ManagementClientConfig, now: Timestamp<Raw>) -> Self {
        let mut clocks = Vec::with_capacity(config.max_clocks);
        clocks.extend(config.whom.map(Clock::named));
        Self {
            stage: if config.whom.is_some() { Stage::Asking(1) } else { Stage::Searching(0) },
            config,
            clocks,
            place: (0, 0),
            due: now,
            last_sent: None,
            sequence: 0,
            question: None,
            tally: Tally::default(),
        }
    }

    /// Takes in what happened. `now` never goes back.
    pub fn handle(&mut self, now: Timestamp<Raw>, input: Input<'_>) {
        if self.stage == Stage::Done {
            return;
        }
        if let Input::Packet { bytes, address } = input {
            self.packet(bytes, address);
        }
        self.proceed(now);
    }

    /// The next question, to be multicast to the general port; call until it is `None`.
    pub fn poll(&mut self) -> Option<Buffer> {
        self.question.take()
    }

    /// When [`Input::Deadline`] is due at the latest; `None` when all is asked and answered, or given up.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        (self.stage != Stage::Done).then_some(self.due)
    }

    /// The clocks that answered something, in the order in which they did.
    pub fn clocks(&self) -> impl Iterator<Item = &Clock> {
        self.clocks.iter().filter(|clock| clock.source.is_some())
    }

    /// What was heard besides answers, and what was sent.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    fn proceed(&mut self, now: Timestamp<Raw>) {
        if matches!(self.stage, Stage::Asking(_)) && self.clocks.iter().all(Clock::is_complete) {
            self.stage = Stage::Done;
        }
        while now >= self.due {
            match self.stage {
                Stage::Done => return,
                Stage::Searching(times) if times < ROUNDS && self.clocks.is_empty() => {
                    self.stage = Stage::Searching(times + 1);
                    self.ask(now, Question::Identity, Uuid([0; 6]));
                    self.due = now + self.config.patience;
                    return;
                }
                Stage::Searching(_) if self.clocks.is_empty() => self.stage = Stage::Done,
                Stage::Searching(_) => {
                    self.stage = Stage::Asking(1);
                    // The patience of one who is in a hurry may be shorter than this.
                    self.due = self.due.max(self.earliest(SPACING, now));
                }
                Stage::Asking(round) => {
                    if let Some((question, uuid)) = self.next_question(round) {
                        self.ask(now, question, uuid);
                        self.due = now + SPACING;
                        return;
                    }
                    // All were asked: the last answers may be on their way.
                    let wait = self.earliest(self.config.patience.max(SPACING), now);
                    if now < wait {
                        self.due = wait;
                    } else if round < ROUNDS {
                        (self.stage, self.place) = (Stage::Asking(round + 1), (0, 0));
                    } else {
                        self.stage = Stage::Done;
                    }
                }
            }
        }
    }

    /// So long after the last question.
    fn earliest(&self, after: Duration, now: Timestamp<Raw>) -> Timestamp<Raw> {
        self.last_sent.map_or(now, |at| at + after)
    }

    /// The next of this round that has no answer yet. In a later round nobody is asked again who answered none of his
    /// questions: he has no answers to give, or is made up.
    fn next_question(&mut self, round: u8) -> Option<(Question, Uuid)> {
        let named = self.config.whom.is_some();
        while let Some(clock) = self.clocks.get_mut(self.place.0) {
            let mute = round > 1 && !named && clock.is_mute();
            while let Some(question) = Question::ALL.get(usize::from(self.place.1)).filter(|_| !mute) {
                self.place.1 += 1;
                if !clock.has_answered(*question) {
                    clock.note_asked(*question);
                    return Some((*question, clock.uuid));
                }
            }
            self.place = (self.place.0 + 1, 0);
        }
        None
    }

    fn ask(&mut self, now: Timestamp<Raw>, question: Question, uuid: Uuid) {
        self.sequence = self.sequence.wrapping_add(1);
        let header = Header {
            version_network: 1,
            subdomain: self.config.subdomain,
            source: self.config.identity,
            sequence_id: self.sequence,
            flags: Flags::NONE,
        };
        let hops = self.config.boundary_hops;
        let body = Management {
            // ptpd 1 takes zeros for all where the technology is its own.
            target: PortIdentity { technology: PortIdentity::ETHERNET, uuid, port_id: 0 },
            starting_boundary_hops: hops,
            boundary_hops: hops,
            payload: question.payload(),
        };
        // A question can always be built.
        self.question = header.management(&body).ok();
        self.last_sent = Some(now);
        self.tally.asked += 1;
    }

    fn packet(&mut self, bytes: &[u8], address: Ipv4Addr) {
        let counter = match Packet::parse(bytes) {
            Err(WireError::Version2) => &mut self.tally.ptp_v2,
            Err(_) => &mut self.tally.unreadable,
            Ok(packet) if packet.header.subdomain != self.config.subdomain => &mut self.tally.other_subdomain,
            Ok(Packet { header, message: Message::Management(body) }) if self.is_for_us(&header, &body) => {
                match self.answer(&header, &body, address) {
                    Taken::Answer => &mut self.tally.answers,
                    Taken::Unasked => &mut self.tally.unasked,
                    Taken::Repeated => &mut self.tally.repeated,
                    Taken::SecondAddress => &mut self.tally.second_address,
                    Taken::NoRoom => &mut self.tally.no_room,
                }
            }
            Ok(_) => &mut self.tally.other,
        };
        *counter += 1;
    }

    /// The technology is not looked at: it is another's word for our network.
    fn is_for_us(&self, header: &Header, body: &Management) -> bool {
        let ours = self.config.identity;
        (body.target.uuid, body.target.port_id) == (ours.uuid, ours.port_id)
            && header.source.uuid != ours.uuid
    }

    fn answer(&mut self, header: &Header, body: &Management, address: Ipv4Addr) -> Taken {
        let source = header.source;
        if let Some(clock) = self.clocks.iter_mut().find(|clock| clock.uuid == source.uuid) {
            return clock.take(source, address, &body.payload);
        }
        let searched = self.config.whom.is_none() && self.tally.asked > 0;
        match Clock::found(source, address, &body.payload).filter(|_| searched) {
            None => Taken::Unasked,
            Some(_) if self.clocks.len() >= self.config.max_clocks => Taken::NoRoom,
            Some(clock) => {
                self.clocks.push(clock);
                Taken::Answer
            }
        }
    }
}

#[cfg(test)]
mod tests;
