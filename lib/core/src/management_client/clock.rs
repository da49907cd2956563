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

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    Answer,
    Unasked,
    Repeated,
    SecondAddress,
    NoRoom,
}

/// Declares what a clock is asked, one line each: the question's name, its payload, the payload of the answer, and where the answer
/// is kept. Questions that change a device do not exist.
macro_rules! questions {
    ($($(#[$doc:meta])* $question:ident: $asks:ident => $answer:ident in $field:ident: $kept:ty,)+) => {
        /// What a clock can be asked here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Question { $($question,)+ }

        impl Question {
            pub(super) const ALL: [Self; [$(stringify!($question)),+].len()] = [$(Self::$question),+];

            pub(super) const fn payload(self) -> Payload {
                match self { $(Self::$question => Payload::$asks,)+ }
            }

            /// The question that this answers.
            fn answered_by(payload: &Payload) -> Option<Self> {
                match payload { $(Payload::$answer(_) => Some(Self::$question),)+ _ => None }
            }
        }

        /// A clock, as it describes itself. Its statements are not checked.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Clock {
            /// The UUID that it answers under.
            pub uuid: Uuid,
            /// The port and the address of its first answer; `None` before that.
            pub source: Option<(PortIdentity, Ipv4Addr)>,
            /// Another address from which somebody answered in its name. Those answers are not here.
            pub second_address: Option<Ipv4Addr>,
            $($(#[$doc])* pub $field: $kept,)+
            asked: u16,
            answered: u16,
        }

        impl Clock {
            /// A clock of which only the name is known.
            pub(super) fn named(uuid: Uuid) -> Self {
                let (source, second_address) = (None, None);
                Self { uuid, source, second_address, $($field: <$kept>::default(),)+ asked: 0, answered: 0 }
            }

            fn keep(&mut self, payload: &Payload) -> Taken {
                match payload { $(Payload::$answer(data) => self.$field.keep(*data),)+ _ => Taken::Unasked }
            }
        }
    };
}

questions! {
    /// Who it is.
    Identity: ObtainIdentity => ClockIdentity in identity: Option<ClockIdentity>,
    /// How it is made and set up.
    Default: GetDefaultDataSet => DefaultDataSet in default: Option<DefaultDataSet>,
    /// How well it follows.
    Current: GetCurrentDataSet => CurrentDataSet in current: Option<CurrentDataSet>,
    /// Whom it follows.
    Parent: GetParentDataSet => ParentDataSet in parent: Option<ParentDataSet>,
    /// Its ports, in the order in which they answered, each once.
    Port: GetPortDataSet => PortDataSet in ports: ArrayVec<PortDataSet, MAX_PORTS>,
    /// Its time as it answered.
    GlobalTime: GetGlobalTimeDataSet => GlobalTimeDataSet in global_time: Option<GlobalTimeDataSet>,
}

impl Question {
    #[expect(clippy::cast_possible_wrap, reason = "a handful")]
    pub(super) const COUNT: i64 = Self::ALL.len() as i64;

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

const _: () = assert!(Question::ALL.len() <= u16::BITS as usize);

/// Where the answers to one question are kept.
trait Keep<T> {
    fn keep(&mut self, data: T) -> Taken;
}

impl<T> Keep<T> for Option<T> {
    fn keep(&mut self, data: T) -> Taken {
        if self.is_some() {
            return Taken::Repeated;
        }
        *self = Some(data);
        Taken::Answer
    }
}

/// A clock answers once for each of its ports.
impl Keep<PortDataSet> for ArrayVec<PortDataSet, MAX_PORTS> {
    fn keep(&mut self, data: PortDataSet) -> Taken {
        if self.iter().any(|port| port.returned_port_number == data.returned_port_number) {
            return Taken::Repeated;
        }
        self.try_push(data).map_or(Taken::NoRoom, |()| Taken::Answer)
    }
}

impl Clock {
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
        let taken = self.keep(payload);
        if taken != Taken::Answer {
            return taken;
        }
        self.source.get_or_insert((source, address));
        self.answered |= question.bit();
        Taken::Answer
    }
}
