//! The questioner on a bench with clocks that answer, or not.

mod hostile;

use super::*;
use crate::time::Offset;
use crate::wire::{
    ClockIdentifier, ClockIdentity, CurrentDataSet, DefaultDataSet, GlobalTimeDataSet, Grandmaster,
    ParentDataSet, Payload, PortDataSet, PortState,
};

const OURS: PortIdentity = PortIdentity { technology: 1, uuid: Uuid([2, 0, 0, 0, 0, 9]), port_id: 4711 };
const PATIENCE: Duration = Duration::from_secs(1);
const START: Timestamp<Raw> = Timestamp::from_ns(5_000_000_000);
const GETS: usize = Question::ALL.len() - 1;

fn clock(n: u16) -> PortIdentity {
    let [a, b] = n.to_be_bytes();
    PortIdentity { technology: 1, uuid: Uuid([0, 0x1d, 0xc1, 0, a, b]), port_id: 1 }
}

/// Where clock `n` is.
fn home(n: u16) -> Ipv4Addr {
    let [a, b] = n.to_be_bytes();
    Ipv4Addr::new(169, 254, a, b)
}

fn config(whom: Option<Uuid>) -> ManagementClientConfig {
    ManagementClientConfig {
        subdomain: Subdomain::DFLT,
        identity: OURS,
        whom,
        boundary_hops: 0,
        patience: PATIENCE,
        max_clocks: 16,
    }
}

/// The answer of a clock; `None` where the payload is no question. It is all zeros where no test looks into it.
fn answer_of(who: PortIdentity, question: &Payload) -> Option<Payload> {
    if !questions().any(|asked| asked == *question) {
        return None;
    }
    Some(match question {
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
        _ => zeros(question.key() + 1),
    })
}

