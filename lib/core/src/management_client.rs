//! The management client: queries the clocks of a subdomain for their identities and data sets, by PTPv1 management messages
//! (IEEE 1588-2002, 8.6).
//!
//! An engine like [`Port`](crate::port::Port): [`ManagementClient::handle`] processes an event, [`ManagementClient::poll`] returns
//! the query to send, [`ManagementClient::deadline`] returns the latest time of the next call, `None` at the end. Sequence:
//!
//! ```text
//! OBTAIN_IDENTITY to all -> clocks that respond -> data sets of each, one query at a time -> missing ones once more
//! ```
//!
//! If one clock is named, only that clock is queried, for its identity and its data sets.
//!
//! **Matching of responses.** PTPv1 has no transaction number: the sequence number of a response is the responding clock's own (as
//! in ptpd 1), not the query's. A response is matched by its target, which is the querying port, by its key, by its sender, and by
//! a pending query. Any host that receives the query can forge a response; the address of a clock's first response is taken as
//! the clock's address, and responses from another address are rejected and reported.

mod clock;

pub use clock::{Clock, MAX_PORTS, Tally};

use crate::time::{Duration, Raw, Timestamp};
use crate::wire::{
    Buffer, Flags, Header, Management, Message, Packet, PortIdentity, Subdomain, Uuid, WireError,
};
use clock::{Outcome, Query};
use std::net::Ipv4Addr;

/// Interval between two queries: a Dante leader itself sends as many packets, four Syncs and four Follow_Ups per second.
pub const QUERY_INTERVAL: Duration = Duration::from_ms(125);
/// Number of times a query without a response is sent, since datagrams may be lost.
const ROUNDS: u8 = 2;

/// The configuration of a management client.
#[derive(Debug, Clone)]
pub struct ManagementClientConfig {
    /// The subdomain to query, all 16 bytes of it.
    pub subdomain: Subdomain,
    /// The source of the queries. It must be unique on the network: clients with the same identity accept each other's responses.
    pub identity: PortIdentity,
    /// The one clock to query; `None` for all.
    pub clock: Option<Uuid>,
    /// Number of boundary clocks that may forward a query (startingBoundaryHops); 0: only this network.
    pub boundary_hops: i16,
    /// Time to wait for responses after the last query of a round.
    pub timeout: Duration,
    /// Maximum number of clocks that are queried; responses of others are counted.
    pub max_clocks: usize,
}

/// Events that the client processes.
#[derive(Debug)]
pub enum Input<'a> {
    /// A packet arrived on the general port, or on the port from which the queries are sent.
    Packet {
        /// UDP payload.
        bytes: &'a [u8],
        /// The sender's address.
        address: Ipv4Addr,
    },
    /// The deadline was reached.
    Deadline,
}

/// The stage of the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// All clocks were queried for their identity this number of times.
    Searching(u8),
    /// Clocks are queried for their data sets, in this round.
    Querying(u8),
    /// No more queries are sent and no more responses accepted.
    Done,
}

/// The engine of the management client.
#[derive(Debug)]
pub struct ManagementClient {
    config: ManagementClientConfig,
    stage: Stage,
    clocks: Vec<Clock>,
    /// The clock and the query at which the search for the next query starts.
    place: (usize, u8),
    /// When to send the next query, or to stop waiting.
    due: Timestamp<Raw>,
    last_sent: Option<Timestamp<Raw>>,
    sequence: u16,
    query: Option<Buffer>,
    tally: Tally,
}

impl ManagementClient {
    /// Creates a client. It sends its first query at the first call of [`Self::handle`].
    pub fn new(config: ManagementClientConfig, now: Timestamp<Raw>) -> Self {
        let mut clocks = Vec::with_capacity(config.max_clocks);
        clocks.extend(config.clock.map(Clock::named));
        Self {
            stage: if config.clock.is_some() { Stage::Querying(1) } else { Stage::Searching(0) },
            config,
            clocks,
            place: (0, 0),
            due: now,
            last_sent: None,
            sequence: 0,
            query: None,
            tally: Tally::default(),
        }
    }

    /// Processes an event. `now` must never decrease.
    pub fn handle(&mut self, now: Timestamp<Raw>, input: Input<'_>) {
        if self.stage == Stage::Done {
            return;
        }
        if let Input::Packet { bytes, address } = input {
            self.packet(bytes, address);
        }
        self.proceed(now);
    }

    /// Returns the next query, to be multicast to the general port; to be called until it is `None`.
    pub fn poll(&mut self) -> Option<Buffer> {
        self.query.take()
    }

    /// Returns when [`Input::Deadline`] is due at the latest; `None` if all responses were received, or the client gave up.
    pub fn deadline(&self) -> Option<Timestamp<Raw>> {
        (self.stage != Stage::Done).then_some(self.due)
    }

    /// The clocks that responded, in the order of their first responses.
    pub fn clocks(&self) -> impl Iterator<Item = &Clock> {
        self.clocks.iter().filter(|clock| clock.source.is_some())
    }

