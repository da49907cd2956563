//! Tests of the management client with simulated clocks, which may not respond.

mod hostile;

use super::*;
use crate::time::Offset;
use crate::wire::{
    ClockIdentifier, ClockIdentity, CurrentDataSet, DefaultDataSet, GlobalTimeDataSet, Grandmaster,
    ParentDataSet, Payload, PortDataSet, PortState,
};

const OURS: PortIdentity = PortIdentity { technology: 1, uuid: Uuid([2, 0, 0, 0, 0, 9]), port_id: 4711 };
const TIMEOUT: Duration = Duration::from_secs(1);
const START: Timestamp<Raw> = Timestamp::from_ns(5_000_000_000);
/// Number of queries for data sets.
const GETS: usize = Query::ALL.len() - 1;

fn clock(n: u16) -> PortIdentity {
    let [a, b] = n.to_be_bytes();
    PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0, a, b]), port_id: 1 }
}

/// The address of clock `n`.
fn address(n: u16) -> Ipv4Addr {
    let [a, b] = n.to_be_bytes();
    Ipv4Addr::new(169, 254, a, b)
}

fn config(clock: Option<Uuid>) -> ManagementClientConfig {
    ManagementClientConfig {
        subdomain: Subdomain::DFLT,
        identity: OURS,
        clock,
        boundary_hops: 0,
        timeout: TIMEOUT,
        max_clocks: 16,
    }
}

/// The response of a clock; `None` if the payload is not a query. Data sets that no test reads are all zeros.
fn response_of(who: PortIdentity, query: &Payload) -> Option<Payload> {
    if !Query::ALL.iter().any(|known| known.payload() == *query) {
        return None;
    }
    Some(match query {
        Payload::ObtainIdentity => Payload::ClockIdentity(ClockIdentity { port: who, manufacturer: [0; 48] }),
        Payload::GetDefaultDataSet => Payload::DefaultDataSet(DefaultDataSet {
            port: who,
            stratum: 0x99,
            identifier: ClockIdentifier::DFLT,
            variance: 0x7060,
            followup_capable: true,
            preferred: false,
            initializable: false,
            external_timing: false,
            is_boundary_clock: true,
            sync_interval: -2,
            subdomain: Subdomain::DFLT,
            number_ports: 1,
            number_foreign_records: 5,
        }),
        Payload::GetCurrentDataSet => Payload::CurrentDataSet(CurrentDataSet {
            steps_removed: 1,
            offset_from_master: Offset::from_ns(-40),
            one_way_delay: Duration::from_us(3),
        }),
        Payload::GetParentDataSet => Payload::ParentDataSet(ParentDataSet {
            parent: clock(1),
            last_sync_sequence: 7,
            followup_capable: true,
            external_timing: false,
            variance: 0x7060,
            stats: false,
            observed_variance: 0,
            observed_drift: 0,
            utc_reasonable: false,
            grandmaster: Grandmaster { port: clock(1), sequence_id: 7, ..Grandmaster::dante(who) },
        }),
        Payload::GetPortDataSet => Payload::PortDataSet(port(who, 1)),
        Payload::GetGlobalTimeDataSet => Payload::GlobalTimeDataSet(GlobalTimeDataSet {
            local_time: Timestamp::from_ns(699_000_000_001),
            current_utc_offset: 0,
            leap_59: false,
            leap_61: false,
            epoch_number: 0,
        }),
        _ => zeros(query.key() + 1),
    })
}

/// A payload of this key, of zeros.
fn zeros(key: u8) -> Payload {
    const KEY: usize = 55;
    const LENGTH: usize = 59;
    let mut bytes = encoded(OURS, OURS, Payload::Null);
    (bytes[KEY], bytes[LENGTH]) = (key, 90);
    bytes.resize(150, 0);
    match Packet::parse(&bytes).unwrap().message {
        Message::Management(body) => body.payload,
        message => panic!("{message:?}"),
    }
}

fn port(who: PortIdentity, number: u16) -> PortDataSet {
    PortDataSet {
        returned_port_number: number,
        state: PortState::MASTER,
        last_sync_sequence: 7,
        last_general_sequence: 8,
        port: PortIdentity { port_id: number, ..who },
        burst_enabled: false,
        group: Subdomain::DFLT.group(),
        event_port: 319,
        general_port: 320,
    }
}

