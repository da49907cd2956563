//! One clock: what it was asked, and what it answered.

use crate::wire::{
    ClockIdentity, CurrentDataSet, DefaultDataSet, GlobalTimeDataSet, ParentDataSet, Payload, PortDataSet,
    PortIdentity, Uuid,
};
use arrayvec::ArrayVec;
use std::net::Ipv4Addr;

/// Ports of one clock that are remembered.
pub const MAX_PORTS: usize = 4;

/// What became of what was heard. Each packet is counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Questions that were sent.
    pub asked: u64,
    /// Answers that were taken.
    pub answers: u64,
    /// Answers to this host that were not asked for, of their sender or at all.
    pub unasked: u64,
    /// Answers that were there already.
    pub repeated: u64,
    /// Answers in the name of a clock that has another address.
    pub second_address: u64,
    /// Answers of clocks for which there was no room.
    pub no_room: u64,
    /// PTPv1 of another subdomain.
    pub other_subdomain: u64,
    /// PTPv2.
    pub ptp_v2: u64,
    /// What is no message, or cut short.
    pub unreadable: u64,
    /// Other messages of the subdomain: Follow_Ups, questions of others and answers to them.
    pub other: u64,
}

/// What a clock can be asked here. A question that changes a device does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Identity,
    Default,
    Current,
    Parent,
    Port,
    GlobalTime,
}

impl Question {
    pub(super) const ALL: [Self; 6] =
        [Self::Identity, Self::Default, Self::Current, Self::Parent, Self::Port, Self::GlobalTime];
    pub(super) const COUNT: i64 = 6;

    pub(super) const fn payload(self) -> Payload {
        match self {
            Self::Identity => Payload::ObtainIdentity,
            Self::Default => Payload::GetDefaultDataSet,
            Self::Current => Payload::GetCurrentDataSet,
            Self::Parent => Payload::GetParentDataSet,
            Self::Port => Payload::GetPortDataSet,
            Self::GlobalTime => Payload::GetGlobalTimeDataSet,
        }
    }

    /// The question that this answers.
    fn answered_by(payload: &Payload) -> Option<Self> {
        Some(match payload {
            Payload::ClockIdentity(_) => Self::Identity,
            Payload::DefaultDataSet(_) => Self::Default,
            Payload::CurrentDataSet(_) => Self::Current,
            Payload::ParentDataSet(_) => Self::Parent,
            Payload::PortDataSet(_) => Self::Port,
            Payload::GlobalTimeDataSet(_) => Self::GlobalTime,
            _ => return None,
        })
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

const _: () = assert!(Question::ALL.len() == 6 && Question::COUNT == 6);

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Answer,
    Unasked,
    Repeated,
    SecondAddress,
    NoRoom,
}

/// A clock, in its own words. What it says is not checked against anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    /// The UUID that it answers under.
    pub uuid: Uuid,
    /// The port and the address of its first answer; `None` before that.
    pub source: Option<(PortIdentity, Ipv4Addr)>,
    /// Another address from which somebody answered in its name. Those answers are not here.
    pub second_address: Option<Ipv4Addr>,
    /// Who it is.
    pub identity: Option<ClockIdentity>,
    /// How it is made and set up.
    pub default: Option<DefaultDataSet>,
    /// How well it follows.
    pub current: Option<CurrentDataSet>,
    /// Whom it follows.
    pub parent: Option<ParentDataSet>,
    /// Its ports, in the order in which they answered, each once.
    pub ports: ArrayVec<PortDataSet, MAX_PORTS>,
    /// Its time as it answered.
    pub global_time: Option<GlobalTimeDataSet>,
    asked: u8,
    answered: u8,
}

impl Clock {
    /// A clock of which only the name is known.
    pub(super) fn named(uuid: Uuid) -> Self {
        Self {
            uuid,
            source: None,
            second_address: None,
            identity: None,
            default: None,
            current: None,
            parent: None,
            ports: ArrayVec::new(),
            global_time: None,
            asked: 0,
            answered: 0,
        }
    }

    /// A clock that answered who it is; `None` if that is not what it said.
    pub(super) fn found(source: PortIdentity, address: Ipv4Addr, payload: &Payload) -> Option<Self> {
        let mut clock = Self::named(source.uuid);
        clock.note_asked(Question::Identity);
        (matches!(payload, Payload::ClockIdentity(_))
            && clock.take(source, address, payload) == Taken::Answer)
            .then_some(clock)
    }

    pub(super) fn note_asked(&mut self, question: Question) {
        self.asked |= question.bit();
    }

    pub(super) fn has_answered(&self, question: Question) -> bool {
        self.answered & question.bit() != 0
    }

    /// It has answered everything, for each of the ports that it says it has.
    pub(super) fn is_complete(&self) -> bool {
        let number = self.default.map_or(1, |data| usize::from(data.number_ports)).min(MAX_PORTS);
        Question::ALL.into_iter().all(|question| self.has_answered(question)) && self.ports.len() >= number
    }

    /// It was asked for its data sets and gave none.
    pub(super) fn is_mute(&self) -> bool {
        let data_sets = !Question::Identity.bit();
        self.asked & data_sets != 0 && self.answered & data_sets == 0
    }

    pub(super) fn take(&mut self, source: PortIdentity, address: Ipv4Addr, payload: &Payload) -> Taken {
        let Some(question) = Question::answered_by(payload) else { return Taken::Unasked };
        if self.asked & question.bit() == 0 {
            return Taken::Unasked;
        }
        if self.source.is_some_and(|(_, first)| first != address) {
            self.second_address = Some(address);
            return Taken::SecondAddress;
        }
        // A clock answers once for each of its ports.
        let is_new_port = matches!(payload, Payload::PortDataSet(new) if self.ports.iter()
            .all(|port| port.returned_port_number != new.returned_port_number));
        if self.has_answered(question) && !is_new_port {
            return Taken::Repeated;
        }
        match *payload {
            Payload::ClockIdentity(data) => self.identity = Some(data),
            Payload::DefaultDataSet(data) => self.default = Some(data),
            Payload::CurrentDataSet(data) => self.current = Some(data),
            Payload::ParentDataSet(data) => self.parent = Some(data),
            Payload::GlobalTimeDataSet(data) => self.global_time = Some(data),
            Payload::PortDataSet(_) if self.ports.is_full() => return Taken::NoRoom,
            Payload::PortDataSet(data) => self.ports.push(data),
            _ => {}
        }
        self.source.get_or_insert((source, address));
        self.answered |= question.bit();
        Taken::Answer
    }
}