    /// The counters of queries and received packets.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    fn proceed(&mut self, now: Timestamp<Raw>) {
        if matches!(self.stage, Stage::Querying(_)) && self.clocks.iter().all(Clock::is_complete) {
            self.stage = Stage::Done;
        }
        while now >= self.due {
            match self.stage {
                Stage::Done => return,
                Stage::Searching(times) if times < ROUNDS && self.clocks.is_empty() => {
                    self.stage = Stage::Searching(times + 1);
                    self.send(now, Query::Identity, Uuid([0; 6]));
                    // The configured timeout may be shorter than the interval of the queries.
                    self.due = now + self.config.timeout.max(QUERY_INTERVAL);
                    return;
                }
                Stage::Searching(_) if self.clocks.is_empty() => self.stage = Stage::Done,
                Stage::Searching(_) => self.stage = Stage::Querying(1),
                Stage::Querying(round) => {
                    if let Some((query, uuid)) = self.next_query(round) {
                        self.send(now, query, uuid);
                        self.due = now + QUERY_INTERVAL;
                        return;
                    }
                    // All queries of the round were sent; the last responses may still arrive.
                    let timeout = self.config.timeout.max(QUERY_INTERVAL);
                    let wait = self.last_sent.map_or(now, |at| at + timeout);
                    if now < wait {
                        self.due = wait;
                    } else if round < ROUNDS {
                        (self.stage, self.place) = (Stage::Querying(round + 1), (0, 0));
                    } else {
                        self.stage = Stage::Done;
                    }
                }
            }
        }
    }

    /// Returns the next query of this round that has no response yet. Later rounds skip a clock that sent no data set in the first
    /// one: it supports none, or does not exist.
    fn next_query(&mut self, round: u8) -> Option<(Query, Uuid)> {
        let named = self.config.clock.is_some();
        while let Some(clock) = self.clocks.get_mut(self.place.0) {
            let skipped = round > 1 && !named && clock.sends_no_data_sets();
            while let Some(query) = Query::ALL.get(usize::from(self.place.1)).filter(|_| !skipped) {
                self.place.1 += 1;
                if !clock.has_responded(*query) {
                    clock.mark_queried(*query);
                    return Some((*query, clock.uuid));
                }
            }
            self.place = (self.place.0 + 1, 0);
        }
        None
    }

    fn send(&mut self, now: Timestamp<Raw>, query: Query, uuid: Uuid) {
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
            // ptpd 1 accepts zeros for all clocks only if the technology is its own.
            target: PortIdentity { technology: PortIdentity::ETHERNET, uuid, port_id: 0 },
            starting_boundary_hops: hops,
            boundary_hops: hops,
            payload: query.payload(),
        };
        // A query can always be built.
        self.query = header.management(&body).ok();
        self.last_sent = Some(now);
        self.tally.queries += 1;
    }

    fn packet(&mut self, bytes: &[u8], address: Ipv4Addr) {
        let counter = match Packet::parse(bytes) {
            Err(WireError::Version2) => &mut self.tally.ptp_v2,
            Err(_) => &mut self.tally.unreadable,
            Ok(packet) if packet.header.subdomain != self.config.subdomain => &mut self.tally.other_subdomain,
            Ok(Packet { header, message: Message::Management(body) }) if self.is_for_us(&header, &body) => {
                match self.response(&header, &body, address) {
                    Outcome::Accepted => &mut self.tally.responses,
                    Outcome::Unsolicited => &mut self.tally.unsolicited,
                    Outcome::Repeated => &mut self.tally.repeated,
                    Outcome::SecondAddress => &mut self.tally.second_address,
                    Outcome::NoRoom => &mut self.tally.no_room,
                }
            }
            Ok(_) => &mut self.tally.other,
        };
        *counter += 1;
    }

    /// Whether the message is addressed to this client. The technology is not compared: other implementations fill it in
    /// differently.
    fn is_for_us(&self, header: &Header, body: &Management) -> bool {
        let ours = self.config.identity;
        (body.target.uuid, body.target.port_id) == (ours.uuid, ours.port_id)
            && header.source.uuid != ours.uuid
    }

    fn response(&mut self, header: &Header, body: &Management, address: Ipv4Addr) -> Outcome {
        let source = header.source;
        if let Some(clock) = self.clocks.iter_mut().find(|clock| clock.uuid == source.uuid) {
            return clock.accept(source, address, &body.payload);
        }
        let searched = self.config.clock.is_none() && self.tally.queries > 0;
        match Clock::found(source, address, &body.payload).filter(|_| searched) {
            None => Outcome::Unsolicited,
            Some(_) if self.clocks.len() >= self.config.max_clocks => Outcome::NoRoom,
            Some(clock) => {
                self.clocks.push(clock);
                Outcome::Accepted
            }
        }
    }
}

#[cfg(test)]
mod tests;