/// The encoded response of `who` to `target`.
fn encoded(who: PortIdentity, target: PortIdentity, payload: Payload) -> Vec<u8> {
    // The sequence number is the responding clock's own.
    let header = Header {
        version_network: 1,
        subdomain: Subdomain::DFLT,
        source: who,
        sequence_id: 52_000,
        flags: Flags::NONE,
    };
    let body = Management { target, starting_boundary_hops: 1, boundary_hops: 1, payload };
    header.management(&body).unwrap().to_vec()
}

/// Upper bound of the duration, whatever is received.
fn max_duration(config: &ManagementClientConfig) -> Duration {
    let queries = i64::try_from(config.max_clocks * Query::ALL.len() + 1).unwrap();
    (QUERY_INTERVAL * queries + config.timeout * 2) * i64::from(ROUNDS)
}

/// A management client and a network.
struct Bench {
    client: ManagementClient,
    now: Timestamp<Raw>,
    max_duration: Duration,
    /// Time, target and payload of each query.
    sent: Vec<(Timestamp<Raw>, PortIdentity, Payload)>,
}

impl Bench {
    fn new(config: ManagementClientConfig) -> Self {
        let max_duration = max_duration(&config);
        let mut bench =
            Self { client: ManagementClient::new(config, START), now: START, max_duration, sent: Vec::new() };
        bench.handle(Input::Deadline);
        bench
    }

    fn handle(&mut self, input: Input<'_>) {
        self.client.handle(self.now, input);
        while let Some(packet) = self.client.poll() {
            let packet = Packet::parse(&packet).unwrap();
            let Message::Management(body) = packet.message else { panic!("{packet:?}") };
            assert_eq!((packet.header.source, packet.header.subdomain), (OURS, Subdomain::DFLT));
            assert!(body.starting_boundary_hops == body.boundary_hops);
            if let Some((last, ..)) = self.sent.last() {
                assert!(self.now - *last >= QUERY_INTERVAL, "{:?} after the last query", self.now - *last);
            }
            self.sent.push((self.now, body.target, body.payload));
        }
    }

    fn receive(&mut self, bytes: &[u8], address: Ipv4Addr) {
        self.handle(Input::Packet { bytes, address });
    }

    /// Runs to the end. `network` returns the responses to each query, with their source addresses.
    fn run(&mut self, mut network: impl FnMut(PortIdentity, &Payload) -> Vec<(Vec<u8>, Ipv4Addr)>) {
        let mut seen = 0;
        loop {
            while let Some((_, target, query)) = self.sent.get(seen).copied() {
                seen += 1;
                for (bytes, address) in network(target, &query) {
                    self.receive(&bytes, address);
                }
            }
            let Some(due) = self.client.deadline() else { break };
            assert!(due > self.now, "deadline in the past: busy loop");
            self.now = due;
            assert!(self.now - START <= self.max_duration, "runs too long");
            self.handle(Input::Deadline);
        }
    }

    fn tally(&self) -> Tally {
        *self.client.tally()
    }
}

/// Clocks 1 to `count`, all correct.
fn honest(count: u16) -> impl FnMut(PortIdentity, &Payload) -> Vec<(Vec<u8>, Ipv4Addr)> {
    move |target, query| {
        let addressed = |n: &u16| target.uuid == Uuid([0; 6]) || target.uuid == clock(*n).uuid;
        let response = |n| Some((encoded(clock(n), OURS, response_of(clock(n), query)?), address(n)));
        (1..=count).filter(addressed).filter_map(response).collect()
    }
}

#[test]
fn all_clocks_are_found_and_queried_once_per_data_set() {
    let mut bench = Bench::new(config(None));
    bench.run(honest(3));
    let found: Vec<_> = bench.client.clocks().collect();
    assert_eq!(found.len(), 3);
    for (found, n) in found.into_iter().zip(1..) {
        assert_eq!(found.source, Some((clock(n), address(n))));
        assert!(found.is_complete() && found.second_address.is_none());
        let query = Payload::GetParentDataSet;
        assert_eq!(found.parent.map(Payload::ParentDataSet), response_of(clock(n), &query));
        assert_eq!(found.ports.as_slice(), [port(clock(n), 1)]);
    }
    assert_eq!(bench.sent.len(), 1 + 3 * GETS);
    assert_eq!(bench.sent[0].1, PortIdentity { technology: 1, uuid: Uuid([0; 6]), port_id: 0 });
    let queries = bench.sent.len() as u64;
    let tally = Tally { queries, responses: queries + 2, ..Tally::default() };
    assert_eq!(bench.tally(), tally);
}

