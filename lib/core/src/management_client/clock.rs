//! One clock: its pending queries and its responses.

use crate::wire::{
    ClockIdentity, CurrentDataSet, DefaultDataSet, GlobalTimeDataSet, ParentDataSet, Payload, PortDataSet,
    PortIdentity, Uuid,
};
use arrayvec::ArrayVec;
use std::net::Ipv4Addr;

/// Maximum number of ports of one clock.
pub const MAX_PORTS: usize = 4;

/// Counters of queries and received packets. Each packet is counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Queries that were sent.
    pub queries: u64,
    /// Responses that were accepted.
    pub responses: u64,
    /// Responses to this client without a query to their sender.
    pub unsolicited: u64,
    /// Responses that were received before.
    pub repeated: u64,
    /// Responses with the UUID of a clock at another address.
    pub second_address: u64,
    /// Responses of clocks or ports beyond the maximum number.
    pub no_room: u64,
    /// PTPv1 packets of another subdomain.
    pub other_subdomain: u64,
    /// PTPv2 packets.
    pub ptp_v2: u64,
    /// Packets that cannot be decoded.
    pub unreadable: u64,
    /// Other messages of the subdomain: Follow_Ups, and queries and responses of others.
    pub other: u64,
}

/// How a response was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    Unsolicited,
    Repeated,
    SecondAddress,
    NoRoom,
}

/// Declares the queries, one line each: name, payload, payload of the response, and the field for the response. None of them
/// changes a device.
macro_rules! queries {
    ($($(#[$doc:meta])* $query:ident: $payload:ident => $response:ident in $field:ident: $kept:ty,)+) => {
        /// The queries to a clock.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Query { $($query,)+ }

        impl Query {
            pub(super) const ALL: [Self; [$(stringify!($query)),+].len()] = [$(Self::$query),+];

            pub(super) const fn payload(self) -> Payload {
                match self { $(Self::$query => Payload::$payload,)+ }
            }

            /// The query that belongs to this response.
            fn of_response(payload: &Payload) -> Option<Self> {
                match payload { $(Payload::$response(_) => Some(Self::$query),)+ _ => None }
            }
        }

        /// A clock according to its responses, whose content is not checked.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Clock {
            /// The UUID of its responses.
            pub uuid: Uuid,
            /// Port and address of its first response; `None` before that.
            pub source: Option<(PortIdentity, Ipv4Addr)>,
            /// Another address from which responses with its UUID came. Those responses were rejected.
            pub second_address: Option<Ipv4Addr>,
            $($(#[$doc])* pub $field: $kept,)+
            queried: u16,
            responded: u16,
        }

        impl Clock {
            /// A clock of which only the UUID is known.
            pub(super) fn named(uuid: Uuid) -> Self {
                let (source, second_address) = (None, None);
                Self { uuid, source, second_address, $($field: <$kept>::default(),)+ queried: 0, responded: 0 }
            }

            fn keep(&mut self, payload: &Payload) -> Outcome {
                match payload { $(Payload::$response(data) => self.$field.keep(*data),)+ _ => Outcome::Unsolicited }
            }
        }
    };
}

queries! {
    /// Its identity.
    Identity: ObtainIdentity => ClockIdentity in identity: Option<ClockIdentity>,
    /// Its properties and configuration.
    Default: GetDefaultDataSet => DefaultDataSet in default: Option<DefaultDataSet>,
    /// Its offset from its leader.
    Current: GetCurrentDataSet => CurrentDataSet in current: Option<CurrentDataSet>,
    /// Its leader and grandmaster.
    Parent: GetParentDataSet => ParentDataSet in parent: Option<ParentDataSet>,
    /// Its ports, in the order of their responses, each once.
    Port: GetPortDataSet => PortDataSet in ports: ArrayVec<PortDataSet, MAX_PORTS>,
    /// Its time at the response.
    GlobalTime: GetGlobalTimeDataSet => GlobalTimeDataSet in global_time: Option<GlobalTimeDataSet>,
}

impl Query {
    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

const _: () = assert!(Query::ALL.len() <= u16::BITS as usize);

/// Storage for the responses to one query.
trait Keep<T> {
    fn keep(&mut self, data: T) -> Outcome;
}

impl<T> Keep<T> for Option<T> {
    fn keep(&mut self, data: T) -> Outcome {
        if self.is_some() {
            return Outcome::Repeated;
        }
        *self = Some(data);
        Outcome::Accepted
    }
}

/// A clock sends one response for each of its ports.
impl Keep<PortDataSet> for ArrayVec<PortDataSet, MAX_PORTS> {
    fn keep(&mut self, data: PortDataSet) -> Outcome {
        if self.iter().any(|port| port.returned_port_number == data.returned_port_number) {
            return Outcome::Repeated;
        }
        self.try_push(data).map_or(Outcome::NoRoom, |()| Outcome::Accepted)
    }
}

impl Clock {
    /// Creates a clock from its response to the identity query; `None` for any other payload.
    pub(super) fn found(source: PortIdentity, address: Ipv4Addr, payload: &Payload) -> Option<Self> {
        let mut clock = Self::named(source.uuid);
        clock.mark_queried(Query::Identity);
        (matches!(payload, Payload::ClockIdentity(_))
            && clock.accept(source, address, payload) == Outcome::Accepted)
            .then_some(clock)
    }

    pub(super) fn mark_queried(&mut self, query: Query) {
        self.queried |= query.bit();
    }

    pub(super) fn has_responded(&self, query: Query) -> bool {
        self.responded & query.bit() != 0
    }

    /// Whether it has responded to all queries, for all ports of its default data set.
    pub(super) fn is_complete(&self) -> bool {
        let number = self.default.map_or(1, |data| usize::from(data.number_ports)).min(MAX_PORTS);
        Query::ALL.into_iter().all(|query| self.has_responded(query)) && self.ports.len() >= number
    }

    /// Whether it was queried for data sets and sent none.
    pub(super) fn sends_no_data_sets(&self) -> bool {
        let data_sets = !Query::Identity.bit();
        self.queried & data_sets != 0 && self.responded & data_sets == 0
    }

    pub(super) fn accept(&mut self, source: PortIdentity, address: Ipv4Addr, payload: &Payload) -> Outcome {
        let Some(query) = Query::of_response(payload) else { return Outcome::Unsolicited };
        if self.queried & query.bit() == 0 {
            return Outcome::Unsolicited;
        }
        if self.source.is_some_and(|(_, first)| first != address) {
            self.second_address = Some(address);
            return Outcome::SecondAddress;
        }
        let outcome = self.keep(payload);
        if outcome != Outcome::Accepted {
            return outcome;
        }
        self.source.get_or_insert((source, address));
        self.responded |= query.bit();
        Outcome::Accepted
    }
}