/// A payload of this key, of zeros.
fn zeros(key: u8) -> Payload {
    const KEY: usize = 55;
    const LENGTH: usize = 59;
    let mut bytes = said_by(OURS, OURS, Payload::Null);
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

/// An answer of `who` to `target`, as it stands on the wire.
fn said_by(who: PortIdentity, target: PortIdentity, payload: Payload) -> Vec<u8> {
    // The sequence number is the answering clock's own.
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

/// A questioner and a network.
struct Bench {
    client: ManagementClient,
    now: Timestamp<Raw>,
    longest: Duration,
    /// When each question was sent, to whom, and what it asks.
    sent: Vec<(Timestamp<Raw>, PortIdentity, Payload)>,
}

impl Bench {
    fn new(config: ManagementClientConfig) -> Self {
        let longest = config.longest();
        let mut bench =
            Self { client: ManagementClient::new(config, START), now: START, longest, sent: Vec::new() };
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
            self.sent.push((self.now, body.target, body.payload));
        }
    }

    fn hear(&mut self, bytes: &[u8], address: Ipv4Addr) {
        self.handle(Input::Packet { bytes, address });
    }

    /// Until the end: each question that was sent last is given to `network`, which says what is answered and from where.
    fn run(&mut self, mut network: impl FnMut(PortIdentity, &Payload) -> Vec<(Vec<u8>, Ipv4Addr)>) {
        let mut seen = 0;
        loop {
            while let Some((_, target, question)) = self.sent.get(seen).copied() {
                seen += 1;
                for (bytes, address) in network(target, &question) {
                    self.hear(&bytes, address);
                }
            }
            let Some(due) = self.client.deadline() else { break };
            assert!(due > self.now, "it would never sleep");
            self.now = due;
            assert!(self.now - START <= self.longest, "it should have ended");
            self.handle(Input::Deadline);
        }
    }

    fn tally(&self) -> Tally {
        *self.client.tally()
    }
}

/// Clocks 1 to `count`, in good order.
fn honest(count: u16) -> impl FnMut(PortIdentity, &Payload) -> Vec<(Vec<u8>, Ipv4Addr)> {
    move |target, question| {
        let meant = |n: &u16| target.uuid == Uuid([0; 6]) || target.uuid == clock(*n).uuid;
        let answer = |n| Some((said_by(clock(n), OURS, answer_of(clock(n), question)?), home(n)));
        (1..=count).filter(meant).filter_map(answer).collect()
    }
}

#[test]
fn all_clocks_are_found_and_asked_once_for_each_data_set() {
    let mut bench = Bench::new(config(None));
    bench.run(honest(3));
    let found: Vec<_> = bench.client.clocks().collect();
    assert_eq!(found.len(), 3);
    for (found, n) in found.into_iter().zip(1..) {
        assert_eq!(found.source, Some((clock(n), home(n))));
        assert!(found.is_complete() && found.second_address.is_none());
        let question = Payload::GetParentDataSet;
        assert_eq!(found.parent.map(Payload::ParentDataSet), answer_of(clock(n), &question));
        assert_eq!(found.ports.as_slice(), [port(clock(n), 1)]);
    }
    assert_eq!(bench.sent.len(), 1 + 3 * GETS);
    assert_eq!(bench.sent[0].1, PortIdentity { technology: 1, uuid: Uuid([0; 6]), port_id: 0 });
    let asked = bench.sent.len() as u64;
    let tally = Tally { asked, answers: asked + 2, ..Tally::default() };
    assert_eq!(bench.tally(), tally);
}

#[test]
fn one_clock_that_is_named_is_asked_and_nobody_else() {
    let mut bench = Bench::new(config(Some(clock(2).uuid)));
    bench.run(honest(3));
    assert_eq!(bench.client.clocks().map(|clock| clock.uuid).collect::<Vec<_>>(), [clock(2).uuid]);
    assert_eq!(bench.sent.len(), 1 + GETS);
    assert!(bench.sent.iter().all(|(_, target, _)| target.uuid == clock(2).uuid));
    assert!(bench.now - START < PATIENCE, "it ends with the last answer");
}

#[test]
fn questions_keep_their_distance_whatever_is_heard() {
    let mut bench = Bench::new(ManagementClientConfig { patience: Duration::from_ms(1), ..config(None) });
    bench.run(honest(12));
    assert!(bench.sent.len() > 12 * GETS);
    for pair in bench.sent.windows(2).skip(1) {
        assert!(pair[1].0 - pair[0].0 >= SPACING, "{:?}", pair[1].0 - pair[0].0);
    }
}

#[test]
fn where_nobody_answers_all_are_asked_twice_and_that_is_all() {
    let mut bench = Bench::new(config(None));
    bench.run(|_, _| Vec::new());
    assert_eq!(bench.client.clocks().count(), 0);
    assert_eq!(bench.sent.len(), 2);
    assert_eq!(bench.now - START, PATIENCE * 2);
    assert_eq!(bench.tally(), Tally { asked: 2, ..Tally::default() });
    let mut bench = Bench::new(config(Some(clock(1).uuid)));
    bench.run(|_, _| Vec::new());
    assert_eq!((bench.client.clocks().count(), bench.sent.len()), (0, 2 * (1 + GETS)));
}

#[test]
fn what_is_lost_is_asked_for_once_more_and_what_is_there_is_not() {
    let mut bench = Bench::new(config(None));
    let (mut network, mut times) = (honest(2), 0);
    bench.run(|target, question| {
        let lost = target.uuid == clock(2).uuid && matches!(question, Payload::GetCurrentDataSet);
        times += u32::from(lost);
        if lost && times == 1 { Vec::new() } else { network(target, question) }
    });
    assert!(bench.client.clocks().all(Clock::is_complete));
    assert_eq!((times, bench.sent.len()), (2, 1 + 2 * GETS + 1));
}

#[test]
fn who_says_who_he_is_and_nothing_else_is_shown_and_not_asked_again() {
    let mut bench = Bench::new(config(None));
    let mut network = honest(1);
    bench.run(|target, question| match question {
        Payload::ObtainIdentity => network(target, question),
        _ => Vec::new(),
    });
    let found: Vec<_> = bench.client.clocks().collect();
    assert_eq!(found.len(), 1);
    assert!(found[0].identity.is_some() && found[0].default.is_none() && found[0].ports.is_empty());
    assert_eq!(bench.sent.len(), 1 + GETS);
}

#[test]
fn a_clock_with_two_ports_answers_for_both() {
    let mut bench = Bench::new(config(Some(clock(1).uuid)));
    let mut network = honest(1);
    bench.run(|target, question| {
        let mut answers = network(target, question);
        if let Payload::GetDefaultDataSet = question {
            let Some(Payload::DefaultDataSet(data)) = answer_of(clock(1), question) else { panic!() };
            let two = Payload::DefaultDataSet(DefaultDataSet { number_ports: 2, ..data });
            answers = vec![(said_by(clock(1), OURS, two), home(1))];
        }
        if let Payload::GetPortDataSet = question {
            let second = Payload::PortDataSet(port(clock(1), 2));
            answers.push((said_by(clock(1), OURS, second), home(1)));
        }
        answers
    });
    let found = bench.client.clocks().next().unwrap();
    assert_eq!(found.ports.iter().map(|port| port.returned_port_number).collect::<Vec<_>>(), [1, 2]);
}