#[test]
fn named_clock_is_the_only_one_queried() {
    let mut bench = Bench::new(config(Some(clock(2).uuid)));
    bench.run(honest(3));
    assert_eq!(bench.client.clocks().map(|clock| clock.uuid).collect::<Vec<_>>(), [clock(2).uuid]);
    assert_eq!(bench.sent.len(), 1 + GETS);
    assert!(bench.sent.iter().all(|(_, target, _)| target.uuid == clock(2).uuid));
    assert!(bench.now - START < TIMEOUT, "ends with the last response");
}

/// [`Bench::handle`] checks the interval of any two queries, here with a timeout that is shorter.
#[test]
fn queries_keep_their_interval() {
    let hasty = ManagementClientConfig { timeout: Duration::from_ms(1), ..config(None) };
    let mut bench = Bench::new(hasty.clone());
    bench.run(honest(12));
    assert_eq!(bench.sent.len(), 1 + 12 * GETS);
    let mut bench = Bench::new(hasty);
    bench.run(|_, _| Vec::new());
    assert_eq!(bench.sent.len(), 2, "the search is repeated");
}

#[test]
fn without_responses_each_query_is_sent_twice() {
    let mut bench = Bench::new(config(None));
    bench.run(|_, _| Vec::new());
    assert_eq!(bench.client.clocks().count(), 0);
    assert_eq!(bench.sent.len(), 2);
    assert_eq!(bench.now - START, TIMEOUT * 2);
    assert_eq!(bench.tally(), Tally { queries: 2, ..Tally::default() });
    let mut bench = Bench::new(config(Some(clock(1).uuid)));
    bench.run(|_, _| Vec::new());
    assert_eq!((bench.client.clocks().count(), bench.sent.len()), (0, 2 * (1 + GETS)));
}

#[test]
fn only_lost_responses_are_queried_again() {
    let mut bench = Bench::new(config(None));
    let (mut network, mut times) = (honest(2), 0);
    bench.run(|target, query| {
        let lost = target.uuid == clock(2).uuid && matches!(query, Payload::GetCurrentDataSet);
        times += u32::from(lost);
        if lost && times == 1 { Vec::new() } else { network(target, query) }
    });
    assert!(bench.client.clocks().all(Clock::is_complete));
    assert_eq!((times, bench.sent.len()), (2, 1 + 2 * GETS + 1));
}

#[test]
fn clock_without_data_sets_is_listed_and_not_queried_again() {
    let mut bench = Bench::new(config(None));
    let mut network = honest(1);
    bench.run(|target, query| match query {
        Payload::ObtainIdentity => network(target, query),
        _ => Vec::new(),
    });
    let found: Vec<_> = bench.client.clocks().collect();
    assert_eq!(found.len(), 1);
    assert!(found[0].identity.is_some() && found[0].default.is_none() && found[0].ports.is_empty());
    assert_eq!(bench.sent.len(), 1 + GETS);
}

#[test]
fn clock_with_two_ports_responds_for_both() {
    let mut bench = Bench::new(config(Some(clock(1).uuid)));
    let mut network = honest(1);
    bench.run(|target, query| {
        let mut responses = network(target, query);
        if let Payload::GetDefaultDataSet = query {
            let Some(Payload::DefaultDataSet(data)) = response_of(clock(1), query) else { panic!() };
            let two = Payload::DefaultDataSet(DefaultDataSet { number_ports: 2, ..data });
            responses = vec![(encoded(clock(1), OURS, two), address(1))];
        }
        if let Payload::GetPortDataSet = query {
            let second = Payload::PortDataSet(port(clock(1), 2));
            responses.push((encoded(clock(1), OURS, second), address(1)));
        }
        responses
    });
    let found = bench.client.clocks().next().unwrap();
    assert_eq!(found.ports.iter().map(|port| port.returned_port_number).collect::<Vec<_>>(), [1, 2]);
}
